"""scripts/task_texts.py: the texts of a task's training file as a corpus."""

import json
import os
import sys

import pytest

from albert_zh.common.errors import UserError
from albert_zh.corpus import reader as corpus_reader
import small_models
from workspace import ROOT

sys.path.append(os.path.join(ROOT, "scripts"))

import task_texts


def texts_of(data_dir, tmp_path, *arguments):
    output = tmp_path / "texts.txt"
    flags = ["--data_dir=%s" % data_dir, "--output_file=%s" % output, *arguments]
    small_models.run_command(task_texts, flags)
    return output.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name, content, flags",
    [
        ("train.txt", "甲\t乙\t1\n丙\t丁\t0\n甲\t乙\t0\n", []),
        ("train.txt", "text_a\ttext_b\tlabel\n甲\t乙\t1\n丙\t丁\t0\n", ["--task_name=LCQMC"]),
        ("train.csv", "sentence1,sentence2,label\n甲,乙,1\n丙,丁,0\n", []),
        ("train.csv", 'text_a,text_b,label\n"甲\n",乙,1\n丙,丁,0\n', ["--encoding=gb18030"]),
    ],
)
def test_each_pair_is_a_document(tmp_path, name, content, flags):
    encoding = "gb18030" if flags == ["--encoding=gb18030"] else "utf-8"
    (tmp_path / name).write_bytes(content.encode(encoding))
    assert texts_of(tmp_path, tmp_path, *flags) == "甲\n乙\n\n丙\n丁\n\n"


def test_the_corpus_has_a_document_for_each_row(tmp_path):
    """The corpus reader counts one document per row."""
    texts_of(os.path.join(ROOT, "data", "pairs_sample"), tmp_path)
    shards = corpus_reader.read_shards([str(tmp_path / "texts.txt")], corpus_reader.PLAIN)
    documents = [document for shard in shards for document in shard.documents]
    with open(os.path.join(ROOT, "data", "pairs_sample", "train.txt"), encoding="utf-8") as stream:
        rows = {tuple(line.rstrip("\n").split("\t")[:2]) for line in list(stream)[1:]}
    assert len(documents) == len(rows) and set(map(tuple, documents)) == rows


def test_single_texts_name_the_setting_for_them(tmp_path, capsys):
    rows = [{"sentence": "今天天气好", "label": "a"}, {"sentence": "好天气", "label": "b"}]
    content = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "own.jsonl").write_text(content, encoding="utf-8")
    assert texts_of(tmp_path / "own.jsonl", tmp_path) == "今天天气好\n\n好天气\n\n"
    assert "else ONE_SEGMENT=true" in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags, problem",
    [
        (["--output_file="], "--output_file is required"),
        (["--output_file={}/train.txt"], "train.txt would be overwritten: name another"),
        (["--task_name=sentences"], "its files have several forms: for pairs"),
        (["--data_dir={}/nowhere"], "nowhere: no such folder"),
    ],
)
def test_what_is_refused(tmp_path, flags, problem):
    content = "甲\t乙\t1\n丙\t丁\t0\n"
    (tmp_path / "train.txt").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=problem):
        texts_of(tmp_path, tmp_path, *[flag.format(tmp_path) for flag in flags])
    assert (tmp_path / "train.txt").read_text(encoding="utf-8") == content
