r"""Computes sentence or token vectors with any checkpoint's encoder, in input order.

    python extract_features.py --model_dir=lcqmc_output/best --input_file=texts.txt \
        --output_file=vectors.npy --layers=second_to_last --pooling=mean --normalize=true
    cat texts.txt | python extract_features.py > vectors.jsonl    # by the available model

A line is a text, or a pair written as `text_a ||| text_b`. Memory use does not grow with the number
of lines. Output formats:

    npy       float32 [n, W]; tokens (--pooling=none): [n, max_seq_length, W], padded with 0
    jsonl     {"text": ..., "vector": [...]}, or {"text": ..., "tokens": [...], "vectors": [[...]]}
    parquet   the same columns (needs pyarrow)
    bert_json Google BERT's format: one vector per token and layer of --layers
"""

import contextlib
import json
import os
import re
import struct
import sys
from typing import IO, TYPE_CHECKING, List, Sequence, Tuple, Union

from absl import flags
import numpy as np

from albert_zh.common import (
    config_flag,
    line_reader,
    output_files,
    package_files,
    path_rules,
    storage,
)
from albert_zh.common.errors import UserError, printable, run_command
from albert_zh.common.wording import counted
from albert_zh.inference import loaded_model, text_encoder
from albert_zh.model import sentence_vectors
from albert_zh.model.checkpoints import model_folder
from albert_zh.tasks import task_forms

if TYPE_CHECKING:
    from albert_zh.inference import input_rows

__all__ = [
    "BERT_LAYERS",
    "BertJsonWriter",
    "FORMATS",
    "JsonlWriter",
    "NpyWriter",
    "ParquetWriter",
    "define_flags",
    "main",
    "run",
]

FLAGS = flags.FLAGS
FORMATS = ("npy", "jsonl", "parquet", "bert_json")
BERT_LAYERS = "-1,-2,-3,-4"  # the default of BERT's extract_features.py
_PAIR = re.compile(r"(.*) \|\|\| (.*)$", re.S)
Vectors = Union[np.ndarray, Sequence[Tuple[List[str], np.ndarray]]]  # per text or per token
_NPY_HEADER_BYTES = 128  # enough for any number of rows, known only at the end


# long: a table of flags
def define_flags() -> None:
    """Defines the command's flags; BERT's flags are accepted in addition to `--model_dir`."""
    flags.DEFINE_string(
        "model_dir",
        None,
        "Model folder, pre-trained or fine-tuned; default: %s, whichever exists first."
        % " or ".join(model_folder.PRETRAINED),
    )
    flags.DEFINE_string("init_checkpoint", None, "Checkpoint, in place of --model_dir.")
    config_flag.define("Config JSON file, if it is not in --model_dir.")
    flags.DEFINE_string("vocab_file", None, "Vocabulary, if it is not in --model_dir.")
    flags.DEFINE_string("input_file", None, "Texts, one per line; default: standard input.")
    flags.DEFINE_string("output_file", None, "Output file; default: standard output.")
    flags.DEFINE_enum("format", None, FORMATS, "Output format; default: by the file's ending.")
    flags.DEFINE_string(
        "layers",
        None,
        "last, second_to_last, last4_concat, last4_sum, or numbers such as -1,-2; default: last, "
        "or %s with --format=bert_json." % BERT_LAYERS,
    )
    flags.DEFINE_enum(
        "pooling",
        None,
        sorted(text_encoder.POOLINGS) + ["none"],
        "How to pool the token vectors; none: one vector per token. Default: the setting of an "
        "embedding model's folder, and mean for other models.",
    )
    flags.DEFINE_boolean(
        "normalize",
        None,
        "Whether to scale each vector to length 1; default: the setting of an embedding model's "
        "folder, unless --layers or --pooling are set.",
    )
    flags.DEFINE_integer(
        "width", None, "Number of leading values to keep of each vector (Matryoshka).", 1
    )
    flags.DEFINE_integer(
        "max_seq_length",
        None,
        "Maximum text length in tokens; longer texts are truncated. Default: the setting of an "
        "embedding model's folder; 128 for other models, and with --layers or --pooling.",
        lower_bound=1,
    )
    flags.DEFINE_boolean("do_lower_case", True, "Whether to lower-case; false for cased models.")
    flags.DEFINE_enum("precision", "float32", ["float32", "bfloat16"], "Precision of products.")
    flags.DEFINE_string("encoding", "utf-8", "Encoding of the input.")
    path_rules.serve_remote_everywhere(FLAGS)


def run() -> None:
    """Reads texts and writes their vectors."""
    form = _form_of_output()
    with _open_encoder(form) as encoder, _open_output() as stream:
        width = encoder.checked_width(FLAGS.width)
        count, num_blank = _write_vectors(encoder, _WRITERS[form](stream, encoder, width))
    notes = (
        (num_blank, "lines are empty: their vectors are those of an empty text"),
        (
            encoder.num_cut,
            "texts have more than %d tokens and were truncated" % encoder.max_seq_length,
        ),
    )
    for number, what in notes:
        if number:
            print("note: %d of %d %s" % (number, count, what), file=sys.stderr)
    loaded_model.note_unknown(FLAGS.input_file or "standard input", encoder)
    print("%s, vectors of width %d" % (counted(count, "text"), width), file=sys.stderr)


