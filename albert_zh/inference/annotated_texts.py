"""Texts that are passed with their slots, for models that were trained with --slots.

{"text": "我要听吴雨霏的歌", "slots": [{"begin": 3, "end": 6, "name": "singer"}]}
{"text_a": ..., "text_b": ..., "slots": {"singer": "吴雨霏"}, "slots_b": ...}
"""

from typing import Any, List, Sequence, Tuple

from albert_zh.common import validation
from albert_zh.common.errors import UserError
from albert_zh.inference import input_rows
from albert_zh.tasks.slots import cells

KEYS = ("text", "text_a", "text_b") + cells.KEYS


def separated(texts: Any, names: Sequence[str]) -> Tuple[Any, List[Any]]:
    """Separates texts from their slots.

    Args:
        texts: list or generator of str, pairs of str and dicts of `KEYS`; any other value is
            returned unchanged.
        names: names of the model's slots; () for a model that takes none.

    Returns:
        (texts, slots): texts as `input_rows.checked_texts` takes them, and for each text the slots
        of both of its texts, or None.

    Raises:
        UserError: for a malformed dict, or a model that takes no slots.
    """
    if not input_rows.is_several(texts):
        return texts, []
    texts = list(texts)
    plain, slots = [], []
    for index, text in enumerate(texts):
        spans = None
        if isinstance(text, dict):
            text, spans = _separated(index, text, names)
        plain.append(text)
        slots.append(spans)
    return plain, slots


def _separated(index, record, names):
    """(text or pair, slots of both texts) of a dict."""
    if not names and not any(key in record for key in cells.KEYS):
        return record, None  # not a dict of texts
    unknown = sorted(set(map(str, record)) - set(KEYS))
    if unknown:
        raise UserError(
            "text %d: %s: expected the keys %s"
            % (index, validation.shortened(", ".join(unknown)), ", ".join(KEYS))
        )
    if "text" in record and "text_a" in record:
        raise UserError("text %d: found both text and text_a: expected one of them" % index)
    first, second = record.get("text", record.get("text_a")), record.get("text_b")
    if not isinstance(first, str) or not isinstance(second, (str, type(None))):
        raise UserError(
            'text %d: expected {"text": str, "slots": ...}, or text_a and text_b' % index
        )
    text = first if second is None else (first, second)
    if not any(record.get(key) for key in cells.KEYS):
        return text, None
    if not names:
        raise UserError("text %d has slots, but the model takes none: remove them" % index)
    try:
        spans = cells.of_record(record, (first, second))
    except ValueError as error:
        raise UserError("text %d: %s" % (index, error)) from error
    others = sorted({span.name for of_text in spans for span in of_text} - set(names))
    if others:
        raise UserError(
            "text %d: slots: the model knows no %s, expected some of %s"
            % (index, validation.shortened(", ".join(others)), ", ".join(names))
        )
    return text, spans
