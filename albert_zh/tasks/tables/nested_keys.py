"""Keys of objects within a record, by names with dots: `meta.accusation`.

    with_nested({"fact": "…", "meta": {"accusation": ["盗窃"]}}, ["meta.accusation"])
    -> {"fact": "…", "meta": {...}, "meta.accusation": ["盗窃"]}

What a list of objects has under a key, as `event_list.event_type`, is a list.
"""

from typing import Any, Dict, Iterable, List

_DEEPEST = 3  # keys of a name


def with_nested(record: Dict[str, Any], names: Iterable[str]) -> Dict[str, Any]:
    """A record with the values that names with dots have in it.

    Args:
        record: an object.
        names: those wanted; what the record has by its whole name, or not at all, stays as it is.
    """
    nested = {}
    for name in names:
        if "." in name and name not in record:
            nested[name] = _value_at(record, name.replace("[]", "").split("."))
    there = {name: value for name, value in nested.items() if value is not None}
    return dict(record, **there) if there else record


def _value_at(value, path):
    """What a path of keys leads to, a list through a list of objects; None without it."""
    if not path:
        return value
    if isinstance(value, list):
        found = [_value_at(entry, path) for entry in value]
        return [entry for entry in found if entry is not None]
    return _value_at(value.get(path[0]), path[1:]) if isinstance(value, dict) else None


def names_of(record: Dict[str, Any]) -> List[str]:
    """The keys of a record; in place of one of objects the names of their keys.

    Args:
        record: an object, or anything.
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
