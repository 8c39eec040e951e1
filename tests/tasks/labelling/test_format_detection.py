"""Formats of labelled files are detected by their first lines; unknown formats are refused."""

import pytest

from albert_zh.common.errors import UserError
from albert_zh.finetuning import flags as finetuning_flags
from albert_zh.tasks import datasets, registry
from albert_zh.tasks.labelling import format_detection, reader, splits
from albert_zh.tasks.labelling.spans import Span

NUMBERED = "科0\tO\n技1\tO\n全0\tO\n方1\tO\n位2\tO\n资0\tO\n讯1\tO\n智0\tO\n能1\tO\n，0\tO\n"
LABELS = ("O", "B-PER", "I-PER")


def written(tmp_path, content, name="train.txt"):
    (tmp_path / name).write_bytes(content.encode("utf-8"))
    return str(tmp_path / name)


def task_of(name, labels=None, **head):
    return datasets.get_task(name)._replace(labels=labels, head=head)


def read_split(tmp_path, content, task=None, name="train"):
    written(tmp_path, content, name + ".txt")
    return splits.read_split(task or task_of("ner"), str(tmp_path), name, "utf-8")


def texts_and_entities(examples):
    return [(e.text_a, [(e.text_a[s.start : s.end], s.type) for s in e.label]) for e in examples]


@pytest.mark.parametrize(
    "content",
    [
        "王,B-PER\n明,I-PER\n\n去,O\n",
        "共同  创造  美好\n的  新  世纪\n",
        "王 per\n明 per\n去 none\n",
    ],
)
def test_entities_are_not_learnt_from_words(tmp_path, content):
    first = content.split("\n")[0]
    with pytest.raises(UserError) as raised:
        read_split(tmp_path, "\n" + content)
    message = str(raised.value)
    assert message.startswith(
        "%s, line 2: %r is not in a known f" % (tmp_path / "train.txt", first)
    )
    assert "王 B-PER" in message and "--file_format=segmented" in message and "\n" not in message
    named = read_split(tmp_path, content, task_of("ner", file_format="segmented"))
    assert named.file_format == "segmented"
    if " " in content:  # lines without blanks are plain text
        assert read_split(tmp_path, content, task_of("cws")).file_format == "segmented"


def test_words_are_not_learnt_from_entities(tmp_path):
    content = "王 B-PER\n明 I-PER\n在 O\n京 B-LOC\n"
    with pytest.raises(UserError, match="train.txt: its spans have the types LOC, PER: .*=ner"):
        read_split(tmp_path, content, task_of("cws"))
    read_split(tmp_path, content.replace("PER", "W").replace("LOC", "W"), task_of("cws"))


@pytest.mark.parametrize(
    "name, content, types",
    [
        ("train.txt", "王 B\n明 I\n去 O\n", [""]),
        ("train.txt", "王 B\n明 E\n去 S\n", [""]),
        ("train.json", '{"text": "王明去", "label": [[0, 2, ""]]}\n', [""]),
        ("train.txt", "王 B-W\n明 I-W\n去 O\n", ["W"]),
    ],
)
@pytest.mark.parametrize("kind", ["sequence_labelling", "span_labelling"])
def test_spans_without_types_are_no_entities(tmp_path, name, content, types, kind):
    path = written(tmp_path, content, name)
    kind, task = registry.get(kind), task_of("ner", form="crf")
    train = kind.read_split(task, str(tmp_path), "train", "utf-8", False)
    if types == ["W"]:
        assert kind.types_of(kind.with_labels(task, train)) == types
        return
    with pytest.raises(UserError) as raised:
        kind.with_labels(task, train)
    message = str(raised.value)
    assert message.startswith(path + ": none of its spans has a type")
    assert "B-PER" in message and "--task_name=cws" in message and "\n" not in message


