r"""Converts PyTorch weights into a model folder for TensorFlow; no PyTorch is needed.

    python convert_albert_pytorch_checkpoint_to_tf.py --pytorch_model_path=MODEL_FOLDER \
        --tf_dump_path=prev_trained_model/my_model

Reads Hugging Face folders of ALBERT and BERT (safetensors or .bin, sharded or not) and models of
the brightmart layout by `modeling_albert_zh.py` or the albert_pytorch project. Nothing in a .bin is
run. See docs/conversion.md.
"""

import os

from absl import flags

from albert_zh.common import config_flag, path_rules, storage
from albert_zh.common.errors import UserError, printable, run_command
from albert_zh.conversion import pytorch_files
from albert_zh.conversion.from_pytorch import (
    CONFIG_NAMES,
    POOLER,
    POOLER_SEED,
    TOKENIZER_CONFIG,
    TOKENIZER_SETTINGS,
    check_model_folder,
    convert,
    read_model,
)

__all__ = [
    "CONFIG_NAMES",
    "POOLER",
    "POOLER_SEED",
    "TOKENIZER_CONFIG",
    "TOKENIZER_SETTINGS",
    "check_model_folder",
    "convert",
    "define_flags",
    "main",
    "read_model",
    "run",
]

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the command's flags."""
    flags.DEFINE_string("pytorch_model_path", None, "Folder or file of the PyTorch weights.")
    flags.DEFINE_string(
        "tf_dump_path",
        None,
        "Model folder to write; by default the other's name with _tf appended.",
    )
    config_flag.define("Config JSON; by default the weights' folder's.")
    flags.DEFINE_string("vocab_file", None, "Vocabulary; by default the weights' folder's.")
    names = ("pytorch_model_path", "tf_dump_path", "bert_config_file", "vocab_file")
    path_rules.serve_remote(FLAGS, names)


def run() -> None:
    """Converts what the flags name and says what was written."""
    if not FLAGS.pytorch_model_path:
        raise UserError("--pytorch_model_path is missing: the folder or file of PyTorch weights")
    weights = pytorch_files.find_weights(FLAGS.pytorch_model_path)
    notes = convert(
        weights,
        FLAGS.tf_dump_path or (storage.named_folder(os.path.dirname(weights)) + "_tf"),
        config_file=FLAGS.bert_config_file,
        vocab_file=FLAGS.vocab_file,
    )
    for note in notes:
        print(printable(note))


def main() -> None:
    """Runs the command line."""
    define_flags()
    run_command(run, description=__doc__)
