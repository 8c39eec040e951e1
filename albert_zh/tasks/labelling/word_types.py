"""Removes the parts of speech of words, for tasks that only need the words."""

from typing import List, Sequence

from albert_zh.tasks.labelling.spans import LabelledText, Span, without_whitespace

FORMATS = ("slash", "conllu")  # formats whose pieces are words
NOTE = "parts of speech are not read: words have no types"
_FEWEST = 0.8  # share of characters with a type, at least; in files of entities it is lower


def have_parts_of_speech(texts: Sequence[LabelledText]) -> bool:
    """Whether nearly all characters of texts are in words with types, and there are several types.

    Args:
        texts: the texts of a file.
    """
    innermost = [_innermost(text.spans or ()) for text in texts]
    num_typed = sum(span.end - span.start for of_text in innermost for span in of_text)
    num_types = len({span.type for of_text in innermost for span in of_text})
    return num_types > 1 and num_typed >= _FEWEST * sum(len(text.text) for text in texts)


def words_alone(text: LabelledText) -> LabelledText:
    """Removes the types of a text's words; text without a type, such as o/o, is a word, too."""
    if text.spans is None:
        return text
    words, position = [], 0
    for span in _innermost(text.spans) + [Span(len(text.text), len(text.text), "")]:
        words += without_whitespace(text.text, Span(position, span.start, ""))
        words += without_whitespace(text.text, span._replace(type=""))
        position = span.end
    return text._replace(spans=words)


def _innermost(spans: Sequence[Span]) -> List[Span]:
    """Removes spans that contain others, such as compounds of several words."""
    kept: List[Span] = []
    for span in sorted(spans, key=lambda span: (span.end, -span.start)):
        if not kept or kept[-1].end <= span.start:
            kept.append(span)
    return kept