def test_spans_without_types_are_words_where_a_flag_names_words(tmp_path):
    content = "王 B\n小 M\n明 E\n去 S\n"
    kind = registry.get("sequence_labelling")
    for task, text in (
        (task_of("cws"), content),
        (task_of("ner", granularities=["fine"]), content),
        (task_of("ner", file_format="segmented"), "王小明 去\n"),
    ):
        written(tmp_path, text)
        train = kind.read_split(task, str(tmp_path), "train", "utf-8", False)
        assert kind.with_labels(task, train).labels == ("B", "M", "E", "S"), task.head


def test_lines_without_blanks_are_no_long_words(tmp_path):
    """Regression: lines of the bakeoff's test files have no blanks; each was scored as a word."""
    plain = "共同创造美好的新世纪\n今天，天气很好。\n"
    test = read_split(tmp_path, plain, task_of("cws"), "test")
    assert (test.file_format, test.has_labels) == ("text", False)
    assert [example.text_a for example in test.examples] == plain.split()
    with pytest.raises(UserError, match=r"train.txt: has no labels \(format text\)"):
        read_split(tmp_path, plain, task_of("cws"))
    blank = read_split(tmp_path, plain * 2 + "今天 天气很好\n", task_of("cws"), "test")
    assert (blank.file_format, blank.has_labels) == ("text", False)
    words = read_split(tmp_path, "共同\n创造\n世纪末\n", task_of("cws"))
    assert (words.file_format, words.has_labels) == ("segmented", True)


def test_tags_in_lower_case_are_no_words(tmp_path):
    """Regression: the tag b was read as a word."""
    content = "\n我 b\n们 e\n去 s\n\n北 b\n京 e\n"
    with pytest.raises(UserError) as raised:
        read_split(tmp_path, content, task_of("cws"))
    path = str(tmp_path / "train.txt")
    assert str(raised.value).startswith("%s, line 2: '我 b' seems to be a character" % path)
    assert "as in 我 B " in str(raised.value) and "\n" not in str(raised.value)
    capitals = read_split(tmp_path, content.upper(), task_of("cws"))
    assert capitals.file_format == "conll"
    named = read_split(tmp_path, content, task_of("cws", file_format="segmented"))
    assert named.file_format == "segmented"
    for words in ("我 b\n", "我 b\n维生素 b\n"):
        assert read_split(tmp_path, words, task_of("cws")).file_format == "segmented"


def test_words_are_read_where_words_are_looked_for(tmp_path):
    content = "共同  创造\n新  世纪\n"
    for task in (
        task_of("ner", labels=tuple("BMES")),
        task_of("ner", granularities=["fine"]),
        task_of("cws"),
    ):
        assert splits.format_of(task, written(tmp_path, content), "dev", "utf-8") == "segmented"
    with pytest.raises(UserError, match="is not in a known format of entities"):
        read_split(tmp_path, content, task_of("cws", LABELS), "dev")


def test_the_last_of_several_columns_is_the_tag(tmp_path):
    start = "-DOCSTART- -X- -X- O\n\n"
    content = "EU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\nPeter NNP B-NP B-PER\nB. NNP I-NP I-PER\n\n"
    split = read_split(tmp_path, start + content + start + content)
    expected = [("EU rejects", [("EU", "ORG")]), ("Peter B.", [("Peter B.", "PER")])]
    assert texts_and_entities(split.examples) == expected * 2


@pytest.mark.parametrize(
    "content",
    [
        "王\u3000B-PER\n明\u3000I-PER\n去\u3000O\n",
        "王\xa0B-PER\n明\xa0I-PER\n去\xa0O\n",
        "label\ttext_a\nB-PER I-PER O\t王 明 去\n",
    ],
)
def test_further_columns(tmp_path, content):
    split = read_split(tmp_path, content)
    assert texts_and_entities(split.examples) == [("王明去", [("王明", "PER")])]


