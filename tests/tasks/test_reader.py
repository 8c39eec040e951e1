"""Reading the files of tasks: forms, headers, bad rows, the user's own data, whole data sets."""

import hashlib
import json
import os
import re
import subprocess

import pytest

from albert_zh.common import json_lists
from albert_zh.common.errors import UserError
from albert_zh.tasks import datasets, input_examples, registry
from albert_zh.tasks import reader as task_reader
from albert_zh.tasks.labelling import splits
from albert_zh.tasks.tables import own_labels, rows

LCQMC = datasets.TASKS["lcqmc"]


def read(tmp_path, content, name="train", task=LCQMC, **settings):
    if isinstance(content, str):
        content = content.encode("utf-8")
    (tmp_path / task.files[name]).write_bytes(content)
    return task_reader.read_split(task, str(tmp_path), name, **settings)


def rows_of(split):
    return [(e.text_a, e.text_b, e.label) for e in split.examples]


@pytest.mark.parametrize(
    "content",
    [
        "甲\t乙\t1\n丙\t丁\t0\n",
        "甲\t乙\t1\r\n丙\t丁\t0\r\n",
        "\ufeff甲\t乙\t1\n丙\t丁\t0",
        "text_a\ttext_b\tlabel\n甲\t乙\t1\n丙\t丁\t0\n",
        "句子\t句子二\t标签\n甲\t乙\t1\n丙\t丁\t0\n",
        "甲\t乙\t1\n\n丙\t丁\t 0 \n\n",
    ],
)
def test_line_ends_marks_headers_and_blank_lines(tmp_path, content):
    split = read(tmp_path, content)
    assert rows_of(split) == [("甲", "乙", "1"), ("丙", "丁", "0")]
    assert any("header" in note for note in split.notes) == (
        "text_a" in content or "标签" in content
    )


def test_blank_lines_are_counted(tmp_path):
    split = read(tmp_path, "甲\t乙\t1\n\n \n丙\t丁\t0\n")
    assert len(split.examples) == 2 and split.notes == ["2 blank lines were skipped"]


def test_quotes_and_line_separators_are_literal(tmp_path):
    split = read(tmp_path, '"甲\t乙"\u2028\x0b"\t1\n')
    assert rows_of(split) == [('"甲', '乙"\u2028\x0b"', "1")]


def test_sentence_pair_has_its_label_first(tmp_path):
    split = read(tmp_path, "1\t甲\t乙\n", task=datasets.TASKS["sentence_pair"])
    assert rows_of(split) == [("甲", "乙", "1")]


@pytest.mark.parametrize("header", ["", "sentence1\tsentence2\n", "句子1\t句子2\n", "Q1\tQ2\n"])
def test_test_file_without_labels(tmp_path, header):
    split = read(tmp_path, header + "甲\t乙\n丙\t丁\n", name="test")
    assert rows_of(split) == [("甲", "乙", None), ("丙", "丁", None)]
    assert not split.has_labels


@pytest.mark.parametrize(
    "content, words",
    [
        ("", ["train.txt is empty"]),
        ("\n \n", ["train.txt is empty"]),
        ("text_a\ttext_b\tlabel\n", ["has no rows"]),
        ("甲\t乙\t1\n丙\t丁\n", ["line 2", "2 columns, expected 3", "skip_bad_rows"]),
        ("甲 乙 1\n", ["line 1", "1 column,", "text_a<tab>text_b<tab>label"]),
        ("甲\t乙\t1\n丙\t丁\t2\n", ["line 2", "unknown label '2'", "expected one of 0, 1"]),
        ("甲\t乙\t2\n丙\t丁\t1\n", ["line 1", "unknown label '2'"]),
        ("甲\t乙\t1\n丙\t丁\t\n", ["line 2", "unknown label ''"]),
        ("甲\t乙\t\t1\n", ["4 columns, expected 3"]),
        ("甲\t乙\t一\n丙\t丁\t0\n", ["line 1", "'一'", "is a header, name its columns text_a,"]),
        ("甲\t乙\t1\r丙\t丁\t0\r", ["lines end with CR only", "save it"]),
        pytest.param("x" * 1000000 + "\n", ["line 1", "1 column,"], id="a million characters"),
        pytest.param(bytes(bytearray(range(256))) * 20, ["not UTF-8"], id="not UTF-8"),
        ("甲乙丙的题目\t乙丙丁的内容\t1\n".encode("gbk"), ["GBK", "--encoding=gb18030"]),
    ],
)
def test_bad_files_are_one_short_line(tmp_path, content, words):
    with pytest.raises(UserError) as caught:
        read(tmp_path, content)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 600
    for word in words + ["train.txt"]:
        assert word in message


