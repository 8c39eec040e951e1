"""Layouts of published data sets: lists of tokens, CoNLL-U, braces, the People's Daily corpus."""

import json

import pytest

from albert_zh.common.errors import UserError
from albert_zh.tasks import datasets, registry
from albert_zh.tasks.labelling import reader, splits

TAGS = ["B-PER", "I-PER", "O", "B-LOC", "I-LOC"]
NAMES = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
ENTITIES = [("王明", "PER"), ("北京", "LOC")]
ARTICLE = "19980101-01-001-002/m"


def written(tmp_path, content, name="train.txt"):
    (tmp_path / name).write_text(content, encoding="utf-8")
    return str(tmp_path / name)


def task_of(name, labels=None, **head):
    return datasets.get_task(name)._replace(labels=labels, head=head)


def read_split(tmp_path, content, task_name, name="train.txt", **head):
    written(tmp_path, content, name)
    return splits.read_split(task_of(task_name, **head), str(tmp_path), "train", "utf-8")


def texts_and_spans(texts):
    return [(t.text, [(t.text[s.start : s.end], s.type) for s in t.spans]) for t in texts]


def record(**changes):
    return json.dumps(dict({"id": "0"}, **changes), ensure_ascii=False)


@pytest.mark.parametrize(
    "fields",
    [
        {"tokens": list("王明去北京"), "ner_tags": TAGS},
        {"tokens": list("王明去北京"), "pos_tags": [1] * 5, "ner_tags": TAGS},
        {"words": list("王明去北京"), "tags": TAGS},
        {"text": list("王明去北京"), "label": TAGS},
        {"text": "王明去北京", "labels": TAGS},
        {"sentence": "王明去北京", "labels": TAGS},
    ],
)
@pytest.mark.parametrize("is_list", [False, True])
def test_lists_of_tokens_and_tags(tmp_path, fields, is_list):
    """Regression: such files were refused: text is missing, or a tag is no [start, end, type]."""
    lines = [record(**fields)] * 2
    content = "[%s]" % ",\n".join(lines) if is_list else "\n".join(lines)
    split = read_split(tmp_path, content, "ner", "train.json")
    assert (split.file_format, split.scheme.name) == ("token_lists", "BIO")
    assert [e.source.identifier for e in split.examples] == ["0", "0"]
    assert texts_and_spans([e.source for e in split.examples]) == [("王明去北京", ENTITIES)] * 2


def test_numbers_of_tags_are_named_by_a_file_beside(tmp_path):
    tokens, numbers = list("王明去北京"), [NAMES.index(tag) for tag in TAGS]
    path = written(tmp_path, record(tokens=tokens, ner_tags=numbers), "train.jsonl")
    with pytest.raises(UserError) as raised:
        reader.read_file(path)
    message = str(raised.value)
    assert message.startswith(path + ", line 1: its tags are numbers without names")
    assert str(tmp_path / "labels.txt") in message and "\n" not in message
    written(tmp_path, "\n".join(NAMES), "labels.txt")
    data = reader.read_file(path)
    assert texts_and_spans(data.texts) == [("王明去北京", ENTITIES)]
    assert texts_and_spans(reader.stream_file(path)) == [("王明去北京", ENTITIES)]
    written(tmp_path, "\n".join(NAMES[:-1] + ["I-ORG"]), "labels.txt")
    assert reader.read_file(path).sha256 != data.sha256
    written(tmp_path, "\n".join(NAMES[:-1]), "labels.txt")
    with pytest.raises(UserError, match="line 1: the tag 4 has no name: labels.txt has 4"):
        reader.read_file(path)


