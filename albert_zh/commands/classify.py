"""Classifies texts or text pairs with a fine-tuned model: classes, several labels or values.

    python classify.py "这家店的菜很好吃" "等了两个小时"
    python classify.py --input_file=texts.txt > classified.tsv
    cat texts.txt | python classify.py --model_dir=topics_output/best --top_k=3 --format=jsonl

Texts are the arguments of the command line, or the lines of a file or of standard input. For a
model of pairs, the arguments are taken in twos, and lines are text_a<tab>text_b; further columns
are ignored. A table (.csv, .json, .jsonl, or with a header) is read like the model's training file.
An empty line outside a table is an empty text; a note counts the rows that have an empty text.

Prints one line per text, in input order: the text (or both texts), the label and its probability,
tab-separated. A multi-label model prints the labels above their thresholds and their probabilities,
each joined as in the training data; a regression model prints the value. With --top_k the most
probable classes follow, each with its probability. --format=jsonl prints objects with the keys text
(text_a and text_b for a pair), label and probability (labels; value), and probabilities: {class:
probability} of the --top_k classes, or of all classes. A model that finds spans of text (labels,
answers) prints one object per line, with the text and its prediction.
"""

import functools
import json
import sys
from typing import TYPE_CHECKING, List, Sequence

from absl import flags

from albert_zh.common import line_reader, path_rules
from albert_zh.common.errors import UserError, printable, run_command, table_cell
from albert_zh.inference import loaded_model, model_choice, model_flags, predictor
from albert_zh.tasks import task_forms
from albert_zh.tasks.tables import pair_table

if TYPE_CHECKING:
    from albert_zh.inference import input_rows

__all__ = [
    "FORMATS",
    "define_flags",
    "main",
    "print_classes",
    "run",
]

FLAGS = flags.FLAGS
FORMATS = ("tsv", "jsonl")


def define_flags() -> None:
    """Defines the command's flags."""
    model_flags.define(
        "Model folder, SavedModel folder, .tflite or .onnx file; default: newest *_output/best."
    )
    flags.DEFINE_string("input_file", None, "Texts, one per line; default: standard input.")
    flags.DEFINE_string("encoding", "utf-8", "Encoding of the file or of standard input.")
    flags.DEFINE_enum("format", "tsv", FORMATS, "Output format.")
    flags.DEFINE_integer(
        "top_k", None, "Number of most probable classes to show per text.", lower_bound=1
    )
    flags.DEFINE_boolean(
        "text_pairs",
        None,
        "Whether the texts are pairs; default: as in training, or, if the model's folder does not "
        "record that, lines with a tab are pairs.",
    )
    path_rules.serve_remote_everywhere(FLAGS)


def run(words: List[str]) -> None:
    """Prints the classes of the command-line arguments, or of each line of the input."""
    line_reader.check_arguments(words)
    if words and FLAGS.input_file:
        raise UserError("texts and --input_file are mutually exclusive: give one of them")
    with _open_model() as model:
        is_pairs = model.takes_pairs if FLAGS.text_pairs is None else FLAGS.text_pairs
        source = "the texts" if words else FLAGS.input_file or "standard input"
        groups = (
            [_texts_of_arguments(words, is_pairs)]
            if words
            else _groups_of_table(model) or _groups_of_lines(model, is_pairs)
        )
        num_texts = num_empty = 0
        for texts in groups:
            print_classes(model, texts)
            num_texts, num_empty = num_texts + len(texts), num_empty + sum(map(_is_empty, texts))
        if num_empty and model.kind.is_classification:
            note = (
                "note: %s: %d of %d rows have an empty text, for which a prediction is written "
                "nevertheless"
            )
            print(printable(note % (source, num_empty, num_texts)), file=sys.stderr)
        _add_notes(model, source)


def _is_empty(text):
    """Whether a text is empty, or either text of a pair."""
    return not all(part.strip() for part in ([text] if isinstance(text, str) else text))


def _add_notes(model, source):
    """Prints notes on standard error about the parts of the texts that the model did not see."""
    loaded_model.note_cut(source + ": texts", model.num_cut, model.longest_uncut)
    loaded_model.note_unknown(source, model)


def _groups_of_table(model):
    """Lists of the texts of a table in the form of the training data; None for other files."""
    reads_slots = any(model.kind.flags.further_inputs(model.use.task.head))
    is_known = model.kind.is_classification and model.takes_pairs is not None
    if not (FLAGS.input_file and is_known) or reads_slots or FLAGS.text_pairs is not None:
        return None
    task = pair_table.task_of_model(model.notes, model.labels)
    if not pair_table.is_table(FLAGS.input_file, FLAGS.encoding, task):
        return None
    return pair_table.groups(FLAGS.input_file, FLAGS.encoding, task)


