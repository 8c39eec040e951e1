"""scripts/title_pairs.py: pairs of a title and a sentence from raw text."""

import gzip
import os
import sys

import pytest

from albert_zh.common.errors import UserError
import small_models
from workspace import ROOT

sys.path.append(os.path.join(ROOT, "scripts"))

import title_pairs

TEXT = """标题是这一句话吗？

怎么开户比较方便快捷
可以在网上填写申请表。
带上身份证到柜台开户最方便。
快捷的是手机。
怎么开户怎么开户比较方便快捷

太短
只有一句话能用在这里。

只有一句话不够长吗？
短
只有这一句可以。
"""


def run(*arguments):
    small_models.run_command(title_pairs, list(arguments))


def test_a_title_that_is_repeated_is_no_sentence_of_it(tmp_path):
    path, output = tmp_path / "text.txt", tmp_path / "pairs.tsv"
    title, sentence = "图书馆延长开放时间", "读者可以在馆内停留到晚上十点。"
    path.write_bytes("\n".join([title, title, sentence, ""]).encode("utf-8-sig"))
    run("--input_file=%s" % path, "--output_file=%s" % output)
    assert output.read_text("utf-8") == "%s\t%s\n" % (title, sentence)
    path.write_bytes("\n".join([title, title, sentence, ""]).encode("utf-16"))
    run("--input_file=%s" % path, "--output_file=%s" % output, "--encoding=utf-16")
    assert output.read_text("utf-8") == "%s\t%s\n" % (title, sentence)


def test_a_pattern_that_fits_the_output_does_not_mean_it(tmp_path):
    """Regression: the second call was refused because of the file that the first had written."""
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    output = tmp_path / "pairs.txt"
    for _ in range(2):
        run("--input_file=%s/*.txt" % tmp_path, "--output_file=%s" % output)
        assert len(output.read_text(encoding="utf-8").splitlines()) == 2


def test_the_sentence_that_shares_most_with_the_title_is_taken(tmp_path, capsys):
    path = tmp_path / "text.txt.gz"
    path.write_bytes(gzip.compress(TEXT.encode("utf-8")))
    output = tmp_path / "pairs.tsv"
    run("--input_file=%s" % path, "--output_file=%s" % output)
    assert sorted(output.read_text(encoding="utf-8").split("\n")[:-1]) == [
        "只有一句话不够长吗？\t只有这一句可以。",
        "怎么开户比较方便快捷\t带上身份证到柜台开户最方便。",
    ]
    assert "2 pairs of 2" in capsys.readouterr().out
    run("--input_file=%s" % path, "--output_file=%s" % output, "--most=1")
    assert len(output.read_text(encoding="utf-8").split("\n")) == 2


def test_what_is_missing_is_told(tmp_path):
    with pytest.raises(UserError, match="--output_file is required"):
        run("--input_file=x")
    path = tmp_path / "text.txt"
    path.write_text("一\n二\n", encoding="utf-8")
    with pytest.raises(UserError, match="no document with a title and a sentence"):
        run("--input_file=%s" % path, "--output_file=%s" % (tmp_path / "pairs.tsv"))
    path.write_bytes("怎么开户".encode("gbk"))
    with pytest.raises(UserError, match="text.txt, line 1"):
        run("--input_file=%s" % path, "--output_file=%s" % (tmp_path / "pairs.tsv"))
