r"""Exports a model folder for phones, servers and other programs.

    python export_model.py --model_dir=lcqmc_output/best --format=tflite --quantize=int8 \
        --representative_texts=data/pairs_sample/train.txt
    python export_model.py --model_dir=lcqmc_output/best --format=tflite --seq_length=dynamic
    python export_model.py --model_dir=lcqmc_output/best --format=saved_model --output=serving
    python export_model.py --model_dir=lcqmc_output/best --format=onnx
    python export_model.py --model_dir=my_model --format=frozen --task=pretraining
    python export_model.py --model_dir=embedding_output/best --format=sentence_transformers
    python export_model.py --model_dir=embedding_output/best --format=onnx --task=embedding

The exported file is run on hundreds of texts and its outputs are compared with the checkpoint's; a
file that differs too much (--tolerance, --min_equal_labels) is discarded. docs/mobile.md describes
the formats.
"""

import collections
import logging
import os
import resource
import time

from absl import flags

from albert_zh.common import config_flag, package_files, path_rules, storage
from albert_zh.common.errors import UserError, printable, run_command
from albert_zh.export import common as export_common
from albert_zh.export import comparison as export_comparison
from albert_zh.export import (
    comparison_texts,
    exported_model,
    to_onnx,
    to_saved_model,
    to_sentence_transformers,
    to_tflite,
)
from albert_zh.model import sentence_vectors
from albert_zh.model.checkpoints import fine_tuning_notes, model_folder, packed_weights
from albert_zh.tasks import registry
from albert_zh.text import tokenization

__all__ = [
    "FORMATS",
    "Format",
    "define_flags",
    "main",
    "run",
]

FLAGS = flags.FLAGS
# Function that writes a format, file name ending, allowed quantizations and default length.
Format = collections.namedtuple("Format", ["write", "ending", "quantizations", "seq_length"])
FOR_VECTORS = "sentence_transformers"
FORMATS = collections.OrderedDict(
    [
        ("frozen", Format(to_saved_model.write_frozen, ".pb", ("none",), "dynamic")),
        ("saved_model", Format(to_saved_model.write_saved_model, "", ("none",), "dynamic")),
        (
            "tflite",
            Format(to_tflite.write, ".tflite", ("none", "float16", "dynamic", "int8"), "128"),
        ),
        ("onnx", Format(to_onnx.write, ".onnx", ("none", "float16", "int8"), "dynamic")),
        (FOR_VECTORS, Format(to_sentence_transformers.write, "", ("none",), "dynamic")),
    ]
)


_UNTRAINED = "there is no sentence_embedding.json: vectors are the mean of the last layer's tokens"


def _defaults(field, form="%g for %s"):
    """A field of `export_comparison.LIMITS` for --help: `0.0001 for none, 0.02 for float16`."""
    limits = export_comparison.LIMITS.items()
    defaults = ((getattr(limit, field), name) for name, limit in limits)
    return ", ".join(form % pair for pair in defaults if pair[0] is not None)


# long: a table of flags
def define_flags() -> None:
    """Defines the command's flags."""
    flags.DEFINE_string(
        "model_dir",
        None,
        "Model folder: config, vocab.txt, checkpoint; default for tasks without a classifier: "
        "%s, whichever exists first." % " or ".join(model_folder.PRETRAINED),
    )
    flags.DEFINE_enum("format", None, list(FORMATS), "Format of the export.")
    flags.DEFINE_enum("task", "classifier", list(exported_model.TASKS), "Output of the model.")
    flags.DEFINE_enum(
        "quantize", "none", list(export_comparison.LIMITS), "How to quantize weights and products."
    )
    flags.DEFINE_string(
        "seq_length",
        None,
        "Input length in tokens, or dynamic; default for tflite: the length of the model's "
        "fine-tuning (128 if it has none); for other formats: dynamic.",
    )
    flags.DEFINE_string(
        "output", None, "File (saved_model: folder) to write; default: in the model folder."
    )
    flags.DEFINE_string(
        "representative_texts",
        None,
        "Texts like those the model will see, one per line; pairs are separated by a tab. Files of "
        "a task work as well. The exported file is compared with the checkpoint on these texts "
        "(plus bundled texts if there are fewer than %d); int8 is also calibrated on them: from %d "
        "texts on, one half is for calibration and the other for the comparison."
        % (comparison_texts.LEAST_COMPARED, comparison_texts.LEAST_TO_DIVIDE),
    )
    flags.DEFINE_boolean(
        "integer_only", False, "int8 without any floating point, for accelerators that require it."
    )
    flags.DEFINE_boolean(
        "metadata", False, "Put tokenizer, vocabulary and labels into the .tflite file (MediaPipe)."
    )
    flags.DEFINE_float(
        "tolerance",
        None,
        "Maximum difference from the checkpoint's outputs on any text; default: %s; on the mean of "
        "all texts: %s." % (_defaults("largest"), _defaults("mean")),
    )
    flags.DEFINE_float(
        "min_equal_labels",
        None,
        "Minimum share of texts with the same label as the checkpoint; for labelling: with all of "
        "its tags or spans; for reading: with its span. Default, for classifiers only: %s. A lower "
        "value accepts a less accurate file." % _defaults("equal_labels"),
        lower_bound=0.0,
        upper_bound=1.0,
    )
    config_flag.define("Config JSON file, if it is not in --model_dir.")
    flags.DEFINE_string("encoding", "utf-8", "Encoding of --representative_texts.")
    names = ("model_dir", "output", "representative_texts", "bert_config_file")
    path_rules.serve_remote(FLAGS, names)


