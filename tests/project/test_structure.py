"""Limits for the length of modules, classes, functions and import chains; no repeated blocks.

They apply to the package, the scripts and the benchmarks.
"""

import ast
import collections
import functools
import glob
import os

import pytest

from project_root import ROOT

LONGEST_MODULE = 500  # lines
MOST_METHODS = 20
LONGEST_FUNCTION = 40  # lines, not counting the docstring
REASON = "# long: "  # begins the comment above a function that may be longer
LONGEST_CHAIN = 8  # modules, each of which imports the next
LONGEST_REPEATED = 12  # lines of code


@functools.lru_cache(maxsize=None)
def sources():
    """{path from the root: text} of the package's modules, the scripts and the benchmarks."""
    paths = glob.glob(os.path.join(ROOT, "albert_zh", "**", "*.py"), recursive=True)
    for folder in ("scripts", "benchmarks"):
        paths += glob.glob(os.path.join(ROOT, folder, "*.py"))
    texts = {}
    for path in paths:
        if os.path.join("albert_zh", "data") not in path:  # a link to data/ in a clone
            with open(path, encoding="utf-8") as handle:
                texts[os.path.relpath(path, ROOT)] = handle.read()
    assert len(texts) > 150
    return texts


@functools.lru_cache(maxsize=None)
def trees():
    """{path from the root: syntax tree} of the same files."""
    return {path: ast.parse(text) for path, text in sources().items()}


def nodes_of(kind):
    """Yields (path, node) of all syntax nodes of a kind, such as classes or functions."""
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, kind):
                yield path, node


def code_lines_of(function):
    """Number of lines of a function from `def` to its end, without its docstring."""
    first = function.body[0]
    has_docstring = ast.get_docstring(function) is not None
    in_docstring = first.end_lineno - first.lineno + 1 if has_docstring else 0
    return function.end_lineno - function.lineno + 1 - in_docstring


def has_reason(path, function):
    """Whether the line above a function, or above its decorators, says why it is long."""
    first = min([function.lineno] + [node.lineno for node in function.decorator_list])
    above = sources()[path].split("\n")[first - 2].strip()
    return above.startswith(REASON) and len(above) > len(REASON) + 5


needs_end_lines = pytest.mark.skipif(
    not hasattr(ast.parse("1").body[0], "end_lineno"), reason="Python 3.7 knows no end of a node"
)


def test_no_module_is_long():
    long = [path for path, text in sources().items() if text.count("\n") > LONGEST_MODULE]
    assert long == []


def test_no_class_has_many_methods():
    many = [
        "%s:%s" % (path, node.name)
        for path, node in nodes_of(ast.ClassDef)
        if sum(isinstance(child, ast.FunctionDef) for child in node.body) > MOST_METHODS
    ]
    assert many == []


@needs_end_lines
def test_no_function_is_long_without_a_reason():
    long = [
        "%s:%s" % (path, node.name)
        for path, node in nodes_of(ast.FunctionDef)
        if code_lines_of(node) > LONGEST_FUNCTION and not has_reason(path, node)
    ]
    assert long == []


@needs_end_lines
def test_reasons_are_where_functions_are_long():
    needed = [
        "%s:%s" % (path, node.name)
        for path, node in nodes_of(ast.FunctionDef)
        if has_reason(path, node) and code_lines_of(node) <= LONGEST_FUNCTION
    ]
    assert needed == []
    written = sum(text.count("\n" + REASON) for text in sources().values())
    written += sum(text.count("\n    " + REASON) for text in sources().values())
    longer = sum(code_lines_of(node) > LONGEST_FUNCTION for _, node in nodes_of(ast.FunctionDef))
    assert written == longer


def imports_at_the_beginning(body):
    """Yields the import statements that run when a module is imported."""
    for node in body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue  # for type checkers only
        elif isinstance(node, (ast.If, ast.Try)):
            handlers = [line for handler in getattr(node, "handlers", ()) for line in handler.body]
            yield from imports_at_the_beginning(node.body + node.orelse + handlers)


def imports_anywhere(body):
    """Yields all import statements, including those inside functions."""
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                yield node


@functools.lru_cache(maxsize=None)
def import_graph(imports_of=imports_at_the_beginning):
    """{module: set of the package's modules that it imports}."""
    names = {
        path[: -len(".py")].replace(os.sep, ".").replace(".__init__", ""): tree
        for path, tree in trees().items()
        if path.startswith("albert_zh")
    }
    graph = collections.defaultdict(set)
    for name, tree in names.items():
        for node in imports_of(tree.body):
            if isinstance(node, ast.Import):
                imported = [alias.name for alias in node.names]
            else:
                of_module = ["%s.%s" % (node.module, alias.name) for alias in node.names]
                imported = [full if full in names else node.module for full in of_module]
            graph[name].update(set(imported) & set(names) - {name})
    return graph


def circle_of(graph):
    """Modules that are part of a circle of imports or that lead to one, sorted."""
    left = {name: set(imported) for name, imported in graph.items()}
    for imported in graph.values():
        for name in imported:
            left.setdefault(name, set())
    while True:
        ends = {name for name, imported in left.items() if not imported & set(left)}
        if not ends:
            return sorted(left)
        left = {name: imported for name, imported in left.items() if name not in ends}


@functools.lru_cache(maxsize=None)
def longest_chain(name):
    """The longest chain of imports that begins with a module: a tuple of names."""
    chains = [longest_chain(imported) for imported in sorted(import_graph()[name])]
    return (name,) + max(chains, key=len, default=())


def test_chains_of_imports():
    longest = max((longest_chain(name) for name in list(import_graph())), key=len)
    assert len(longest) == LONGEST_CHAIN, " > ".join(longest)


def test_no_circle_of_imports_inside_functions_either():
    assert circle_of({"a": {"b"}, "b": {"c"}, "c": {"b", "d"}}) == ["a", "b", "c"]
    assert circle_of(import_graph(imports_anywhere)) == []


def code_of(path):
    """Yields (number, line) of a module without blank lines, comments, imports and docstrings."""
    skipped = set()
    for node in ast.walk(trees()[path]):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, (ast.Str, ast.Constant))
        if is_text or isinstance(node, (ast.Import, ast.ImportFrom)):
            skipped.update(range(node.lineno, node.end_lineno + 1))
    for number, line in enumerate(sources()[path].split("\n"), start=1):
        line = line.strip()
        if number not in skipped and line and not line.startswith("#"):
            yield number, line


@needs_end_lines
def test_no_block_is_repeated():
    seen, repeated = {}, []
    for path in sorted(sources()):
        lines = list(code_of(path))
        for i in range(len(lines) - LONGEST_REPEATED):
            block = tuple(line for _, line in lines[i : i + LONGEST_REPEATED + 1])
            here = "%s:%d" % (path, lines[i][0])
            if seen.setdefault(block, here) != here:
                repeated.append((seen[block], here))
    assert repeated == []
