"""Reads, checks and writes the values of checkpoints."""

import collections
import re
from typing import Any, Dict, List, Mapping

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.common import storage, system_errors
from albert_zh.common.errors import UserError

# What training checkpoints hold in addition to the weights: optimizer state, counters, and layers
# that compare a student with its teacher.
DISTILLATION_SCOPE = "distillation/"
_STATE = re.compile(
    r"(/(adam|lamb)_[mv]|/(Adam|Momentum)\w*|^beta[12]_power|^global_step"
    r"|^(skipped_steps|loss_scale|good_steps)|^%s.*)(:0)?$" % DISTILLATION_SCOPE
)
# Weights that only a pre-training objective has, as (name for the user, scopes).
OBJECTIVE_SCOPES = (
    ("generator", ("generator/", "generator_predictions/")),
    ("replaced tokens", ("discriminator_predictions/", "cls/replaced_tokens/")),
    ("span boundary", ("cls/span_boundary/",)),
)
_SCOPES = tuple(scope for _, scopes in OBJECTIVE_SCOPES for scope in scopes)


def open_reader(prefix: str) -> Any:
    """Opens a checkpoint by its exact prefix, never by a folder of the same name."""
    return tf.train.NewCheckpointReader(prefix)


def read_shapes(prefix: str, with_objectives: bool = False) -> Dict[str, List[int]]:
    """{name: shape} of a checkpoint's weights, without optimizer state.

    Args:
        prefix: checkpoint prefix.
        with_objectives: whether to include weights that only a pre-training objective has.

    Raises:
        UserError: if the files are not a readable checkpoint.
    """
    try:
        shapes = open_reader(prefix).get_variable_to_shape_map()
    except (tf.errors.OpError, ValueError) as error:
        raise UserError(
            "%s: not a readable TensorFlow checkpoint (damaged, or truncated while it was "
            "copied?): %s" % (prefix, system_errors.reason(error))
        ) from error
    return collections.OrderedDict(
        (name, list(shape))
        for name, shape in sorted(shapes.items())
        if not is_training_state(name) and (with_objectives or not is_of_objective(name))
    )


def check_readable(prefix: str) -> None:
    """Reads every value of a checkpoint, which verifies the checksums that are stored in it.

    Raises:
        UserError: if it is damaged.
    """
    try:
        reader = open_reader(prefix)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except (tf.errors.OpError, RuntimeError, IndexError, ValueError) as error:
        raise UserError(
            "%s: the checkpoint is damaged or was truncated while it was copied (%s): copy it "
            "again, or remove its files so that an older one is used"
            % (prefix, system_errors.reason(error))
        ) from error


def as_float32(source: str, values: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """Converts weights to float32, as stored in model folders; rejects unusable values.

    Args:
        source: where the weights come from, for errors.
        values: {name: array}.

    Returns:
        {name: float32 array}.

    Raises:
        UserError: if values are integers or not finite; the message names the tensor.
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
        _check_is_finite(source, name, result[name])
    return result


def _check_is_finite(source, name, value):
    if not np.isfinite(value).all():
        raise UserError(
            "%s: %s has infinite or NaN values: use a checkpoint from before the training diverged"
            % (source, name)
        )


def is_training_state(name: str) -> bool:
    """Whether a checkpoint's variable is used only in training and is no weight of the model.

    These are optimizer slots, the global step and the projections used for distillation.
    """
    return _STATE.search(name) is not None


def is_of_objective(name: str) -> bool:
    """Whether only a pre-training objective uses a weight: one of a generator or an extra head.

    Further pre-training reads such weights; fine-tuning and exports ignore them.
    """
    return name.startswith(_SCOPES) and not is_training_state(name)


def write_checkpoint(prefix: str, values: Mapping[str, np.ndarray]) -> None:
    """Writes values to a checkpoint; the index, which makes it visible, is written last.

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
    """A hash that identifies a checkpoint's weights: it hashes the index, which has checksums."""
    return storage.sha256_of_file(prefix + ".index")


def read_weights(prefix: str, with_objectives: bool = False) -> Dict[str, np.ndarray]:
    """{name: array} of a checkpoint's weights and its global step, without optimizer slots.

    Args:
        prefix, with_objectives: as in `read_shapes`.

    Raises:
        UserError: if a weight has values that are not finite.
    """
    reader = open_reader(prefix)
    names = list(read_shapes(prefix, with_objectives))
    if reader.has_tensor("global_step"):
        names.append("global_step")
    weights = {name: reader.get_tensor(name) for name in names}
    for name, value in weights.items():
        if value.dtype.kind == "f":
            _check_is_finite(prefix, name, value)
    return weights
