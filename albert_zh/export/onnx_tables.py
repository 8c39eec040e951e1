"""Stores embedding tables of an ONNX graph as 8-bit integers, each once.

    shared = shared_tables(graph)  # before onnxruntime's quantizer, which skips these
    store_once(graph, shared)  # after it
    quantize_sliced_tables(graph)

onnxruntime's quantizer stores a table twice if its rows are gathered and it is also a factor of a
product (the word table of a masked-LM head), and keeps a table whose rows are sliced (positions) in
float32.
"""

import collections
import copy
from typing import Any, Dict, Iterator, List, Tuple

import numpy as np

# Names of a table's initializer, of its transpose's initializer, and of nodes that gather its rows.
SharedTable = collections.namedtuple("SharedTable", ["name", "transposed", "gathers"])


def shared_tables(graph: Any) -> List[SharedTable]:
    """Finds tables whose rows are gathered and whose transpose is a factor of a product.

    Args:
        graph: `onnx.GraphProto` in float32, constants folded.

    Returns:
        list of `SharedTable`.
    """
    from onnx import numpy_helper

    tables = {table.name: numpy_helper.to_array(table) for table in _float_tables(graph)}
    gathers: Dict[str, List[str]] = collections.defaultdict(list)
    for node in graph.node:
        if node.op_type == "Gather" and node.input[0] in tables:
            gathers[node.input[0]].append(node.name)
    factors = {node.input[1] for node in graph.node if node.op_type == "MatMul"} & set(tables)
    return [
        SharedTable(name, factor, names)
        for name, names in gathers.items()
        for factor in sorted(factors)
        if np.array_equal(tables[name], tables[factor].T)
    ]


def store_once(graph: Any, shared: List[SharedTable]) -> None:
    """Gathers rows of the integers that the product uses, instead of rows of a float32 table.

    Args:
        graph: `onnx.GraphProto` whose products are quantized, with a scale per row of each table
            and no zero points (onnxruntime's `per_channel` and `QInt8`); changed in place.
        shared: result of `shared_tables`.
    """
    from onnx import helper, numpy_helper

    initializers = {tensor.name: tensor for tensor in graph.initializer}
    nodes: List[Any] = []
    gathered: Dict[str, Tuple[str, str]] = {}
    for table in shared:
        integers, scales = (table.transposed + end for end in ("_quantized", "_scale"))
        rows = np.ascontiguousarray(numpy_helper.to_array(initializers[integers]).T)  # [V, E]
        for name in (integers, table.name):
            graph.initializer.remove(initializers[name])
        graph.initializer.append(numpy_helper.from_array(rows, table.name + "_quantized"))
        nodes.append(
            helper.make_node("Transpose", [table.name + "_quantized"], [integers], perm=[1, 0])
        )
        gathered.update((name, (table.name + "_quantized", scales)) for name in table.gathers)
    for node in map(copy.deepcopy, graph.node):
        if node.name in gathered:
            nodes += _gathered(*gathered[node.name], ids=node.input[1], output=node.output[0])
        else:
            nodes.append(node)
    if shared:
        graph.initializer.append(numpy_helper.from_array(np.array([-1]), _LAST_AXIS))
    _replace_nodes(graph, nodes)


def _replace_nodes(graph: Any, nodes: List[Any]) -> None:
    del graph.node[:]
    graph.node.extend(nodes)


_LAST_AXIS = "tables_last_axis"


def _gathered(table: str, scales: str, ids: str, output: str) -> Iterator[Any]:
    """Nodes that gather rows of integers [V, E] and of their scales [V] into float32 [..., E]."""
    from onnx import TensorProto, helper

    integers, floats, factors, column = (
        output + end for end in ("_integers", "_floats", "_factors", "_column")
    )
    yield helper.make_node("Gather", [table, ids], [integers])
    yield helper.make_node("Cast", [integers], [floats], to=TensorProto.FLOAT)
    yield helper.make_node("Gather", [scales, ids], [factors])
    yield helper.make_node("Unsqueeze", [factors, _LAST_AXIS], [column])
    yield helper.make_node("Mul", [floats, column], [output])


def quantize_sliced_tables(graph: Any) -> None:
    """Stores tables whose rows are sliced as 8-bit integers, with one scale per column.

    Args:
        graph: `onnx.GraphProto`, changed in place.
    """
    tables = {table.name: table for table in _float_tables(graph)}
    nodes: List[Any] = []
    scales: Dict[str, str] = {}
    for node in map(copy.deepcopy, graph.node):
        nodes.append(node)
        name = node.input[0] if node.input else ""
        if node.op_type == "Slice" and name in tables:
            if name not in scales:
                scales[name] = _as_integers(tables[name], graph)
            nodes.append(_dequantized(node, scales[name]))
    _replace_nodes(graph, nodes)


def _float_tables(graph: Any) -> List[Any]:
    """A graph's float32 initializers with rows and columns."""
    from onnx import TensorProto

    return [
        tensor
        for tensor in graph.initializer
        if tensor.data_type == TensorProto.FLOAT and len(tensor.dims) == 2
    ]


def _as_integers(table: Any, graph: Any) -> str:
    """Converts a table [rows, C] to integers; returns the name of its scales [C]."""
    from onnx import numpy_helper

    entries = numpy_helper.to_array(table)
    scales = np.maximum(np.abs(entries).max(axis=0), np.finfo(np.float32).tiny) / 127
    integers = np.round(entries / scales).astype(np.int8)
    table.CopyFrom(numpy_helper.from_array(integers, table.name))
    graph.initializer.append(numpy_helper.from_array(scales, table.name + "_scale"))
    return table.name + "_scale"


def _dequantized(node: Any, scales: str) -> Any:
    """Renames a node's output; returns a node that computes the original output from it."""
    from onnx import helper

    output, node.output[0] = node.output[0], node.output[0] + "_integers"
    return helper.make_node("DequantizeLinear", [node.output[0], scales], [output], axis=1)
