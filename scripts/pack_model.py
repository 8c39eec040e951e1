"""Writes a small copy of an embedding model: the encoder's weights as integers of 8 bits.

    python scripts/pack_model.py --model_dir=embedding_output/best --output_dir=small

The folder has config, vocabulary, sentence_embedding.json and weights_int8.npz; every command that
reads a model folder opens it. Heads are left out; the pooler, which vectors do without, is zeros.
"""

import os
import shutil
import sys

from absl import flags

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from albert_zh.common import output_files, path_rules
from albert_zh.common.errors import UserError, run_command
from albert_zh.inference import loaded_model
from albert_zh.model import checkpoint_values, model_folder, packed_weights, sentence_vectors

FLAGS = flags.FLAGS
_KEPT = ("bert/", sentence_vectors.PROJECTION + "/")
_UNUSED = "bert/pooler/"


def define_flags():
    """Defines this command's flags."""
    flags.DEFINE_string("model_dir", None, "Folder of an embedding model.")
    flags.DEFINE_string("output_dir", None, "Folder to write.")


def main():
    """Writes the folder."""
    for name in ("model_dir", "output_dir"):
        if not FLAGS[name].value:
            raise UserError("--%s is required" % name)
    sentence_vectors.notes_of_embedding_model(FLAGS.model_dir)
    opened = loaded_model.open_folder(FLAGS.model_dir)
    folder = os.path.dirname(opened.prefix)
    output = path_rules.output_folder(FLAGS.output_dir)
    os.makedirs(output, exist_ok=True)
    config = model_folder.config_in_folder(folder)
    names = {os.path.basename(config): config, opened.tokenizer.name_in_folder: opened.vocab_file}
    names[sentence_vectors.SENTENCE_FILE] = os.path.join(folder, sentence_vectors.SENTENCE_FILE)
    for name, path in names.items():
        shutil.copyfile(path, os.path.join(output, name))
    weights = checkpoint_values.read_weights(opened.prefix)
    kept = {
        name: weight * (_UNUSED not in name)
        for name, weight in weights.items()
        if name.startswith(_KEPT)
    }
    path = os.path.join(output, packed_weights.PACKED_FILE)
    with output_files.atomic_write(path, "wb") as stream:
        packed_weights.write(stream, kept)
    shown = os.path.join(FLAGS.output_dir, packed_weights.PACKED_FILE)
    print("%s: %d bytes, %d arrays" % (shown, os.path.getsize(path), len(kept)))


if __name__ == "__main__":
    define_flags()
    run_command(main, description=__doc__)