def _groups_of_lines(model, is_pairs):
    """Yields lists of the texts of lines, from a file or from standard input."""
    say_header = functools.partial(task_forms.say_header, header=model.notes.get("header", ()))
    groups = line_reader.groups_with_bar("texts", FLAGS.input_file, FLAGS.encoding, say_header)
    for group in groups:
        yield [_text_of_line(source, line, is_pairs) for source, line in group]


def _open_model():
    path = FLAGS.model_dir or model_choice.newest_model()
    print(printable("model: %s" % path), file=sys.stderr)
    model = predictor.Predictor(
        path,
        FLAGS.max_seq_length,
        precision=FLAGS.precision,
        check_text_form=FLAGS.text_pairs is None,
    )
    _check_flags(model, path)
    return model


def _check_flags(model, path):
    """Raises `UserError` for --top_k if nothing is ranked; notes a --format without effect."""
    is_classification = model.kind.is_classification
    if FLAGS.top_k and not (is_classification and model.rules.has_classes):
        predicted = "a value" if is_classification else "spans of text"
        raise UserError("--top_k: %s predicts %s, not classes: leave it out" % (path, predicted))
    if not is_classification and FLAGS["format"].present and FLAGS.format == "tsv":
        note = (
            "note: --format=tsv has no effect: the output of a model of the kind %s is JSON lines"
        )
        print(note % model.objective, file=sys.stderr)


def _texts_of_arguments(arguments, is_pairs):
    if not is_pairs:
        return arguments
    if len(arguments) % 2:
        raise UserError(
            "found %d words, expected pairs, as the model was trained on pairs: quote each text; "
            "--text_pairs=false takes single texts" % len(arguments)
        )
    return list(zip(arguments[::2], arguments[1::2]))


def _text_of_line(source, line, is_pairs):
    """The text or pair of a line; with `is_pairs` None, the line's form decides."""
    num_columns = line.count("\t") + 1
    if is_pairs or (is_pairs is None and num_columns > 1):
        return line_reader.pair_of_line(source, line)
    if num_columns > 1 and FLAGS.text_pairs is None:
        raise UserError(
            "%s: %d columns, but the model was trained on single texts: keep only the text, for "
            "example with cut -f1; --text_pairs=false takes the whole line as the text"
            % (source, num_columns)
        )
    return line


def print_classes(model: predictor.Predictor, texts: Sequence["input_rows.Text"]) -> None:
    """Prints one line per text.

    Args:
        model: the classifier.
        texts: list of str, or of (text_a, text_b).
    """
    labels, probabilities = model.predict(texts)
    if model.kind.is_classification:
        write = {"tsv": _tsv_line, "jsonl": _json_line}[FLAGS.format]
        for text, label, row in zip(texts, labels, probabilities.tolist()):
            print(write(model, text, label, row))
    else:
        for text, prediction in zip(texts, labels):
            print(json.dumps(dict(_text_record(text), prediction=prediction), ensure_ascii=False))
    sys.stdout.flush()


def _ranked(model, row, count):
    """[(class, probability)] of the `count` most probable classes; None: all classes."""
    return sorted(zip(model.labels, row), key=lambda pair: -pair[1])[:count]


def _tsv_line(model, text, label, row):
    cells = [table_cell(cell) for cell in ([text] if isinstance(text, str) else text)]
    if not model.rules.has_classes:
        return "\t".join(cells + ["%.4f" % label])
    is_multi_label = model.rules.has_several_labels
    probability_of = dict(zip(model.labels, row))
    chosen = label if is_multi_label else [label]
    cells.append(table_cell(model.label_separator.join(chosen)))
    cells.append(model.label_separator.join("%.4f" % probability_of[name] for name in chosen))
    if FLAGS.top_k:
        ranked = _ranked(model, row, FLAGS.top_k)
        for name, probability in ranked if is_multi_label else ranked[1:]:
            cells += [table_cell(name), "%.4f" % probability]
    return "\t".join(cells)


def _text_record(text):
    return {"text": text} if isinstance(text, str) else dict(zip(("text_a", "text_b"), text))


def _json_line(model, text, label, row):
    record = _text_record(text)
    record[model.rules.label_key] = label
    if model.rules.has_classes:
        if not model.rules.has_several_labels:
            record["probability"] = max(row)
        record["probabilities"] = dict(_ranked(model, row, FLAGS.top_k))
    return json.dumps(record, ensure_ascii=False)


def main() -> None:
    """Runs the command line."""
    define_flags()
    run_command(run, takes_words=True, description=__doc__)