def _write_vectors(encoder, writer):
    """Writes the vectors of all lines and closes the writer; (number of lines, of empty lines)."""
    count = num_blank = 0
    groups = line_reader.groups_with_bar("features", FLAGS.input_file, FLAGS.encoding, _say_header)
    with contextlib.closing(writer):
        for group in groups:
            texts = [_text_of_line(line) for _, line in group]
            writer.write(texts, _vectors(encoder, texts))
            count += len(texts)
            num_blank += sum(not line.strip() for _, line in group)
    if not count:  # for a file, that is reported before
        raise UserError("standard input is empty: expected one text per line")
    return count, num_blank


def _say_header(place, line):
    text = _text_of_line(line)
    cells = [text] if isinstance(text, str) else text
    task_forms.say_header(place, "\t".join(cells), done="encoded")


def _form_of_output():
    form = FLAGS.format
    if form is None:
        ending = (FLAGS.output_file or ".jsonl").rsplit(".", 1)[-1]
        form = {"npy": "npy", "parquet": "parquet", "jsonl": "jsonl", "json": "jsonl"}.get(ending)
        if form is None:
            raise UserError(
                "--output_file=%s: the name does not show the format: name it .npy, .jsonl or "
                ".parquet, or pass --format" % FLAGS.output_file
            )
    if form == "bert_json":
        _check_layers_stay_apart()
    if form in ("npy", "parquet") and FLAGS.output_file is None:
        raise UserError("--format=%s needs --output_file" % form)
    return form


def _check_layers_stay_apart():
    if text_encoder.LAYERS.get(FLAGS.layers, (None, None))[1] == "sum":
        raise UserError(
            "--layers=%s sums layers, but --format=bert_json lists each of them: name them, such "
            "as --layers=%s" % (FLAGS.layers, BERT_LAYERS)
        )
    if FLAGS["pooling"].present and FLAGS.pooling != "none":
        _note("it has one vector per token: --pooling=%s has no effect" % FLAGS.pooling)
    if (FLAGS.output_file or "").endswith((".npy", ".parquet")):
        _note(
            "it writes JSON lines: choose a name that ends in .jsonl instead of %s"
            % FLAGS.output_file
        )


def _note(text):
    print("note: --format=bert_json: " + text, file=sys.stderr)


def _open_encoder(form):
    of_tokens = form == "bert_json" or FLAGS.pooling == "none"
    if of_tokens and FLAGS.width:
        raise UserError(
            "--width truncates vectors of texts, but this output has one per token: leave it out"
        )
    if FLAGS.init_checkpoint and FLAGS.model_dir:
        raise UserError(
            "--init_checkpoint and --model_dir are mutually exclusive: give one of them"
        )
    path = FLAGS.init_checkpoint or FLAGS.model_dir or model_folder.pretrained_folder()
    print(printable("model: %s" % path), file=sys.stderr)
    encoder = text_encoder.TextEncoder(
        path,
        FLAGS.layers or (BERT_LAYERS if form == "bert_json" else None),
        None if of_tokens else FLAGS.pooling or text_encoder.OF_FOLDER,
        FLAGS.max_seq_length,
        FLAGS.do_lower_case if FLAGS["do_lower_case"].present else None,
        FLAGS.bert_config_file,
        FLAGS.vocab_file,
        FLAGS.precision,
    )
    if encoder.notes is None and not of_tokens:
        _note_other_vectors(path)
    return encoder


def _note_other_vectors(path):
    """Prints a note if --layers or --pooling override the settings of an embedding model."""
    folder = path if storage.is_folder(path) else os.path.dirname(path)
    described = os.path.join(folder, sentence_vectors.SENTENCE_FILE)
    if storage.exists(described):
        note = (
            "note: with --layers or --pooling the settings in %s are not used: projection, width, "
            "normalization and length"
        )
        print(printable(note % described), file=sys.stderr)


@contextlib.contextmanager
def _open_output():
    if FLAGS.output_file is None:
        yield sys.stdout.buffer
    else:
        with output_files.atomic_write(FLAGS.output_file, "wb") as stream:
            yield stream


def _text_of_line(line):
    pair = _PAIR.match(line)
    return pair.groups() if pair else line


def _vectors(encoder, texts):
    if encoder.pooling is None:
        # With several separate layers, each layer's vector is scaled to length 1 by itself.
        return encoder.encode_tokens(texts, bool(FLAGS.normalize) and FLAGS.format != "bert_json")
    return encoder.encode(texts, FLAGS.normalize, FLAGS.width)


def _numbers(vector):
    return [round(float(component), 6) for component in vector]


def _as_line(text):
    return text if isinstance(text, str) else " ||| ".join(text)


