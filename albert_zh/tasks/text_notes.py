"""Notes on texts that are bad for training, or that a stray quote has changed."""

import re
from typing import Any, Iterator, Sequence

from albert_zh.common.wording import counted

_QUOTED = re.compile(r'"(?=.*(,|""))([^"]|"")+"$')  # cells that Excel quotes: with commas or quotes
_IN_QUOTES = re.compile(r'".*"$', re.S)  # any quoted cell: some programs quote all


def remarkable_texts(examples: Sequence[Any]) -> Iterator[str]:
    """Notes on texts that are bad for training: empty texts, numbers, texts with NUL bytes."""
    checks = (
        ("an empty text", lambda text: text is not None and not text.strip()),
        ("NUL bytes, which the tokenizer drops", lambda text: text is not None and "\0" in text),
    )
    for what, is_such in checks:
        guids = [e.guid for e in examples if is_such(e.text_a) or is_such(e.text_b)]
        if guids:
            line = guids[0].rsplit("-", 1)[1]
            rows = counted(len(guids), "row has", "rows have")
            yield "%s %s (first: line %s)" % (rows, what, line)
    if len(examples) > 1 and all(e.text_a.strip().isdigit() for e in examples):
        yield (
            "all texts are numbers: if they are ids, replace them with the texts that another "
            "file has for them"
        )


def texts_over_lines(table: Any, examples: Sequence[Any]) -> Iterator[str]:
    """Notes on CSV texts over several lines, which may be rows joined by a stray quote."""
    if table.delimiter != ",":
        return
    examples_over_lines = [
        e for e in examples if any(t and "\n" in t for t in (e.text_a, e.text_b))
    ]
    if examples_over_lines:
        yield (
            "%s a text over several lines (first: line %s): if that is not meant, a stray quote "
            "there has joined rows"
            % (
                counted(len(examples_over_lines), "row has", "rows have"),
                examples_over_lines[0].guid.rsplit("-", 1)[1],
            )
        )


def quoted_texts(task: Any, table: Any, examples: Sequence[Any]) -> Iterator[str]:
    """Notes on quoted texts in own tab-separated data, as Excel writes them."""
    is_own = task.columns is None or task.header is not None
    if not is_own or table.delimiter != "\t":
        return
    are_all = len(examples) > 1 and all(_IN_QUOTES.match(e.text_a) for e in examples)
    if are_all and all(e.label is None or _IN_QUOTES.match(e.label) for e in examples):
        yield (
            "all cells are in quotes, which are part of the texts and labels in tab-separated "
            "files: write the file without them, or with commas, as .csv"
        )
        return
    quoted = [e for e in examples if any(t and _QUOTED.match(t) for t in (e.text_a, e.text_b))]
    if quoted:
        yield (
            "%s texts in quotes, which are part of the text in tab-separated files (first: line "
            "%s): if Excel put them there, save the file as CSV UTF-8, named .csv"
            % (counted(len(quoted), "row has", "rows have"), quoted[0].guid.rsplit("-", 1)[1])
        )