def test_missing_folder_and_file_are_named(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        task_reader.read_split(LCQMC, str(tmp_path / "none"), "train")
    with pytest.raises(UserError, match="dev.txt"):
        task_reader.read_split(LCQMC, str(tmp_path), "dev")


def test_bad_rows_are_left_out_and_counted_when_asked(tmp_path):
    split = read(tmp_path, "甲\t乙\t1\n丙\t丁\n戊\t己\t7\n", skip_bad_rows=True)
    assert rows_of(split) == [("甲", "乙", "1")]
    assert "skipped 2 of 3 rows" in split.notes[0]


def test_gbk_file_is_read_with_its_encoding(tmp_path):
    split = read(tmp_path, "甲\t乙\t1\n".encode("gbk"), encoding="gb18030")
    assert rows_of(split) == [("甲", "乙", "1")]


def test_remarkable_texts_are_kept_and_counted(tmp_path):
    split = read(tmp_path, "甲\t \t1\n\t丁\t0\n戊\0\t己\t1\n")
    assert len(split.examples) == 3
    assert "2 rows have an empty text (first: line 1)" in split.notes
    assert "1 row has NUL bytes, which the tokenizer drops (first: line 3)" in split.notes


def test_unknown_task_names_the_known_ones():
    with pytest.raises(UserError, match="'lcqcm'.*iflytek, lcqmc, lcqmc_pair"):
        datasets.get_task("lcqcm")
    assert datasets.get_task("LCQMC") is LCQMC


@pytest.mark.newest
def test_whole_data_sets_read(shared):
    """Row counts are those stated in the README of the data."""
    counts = {("lcqmc", "dev"): 8802, ("lcqmc", "test"): 12500, ("afqmc", "train"): 34334}
    counts.update({("afqmc", "dev"): 4316, ("afqmc", "test"): 3861})
    for (folder, name), count in counts.items():
        split = task_reader.read_split(LCQMC, os.path.join(shared, "data", folder), name)
        assert len(split.examples) == count, (folder, name)
        assert split.has_labels == ((folder, name) != ("afqmc", "test"))


# Known tasks: a few rows in the format of the original files

LABELLED = {
    ("tnews", "train.json"): (
        '{"label": "102", "label_desc": "news_entertainment", "sentence": "甲", "keywords": ""}',
        ("甲", None, "102"),
    ),
    ("tnews", "train.tsv"): ("甲\tnews_entertainment", ("甲", None, "102")),
    ("iflytek", "train.json"): (
        '{"label": "11", "label_des": "薅羊毛", "sentence": "甲"}',
        ("甲", None, "11"),
    ),
    ("afqmc", "train.json"): (
        '{"sentence1": "甲", "sentence2": "乙", "label": "0"}',
        ("甲", "乙", "0"),
    ),
    ("cmnli", "train.json"): (
        '{"sentence1": "甲", "sentence2": "乙", "label": "neutral"}',
        ("甲", "乙", "neutral"),
    ),
    ("csl", "train.json"): (
        '{"id": 1, "abst": "乙", "keyword": ["水", "火"], "label": "1"}',
        ("水 火", "乙", "1"),
    ),
    ("wsc", "train.json"): (
        '{"target": {"span2_index": 4, "span1_index": 0, "span1_text": "小明", '
        '"span2_text": "他"}, "idx": 0, "label": "true", "text": "小明说了他饿"}',
        ("_小明_说了[他]饿", None, "true"),
    ),
    ("xnli", "train.json"): (
        '{"premise": "甲", "hypo": "乙", "label": "entailment"}',
        ("甲", "乙", "entailment"),
    ),
    ("xnli", "multinli/multinli.train.zh.tsv"): (
        "premise\thypo\tlabel\n甲\t乙\tcontradictory",
        ("甲", "乙", "contradiction"),
    ),
    ("xnli", "train.tsv"): ("text_a\ttext_b\tlabel\n甲\t乙\tneutral", ("甲", "乙", "neutral")),
    ("chnsenticorp", "train.tsv"): ("label\ttext_a\n1\t甲", ("甲", None, "1")),
    ("cola", "train.tsv"): ("gj04\t0\t*\t甲", ("甲", None, "0")),
    ("mnli", "train.tsv"): (
        "index\tpromptID\tgenre\tsentence1_parse\tsentence1\tsentence2\tlabel1\tgold_label\n"
        "0\t1\tfiction\t( a )\t甲\t乙\tneutral\tneutral",
        ("甲", "乙", "neutral"),
    ),
    ("mrpc", "train.tsv"): (
        "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t70\t71\t甲\t乙",
        ("甲", "乙", "1"),
    ),
}


@pytest.mark.parametrize("task, name", sorted(LABELLED))
def test_known_tasks_in_their_true_format(tmp_path, task, name):
    content, expected = LABELLED[task, name]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(content + "\n", encoding="utf-8")
    split = task_reader.read_split(datasets.get_task(task), str(tmp_path), "train")
    assert rows_of(split) == [expected]


@pytest.mark.parametrize(
    "task, name, content, expected",
    [
        ("tnews", "test.json", '{"id": 7, "sentence": "甲"}', [("甲", None)]),
        ("csl", "test.json", '{"id": 7, "abst": "乙", "keyword": ["水"]}', [("水", "乙")]),
        ("cmnli", "test.json", '{"id": 7, "sentence1": "甲", "sentence2": "乙"}', [("甲", "乙")]),
        ("afqmc", "test.json", '{"id": 7, "sentence1": "甲", "sentence2": "乙"}', [("甲", "乙")]),
        (
            "mrpc",
            "test.tsv",
            "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t1\t2\t甲\t乙",
            [("甲", "乙")],
        ),
        ("cola", "test.tsv", "index\tsentence\n0\t甲", [("甲", None)]),
        ("iflytek", "test.json", '{"id": 7, "sentence": "甲", "label": "-1"}', [("甲", None)]),
    ],
)
def test_files_without_labels(tmp_path, task, name, content, expected):
    (tmp_path / name).write_text(content + "\n", encoding="utf-8")
    split = task_reader.read_split(datasets.get_task(task), str(tmp_path), "test")
    assert [(e.text_a, e.text_b) for e in split.examples] == expected
    assert not split.has_labels and split.examples[0].label is None
    assert split.examples[0].row_id == (7 if name.endswith("json") else None)


def test_copa_is_two_examples_a_line(tmp_path):
    row = (
        '{"label": %d, "choice0": "甲", "choice1": "乙", "premise": "丙", '
        '"question": "%s", "idx": 3}\n'
    )
    content = row % (1, "effect") + row % (0, "cause")
    (tmp_path / "train.json").write_text(content, encoding="utf-8")
    split = task_reader.read_split(datasets.get_task("copa"), str(tmp_path), "train")
    assert rows_of(split) == [
        ("丙", "甲", "0"),
        ("丙", "乙", "1"),
        ("甲", "丙", "1"),
        ("乙", "丙", "0"),
    ]


def test_rows_that_a_task_drops_are_counted(tmp_path):
    rows = [("甲", "-"), ("乙", "neutral")]
    content = "".join('{"sentence1": "%s", "sentence2": "丁", "label": "%s"}\n' % r for r in rows)
    (tmp_path / "train.json").write_text(content, encoding="utf-8")
    split = task_reader.read_split(datasets.get_task("cmnli"), str(tmp_path), "train")
    assert rows_of(split) == [("乙", "丁", "neutral")]
    assert "1 row was skipped, as usual for this task" in split.notes
    header = "language\tgold_label\tsentence1\tsentence2\n"
    content = header + "en\tneutral\ta\tb\nzh\tneutral\t甲\t乙\n"
    (tmp_path / "xnli.dev.tsv").write_text(content, encoding="utf-8")
    split = task_reader.read_split(datasets.get_task("xnli"), str(tmp_path), "dev")
    assert rows_of(split) == [("甲", "乙", "neutral")]
    task = datasets.get_task("xnli")
    notes, examples = stream_of(tmp_path, task, content, name="xnli.test.tsv")[:2]
    assert [(e.text_a, e.label) for e in examples] == [("甲", "neutral")]
    assert "1 row was skipped, as usual for this task" in notes
    content = "gold_label\tsentence1\tsentence2\n-\ta\tb\nneutral\t甲\t乙\n"
    (tmp_path / "cmnli").mkdir()
    (tmp_path / "cmnli" / "train.tsv").write_text(content, encoding="utf-8")
    split = task_reader.read_split(datasets.get_task("cmnli"), str(tmp_path / "cmnli"), "train")
    assert rows_of(split) == [("甲", "乙", "neutral")]


def test_wsc_pronoun_before_the_noun_and_wrong_spans(tmp_path):
    row = (
        '{"target": {"span2_index": 0, "span1_index": %d, "span1_text": "小明", '
        '"span2_text": "他"}, "label": "false", "text": "他说小明饿"}\n'
    )
    (tmp_path / "train.json").write_text(row % 2, encoding="utf-8")
    split = task_reader.read_split(datasets.get_task("wsc"), str(tmp_path), "train")
    assert rows_of(split) == [("[他]说_小明_饿", None, "false")]
    (tmp_path / "train.json").write_text(row % 1, encoding="utf-8")
    with pytest.raises(UserError, match="line 1: '小明' is not at span1_index, 1"):
        task_reader.read_split(datasets.get_task("wsc"), str(tmp_path), "train")


@pytest.mark.newest
def test_whole_clue_files(shared):
    """Row counts are those of the data's README and of the lines in the files."""
    expected = {
        ("tnews", "tnews"): (53360, 10000, None),
        ("chnsenticorp", "chnsenticorp"): (9600, 1200, 1200),
        ("xnli", "xnli_zh"): (None, 2490, 5010),
        ("iflytek", "fewclue_iflytek"): (3024, 1373, 1749),
        ("csl", "fewclue_csl"): (160, 160, 2838),
        ("wsc", "fewclue_cluewsc"): (160, 159, 976),
        ("afqmc", "afqmc"): (34334, 4316, 3861),
    }
    for (task, folder), counts in expected.items():
        for name, count in zip(("train", "dev", "test"), counts):
            if count is not None:
                data_dir = os.path.join(shared, "data", folder)
                split = task_reader.read_split(datasets.get_task(task), data_dir, name)
                assert len(split.examples) == count, (folder, name)


# Own data


def read_own(tmp_path, content, name="train.csv", task=None, split="train", **settings):
    content = content if isinstance(content, bytes) else content.encode("utf-8")
    (tmp_path / name).write_bytes(content)
    return task_reader.read_split(task or OWN, str(tmp_path), split, **settings)


OWN = datasets.TASKS[datasets.OWN_DATA]
LINES = "甲,体育\n乙,财经\n丙,体育\n丁,财经\n"
EXPECTED = [("甲", None, "体育"), ("乙", None, "财经"), ("丙", None, "体育"), ("丁", None, "财经")]


@pytest.mark.parametrize(
    "content, name",
    [
        ("text_a,label\n" + LINES, "train.csv"),
        ("text,label\r\n" + LINES.replace("\n", "\r\n"), "train.csv"),
        ("\ufefftitle,label\n" + LINES, "train.csv"),
        ("文本,标签\n" + LINES, "train.csv"),
        ("headline,topic\n" + LINES, "train.csv"),
        ("headline,label\n" + LINES, "train.csv"),
        ("label,headline\n体育,甲\n财经,乙\n体育,丙\n财经,丁\n", "train.csv"),
        ("内容甲,结果\ntext_a,label\n" + LINES, "train.csv"),
        (LINES, "train.csv"),
        (LINES.replace(",", "\t"), "train.csv"),
        (LINES.replace(",", "\t"), "train.tsv"),
        ("id,label,sentence\n1,体育,甲\n2,财经,乙\n3,体育,丙\n4,财经,丁\n", "train.csv"),
        ("text_a,label\n文本,标签\n" + LINES, "train.csv"),
        ("我的数据\ntext_a,label\n" + LINES, "train.csv"),
        ("ｌａｂｅｌ,ｔｅｘｔ\n体育,甲\n财经,乙\n体育,丙\n财经,丁\n", "train.csv"),
        ("text_a,label\n甲,体育\n乙,财经\ntext_a,label\n丙,体育\n丁,财经\n", "train.csv"),
        ("text_a, label\n甲,体育\n乙,财经\n\ufefftext_a, label\n丙,体育\n丁,财经\n", "train.csv"),
        ("甲, 体育\n乙,财经 \n丙,体育\n丁,财经\n", "train.csv"),
    ],
)
def test_columns_of_own_data_are_found(tmp_path, content, name):
    assert rows_of(read_own(tmp_path, content, name)) == EXPECTED


def test_csv_as_python_and_excel_write_it(tmp_path):
    content = 'text_a,text_b,label\r\n"甲,乙","他说""好""\r\n再见",体育\r\n丙"丁,"",财经\r\n'
    split = read_own(tmp_path, content)
    assert rows_of(split) == [("甲,乙", '他说"好"\n再见', "体育"), ('丙"丁', "", "财经")]
    assert [e.guid for e in split.examples] == ["train-2", "train-4"]
    assert "1 row has a text over several lines (first: line 2)" in "".join(split.notes)


def test_what_was_found_is_said(tmp_path):
    assert "columns are assigned by position: text_a, label" in read_own(tmp_path, LINES).notes
    notes = read_own(tmp_path, "id,text,label\n1,甲,a\n2,乙,b\n").notes
    assert notes == ["line 1 is a header (id | text | label)", "columns that are not used: id"]
    notes = read_own(tmp_path, "content,title,label\n甲,乙,a\n丙,丁,b\n").notes
    assert notes[1].endswith(
        "not used: content (to read both title and content: --text_column=title "
        "--text_b_column=content)"
    )
    rows = (
        '{"id": 1, "title": "甲", "content": "很长", "label": "a"}\n{"title": "乙", "label": "b"}'
    )
    (tmp_path / "json").mkdir()
    notes = read_own(tmp_path / "json", rows, "train.json").notes
    assert notes[-1].startswith("columns that are not used: content (to read both title and con")
    notes = read_own(tmp_path, "text,label\n甲,a\ntext,label\n乙,b\n").notes
    assert "1 row repeats the header and was skipped" in notes


def test_values_that_are_names_of_columns_make_no_header(tmp_path):
    rows = [("今天好吗", "question"), ("明天好", "statement"), ("后天好吗", "question")]
    rows += [("昨天好", "statement")]
    lines = "".join("%s,%s\n" % row for row in rows)
    for content in (lines, "text,label\n" + lines):
        split = read_own(tmp_path, content)
        assert [(e.text_a, e.label) for e in split.examples] == rows
    task = own_labels.with_columns_and_labels(OWN, split)
    for content in (lines, lines[: lines.index("\n") + 1]):
        _, examples = stream_of(tmp_path, task, content, "test.csv")
        assert [(e.text_a, e.label) for e in examples] == rows[: len(content.splitlines())]
    _, examples = stream_of(tmp_path, task, "text\n内容\n甲\n", "test.csv")
    assert [e.text_a for e in examples] == ["内容", "甲"]


def test_a_first_row_of_an_unknown_label_is_no_header_of_a_known_task(tmp_path):
    task = datasets.get_task("tnews")
    _, examples = stream_of(tmp_path, task, "今天\tnews_foo\n明天\tnews_car\n", "test.tsv")
    assert [(e.text_a, e.label) for e in examples] == [("今天", None), ("明天", "107")]
    split = read(tmp_path, "甲\t乙\t?\n丙\t丁\t?\n", name="test")
    assert rows_of(split) == [("甲", "乙", None), ("丙", "丁", None)]
    for header in ("one\ttwo\tlabel", "one\ttwo\tis_similar"):
        assert rows_of(read(tmp_path, header + "\n丙\t丁\t0\n")) == [("丙", "丁", "0")]


def test_a_long_cell_and_line_ends_of_old_macs(tmp_path):
    long = "\n".join("第%d行" % number for number in range(250))
    split = read_own(tmp_path, 'text,label\n"%s",a\n乙,b\n' % long)
    assert rows_of(split) == [(long, None, "a"), ("乙", None, "b")]
    task = own_labels.with_columns_and_labels(OWN, split)
    with pytest.raises(UserError, match="lines end with CR only"):
        stream_of(tmp_path, task, "text\r甲\r乙\r", "test.csv")


def test_a_long_quoted_cell_is_not_parsed_again_at_each_of_its_lines(tmp_path, monkeypatch):
    """A cell of 1,000 lines, parsed from its beginning at each line, costs 500 times as much."""
    cell = "\n".join(['他说"好"，"来"。'] * 1000)
    record = '"%s",a' % cell.replace('"', '""')
    num_parsed, parse = [], rows.csv.reader
    monkeypatch.setattr(
        rows.csv,
        "reader",
        lambda lines, **way: num_parsed.append(len(lines[0])) or parse(lines, **way),
    )
    split = read_own(tmp_path, "text,label\n%s\n乙,b\n" % record)
    assert rows_of(split) == [(cell, None, "a"), ("乙", None, "b")]
    assert sum(num_parsed) < 5 * len(record)


@pytest.mark.parametrize(
    "content, words",
    [
        ("1,今天,a\n2,明天,b\n3,后天,a\n", ["column 1", "an id?", "id, text_a, label"]),
        ("text_a,label\n今天,天气,好\n", ["line 2", "3 columns", "quotes around"]),
        ("text_a,label\n今天\n乙,a\n", ["line 2", "1 column, expected 2 (text_a, label)"]),
        ("text_a,label\n甲,\n乙,a\n", ["line 2", "unknown label ''"]),
        ("text,text,label\n甲,乙,a\n", ["the column text twice"]),
        ("text,id\n甲,1\n乙,2\n", ["has no label column", "text, id"]),
        ('text_a,label\n"甲,a\n乙,b\n', ["line 2", "a quote is opened but not closed"]),
        ("", ["is empty: expected rows of a text and its label"]),
        ("text_a,label\n", ["has no rows of 2 (text_a, label)"]),
        ("text;label\n甲;a\n", ["no label column", "has one column and ';'", "put commas there"]),
        (
            "甲||乙||a\n丙||丁||b\n",
            ["no label column", "has one column and '||'", "put commas there"],
        ),
        ("text，label\n甲，a\n", ["no label column", "'，' in it", "put commas there"]),
        (
            "text_a,label\n甲,a\n".encode() + "乙题目的,b\n".encode("gbk"),
            ["line 3", "UTF-8"],
        ),
    ],
)
def test_bad_own_files_are_one_line(tmp_path, content, words):
    with pytest.raises(UserError) as caught:
        read_own(tmp_path, content)
    for word in words + ["train.csv"]:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def own_task(tmp_path, content, **changes):
    task = OWN._replace(**changes)
    return own_labels.with_columns_and_labels(task, read_own(tmp_path, content, task=task))


def test_labels_are_collected_in_an_order_of_their_own(tmp_path):
    backwards = "\n".join(reversed(LINES.splitlines()))
    assert own_task(tmp_path, LINES).labels == own_task(tmp_path, backwards).labels
    task = own_task(tmp_path, "text_a,label\n甲,10\n乙,9\n丙,1.5\n丁,其他\n")
    assert task.labels == ("1.5", "9", "10", "其他")
    task = own_task(tmp_path, "text_a,label\n甲,b|a\n乙,\n丙,c\n", objective="multi_label")
    assert task.labels == ("a", "b", "c")
    assert datasets.label_value(task, "c|a") == [1, 0, 1] and datasets.label_value(task, "") == [
        0,
        0,
        0,
    ]


def test_a_folder_that_may_not_be_looked_into_is_named(tmp_path, monkeypatch):
    """Its files would seem missing. `os.listdir` is replaced, since root may list any folder."""
    (tmp_path / "data").mkdir()

    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "listdir", refuse)
    message = r"--data_dir=.*data: cannot be read: Permission denied"
    with pytest.raises(UserError, match=message):
        task_reader.read_split(LCQMC, str(tmp_path / "data"), "train")


