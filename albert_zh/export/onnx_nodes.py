"""Replaces subgraphs of a converted ONNX graph by the single ONNX operators for them.

    use_native_nodes(proto)  # {"LayerNormalization": 9, "Gelu": 4}

TensorFlow has no operator for LayerNorm or GELU; tf2onnx converts the ten operators that they
consist of, and onnxruntime does not recognize them in this form.

A pattern describes how a tensor is computed: a tuple of an operator and the patterns of its
operands; a number for a constant of that value; a name for any tensor, the same one wherever the
name occurs.
"""

import collections
import math
from typing import Any, Dict

OPSET, IR_VERSION = 20, 9  # the first opset with Gelu

_CENTERED = ("Sub", "x", ("ReduceMean", "x"))
_VARIANCE = ("ReduceMean", ("Mul", _CENTERED, _CENTERED))
_INVERSE_DEVIATION = ("Reciprocal", ("Sqrt", ("Add", _VARIANCE, "epsilon")))
# `layers.layer_norm`, over the last axis.
LAYER_NORM = ("Add", ("Mul", _CENTERED, ("Mul", _INVERSE_DEVIATION, "scale")), "bias")
_HALF = ("Mul", 0.5, "x")
_CUBE = ("Mul", ("Mul", ("Mul", 0.044715, "x"), "x"), "x")
_INNER = ("Mul", math.sqrt(2.0 / math.pi), ("Add", "x", _CUBE))
TANH_GELU = ("Mul", _HALF, ("Add", 1.0, ("Tanh", _INNER)))  # `activations.gelu`
ERF_GELU = ("Mul", _HALF, ("Add", 1.0, ("Erf", ("Div", "x", math.sqrt(2.0)))))  # `gelu_erf`
_COMMUTATIVE = ("Add", "Mul")
_LARGEST_SCALAR = 8  # bytes; larger constants are not examined


def use_native_nodes(proto: Any) -> Dict[str, int]:
    """Replaces the subgraphs of LayerNorm and GELU in a model and changes its opset to 20.

    The operators of opset 18 that these graphs use are unchanged up to opset 20.

    Args:
        proto: `ModelProto` of opset 18, with its nodes in order; modified.

    Returns:
        {operator: number of nodes written}.
    """
    finder = _Finder(proto.graph)
    written: Dict[str, int] = collections.Counter()
    for index, node in enumerate(proto.graph.node):
        native = _native_node(finder, node)
        if native is not None:
            written[native.op_type] += 1
            proto.graph.node[index].CopyFrom(native)
    _remove_unused(proto.graph)
    for opset in proto.opset_import:
        if not opset.domain:
            opset.version = OPSET
    proto.ir_version = IR_VERSION
    return dict(written)


def _native_node(finder, node):
    """The single node that computes the same as a node and those before it, or None."""
    from onnx import helper

    for pattern, operator, operands, settings in (
        (LAYER_NORM, "LayerNormalization", ("x", "scale", "bias"), {"axis": -1}),
        (TANH_GELU, "Gelu", ("x",), {"approximate": "tanh"}),
        (ERF_GELU, "Gelu", ("x",), {}),
    ):
        found = finder.find(pattern, node)
        if found is None:
            continue
        if "epsilon" in found:
            settings = dict(settings, epsilon=finder.scalars[found["epsilon"]])
        inputs = [found[operand] for operand in operands]
        return helper.make_node(operator, inputs, list(node.output), name=node.name, **settings)
    return None


class _Finder:
    """Finds patterns in a graph.

    Attributes:
        scalars: {name: float} of the graph's constants with one value.
    """

    def __init__(self, graph):
        from onnx import numpy_helper

        # Copies: the graph's own nodes are replaced while others are still compared.
        self._producers = {}
        for node in graph.node:
            copied = type(node).FromString(node.SerializeToString())
            self._producers.update((name, copied) for name in node.output)
        small = (array for array in graph.initializer if len(array.raw_data) <= _LARGEST_SCALAR)
        arrays = ((array.name, numpy_helper.to_array(array)) for array in small)
        self.scalars = {name: float(array) for name, array in arrays if array.ndim == 0}

    def find(self, pattern, node):
        """{name in the pattern: tensor} if the pattern computes a node's only output, else None."""
        if len(node.output) != 1:
            return None
        found = {}
        return found if self._matches(pattern, node.output[0], found) else None

    def _matches(self, pattern, name, found):
        if isinstance(pattern, str):
            return found.setdefault(pattern, name) == name
        if isinstance(pattern, float):
            return math.isclose(self.scalars.get(name, math.nan), pattern, rel_tol=1e-6)
        node = self._producers.get(name)
        if node is None or node.op_type != pattern[0]:
            return False
        orders = [list(node.input)]
        if node.op_type in _COMMUTATIVE:
            orders.append(orders[0][::-1])
        return any(self._operands_match(pattern[1:], names, found) for names in orders)

    def _operands_match(self, patterns, names, found):
        attempt = dict(found)
        if all(self._matches(p, name, attempt) for p, name in zip(patterns, names)):
            found.update(attempt)
            return True
        return False


def _remove_unused(graph):
    """Removes nodes, constants and value infos of tensors that no output needs."""
    needed = {tensor.name for tensor in graph.output}
    kept = []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    for field, items in (
        (graph.node, kept[::-1]),
        (graph.initializer, [array for array in graph.initializer if array.name in needed]),
        (graph.value_info, [tensor for tensor in graph.value_info if tensor.name in needed]),
    ):
        copies = [type(item).FromString(item.SerializeToString()) for item in items]
        del field[:]
        field.extend(copies)
