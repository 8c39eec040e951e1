"""Reading, checking and writing the values of checkpoints."""

import collections
import re
from typing import Any, Dict, List, Mapping

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.common import storage, system_errors
from albert_zh.common.errors import UserError

# What checkpoints of training hold beside the weights: optimizer state, counts, a head, what
# compares a student with its teacher.
DISTILLATION_SCOPE = "distillation/"
_SLOT = re.compile(
    r"(/(adam|lamb)_[mv]|/(Adam|Momentum)\w*|^beta[12]_power|^global_step"
    r"|^(skipped_steps|loss_scale|good_steps)|^cls/(replaced_tokens|span_boundary)/.*"
    r"|^(generator|generator_predictions|discriminator_predictions)/.*"
    r"|^%s.*)(:0)?$" % DISTILLATION_SCOPE
)


def open_reader(prefix: str) -> Any:
    """The reader of a checkpoint's variables, by its very prefix, never a folder of that name."""
    return tf.train.NewCheckpointReader(prefix)


def read_shapes(prefix: str) -> Dict[str, List[int]]:
    """{name: shape} of a checkpoint's weights, optimizer state aside.

    Raises:
        UserError: if the files are no readable checkpoint.
    """
    try:
        shapes = open_reader(prefix).get_variable_to_shape_map()
    except (tf.errors.OpError, ValueError) as error:
        raise UserError(
            "%s: not a readable TensorFlow checkpoint (damaged, or cut off while it was copied?): "
            "%s" % (prefix, system_errors.reason(error))
        ) from error
    return collections.OrderedDict(
        (name, list(shape)) for name, shape in sorted(shapes.items()) if not _SLOT.search(name)
    )


def check_readable(prefix: str) -> None:
    """Reads every value of a checkpoint, which checks the sums that it holds of them.

    Raises:
        UserError: if it is damaged.
    """
    try:
        reader = open_reader(prefix)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except (tf.errors.OpError, RuntimeError, IndexError, ValueError) as error:
        raise UserError(
            "%s: the checkpoint is damaged or was cut off while it was copied (%s): copy it again, "
            "or remove its files so that an older one is used"
            % (prefix, system_errors.reason(error))
        ) from error


def as_float32(source: str, values: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """Weights as a model folder has them; refuses what no model can work with.

    Args:
        source: where they are from, for errors.
        values: {name: array}.

    Returns:
        {name: float32 array}.

    Raises:
        UserError: for values that are integers, or no finite numbers; names the tensor.
    """
    result = {}
    for name, value in values.items():
        if value.dtype.kind != "f" and value.dtype.name != "bfloat16":
            raise UserError(
                "%s: %s has values of the type %s, expected floating-point numbers: convert the "
                "model before it is quantized" % (source, name, value.dtype.name)
            )
        with np.errstate(over="ignore"):
            result[name] = value.astype(np.float32)
        if not np.isfinite(result[name]).all():
            raise UserError(
                "%s: %s has values that are infinite or no numbers (NaN): take a checkpoint from "
                "before training went wrong" % (source, name)
            )
    return result


def is_training_state(name: str) -> bool:
    """Whether a checkpoint's variable is of training alone, not a weight of the model.

    These are optimizer slots, the global step, the projections that distillation compares by,
    and what pre-training has for its objectives alone (ELECTRA's generator, heads).
    """
    return _SLOT.search(name) is not None


def write_checkpoint(prefix: str, values: Mapping[str, np.ndarray]) -> None:
    """Writes a checkpoint of given values; its index, which makes it visible, is written last.

    Args:
        prefix: checkpoint prefix to write.
        values: {name: array}.
    """
    names = sorted(values)
    with tf.Graph().as_default(), tf.Session() as session:
        tensors = [tf.placeholder(values[n].dtype, values[n].shape) for n in names]
        save = tf.raw_ops.SaveV2(
            prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names), tensors=tensors
        )
        session.run(save, {tensor: values[name] for tensor, name in zip(tensors, names)})


def fingerprint(prefix: str) -> str:
    """A hash that identifies a checkpoint's weights: of its index, which holds the sums of all."""
    return storage.sha256_of_file(prefix + ".index")


def read_weights(prefix: str) -> Dict[str, np.ndarray]:
    """{name: array} of a checkpoint's weights and its global step, without optimizer slots."""
    reader = open_reader(prefix)
    names = list(read_shapes(prefix))
    if reader.has_tensor("global_step"):
        names.append("global_step")
    return {name: reader.get_tensor(name) for name in names}
