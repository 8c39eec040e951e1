"""Files of sentence embeddings: all formats, and the errors of files that do not fit."""

import json

import numpy as np
import pytest

from albert_zh.common import json_lists
from albert_zh.common.errors import UserError
from albert_zh.tasks import data_checks, datasets, registry
from albert_zh.tasks.embedding import (
    mixing,
    retrieval_files,
    scores,
    text_files,
    training_rows,
)
from albert_zh.tasks.embedding.flags import OBJECTIVES


def read(tmp_path, text, data_format, name="train.tsv", **options):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return text_files.read_split(str(path), "train", data_format, **options)


def test_a_list_of_objects_is_read_as_json_lines_are(tmp_path):
    records = [
        {"query": "怎么开户", "pos": ["如何开通账户"], "neg": ["天气"]},
        {"query": "几点开门", "pos": ["营业时间", "何时开门"], "neg": []},
    ]
    contents = [json.dumps(records, indent=1), "\n".join(map(json.dumps, records))]
    of_list, of_lines = (read(tmp_path, text, "positives", "train.json") for text in contents)
    assert len(of_lines.examples) == 3 and of_list.examples == of_lines.examples
    assert of_list.notes[0] == json_lists.NOTE


def rows(split):
    return [(e.text_a, e.text_b, e.label, e.negatives) for e in split.examples]


@pytest.mark.parametrize(
    "name, text",
    [
        ("a.tsv", "甲\t乙\t5\n丙\t丁\t0.5\n"),
        ("a.csv", "sentence1,sentence2,label\n甲,乙,5\n丙,丁,0.5\n"),
        ("a.tsv", "label\ttext_a\ttext_b\n5\t甲\t乙\n0.5\t丙\t丁\n"),
        (
            "a.jsonl",
            '{"sentence1": "甲", "sentence2": "乙", "score": 5}\n'
            '{"sentence1": "丙", "sentence2": "丁", "score": "0.5"}\n',
        ),
    ],
)
def test_scored_pairs(tmp_path, name, text):
    split = read(tmp_path, text, "scored", name)
    assert rows(split) == [("甲", "乙", 5.0, ()), ("丙", "丁", 0.5, ())]


