"""Writes an HTML page of texts whose gold and predicted entities are marked in colour."""

import collections
import html
from typing import Collection, Iterable, Mapping, Optional, Sequence, Tuple

from albert_zh.common import output_files
from albert_zh.tasks.labelling.spans import Span

SHOWN_TEXTS = 200
SHOWN_LENGTH = 1000  # number of characters shown of a text
_HUES = 137.508  # degrees between the colours of neighbouring types: the golden angle
_PAGE = """<!DOCTYPE html>
<html lang="zh"><head><meta charset="utf-8"><title>%(title)s</title><style>
body { font-family: sans-serif; line-height: 1.9; max-width: 60em; margin: 2em auto }
.text { border-top: 1px solid #ccc; padding: .4em 0 }
.side { color: #777; font-size: .8em; margin-right: .6em }
mark { border-radius: .2em; padding: .1em .15em }
mark.wrong { outline: 2px solid #d00 }
mark small { font-size: .65em; margin-left: .25em; color: #444 }
%(colours)s
</style></head><body>
<h1>%(title)s</h1>
<p>%(legend)s</p>
<p>%(explanation)s</p>
%(texts)s
</body></html>
"""
_EXPLANATION = (
    "One line if gold and prediction are equal; otherwise gold above, prediction below. Entities "
    "that the other side lacks are outlined in red."
)


def write_page(
    path: str,
    title: str,
    texts: Iterable[Tuple[str, Sequence[Span], Sequence[Span]]],
    num_shown: int = SHOWN_TEXTS,
) -> None:
    """Writes a self-contained HTML page.

    Args:
        path: path of the page.
        title: str.
        texts: (text, gold spans or None, predicted spans), spans in characters.
        num_shown: number of texts to show, from the first one on.
    """
    shown = [row for row, _ in zip(texts, range(num_shown))]
    types = sorted({span.type for _, *sides in shown for side in sides for span in side or ()})
    classes = {name: "t%d" % index for index, name in enumerate(types)}
    content = _PAGE % {
        "title": html.escape(title),
        "colours": "\n".join(
            ".%s { background: hsl(%d, 75%%, 82%%) }" % (css_class, index * _HUES % 360)
            for index, css_class in enumerate(classes.values())
        ),
        "legend": " ".join(
            '<mark class="%s">%s</mark>' % (css_class, html.escape(name or "word"))
            for name, css_class in classes.items()
        ),
        "explanation": _EXPLANATION,
        "texts": "\n".join(_text_lines(*row, classes=classes) for row in shown),
    }
    with output_files.atomic_write(path) as stream:
        stream.write(content)


def _text_lines(text, gold, predicted, classes):
    if gold is None or set(gold) == set(predicted):
        lines = [marked(text, predicted, classes)]
    else:
        lines = [
            '<span class="side">%s</span>%s' % (name, marked(text, spans, classes, set(other)))
            for name, spans, other in (
                ("gold", gold, predicted),
                ("predicted", predicted, gold),
            )
        ]
    return '<div class="text">%s</div>' % "<br>".join(lines)


def marked(
    text: str,
    spans: Sequence[Span],
    classes: Mapping[str, str],
    right: Optional[Collection[Span]] = None,
) -> str:
    """Returns HTML of a text with its spans marked; nested spans are marked inside longer ones.

    Args:
        text: str; truncated after `SHOWN_LENGTH` characters.
        spans: list of `Span`; if two spans cross, the later one is only marked up to the end of the
            earlier one.
        classes: {type: CSS class}.
        right: set of the spans that are not marked as wrong; None: no span is marked as wrong.

    Returns:
        str.
    """
    opening: collections.defaultdict = collections.defaultdict(list)
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        opening[span.start].append(span)
    fragments, stack = [], []
    for position in range(min(len(text), SHOWN_LENGTH) + 1):
        while stack and stack[-1].end <= position:
            fragments.append(_end_mark(stack.pop()))
        if position == min(len(text), SHOWN_LENGTH):
            break
        for span in opening[position]:
            end = min([span.end] + [other.end for other in stack])
            is_wrong = right is not None and span not in right
            css = classes[span.type] + (" wrong" if is_wrong else "")
            fragments.append('<mark class="%s">' % css)
            stack.append(span._replace(end=end))
        fragments.append(html.escape(text[position]))
    fragments += [_end_mark(span) for span in reversed(stack)]
    return "".join(fragments) + ("..." if len(text) > SHOWN_LENGTH else "")


def _end_mark(span):
    return ("<small>%s</small></mark>" % html.escape(span.type)) if span.type else "</mark>"
