"""Flags that the commands for using a fine-tuned model share."""

from absl import flags

FLAGS = flags.FLAGS


def define(
    model_dir: str, longest: str = "Longest input in tokens; as in training by default."
) -> None:
    """Defines --model_dir, --max_seq_length and --precision.

    Args:
        model_dir: help of --model_dir.
        longest: help of --max_seq_length.
    """
    flags.DEFINE_string("model_dir", None, model_dir)
    flags.DEFINE_integer("max_seq_length", None, longest)
    flags.DEFINE_enum("precision", "float32", ["float32", "bfloat16"], "Precision of the products.")


def define_granularity() -> None:
    """Defines --granularity."""
    flags.DEFINE_string(
        "granularity",
        None,
        "Of the words, for a model of several granularities; its first one if left out.",
    )