def test_a_text_taken_for_the_label_is_recognised(tmp_path):
    rows = "".join("a,标题%d\n" % number for number in range(100))
    with pytest.raises(UserError, match="100 different labels in 100 rows: is the label column"):
        own_task(tmp_path, "text,label\n" + rows)
    with pytest.raises(UserError, match="all 2 rows have the label 'a'"):
        own_task(tmp_path, "text,label\n甲,a\n乙,a\n")
    message = r"its only row has the label 'a': nothing to classify: expected rows of at least two"
    with pytest.raises(UserError, match=message):
        own_task(tmp_path, "text,label\n甲,a\n")


@pytest.mark.parametrize("label", ["u%07d", "短标题%d", "今天说的第%d个很长很长的题目"])
@pytest.mark.parametrize("objective", ["single_label", "multi_label"])
def test_many_labels_of_one_row_each_are_no_classes(tmp_path, label, objective):
    rows = ["%s,%s\n" % ("今天天气好吗我们去" * 4, label % n) for n in range(1000)]
    with pytest.raises(UserError, match="1000 different labels in 1000 rows: is the label column"):
        own_task(tmp_path, "text,label\n" + "".join(rows), objective=objective)
    twice = "".join(rows[:300] * 2)
    assert len(own_task(tmp_path, "text,label\n" + twice, objective=objective).labels) == 300


def test_labels_of_one_row_each_are_no_texts_where_they_are_short(tmp_path):
    intents = "".join("帮我看一下第%d件事情怎样了吧,intent_of_%d\n" % (n, n) for n in range(30))
    assert len(own_task(tmp_path, "text,label\n" + intents).labels) == 30
    texts = "".join("今天说的第%d个题目,明天说的第%d个题目\n" % (n, n) for n in range(30))
    with pytest.raises(UserError, match="name the columns text_a, text_b and label in a header"):
        own_task(tmp_path, "text,label\n" + texts)
    tags = "".join("甲乙丙%d,标签%d|标签%d\n" % (n, n, n + 1) for n in range(30))
    assert len(own_task(tmp_path, "text,label\n" + tags, objective="multi_label").labels) == 31


@pytest.mark.parametrize("name", ["train.tsv", "train.txt"])
def test_commas_in_a_file_of_tabs_are_told(tmp_path, name):
    with pytest.raises(UserError, match="and ',' in it.* put tabs there, or name the file .csv"):
        read_own(tmp_path, "text,label\n" + LINES, name)


def test_the_marks_of_toutiao_are_named_and_not_its_commas(tmp_path):
    rows = "".join("65%d_!_101_!_culture_!_甲%d,一_!_词,语\n" % (n, n) for n in range(20))
    with pytest.raises(UserError, match="no label column: .*has one column and '_!_' in it"):
        read_own(tmp_path, rows, "train.txt")


def test_the_command_for_files_of_fasttext_makes_them_readable(tmp_path):
    lines = "__label__体育 今天 的 比赛\n__label__财经 __label__股票 大盘 上涨\n"
    with pytest.raises(UserError, match="its lines are fastText's") as error:
        read_own(tmp_path, lines * 5, "train.txt")
    program = re.search("sed -E '(.*)'", str(error.value)).group(1)
    command = ["sed", "-E", program, str(tmp_path / "train.txt")]
    content = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode("utf-8")
    split = read_own(tmp_path, content, "train.txt")
    expected = [("今天 的 比赛", None, "体育"), ("大盘 上涨", None, "财经|股票")]
    assert rows_of(split) == expected * 5


@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("keys", [None, ("0", "1"), ("17", "4")])
def test_a_list_of_objects_is_read_as_json_lines_are(tmp_path, indent, keys):
    rows = [{"text": "甲]},[", "label": "a"}, {"text": "乙\n", "label": "b"}]
    rows = dict(zip(keys, rows)) if keys else rows
    content = json.dumps(rows, ensure_ascii=False, indent=indent)
    split = read_own(tmp_path, content, "train.json")
    found = [(e.guid, e.text_a, e.label) for e in split.examples]
    assert found == [("train-1", "甲]},[", "a"), ("train-2", "乙\n", "b")]
    assert split.notes[0] == json_lists.NOTE
    assert split.sha256 == hashlib.sha256(content.encode("utf-8")).hexdigest()
    task = own_task(tmp_path, "text_a,label\n甲,a\n乙,b\n")
    assert [e.text_a for e in stream_of(tmp_path, task, content)[1]] == ["甲]},[", "乙\n"]


