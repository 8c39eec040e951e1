"""Conversion of word pieces to text."""

import pytest

from albert_zh.text import detokenization


@pytest.mark.parametrize(
    "pieces, text",
    [
        ("用 be ##rt base 做 分 类", "用bert base做分类"),
        ("3 . 5 % 的 gdp", "3.5%的gdp"),
        ("c ##1 型", "c1型"),
        ("##", "##"),
        ("", ""),
    ],
)
def test_text_of_pieces(pieces, text):
    pieces = pieces.split()
    assert detokenization.text_of_pieces(pieces) == text
    for end in range(len(pieces)):
        assert text.startswith(detokenization.text_of_pieces(pieces[:end]))


def test_an_empty_entry_of_the_vocabulary_adds_nothing():
    """The released vocabulary has one: its line is a Unicode line end, which is stripped."""
    assert detokenization.text_of_pieces(["用", "bert", "", "base"]) == "用bert base"
