"""Interpreters of .tflite files for tests that inspect tensors: LiteRT's, or TensorFlow's."""

import tensorflow.compat.v1 as tf


def plain(path):
    """An interpreter without delegates, so that its tensors are exactly those of the file.

    Args:
        path: str, path of a .tflite file.
    """
    try:
        from ai_edge_litert import interpreter as runtime
    except ImportError:
        kinds, Interpreter = tf.lite.experimental.OpResolverType, tf.lite.Interpreter  # noqa: N806
    else:
        kinds, Interpreter = runtime.OpResolverType, runtime.Interpreter  # noqa: N806
    resolver = kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(path, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    return interpreter
