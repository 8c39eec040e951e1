"""Transformations of a TensorFlow graph before it is written or converted."""

import hashlib
from typing import Container

import tensorflow.compat.v1 as tf
from tensorflow.python.framework import op_def_registry

_VARIABLES = ("VariableV2", "VarHandleOp")


def merge_equal_weights(graph_def: tf.GraphDef, kept: Container[str] = ()) -> tf.GraphDef:
    """Computes what depends on weights alone once, however many layers share it.

    A layer that concatenates shared kernels has nodes for it in every layer. Converters evaluate
    them and would store each result.

    Args:
        graph_def: a graph whose nodes stand behind their inputs; weights are constants or
            variables.
        kept: names of nodes that stay although they equal others, such as outputs.

    Returns:
        the graph without nodes that equal an earlier one.
    """
    constant, first_of, replacements = set(), {}, {}
    merged = tf.GraphDef(versions=graph_def.versions, library=graph_def.library)
    for node in graph_def.node:
        inputs = [_renamed(name, replacements) for name in node.input]
        if _is_constant(node, inputs, constant):
            constant.add(node.name)
            if node.op not in _VARIABLES and node.name not in kept:
                first = first_of.setdefault(_content(node, inputs), node.name)
                if first != node.name:
                    replacements[node.name] = first
                    continue
        merged.node.add().CopyFrom(node)
        merged.node[-1].input[:] = inputs
    return merged


def _is_constant(node, inputs, constant):
    """Whether a node's outputs depend on nothing but weights."""
    if node.op in _VARIABLES or node.op == "Const":
        return True
    has_constant_inputs = bool(inputs) and all(_node_name(name) in constant for name in inputs)
    return has_constant_inputs and _is_function(node.op)


def _is_function(op):
    """Whether an operation's outputs are a function of its inputs, which it does not change."""
    definition = _definition(op)
    return not definition.is_stateful and not any(arg.is_ref for arg in definition.input_arg)


def _definition(op):
    if hasattr(op_def_registry, "get"):
        return op_def_registry.get(op)
    return op_def_registry.get_registered_ops()[op]  # TensorFlow 1


def _content(node, inputs):
    """What two nodes have in common that compute the same; of attributes (weights) a digest."""
    digest = hashlib.sha256()
    for name in sorted(node.attr):
        digest.update(name.encode() + node.attr[name].SerializeToString(deterministic=True))
    return node.op, node.device, tuple(inputs), digest.digest()


def _node_name(name):
    """`^node` or `node:1` -> `node`."""
    return name.lstrip("^").split(":")[0]


def _renamed(name, replacements):
    node = _node_name(name)
    return name.replace(node, replacements.get(node, node), 1)
