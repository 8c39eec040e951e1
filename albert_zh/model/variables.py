"""Creates, names and counts variables."""

import collections
import re
from typing import TYPE_CHECKING, Dict, Sequence, Tuple
import zlib

import numpy as np
import tensorflow.compat.v1 as tf

if TYPE_CHECKING:
    from albert_zh.model.config import AlbertConfig


def new_variable(name: str, shape: Sequence[int], config: "AlbertConfig") -> tf.Variable:
    """Creates a weight, initialized from a truncated normal with the config's `initializer_range`.

    If a graph seed is set, the initial values depend only on the seed and the variable's name, not
    on the rest of the graph.
    """
    seed = None
    if tf.get_default_graph().seed is not None:
        scope = tf.get_variable_scope().name
        seed = zlib.crc32(("%s/%s" % (scope, name)).encode("utf-8")) & 0x7FFFFFFF
    return tf.get_variable(
        name,
        shape,
        initializer=tf.truncated_normal_initializer(stddev=config.initializer_range, seed=seed),
    )


def variable_name(variable: tf.Variable) -> str:
    """The name of a variable in checkpoints, whichever replica it belongs to."""
    return re.sub(r"/replica_\d+$", "", variable.op.name)


def get_assignment_map_from_checkpoint(
    tvars: Sequence[tf.Variable], init_checkpoint: str
) -> Tuple[Dict[str, str], Dict[str, int]]:
    """Maps the variables of a checkpoint to variables of the graph by name (BERT's interface).

    Args:
        tvars: list of variables.
        init_checkpoint: checkpoint prefix.

    Returns:
        (assignment_map, initialized_variable_names): `{checkpoint name: variable name}` in the
        checkpoint's order, and the variables' names (with and without `:0`), each with value 1.
    """
    names = {re.sub(r":\d+$", "", variable.name) for variable in tvars}
    assignment_map = collections.OrderedDict(
        (name, name) for name, _ in tf.train.list_variables(init_checkpoint) if name in names
    )
    initialized = {}
    for name in assignment_map:
        initialized[name] = 1
        initialized[name + ":0"] = 1
    return assignment_map, initialized


def count_parameters(variables: Sequence[tf.Variable]) -> int:
    """Number of values in a list of variables."""
    return int(sum(np.prod(variable.shape.as_list()) for variable in variables))
