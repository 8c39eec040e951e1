"""Access to nested keys of a JSON record by dotted names: `meta.accusation`.

    with_nested({"fact": "…", "meta": {"accusation": ["盗窃"]}}, ["meta.accusation"])
    -> {"fact": "…", "meta": {...}, "meta.accusation": ["盗窃"]}

A key of a list of objects, such as `event_list.event_type`, has a list as its value.
"""

from typing import Any, Dict, Iterable, List

_DEEPEST = 3  # maximum number of keys in a name


def with_nested(record: Dict[str, Any], names: Iterable[str]) -> Dict[str, Any]:
    """A record to which the values of dotted names are added as keys.

    Args:
        record: a JSON object.
        names: the names to add; names that already are keys of the record or that do not exist in
            it are ignored.
    """
    nested = {}
    for name in names:
        if "." in name and name not in record:
            nested[name] = _value_at(record, name.replace("[]", "").split("."))
    there = {name: value for name, value in nested.items() if value is not None}
    return dict(record, **there) if there else record


def _value_at(value, path):
    """The value at a path of keys, a list if the path crosses a list; None if it does not exist."""
    if not path:
        return value
    if isinstance(value, list):
        found = [_value_at(entry, path) for entry in value]
        return [entry for entry in found if entry is not None]
    return _value_at(value.get(path[0]), path[1:]) if isinstance(value, dict) else None


def names_of(record: Dict[str, Any]) -> List[str]:
    """The keys of a record; a key whose value is an object is replaced by its dotted names.

    Args:
        record: a JSON object; any other value has no names.
    """
    return list(dict.fromkeys(_names(record, ()))) if isinstance(record, dict) else []


def _names(record, path):
    for key, value in record.items():
        entry = value[0] if isinstance(value, list) and value else value
        here = (*path, key)
        if isinstance(entry, dict) and entry and len(here) < _DEEPEST:
            yield from _names(entry, here)
        else:
            yield ".".join(here)
