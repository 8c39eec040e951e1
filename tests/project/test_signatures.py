"""Public signatures have type hints; mypy checks that the hints are consistent."""

import ast
import glob
import os

import pytest

from project_root import ROOT

# The first is saved next to converted weights, in the style of transformers; the second is not an
# interface.
EXCEPTED = [
    "albert_zh/conversion/pytorch/modeling_albert_zh.py",
    "albert_zh/commands/test_changes.py",
]
FOLDERS = sorted(
    os.path.relpath(os.path.dirname(path), ROOT)
    for path in glob.glob(os.path.join(ROOT, "albert_zh", "*", "__init__.py"))
)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def _is_public(name):
    return not name.startswith("_") or (name.startswith("__") and name.endswith("__"))


def _public_functions(body, is_method=False):
    """Yields (function, its arguments without self and cls) of a module or class."""
    for node in body:
        if isinstance(node, ast.ClassDef) and _is_public(node.name):
            yield from _public_functions(node.body, is_method=True)
        elif isinstance(node, FUNCTIONS) and _is_public(node.name):
            decorators = [getattr(decorator, "id", None) for decorator in node.decorator_list]
            named = node.args.args[is_method and "staticmethod" not in decorators :]
            starred = [node.args.vararg, node.args.kwarg]
            yield node, named + node.args.kwonlyargs + [arg for arg in starred if arg]


def _missing_hints(source):
    missing = []
    for function, arguments in _public_functions(ast.parse(source).body):
        names = [argument.arg for argument in arguments if argument.annotation is None]
        names += ["return"] if function.returns is None else []
        missing += ["%s: %s" % (function.name, name) for name in names]
    return missing


@pytest.mark.parametrize("folder", FOLDERS + ["scripts"])
def test_public_signatures_have_type_hints(folder):
    pattern = os.path.join(ROOT, folder, "**", "*.py")
    excepted = [os.path.join(ROOT, path) for path in EXCEPTED]
    paths = [path for path in glob.glob(pattern, recursive=True) if path not in excepted]
    assert len(paths) > 5
    missing = {}
    for path in paths:
        with open(path, encoding="utf-8") as stream:
            without = _missing_hints(stream.read())
        if without:
            missing[os.path.relpath(path, ROOT)] = without
    assert not missing


def test_missing_hints_are_detected():
    source = """
def public(a, b: int, *rest, key=None, **others): ...
def _private(a): ...
class Model:
    def __init__(self, path): ...
    @staticmethod
    def of(a) -> "Model": ...
    async def stop(self): ...
    def complete(self, a: int) -> None: ...
class _Hidden:
    def method(self, a): ...
"""
    assert _missing_hints(source) == [
        "public: a",
        "public: key",
        "public: rest",
        "public: others",
        "public: return",
        "__init__: path",
        "__init__: return",
        "of: a",
        "stop: return",
    ]
