"""Lists and runs the commands.

albert-zh
albert-zh run_classifier --task_name=lcqmc ...
python -m albert_zh run_classifier --task_name=lcqmc ...
"""

import ast
import importlib
import os
import pkgutil
import sys

from albert_zh import commands
from albert_zh.common import errors, package_files


def main() -> None:
    """Runs the command that the first argument names, or lists all of them."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    arguments = sys.argv[2:]
    sys.argv = [errors.PROGRAM]
    if name in ("-h", "-help", "--help"):
        errors.run_program(_print_commands)
    name = name[: -len(".py")] if name.endswith(".py") else name
    if name not in _names():
        errors.run_program(lambda: _refuse(name))
    sys.argv = ["%s %s" % (errors.PROGRAM, name)] + arguments
    errors.prepare_imports()
    importlib.import_module("albert_zh.commands." + name).main()


def _names():
    return sorted(module.name for module in pkgutil.iter_modules(commands.__path__))


def _print_commands():
    print("usage: albert-zh COMMAND [--flag=value ...]   (COMMAND --help lists its flags)\n")
    for name in _names():
        print("%-40s %s" % (name, _summary(name)))
    print("\nbundled pre-trained model: %s" % package_files.STARTER_MODEL)


def _refuse(name):
    raise errors.UserError("unknown command %r: expected one of %s" % (name, ", ".join(_names())))


def _summary(name):
    """The first line of a command's docstring, read without importing it."""
    path = os.path.join(commands.__path__[0], name + ".py")
    with open(path, encoding="utf-8") as source:
        return ast.get_docstring(ast.parse(source.read())).splitlines()[0]


if __name__ == "__main__":
    main()
