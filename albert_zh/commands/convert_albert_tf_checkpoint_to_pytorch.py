r"""Converts a TensorFlow checkpoint to a Hugging Face folder; PyTorch need not be installed.

    python convert_albert_tf_checkpoint_to_pytorch.py
    python convert_albert_tf_checkpoint_to_pytorch.py --tf_checkpoint_path=lcqmc_output/best \
        --pytorch_dump_path=lcqmc_pytorch

Models of Google's and BERT's layouts load in transformers directly; models of the brightmart layout
load with `modeling_albert_zh.py`, which is copied next to the weights. See docs/conversion.md.
"""

import os

from absl import flags

from albert_zh.common import package_files, storage
from albert_zh.common.errors import (  # first: it silences TensorFlow's log
    printable,
    run_command,
)

# isort: split

from albert_zh.common import config_flag, path_rules
from albert_zh.conversion import pytorch_files
from albert_zh.conversion.to_pytorch import (
    BERT_TOKENIZER,
    ID_KEYS,
    MODELING_FILE,
    convert,
    read_model,
)
from albert_zh.model.checkpoints import checkpoint_files, model_folder, packed_weights

__all__ = [
    "BERT_TOKENIZER",
    "ID_KEYS",
    "MODELING_FILE",
    "convert",
    "define_flags",
    "main",
    "read_model",
    "run",
]

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the command's flags."""
    flags.DEFINE_string(
        "tf_checkpoint_path",
        None,
        "Checkpoint to convert: prefix or folder; default: the first of %s that contains one."
        % " and ".join(model_folder.PRETRAINED),
    )
    config_flag.define("Config JSON file; default: the one in the checkpoint's folder.")
    flags.DEFINE_string(
        "vocab_file", None, "Vocabulary; default: the one in the checkpoint's folder."
    )
    flags.DEFINE_string(
        "pytorch_dump_path",
        None,
        "Folder to write; default: the checkpoint's folder with _pytorch appended. With "
        "DIR/pytorch_model.bin, a .bin file is written in addition.",
    )
    flags.DEFINE_enum("dtype", "float32", pytorch_files.DTYPES, "Data type of the stored weights.")
    flags.DEFINE_boolean("write_bin", False, "Also write pytorch_model.bin (needs PyTorch).")
    flags.DEFINE_boolean("encoder_only", False, "Convert the encoder without its heads.")
    flags.DEFINE_boolean(
        "do_lower_case", None, "Whether the tokenizer lower-cases; default: as in fine-tuning."
    )
    names = ("tf_checkpoint_path", "pytorch_dump_path", "bert_config_file", "vocab_file")
    path_rules.serve_remote(FLAGS, names)


def run() -> None:
    """Converts the checkpoint that the flags name and prints what was written."""
    path = FLAGS.tf_checkpoint_path or model_folder.pretrained_folder("tf_checkpoint_path")
    prefix = checkpoint_files.find_checkpoint(path)
    of_model = package_files.folder_of_outputs(
        storage.named_folder(packed_weights.folder_of(prefix))
    )
    folder = FLAGS.pytorch_dump_path or of_model + "_pytorch"
    write_bin = FLAGS.write_bin or folder.endswith(".bin")
    if folder.endswith(".bin"):
        folder = os.path.dirname(folder) or "."
    notes = convert(
        prefix,
        folder,
        config_file=FLAGS.bert_config_file,
        vocab_file=FLAGS.vocab_file,
        dtype=FLAGS.dtype,
        write_bin=write_bin,
        encoder_only=FLAGS.encoder_only,
        do_lower_case=FLAGS.do_lower_case,
    )
    for note in notes:
        print(printable(note))


def main() -> None:
    """Runs the command line."""
    define_flags()
    run_command(run, description=__doc__)