@pytest.mark.parametrize(
    "fields, expected",
    [
        ({"tokens": ["王", "明"], "ner_tags": ["B-PER"]}, "line 2: 2 tokens and 1 tags"),
        ({"tokens": ["王", ""], "ner_tags": ["B-PER", "O"]}, "line 2: an empty token"),
        ({"tokens": ["王", 3], "ner_tags": ["B-PER", "O"]}, "line 2: expected tokens, as in"),
        ({"tokens": ["王"], "ner_tags": [["B-PER"]]}, "line 2: expected tags, as in"),
        ({"ner_tags": ["B-PER"]}, "line 2: expected tokens, as in .* found (nothing|None)"),
        ({"tokens": ["王"], "ner_tags": ["Q-PER"]}, "line 2: unknown tag 'Q-PER'"),
    ],
)
def test_mistakes_in_lists_of_tokens(tmp_path, fields, expected):
    good = record(tokens=list("王明去北京"), ner_tags=TAGS)
    path = written(tmp_path, good + "\n" + record(**fields) + "\n", "train.json")
    with pytest.raises(UserError, match=expected):
        reader.read_file(path)


def test_lists_of_tokens_may_lack_tags(tmp_path):
    path = written(
        tmp_path, record(tokens=list("王明"), ner_tags=[]) + "\n" + record(tokens=["去"])
    )
    with pytest.raises(UserError, match="line 1: 2 tokens and 0 tags"):
        reader.read_file(path)
    path = written(tmp_path, record(tokens=list("王明")) + "\n", "test.json")
    data = reader.read_file(path)
    assert [text.text for text in data.texts] == ["王明"] and not data.has_labels


CONLLU = (
    "# sent_id = 1\n# text = 我爱北京\n"
    "1\t我\t我\tPRON\tPN\t_\t2\tnsubj\t_\tSpaceAfter=No\n"
    "2\t爱\t爱\t_\tVV\t_\t0\troot\t_\t_\n"
    "3\t北京\t北京\tPROPN\tNR\t_\t2\tobj\t_\t_\n\n"
    "# sent_id = 2\n"
    "1-2\t把它\t_\t_\t_\t_\t_\t_\t_\t_\n"
    "1\t把\t把\tADP\tBA\t_\t3\tcase\t_\t_\n"
    "2\t它\t它\tPRON\tPN\t_\t3\tobl\t_\t_\n"
    "2.1\t_\t_\t_\t_\t_\t_\t_\t_\t_\n"
    "3\t#\t#\tSYM\tPU\t_\t0\troot\t_\t_\n"
)
CONLLU_WORDS = [
    ("我爱北京", [("我", "PRON"), ("爱", "VV"), ("北京", "PROPN")]),
    ("把它#", [("把它", "ADP+PRON"), ("#", "SYM")]),
]


def without_types(texts):
    return [(text, [(word, "") for word, _ in words]) for text, words in texts]


@pytest.mark.parametrize("name", ["train.conllu", "train.txt", "train.conll"])
def test_conllu_has_parts_of_speech_or_words(tmp_path, name):
    """Regression: ids, the last column and comments were read as words of a segmentation."""
    split = read_split(tmp_path, CONLLU, "ner", name)
    assert split.file_format == "conllu"
    assert texts_and_spans([e.source for e in split.examples]) == CONLLU_WORDS
    words = read_split(tmp_path, CONLLU, "cws", name)
    assert texts_and_spans([e.source for e in words.examples]) == without_types(CONLLU_WORDS)
    assert words.notes[-1].startswith("parts of speech are not read")


def test_a_line_of_conllu_that_does_not_fit_is_named(tmp_path):
    path = written(tmp_path, CONLLU + "4\t完\t完\tVERB\n", "train.conllu")
    with pytest.raises(UserError, match="line 13: '4.t完.t完.tVERB': expected ten columns"):
        reader.read_file(path)


def test_words_of_conllu_are_predicted_text_by_text(tmp_path):
    path = written(tmp_path, CONLLU, "test.conllu")
    kind = registry.get("sequence_labelling")
    notes, examples, _ = kind.open_stream(task_of("cws", labels=tuple("BMES")), path, "utf-8")
    assert notes == ["format conllu"]
    found = [example.source for example, _ in examples]
    assert texts_and_spans(found) == without_types(CONLLU_WORDS)


