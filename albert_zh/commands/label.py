"""Finds entities or words in texts with a model that run_seq_labelling.py trained.

    python label.py --model_dir=ner_output/best "许半夏昨天去了云台南街"
    python label.py --input_file=texts.txt > labelled.jsonl
    cat texts.txt | python label.py --model_dir=cws_output/best --granularity=coarse

Texts are the arguments of the command line, or the lines of a file or of standard input; they may
be of any length. Prints one JSON object per text, in input order: {"text", "entities": [{"type",
"start", "end", "text", "confidence"}]}, with character positions and exclusive ends; a model that
segments words prints {"text", "words": [...]}.
"""

import json
import sys
from typing import List, Sequence

from absl import flags

from albert_zh.common import line_reader, package_files, path_rules, storage
from albert_zh.common.errors import UserError, printable, run_command
from albert_zh.inference import loaded_model, model_choice, model_flags, predictor
from albert_zh.tasks.labelling import format_detection

__all__ = ["define_flags", "main", "print_spans", "run"]

FLAGS = flags.FLAGS
KINDS = ("sequence_labelling", "span_labelling")


def define_flags() -> None:
    """Defines the command's flags."""
    model_flags.define(
        "Model folder, SavedModel folder, .tflite or .onnx file of a labelling model; default: the "
        "newest *_output/best of that kind.",
    )
    model_flags.define_granularity()
    flags.DEFINE_string("input_file", None, "Texts, one per line; default: standard input.")
    flags.DEFINE_string("encoding", "utf-8", "Encoding of the file or of standard input.")
    path_rules.serve_remote_everywhere(FLAGS)


def run(words: List[str]) -> None:
    """Prints the spans of the command-line arguments, or of each line of the input."""
    line_reader.check_arguments(words)
    if words and FLAGS.input_file:
        raise UserError("texts and --input_file are mutually exclusive: give one of them")
    with _open_model() as model:
        if words:
            print_spans(model, words)
            loaded_model.note_unknown("the texts", model)
            return
        if FLAGS.input_file:
            _note_columns(FLAGS.input_file)
        for group in line_reader.groups_with_bar("texts", FLAGS.input_file, FLAGS.encoding):
            print_spans(model, [line for _, line in group])
        loaded_model.note_unknown(FLAGS.input_file or "standard input", model)


def _note_columns(path):
    """Prints a note if a file of labelled texts is read as plain texts, one per line."""
    if not storage.is_file(path):
        return
    found = format_detection.detect_format(path, FLAGS.encoding)
    if found != format_detection.SEGMENTED:  # or plain texts
        note = (
            "note: %s looks like a file of labelled texts (format %s), but each line is treated "
            "as a plain text: run_seq_labelling.py --do_predict=true reads such files"
            % (path, found)
        )
        print(printable(note), file=sys.stderr)


def _open_model():
    path = FLAGS.model_dir or model_choice.newest_best_folder(
        package_files.places_of_models(), kinds=KINDS
    )
    print(printable("model: %s" % path), file=sys.stderr)
    model = predictor.Predictor(
        path, FLAGS.max_seq_length, precision=FLAGS.precision, granularity=FLAGS.granularity
    )
    if model.objective not in KINDS:
        model.close()
        raise UserError(
            "--model_dir=%s: found a model of the kind %s, expected a labelling model: train one "
            "with bash run_sequence_labelling.sh" % (path, model.objective)
        )
    return model


def print_spans(model: predictor.Predictor, texts: Sequence[str]) -> None:
    """Prints one line per text.

    Args:
        model: a labelling model.
        texts: the texts to label.
    """
    is_segmentation = "O" not in model.labels and model.objective == KINDS[0]
    for text, spans in zip(texts, model.predict(texts)[0]):
        record = {"text": text, "entities": spans}
        if is_segmentation:
            record = {"text": text, "words": [span["text"] for span in spans]}
        print(json.dumps(record, ensure_ascii=False))
    sys.stdout.flush()


def main() -> None:
    """Runs the command line."""
    define_flags()
    run_command(run, takes_words=True, description=__doc__)
