"""The commands of the project, and their flags that name paths."""

import functools
import glob
import importlib
import os
import sys

from absl import flags

from albert_zh.common import path_rules
from albert_zh.finetuning import runner as finetuning_runner
from albert_zh.pretraining import flags as pretraining_flags
import isolated_flags
from project_root import ROOT

SAMPLES = [
    os.path.join("data", "%s_sample" % name)
    for name in ("entities", "pairs", "questions", "titles")
]
for folder in ["scripts", "benchmarks"] + SAMPLES:
    sys.path.append(os.path.join(ROOT, folder))

# Commands whose flags another module defines: {command: (module, arguments of its function)}. The
# module is None if a command has no flags.
DEFINED_ELSEWHERE = {
    "create_pretraining_data_google": ("create_pretraining_data", {"google": True}),
    "run_classifier": (finetuning_runner, {}),
    "run_classifier_clue": (finetuning_runner, {}),
    "run_classifier_multiclass": (finetuning_runner, {}),
    "run_classifier_sp_google": (finetuning_runner, {}),
    "run_pretraining": (pretraining_flags, {}),
    "run_pretraining_google": (pretraining_flags, {}),
    "run_pretraining_google_fast": (pretraining_flags, {}),
    "create_pretraining_data_roberta": ("create_pretraining_data", {"one_segment": True}),
    "make_character_data": (None, {}),
    "test_changes": (None, {}),
    "train_starter": ("starter_settings", {}),
}
KINDS = set(path_rules.PATH_FLAGS.values())


def commands():
    """Names of all programs that call `run_command`, themselves or in the package, without .py."""
    found = []
    for path in glob.glob(os.path.join(ROOT, "**", "*.py"), recursive=True):
        name = os.path.relpath(path, ROOT)[: -len(".py")]
        with open(path, encoding="utf-8") as handle:
            source = handle.read()
        is_command = "\n    run_command(" in source or "\nfrom albert_zh.commands." in source
        if is_command and not name.startswith(("tests", ".", "albert_zh")):
            found.append(name)
    return sorted(found)


def define_flags_of(command):
    """The function that defines a command's flags."""
    name = os.path.basename(command)
    module, settings = DEFINED_ELSEWHERE.get(name, (name, {}))
    if module is None:
        return lambda: None
    if isinstance(module, str):
        in_package = os.path.exists(os.path.join(ROOT, "albert_zh", "commands", module + ".py"))
        module = importlib.import_module("albert_zh.commands." * in_package + module)
    define = getattr(module, "define_flags", None) or module._define_flags
    return functools.partial(define, **settings)


def path_flags(command, *kinds):
    """The flags of a command that name paths of some kinds (any, if none is given)."""
    with isolated_flags.flags_of([], define_flags_of(command)):
        names = [flags.FLAGS[name].name for name in flags.FLAGS]
    return sorted(
        {name for name in names if path_rules.PATH_FLAGS.get(name) in (kinds or set(KINDS))}
    )
