"""Writes Markdown tables."""

from typing import Any, Iterable, Iterator, Sequence

SHOWN_TEXT = 120  # characters of a cell that are shown


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """Yields the lines of a Markdown table and an empty line; nothing if there are no rows."""
    if not rows:
        return
    yield "| %s |" % " | ".join(columns)
    yield "|%s" % ("---|" * len(columns))
    for row in rows:
        yield "| %s |" % " | ".join(_cell(cell) for cell in row)
    yield ""


def _cell(content):
    if isinstance(content, float):
        return "%.4f" % content
    text = " ".join(str("" if content is None else content).split())
    text = text if len(text) <= SHOWN_TEXT else text[:SHOWN_TEXT] + "..."
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
