"""What holds for all source files."""

import ast
import glob
import os
import re
import subprocess
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
EVERYWHERE = {"errors", "files", "validation"}  # what every room may import


@pytest.mark.skipif(sys.version_info < (3, 8), reason="an older Python shows it by running them")
def test_every_file_can_be_read_by_python_3_7():
    patterns = ("*.py", "scripts/*.py", "benchmarks/*.py", "tests/*.py", "pytorch/*.py")
    paths = [path for pattern in patterns for path in glob.glob(os.path.join(ROOT, pattern))]
    assert len(paths) > 100
    for path in paths:
        with open(path, encoding="utf-8") as handle:
            ast.parse(handle.read(), path, feature_version=(3, 7))
    with pytest.raises(SyntaxError):
        ast.parse("if (n := 1): pass", feature_version=(3, 7))


def imports_of(path):
    """(module, names taken from it) of a file's imports, in order."""
    with open(path, encoding="utf-8") as handle:
        for statement in ast.parse(handle.read(), path).body:
            if isinstance(statement, ast.Import):
                yield from ((alias.name, ()) for alias in statement.names)
            elif isinstance(statement, ast.ImportFrom):
                yield statement.module, [alias.name for alias in statement.names]


def imports_of_modules():
    """{name: list of `imports_of`} of the modules in the root folder."""
    paths = glob.glob(os.path.join(ROOT, "*.py"))
    return {os.path.basename(path)[:-3]: list(imports_of(path)) for path in paths}


def is_command(imports):
    return any("run_command" in names for _, names in imports)


def test_rooms_import_what_the_table_of_the_architecture_lets_them():
    """A module is a room, or a command (`args` is one's settings), which imports none."""
    every = imports_of_modules()
    imported = {name: {module for module, _ in every[name]} & set(every) for name in every}
    with open(os.path.join(ROOT, "docs", "architecture.md"), encoding="utf-8") as handle:
        rows = [line.split("|") for line in handle if line.startswith("| `")]
    above = set(EVERYWHERE)
    for _, names, _, may, _ in rows:
        rooms = set(re.findall(r"`(\w+)\.py`", names))
        allowed = rooms | EVERYWHERE | (set(re.findall(r"\w+", may)) & set(every))
        if "the rooms above" in may:
            allowed |= above
        for room in rooms:
            assert imported[room] <= allowed, room
        above |= rooms
    assert len(above) > 50
    commands = {name for name in every if is_command(every[name])}
    assert set(every) - above == commands | {"args"}
    importers = {name for name in commands if imported[name] & commands}
    assert importers == {"create_pretraining_data_google"}  # the same one with google's defaults


def test_commands_quieten_tensorflow_before_they_import_it():
    """`errors` does that: it comes before TensorFlow and whatever may import it."""
    every = imports_of_modules()
    loud = set(every) | {"tensorflow.compat.v1"}
    commands = [name for name in every if is_command(every[name])]
    assert len(commands) > 15
    for name in commands:
        assert next(module for module, _ in every[name] if module in loud) == "errors", name


@pytest.mark.parametrize("command", ["run_classifier", "run_pretraining", "export_model"])
def test_what_few_runs_need_is_not_imported_with_a_command(command):
    program = "import sys, %s; print(*{name.split('.')[0] for name in sys.modules})" % command
    names = subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True).split()
    assert "tensorflow" in names
    assert not {"matplotlib", "sklearn", "tensorflow_addons", "jieba", "torch", "onnx"} & set(names)
