"""Each page docs/X_zh.md has the structure, commands, names and figures of docs/X.md."""

import glob
import os
import re

import pytest

from project_root import ROOT

PAGES = [
    os.path.basename(path)[: -len("_zh.md")]
    for path in sorted(glob.glob(os.path.join(ROOT, "docs", "*_zh.md")))
]
NUMBER = r"\d[\d,.]*\d|\d"
FENCED = re.compile(r"^```.*?^```$", re.S | re.M)
INDENTED = re.compile(r"(?:^    .*\n)+", re.M)


def read(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as handle:
        return handle.read()


def english_and_chinese(page):
    return read("docs", page + ".md"), read("docs", page + "_zh.md")


def prose(text):
    """A page without its code blocks."""
    return INDENTED.sub("", FENCED.sub("", text))


def named_code(text):
    """The names in backticks in a page's prose: flags, files, functions."""
    return {re.sub(r"\s+", " ", name) for name in re.findall(r"`([^`]+)`", prose(text))}


def headings(text):
    """The level of each heading, in order."""
    return [len(marks) for marks in re.findall(r"^(#+) ", prose(text), re.M)]


def row_numbers(text):
    """The sorted numbers of each table row, in order."""
    return [sorted(re.findall(NUMBER, row)) for row in re.findall(r"^\|.*", prose(text), re.M)]


def section_numbers(text):
    """The set of numbers in each section's prose and tables, without link targets."""
    sections = re.split(r"^#+ .*$", re.sub(r"\]\(.*?\)", "]", prose(text)), flags=re.M)
    return [set(re.findall(NUMBER, section)) for section in sections]


def test_the_pages_users_need_exist_in_chinese():
    assert {"performance", "pretraining", "results", "starter_model"} <= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_both_languages_link_to_each_other_below_the_title(page):
    english, chinese = english_and_chinese(page)
    assert english.split("\n")[2] == "[中文](%s_zh.md)" % page
    assert chinese.split("\n")[2] == "[English](%s.md)" % page


@pytest.mark.parametrize("page", PAGES)
def test_both_languages_have_the_same_headings(page):
    english, chinese = english_and_chinese(page)
    assert headings(english) == headings(chinese) != []


@pytest.mark.parametrize("page", PAGES)
def test_both_languages_have_the_same_code_blocks(page):
    english, chinese = english_and_chinese(page)
    for block in (FENCED, INDENTED):
        assert block.findall(english) == block.findall(chinese)
    assert FENCED.search(english) or INDENTED.search(english)


@pytest.mark.parametrize("page", PAGES)
def test_both_languages_name_the_same_flags_files_and_functions(page):
    english, chinese = english_and_chinese(page)
    assert named_code(english) == named_code(chinese) != set()


@pytest.mark.parametrize("page", PAGES)
def test_both_languages_have_the_same_numbers(page):
    english, chinese = english_and_chinese(page)
    assert row_numbers(english) == row_numbers(chinese) != []
    assert section_numbers(english) == section_numbers(chinese)


@pytest.mark.parametrize("page", PAGES)
def test_each_readme_links_to_the_page_in_its_language(page):
    english, chinese = "docs/%s.md" % page, "docs/%s_zh.md" % page
    assert chinese in read("README.md") and english not in read("README.md")
    assert english in read("README_en.md") and chinese not in read("README_en.md")
