"""Rules for all source files: syntax, aliases in the root, imports, references in comments."""

import ast
import glob
import os
import re
import shutil
import subprocess
import sys

import pytest

from crossed_cases import with_slow
from project_root import ROOT

SETTINGS = {"args"}  # the only module of the root that is not an alias
ALIAS = re.compile(
    r'"""[^"]+Code: (?P<code>albert_zh/[/\w]+\.py)\n?"""\n\n'
    r"from (?P<module>albert_zh[.\w]+) import \*  # noqa: F403[^\n]*\n"
    r"(from (?P=module) import (?P<flags>__getattr__, )?main\n"
    r'(?(flags)\nFLAGS = __getattr__\("FLAGS"\)  # [^\n]*\n)'
    r'\nif __name__ == "__main__":\n    main\(\)\n)?'
)


def root_modules():
    return {os.path.basename(path)[:-3] for path in glob.glob(os.path.join(ROOT, "*.py"))}


def printed(program):
    """Runs Python code in the root folder and returns the words that it prints."""
    return subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True).split()


def source_files():
    patterns = ("*.py", "albert_zh/**/*.py", "scripts/*.py", "benchmarks/*.py", "tests/**/*.py")
    return [
        path
        for pattern in patterns
        for path in glob.glob(os.path.join(ROOT, pattern), recursive=True)
    ]


def test_command_lines_in_docstrings_keep_their_line_breaks():
    """--help prints docstrings; a trailing backslash joins two lines unless the string is raw."""
    joined = re.compile(r"(?<!\\)(?:\\\\)*\\\n")
    found = []
    for path in source_files():
        with open(path, encoding="utf-8") as handle:
            source = handle.read()
        if source.startswith('"""') and joined.search(source[: source.index('"""', 3)]):
            found.append(os.path.relpath(path, ROOT))
    assert found == []
    assert joined.search("a \\\n") and not joined.search("a \\\\\n")


@pytest.mark.skipif(sys.version_info < (3, 8), reason="an older Python shows it by running them")
def test_every_file_can_be_read_by_python_3_7():
    paths = source_files()
    assert len(paths) > 200
    for path in paths:
        with open(path, encoding="utf-8") as handle:
            ast.parse(handle.read(), path, feature_version=(3, 7))
    with pytest.raises(SyntaxError):
        ast.parse("if (n := 1): pass", feature_version=(3, 7))


@pytest.mark.parametrize("name", sorted(root_modules() - SETTINGS))
def test_modules_of_the_root_are_aliases_of_one_form(name):
    with open(os.path.join(ROOT, name + ".py"), encoding="utf-8") as source:
        alias = ALIAS.fullmatch(source.read())
    assert alias and alias["code"] == alias["module"].replace(".", "/") + ".py"
    with open(os.path.join(ROOT, alias["code"]), encoding="utf-8") as source:
        code = source.read()
    assert "\n__all__ = [" in code
    assert bool(alias["flags"]) == ("\n__getattr__ = " in code)


def hidden_modules(source):
    """The set of imported modules of the package that a variable of a function hides."""
    tree, hidden = ast.parse(source), set()
    modules = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("albert_zh")
        for alias in node.names
    }
    for function in filter(lambda node: isinstance(node, ast.FunctionDef), ast.walk(tree)):
        arguments = {node.arg for node in ast.walk(function.args) if isinstance(node, ast.arg)}
        stored = {
            node.id
            for node in ast.walk(function)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
        }
        hidden |= stored.intersection(modules) - arguments
    return hidden


def test_no_variable_hides_a_module():
    """Regression: a variable hid a module in the code for Beam, which few environments can run."""
    found = {}
    for path in glob.glob(os.path.join(ROOT, "albert_zh", "**", "*.py"), recursive=True):
        with open(path, encoding="utf-8") as handle:
            found[os.path.relpath(path, ROOT)] = hidden_modules(handle.read())
    assert {path: names for path, names in found.items() if names} == {}
    source = "from albert_zh.corpus import pipeline\ndef f():\n    pipeline = 1\n"
    assert hidden_modules(source) == {"pipeline"}


def test_every_command_of_the_package_has_an_alias_in_the_root():
    paths = glob.glob(os.path.join(ROOT, "albert_zh", "commands", "[a-z]*.py"))
    assert len(paths) > 20
    assert {os.path.basename(path)[:-3] for path in paths} <= root_modules()


def test_the_package_imports_no_alias():
    for path in glob.glob(os.path.join(ROOT, "albert_zh", "**", "*.py"), recursive=True):
        with open(path, encoding="utf-8") as source:
            statements = list(ast.walk(ast.parse(source.read())))
        imported = {
            alias.name for s in statements if isinstance(s, ast.Import) for alias in s.names
        }
        imported |= {s.module for s in statements if isinstance(s, ast.ImportFrom)}
        assert not imported & (root_modules() - SETTINGS), path


