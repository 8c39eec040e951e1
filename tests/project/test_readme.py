"""Both READMEs agree; the files, links and flags that the documents name exist."""

import ast
import functools
import glob
import os
import re
import subprocess
import sys

import pytest

from albert_zh.common import config_flag
from project_root import ROOT


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
    """The anchors that GitHub derives from a page's headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", pages())
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", read(page)):
        path, _, anchor = target.partition("#")
        path = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
        assert os.path.exists(os.path.join(ROOT, path)), target
        assert not anchor or anchor in anchors_of(read(path)), target


FLAG_KINDS = ("string", "integer", "bool", "boolean", "float", "enum", "list")


def flags_defined_in(source):
    """Yields the flags that a program's source defines, in calls or in tables of (kind, name)."""

    def constant(node):
        return getattr(node, "value", getattr(node, "s", None))  # .s in Python 3.7

    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Call):
            function = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if re.match("DEFINE_|add_argument$|addoption$", function):
                names = [constant(argument) for argument in node.args[:1]]
        elif isinstance(node, ast.Tuple) and len(node.elts) > 1:
            kind, name = map(constant, node.elts[:2])
            names = [name] if kind in FLAG_KINDS else []
        yield from (name.lstrip("-") for name in names if isinstance(name, str))


@functools.lru_cache(maxsize=None)  # commands share most modules
def flags_of_file(path):
    return frozenset(flags_defined_in(read(path)))


def flags_of_files(paths):
    return set(config_flag.NAMES).union(*[flags_of_file(path) for path in paths])


def test_every_flag_in_the_readme_exists():
    programs = [os.path.join("tests", "conftest.py")]
    for pattern in ("albert_zh/**/*.py", "scripts/*.py", "benchmarks/*.py"):
        programs += glob.glob(os.path.join(ROOT, pattern), recursive=True)
    defined = flags_of_files(programs)
    flags = set(re.findall(r"--(\w{3,})", read("README.md"))) - {"help"}
    assert len(flags) > 40 and flags - defined == set()


def with_imports(program):
    """Paths of a program and of all modules of the project that it imports."""
    found, waiting = set(), [program]
    while waiting:
        path = waiting.pop()
        if path not in found and os.path.exists(os.path.join(ROOT, path)):
            found.add(path)
            folders = {"", os.path.dirname(path)}
            names = modules_imported_in(path)
            waiting += [os.path.join(folder, name + ".py") for name in names for folder in folders]
    return found


@functools.lru_cache(maxsize=None)
def modules_imported_in(path):
    return frozenset(imports_in(read(path)))


def imports_in(source):
    """Yields paths without extension of possible imports: modules, and names in modules."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module] + ["%s.%s" % (node.module, alias.name) for alias in node.names]
        else:
            names = []
        yield from (name.replace(".", "/") for name in names)


def test_every_flag_of_a_command_in_the_readme_is_defined_where_the_program_looks():
    commands = list(shown_commands(read("README.md")))
    assert len(commands) > 10
    for program, flags in commands:
        assert flags - flags_of_files(with_imports(program)) == set(), program


def shown_commands(text):
    """Yields (program, flags) of each command in a text that calls a program of the project."""
    text = re.sub(r"\\+\n[#\s]*", " ", text)
    for program, arguments in re.findall(r"python\S* ((?:\w+/)*\w+\.py)\b([^\n`|>#；，]*)", text):
        if os.path.exists(os.path.join(ROOT, program)):
            yield program, set(re.findall(r" --(\w+)", re.sub("'.*?'", "", arguments)))


def flags_of(program):
    """The flags of a program, including --noNAME of booleans; None if PyTorch is missing for it."""
    for help_flag in ("--helpfull", "--help"):  # absl's, argparse's
        command = [sys.executable, program, help_flag]
        shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        found = re.findall(r"--(\[no\])?(\w+)", shown.stdout)
        if found:
            break
        if "No module named 'torch'" in shown.stderr:
            return None
    return {name for _, name in found} | {"no" + name for is_boolean, name in found if is_boolean}


def test_shown_commands_are_found_with_their_flags():
    text = "```\n.venv/bin/python run_pretraining.py --do_train \\\n --x_y='-a --b' | sort --z\n```"
    assert list(shown_commands(text)) == [("run_pretraining.py", {"do_train", "x_y"})]


@pytest.mark.slow
def test_every_flag_of_a_shown_command_is_one_of_that_program():
    if not os.path.exists(os.path.join(ROOT, ".git")):
        pytest.skip("needs a git checkout, which tells the project's files from others")
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
