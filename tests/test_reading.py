"""Reading the files of tasks: forms, headers, bad rows; own data; whole data sets."""

import os

import pytest

from errors import UserError
import reading
import tasks

LCQMC = tasks.TASKS["lcqmc"]


def read(tmp_path, content, name="train", task=LCQMC, **settings):
    if isinstance(content, str):
        content = content.encode("utf-8")
    (tmp_path / task.files[name]).write_bytes(content)
    return reading.read_split(task, str(tmp_path), name, **settings)


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
    assert len(split.examples) == 2 and split.notes == ["2 blank lines are left out"]


def test_quotes_and_line_separators_are_literal(tmp_path):
    split = read(tmp_path, '"甲\t乙"\u2028\x0b"\t1\n')
    assert rows_of(split) == [('"甲', '乙"\u2028\x0b"', "1")]


def test_sentence_pair_has_its_label_first(tmp_path):
    split = read(tmp_path, "1\t甲\t乙\n", task=tasks.TASKS["sentence_pair"])
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
        ("x" * 1000000 + "\n", ["line 1", "1 column,"]),
        (bytes(bytearray(range(256))) * 20, ["not UTF-8"]),
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
        reading.read_split(LCQMC, str(tmp_path / "none"), "train")
    with pytest.raises(UserError, match="dev.txt"):
        reading.read_split(LCQMC, str(tmp_path), "dev")


def test_bad_rows_are_left_out_and_counted_when_asked(tmp_path):
    split = read(tmp_path, "甲\t乙\t1\n丙\t丁\n戊\t己\t7\n", skip_bad_rows=True)
    assert rows_of(split) == [("甲", "乙", "1")]
    assert "left out 2 of 3 rows" in split.notes[0]


def test_gbk_file_is_read_with_its_encoding(tmp_path):
    split = read(tmp_path, "甲\t乙\t1\n".encode("gbk"), encoding="gb18030")
    assert rows_of(split) == [("甲", "乙", "1")]


def test_remarkable_texts_are_kept_and_counted(tmp_path):
    split = read(tmp_path, "甲\t \t1\n\t丁\t0\n戊\0\t己\t1\n")
    assert len(split.examples) == 3
    assert "2 rows have an empty text (first: line 1)" in split.notes
    assert "1 rows have NUL bytes, which the tokenizer drops (first: line 3)" in split.notes


def test_unknown_task_names_the_known_ones():
    with pytest.raises(UserError, match="'lcqcm'.*iflytek, lcqmc, lcqmc_pair"):
        tasks.get_task("lcqcm")
    assert tasks.get_task("LCQMC") is LCQMC


def test_whole_data_sets_read(shared):
    """Row counts as the data's README states them."""
    counts = {("lcqmc", "dev"): 8802, ("lcqmc", "test"): 12500, ("afqmc", "train"): 34334}
    counts.update({("afqmc", "dev"): 4316, ("afqmc", "test"): 3861})
    for (folder, name), count in counts.items():
        split = reading.read_split(LCQMC, os.path.join(shared, "data", folder), name)
        assert len(split.examples) == count, (folder, name)
        assert split.has_labels == ((folder, name) != ("afqmc", "test"))
