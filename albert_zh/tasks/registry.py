"""The kinds of tasks by name; the module of a kind is imported when the kind is first requested."""

import importlib
from typing import Any, Dict, List, Optional

from albert_zh.common.errors import UserError

# The modules that define kinds; such a module registers its kinds when it is imported.
_MODULES = {
    "single_label": "albert_zh.tasks.classification.kinds",
    "multi_label": "albert_zh.tasks.classification.kinds",
    "regression": "albert_zh.tasks.classification.kinds",
    "generation": "albert_zh.tasks.generation.kind",
    "reading_comprehension": "albert_zh.tasks.reading.kind",
    "sentence_embedding": "albert_zh.tasks.embedding.kind",
    "sentence_retrieval": "albert_zh.tasks.embedding.kind",
    "sequence_labelling": "albert_zh.tasks.labelling.kind",
    "span_labelling": "albert_zh.tasks.labelling.kind",
}
_KINDS: Dict[str, Any] = {}


def register(kind: Any) -> Any:
    """Registers a kind by its name.

    Args:
        kind: `task_type.TaskType`.

    Returns:
        the kind.
    """
    _KINDS[kind.name] = kind
    return kind


def get(name: str) -> Any:
    """The kind with a name, such as the value of `objective` in `fine_tuning.json`."""
    if name not in _KINDS and name in _MODULES:
        importlib.import_module(_MODULES[name])
    if name not in _KINDS:
        raise UserError(
            "objective is %r, expected a kind of task, one of %s: restore what training wrote, or "
            "train again" % (name, ", ".join(names()))
        )
    return _KINDS[name]


def type_of(task: Any) -> Any:
    """The kind of a `task_forms.Task`."""
    return get(task.objective)


def rules_of(task: Any) -> Any:
    """The `LabelRules` of a `task_forms.Task`."""
    return type_of(task).rules


def command_without_head(notes: Dict[str, Any]) -> Optional[str]:
    """The command for a model whose kind has no head, such as `generate.py`; otherwise None.

    Args:
        notes: content of the model's `fine_tuning.json`.
    """
    kind = get(notes["objective"]) if notes.get("objective") in names() else None
    return None if kind is None or kind.has_head else kind.next_command(None)[0] + ".py"


def check_family(name: str, family: str, source: str) -> None:
    """Raises `UserError` for a model of a kind whose flags a command lacks.

    Args:
        name: name of the model's kind.
        family: name of a kind whose flags the command has.
        source: where the model is from, for the error message.
    """
    flags = type(get(family).flags)
    if issubclass(flags, type(get(name).flags)):
        return
    expected = [other for other in names() if type(get(other).flags) is flags]
    raise UserError(
        "%s contains a model of the kind %s, expected one of the kind %s: name such a model "
        "(--init_checkpoint, --output_dir), train one (--do_train=true), or use the command that "
        "trained this one" % (source, name, " or ".join(expected))
    )


def names() -> List[str]:
    """The names of all kinds."""
    return sorted(set(_MODULES) | set(_KINDS))
