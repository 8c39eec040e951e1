"""Writes a small copy of an embedding model, with the encoder's weights quantized to 8 bits.

    python scripts/pack_model.py --model_dir=embedding_output/best --output_dir=small

The folder contains config, vocabulary, sentence_embedding.json and weights_int8.npz; every command
that reads a model folder can open it. Heads are omitted; the pooler, which sentence vectors do not
use, is set to zero.
"""

import os
import sys

from absl import flags

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from albert_zh.common import output_files, path_rules
from albert_zh.common.errors import UserError, printable, run_command
from albert_zh.inference import loaded_model
from albert_zh.model import sentence_vectors
from albert_zh.model.checkpoints import (
    checkpoint_files,
    checkpoint_names,
    checkpoint_values,
    model_folder,
    packed_weights,
    whole_folders,
)

FLAGS = flags.FLAGS
_KEPT = checkpoint_names.ENCODER_SCOPES + (sentence_vectors.PROJECTION + "/",)
_UNUSED = "bert/pooler/"


def define_flags() -> None:
    """Defines this command's flags."""
    flags.DEFINE_string("model_dir", None, "Folder of an embedding model.")
    flags.DEFINE_string("output_dir", None, "Folder to write.")


def main() -> None:
    """Writes the folder."""
    for name in ("model_dir", "output_dir"):
        if not FLAGS[name].value:
            raise UserError("--%s is required" % name)
    opened = loaded_model.open_folder(FLAGS.model_dir)
    sentence_vectors.notes_of_embedding_model(FLAGS.model_dir)
    output = path_rules.output_folder(FLAGS.output_dir)
    _check_no_checkpoint(output)
    weights = checkpoint_values.read_weights(opened.prefix)
    kept = {
        name: weight * (_UNUSED not in name)
        for name, weight in weights.items()
        if name.startswith(_KEPT)
    }
    with whole_folders.filled_folder(output) as partial:
        for name, path in _files_beside(opened).items():
            output_files.copy_file(path, os.path.join(partial, name))
        with open(os.path.join(partial, packed_weights.PACKED_FILE), "wb") as stream:
            packed_weights.write(stream, kept)
    path = os.path.join(FLAGS.output_dir, packed_weights.PACKED_FILE)
    print(printable("%s: %d bytes, %d arrays" % (path, os.path.getsize(path), len(kept))))


def _check_no_checkpoint(folder):
    """Raises `UserError` if a checkpoint exists, which would be read instead of packed weights."""
    there = checkpoint_files.index_files(folder)
    if there:
        raise UserError(
            "--output_dir=%s: the checkpoint there (%s) would be read in place of the packed "
            "weights: name another folder" % (FLAGS.output_dir, there[0][: -len(".index")])
        )


def _files_beside(opened):
    """Returns {name in the folder: path} of an embedding model's files other than weights."""
    folder = os.path.dirname(opened.prefix) or "."
    config = model_folder.config_in_folder(folder)
    return {
        os.path.basename(config): config,
        opened.tokenizer.name_in_folder: opened.vocab_file,
        sentence_vectors.SENTENCE_FILE: os.path.join(folder, sentence_vectors.SENTENCE_FILE),
    }


if __name__ == "__main__":
    define_flags()
    run_command(main, description=__doc__)
