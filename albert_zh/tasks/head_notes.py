"""Checks `head` of fine_tuning.json: the settings that a kind of task saves with its models."""

from typing import Any, Dict

from albert_zh.common import validation
from albert_zh.common.errors import UserError
from albert_zh.model.checkpoints import fine_tuning_notes
from albert_zh.tasks import registry


def check_head(notes: Dict[str, Any], source: str) -> None:
    """Raises `UserError` for notes whose `head` is invalid for the model's kind of task.

    Args:
        notes: content of the model's `fine_tuning.json`.
        source: file or model that the notes are from, for the error message.
    """
    head_kind = registry.get(notes.get("objective", "single_label")).flags.head_kind
    fault = validation.fault_of("%s: head" % source, notes.get("head", {}), head_kind)
    if fault is not None:
        raise UserError("%s: %s" % (fault, fine_tuning_notes.NOTES_WAY_OUT))
