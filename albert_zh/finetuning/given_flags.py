"""Flags beside a model that is used as it is: what training noted of it cannot be changed."""

from typing import Any, Dict, Sequence

from albert_zh.common.errors import UserError
from albert_zh.common.messages import say

_TAKEN = ("max_seq_length",)  # from the flag where it is given
_COMPARED = (bool, int, float, str)


def check_noted(options: Any, names: Sequence[str], notes: Dict[str, Any]) -> None:
    """Raises `UserError` for flags that ask for another model than the one that is used.

    Args:
        options: the flags.
        names: of those whose value is noted.
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
    """Notes flags that are given in vain, as the model was trained with another value.

    Args:
        options: the flags.
        head: `Settings.head` as the model has it.
        folders: those that describe the model, the first of them first.
    """
    source = ", ".join(folders[:1])
    for name, trained in sorted(head.items()):
        if name in _TAKEN or name not in options or not options[name].present:
            continue
        given = options[name].value
        if isinstance(given, _COMPARED) and given != trained:
            say(
                "note: --%s=%s: without effect, as the model of %s was trained with %s: "
                "leave it out, or train again (--do_train=true)",
                name,
                given,
                source,
                trained,
            )
