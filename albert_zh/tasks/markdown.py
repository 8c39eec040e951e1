"""Tables of Markdown."""

from typing import Any, Iterable, Iterator, Sequence

SHOWN_TEXT = 120  # characters of a cell


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Yields the lines of a Markdown table, and an empty one; nothing for no rows."""
    if not rows:
        return
    yield "| %s |" % " | ".join(columns)
    yield "|%s" % ("---|" * len(columns))
    for row in rows:
        yield "| %s |" % " | ".join(_cell(value) for value in row)
    yield ""


def _cell(value):
    if isinstance(value, float):
        return "%.4f" % value
    text = " ".join(str("" if value is None else value).split())
    text = text if len(text) <= SHOWN_TEXT else text[:SHOWN_TEXT] + "..."
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
