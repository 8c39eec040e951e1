"""Transformations of a TensorFlow graph before it is written or converted."""

import hashlib
from typing import Container

import tensorflow.compat.v1 as tf
from tensorflow.python.framework import op_def_registry

_VARIABLES = ("VariableV2", "VarHandleOp")
_BESIDE = "loc:@"  # in a node's attribute `_class`, before the name of the node to place it with


def merge_equal_weights(graph_def: tf.GraphDef, kept: Container[str] = ()) -> tf.GraphDef:
    """Merges nodes that depend on weights alone and are equal in several layers.

    A layer that concatenates shared kernels has nodes for that in every layer. Converters would
    evaluate all of them and store each result.

    Args:
        graph_def: a graph whose nodes come after their inputs; weights are constants or
            variables.
        kept: names of nodes to keep even if they equal others, such as outputs.

    Returns:
        the graph without nodes that are equal to an earlier one.
    """
    constant, first_of, replacements = set(), {}, {}
    merged = tf.GraphDef(versions=graph_def.versions, library=graph_def.library)
    for original in graph_def.node:
        node = _with_renamed(original, replacements)
        if _is_constant(node, constant):
            constant.add(node.name)
            if node.op not in _VARIABLES and node.name not in kept:
                first = first_of.setdefault(_content(node), node.name)
                if first != node.name:
                    replacements[node.name] = first
                    continue
        merged.node.add().CopyFrom(node)
    return merged


def _with_renamed(node, replacements):
    """A copy of a node whose inputs and placement refer to the replacements of merged nodes."""
    copied = type(node).FromString(node.SerializeToString())
    copied.input[:] = [_renamed(name, replacements) for name in node.input]
    places = copied.attr["_class"].list.s if "_class" in copied.attr else []
    for index, place in enumerate(places):
        name = place.decode()[len(_BESIDE) :]
        if place.decode().startswith(_BESIDE) and name in replacements:
            places[index] = (_BESIDE + replacements[name]).encode()
    return copied


def _is_constant(node, constant):
    """Whether a node's outputs depend only on weights."""
    if node.op in _VARIABLES or node.op == "Const":
        return True
    names = map(_node_name, node.input)
    has_constant_inputs = bool(node.input) and all(name in constant for name in names)
    return has_constant_inputs and _is_function(node.op)


def _is_function(op):
    """Whether an operation's outputs depend only on its inputs, which it does not change."""
    definition = _definition(op)
    return not definition.is_stateful and not any(arg.is_ref for arg in definition.input_arg)


def _definition(op):
    if hasattr(op_def_registry, "get"):
        return op_def_registry.get(op)
    return op_def_registry.get_registered_ops()[op]  # TensorFlow 1


def _content(node):
    """What nodes with equal results have in common; large attributes (weights) are hashed."""
    digest = hashlib.sha256()
    for name in sorted(node.attr):
        digest.update(name.encode() + node.attr[name].SerializeToString(deterministic=True))
    return node.op, node.device, tuple(node.input), digest.digest()


def _node_name(name):
    """`^node` or `node:1` -> `node`."""
    return name.lstrip("^").split(":")[0]


def _renamed(name, replacements):
    node = _node_name(name)
    return name.replace(node, replacements.get(node, node), 1)