def run() -> None:
    """Exports the model in the format that the flags ask for, and reports what was written."""
    start = time.time()
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of deprecated functions
    options = _options()
    model = export_common.read_model(_model_dir(options.task), options.task, FLAGS.bert_config_file)
    if FLAGS.seq_length is None and options.seq_length:
        usual = model.settings.get("max_seq_length", options.seq_length)
        if model.sentence_notes:
            usual = model.sentence_notes.max_seq_length
        length = min(usual, model.config.longest_sequence)
        options = options._replace(seq_length=length)
    texts = comparison_texts.for_model(model, FLAGS.representative_texts, FLAGS.encoding)
    options = options._replace(texts=texts)
    export_common.check_length(options.seq_length, model)
    _check_metadata(model, options)
    _check_texts(model, options)
    path = FLAGS.output or os.path.join(
        package_files.folder_of_outputs(model.folder), _usual_name(options)
    )
    if options.task == "embedding" and sentence_vectors.read_notes(model.folder) is None:
        print(printable("note: %s: %s" % (model.folder, _UNTRAINED)))
    if FLAGS.format != FOR_VECTORS:  # which writes a new folder
        export_common.check_companions(model, _folder_of_companions(path))
    texts = comparison_texts.to_compare(model, options)
    examples = export_comparison.Examples(
        model, options.task, export_common.session_of, texts, options.seq_length
    )
    if FLAGS.min_equal_labels is not None and not examples.have_answers:
        print("note: --min_equal_labels has no effect: the compared outputs are not labels")
    comparison = FORMATS[FLAGS.format].write(model, examples, path, options)
    least = examples.limits(options.limits).equal_labels
    for title, text in _summary(model, path, options, comparison, least, time.time() - start):
        print(printable("%-10s %s" % (title, text)))


def _options():
    if not FLAGS.format:
        raise UserError("--format is required: one of %s" % ", ".join(FORMATS))
    allowed = FORMATS[FLAGS.format].quantizations
    if FLAGS.quantize not in allowed:
        raise UserError(
            "--quantize=%s: --format=%s supports only %s"
            % (FLAGS.quantize, FLAGS.format, ", ".join(allowed))
        )
    if FLAGS["encoding"].present and not FLAGS.representative_texts:
        print("note: --encoding has no effect without --representative_texts")
    for name in ("integer_only", "metadata"):
        if FLAGS[name].value and FLAGS.format != "tflite":
            raise UserError("--%s requires --format=tflite" % name)
    if FLAGS.format == FOR_VECTORS:
        _check_flags_of_vectors()
    options = exported_model.Options(
        task="embedding" if FLAGS.format == FOR_VECTORS else FLAGS.task,
        seq_length=_seq_length(FLAGS.seq_length or FORMATS[FLAGS.format].seq_length),
        quantize=FLAGS.quantize,
        limits=export_comparison.limits(FLAGS.quantize, FLAGS.tolerance, FLAGS.min_equal_labels),
        texts=[],  # read once the model is known
        integer_only=FLAGS.integer_only,
        metadata=FLAGS.metadata,
    )
    if FLAGS.format == "tflite":
        to_tflite.check_possible(options, bool(FLAGS.representative_texts))
    if FLAGS.format == "onnx":
        to_onnx.check_possible()
    return options


def _check_flags_of_vectors():
    if FLAGS["task"].present and FLAGS.task != "embedding":
        raise UserError("--format=%s is for --task=embedding: leave out --task" % FOR_VECTORS)
    if FLAGS.seq_length not in (None, "dynamic"):
        raise UserError(
            "--seq_length=%s: --format=%s truncates texts to the model's max_seq_length and does "
            "not pad them: leave it out" % (FLAGS.seq_length, FOR_VECTORS)
        )


