"""The Python and bash blocks of the export documents run as printed.

The blocks of a page run one after the other in a folder that resembles a checkout and contains
small models with random weights. A comment before a block says why it cannot run here:

    <!-- not run: needs a phone -->

A Python block continues the Python blocks before it in its section. A block that a page repeats
runs only once. The Chinese pages have the same blocks (test_docs_languages.py).
"""

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys

import pytest

import small_models
from workspace import ROOT

PAGES = ("mobile", "android", "conversion")
COPIED = ("albert_zh", "pytorch", "scripts", "albert_config")  # folders that the blocks need
BLOCK = re.compile(r"(?:<!-- not run: ([^\n]+) -->\n\n?)?```(\w+)\n(.*?)```", re.S)


class Block:
    """A block of a page.

    Attributes:
        language: as the page names it.
        text: the code to run; for Python, preceded by the Python blocks before it in its section.
        reason: why the block cannot run, or None.
    """

    def __init__(self, language, text, reason):
        self.language, self.text, self.reason = language, text, reason

    def missing_library(self):
        """The first library that the block imports and that is not installed, or None."""
        names = imported_names(self.text) if self.language == "python" else []
        names += ["tf2onnx"] if "--format=onnx" in self.text else []
        return next((name for name in names if not is_importable(name)), None)


def imported_names(code):
    """Top-level names of the modules that Python code imports."""
    nodes = list(ast.walk(ast.parse(code)))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom)]
    return [name.split(".")[0] for name in names]


def is_importable(name):
    """Whether a module can be imported; `modeling_albert_zh` is part of converted folders."""
    return name == "modeling_albert_zh" or importlib.util.find_spec(name) is not None


def blocks_of(page):
    """The distinct blocks of a page, in order."""
    with open(os.path.join(ROOT, "docs", page + ".md"), encoding="utf-8") as handle:
        content = handle.read()
    found = {}
    for section in re.split(r"\n##+ ", content):
        before = ""
        for reason, language, text in BLOCK.findall(section):
            if language == "python":
                text = before = before + text
            if language in ("python", "bash"):
                found.setdefault(text, Block(language, text, reason or None))
    return list(found.values())


class Checkout:
    """A folder with programs, data and models, in which the blocks of a page run in order."""

    def __init__(self, page, folder):
        self.folder, self._blocks = str(folder), blocks_of(page)
        self._results = []
        for name in os.listdir(ROOT):
            if name.endswith(".py") or name.startswith("requirements"):
                shutil.copy(os.path.join(ROOT, name), self.folder)
        for name in filter(lambda name: os.path.isdir(os.path.join(ROOT, name)), COPIED):
            shutil.copytree(os.path.join(ROOT, name), os.path.join(self.folder, name))
        for name in ("data", "albert_starter_zh"):
            os.symlink(os.path.join(ROOT, name), os.path.join(self.folder, name))
        os.symlink(sys.prefix, os.path.join(self.folder, ".venv"))
        os.mkdir(os.path.join(self.folder, "tmp"))
        self._write_models()

    def _write_models(self):
        vocabulary = small_models.starter_vocabulary()
        settings = {"max_seq_length": 128}
        for number, name in enumerate(
            ("lcqmc_output/best", "multiclass_output/best", "prev_trained_model/albert_tiny_zh")
        ):
            small_models.write_model(
                os.path.join(self.folder, name),
                seed=number,
                vocabulary=vocabulary,
                settings=settings,
                max_position_embeddings=128,
            )
        faq = os.path.join(self.folder, "embedding_output", "best")
        small_models.write_embedding_model(faq, vocabulary=vocabulary)
        best = os.path.join(self.folder, "lcqmc_output", "best")
        for name in os.listdir(best):  # a checkpoint saved during training
            shutil.copy(
                os.path.join(best, name),
                os.path.join(
                    self.folder, "lcqmc_output", name.replace("albert_model.ckpt", "model.ckpt-464")
                ),
            )

    def result_of(self, number):
        """The `subprocess.CompletedProcess` of a block; the blocks before it run first, once."""
        while len(self._results) <= number:
            block = self._blocks[len(self._results)]
            can_run = block.reason is None and block.missing_library() is None
            self._results.append(self._run(block) if can_run else None)
        return self._results[number]

    def _run(self, block):
        environment = dict(os.environ, PYTHONPATH=self.folder, VIRTUAL_ENV=sys.prefix)
        environment["PATH"] = os.pathsep.join(
            [os.path.dirname(sys.executable), environment["PATH"]]
        )
        programs = {"python": [sys.executable, "-c"], "bash": ["bash", "-euo", "pipefail", "-c"]}
        return subprocess.run(
            programs[block.language] + [block.text.replace("/tmp/", self.folder + "/tmp/")],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )


ALL_BLOCKS = [(page, number) for page in PAGES for number in range(len(blocks_of(page)))]


@pytest.fixture(scope="module")
def checkouts(tmp_path_factory):
    """{page: `Checkout`}."""
    return {page: Checkout(page, tmp_path_factory.mktemp(page)) for page in PAGES}


@pytest.mark.slow
@pytest.mark.parametrize("page, number", ALL_BLOCKS)
def test_a_block_runs(checkouts, page, number):
    block = blocks_of(page)[number]
    if block.reason:
        pytest.skip("%s.md says of this block: %s" % (page, block.reason))
    if block.missing_library():
        pytest.skip("%s is not installed" % block.missing_library())
    result = checkouts[page].result_of(number)
    assert result.returncode == 0, block.text + result.stdout
    assert result.stdout.strip() or "print(" not in block.text


@pytest.mark.parametrize("page", PAGES)
def test_names_in_python_blocks_are_defined(page, tmp_path):
    for number, block in enumerate(blocks_of(page)):
        if block.language == "python":
            (tmp_path / ("block_%d.py" % number)).write_text(block.text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--select=F821,E9", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if "No module named ruff" in done.stdout:
        pytest.skip("needs ruff (requirements-dev.txt)")
    assert done.returncode == 0, done.stdout
    assert list(tmp_path.glob("*.py")) or page == "android"


def test_what_is_not_run_says_why():
    reasons = {block.reason for page, _ in ALL_BLOCKS for block in blocks_of(page)} - {None}
    for page in PAGES:
        with open(os.path.join(ROOT, "docs", page + ".md"), encoding="utf-8") as handle:
            marks = re.findall(r"<!-- not run: (.+?) -->", handle.read())
        assert set(marks) <= reasons  # each mark precedes a block