def test_tensorflow_is_quiet_unless_the_user_wants_its_log():
    name = "TF_CPP_MIN_LOG_LEVEL"
    program = "import os; os.environ.%s; import albert_zh; print(os.environ['" + name + "'])"
    assert printed(program % ("pop('%s', None)" % name)) == ["3"]
    assert printed(program % ("update(%s='1')" % name)) == ["1"]


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_a_clone_of_git_for_windows_has_scripts_that_bash_reads(tmp_path):
    names = [".gitattributes", "run_reading.sh", "scripts/common.sh", "scripts/classifiers.sh"]
    (tmp_path / "here" / "scripts").mkdir(parents=True)
    for name in names:
        shutil.copy(os.path.join(ROOT, name), str(tmp_path / "here" / name))
    git = ["git", "-c", "core.autocrlf=true", "-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "a"]):
        subprocess.check_output(git + arguments, cwd=str(tmp_path / "here"))
    subprocess.check_output(git + ["clone", "-q", "here", "there"], cwd=str(tmp_path))
    for name in names:
        assert b"\r" not in (tmp_path / "there" / name).read_bytes(), name


@pytest.mark.reference
@pytest.mark.parametrize(
    "command",
    with_slow(["run_classifier", "run_pretraining", "export_model"], ["run_classifier"]),
)
def test_what_few_runs_need_is_not_imported_with_a_command(command):
    names = printed("import sys, %s; print(*{n.split('.')[0] for n in sys.modules})" % command)
    assert "tensorflow" in names
    assert not {"matplotlib", "sklearn", "tensorflow_addons", "jieba", "torch", "onnx"} & set(names)


@pytest.mark.slow
def test_prediction_imports_no_module_of_training():
    names = printed("import sys; from albert_zh import Predictor; print(*sys.modules)")
    of_package = {name.split(".")[1] for name in names if name.startswith("albert_zh.")}
    assert "inference" in of_package
    assert not of_package & {"training", "finetuning", "pretraining", "corpus", "commands"}


def test_a_folder_named_like_a_mark_skips_no_test(tmp_path):
    """Regression: in a checkout named slow, all tests were skipped."""
    folder = tmp_path / "slow"
    (folder / "tests").mkdir(parents=True)
    shutil.copy(os.path.join(ROOT, "tests", "conftest.py"), str(folder / "tests"))
    (folder / "tests" / "test_one.py").write_text("def test_one():\n    assert True\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests"]
    output = subprocess.check_output(command, cwd=str(folder), text=True)
    assert "1 passed" in output


def test_what_is_left_out_beside_the_reference_is_there(pytestconfig):
    (conftest,) = [
        plugin
        for plugin in pytestconfig.pluginmanager.get_plugins()
        if hasattr(plugin, "LEFT_OUT_ON_2_21")
    ]
    for table in (conftest.LEFT_OUT_ON_1_15, conftest.LEFT_OUT_ON_2_21):
        for folder, names in table.items():
            for name in set(names.split()) - {"*"}:
                path = os.path.join(ROOT, "tests", folder, "test_%s.py" % name)
                assert os.path.exists(path), path


REFERENCE = re.compile(r"`([a-z_]+(?:\.[a-z_]+)*)\.([A-Z]\w*)`")
NOT_OURS = set(
    "absl collections flags np numpy onnx random sentencepiece subprocess tf torch".split()
)


def names_and_aliases(source):
    """(names that a module defines or imports, {alias: name} of its imports with an alias)."""
    tree = ast.parse(source)
    names = {
        name.id if isinstance(name, ast.Name) else name.name
        for name in ast.walk(tree)
        if isinstance(name, (ast.ClassDef, ast.Name))
    }
    imported = [entry for node in ast.walk(tree) for entry in getattr(node, "names", ())]
    imported = [entry for entry in imported if isinstance(entry, ast.alias)]
    names |= {entry.asname or entry.name for entry in imported}
    return names, {entry.asname: entry.name for entry in imported if entry.asname}


def test_classes_that_comments_name_are_where_they_say():
    """Regression: after modules were renamed, docstrings still named 'exporting.Model' etc."""
    names, aliases, references = {}, {}, []
    for path in source_files():
        with open(path, encoding="utf-8") as handle:
            source = handle.read()
        module = path[: -len(".py")].replace(os.sep, ".")
        names[module], aliases[path] = names_and_aliases(source)
        references += [(path, *found) for found in REFERENCE.findall(source)]
    lost = [
        "%s: %s.%s" % (os.path.relpath(path, ROOT), module, name)
        for path, module, name in references
        if module.split(".")[0] not in NOT_OURS
        and not any(
            name in defined and place.endswith("." + aliases[path].get(module, module))
            for place, defined in names.items()
        )
    ]
    assert len(references) > 300 and lost == []