def _model_dir(task):
    """--model_dir, or the default pre-trained model for tasks that need no fine-tuned one."""
    if FLAGS.model_dir:
        return FLAGS.model_dir
    if "classification" in exported_model.TASKS[task].heads:
        raise UserError(
            "--model_dir is required: name a fine-tuned model, such as lcqmc_output/best; a "
            "pre-trained one has --task=pretraining or --task=encoder"
        )
    return model_folder.pretrained_folder()


def _seq_length(text):
    if text == "dynamic":
        return None
    if not text.isdecimal():
        raise UserError("--seq_length=%s: expected a number of tokens, or dynamic" % text)
    return int(text)


def _check_metadata(model, options):
    if not options.metadata:
        return
    if options.task != "classifier":
        raise UserError("--metadata describes a classifier: leave out --task=%s" % options.task)
    if not (model.kind.is_classification and model.kind.rules.has_classes):
        raise UserError(
            "--metadata describes a text classifier, but %s is a model of the kind %s: leave "
            "it out" % (model.folder, model.kind.name)
        )
    if model.further_inputs(model.heads):
        raise UserError(
            "--metadata describes a model whose only input is text, but the one in %s also takes "
            "%s: leave it out" % (model.folder, ", ".join(model.further_inputs(model.heads)))
        )
    if model.tokenizer is None:
        raise UserError("--metadata: %s has no vocab.txt" % model.folder)
    if model.tokenizer.name_in_folder != tokenization.VOCABULARY_FILE:
        raise UserError(
            "--metadata describes a vocab.txt, but %s has a SentencePiece model: leave it out"
            % model.folder
        )

    if fine_tuning_notes.notes_of_folder(model.folder).get("do_lower_case") is False:
        raise UserError(
            "--metadata: the model in %s is case-sensitive, which MediaPipe is not: "
            "leave it out" % model.folder
        )
    if "text_b" in (model.settings.get("columns") or ()):
        print(
            "note: MediaPipe passes a single text to the model, but this model was trained on "
            "pairs: use Predictor, or the library for Android (docs/android.md)"
        )


def _check_texts(model, options):
    if options.texts and model.tokenizer is None:
        raise UserError(
            "--representative_texts: %s has no vocabulary to tokenize them: copy the model's "
            "vocab.txt there" % model.folder
        )
    notes = fine_tuning_notes.notes_of_folder(model.folder)
    longest = notes.get("max_seq_length", 0)
    if options.seq_length and longest > options.seq_length:
        has_windows = "objective" in notes and registry.get(notes["objective"]).token_outputs
        way = "are read in windows of that length" if has_windows else "are cut"
        print(
            "note: the model was trained on up to %d tokens; texts of more than %d (--seq_length) "
            "%s" % (longest, options.seq_length, way)
        )


def _usual_name(options):
    if not FORMATS[FLAGS.format].ending:
        return FLAGS.format
    name_components = ["albert", options.task]
    if options.quantize != "none":
        name_components.append(options.quantize)
    if options.seq_length is not None:
        name_components.append(str(options.seq_length))
    return "_".join(name_components) + FORMATS[FLAGS.format].ending


def _folder_of_companions(path):
    """The folder for the vocabulary, labels and settings of an export."""
    if FORMATS[FLAGS.format].ending:
        return os.path.dirname(path) or "."
    return os.path.join(path, to_saved_model.VERSION, to_saved_model.EXTRA)


def _summary(model, path, options, comparison, least, seconds):
    length = "any length" if options.seq_length is None else "%d tokens" % options.seq_length
    size = storage.total_size(path)
    named = packed_weights.as_named(model.prefix)
    yield "model", "%s (%s layout)" % (named, model.config.layout)
    yield "written", "%s (%.2f MB, %s, %s)" % (path, size / 1e6, options.task, length)
    if comparison is None:
        yield "difference", "not compared: that needs PyTorch and transformers"
        return
    yield (
        "difference",
        "at most %.1e, on average %.1e from the checkpoint's outputs, on %d texts"
        % (comparison.largest, comparison.mean, comparison.num_texts),
    )
    if comparison.equal_labels is not None:
        answer = "label" if model.kind.is_classification else "answer"
        agreement = export_comparison.percentage(comparison.equal_labels)
        if least is not None:
            answer += " (at least %s expected)" % export_comparison.percentage(least)
        yield "agreement", "%s of the texts have the checkpoint's %s" % (agreement, answer)
    if model.labels and options.task == "classifier":
        shown = ", ".join(model.labels[:8]) + (", ..." if len(model.labels) > 8 else "")
        yield "labels", "%d: %s" % (len(model.labels), shown)
    megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    yield "took", "%.0f s, at most %.0f MB" % (seconds, megabytes)


def main() -> None:
    """Runs the command line."""
    define_flags()
    run_command(run, description=__doc__)