class NpyWriter:
    """Writes one array; its header, with the number of rows, is written again at the end."""

    def __init__(self, handle: IO[bytes], encoder: text_encoder.TextEncoder, width: int) -> None:
        """`handle`: output file; `encoder`: computes the vectors; `width`: their length."""
        self._stream = handle
        self._count = 0
        self._row_shape: Tuple[int, ...] = (width,)
        if encoder.pooling is None:
            self._row_shape = (encoder.max_seq_length, width)
        self._write_header()

    def _write_header(self):
        shape = (self._count,) + self._row_shape
        about = "{'descr': '<f4', 'fortran_order': False, 'shape': %r, }" % (shape,)
        length = _NPY_HEADER_BYTES - 10
        self._stream.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", length))
        self._stream.write(about.ljust(length - 1).encode("ascii") + b"\n")

    def write(self, texts: Sequence["input_rows.Text"], vectors: Vectors) -> None:
        """Writes a group of vectors (or of (tokens, vectors)); `texts` is not used."""
        del texts
        for row in vectors:
            if isinstance(row, tuple):
                padded = np.zeros(self._row_shape, "<f4")
                padded[: len(row[1])] = row[1]
                row = padded
            self._stream.write(row.astype("<f4").tobytes())
            self._count += 1

    def close(self) -> None:
        """Writes the number of rows."""
        self._stream.seek(0)
        self._write_header()
        self._stream.seek(0, 2)


class JsonlWriter:
    """Writes one JSON object per line."""

    def __init__(self, handle: IO[bytes], encoder: text_encoder.TextEncoder, width: int) -> None:
        """`handle`: output file; `encoder`: computes the vectors; `width` is not used."""
        del width
        self._stream = handle
        self._layers = encoder.layers
        self._count = 0

    def write(self, texts: Sequence["input_rows.Text"], vectors: Vectors) -> None:
        """Writes a group of texts and their vectors (or (tokens, vectors))."""
        for text, row in zip(texts, vectors):
            record = self._record(text, row)
            self._stream.write(json.dumps(record, ensure_ascii=False).encode("utf-8", "replace"))
            self._stream.write(b"\n")
            self._count += 1
        self._stream.flush()

    def _record(self, text, row):
        if isinstance(row, tuple):
            return {
                "text": _as_line(text),
                "tokens": row[0],
                "vectors": [_numbers(vector) for vector in row[1]],
            }
        return {"text": _as_line(text), "vector": _numbers(row)}

    def close(self) -> None:
        """Does nothing: all lines are written."""


class BertJsonWriter(JsonlWriter):
    """Writes lines in the format of Google BERT's extract_features.py."""

    def _record(self, text, row):
        tokens, vectors = row
        by_layer = np.split(vectors, len(self._layers), axis=1)
        if FLAGS.normalize:
            by_layer = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in by_layer]
        features = [
            {
                "token": token,
                "layers": [
                    {"index": layer, "values": _numbers(values[position])}
                    for layer, values in zip(self._layers, by_layer)
                ],
            }
            for position, token in enumerate(tokens)
        ]
        return {"linex_index": self._count, "features": features}


class ParquetWriter:
    """Writes columns text and vector, or text, tokens and vectors."""

    def __init__(self, handle: IO[bytes], encoder: text_encoder.TextEncoder, width: int) -> None:
        """`handle`: output file; raises `UserError` without pyarrow."""
        del width
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise UserError(
                "--format=parquet needs pyarrow (%s): install it with %s"
                % (error, package_files.installation_of("extra"))
            ) from error
        self._arrow = pyarrow
        vector = pyarrow.list_(pyarrow.float32())
        columns = [("text", pyarrow.string()), ("vector", vector)]
        if encoder.pooling is None:
            strings = pyarrow.list_(pyarrow.string())
            columns[1:] = [("tokens", strings), ("vectors", pyarrow.list_(vector))]
        self._schema = pyarrow.schema(columns)
        self._writer = pyarrow.parquet.ParquetWriter(handle, self._schema)

    def write(self, texts: Sequence["input_rows.Text"], vectors: Vectors) -> None:
        """Writes a group of texts and their vectors (or (tokens, vectors)) as a row group."""
        columns = [[_as_line(text) for text in texts]]
        if len(self._schema.names) == 3:
            columns += [[row[0] for row in vectors], [list(row[1]) for row in vectors]]
        else:
            columns.append(list(vectors))
        arrays = [
            self._arrow.array(values, field.type) for values, field in zip(columns, self._schema)
        ]
        self._writer.write_table(self._arrow.table(arrays, schema=self._schema))

    def close(self) -> None:
        """Writes the file's footer."""
        self._writer.close()


_WRITERS = {
    "npy": NpyWriter,
    "jsonl": JsonlWriter,
    "parquet": ParquetWriter,
    "bert_json": BertJsonWriter,
}


def main() -> None:
    """Runs the command line."""
    define_flags()
    run_command(run, description=__doc__)
