r"""Converts PyTorch weights to a TensorFlow model folder; PyTorch need not be installed.

    python convert_albert_pytorch_checkpoint_to_tf.py --pytorch_model_path=MODEL_FOLDER \
        --tf_dump_path=prev_trained_model/my_model

Reads Hugging Face folders of ALBERT and BERT (safetensors or .bin, sharded or not) and models of
the brightmart layout created with `modeling_albert_zh.py` or the albert_pytorch project. No code in
a .bin file is executed. See docs/conversion.md.
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
        "Model folder to write; default: the name of the PyTorch folder with _tf appended.",
    )
    config_flag.define("Config JSON file; default: the one in the folder of the weights.")
    flags.DEFINE_string(
        "vocab_file", None, "Vocabulary; default: the one in the folder of the weights."
    )
    names = ("pytorch_model_path", "tf_dump_path", "bert_config_file", "vocab_file")
    path_rules.serve_remote(FLAGS, names)


def run() -> None:
    """Converts the weights that the flags name and prints what was written."""
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