PEOPLES_DAILY = (
    ARTICLE + "  [中国/ns  政府/n]nt  充满/v  信心/n  。/w\n"
    "19980101-01-001-003/m  呵呵/o  ，/w  "
    "[/w  19980101-01-001-003/m  ]/w  [上海/ns 队/n]/nt  来/v  了/u\n"
)


def test_numbers_of_articles_are_no_text(tmp_path):
    """Regression: the number of the article was read as the first word of each text."""
    split = read_split(tmp_path, PEOPLES_DAILY, "ner", overlaps="longest")
    assert texts_and_spans([e.source for e in split.examples]) == [
        (
            "中国政府充满信心。",
            [("中国政府", "nt"), ("充满", "v"), ("信心", "n"), ("。", "w")],
        ),
        (
            "呵呵，[19980101-01-001-003]上海队来了",
            [
                ("，", "w"),
                ("[", "w"),
                ("19980101-01-001-003", "m"),
                ("]", "w"),
                ("上海队", "nt"),
                ("来", "v"),
                ("了", "u"),
            ],
        ),
    ]
    nested = read_split(tmp_path, PEOPLES_DAILY, "ner", form="global_pointer").examples[0]
    assert [nested.text_a[s.start : s.end] for s in nested.label][:3] == [
        "中国",
        "中国政府",
        "政府",
    ]
    with pytest.raises(UserError, match="line 1: '中国' .* and '中国政府' .* --overlaps=longest"):
        read_split(tmp_path, PEOPLES_DAILY, "ner")


def test_words_with_parts_of_speech_are_words(tmp_path):
    """Regression: the corpus was refused for segmentation, since its words have types."""
    content = PEOPLES_DAILY * 4
    words = [s.split("/")[0] for s in "中国/ns 政府/n 充满/v 信心/n 。/w".split()]
    split = read_split(tmp_path, content, "cws")
    first, second = texts_and_spans([e.source for e in split.examples])[:2]
    assert first == ("中国政府充满信心。", [(word, "") for word in words])
    assert [word for word, _ in second[1]][:2] == ["呵呵", "，"]
    with pytest.raises(UserError, match="expected words, which have no type"):  # a file of entities
        read_split(tmp_path, "王明/nr 去/o 北京/ns 。/o\n", "cws")


@pytest.mark.parametrize(
    "content, expected",
    [
        ("[中国/ns  政府/n  充满/v\n", r"line 1: a bracket \[ without its \]"),
        ("中国/ns  政府/n]nt  充满/v\n", r"line 1: '政府/n\]nt' has no type"),
    ],
)
def test_brackets_that_are_not_closed(tmp_path, content, expected):
    with pytest.raises(UserError, match=expected):
        read_split(tmp_path, content, "ner")


def test_braces_around_entities(tmp_path):
    """Regression: files with braces were refused as invalid JSON."""
    content = (
        "{{person_name:叶老桂}}在{{location:北京}}说：好。\n今天没有。\n\n在{{location:上海}}\n"
    )
    split = read_split(tmp_path, content, "ner")
    assert split.file_format == "braces"
    assert texts_and_spans([e.source for e in split.examples]) == [
        ("叶老桂在北京说：好。", [("叶老桂", "person_name"), ("北京", "location")]),
        ("今天没有。", []),
        ("在上海", [("上海", "location")]),
    ]
    with pytest.raises(
        UserError, match=r"line 1: braces that do not mark an entity: .*\{\{location:北"
    ):
        read_split(tmp_path, "{{location:北京}}和{{上海}}\n", "ner")
    path = written(tmp_path, '{"text": "{{a:b}}", "label": {}}\n', "train.json")
    assert reader.read_file(path).texts[0].text == "{{a:b}}"