@pytest.mark.parametrize(
    "content, message",
    [
        ('[{"text": "甲", "label": "a"},\n{"text": "乙', "line 2: not valid JSON"),
        ('[\n{"text": "甲", "label": "a"}\n{"text": "乙"}]', "line 3: expected , or ]"),
        (
            '[{"text": "甲", "label": "a"}]\n{"text": "乙"}',
            "line 2: unexpected content after the list",
        ),
        ('[{"text": "甲", "label": "a"}, 1]', "1 of 2 rows are invalid: line 2: not a JSON object"),
        (
            '{"0": {"text": "甲", "label": "a"},\n"b": {"text": "乙"}}',
            "line 2: a key that is not a number",
        ),
        ('{"0": {"text": "甲", "label": "a"}\n"1": {"text": "乙"}}', "line 2: expected , or }"),
        (
            '{"0": {"text": "甲", "label": "a"}}\n{"1": {"text": "乙"}}',
            "line 2: unexpected content after",
        ),
        ('{"0": {"text": "甲", "label": "a"},\n"1": {"text": "乙', "line 2: not valid JSON"),
        ("[]", "is empty"),
        ('["甲", "a"]\n["乙", "b"]', r"expected one JSON object per line.* found \["),
    ],
)
def test_a_list_that_is_not_whole_is_named(tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        read_own(tmp_path, content, "train.json")


def test_labels_that_training_never_saw_name_their_rows(tmp_path):
    task = own_task(tmp_path, "text_a,label\n甲,1\n乙,２\n")
    message = (
        "line 3: unknown label '2', which does not occur in training.*is it '２' in another "
        "notation"
    )
    with pytest.raises(UserError, match=message):
        read_own(tmp_path, "text_a,label\n丙,1\n丁,2\n", "dev.csv", task, "dev")
    with pytest.raises(UserError, match="is it '1' in another notation"):
        read_own(tmp_path, "text_a,label\n丙,1\u200b\n", "dev.csv", task, "dev")
    rows = "".join("丙,%d\n" % label for label in range(3, 33))
    with pytest.raises(UserError) as caught:
        read_own(tmp_path, "text_a,label\n丁,1\n" + rows, "dev.csv", task, "dev")
    lines = ", ".join(map(str, range(6, 23)))
    assert "30 of 31 rows are invalid: line 3: " in str(caught.value)
    assert "; and lines %s ... (correct" % lines in str(caught.value)
    split = read_own(tmp_path, "text_a\n丙\n", "test.csv", task, "test")
    assert rows_of(split) == [("丙", None, None)] and not split.has_labels


def test_numbers_of_a_regression(tmp_path):
    task = own_task(tmp_path, "text_a,score\n甲,1.5\n乙,-2\n", objective="regression")
    assert datasets.label_value(task, "-2") == -2.0 and datasets.num_outputs(task) == 1
    with pytest.raises(UserError, match="'viel' is not a number"):
        own_task(tmp_path, "text_a,label\n甲,1.5\n乙,viel\n", objective="regression")


def test_a_stream_has_an_example_for_each_record_whatever_it_holds(tmp_path):
    task = own_task(tmp_path, "text_a,label\n甲,a\n乙,b\n")
    path = tmp_path / "test.csv"
    path.write_bytes(
        "text_a,label\n甲,a\n\n乙,丙,丁\n戊,z\n".encode() + b"\xff\xfe\n" + b'"open,a\n'
    )
    notes, records = task_reader.open_stream(task, str(path))
    records = list(records)
    assert [e.text_a for e, _ in records] == ["甲", "", "乙,丙,丁", "戊", "\ufffd\ufffd", '"open']
    assert [e.label for e, _ in records] == ["a", None, None, None, None, None]
    assert [bool(problem) for _, problem in records] == [False, True, True, False, True, True]
    assert notes[0].startswith("line 1 is a header")


def test_bad_rows_of_a_stream_are_left_out_on_demand(tmp_path):
    task = own_task(tmp_path, "text_a,label\n甲,a\n乙,b\n")
    path = tmp_path / "test.csv"
    path.write_text("text_a,label\n甲,a\n\n乙,丙,丁\n戊,b\n\n", encoding="utf-8")
    notes, records = task_reader.open_stream(task, str(path), skip_bad_rows=True)
    assert [e.text_a for e, _ in records] == ["甲", "戊"]
    assert "3 invalid or blank rows were skipped" in notes


def test_labels_in_the_place_of_the_text_are_refused(tmp_path):
    """The training file has a header, label first; the test file has none and another order."""
    task = own_task(tmp_path, "label,text_a\na,甲\nb,乙\n")
    message = "test.csv: column 2, where training had the text, has labels .a., column 1 none"
    with pytest.raises(UserError, match=message):
        stream_of(tmp_path, task, "甲一,a\n乙二,b\n", name="test.csv")
    with pytest.raises(UserError, match=message):
        read_own(tmp_path, "甲一,a\n乙二,b\n", name="test.csv", task=task, split="test")
    _, examples = stream_of(tmp_path, task, "a,甲一\nb,a\n", name="test.csv")
    assert [(e.text_a, e.label) for e in examples] == [("甲一", "a"), ("a", "b")]


def test_records_without_known_keys_are_named(tmp_path):
    with pytest.raises(UserError, match="has no label: line 1 has the keys a, b: name them label"):
        read_own(tmp_path, '{"a": "甲", "b": 1}\n{"a": "乙", "b": 0}\n', name="train.json")


@pytest.mark.parametrize(
    "labels, command",
    [
        (("0", "1"), "similarity"),
        (("不同", "相同"), "similarity"),
        (("不匹配", "匹配的"), "classify"),
        (("一致", "相同"), "classify"),
    ],
)
def test_the_next_command_is_one_that_takes_the_labels(labels, command):
    """similarity.py has to know which label means that two texts are equivalent."""
    kind = registry.get("single_label")
    task = LCQMC._replace(labels=labels)
    assert kind.next_command(task)[0] == command


def test_a_number_is_not_spelled_with_an_underscore(tmp_path):
    """Python's `float` accepts 1_0 as 10."""
    with pytest.raises(UserError, match="'1_0' is not a number"):
        own_task(tmp_path, "text_a,label\n甲,1.5\n乙,1_0\n", objective="regression")


def stream_of(tmp_path, task, content, name="test.json"):
    """Returns (notes, examples) of a file to predict; the notes are those after its last row."""
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    notes, records = task_reader.open_stream(task, str(path))
    records = list(records)
    return notes, [example for example, _ in records]


def test_a_quote_that_is_never_closed_costs_its_own_line_only(tmp_path):
    content = 'text,label\n"你好,a\n好,b\n不好,b\n小米"手机",a\n"两\n行",a\n'
    with pytest.raises(UserError, match="1 of 5 rows are invalid: line 2: a quote is opened"):
        read_own(tmp_path, content)
    split = read_own(tmp_path, content, skip_bad_rows=True)
    assert [e.text_a for e in split.examples] == ["好", "不好", '小米"手机"', "两\n行"]


def test_the_columns_of_json_are_those_of_all_its_rows(tmp_path):
    rows = '{"text_a": "甲", "label": "a"}\n{"text_a": "乙", "text_b": "丙", "label": "b"}\n'
    with pytest.raises(UserError, match="line 1: no 'text_b' in it"):
        read_own(tmp_path, rows, name="train.json")
    test = '{"sentence1": "甲", "id": 1}\n{"sentence1": "乙", "sentence2": "丙", "id": 2}\n\n'
    _, examples = stream_of(tmp_path, datasets.get_task("afqmc"), test)
    assert [(e.text_a, e.text_b, e.row_id) for e in examples] == [
        ("甲", "", 1),
        ("乙", "丙", 2),
        ("", "", input_examples.NO_RECORD),
    ]
    labelled = '{"sentence": "甲"}\n{"sentence": "乙", "label": "103"}\n'
    (tmp_path / "test.json").write_text(labelled, encoding="utf-8")
    split = task_reader.read_split(datasets.get_task("tnews"), str(tmp_path), "test")
    assert [e.label for e in split.examples] == [None, "103"]


def test_a_line_of_json_that_is_none_does_not_decide_on_the_columns(tmp_path):
    content = '{"text": \n{"text": "甲", "label": "a"}\n{"text": "乙", "label": "b"}\n'
    split = read_own(tmp_path, content, name="train.json", skip_bad_rows=True)
    assert rows_of(split) == [("甲", None, "a"), ("乙", None, "b")]


def test_values_of_json_that_are_no_text(tmp_path):
    rows = '{"text": ["甲"], "label": "a"}\n{"text": "乙", "label": {"b": 1}}\n'
    with pytest.raises(UserError) as caught:
        read_own(tmp_path, rows + '{"text": "丙", "label": "a"}\n', name="train.json")
    assert "line 1: a list where a text is expected" in str(caught.value)
    assert "line 2: a dict where a text is expected" in str(caught.value)
    task = OWN._replace(objective="multi_label", separator="|")
    several = '{"text": "甲", "label": ["a", "b"]}\n{"text": "乙", "label": []}\n'
    split = read_own(tmp_path, several, name="train.json", task=task)
    assert [e.label for e in split.examples] == ["a|b", ""]
    for labels, words in (('["a", null]', "label None in a list"), ('["a|b"]', "label 'a|b' in a")):
        bad = '{"text": "甲", "label": %s}\n{"text": "乙", "label": ["a"]}\n' % labels
        with pytest.raises(UserError, match=re.escape(words)):
            read_own(tmp_path, bad, name="train.json", task=task)
    half = '{"text": "甲\\ud83d", "label": "a"}\n{"text": "乙\\ud83d\\ude00", "label": "b"}\n'
    split = read_own(tmp_path, half, name="train.json")
    assert [e.text_a for e in split.examples] == ["甲\ufffd", "乙\U0001f600"]
    deep = '{"text": "甲", "label": "a"}\n' + "[" * 100000 + "\n"
    with pytest.raises(UserError, match="line 2: not valid JSON"):
        read_own(tmp_path, deep, name="train.json")
    twice = '{"text": "甲", "label": "a"}\n{"text": "乙", "text": "丙", "label": "b"}\n'
    with pytest.raises(UserError, match="line 2: not valid JSON: .* key 'text' twice"):
        read_own(tmp_path, twice, name="train.json")


def test_whole_floats_of_json_are_the_class_of_the_integer(tmp_path):
    task = own_task(tmp_path, "text_a,label\n甲,1\n乙,-1\n丙,2.0\n丁,2\n")
    row = '{"text_a": "丙", "label": %s}\n'
    rows = "".join(row % label for label in ("1.0", "1", "-1.0", "2.0", "2"))
    split = read_own(tmp_path, rows, "dev.json", task, "dev")
    assert [example.label for example in split.examples] == ["1", "1", "-1", "2.0", "2"]
    for label in ("3.0", "1.5", '"01"', "1e400"):
        with pytest.raises(UserError, match="dev.json: .* line 2: unknown label"):
            read_own(tmp_path, row % 1 + row % label, "dev.json", task, "dev")
    several = task._replace(objective="multi_label")
    split = read_own(tmp_path, row % "[1.0, 2]" + row % "[-1.0]", "dev.json", several, "dev")
    assert [example.label for example in split.examples] == ["1|2", "-1"]


@pytest.mark.parametrize(
    "of_train, of_dev, found, note",
    [
        (("0.0", "1.0"), ("0", "1", "1.00"), ["0.0", "1.0", "1.0"], "0 is 0.0, 1 is 1.0, 1.00 is"),
        (("0", "1"), ("0.0", "1.0", "1"), ["0", "1", "1"], "0.0 is 0, 1.0 is 1"),
        (("-1.0", "2"), ("-1", "2"), ["-1.0", "2"], "-1 is -1.0"),
        (("1", "1.0"), ("1", "1.0"), ["1", "1.0"], None),
    ],
)
def test_the_same_whole_number_written_otherwise_is_one_label(
    tmp_path, of_train, of_dev, found, note
):
    rows = "".join("甲%d,%s\n" % row for row in enumerate(of_train))
    task = own_task(tmp_path, "text_a,label\n" + rows)
    assert task.labels == of_train
    rows = "".join("丙%d,%s\n" % row for row in enumerate(of_dev))
    for name in ("dev", "test"):
        split = read_own(tmp_path, "text_a,label\n" + rows, name + ".csv", task, name)
        assert [example.label for example in split.examples] == found
        spelled = [n for n in split.notes if "numbers in another notation" in n]
        assert len(spelled) == (note is not None) and (note or "") in "".join(spelled)
    notes, records = task_reader.open_stream(task, str(tmp_path / "test.csv"))
    assert [(example.label, problem) for example, problem in records] == [(x, None) for x in found]
    assert sum("numbers in another notation" in n for n in notes) == (note is not None)


@pytest.mark.parametrize("label", ["01", "+1", "1.5", "1.0e0", "１.0", "１", "3.0"])
def test_other_spellings_of_numbers_stay_unknown_labels(tmp_path, label):
    for known in (("1", "2"), ("1.0", "1.00", "2")):
        rows = "".join("甲%d,%s\n" % row for row in enumerate(known))
        task = own_task(tmp_path, "text_a,label\n" + rows)
        for bad in (label, "1") if len(known) == 3 else (label,):
            with pytest.raises(UserError, match="unknown label %s" % re.escape(repr(bad))):
                read_own(tmp_path, "text_a,label\n丙,%s\n" % bad, "dev.csv", task, "dev")


@pytest.mark.parametrize("label", ["2", '"x"', "1.5", "true"])
def test_copa_takes_its_two_labels_only(tmp_path, label):
    row = '{"label": %s, "choice0": "甲", "choice1": "乙", "premise": "丙", "question": "cause"}\n'
    for right in ("1", "1.0", '"1"'):
        (tmp_path / "train.json").write_text(row % right, encoding="utf-8")
        split = task_reader.read_split(datasets.get_task("copa"), str(tmp_path), "train")
        assert [(e.text_a, e.label) for e in split.examples] == [("甲", "0"), ("乙", "1")]
    (tmp_path / "train.json").write_text(row % label, encoding="utf-8")
    with pytest.raises(UserError, match="unknown label"):
        task_reader.read_split(datasets.get_task("copa"), str(tmp_path), "train")


@pytest.mark.parametrize("is_list", [False, True])
def test_json_in_a_text_file_is_named(tmp_path, is_list):
    """Regression: for SMP's usual_train.txt the advice was to replace its commas by tabs."""
    records = [{"content": "甲", "label": "好"}, {"content": "乙", "label": "坏"}]
    content = json.dumps(records) if is_list else "\n".join(map(json.dumps, records))
    expected = (
        "train.txt, line 1: found JSON, but a file of this name is read as a table: name it %s$"
        % (".json" if is_list else ".jsonl")
    )
    with pytest.raises(UserError, match=expected):
        read_own(tmp_path, content, "train.txt")
    one = read_own(tmp_path, '{"a": 1}\t好\n乙\t坏\n', "train.txt")  # not a line of JSON
    assert rows_of(one)[0][0] == '{"a": 1}'


@pytest.mark.parametrize(
    "header, row, message",
    [
        ("Class Index,Title,Description", '%d,"a, b","c, d"', "no label column.* has Class Index"),
        ("id,comment_text,toxic,threat", 'd%d77bf,"a, b",0,1', "4 columns, expected 3"),
    ],
)
def test_commas_in_quotes_are_no_separators_to_be_put_there(tmp_path, header, row, message):
    content = header + "\n" + "".join(row % n + "\n" for n in range(4))
    with pytest.raises(UserError, match=message) as caught:
        read_own(tmp_path, content)
    way_out = "or name them by --text_column, --text_b_column, --label_column)"
    assert str(caught.value).endswith(way_out) and "put commas" not in str(caught.value)


@pytest.mark.parametrize("name", ["test.csv", "test.tsv"])
@pytest.mark.parametrize("record", [{"text_a": "今天"}, {"text_a": "今天", "label": "体育"}])
def test_json_lines_are_no_table(tmp_path, name, record):
    """A model of single texts would otherwise predict each line, braces and all, as a text."""
    task, content = own_task(tmp_path, "text_a,label\n甲,a\n乙,b\n"), json.dumps(record) + "\n"
    expected = (
        "%s, line 1: found JSON, but a file of this name is read as a table: name it .jsonl"
        % (tmp_path / name)
    )
    with pytest.raises(UserError, match=re.escape(expected)):
        stream_of(tmp_path, task, content, name=name)
    with pytest.raises(UserError, match=re.escape(expected)):
        read_own(tmp_path, content, name=name, task=task, split="test")


def test_a_stream_without_rows_is_an_error(tmp_path):
    task = own_task(tmp_path, "text_a,label\n甲,a\n乙,b\n")
    for content, words in (("", "is empty"), ("text_a,label\n", "has no rows")):
        with pytest.raises(UserError, match=words):
            stream_of(tmp_path, task, content, name="test.csv")


def test_a_stream_in_another_encoding_is_an_error(tmp_path):
    task = own_task(tmp_path, "text_a,label\n甲,a\n乙,b\n")
    content = "text_a\n我们明天去银行办理业务\n" * 2000
    for encoding in ("gbk", "utf-16"):
        with pytest.raises(UserError, match="--encoding="):
            stream_of(tmp_path, task, content.encode(encoding), name="test.csv")


def test_labels_of_a_stream_that_are_not_the_tasks_are_counted(tmp_path):
    task = own_task(tmp_path, "text_a,label\n甲,a\n乙,b\n")
    notes, examples = stream_of(tmp_path, task, "text_a,label\n甲,a\n乙,z\n", name="test.csv")
    assert [e.label for e in examples] == ["a", None]
    assert any(
        note.startswith("1 label does not belong to the task: its row is not scored")
        for note in notes
    )


@pytest.mark.parametrize(
    "first, is_noted", [("微博正文", True), ("新闻标题", True), ("今天天气", False), ("x", False)]
)
def test_a_first_text_that_looks_like_a_header_is_noted(tmp_path, first, is_noted):
    task = own_task(tmp_path, LINES)
    notes, examples = stream_of(tmp_path, task, first + "\n今天好\n明天\n", name="test.csv")
    assert [e.text_a for e in examples] == [first, "今天好", "明天"]
    note = "line 1 is treated as a row (%s): if it is a header, name its columns text_a" % first
    assert (note in notes) == is_noted
    task = datasets.get_task("lcqmc")
    notes, _ = stream_of(tmp_path, task, "甲%s\t乙%s\n今\t天\n" % (first, first), name="test.txt")
    assert any("name its columns text_a, text_b" in note for note in notes) == is_noted


def test_labels_of_a_test_file_that_are_not_the_tasks_are_counted(tmp_path):
    task = own_task(tmp_path, "text_a,label\n甲,a\n乙,b\n")
    content = "text_a,label\n甲,a\n乙,z\n丙,y\n"
    split = read_own(tmp_path, content, "test.csv", task, "test")
    assert [(e.text_a, e.label) for e in split.examples] == [
        ("甲", "a"),
        ("乙", None),
        ("丙", None),
    ]
    assert split.has_labels and split.notes[1:] == [
        "2 labels do not belong to the task: their rows are not scored (first: line 3: unknown "
        "label 'z', which does not occur in training; it has a, b)"
    ]
    with pytest.raises(UserError, match="1 of 3 rows are invalid: line 3: 3 columns"):
        read_own(tmp_path, "text_a,label\n甲,a\n乙,z,1\n丙,y\n", "test.csv", task, "test")


def test_an_empty_label_column_of_several_labels_is_none(tmp_path):
    task = own_task(tmp_path, "text_a,label\n甲,a\n乙,b\n", objective="multi_label", separator="|")
    content = "text_a,label\n甲,\n乙,\n"
    assert [e.label for e in stream_of(tmp_path, task, content, name="test.csv")[1]] == [None] * 2
    split = read_own(tmp_path, content, name="test.csv", task=task, split="test")
    assert [e.label for e in split.examples] == [None, None]


def test_a_header_known_by_position_may_lack_its_label(tmp_path):
    task = own_task(tmp_path, "内容甲,结果\n甲,a\n乙,b\n丙,a\n丁,b\n")
    assert task.header == ("内容甲", "结果")
    _, examples = stream_of(tmp_path, task, "内容甲\n甲\n", name="test.csv")
    assert [e.text_a for e in examples] == ["甲"]


def test_a_file_without_the_header_that_training_had_columns_of_its_own_by(tmp_path):
    task = own_task(tmp_path, "id,text,label\n1,甲,a\n2,乙,b\n")
    for read_test in (
        lambda: stream_of(tmp_path, task, "5,今天\n6,明天\n", name="test.csv"),
        lambda: read_own(tmp_path, "5,今天\n6,明天\n", "test.csv", task, "test"),
    ):
        with pytest.raises(
            UserError, match="no header, and '今天' is no label: .* .id, text, label"
        ):
            read_test()
    for content in ("今天\n明天\n", "今天,a\n明天,b\n", "id,text\n5,今天\n6,明天\n"):
        _, examples = stream_of(tmp_path, task, content, name="test.csv")
        assert [e.text_a for e in examples] == ["今天", "明天"]


def test_a_header_of_unknown_names_in_all_files(tmp_path):
    few = "headline,label\n甲,体育\n乙,财经\n丙,新闻\n"
    task = own_task(tmp_path, few)
    assert task.header == ("headline", "label") and task.labels == ("体育", "新闻", "财经")
    assert len(read_own(tmp_path, few, "dev.csv", task, "dev").examples) == 3
    task = own_task(tmp_path, "甲,体育\n乙,财经\n")
    assert len(read_own(tmp_path, few[:-5], "dev.csv", task, "dev").examples) == 2
    split = read_own(tmp_path, "甲,label\n乙,财经\n丙,label\n丁,财经\n")
    assert len(split.examples) == 4, "label is a label here"
    with pytest.raises(UserError, match="line 1: a header .id . headline . label. whose texts"):
        read_own(tmp_path, "id,headline,label\n1,甲,体育\n2,乙,财经\n3,丙,体育\n")


def test_a_first_row_whose_label_stands_alone_is_told(tmp_path):
    content = "headline,topic\n甲,体育\n乙,财经\n丙,新闻\n"
    words = (
        "line 1 is treated as a row (headline | topic): if it is a header, name its columns text_a"
    )
    assert any(note.startswith(words) for note in read_own(tmp_path, content).notes)
    task = OWN._replace(objective="multi_label")
    notes = read_own(tmp_path, "甲,a|b\n乙,b\n丙,c\n", task=task).notes
    assert not any("treated as a row" in note for note in notes)


def test_a_header_that_lacks_the_second_text(tmp_path):
    pairs = own_task(tmp_path, "text_a,text_b,label\n甲,乙,a\n丙,丁,b\n")
    message = "test.csv has no text_b column: it has text_a, label"
    with pytest.raises(UserError, match=message):
        read_own(tmp_path, "text_a,label\n甲,a\n乙,b\n", "test.csv", pairs, "test")
    with pytest.raises(UserError, match=message):
        stream_of(tmp_path, pairs, "text_a,label\n甲,a\n乙,b\n", "test.csv")


def test_commas_in_texts_without_labels_and_quotes(tmp_path):
    task = own_task(tmp_path, "甲,a\n乙,b\n丙,a\n丁,b\n")
    lines = ["今天", "明天,后天", "昨天", "前天"]
    _, examples = stream_of(tmp_path, task, "\n".join(lines), "test.csv")
    assert [(e.text_a, e.label) for e in examples] == [(line, None) for line in lines]
    with pytest.raises(UserError, match="1 of 4 rows are invalid: line 2: 2 columns, expected 1"):
        read_own(tmp_path, "\n".join(lines), "test.csv", task, "test")
    lines = ["今,天", "明,天", "昨天", "前,天"]
    _, examples = stream_of(tmp_path, task, "\n".join(lines), "test.csv")
    assert [e.text_a for e in examples] == lines
    _, examples = stream_of(tmp_path, task, "甲,a\n乙\n丙,丁,b\n戊,a\n己,庚,z\n", "test.csv")
    assert [e.text_a for e in examples] == ["甲", "乙", "丙,丁", "戊", "己,庚,z"]


def test_texts_in_quotes_where_tabs_separate_are_told(tmp_path):
    content = '"甲,乙"\t体育\n丙\t财经\n"丁,戊"\t体育\n"己\t财经\n'
    split = read_own(tmp_path, content, "train.tsv")
    assert split.examples[0].text_a == '"甲,乙"'
    assert any(note.startswith("2 rows have texts in quotes") for note in split.notes)
    assert not read(tmp_path, '"甲"\t乙\t1\n').notes


def test_cells_that_are_all_in_quotes_where_tabs_separate_are_noted(tmp_path):
    rows = ['"甲%d"\t"%s"' % (number, "ab"[number % 2]) for number in range(6)]
    split = read_own(tmp_path, "\n".join(rows), "train.tsv")
    assert split.examples[0].text_a == '"甲0"' and split.examples[0].label == '"a"'
    assert any(
        note.startswith("all cells are in quotes, which are part of") for note in split.notes
    )
    rows[3] = "乙\ta"
    notes = read_own(tmp_path, "\n".join(rows), "train.tsv").notes
    assert not any("in quotes" in note for note in notes)


@pytest.mark.parametrize("row", ["甲%d\t乙\t是", "0\t甲%d\t乙", "甲%d\t乙\t3"])
def test_pairs_of_other_labels_or_columns_have_a_way_out(tmp_path, row):
    """Regression: the advice was once to skip all rows."""
    content = "".join(row % number + "\n" for number in range(6))
    with pytest.raises(UserError, match="6 of 6 rows are invalid") as error:
        read(tmp_path, content)
    assert "for other labels use --task_name=multiclass; for columns in another order" in str(
        error.value
    )
    assert "the header text_a, text_b, label into line 1" in str(error.value)
    with pytest.raises(UserError, match="skip them with --skip_bad_rows=true"):
        read(tmp_path, "甲\t乙\t1\n丙\t丁\t0\n戊\t己\t是\n")


def test_rows_of_empty_cells_below_a_table_are_blank_but_for_prediction(tmp_path):
    content = "文本,类别\n甲,a\n乙,b\n,\n丙,a\n丁,b\n,\n"
    split = read_own(tmp_path, content, "train.csv")
    assert [e.text_a for e in split.examples] == ["甲", "乙", "丙", "丁"]
    assert [e.guid for e in split.examples] == ["train-2", "train-3", "train-5", "train-6"]
    assert "2 blank lines were skipped" in split.notes
    task = own_task(tmp_path, "文本,类别\n甲,a\n乙,b\n")
    split = read_own(tmp_path, content, "test.csv", task, "test")
    assert [e.text_a for e in split.examples] == ["甲", "乙", "", "丙", "丁", ""]


def test_a_json_line_of_other_keys_is_predicted_as_its_text(tmp_path):
    task = own_task(tmp_path, "text_a,label\n甲,a\n乙,b\n")
    (tmp_path / "test.json").write_text('{"text": "甲"}\n{"other": "x", "id": 3}\n', "utf-8")
    _, records = task_reader.open_stream(task, str(tmp_path / "test.json"))
    assert [(e.text_a, problem) for e, problem in records] == [
        ("甲", None),
        ("x", "no 'text' in it"),
    ]


# Columns that the user names


def read_chosen(tmp_path, content, name="train.csv", split="train", **chosen):
    return read_own(tmp_path, content, name, OWN._replace(chosen=chosen), split)


@pytest.mark.parametrize(
    "name, content, chosen",
    [
        ("train.csv", "编号,看法,星\n1,甲,好\n2,乙,坏\n", {"text_a": "看法", "label": "星"}),
        ("train.csv", "编号,看法,星\n1,甲,好\n2,乙,坏\n", {"text_a": "2", "label": "3"}),
        ("train.tsv", "Stars\tRemark\n好\t甲\n坏\t乙\n", {"label": "stars"}),
        ("train.tsv", "好\t甲\n坏\t乙\n", {"label": "1"}),
        ("train.tsv", "好\t甲\n坏\t乙\n", {"text_a": "2"}),
        ("train.tsv", "9\t甲\tx\t好\n8\t乙\ty\t坏\n", {"text_a": "2", "label": "4"}),
        (
            "train.tsv",
            "id\ttext\tx\tlabel\n8\t甲\ty\t好\n9\t乙\ty\t坏\n",
            {"text_a": "2", "label": "4"},
        ),
        (
            "train.json",
            '{"t": "甲", "c": "好", "n": 1}\n{"t": "乙", "c": "坏"}\n',
            {"text_a": "t", "label": "c"},
        ),
        ("train.csv", '﻿"看法","星"\r\n"甲","好"\r\n"乙","坏"\r\n', {"text_a": "看法"}),
        # A column named by the user takes precedence over one with a usual name.
        ("train.csv", "text,remark,label\nx,甲,好\ny,乙,坏\n", {"text_a": "remark"}),
        ("train.csv", "text,text2,remark,label\nx,z,甲,好\ny,z,乙,坏\n", {"text_a": "remark"}),
    ],
)
def test_columns_are_named_by_header_key_or_position(tmp_path, name, content, chosen):
    split = read_chosen(tmp_path, content, name, **chosen)
    assert rows_of(split) == [("甲", None, "好"), ("乙", None, "坏")]


@pytest.mark.parametrize(
    "content, chosen",
    [
        ("1\t甲\t乙\n0\t丙\t丁\n", {"label": "1"}),
        ("甲\t1\t乙\n丙\t0\t丁\n", {"text_a": "1", "text_b": "3", "label": "2"}),
        ("like\tx\ty\n1\t甲\t乙\n0\t丙\t丁\n", {"text_a": "x", "text_b": "y", "label": "like"}),
        ("query1\tquery2\tlike\n甲\t乙\t1\n丙\t丁\t0\n", {"label": "like"}),
    ],
)
def test_columns_of_pairs_are_named(tmp_path, content, chosen):
    split = read_chosen(tmp_path, content, "train.tsv", **chosen)
    assert rows_of(split) == [("甲", "乙", "1"), ("丙", "丁", "0")]


def test_a_model_keeps_the_names_of_its_columns(tmp_path):
    train = read_chosen(tmp_path, "好,看法\n1,甲\n0,乙\n", text_a="看法", label="好")
    task = own_labels.with_columns_and_labels(
        OWN._replace(chosen={"text_a": "看法", "label": "好"}), train
    )
    for content in (
        "好,看法\n1,丙\n",
        "编号,看法\n7,丙\n",  # without the label column
        "text,label\n丙,1\n",  # the usual names
        "丙\n",
    ):
        (tmp_path / "test.csv").write_text(content, encoding="utf-8")
        _, records = task_reader.open_stream(task, str(tmp_path / "test.csv"))
        assert [(example.text_a, problem) for example, problem in records] == [("丙", None)], (
            content
        )
    for content in ("1,丙\n", "丙\n"):
        by_place = task._replace(chosen={"label": "1"}, header=())
        (tmp_path / "test.csv").write_text(content, encoding="utf-8")
        _, records = task_reader.open_stream(by_place, str(tmp_path / "test.csv"))
        assert [example.text_a for example, _ in records] == ["丙"]


@pytest.mark.parametrize(
    "content, chosen, message",
    [
        (
            "a,b\n甲,x\n",
            {"text_a": "c"},
            r"--text_column=c: .*train.csv, line 1, has no such column: it has a, b",
        ),
        ("a,b\n甲,x\n", {"label": "3"}, "--label_column=3: .* no such column: expected 1 to 2"),
        ("a,b\n甲,x\n", {"label": "0"}, r"--label_column=0: .* no such column: expected 1 to 2"),
        ("a,a,b\n甲,乙,x\n", {"text_a": "a"}, "line 1: the header has the column a twice"),
        ("a,b,c\n甲,x,y\n", {"text_a": "a"}, "no label column.*--label_column"),
    ],
)
def test_columns_that_are_not_there_are_told(tmp_path, content, chosen, message):
    with pytest.raises(UserError, match=message):
        read_chosen(tmp_path, content, **chosen)


FIRST_LABELS = "".join("%d\t评论第%d条\n" % (n % 2, n) for n in range(800))


@pytest.mark.parametrize(
    "row, expected",
    [
        ("{1}\t评论第{0}条", ("评论第3条", None, "1")),
        ("体育{1}\t第{0}条\t评论第{0}条", ("第3条", "评论第3条", "体育1")),
        ("{0}\t{1}\t评论第{0}条", ("评论第3条", None, "1")),
        ("{0}\t评论第{0}条\t{1}", ("评论第3条", None, "1")),
        ("{0}\t问{0}\t评论第{0}条\t{1}", ("问3", "评论第3条", "1")),
        ("A{0}\t{1}\t问{0}\t评论第{0}条", ("问3", "评论第3条", "1")),
    ],
)
def test_first_labels_and_ids_are_found_by_what_columns_hold(tmp_path, row, expected):
    """Regression: AG News, Sogou, ATIS and ATEC were refused; wrong flags were advised for ATEC."""
    lines = [row.format(n, n % 2) + "\n" for n in range(60)]
    train = read_own(tmp_path, "".join(lines[:40]), "train.tsv")
    assert rows_of(train)[3] == expected and len(train.examples) == 40
    task = own_labels.with_columns_and_labels(OWN, train)
    assert task.labels == tuple(expected[2].replace("1", n) for n in "01")
    dev = read_own(tmp_path, "".join(lines[40:]), "dev.tsv", task, "dev")
    assert [text for text, _, _ in rows_of(dev)] == [
        expected[0].replace("3", "%d" % n) for n in range(40, 60)
    ]
    texts = [cell for cell in expected[:2] if cell]
    test = read_own(tmp_path, "\t".join(texts) + "\n", "test.tsv", task, "test")
    assert rows_of(test) == [(*expected[:2], None)]


@pytest.mark.parametrize(
    "row, message",
    [
        ("{1}\t{2}\t评论第{0}条", "--label_column=1$"),  # column 2, with 0 to 3, may be the label
        ("问题{1}\t文章{0}\t0.{0}", "--regression=true|--label_column=1$"),
        ("这样一个标准问题是第{1}个\t怎么问{0}", "--label_column=1$"),
    ],
)
def test_other_first_columns_are_told_of_the_flag(tmp_path, row, message):
    lines = [row.format(n, n % 2, n % 4) + "\n" for n in range(800)]
    split = read_own(tmp_path, "".join(lines), "train.tsv")
    with pytest.raises(UserError, match="800 different labels in 800 rows.*" + message):
        own_labels.with_columns_and_labels(OWN, split)


def test_a_named_column_of_texts_is_told_of_the_flag(tmp_path):
    content = FIRST_LABELS
    content = "text,label\n" + content.replace("\t", ",")
    with pytest.raises(UserError, match="Column text has 2 values.*--label_column=text$"):
        own_labels.with_columns_and_labels(OWN, read_own(tmp_path, content))


@pytest.mark.parametrize(
    "text", "评论 评价 正文 内容 标题 comment Comment review text_1 query1 s1".split()
)
@pytest.mark.parametrize("label", "情感 情绪 意图 类别 标签 sentiment intent Label".split())
def test_common_headers_are_known(tmp_path, text, label):
    content = "%s,%s\n好,甲\n坏,乙\n好,丙\n" % (label, text)
    assert rows_of(read_own(tmp_path, content)) == [
        ("甲", None, "好"),
        ("乙", None, "坏"),
        ("丙", None, "好"),
    ]


@pytest.mark.parametrize(
    "texts",
    "text_1,text_2 query1,query2 question1,question2 s1,s2 sentence_1,sentence_2 "
    "sentence_A,sentence_B".split(),
)
@pytest.mark.parametrize("label", ["label", "is_duplicate"])
def test_common_headers_of_pairs_are_known(tmp_path, texts, label):
    split = read_own(tmp_path, texts + ",%s\n甲,乙,1\n丙,丁,0\n" % label)
    assert rows_of(split) == [("甲", "乙", "1"), ("丙", "丁", "0")]


@pytest.mark.parametrize(
    "question, other",
    [("query", "title"), ("question", "sentence"), ("question", "answer"), ("Query", "Passage")],
)
def test_a_question_and_what_may_answer_it_are_a_pair(tmp_path, question, other):
    """Regression: only the second text of QBQTC, KUAKE-QTR and QNLI was read."""
    names = "%s,%s,label" % (other, question)
    split = read_own(tmp_path, names + "\n甲,谁,1\n乙,何,0\n")
    pairs = [("谁", "甲", "1"), ("何", "乙", "0")]
    assert rows_of(split) == pairs
    note = "texts are pairs of %s and %s: for single texts pass --text_column" % (question, other)
    assert note in split.notes
    line = '{"id": %%d, "%s": "%%s", "%s": "%%s", "label": "%%s"}\n' % (question, other)
    content = "".join(line % (n, *pair) for n, pair in enumerate(pairs))
    (tmp_path / "train.csv").unlink()
    split = read_own(tmp_path, content, name="train.json")
    assert rows_of(split) == pairs and split.notes == [note]
    task = own_labels.with_columns_and_labels(OWN, split)
    test = '{"%s": "谁", "%s": "甲"}\n' % (question, other)
    assert rows_of(read_own(tmp_path, test, "test.json", task, "test")) == [("谁", "甲", None)]
    single = task._replace(columns=("text_a", "label"))  # as in models of earlier versions
    text = read_own(tmp_path, test, "test.json", single, "test").examples[0].text_a
    assert text == ("谁" if other.lower() in ("answer", "passage") else "甲")


def test_rows_of_inference_without_an_agreed_label_are_left_out(tmp_path):
    """Regression: the label - in OCNLI's and SNLI's files was trained on as a fourth class."""
    labels = ["neutral", "-", "entailment", "contradiction"]
    line = '{"sentence1": "甲%d", "sentence2": "乙", "label": "%s"}\n'
    content = "".join(line % pair for pair in enumerate(labels))
    train = read_own(tmp_path, content, "train.json")
    assert rows_of(train)[1] == ("甲2", "乙", "entailment") and len(train.examples) == 3
    assert train.notes == ["1 row was skipped because of the label - (annotators disagree)"]
    task = own_labels.with_columns_and_labels(OWN, train)
    assert task.labels == ("contradiction", "entailment", "neutral")
    dev = read_own(tmp_path, content, "dev.json", task, "dev")
    assert rows_of(dev) == rows_of(train)
    _, stream = stream_of(tmp_path, task, content)
    assert [example.label for example in stream] == ["neutral", None, *labels[2:]]
    (tmp_path / "train.json").unlink()
    signs = read_own(tmp_path, "甲,+\n乙,-\n丙,-\n丁,+\n")  # here - is a class
    assert [label for _, _, label in rows_of(signs)] == ["+", "-", "-", "+"]


def test_json_without_a_known_text_is_refused(tmp_path):
    """Regression: such rows, for instance those of CSL, were once trained on as empty texts."""
    content = '{"abst": "甲", "keyword": ["丙"], "label": "%d"}\n'
    with pytest.raises(
        UserError, match="has no text: in addition to label it has abst, keyword: name the"
    ):
        read_own(tmp_path, content % 0 + content % 1, name="train.json")


# Other reasons why data cannot be read


@pytest.mark.parametrize(
    "name, mark", [("train.csv", ";"), ("train.csv", "|"), ("train.tsv", " "), ("train.tsv", ";")]
)
@pytest.mark.parametrize("header", [True, False])
def test_another_separator_is_named(tmp_path, name, mark, header):
    rows = ["很好%s，第%d条%s%d" % ("" if n % 3 else ",真的", n, mark, n % 2) for n in range(50)]
    rows = ["text%slabel" % mark] * header + rows
    with pytest.raises(UserError, match=r"'%s'.*put (tabs|commas) there" % re.escape(mark)):
        task = OWN
        split = read_own(tmp_path, "\n".join(rows) + "\n", name, task)
        own_labels.with_columns_and_labels(task, split)


def test_the_separator_of_a_header_alone_is_named(tmp_path):
    """Regression: texts with a comma were split at it, and the advice was to skip line 1."""
    rows = ["%d;很好,第%d条" % (n % 2, n) for n in range(50)]
    with pytest.raises(UserError, match="line 1 has one column and ';' in it.* put commas there"):
        read_own(tmp_path, "\n".join(["label;text", *rows]) + "\n", "train.csv")


@pytest.mark.parametrize(
    "there, words",
    [
        (["waimai.csv"], "there: waimai.csv: for that file alone --data_dir=.*waimai.csv"),
        (["a.xlsx", "b.csv"], "there: a.xlsx, b.csv: save a.xlsx as CSV UTF-8, named train.csv"),
        (["a.csv", "b.csv"], r"there: a.csv, b.csv\)$"),
        (["notes.zip", "x.csv", "y.csv"], r"there: notes.zip, x.csv, y.csv\)$"),
        (["old.zip", "x.csv"], r"there: old.zip, x.csv: for that file alone"),
        (["data.zip"], r"there: data.zip: unpack data.zip first\)$"),
        (["dev.csv", "train.csv.gz"], r"train.csv.gz: unpack train.csv.gz first\)$"),
        ([], "the folder is empty"),
    ],
)
def test_what_is_in_the_folder_instead_is_told(tmp_path, there, words):
    for name in there:
        (tmp_path / name).write_text("x")
    with pytest.raises(UserError, match="train.csv: no such file, nor train.tsv.*" + words):
        task_reader.read_split(OWN, str(tmp_path), "train")


def test_folders_in_place_of_files_are_named(tmp_path):
    """icwb2-data, for instance, has the folders training, testing and gold."""
    for name in ("training", "gold"):
        (tmp_path / name).mkdir()
    expected = r"there: gold, training: only folders: name with --data_dir the one that has"
    for task, read in (("ner", splits.read_split), ("multiclass", task_reader.read_split)):
        with pytest.raises(UserError, match=expected):
            read(datasets.get_task(task), str(tmp_path), "train", "utf-8")
    expected += r" the files; if each is a class, write its texts into train.tsv"
    with pytest.raises(UserError, match=expected):
        task_reader.read_split(OWN, str(tmp_path), "train")
    (tmp_path / "gold" / "pku_gold.utf8").write_text("x")
    with pytest.raises(UserError, match="gold.utf8: for that file alone --data_dir=.*gold.utf8"):
        splits.read_split(datasets.get_task("cws"), str(tmp_path / "gold"), "train", "utf-8")


def test_a_workbook_in_place_of_labelled_texts_is_named(tmp_path):
    (tmp_path / "a.xlsx").write_text("x")
    task = datasets.get_task("ner")
    expected = r"there: a.xlsx: save a.xlsx as UTF-8 text, named train.txt\)$"
    with pytest.raises(UserError, match="train.txt: no such file, nor .*" + expected):
        splits.read_split(task, str(tmp_path), "train", "utf-8")


def test_several_labels_without_the_flag_are_told_in_short(tmp_path):
    names = ["事件类型%d-子类%d" % (n // 5, n) for n in range(65)]
    rows = ["%d号句子\t%s|%s" % (n, names[n % 40], names[n % 3]) for n in range(500)]
    task = own_labels.with_columns_and_labels(
        OWN, read_own(tmp_path, "\n".join(rows[:400]), "train.tsv")
    )
    dev = "\n".join("x\t%s|%s" % (names[n], names[n + 1]) for n in range(50, 60))
    with pytest.raises(UserError, match="'|'.*add --multi_label=true") as caught:
        read_own(tmp_path, dev, "dev.tsv", task, "dev")
    assert len(str(caught.value)) < 400 and "\n" not in str(caught.value)
    rows = ["%d号句子\t%s;%s%d" % (n, names[n % 40], names[n % 3], n) for n in range(500)]
    with pytest.raises(UserError, match="--multi_label=true --label_separator=';'") as caught:
        own_labels.with_columns_and_labels(OWN, read_own(tmp_path, "\n".join(rows), "train.tsv"))
    assert len(str(caught.value)) < 400


def predicted(tmp_path, content, name="test.csv", training="天气好,晴\n下大雨,雨\n出太阳,晴\n"):
    """Returns the split of a file to predict, read with the task of the training data."""
    train = read_own(tmp_path, training)
    task = own_labels.with_columns_and_labels(OWN, train)
    return read_own(tmp_path, content, name, task, "test")


@pytest.mark.parametrize(
    "content, training",
    [
        ("1,天气不错\n2,再见\n3,好\n", "天气好,晴\n下大雨,雨\n出太阳,晴\n"),
        ("序号,客户留言\n1,天气不错\n2,再见\n", "天气好,晴\n下大雨,雨\n出太阳,晴\n"),
        ("1,甲,乙\n2,丙,丁\n3,子,丑\n", "甲,乙,1\n丙,丁,0\n戊,己,1\n"),
        ("1,甲\n2,丙\n3,子\n", "甲,乙,1\n丙,丁,0\n戊,己,1\n"),
    ],
)
def test_ids_of_a_file_to_predict_are_no_texts(tmp_path, content, training):
    with pytest.raises(UserError, match="column 1 has a different number in each row: an id"):
        predicted(tmp_path, content, training=training)


def test_numbers_of_a_file_to_predict_may_be_texts(tmp_path):
    assert rows_of(predicted(tmp_path, "10086,晴\n10010,雨\n10000,雨\n")) == [
        ("10086", None, "晴"),
        ("10010", None, "雨"),
        ("10000", None, "雨"),
    ]
    texts = predicted(tmp_path, "10086\n10010\n10000\n")
    assert [example.text_a for example in texts.examples] == ["10086", "10010", "10000"]


def test_a_label_that_is_the_last_chosen_column_may_be_missing(tmp_path):
    chosen = {"text_a": "2", "label": "3"}
    train = read_chosen(tmp_path, "G1\t甲\t好\nG2\t乙\t坏\nG3\t丙\t好\n", "train.tsv", **chosen)
    task = own_labels.with_columns_and_labels(OWN._replace(chosen=chosen), train)
    split = read_own(tmp_path, "G4\t丁\nG5\t戊\n", "test.tsv", task, "test")
    assert rows_of(split) == [("丁", None, None), ("戊", None, None)]
    with pytest.raises(UserError, match="--text_column=2: .* has no such column: expected 1 to 1"):
        read_own(tmp_path, "丁\n戊\n己\n", "dev.tsv", task, "dev")


@pytest.mark.parametrize("value", ["NaN", "Infinity"])
def test_what_is_none_of_jsons_values_is_no_label(tmp_path, value):
    content = '{"text": "甲", "label": "a"}\n{"text": "乙", "label": %s}\n' % value
    with pytest.raises(UserError, match="line 2: not valid JSON: %s is not a JSON" % value):
        read_own(tmp_path, content, "train.json")


@pytest.mark.parametrize("cell", ["\"['物流', '价格']\"", '"[""物流"", ""价格""]"', "物流|价格"])
def test_several_labels_may_be_a_list_in_a_cell(tmp_path, cell):
    task = OWN._replace(objective="multi_label")
    content = "text,label\n一,%s\n二,物流\n三,[]\n四,[尾款\n" % cell
    split = read_own(tmp_path, content, task=task)
    assert [example.label for example in split.examples] == ["物流|价格", "物流", "", "[尾款"]