@pytest.mark.parametrize(
    "name, text",
    [
        ("a.csv", "text\n甲\n乙\n"),
        ("a.csv", 'id,标准问,答案\n1,甲,"一,二"\n2,乙,三\n'),
        ("a.csv", "甲\n乙\n"),
        ("a.txt", "甲\n乙\n"),
        ("a.jsonl", '{"text": "甲"}\n{"text": "乙"}\n'),
        # Regression: the similar questions were once searched instead of the entries.
        ("a.csv", "相似问,标准问\n一,甲\n二,乙\n"),
        (
            "a.jsonl",
            '{"相似问": ["一"], "标准问": "甲"}\n{"相似问": ["二", "三"], "标准问": "乙"}\n',
        ),
        ("a.jsonl", '{"答案": "甲"}\n{"答案": "乙"}\n'),
    ],
)
def test_texts_of_a_corpus(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert text_files.read_entries(str(tmp_path / name))[0] == ["甲", "乙"]


def test_a_text_file_has_no_header_and_a_table_without_one_is_named(tmp_path):
    (tmp_path / "a.txt").write_text("text\n甲\t乙\n", encoding="utf-8")
    assert text_files.read_entries(str(tmp_path / "a.txt"))[0] == ["text", "甲\t乙"]
    (tmp_path / "a.csv").write_text("甲,乙\n丙,丁\n", encoding="utf-8")
    with pytest.raises(UserError, match="line 1: it has 2 columns, and no header names the one"):
        text_files.read_entries(str(tmp_path / "a.csv"))


def test_a_tsv_table_has_a_column_of_texts(tmp_path):
    path = tmp_path / "a.tsv"
    path.write_text("question\tanswer\n甲\t一\n乙\t二\n", encoding="utf-8")
    assert text_files.read_entries(str(path))[0] == ["甲", "乙"]
    path.write_text("甲\t一\n乙\t二\n丙\n", encoding="utf-8")
    split = text_files.read_split(str(path), "train", "texts")
    assert [e.text_a for e in split.examples] == ["甲\t一", "乙\t二", "丙"]
    assert "2 of 3 lines have tabs, but each line is treated as one text" in split.notes[0]


@pytest.mark.parametrize(
    "labels", [("entailment", "contradiction"), ("相同", "不同"), ("1", "0"), ("True", "False")]
)
def test_pairs_whose_labels_say_whether_they_are_right_are_refused(tmp_path, labels):
    rows = ["甲,乙,%s" % labels[0], "丙,丁,%s" % labels[1]]
    path = tmp_path / "a.csv"
    path.write_text("\n".join(["sentence1,sentence2,label"] + rows) + "\n", encoding="utf-8")
    with pytest.raises(UserError, match="labels .*: expected only positive pairs"):
        text_files.read_split(str(path), "train", "positives")


def test_other_labels_of_right_pairs_are_noted(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("sentence1,sentence2,label\n甲,乙,账户\n丙,丁,贷款\n", encoding="utf-8")
    split = text_files.read_split(str(path), "train", "positives")
    assert "labels (账户, 贷款) are ignored: all rows are treated as positive pairs" in split.notes
    path.write_text("sentence1,sentence2,label\n甲,乙,是\n丙,丁,是\n", encoding="utf-8")
    assert not text_files.read_split(str(path), "train", "positives").notes
    path.write_text("甲,乙,是\n丙,丁,开户\n", encoding="utf-8")  # such a word may be a text
    assert text_files.read_split(str(path), "train", "positives").examples[0].negatives == ("是",)


def test_wrong_texts_of_dev_rows_are_searched(tmp_path):
    (tmp_path / "dev.tsv").write_text("甲\t乙\t丙\t丁\n戊\t己\t乙\n", encoding="utf-8")
    kind = registry.get("sentence_retrieval")
    head = {"loss": "infonce", "dev_format": "positives", "corpus": None}
    task = datasets.get_task("sentences")._replace(head=head, objective=kind.name)
    split = kind.read_split(task, str(tmp_path), "dev", "utf-8", False)
    measured = scores.Measured(split.examples, is_retrieval=True)
    assert sorted(measured.entries) == sorted("乙己丙丁")
    assert "the 3 negatives of the rows are searched, too" in split.notes


@pytest.mark.parametrize("text", ["甲\t乙\t1\n甲\t丙\t1.0\n", "甲\t乙\t0.3\n"])
@pytest.mark.parametrize("name", ["dev", "test"])
def test_scores_that_are_all_equal_measure_nothing(tmp_path, name, text):
    (tmp_path / (name + ".tsv")).write_text(text, encoding="utf-8")
    kind = registry.get("sentence_embedding")
    head = {"loss": "cosent", "dev_format": "scored", "corpus": None}
    task = datasets.get_task("sentences")._replace(head=head, objective=kind.name)
    message = r"%s.tsv: %d rows to evaluate on, with 1 different .*--dev_format=positives"
    with pytest.raises(UserError, match=message % (name, text.count("\n"))) as error:
        kind.read_split(task, str(tmp_path), name, "utf-8", False)
    assert "\n" not in str(error.value)


def test_entries_that_are_searched_are_no_rows_of_the_file(tmp_path):
    (tmp_path / "dev.tsv").write_text("甲\t乙\n丙\t丁\n", encoding="utf-8")
    (tmp_path / "train.tsv").write_text("戊\t乙\n己\t庚\n丙\t丁\n", encoding="utf-8")
    (tmp_path / "corpus.txt").write_text("乙\n庚\n辛\n壬\n", encoding="utf-8")
    kind = registry.get("sentence_retrieval")
    head = {"loss": "infonce", "dev_format": "positives", "corpus": None}
    task = datasets.get_task("sentences")._replace(head=head, objective=kind.name)
    splits = {
        name: kind.read_split(task, str(tmp_path), name, "utf-8", False)
        for name in ("train", "dev")
    }
    lines = kind.about_data(task, splits)[0]
    assert "%s: 3 rows" % (tmp_path / "train.tsv") in lines
    assert "%s: 2 rows, 5 entries to find" % (tmp_path / "dev.tsv") in lines
    task = kind.with_labels(task, splits["train"])
    notes = "\n".join(data_checks.check(task, splits)[0])
    assert "dev has more rows than train" not in notes
    assert "warning: dev has 2 rows: " in notes
    assert "1 of 2 rows of dev are also in train" in notes
    assert "2 of 2 rows of dev (100.0 %) share a text with train" in notes


def test_what_is_left_out_of_every_file_is_noted(tmp_path):
    (tmp_path / "dev.tsv").write_text("甲\t乙\n", encoding="utf-8")
    (tmp_path / "train.tsv").write_text("甲\t乙\t丁\t戊\n丙\t丁\t乙\n\n", encoding="utf-8")
    (tmp_path / "more.tsv").write_text("己\t庚\t辛\n己\t庚\t辛\n", encoding="utf-8")
    (tmp_path / "corpus.txt").write_text("乙\n\n乙\n丁\n", encoding="utf-8")
    kind = registry.get("sentence_retrieval")
    head = {"loss": "infonce", "dev_format": "positives", "corpus": None}
    head["more_train"] = ["%s:1" % (tmp_path / "more.tsv")]
    task = datasets.get_task("sentences")._replace(head=head, objective=kind.name)
    splits = {
        name: kind.read_split(task, str(tmp_path), name, "utf-8", False)
        for name in ("train", "dev")
    }
    lines = "\n".join(kind.about_data(task, splits)[0])
    for note in (
        "train.tsv: 1 empty line was skipped",
        "more.tsv: 1 row occurs twice and is used once",
        "train.tsv: 1 row has more negatives than the row with the fewest: of each row, only the "
        "first is used",
        "corpus.txt: 1 empty line was skipped",
        "corpus.txt: 1 row occurs twice and is used once",
    ):
        assert lines.count(note) == 1


@pytest.mark.parametrize("skips", [False, True])
@pytest.mark.parametrize(
    "name, way_out", [("train", "--objective=infonce"), ("dev", "--dev_format=positives")]
)
def test_pairs_without_scores_have_a_way_out(tmp_path, name, way_out, skips):
    path = tmp_path / (name + ".tsv")
    path.write_text("甲\t乙\n丙\t丁\n", encoding="utf-8")
    with pytest.raises(
        UserError, match="for positive pairs without numbers use " + way_out
    ) as error:
        text_files.read_split(str(path), name, "scored", "utf-8", skips)
    assert "\n" not in str(error.value)


def test_rows_set_aside_that_have_one_score_measure_nothing(tmp_path):
    split = read(tmp_path, "甲\t乙\t1\n甲\t丙\t1\n丁\t戊\t0\n", "scored")
    splits = {"train": split, "dev": split._replace(name="dev", examples=split.examples[:2])}
    kind = registry.get("sentence_embedding")
    task = datasets.get_task("sentences")._replace(head={"loss": "cosent"}, objective=kind.name)
    with pytest.raises(
        UserError, match="train.tsv: 2 rows to evaluate on, with 1 different scores"
    ):
        kind.about_data(task, splits)
    assert kind.about_data(task, {"train": split})[0]


def test_labels_of_inference_are_ordered(tmp_path):
    split = read(tmp_path, "甲\t乙\tentailment\n甲\t丙\tneutral\n甲\t丁\tcontradiction\n", "scored")
    assert [example.label for example in split.examples] == [2.0, 1.0, 0.0]


def test_positives_with_wrong_texts_of_every_collection(tmp_path):
    records = [
        {"query": "甲", "pos": ["乙", "丙"], "neg": ["丁"]},
        {"origin": "戊", "entailment": "己", "contradiction": "庚"},
        {"anchor": "辛", "positive": "壬", "negative": "癸"},
    ]
    text = "".join(json.dumps(record) + "\n" for record in records)
    split = read(tmp_path, text, "positives", "a.jsonl")
    assert rows(split) == [
        ("甲", "乙", 1.0, ("丁",)),
        ("甲", "丙", 1.0, ("丁",)),
        ("戊", "己", 1.0, ("庚",)),
        ("辛", "壬", 1.0, ("癸",)),
    ]
    assert [example.group for example in split.examples] == [0, 0, 1, 2]


@pytest.mark.parametrize(
    "text, wrong",
    [
        ("甲\t乙\t丙\t丁\n", ("丙", "丁")),
        ("query\tneg\tpos\n甲\t丙\t乙\n", ("丙",)),
        ("neg\tquery\tpos\n丙\t甲\t乙\n", ("丙",)),
        ("query\tpos\tneg\tscore\n甲\t乙\t丙\t0.93\n", ("丙",)),
        ("anchor\tpositive\tnegative\tsource\n甲\t乙\t丙\tbank\n", ("丙",)),
        ("anchor\tpositive\tnegative_1\tnegative_2\n甲\t乙\t丙\t丁\n", ("丙", "丁")),
        ("query\tpos\tneg\n甲\t乙\t丙\t丁\n", ("丙", "丁")),
        ("query\tpos\tsource\n甲\t乙\tbank\n", ()),
    ],
)
def test_only_columns_of_wrong_texts_are_wrong_texts(tmp_path, text, wrong):
    assert rows(read(tmp_path, text, "positives")) == [("甲", "乙", 1.0, wrong)]


@pytest.mark.parametrize(
    "name, text",
    [
        ("a.tsv", "甲\t乙\t丙\t0.5\n丁\t戊\t己\t-2\n"),
        ("a.csv", "margin,query,pos,neg\n0.5,甲,乙,丙\n-2,丁,戊,己\n"),
        (
            "a.jsonl",
            '{"query": "甲", "pos": ["乙"], "neg": ["丙"], "label": 1, "margin": 0.5}\n'
            '{"query": "丁", "positive": "戊", "negative": "己", "score": -2}\n',
        ),
    ],
)
def test_rows_with_margins(tmp_path, name, text):
    split = read(tmp_path, text, "margins", name)
    assert rows(split) == [("甲", "乙", 1.0, ("丙",)), ("丁", "戊", 1.0, ("己",))]
    assert [(e.margin, e.target) for e in split.examples] == [(0.5, 1.0), (-2.0, 1.0)]


def test_each_wrong_text_makes_a_triplet(tmp_path):
    split = read(tmp_path, "甲\t乙\t丙\t丁\n戊\t己\t庚\n", "positives")
    found = training_rows.triplets(split.examples)
    texts = [("甲", "乙", ("丙",)), ("甲", "乙", ("丁",)), ("戊", "己", ("庚",))]
    assert [(e.text_a, e.text_b, e.negatives) for e in found] == texts
    assert [len(e.negative_groups) for e in found] == [1, 1, 1]
    objective = OBJECTIVES["triplet"]
    head = training_rows.head_of_file(split, {"loss": "triplet"}, objective)
    assert head[training_rows.NUM_NEGATIVES] == 1


def test_a_faq_groups_questions_by_their_entry(tmp_path):
    split = read(tmp_path, "question\tentry\n甲\t开户\n乙\t开户\n丙\t销户\n", "positives")
    assert [example.group for example in split.examples] == [0, 0, 1]


CORPUS = [("c1", "开户", "怎样开户"), ("c2", "", "销户"), ("c3", "", "改密码")]
QUERIES = [("q1", "开个户"), ("q2", "不用卡了")]


def write_retrieval_set(folder, lines):
    (folder / "qrels").mkdir()
    corpus = [json.dumps({"_id": key, "title": title, "text": t}) for key, title, t in CORPUS]
    (folder / "corpus.jsonl").write_text("\n".join(corpus), encoding="utf-8")
    queries = [json.dumps({"_id": key, "text": text}) for key, text in QUERIES]
    (folder / "queries.jsonl").write_text("\n".join(queries), encoding="utf-8")
    path = folder / "qrels" / "test.tsv"
    path.write_text("\n".join(["query-id\tcorpus-id\tscore"] + lines), encoding="utf-8")
    return str(path)


def test_sets_in_the_form_of_mteb(tmp_path):
    path = write_retrieval_set(tmp_path, ["q1\tc1\t1", "q1\tc2\t0", "q2\tc2\t2"])
    split = text_files.read_split(path, "test", "positives")
    assert rows(split) == [("开个户", "开户 怎样开户", 1.0, ()), ("不用卡了", "销户", 1.0, ())]
    corpus = retrieval_files.corpus_beside(path)
    assert text_files.read_entries(corpus)[0] == ["开户 怎样开户", "销户", "改密码"]
    kind, task = registry.get("sentence_retrieval"), datasets.get_task("sentences")
    task = task._replace(head={"loss": "infonce", "dev_format": "positives", "corpus": None})
    read = kind.read_split(task, str(tmp_path), "test", "utf-8", False)
    assert [e.text_a for e in read.examples if e.is_entry] == ["开户 怎样开户", "销户", "改密码"]
    assert retrieval_files.corpus_beside(str(tmp_path / "elsewhere" / "train.tsv")) is None


@pytest.mark.parametrize(
    "line, message",
    [
        ("q9\tc1\t1", "line 2: queries.jsonl has no _id 'q9'"),
        ("q1\tc9\t1", "line 2: corpus.jsonl has no _id 'c9'"),
        ("q1\tc1\tja", "line 2: the score 'ja' is not a number"),
        ("q1\tc1", "line 2: it has no score"),
        ("q1\tc1\t0", "has no valid row"),
    ],
)
def test_wrong_lines_of_qrels_are_named(tmp_path, line, message):
    path = write_retrieval_set(tmp_path, [line])
    with pytest.raises(UserError, match=message) as error:
        text_files.read_split(path, "test", "positives")
    assert "\n" not in str(error.value)


def test_a_set_is_another_one_when_any_of_its_files_is(tmp_path):
    path = write_retrieval_set(tmp_path, ["q1\tc1\t1"])
    digests = {text_files.read_split(path, "test", "positives").sha256}
    for name in ("queries.jsonl", "corpus.jsonl"):
        changed = (tmp_path / name).read_text(encoding="utf-8").replace('"text": "', '"text": "请')
        (tmp_path / name).write_text(changed, encoding="utf-8")
        digests.add(text_files.read_split(path, "test", "positives").sha256)
    kind, task = registry.get("sentence_retrieval"), datasets.get_task("sentences")
    task = task._replace(head={"loss": "infonce", "dev_format": "positives", "corpus": None})
    for entries in ("开户\n销户\n", "开户\n改名\n"):
        (tmp_path / "corpus.txt").write_text(entries, encoding="utf-8")
        digests.add(kind.read_split(task, str(tmp_path), "test", "utf-8", False).sha256)
    assert len(digests) == 5


@pytest.mark.parametrize(
    "name, record, message",
    [
        ("queries.jsonl", '{"_id": "q1", "text": "另一个"}', "line 3: another text for _id 'q1'"),
        ("corpus.jsonl", '{"_id": "c2", "text": "另一个"}', "line 4: another text for _id 'c2'"),
        ("queries.jsonl", '{"_id": "q3", "text": ""}', "queries.jsonl has no text for _id 'q3'"),
    ],
)
def test_records_of_a_set_that_do_not_fit_are_named(tmp_path, name, record, message):
    path = write_retrieval_set(tmp_path, ["q3\tc1\t1"])
    with open(str(tmp_path / name), "a", encoding="utf-8") as handle:
        handle.write("\n" + record + "\n")
    with pytest.raises(UserError, match=message):
        text_files.read_split(path, "test", "positives")


def test_qrels_alone_are_refused(tmp_path):
    with pytest.raises(
        UserError, match="there is no queries.jsonl next to it or in the parent folder"
    ):
        read(tmp_path, "query-id\tcorpus-id\tscore\nq1\tc1\t1\n", "positives")


def test_empty_lines_and_double_rows_are_left_out_and_counted(tmp_path):
    split = read(tmp_path, "甲\n\n乙\n甲\n", "texts", "a.txt")
    assert [example.text_a for example in split.examples] == ["甲", "乙"]
    assert split.notes == [
        "1 empty line was skipped",
        "1 row occurs twice and is used once",
    ]


@pytest.mark.parametrize("name", ["dev", "test"])
def test_scores_are_those_of_all_rows_of_a_file(tmp_path, name):
    """Regression: repeated rows were dropped, so that metrics and test_cosines.tsv lacked them."""
    path = tmp_path / "a.tsv"
    path.write_text("甲\t乙\t3\n甲\t丙\t2\n甲\t丁\t1\n甲\t丁\t1\n甲\t丁\t1\n", encoding="utf-8")
    split = text_files.read_split(str(path), name, "scored")
    assert [example.text_b for example in split.examples] == list("乙丙丁丁丁") and not split.notes
    train = text_files.read_split(str(path), "train", "scored")
    assert [example.text_b for example in train.examples] == list("乙丙丁")
    angles = {"甲": 0.0, "乙": 0.1, "丙": 0.3, "丁": 0.2}
    similarity = scores.VectorSimilarity(
        {text: np.array([np.cos(angle), np.sin(angle)]) for text, angle in angles.items()}
    )
    measured = scores.Measured(split.examples, is_retrieval=False).scores(similarity)
    # The ranks are 5 4 2 2 2 and 5 1 3 3 3; without the repeated rows the result would be 0.5.
    assert measured["spearman"] == pytest.approx(0.25)


@pytest.mark.parametrize(
    "text, data_format, message",
    [
        ("甲\t乙\tsehr\n", "scored", "line 1: the score 'sehr' is not a number"),
        ("甲\t乙\tnan\n", "scored", "line 1: the score 'nan' is not a number"),
        ("甲\t乙\n", "scored", "line 1: it has no score"),
        ("甲\t\t1\n", "scored", "line 1: the second text is empty"),
        ("甲\n", "positives", "line 1: the second text is empty"),
        ("甲\t乙\t丙\n", "margins", "line 1: it has no margin.*without margins, --scoring_class"),
        ("甲\t乙\t\t1\n", "margins", "line 1: it has 0 negatives, expected one"),
        ("甲\t乙\t丙\tentailment\n", "margins", "line 1: the margin 'entailment' is not a number"),
        ("甲\t乙\t丙\t9.5\n", "margins", "line 1: the margin 9.5 is not a difference of cosines"),
        ("1-0||甲||乙||5\n1-1||丙||丁||3\n", "scored", r"one column and '\|\|'.* put tabs there"),
        ("甲||乙\n丙||丁\n", "pairs", r"second text is empty.*'\|\|' in it.* put tabs there"),
        ("甲 乙\n丙 丁\n", "positives", "has one column and ' ' in it.* put tabs there"),
        (
            "甲，乙\n丙\t丁\n戊\t己\n",
            "positives",
            r"text<tab>positive, optionally <tab>negatives, or",
        ),
        ("\n \n", "texts", "is empty: expected one text per line"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, text, data_format, message):
    with pytest.raises(UserError, match=message) as error:
        read(tmp_path, text, data_format)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "row, data_format, message",
    [
        ({"text_a": [], "text_b": "乙", "score": 1}, "scored", "line 1: the first text is empty"),
        ({"query": "甲", "pos": [], "neg": ["乙"]}, "positives", "line 1: the second text is em"),
        ({"query": "甲", "pos": None}, "positives", "line 1: the second text is empty"),
        (
            {"query": "甲", "pos": "乙", "neg": [5]},
            "positives",
            "the negative text is not a string: 5",
        ),
        ({"query": "甲", "pos": 5}, "positives", "line 1: the second text is not a string: 5"),
        ({"text_a": "甲", "text_b": "乙", "score": []}, "scored", "line 1: it has no score"),
        ({"text_a": "甲", "text_b": "乙", "score": [{}]}, "scored", "the score {} is not a number"),
    ],
)
def test_values_of_json_that_do_not_fit_are_named(tmp_path, row, data_format, message):
    text = json.dumps(row) + "\n" + json.dumps({"text_a": "丙", "text_b": "丁", "score": 2})
    with pytest.raises(UserError, match=message) as error:
        read(tmp_path, text, data_format, "a.jsonl")
    assert "\n" not in str(error.value)


UNREAD = "%s are ignored: a classifier scores the pairs"


@pytest.mark.parametrize(
    "name, text, note",
    [
        (
            "a.tsv",
            "甲\t乙\t0\n甲\t丙\t1\n",
            "the values after the two texts (0, 1) are ignored: a classifier scores the pairs",
        ),
        ("a.tsv", "label\ttext_a\ttext_b\n0\t甲\t乙\n1\t甲\t丙\n", UNREAD % "labels (0, 1)"),
        (
            "a.jsonl",
            '{"sentence1": "甲", "sentence2": "乙", "label": "entailment"}\n'
            '{"sentence1": "甲", "sentence2": "丙", "label": "neutral"}\n',
            UNREAD % "labels (entailment, neutral)",
        ),
        ("a.tsv", "甲\t乙\n甲\t丙\n", None),
    ],
)
def test_labels_of_pairs_that_are_scored_later_are_left_unread(tmp_path, name, text, note):
    split = read(tmp_path, text, "pairs", name)
    assert rows(split) == [("甲", "乙", 1.0, ()), ("甲", "丙", 1.0, ())]
    assert [n for n in split.notes if "are ignored" in n] == [note] * bool(note)


@pytest.mark.parametrize(
    "text, message",
    [
        ("1\t甲\t乙\n0\t甲\t丙\n0\t丁\t丙\n", "column 1 contains only numbers.*are they labels"),
        ("1\t甲\t乙\n2\t甲\t丙\n", "column 1 has a different number in each row: an id"),
    ],
)
def test_columns_before_pairs_that_are_scored_later_are_refused(tmp_path, text, message):
    with pytest.raises(UserError, match=message) as error:
        read(tmp_path, text, "pairs")
    assert "\n" not in str(error.value)


def test_of_texts_alone_the_objective_that_learns_them_is_named(tmp_path):
    for data_format in ("scored", "pairs", "positives"):
        with pytest.raises(UserError, match="; for single texts use --objective=simcse"):
            read(tmp_path, "今天\n明天\n", data_format)
        with pytest.raises(UserError) as error:
            read(tmp_path, "今天\n明天\t\n", data_format)
        assert "simcse" not in str(error.value)


def test_nothing_in_place_of_wrong_texts_is_none(tmp_path):
    records = [{"query": "甲", "pos": "乙", "neg": wrong} for wrong in (None, [], ["", None])]
    for record in records:
        split = read(tmp_path, json.dumps(record), "positives", "a.jsonl")
        assert rows(split) == [("甲", "乙", 1.0, ())]


def test_bad_rows_may_be_skipped(tmp_path):
    split = read(tmp_path, "甲\t乙\tx\n甲\t丙\t1\n", "scored", skip_bad_rows=True)
    assert rows(split) == [("甲", "丙", 1.0, ())]
    assert split.notes == ["1 invalid row was skipped"]


def test_weights_say_how_often_rows_occur():
    assert sorted(mixing.repeated(list("abcd"), 2.5, seed=1)) == sorted(
        list("aabbccdd") + mixing.repeated(list("abcd"), 0.5, seed=1)
    )
    assert mixing.weighted_files(["a:b.tsv:0.5"]) == [("a:b.tsv", 0.5)]
    for wrong in ("a.tsv", "a.tsv:0", "a.tsv:x", ":1"):
        with pytest.raises(UserError, match="expected FILE:WEIGHT"):
            mixing.weighted_files([wrong])


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("a.tsv", "甲\t乙\t1\n丙\t丁\t0\n", r"numbers in column 3 \(0, 1\): .*--objective=cosent"),
        ("a.tsv", "甲\t乙\t是\n丙\t丁\t否\n", r"labels in column 3 \(否, 是\): .*=cosent"),
        ("a.tsv", "甲\t乙\tYes\n丙\t丁\tno \n", r"labels in column 3 \(Yes, no\): .*=cosent"),
        (
            "a.csv",
            "text_a,text_b,label\n甲,乙,1\n丙,丁,0\n",
            r"labels \(0, 1\): expected only positive pairs",
        ),
        (
            "a.jsonl",
            '{"sentence1": "甲", "sentence2": "乙", "label": 0}\n'
            '{"sentence1": "丙", "sentence2": "丁", "label": 1}\n',
            r"labels \(0, 1\)",
        ),
        ("a.tsv", "1\t甲\t乙\n2\t丙\t丁\n", "column 1 has a different number in each row: an id"),
    ],
)
def test_labelled_pairs_and_ids_are_no_right_pairs(tmp_path, name, text, message):
    with pytest.raises(UserError, match=message):
        read(tmp_path, text, "positives", name)


@pytest.mark.parametrize("number", ["%d", "1%04d", "Q%03d", "faq-%d"])
@pytest.mark.parametrize(
    "data_format, row, expected",
    [
        ("positives", "问{0}\t答{0}", ("问3", "答3", 1.0, ())),
        ("positives", "问{0}\t答{0}\t错{0}", ("问3", "答3", 1.0, ("错3",))),
        ("pairs", "问{0}\t答{0}", ("问3", "答3", 1.0, ())),
        ("scored", "问{0}\t答{0}\t0.{0}", ("问3", "答3", 0.3, ())),
        ("margins", "问{0}\t答{0}\t错{0}\t0.{0}", ("问3", "答3", 1.0, ("错3",))),
    ],
)
def test_a_first_column_of_ids_is_no_text(tmp_path, number, data_format, row, expected):
    """Regression: ids were once trained on as texts, with the questions as their positives."""
    lines = [number % n + "\t" + row.format(n) + "\n" for n in range(6)]
    split = read(tmp_path, "".join(lines), data_format)
    assert rows(split)[3] == expected and len(split.examples) == 6
    assert "column 1 has a different number in each row: it is ignored as an id" in split.notes


@pytest.mark.parametrize("header", ["", "编号\t内容一\t内容二\n"])
def test_ids_before_one_text_or_below_an_unknown_header_are_refused(tmp_path, header):
    lines = ["%d\t问%d%s\n" % (n, n, "\t答" * bool(header)) for n in range(6)]
    with pytest.raises(UserError, match="an id. Name the columns in line 1, as id, text_a, text_b"):
        read(tmp_path, header + "".join(lines), "positives")


def test_numbers_that_are_questions_stay_texts(tmp_path):
    lines = "10086\t客服电话\n10010\t客服热线\n怎么开户\t开通账户\n九点\t营业\n几点\t营业\n"
    assert rows(read(tmp_path, lines, "positives"))[0] == ("10086", "客服电话", 1.0, ())


@pytest.mark.parametrize("name", "答案 回答 回复 reply response".split())
def test_answers_are_known_by_their_names(tmp_path, name):
    """Regression: below 序号, 问题, 答案 numbers were read as texts and answers as negatives."""
    text = "序号,问题,%s\n" % name + "".join("%d,问%d,答%d\n" % (n, n, n) for n in range(6))
    split = read(tmp_path, text, "positives", "a.csv")
    assert rows(split)[0] == ("问0", "答0", 1.0, ()) and len(split.examples) == 6
    assert split.notes == ["columns that are not used: 序号"]
    labelled = "title,reply,is_best\n" + "".join("问%d,答%d,%d\n" % (n, n, n % 2) for n in range(6))
    with pytest.raises(UserError, match=r"labels \(0, 1\): expected only positive pairs"):
        read(tmp_path, labelled, "positives", "a.csv")


def test_labels_that_are_all_alike_and_categories_are_left_aside(tmp_path):
    for last in ("1\n丙,丁,1\n", "开户\n丙,丁,转账\n"):
        split = read(tmp_path, "text_a,text_b,label\n甲,乙," + last, "positives", "a.csv")
        assert rows(split) == [("甲", "乙", 1.0, ()), ("丙", "丁", 1.0, ())]


def test_wrong_texts_that_may_be_categories_are_noted(tmp_path):
    lines = ["问%d\t答%d\t%s\n" % (n, n, "账户转账"[n % 2 * 2 :][:2]) for n in range(20)]
    (note,) = read(tmp_path, "".join(lines), "positives").notes
    assert note.startswith("the values after the positives (账户, 转账) are treated as negatives")
    answers = ["问%d\t答%d\t答%d\n" % (n, n, n % 2 + 5) for n in range(20) if n not in (5, 6)]
    assert not read(tmp_path, "".join(answers) + "问5\t答5\n", "positives").notes


def test_a_first_row_like_a_header_is_noted(tmp_path):
    (note,) = read(tmp_path, "客户问题,标准句子\n甲,乙\n", "positives", "a.csv").notes
    assert note.startswith("line 1 is treated as a row (客户问题 | 标准句子): if it is a header")
    known = read(tmp_path, "用户问题,标准问题\n甲,乙\n", "positives", "a.csv")
    assert rows(known) == [("甲", "乙", 1.0, ())] and not known.notes
    of_keys = read(tmp_path, '{"question": "甲", "answer": "乙"}\n', "positives", "a.jsonl")
    assert rows(of_keys) == [("甲", "乙", 1.0, ())] and not of_keys.notes  # JSON has no header


@pytest.mark.parametrize(
    "content, note",
    [
        ("q,a,score\n甲,乙,0.5\n丙,丁,1\n", "q and a"),
        ("句甲,句乙,相关度\n甲,乙,0.5\n丙,丁,1\n", "句甲 and 句乙"),
        ("label,x,y\n0.5,甲,乙\n1,丙,丁\n", "x and y"),
    ],
)
def test_texts_beside_a_score_may_have_any_names(tmp_path, content, note):
    """Regression: the header was read as a row without a valid score, or with "score" as a text."""
    split = read(tmp_path, content, "scored", "a.csv")
    assert rows(split) == [("甲", "乙", 0.5, ()), ("丙", "丁", 1.0, ())]
    assert split.notes == ["texts are read from the columns " + note]
    with pytest.raises(UserError, match="labels"):
        read(tmp_path, content, "positives", "a.csv")


@pytest.mark.parametrize(
    "header", ["id,text,label", "id,说法,label", "编号,说法,label", "text,source,label"]
)
def test_what_stands_beside_a_score_and_is_no_text_is_refused(tmp_path, header):
    lines = ["%d,问题%d,%d\n" % (n, n, n % 2) for n in range(6)]
    with pytest.raises(UserError, match="a.csv"):
        read(tmp_path, header + "\n" + "".join(lines), "scored", "a.csv")


def test_names_that_count_from_zero(tmp_path):
    """Regression: the header of SimCSE's inference triplets was read as their first row."""
    content = "sent0,sent1,hard_neg\n怎么开户,如何开户,天气\n几点开门,何时开门,下雨\n"
    assert rows(read(tmp_path, content, "positives", "train.csv")) == [
        ("怎么开户", "如何开户", 1.0, ("天气",)),
        ("几点开门", "何时开门", 1.0, ("下雨",)),
    ]


@pytest.mark.parametrize(
    "content, place",
    [
        ("qid\tpid\n7\t3\n8\t4\n", ", line 1: a header of ids .qid, pid.: expected texts"),
        ("query_id\tpos_id\tneg_id\n7\t3\t4\n", ", line 1: a header of ids .query_id, pos_id, neg"),
        (
            "".join("%d\t%d\t%d\n" % (n, n + 10, n + 20) for n in range(9)),
            ": its texts are numbers",
        ),
    ],
)
def test_ids_are_no_texts(tmp_path, content, place):
    """Regression: of three columns of ids, the second and third were read as pairs of texts."""
    with pytest.raises(UserError, match="train.tsv%s.* query-id, corpus-id, score$" % place):
        read(tmp_path, content, "positives")


@pytest.mark.parametrize("second", ["title", "passage", "content"])
def test_a_question_stands_with_what_answers_it(tmp_path, second):
    """Regression: as both names mean a first text, headers became rows and JSON was refused."""
    expected = [("怎么开户", "如何开户", 1.0, ()), ("几点开门", "何时开门", 1.0, ())]
    table = "%s\tquery\n如何开户\t怎么开户\n何时开门\t几点开门\n" % second
    assert rows(read(tmp_path, table, "positives")) == expected
    records = [{"query": row[0], second: row[1], "id": "1"} for row in expected]
    content = "\n".join(json.dumps(record, ensure_ascii=False) for record in records)
    assert rows(read(tmp_path, content, "positives", "train.jsonl")) == expected


def test_a_title_is_the_text_of_a_corpus(tmp_path):
    content = json.dumps({"query": "问", "title": "题"})
    assert rows(read(tmp_path, content, "texts", "corpus.jsonl"))[0][0] == "题"


def test_all_similar_questions_of_an_entry_are_rows(tmp_path):
    """Regression: only the first of a list was read; columns of unknown names became negatives."""
    expected = [("甲", "标", 1.0, ()), ("乙", "标", 1.0, ()), ("丙", "准", 1.0, ())]
    faq = [{"标准问": "标", "相似问": ["甲", "", "乙"]}, {"标准问": "准", "相似问": ["丙"]}]
    of_lists = read(tmp_path, "\n".join(map(json.dumps, faq)), "positives", "a.jsonl")
    assert rows(of_lists) == expected and not of_lists.notes
    assert [e.group for e in of_lists.examples] == [0, 0, 1]
    for question in ("标准问", "问题"):
        for similar in ("相似问1,相似问2", "相似问,相似问2", "相似问,相似问"):
            table = "%s,%s\n标,甲,乙\n准,丙,\n" % (question, similar)
            of_columns = read(tmp_path, table, "positives", "a.csv")
            assert rows(of_columns) == expected and not of_columns.notes
    with pytest.raises(UserError, match="line 1: it has 2 first texts, expected one"):
        row = {"相似问": ["甲", "乙"], "标准问": "标", "score": 1}
        read(tmp_path, json.dumps(row), "scored", "a.jsonl")


@pytest.mark.parametrize(
    "wrong",
    [
        {"hard_negatives": ["戊", "己"]},
        {"negative_1": "戊", "negative_2": "己"},
        {"negs": ["戊", "己"]},
        {"负例": ["戊", "己"]},
    ],
)
def test_wrong_texts_of_json_by_other_names(tmp_path, wrong):
    """Regression: negatives with these names were once ignored without a note."""
    record = dict({"query": "甲", "pos": ["乙"]}, **wrong)
    split = read(tmp_path, json.dumps(record), "positives", "a.jsonl")
    assert rows(split) == [("甲", "乙", 1.0, ("戊", "己"))] and not split.notes


def test_keys_of_json_that_are_not_read_are_noted(tmp_path):
    lines = [{"query": "甲", "pos": ["乙"], "neg_docs": ["丙"]}, {"query": "丁", "pos": ["戊"]}]
    split = read(tmp_path, "\n".join(map(json.dumps, lines)), "positives", "a.jsonl")
    assert split.notes == ["keys that are not used: neg_docs"]


def test_a_first_row_with_a_known_name_is_noted(tmp_path):
    (note,) = read(tmp_path, "query\tpos_doc\tneg_doc\n甲\t乙\t丙\n", "positives").notes
    assert note.startswith("line 1 is treated as a row (query | pos_doc | neg_doc): if it is")
    table = "问题\t正例\t负例\n甲\t乙\t丙\n"
    assert rows(read(tmp_path, table, "positives")) == [("甲", "乙", 1.0, ("丙",))]
    table = "句子1\t句子2\t分数\n甲\t乙\t3\n"
    assert rows(read(tmp_path, table, "scored")) == [("甲", "乙", 3.0, ())]


def test_cells_that_may_hold_several_texts_are_noted(tmp_path):
    table = "标准问\t相似问\n标\t甲|乙\n准\t丙||丁\n"
    (note,) = read(tmp_path, table, "positives").notes
    assert note.startswith("2 of 2 rows have '|' in a text, and are treated as one text each")
    assert not read(tmp_path, "甲|乙\t丙\n丁\t戊\n己\t庚\n", "positives").notes
