r"""Extends a model that was pre-trained on short texts to longer texts, without training.

    python extend_positions.py --model_dir=my_model --trained_length=128 --output_dir=my_model_512
    MODEL_DIR=my_model_512 bash run_reading.sh

The position table has rows for longer inputs than pre-training used, and these rows were never
trained. They are replaced by a continuation of the trained rows; the other weights stay the same.
"""

import os

from absl import flags

from albert_zh.common.errors import (  # first: it silences TensorFlow's log
    UserError,
    printable,
    run_command,
)

# isort: split

from albert_zh.common import output_files, path_rules, storage
from albert_zh.model import sentence_vectors
from albert_zh.model.checkpoints import (
    checkpoint_files,
    checkpoint_values,
    fine_tuning_notes,
    label_map,
    model_writer,
    position_extension,
    whole_folders,
)
from albert_zh.tasks.slots import dictionaries

__all__ = ["define_flags", "main", "run"]

FLAGS = flags.FLAGS
_COPIED = (
    "*config*.json",
    "vocab*.txt",
    "*.model",
    dictionaries.FILE_NAME,
    fine_tuning_notes.FINE_TUNING_FILE,
    label_map.LABEL_MAP,
    sentence_vectors.SENTENCE_FILE,
)


def define_flags() -> None:
    """Defines the command's flags."""
    flags.DEFINE_string("model_dir", None, "Pre-trained model: config, vocabulary, checkpoint.")
    flags.DEFINE_integer("trained_length", 128, "Maximum input length of its pre-training.")
    flags.DEFINE_string("output_dir", None, "Folder to write the model to.")
    path_rules.serve_remote_everywhere(FLAGS)


def run() -> None:
    """Writes the model."""
    for name in ("model_dir", "output_dir"):
        if not FLAGS[name].value:
            raise UserError("--%s is required (%s)" % (name, FLAGS[name].help.rstrip(".")))
    path_rules.protect_model(FLAGS.model_dir, "--model_dir")
    prefix = checkpoint_files.find_checkpoint(FLAGS.model_dir)
    source = os.path.dirname(prefix) or "."
    checkpoint_values.check_readable(prefix)
    weights = dict(checkpoint_values.read_weights(prefix, with_objectives=True))
    name = _table_name(weights, prefix)
    table = weights[name]
    _check_lengths(table, prefix)
    for each in {name, position_extension.TABLE_OF_GENERATOR} & set(weights):
        weights[each] = position_extension.extended(weights[each], FLAGS.trained_length)
    with whole_folders.filled_folder(FLAGS.output_dir) as partial:
        for pattern in _COPIED:
            for path in storage.in_folder(source, pattern):
                output_files.copy_file(path, os.path.join(partial, os.path.basename(path)))
        model_writer.write_model_checkpoint(partial, weights)
    line = "written    %s: %d positions, extended from %d"
    print(printable(line % (FLAGS.output_dir, len(table), FLAGS.trained_length)))
    _note_what_is_missing(source)
    _note_what_is_lost(source, len(table))


def _table_name(weights, prefix):
    """The name of a model's position table among its variables."""
    for name in position_extension.POSITION_TABLES:
        if name in weights:
            return name
    raise UserError(
        "%s has no %s: expected a BERT or an ALBERT"
        % (prefix, position_extension.POSITION_TABLES[0])
    )


def _check_lengths(table, prefix):
    """Raises `UserError` if a table is too short to be continued."""
    if len(table) <= position_extension.SHORTEST:
        raise UserError(
            "%s has %d positions: expected more than %d, from which the new positions are "
            "computed" % (prefix, len(table), position_extension.SHORTEST)
        )
    if not position_extension.SHORTEST <= FLAGS.trained_length < len(table):
        raise UserError(
            "--trained_length=%d: expected %d to %d, as %s has %d positions"
            % (
                FLAGS.trained_length,
                position_extension.SHORTEST,
                len(table) - 1,
                prefix,
                len(table),
            )
        )


def _note_what_is_missing(source):
    """Prints a note if the source folder has no config or vocabulary to copy (training folders)."""
    patterns_of = {"config": _COPIED[:1], "vocabulary": _COPIED[1:3]}
    missing = [
        what
        for what, patterns in patterns_of.items()
        if not any(storage.in_folder(FLAGS.output_dir, pattern) for pattern in patterns)
    ]
    if missing:
        line = "note: %s has no %s, since there is none next to the weights in %s: copy it there"
        print(printable(line % (FLAGS.output_dir, " and no ".join(missing), source)))


def _note_what_is_lost(source, positions):
    """Prints a note if positions that fine-tuning has trained were replaced."""
    notes = sentence_vectors.read_notes(source)
    longest = fine_tuning_notes.notes_of_folder(source).get("max_seq_length", 0)
    longest = max(longest, notes.max_seq_length if notes else 0)
    if longest <= FLAGS.trained_length:
        return
    line = (
        "note: %s was fine-tuned on up to %d tokens: the embeddings it has learned of positions "
        "after %d are replaced" % (source, longest, FLAGS.trained_length)
    )
    if longest < positions:
        line += "; --trained_length=%d keeps them" % longest
    print(printable(line))


def main() -> None:
    """Runs the command line."""
    define_flags()
    run_command(run, description=__doc__)