def test_a_full_width_blank_is_a_token(tmp_path):
    data = reader.read_file(written(tmp_path, "\u3000 O\n王 B-PER\n\n  O\n明 B-PER\n"))
    assert [text.text for text in data.texts] == ["\u3000王", " 明"]
    data = reader.read_file(written(tmp_path, "王\u3000B-PER\n\u3000\u3000O\n"))
    assert data.texts[0].text == "王\u3000" and data.texts[0].spans == [Span(0, 1, "PER")]


@pytest.mark.parametrize(
    "content, line, piece",
    [
        ("我们/o 北京/ns /o\n王明/nr 去/o\n", 1, "/o"),
        ("我们 去/o\n王明/nr 去/o\n", 1, "我们"),
        ("王明/nr 去/o\n" * 9 + "好\n", 10, "好"),
    ],
)
def test_most_lines_decide_over_the_slash_form(tmp_path, content, line, piece):
    with pytest.raises(UserError, match="line %d: '%s' has no type" % (line, piece)):
        read_split(tmp_path, content)


@pytest.mark.parametrize("glued", ["当/o希望工程/nr", "王明/nr李雷/nr"])
def test_pieces_without_a_blank_between_them_are_no_entity(tmp_path, glued):
    with pytest.raises(UserError, match="line 2: '%s' also has the type .* in its middle" % glued):
        read_split(tmp_path, "我们/o 北京/ns\n%s\n" % glued)


def test_slashes_within_a_piece_are_text(tmp_path):
    data = read_split(tmp_path, "速度/o 20km/h以上/num 和/或/o\n")
    assert data.examples[0].text_a == "速度20km/h以上和/或"


@pytest.mark.parametrize(
    "content, expected",
    [
        ("A B\n我 是 中国人\n", "segmented"),
        ("我 需要\n维生素 B\n和 水\n", "segmented"),
        ("我 在 北京/km\n的 a/b 好\n", "segmented"),
        ("王 B\n明 E\n去 S\n", "conll"),
        ("王 B-PER\n明\n", "conll"),
        ("王 O\n明 K-PER\n", "conll"),
        ("王 O\n明 B-\n", "conll"),
        ("  O\n王 O\n北京 O\n京 NR O\n", "conll"),
        ("维生素 S\n很 S\n\n好\n", "conll"),
        ("-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n", "conll"),
        ("-DOCSTART- O\n\nEU NNP B-ORG\nrejects VBZ O\n", "conll"),
        ("维生素 含 B\n我们 有 O\n", "segmented"),
        ("我们 有 B-PER\n我们 去 吃饭\n", "segmented"),
        ("我们 有 B-PER\n我们 都 去 B-PER\n", "segmented"),
    ],
)
def test_most_lines_decide_over_columns(tmp_path, content, expected):
    assert format_detection.detect_format(written(tmp_path, content)) == expected


@pytest.mark.parametrize(
    "content", ["A4 B-X\npaper I-X\n的 O\n", "T5 B-X\n。 O\n", "A0 B-X\n纸 O\n"]
)
def test_words_that_end_in_digits_are_kept(tmp_path, content):
    data = reader.read_file(written(tmp_path, content))
    assert data.texts[0].text.startswith(content.split()[0])


@pytest.mark.parametrize(
    "token, expected", [("❤️0", "❤️"), ("👨‍👩‍👧0", "👨‍👩‍👧"), (" 0", " "), ("70", "7")]
)
def test_any_token_may_be_numbered(tmp_path, token, expected):
    for content in (NUMBERED + token + "\tO\n", token + "\tO\n" + NUMBERED):
        for separator in "\t ":
            data = reader.read_file(written(tmp_path, content.replace("\t", separator)))
            text = data.texts[0].text
            assert text in ("科技全方位资讯智能，" + expected, expected + "科技全方位资讯智能，")


def test_a_token_without_its_number_is_named(tmp_path):
    with pytest.raises(UserError, match="line 11: found '明', expected a character with its pos"):
        reader.read_file(written(tmp_path, NUMBERED + "明\tO\n"))


