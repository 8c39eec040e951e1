"""Both READMEs say the same, and what they name is there."""

import glob
import os
import re

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def read(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as handle:
        return handle.read()


def code_blocks(text):
    blocks = re.findall(r"```.*?\n(.*?)```", text, re.S)
    return [re.sub(r" *#.*", "", block) for block in blocks]


def test_both_languages_have_the_same_commands_tables_and_sections():
    chinese, english = read("README.md"), read("README_en.md")
    assert code_blocks(chinese) == code_blocks(english)
    for mark in (r"^## ", r"^\|", r"^\*\*"):
        counts = [len(re.findall(mark, text, re.M)) for text in (chinese, english)]
        assert counts[0] == counts[1], mark


@pytest.mark.parametrize("name", ["README.md", "README_en.md", "CONTRIBUTING.md"])
def test_linked_and_named_files_are_there(name):
    text = read(name)
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    commands = re.findall(r"(?:bash|python) ([\w/]+\.(?:sh|py))", text)
    assert links and commands
    for path in links + commands:
        assert os.path.exists(os.path.join(ROOT, path)), path


def test_every_flag_in_the_readme_exists():
    programs = glob.glob(os.path.join(ROOT, "*.py"))
    for folder in ("scripts", "benchmarks"):
        programs += glob.glob(os.path.join(ROOT, folder, "*.py"))
    known = "".join(map(read, programs))
    flags = set(re.findall(r"--(\w{3,})", read("README.md"))) - {"help"}
    unknown = [flag for flag in flags if '"%s"' % flag not in known and "--" + flag not in known]
    assert unknown == []
