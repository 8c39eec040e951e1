"""What each type of operation of a step takes, moves and computes, and the least time for that.

The floor of an operation is the longer of two times: that of its bytes, read and written once, at
the rate of a pass over arrays of such a size, and that of its multiplications and additions at the
rate of a product of two large matrices. Operations that pass a tensor on have no floor.
"""

import collections
import statistics
import threading
import time

import measuring
import numpy as np

_MEBIBYTE = 1 << 20
_NUM_PASSES = 64  # of a thread, in one measurement
_ARRAY = 4 * _MEBIBYTE  # bytes of an array that is added to: of a layer's inner activations
_PASSES_ON = frozenset(
    "Const Identity NoOp ReadVariableOp Reshape Shape VarHandleOp _Retval _Arg".split()
)

Kernel = collections.namedtuple("Kernel", "calls seconds moved operations")
Kernel.__doc__ = """What the operations of one type do in a step, all together.

Fields:
    calls: how many there are.
    seconds: time of all, summed over threads.
    moved: bytes that are read and written.
    operations: multiplications and additions of matrix products.
"""


def kernels_of(session, fetches, num_steps):
    """The types of operations of a step, and what they do.

    Args:
        session: `tf.Session`.
        fetches: what a step runs.
        num_steps: steps that are traced.

    Returns:
        {type, with what was merged into it and, of products, their precision: `Kernel` of a mean
        step}, the longest first.
    """
    sums = collections.defaultdict(lambda: np.zeros(len(Kernel._fields)))
    for trace in measuring.traces(session, fetches, num_steps):
        nodes = {node.name: node for graph in trace.partition_graphs for node in graph.node}
        found = [s for d in trace.step_stats.dev_stats for s in d.node_stats]
        shapes = {s.node_name: [_shape(o.tensor_description) for o in s.output] for s in found}
        for stats in found:
            node = nodes.get(stats.node_name)
            kind, moved, operations = stats.node_name, 0, 0
            if node:
                kind = measuring.type_of(node)
            if node and node.op not in _PASSES_ON:
                results = shapes[node.name]
                inputs = [_result(shapes, name) for name in node.input]
                moved = sum(map(_num_bytes, inputs + results))
                operations = _operations(node.op, inputs, results)
            if operations:
                kind += ", " + results[0][0].name
            sums[kind] += (1, measuring.seconds_of(stats), moved, operations)
    kernels = {kind: Kernel(*(values / num_steps)) for kind, values in sums.items()}
    return dict(sorted(kernels.items(), key=lambda item: -item[1].seconds))


def _shape(description):
    """(dtype, sizes) of a tensor."""
    import tensorflow.compat.v1 as tf

    return tf.as_dtype(description.dtype), [dim.size for dim in description.shape.dim]


def _result(shapes, name):
    """(dtype, sizes) of an input by its name in a graph, "node:number"; nothing if unknown."""
    import tensorflow.compat.v1 as tf

    node, _, number = name.partition(":")
    results = shapes.get(node, ())
    number = int(number or 0)
    return results[number] if number < len(results) else (tf.float32, [0])


def _num_bytes(shape):
    dtype, sizes = shape
    return 0 if dtype.name == "resource" else dtype.size * int(np.prod(sizes))


def _operations(name, inputs, results):
    """2 m n k of a product, of which m k, k n and m n are known (times a batch)."""
    if "MatMul" not in name or len(inputs) < 2:
        return 0
    sizes = [float(np.prod(sizes)) for _, sizes in (inputs[0], inputs[1], results[0])]
    batch = float(np.prod(results[0][1][:-2]))
    return 2 * batch * np.sqrt(np.prod([size / batch for size in sizes]))


def bandwidth(num_threads):
    """Bytes per second of a pass that reads two arrays and writes one, by threads of their own."""
    rates = []
    for _ in range(9):
        threads = [threading.Thread(target=_passes) for _ in range(num_threads)]
        begin = time.time()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        rates.append(num_threads * _NUM_PASSES * 3 * _ARRAY / (time.time() - begin))
    return statistics.median(rates)


def _passes():
    one, other, result = (np.ones(_ARRAY // 4, np.float32) for _ in range(3))
    for _ in range(_NUM_PASSES):
        np.add(one, other, out=result)


def floor(kind, kernel, peaks, bytes_per_second, num_threads):
    """The least seconds of a `Kernel`, summed over threads as its own seconds are.

    Args:
        kind: its key of `kernels_of`.
        kernel: `Kernel`.
        peaks: {precision: operations per second of all threads}.
        bytes_per_second: of all threads.
        num_threads: int.
    """
    peak = peaks["bfloat16" if kind.endswith("bfloat16") else "float32"]
    return num_threads * max(kernel.moved / bytes_per_second, kernel.operations / peak)
