"""Parting raw text; what is excluded and held out is tested with train_starter, which calls it."""

import os
import sys

import pytest

from errors import UserError
import small_models
from workspace import ROOT

sys.path.insert(0, os.path.join(ROOT, "scripts"))
import split_corpus  # noqa: E402

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