def streamed(tmp_path, content, name="test.txt", labels=LABELS, **head):
    task = task_of("ner", labels, **head)
    path = written(tmp_path, content, name)
    notes, examples, _ = registry.get("sequence_labelling").open_stream(task, path, "utf-8")
    return notes, [example for example, _ in examples]


def test_plain_texts_are_predicted(tmp_path):
    content = "王明去了北京。\n\n 他说：OK \n"
    notes, examples = streamed(tmp_path, content)
    assert [(e.text_a, e.label, e.guid) for e in examples] == [
        ("王明去了北京。", None, "test-1"),
        (" 他说：OK ", None, "test-3"),  # blanks are preserved for positions
    ]
    assert notes == ["format text", "1 empty text was skipped"]
    split = read_split(tmp_path, content, task_of("ner", LABELS), "test")
    assert split.file_format == "text" and not split.has_labels and len(split.examples) == 2
    with pytest.raises(
        UserError, match="test.txt, line 1: '王,B-PER' is not in a known format of entiti"
    ):
        streamed(tmp_path, "王,B-PER\n明,I-PER\n")
    with pytest.raises(
        UserError, match="dev.txt: has no labels .format text., expected a dev file"
    ):
        read_split(tmp_path, content, task_of("ner", LABELS, file_format="text"), "dev")


def test_blanks_that_are_taken_for_borders_of_words_are_noted(tmp_path):
    """Without a note, blanks between English words would silently change texts and scores."""
    (tmp_path / "test.txt").write_text("I love 北京\n他 说 OK\n", encoding="utf-8")
    task = task_of("cws", labels=tuple("BMES"))
    kind = registry.get("sequence_labelling")
    (note,), _, _ = kind.open_stream(task, str(tmp_path / "test.txt"), "utf-8")
    assert note.startswith("format segmented: spaces") and "--file_format=text" in note
    task = task_of("cws", labels=tuple("BMES"), file_format="segmented")
    assert kind.open_stream(task, str(tmp_path / "test.txt"), "utf-8")[0] == ["format segmented"]


def test_a_streamed_file_is_read_as_nezha_does(tmp_path):
    content = "王 B-PER\n明 I-PER\n\n去 O\n。 O\n\n李 B-PER\n雷 I-PER\n"
    notes, examples = streamed(tmp_path, content, original_reader=True)
    assert texts_and_entities(examples) == [("王明去。", [("王明", "PER")])]
    assert notes[1].startswith('2 tokens after the last "。"')
    assert len(streamed(tmp_path, content)[1]) == 3
    _, examples = streamed(tmp_path, "王\n\n。\n\n明\n", original_reader=True)
    assert [(e.text_a, e.label) for e in examples] == [("王。", None)]


def test_what_is_remarkable_in_a_streamed_file(tmp_path):
    content = "王 I-PER\n明 I-PER\n\n去 O\n李 I-PER\n"
    assert streamed(tmp_path, content)[0] == [
        "format conll",
        "tags of the scheme BIO",
        "2 entities are accepted although the first tag continues one, such as I-",
    ]
    assert streamed(tmp_path, content)[0][1:] == reader.read_file(str(tmp_path / "test.txt")).notes
    with pytest.raises(UserError, match="test.txt: has no texts"):
        streamed(tmp_path, "\n\n")
    line = '{"text": "王明", "label": {"PER": {"王明": [[0, 1]], "王": [[0, 0]]}}}\n'
    notes, _ = streamed(tmp_path, line, "test.json", overlaps="longest")
    assert notes == ["format cluener", "1 entity that overlaps a longer one was ignored"]


@pytest.mark.parametrize("kind", ["sequence_labelling", "span_labelling"])
@pytest.mark.parametrize("name", ["text_column", "text_b_column", "label_column"])
def test_columns_cannot_be_chosen(kind, name):
    """Regression: these flags were accepted, but had no effect."""
    options = finetuning_flags.of_settings("sequence_labelling", **{name: "2"})
    with pytest.raises(UserError, match="--%s: files of labelled texts have no columns" % name):
        registry.get(kind).flags.check(options)
