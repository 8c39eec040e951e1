"""What the machine's processor computes in."""

import tensorflow.compat.v1 as tf

# What an x86 processor needs to multiply in a precision, one of each; without it oneDNN and Eigen
# go by way of float32.
_INSTRUCTIONS = {
    "bfloat16": ("avx512_bf16", "amx_bf16"),
    "mixed_float16": ("avx512_fp16", "amx_fp16"),
}
_FEATURES_FILE = "/proc/cpuinfo"


def has_instructions(precision: str) -> bool:
    """Whether the processor multiplies in a precision.

    Args:
        precision: a key of `modeling.PRECISIONS`.

    Returns:
        False only where that is known: on x86 processors under Linux.
    """
    needed = _INSTRUCTIONS.get(precision)
    try:
        with open(_FEATURES_FILE, encoding="utf-8") as lines:
            features = next((line.split() for line in lines if line.startswith("flags")), None)
    except OSError:
        return True
    return not needed or not features or not set(needed).isdisjoint(features)


def slow_precision(precision: str) -> str:
    """A warning about a precision that costs time here, rather than saving it; else ""."""
    if has_instructions(precision) or tf.config.experimental.list_physical_devices("GPU"):
        return ""
    return (
        "precision %s is slower than float32 here: this processor has no instructions for it (%s)"
        % (precision, " or ".join(_INSTRUCTIONS[precision]))
    )


def warn_of_slow_precision(precision: str) -> None:
    """Writes `slow_precision` to TensorFlow's log, standard error by default."""
    message = slow_precision(precision)
    if message:
        tf.logging.warning(message)
