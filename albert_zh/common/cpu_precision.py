"""Checks whether this machine's processor supports reduced-precision arithmetic."""

import tensorflow.compat.v1 as tf

# The x86 instruction sets for each precision, any one of which suffices; without them oneDNN and
# Eigen convert to float32 and back.
_INSTRUCTIONS = {
    "bfloat16": ("avx512_bf16", "amx_bf16"),
    "mixed_float16": ("avx512_fp16", "amx_fp16"),
}
_FEATURES_FILE = "/proc/cpuinfo"


def has_instructions(precision: str) -> bool:
    """Whether the processor has instructions to multiply in a precision.

    Args:
        precision: a key of `modeling.PRECISIONS`.

    Returns:
        False only if the instructions are known to be missing, which can be found out on x86
        processors under Linux.
    """
    needed = _INSTRUCTIONS.get(precision)
    try:
        with open(_FEATURES_FILE, encoding="utf-8") as lines:
            features = next((line.split() for line in lines if line.startswith("flags")), None)
    except OSError:
        return True
    return not needed or not features or not set(needed).isdisjoint(features)


def slow_precision(precision: str) -> str:
    """Returns a warning if a precision is slower than float32 on this machine, otherwise ""."""
    if has_instructions(precision) or tf.config.experimental.list_physical_devices("GPU"):
        return ""
    return (
        "precision %s is slower than float32 here: this processor has no instructions for it (%s)"
        % (precision, " or ".join(_INSTRUCTIONS[precision]))
    )


def warn_of_slow_precision(precision: str) -> None:
    """Logs the warning of `slow_precision` with TensorFlow, by default to standard error."""
    message = slow_precision(precision)
    if message:
        tf.logging.warning(message)