def test_numbers_before_texts_are_their_identifiers(tmp_path):
    """Regression: the number was read as text, as in the test file of CCKS's addresses."""
    path = written(tmp_path, "1\x01浙江杭州\n2\x01宁波\n3 号线\n", "test.txt")
    texts = reader.read_file(path, "text").texts
    assert [(text.text, text.identifier) for text in texts] == [
        ("浙江杭州", "1"),
        ("宁波", "2"),
        ("3 号线", None),
    ]


def test_a_folder_of_texts_and_entities_is_refused_with_a_way_out(tmp_path):
    (tmp_path / "train").mkdir()
    written(tmp_path / "train", "T1\tPER 0 2\t王明\n", "1.ann")
    with pytest.raises(
        UserError, match=r"train: a folder without .*\.ann, CCKS 2017.*\"entities\":"
    ):
        splits.read_split(task_of("ner"), str(tmp_path), "train", "utf-8")


def test_the_keys_of_a_file_without_labels_are_named(tmp_path):
    content = record(text="王明去", spo_list=[{"subject": "王明", "predicate": "去"}])
    keys = "line 1 has the keys id, text, spo_list.subject, spo_list.predicate"
    with pytest.raises(
        UserError, match="train.json: has no labels .format cluener; %s., expected" % keys
    ):
        read_split(tmp_path, content, "ner", "train.json")


@pytest.mark.parametrize("name", ["text", "entity", "mention"])
def test_the_text_of_an_entity_shows_that_its_end_is_inclusive(tmp_path, name):
    """Regression: only `text` was compared, so other entities lost their last character."""
    span = {"start": 0, "end": 1, "type": "PER", name: "王明"}
    path = written(tmp_path, record(text="王明去", entities=[span]), "train.json")
    with pytest.raises(UserError, match="line 1: PER '王明' at 0-1, where .* end is inclusive"):
        reader.read_file(path)
    span["end"] = 2
    path = written(tmp_path, record(text="王明去", entities=[span]), "train.json")
    assert texts_and_spans(reader.read_file(path).texts) == [("王明去", [("王明", "PER")])]


@pytest.mark.parametrize(
    "content, shown",
    [
        ("共同_AD 创造_VV 世纪_NN\n今天_NT 好_VA\n", "共同_AD 创造"),
        ("共同 d\n创造 v\n美好 a\n\n新 a\n世纪 n\n", "共同 d"),
        ("共同\tAD\n创造\tVV\n美好\tJJ\n\n新\tJJ\n世纪\tNN\n", "共同.tAD"),
        ("1\t坚决\t坚决\tAD\tAD\t_\n2\t惩治\t惩治\tVV\tVV\t_\n", "1.t坚决"),
        (CONLLU.replace("\t", " ").split("\n", 2)[2], "1 我 我"),
    ],
)
def test_words_with_parts_of_speech_beside_are_no_words(tmp_path, content, shown):
    """Regression: the parts of speech were read as words."""
    with pytest.raises(UserError, match="line 1: '%s.* seems to have parts of speech" % shown):
        read_split(tmp_path, content, "cws")
    named = read_split(tmp_path, content, "cws", file_format="segmented")
    assert named.examples[0].label[-1].type == ""


def test_words_that_look_like_some_with_tags_are_words(tmp_path):
    content = "我 b\n维生素 b\n卡 a\n和 c\n我们 去 吃饭\n"
    assert read_split(tmp_path, content, "cws").file_format == "segmented"
    content = "文件_A 文件 文件\n我 去 了\n"
    assert read_split(tmp_path, content, "cws").file_format == "segmented"


def test_the_keys_of_a_record_without_a_text_are_named(tmp_path):
    content = record(data={"text": "王明去"}, marks=[{"result": [{"value": {}}]}])
    path = written(tmp_path, content, "train.json")
    keys = "line 1: text is missing, found the keys id, data.text, marks.result.value: exp"
    with pytest.raises(UserError, match=keys):
        reader.read_file(path)
