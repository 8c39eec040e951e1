"""Writes files of predictions, text by text.

predictions.tsv has each text with its gold and its predicted entities. predictions.conll has a
token and its tag on each line. label_test.txt has token, gold tag and predicted tag, in the format
of BERT-BiLSTM-CRF-NER. predictions.json has each text in the form of the input file (for CLUENER,
this is the form of submissions), with its id, or else the line of the input at which it begins.
"""

import contextlib
from typing import Any, List, Mapping, Optional, Sequence

from albert_zh.common import output_files
from albert_zh.tasks.labelling import alignment, json_files, segmented_files, tag_schemes
from albert_zh.tasks.labelling.column_files import column_lines
from albert_zh.tasks.labelling.spans import LabelledText, Span

PREDICTIONS, CONLL, LABELS = "predictions.tsv", "predictions.conll", "label_test.txt"
JSON, SEGMENTED = "predictions.json", "predictions.txt"
_HEADER = ("text", "gold", "predicted")
_SHOWN_CONTROLS = str.maketrans({"\t": " ", "\n": " ", "\r": " "})


def token_tags(text: LabelledText, spans: Sequence[Span], scheme: tag_schemes.Scheme) -> List[str]:
    """Returns the tags of a text's tokens, or of its characters if it has no tokens.

    Args:
        text: `LabelledText`.
        spans: list of `Span` in characters, which must not overlap.
        scheme: `tag_schemes.Scheme`.

    Returns:
        list of str, one per token. A token belongs to a span that covers a part of it, and to the
        first one if there are two such spans.
    """
    tokens = text.tokens
    if tokens is None:
        return tag_schemes.spans_to_tags(spans, len(text.text), scheme)
    of_tokens, _, _ = alignment.to_pieces(sorted(spans), tokens)
    return tag_schemes.spans_to_tags(alignment.without_overlaps(of_tokens)[0], len(tokens), scheme)


def shown_spans(text: str, spans: Optional[Sequence[Span]]) -> str:
    """Formats spans as a table cell: "王明/PER@0-2 北京/LOC@3-5"; ends are exclusive."""
    return " ".join(
        "%s/%s@%d-%d" % (text[span.start : span.end], span.type, span.start, span.end)
        for span in spans or ()
    )


class PredictionFiles:
    """Writes predictions; the files only appear when all of them are complete.

    Use it as a context manager.
    """

    def __init__(
        self,
        paths: Mapping[str, str],
        scheme: Any,
        file_format: str,
        offset_unit: str = json_files.CHARACTERS,
    ) -> None:
        """Determines which files are written.

        Args:
            paths: {name: path} of the files to write, whose names are some of PREDICTIONS, CONLL,
                LABELS, JSON and SEGMENTED. LABELS only has texts with gold spans, and is not
                written if there are none.
            scheme: `tag_schemes.Scheme` of written tags; it is unused for nested entities, which
                only PREDICTIONS and JSON can represent.
            file_format: format of the input, a key of `reader.FORMATS`.
            offset_unit: unit of the positions in JSON, the same as in the input.
        """
        self._paths = dict(paths)
        self._labels_path = self._paths.pop(LABELS, None)
        self._scheme = scheme
        self._json_format = file_format if file_format in json_files.FORMATS else "cluener"
        self._offset_unit = offset_unit
        self._writers = {
            PREDICTIONS: self._table_lines,
            CONLL: self._column_lines,
            LABELS: self._label_lines,
            JSON: self._json_lines,
            SEGMENTED: self._segmented_lines,
        }

    def __enter__(self) -> "PredictionFiles":
        self._stack = contextlib.ExitStack()
        self._streams = {
            name: self._stack.enter_context(output_files.atomic_write(path))
            for name, path in self._paths.items()
        }
        if PREDICTIONS in self._streams:
            self._streams[PREDICTIONS].write("\t".join(_HEADER) + "\n")
        return self

    def __exit__(self, *error: Any) -> Any:
        return self._stack.__exit__(*error)

    def add(self, text: LabelledText, spans: Sequence[Span]) -> None:
        """Writes the predicted spans of a text; spans are in characters."""
        if self._labels_path and text.spans is not None and LABELS not in self._streams:
            labels = output_files.atomic_write(self._labels_path)
            self._streams[LABELS] = self._stack.enter_context(labels)
        for name, stream in self._streams.items():
            if name != LABELS or text.spans is not None:
                stream.write("\n".join(self._writers[name](text, spans)) + "\n")

    def _table_lines(self, text, spans):
        cells = (text.text, shown_spans(text.text, text.spans), shown_spans(text.text, spans))
        return ["\t".join(cell.translate(_SHOWN_CONTROLS) for cell in cells)]

    def _column_lines(self, text, spans):
        return column_lines(_tokens(text), self._column(text, spans)) + [""]

    def _label_lines(self, text, spans):
        gold, predicted = (self._column(text, side) for side in (text.spans, spans))
        return column_lines(_tokens(text), gold, predicted) + [""]

    def _column(self, text, spans):
        """Tags of a text's tokens; _ replaces blanks in types, since blanks separate columns."""
        return ["_".join(tag.split()) for tag in token_tags(text, spans, self._scheme)]

    def _json_lines(self, text, spans):
        settings = (text.identifier, self._offset_unit, text.line)
        return [json_files.json_line(self._json_format, text.text, spans, *settings)]

    def _segmented_lines(self, text, spans):
        return [segmented_files.segmented_line(text.text, spans)]


def _tokens(text):
    """Returns the tokens for a column, without line ends, TABs or blanks that would shift tags."""
    shown = text.text.translate(_SHOWN_CONTROLS)  # of the same length
    if text.tokens is None:
        return list(shown)
    tokens = [shown[start:end] for start, end in text.tokens]
    return ["_".join(token.split()) or token for token in tokens]
