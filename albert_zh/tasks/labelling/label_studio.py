"""Converts tasks of Label Studio's exports, JSON and JSON_MIN, to texts with a list of spans.

flattened({"data": {"text": "王明去"}, "annotations": [{"result": [{"value": {
    "start": 0, "end": 2, "labels": ["PER"]}}]}]}, "train.json, line 1")
# {"text": "王明去", "label": [{"start": 0, "end": 2, "labels": ["PER"]}]}
"""

from typing import Any, Dict, List

from albert_zh.common import validation
from albert_zh.common.errors import UserError

_TEXT, _LABEL = "text", "label"
_OF_MIN = ("annotation_id", "annotator")  # keys of an annotated task in JSON_MIN


def flattened(record: Any, source: str) -> Any:
    """Flattens a task to a record of its text and spans; any other value is returned unchanged.

    Args:
        record: a JSON value.
        source: file and line, for messages.

    Returns:
        the value; for a task, {"text", "label"} and its "id". A task that nobody has annotated has
        no "label"; an annotated task without entities has an empty one (JSON_MIN omits it then).

    Raises:
        UserError: for several annotations that differ, or for a marked passage without labels.
    """
    if not isinstance(record, dict):
        return record
    if _TEXT in record:
        has_none = _LABEL not in record and all(record.get(key) is not None for key in _OF_MIN)
        return dict(record, **{_LABEL: []}) if has_none else record
    data, annotations = record.get("data"), record.get("annotations")
    if not (isinstance(data, dict) and isinstance(annotations, list)):
        return record
    texts = [data[_TEXT]] if _TEXT in data else [v for v in data.values() if isinstance(v, str)]
    if len(texts) != 1:
        return record
    task: Dict[str, Any] = {"id": record.get("id"), _TEXT: texts[0]}
    kept = [one for one in annotations if isinstance(one, dict) and not one.get("was_cancelled")]
    if not kept:
        return task
    spans = [_spans(annotation, source) for annotation in kept]
    if any(_keys(of_one) != _keys(spans[0]) for of_one in spans):
        raise UserError(
            "%s: %d annotations that differ: expected one, keep the correct one"
            % (source, len(kept))
        )
    return dict(task, label=spans[0])


def _spans(annotation: Dict[str, Any], source: str) -> List[Dict[str, Any]]:
    """Returns the spans of an annotation; relations and choices, also of spans, are ignored."""
    entries = annotation.get("result")
    marked = [
        (entry.get("id"), entry["value"])
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict)
        and isinstance(entry.get("value"), dict)
        and "start" in entry["value"]
    ]
    labelled = {passage for passage, value in marked if "labels" in value}
    for passage, value in marked:
        if passage not in labelled:
            raise UserError(
                "%s: a passage is marked without labels (found the keys %s), expected start, end "
                "and labels: label it or remove it, and mark plain texts by <Labels>"
                % (source, ", ".join(map(validation.shown_key, value)))
            )
    return [value for _, value in marked if "labels" in value]


def _keys(spans: List[Dict[str, Any]]) -> List[str]:
    """Returns keys by which lists of spans are compared."""
    names = ("start", "end", "labels")
    return sorted(repr([span.get(name) for name in names]) for span in spans)
