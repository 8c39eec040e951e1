"""Time, memory traffic and arithmetic of each type of operation in a step, with lower bounds.

The floor of an operation is the longer of two times: the time to read and write its bytes once, at
the rate of a pass over arrays of such a size, and the time of its multiplications and additions, at
the rate of a product of two large matrices. Operations that only pass on a tensor have no floor.
"""

import collections
import statistics
import threading
import time

import measuring
import numpy as np

_MEBIBYTE = 1 << 20
_NUM_PASSES = 64  # passes per thread in one measurement
_ARRAY = 4 * _MEBIBYTE  # bytes of an array: the size of a layer's inner activations
_PASSES_ON = frozenset(
    "Const ExpandDims Identity NoOp ReadVariableOp Reshape Shape Size Squeeze VarHandleOp _Retval "
    "_Arg".split()
)
_PARTS_OF_INPUTS = frozenset("GatherV2 ResourceGather Slice StridedSlice Unpack".split())
_UPDATES = frozenset("AssignAddVariableOp AssignSubVariableOp AssignVariableOp".split())

Machine = collections.namedtuple("Machine", "peaks bytes_per_second")
Machine.__doc__ = """The peak rates of an operation on the machine.

Fields:
    peaks: {precision: operations per second} of the threads of an operation.
    bytes_per_second: memory bandwidth of these threads.
"""

Kernel = collections.namedtuple("Kernel", "calls seconds moved operations floor")
Kernel.__doc__ = """Totals of all operations of one type in a step.

Fields:
    calls: number of operations.
    seconds: sum of their times.
    moved: bytes that are read and written.
    operations: multiplications and additions of matrix products.
    floor: sum of the lower bounds of their times, in seconds.
"""


def kernels_of(session, fetches, num_steps, machine):
    """The types of operations of a step, with their `Kernel`s.

    Args:
        session: `tf.Session`.
        fetches: fetches of a step.
        num_steps: number of steps to trace.
        machine: `Machine`.

    Returns:
        {type, with fused operations and, for products, their precision: `Kernel` of an average
        step}, the longest first.
    """
    sums = collections.defaultdict(lambda: np.zeros(len(Kernel._fields)))
    for trace in measuring.traces(session, fetches, num_steps):
        nodes = {node.name: node for graph in trace.partition_graphs for node in graph.node}
        found = [s for d in trace.step_stats.dev_stats for s in d.node_stats]
        shapes = {
            s.node_name: {o.slot: _shape(o.tensor_description) for o in s.output} for s in found
        }
        for stats in found:
            node = nodes.get(stats.node_name)
            kind = measuring.type_of(node) if node else stats.node_name
            moved, operations, precision = _work_of(node, shapes) if node else (0, 0, "float32")
            if operations:
                kind += ", " + precision
            peak = machine.peaks.get(precision, machine.peaks["float32"])
            floor = max(moved / machine.bytes_per_second, operations / peak)
            sums[kind] += (1, measuring.seconds_of(stats), moved, operations, floor)
    kernels = {kind: Kernel(*(values / num_steps)) for kind, values in sums.items()}
    return dict(sorted(kernels.items(), key=lambda item: -item[1].seconds))


def _work_of(node, shapes):
    """(bytes moved, operations, precision of the result) of a node of a graph."""
    results = list(shapes[node.name].values())
    if node.op in _PASSES_ON or not (results or node.op in _UPDATES):
        return 0, 0, "float32"
    inputs = [_result(shapes, name) for name in node.input]
    moved = sum(map(_num_bytes, results))
    moved += moved if node.op in _PARTS_OF_INPUTS else sum(map(_num_bytes, inputs))
    if node.op in _UPDATES:  # the variable is read and written, or only written
        value = _num_bytes(inputs[-1])
        moved += value if node.op == "AssignVariableOp" else 2 * value
    precision = results[0][0].name if results else "float32"
    return moved, _operations(node.op, inputs, results), precision


def _shape(description):
    """(dtype, sizes) of a tensor."""
    import tensorflow.compat.v1 as tf

    return tf.as_dtype(description.dtype), [dim.size for dim in description.shape.dim]


def _result(shapes, name):
    """(dtype, sizes) of an input by its name in a graph, "node:number"; empty if unknown."""
    import tensorflow.compat.v1 as tf

    node, _, number = name.partition(":")
    return shapes.get(node, {}).get(int(number or 0), (tf.float32, [0]))


def _num_bytes(shape):
    dtype, sizes = shape
    return 0 if dtype.name == "resource" else dtype.size * int(np.prod(sizes))


def _operations(name, inputs, results):
    """2 m n k operations of a product, computed from m k, k n and m n (times a batch)."""
    if "MatMul" not in name or len(inputs) < 2:
        return 0
    sizes = [float(np.prod(sizes)) for _, sizes in (inputs[0], inputs[1], results[0])]
    batch = float(np.prod(results[0][1][:-2]))
    return 2 * batch * np.sqrt(np.prod([size / batch for size in sizes]))


def bandwidth(num_threads):
    """Bytes per second of passes that read two arrays and write one, on several threads."""
    arrays = [[np.ones(_ARRAY // 4, np.float32) for _ in range(3)] for _ in range(num_threads)]
    rates = []
    for _ in range(9):
        threads = [threading.Thread(target=_passes, args=of_thread) for of_thread in arrays]
        begin = time.time()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rates.append(num_threads * _NUM_PASSES * 3 * _ARRAY / (time.time() - begin))
    return statistics.median(rates)


def _passes(one, other, result):
    for _ in range(_NUM_PASSES):
        np.add(one, other, out=result)
