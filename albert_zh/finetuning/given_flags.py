"""Checks flags against the notes of a trained model: recorded settings cannot be changed."""

from typing import Any, Dict, Sequence

from albert_zh.common.errors import UserError
from albert_zh.common.messages import say

_TAKEN = ("max_seq_length",)  # the flag overrides the notes
_COMPARED = (bool, int, float, str)


def check_noted(options: Any, names: Sequence[str], notes: Dict[str, Any]) -> None:
    """Raises `UserError` if flags contradict the model that is used.

    Args:
        options: the flags.
        names: names of the flags whose values are recorded.
        notes: content of the model's fine_tuning.json.
    """
    for name in names:
        given = options[name].value
        if options[name].present and notes.get(name, given) != given:
            raise UserError(
                "the model was trained with %s %s, the flags ask for %s"
                % (name, notes[name], given)
            )


def say_what_has_no_effect(options: Any, head: Dict[str, Any], folders: Sequence[str]) -> None:
    """Prints a note on flags without effect because the model was trained with another value.

    Args:
        options: the flags.
        head: `Settings.head` of the model.
        folders: folders that describe the model, in order of precedence.
    """
    source = ", ".join(folders[:1])
    for name, trained in sorted(head.items()):
        if name in _TAKEN or name not in options or not options[name].present:
            continue
        given = options[name].value
        if isinstance(given, _COMPARED) and given != trained:
            say(
                "note: --%s=%s has no effect, as the model in %s was trained with %s: leave it "
                "out, or train again (--do_train=true)",
                name,
                given,
                source,
                trained,
            )
