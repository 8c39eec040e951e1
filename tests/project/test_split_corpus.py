"""scripts/split_corpus.py: held-out and excluded documents (see also test_train_starter.py)."""

import json
import os
import sys

import pytest

from albert_zh.common import files
from albert_zh.common.errors import UserError
from albert_zh.corpus import reader as corpus_reader
import small_models
from workspace import ROOT

sys.path.insert(0, os.path.join(ROOT, "scripts"))
import split_corpus

NEWS = os.path.join(ROOT, "data", "news_sample.txt")


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path):
    (tmp_path / "out").write_text("x")
    arguments = ["--input_file=" + NEWS, "--output_dir=%s" % (tmp_path / "out")]
    with pytest.raises(UserError, match="--output_dir=.*/out: cannot be written .File exists"):
        small_models.run_command(split_corpus, arguments)
    assert (tmp_path / "out").read_text() == "x"


def test_text_of_another_encoding_is_parted_by_its_name(tmp_path):
    text = "甲一二三四五六七八九。\n\n乙一二三四五六七八九。\n\n"
    (tmp_path / "gbk.txt").write_bytes(text.encode("gb18030"))
    arguments = ["--input_file=%s" % (tmp_path / "gbk.txt"), "--output_dir=%s" % tmp_path]
    with pytest.raises(UserError, match="pass --encoding=gb18030"):
        small_models.run_command(split_corpus, arguments)
    small_models.run_command(split_corpus, arguments + ["--encoding=gb18030", "--held_out_every=2"])
    assert (tmp_path / "train.txt").read_text(encoding="utf-8") == text[: len(text) // 2]
    assert (tmp_path / "held_out.txt").read_text(encoding="utf-8") == text[len(text) // 2 :]


def test_its_own_parts_are_no_text(tmp_path):
    text = "".join("第%d篇的一二三四五六七八九。\n\n" % number for number in range(10))
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    arguments = ["--output_dir=%s" % tmp_path, "--held_out_every=2"]
    for pattern in ("*.txt", "*.txt", ""):
        small_models.run_command(
            split_corpus, arguments + ["--input_file=%s" % (tmp_path / pattern)]
        )
        assert files.read_json(str(tmp_path / "counts.json"))["documents"] == 10
    text_in = "--input_file=%s" % (tmp_path / "a.txt")
    written = "--%s=" + str(tmp_path / "train.txt")
    for flags in ([written % "input_file"], [text_in, written % "exclude_file"]):
        with pytest.raises(UserError, match="train.txt would be overwritten"):
            small_models.run_command(split_corpus, arguments + flags)
    (tmp_path / "a.txt").unlink()
    for pattern in ("*.txt", ""):
        with pytest.raises(UserError, match="there are only files that this command writes"):
            small_models.run_command(
                split_corpus, arguments + ["--input_file=%s" % (tmp_path / pattern)]
            )
    assert "第4篇" in (tmp_path / "train.txt").read_text(encoding="utf-8")


LINE = "骚扰短信一天二十条，开启ＶＩＰ拦截就清净"
SAME = "骚扰短信一天二十条,开启vip拦截就清净！"
# Files of tasks in several formats, each of which contains the same text.
TASKS = {
    "test.csv": 'text,label\n"%s",手机\n' % SAME,
    "test.tsv": "1\t%s\n" % SAME,
    "lines.txt": json.dumps({"sentence": SAME, "label": 1}, ensure_ascii=False) + "\n",
    "lines.json": json.dumps({"id": 1}) + "\n" + json.dumps({"a": {"text": SAME}}) + "\n",
    "list.json": json.dumps([{"paragraphs": [{"qas": ["x", SAME]}]}], indent=1),
    "cell.csv": 'text\n"甲\n%s"\n' % SAME,
}


def split(folder, text, **settings):
    """Splits a text and returns [train.txt, held_out.txt, counts]."""
    (folder / "texts.txt").write_text(text, encoding="utf-8")
    settings = dict({"held_out_every": 2, "output_dir": folder / "out"}, **settings)
    arguments = ["--%s=%s" % item for item in settings.items()]
    small_models.run_command(split_corpus, ["--input_file=%s" % (folder / "texts.txt")] + arguments)
    parts = [files.read_text(str(folder / "out" / name)) for name in ("train.txt", "held_out.txt")]
    return parts + [files.read_json(str(folder / "out" / "counts.json"))]


@pytest.mark.parametrize("name", sorted(TASKS))
def test_a_text_is_excluded_however_the_task_writes_it(name, tmp_path):
    (tmp_path / name).write_text(TASKS[name], encoding="utf-8")
    text = "一。\n%s\n\n二。\n\n三。\n\n" % LINE
    train, held_out, counts = split(tmp_path, text, exclude_file=tmp_path / name)
    assert (train, held_out) == ("三。\n\n", "二。\n\n")
    assert (counts["documents"], counts["excluded documents"]) == (3, 1)
    assert (counts["held-out documents"], counts["characters"]) == (1, 4)


def test_excluded_files_are_utf8_or_in_the_encoding_of_the_texts(tmp_path, capsys):
    text = "%s\n\n二。\n\n" % LINE
    (tmp_path / "gbk.txt").write_bytes(SAME.encode("gb18030"))
    with pytest.raises(UserError, match="gbk.txt, line 1.*gb18030"):
        split(tmp_path, text, exclude_file=tmp_path / "gbk.txt")
    text_format = corpus_reader.TextFormat("gb18030")
    texts = split_corpus.excluded_texts(str(tmp_path / "gbk.txt"), text_format)
    assert texts == {split_corpus.normalized(LINE)}
    (tmp_path / "short.txt").write_text("好的\n", encoding="utf-8")
    split(tmp_path, text, exclude_file=tmp_path / "short.txt")
    assert "short.txt: no text of 9 letters or more in it" in capsys.readouterr().err


def test_sentences_of_paragraphs_are_excluded(tmp_path):
    (tmp_path / "test.txt").write_text(SAME, encoding="utf-8")
    text = "一。%s！二。\n\n三。四。\n\n" % LINE
    split_up = split(tmp_path, text, exclude_file=tmp_path / "test.txt", split_sentences="true")
    assert split_up[:2] == ["", "三。\n四。\n\n"]
    (tmp_path / "test.txt").write_text("五。%s！" % SAME, encoding="utf-8")  # several sentences
    split_up = split(tmp_path, text, exclude_file=tmp_path / "test.txt", split_sentences="true")
    assert split_up[2]["excluded documents"] == 1


def test_where_nothing_is_left_no_parts_are_written(tmp_path):
    with pytest.raises(UserError, match="--input_file=.*texts.txt: has no text"):
        split(tmp_path, "\n \n")
    (tmp_path / "test.txt").write_text(LINE, encoding="utf-8")
    text = "%s\n\n一。\n%s\n" % (LINE, SAME)
    with pytest.raises(UserError, match="--exclude_file=.*test.txt: has lines of all 2 documents"):
        split(tmp_path, text, exclude_file=tmp_path / "test.txt")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("excluded_line", [None, 0, 39999])
def test_a_long_document_is_one_wherever_it_goes(excluded_line, tmp_path, capsys):
    lines = ["第%d行是别处没有的一行文字" % number for number in range(40000)]
    settings = {}
    if excluded_line is not None:
        (tmp_path / "test.txt").write_text(lines[excluded_line], encoding="utf-8")
        settings["exclude_file"] = tmp_path / "test.txt"
    document = "".join(line + "\n" for line in lines) + "\n"
    first, last = "甲。\n\n", "乙。\n\n"
    train, held_out, counts = split(tmp_path, first + document + last, **settings)
    assert train == first + last
    assert held_out == ("" if settings else document)
    assert (counts["documents"], counts["excluded documents"]) == (3, len(settings))
    assert "warning" not in capsys.readouterr().err


def test_a_file_without_blank_lines_is_told(tmp_path, capsys):
    assert split(tmp_path, "一。\n二。\n")[2]["documents"] == 1
    shown = capsys.readouterr().err
    assert "warning: files without a blank line, each of which is read as one document: 1" in shown
