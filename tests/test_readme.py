"""Both READMEs say the same, and what they name is there."""

import glob
import os
import re
import subprocess
import sys

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


def test_both_languages_have_the_same_figures_in_each_line():
    texts = [
        re.sub("UTF-8|[a-z]*float16", "", read(name)) for name in ("README.md", "README_en.md")
    ]
    lines = [text.split("\n") for text in texts]
    assert len(lines[0]) == len(lines[1])
    for number, pair in enumerate(zip(*lines), start=1):
        chinese, english = (set(re.findall(r"\d[\d,.]*\d|\d", line)) for line in pair)
        assert chinese == english, number


@pytest.mark.parametrize("name", ["README.md", "README_en.md", "CONTRIBUTING.md"])
def test_linked_and_named_files_are_there(name):
    text = read(name)
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    commands = re.findall(r"(?:bash|python) ([\w/]+\.(?:sh|py))", text)
    assert links and commands
    for path in links + commands:
        assert os.path.exists(os.path.join(ROOT, path)), path


def pages():
    """Paths of all Markdown files, from the root."""
    patterns = ("*.md", "docs/*.md", "data/**/*.md", "albert_*/*.md", "android/**/*.md")
    found = [glob.glob(os.path.join(ROOT, p), recursive=True) for p in patterns]
    return sorted(os.path.relpath(path, ROOT) for paths in found for path in paths)


def anchors_of(text):
    """The anchors that are made of a page's headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages())
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", read(page)):
        path, _, anchor = target.partition("#")
        path = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
        assert os.path.exists(os.path.join(ROOT, path)), target
        assert not anchor or anchor in anchors_of(read(path)), target


def test_every_flag_in_the_readme_exists():
    programs = glob.glob(os.path.join(ROOT, "*.py")) + [os.path.join(ROOT, "tests", "conftest.py")]
    for folder in ("scripts", "benchmarks"):
        programs += glob.glob(os.path.join(ROOT, folder, "*.py"))
    known = "".join(map(read, programs))
    flags = set(re.findall(r"--(\w{3,})", read("README.md"))) - {"help"}
    defined = set(re.findall(r'"(?:--)?(\w{3,})"', known))
    defined |= {name for names in re.findall(r'"([a-z_ ]+)"', known) for name in names.split()}
    assert flags - defined == set()


def shown_commands(text):
    """(program, flags) of each call of one of the project's programs that a text shows."""
    text = re.sub(r"\\+\n[#\s]*", " ", text)
    for program, arguments in re.findall(r"python\S* ((?:\w+/)*\w+\.py)\b([^\n`|>#；，]*)", text):
        if os.path.exists(os.path.join(ROOT, program)):
            yield program, set(re.findall(r" --(\w+)", re.sub("'.*?'", "", arguments)))


def flags_of(program):
    """The flags that a program knows, --noNAME of booleans included; None if it can't run here."""
    for help_flag in ("--helpfull", "--help"):  # absl's, argparse's
        command = [sys.executable, program, help_flag]
        told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        found = re.findall(r"--(\[no\])?(\w+)", told.stdout)
        if found:
            break
        if "No module named 'torch'" in told.stderr:
            return None
    return {name for _, name in found} | {"no" + name for is_boolean, name in found if is_boolean}


def test_shown_commands_are_found_with_their_flags():
    text = "```\n.venv/bin/python run_pretraining.py --do_train \\\n --x_y='-a --b' | sort --z\n```"
    assert list(shown_commands(text)) == [("run_pretraining.py", {"do_train", "x_y"})]


@pytest.mark.slow
def test_every_flag_of_a_shown_command_is_one_of_that_program():
    names = subprocess.check_output(["git", "ls-files", "*.md", "*.py", "*.sh"], cwd=ROOT)
    shown = [
        (name, program, flags)
        for name in names.decode().split()
        if not name.startswith("tests/") and os.path.isfile(os.path.join(ROOT, name))
        for program, flags in shown_commands(read(name))
    ]
    known = {program: flags_of(program) for program in {program for _, program, _ in shown}}
    assert set() not in known.values()
    unknown = [
        (name, program, flags - known[program])
        for name, program, flags in shown
        if known[program] is not None
    ]
    assert [found for found in unknown if found[2]] == []
