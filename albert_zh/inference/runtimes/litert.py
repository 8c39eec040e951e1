"""The interpreter for .tflite files: LiteRT's, if it is installed."""

import functools
import sys
from typing import Any

import tensorflow.compat.v1 as tf

from albert_zh.common.errors import UserError


def interpreter(content: bytes, num_threads: int) -> Any:
    """LiteRT's interpreter, or TensorFlow's up to 2.15; TensorFlow 1's ignores the threads.

    Args:
        content: bytes of a .tflite file.
        num_threads: number of threads.

    Raises:
        UserError: if LiteRT is not installed and TensorFlow's interpreter is being removed.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        if not tf.__version__.startswith(("1.", "2.15.")):
            raise UserError(
                "LiteRT, which .tflite files are run with, is not installed (%s): "
                "pip install ai-edge-litert" % error
            ) from error
        if tf.__version__.startswith("1."):  # LiteRT does not support its Python
            return tf.lite.Interpreter(model_content=content)
        _note_missing_litert()
        return tf.lite.Interpreter(model_content=content, num_threads=num_threads)
    return Interpreter(model_content=content, num_threads=num_threads)


@functools.lru_cache(maxsize=None)
def _note_missing_litert():
    """Prints a note, the first time only."""
    print(
        "note: LiteRT is not installed: TensorFlow's interpreter runs the .tflite file, several "
        "times slower; to use LiteRT: pip install ai-edge-litert",
        file=sys.stderr,
    )
