"""The files of a prediction, written text by text.

predictions.tsv has the text, its gold and its predicted entities; predictions.conll a token and its
tag on each line; label_test.txt token, gold tag and predicted tag, as BERT-BiLSTM-CRF-NER writes
it; predictions.json each text in the form of the input (CLUENER's is its submission), with its id,
or else the line of the input at which it begins.
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
    """The tags of a text's tokens, of its characters if it has none.

    Args:
        text: `LabelledText`.
        spans: list of `Span` in characters, none of which overlap.
        scheme: `tag_schemes.Scheme`.

    Returns:
        list of str, one for each token. A token that a span has a part of is in it; of two such
        spans in the first.
    """
    tokens = text.tokens
    if tokens is None:
        return tag_schemes.spans_to_tags(spans, len(text.text), scheme)
    of_tokens, _, _ = alignment.to_pieces(sorted(spans), tokens)
    return tag_schemes.spans_to_tags(alignment.without_overlaps(of_tokens)[0], len(tokens), scheme)


def shown_spans(text: str, spans: Optional[Sequence[Span]]) -> str:
    """Spans as a cell of a table: "王明/PER@0-2 北京/LOC@3-5", ends exclusive."""
    return " ".join(
        "%s/%s@%d-%d" % (text[span.start : span.end], span.type, span.start, span.end)
        for span in spans or ()
    )


class PredictionFiles:
    """Writes predictions; the files appear when all is done.

    Use it as a context manager.
    """

    def __init__(
        self,
        paths: Mapping[str, str],
        scheme: Any,
        file_format: str,
        offset_unit: str = json_files.CHARACTERS,
    ) -> None:
        """Names the files.

        Args:
            paths: {name: path} of those of PREDICTIONS, CONLL, LABELS, JSON and SEGMENTED that are
                wanted; LABELS has the texts with gold spans, and is written only if there are some.
            scheme: `tag_schemes.Scheme` of written tags; it has no meaning for nested entities,
                which only PREDICTIONS and JSON can hold.
            file_format: of the input, key of `reader.FORMATS`.
            offset_unit: what positions in JSON count, as those of the input.
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
        """Writes a text's predicted spans, in characters."""
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
        """The tags of a text's tokens; _ in place of blanks in a type, which separate columns."""
        return ["_".join(tag.split()) for tag in token_tags(text, spans, self._scheme)]

    def _json_lines(self, text, spans):
        settings = (text.identifier, self._offset_unit, text.line)
        return [json_files.json_line(self._json_format, text.text, spans, *settings)]

    def _segmented_lines(self, text, spans):
        return [segmented_files.segmented_line(text.text, spans)]


def _tokens(text):
    """The tokens as a column shows them: no line end, TAB or blank within one shifts the tags."""
    shown = text.text.translate(_SHOWN_CONTROLS)  # of the same length
    if text.tokens is None:
        return list(shown)
    tokens = [shown[start:end] for start, end in text.tokens]
    return ["_".join(token.split()) or token for token in tokens]
