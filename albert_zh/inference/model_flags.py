"""Common flags of the commands that use a fine-tuned model."""

from absl import flags

FLAGS = flags.FLAGS


def define(
    model_dir: str, longest: str = "Maximum input length in tokens; default: as in training."
) -> None:
    """Defines --model_dir, --max_seq_length and --precision.

    Args:
        model_dir: help of --model_dir.
        longest: help of --max_seq_length.
    """
    flags.DEFINE_string("model_dir", None, model_dir)
    flags.DEFINE_integer("max_seq_length", None, longest)
    flags.DEFINE_enum("precision", "float32", ["float32", "bfloat16"], "Precision of products.")


def define_granularity() -> None:
    """Defines --granularity."""
    flags.DEFINE_string(
        "granularity",
        None,
        "Granularity of the words, for a model of several; default: its first one.",
    )
