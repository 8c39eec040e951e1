"""Summaries of training on a TPU: its cores pass scalars to the host, which writes them.

spec = model_spec.Spec(..., host_call=host_call(folder, {"loss": loss}))
"""

from typing import Any, Callable, Dict, List, Tuple

import tensorflow.compat.v1 as tf


def host_call(
    folder: str, scalars: Dict[str, tf.Tensor]
) -> Tuple[Callable[..., Any], List[tf.Tensor]]:
    """The `host_call` of a `Spec` that writes scalars after each loop of steps.

    Args:
        folder: folder for the event file.
        scalars: {name: float scalar}, each computed from a core's share of the batch.

    Returns:
        (function of the cores' values, each [cores], -> summary ops; the cores' tensors, each [1]).
    """
    names = sorted(scalars)

    def write(step, *values):
        writer = tf.compat.v2.summary.create_file_writer(folder)
        with writer.as_default(), tf.compat.v2.summary.record_if(True):
            for name, of_cores in zip(names, values):
                tf.compat.v2.summary.scalar(name, tf.reduce_mean(of_cores), step=step[0])
        return tf.summary.all_v2_summary_ops()

    step = tf.reshape(tf.cast(tf.train.get_global_step(), tf.int64), [1])
    return write, [step] + [tf.reshape(scalars[name], [1]) for name in names]
