"""Checks of the graphs that --use_tpu builds, without a TPU: static shapes, XLA on the CPU.

check(lambda: model_fn(features, None, mode, {}), mode)  # a problem is an AssertionError
"""

import numpy as np
import tensorflow.compat.v1 as tf
from tensorflow.python.tpu.ops import tpu_ops

from albert_zh.training.model_spec import ModeKeys

# Operations that XLA cannot compile, or whose shapes depend on values.
_HOST_ONLY = {
    "EagerPyFunc",
    "PyFunc",
    "PyFuncStateless",
    "StringJoin",
    "AsString",
    "Print",
    "PrintV2",
    "Where",
    "Unique",
    "UniqueWithCounts",
    "NonMaxSuppression",
    "DynamicPartition",
    "BooleanMask",
    "ReadFile",
    "WriteFile",
    "ScalarSummary",
    "MergeSummary",
    "VarHandleString",
}


def use_one_core(monkeypatch):
    """Replaces sums over a TPU's cores for a single core; the results are dense like real sums."""
    alone = lambda value, *_, **__: tf.identity(tf.convert_to_tensor(value))  # noqa: E731
    monkeypatch.setattr(tf.tpu, "cross_replica_sum", alone)
    monkeypatch.setattr(tpu_ops, "cross_replica_sum", alone)


def problems_of(graph):
    """Messages about what a TPU cannot run in a graph, including its functions."""
    problems = []
    operations = list(graph.get_operations())
    for name in graph._functions:
        function = graph._get_function(name)
        inner = getattr(function, "graph", None)
        operations += inner.get_operations() if inner is not None else []
    for operation in operations:
        if operation.type in _HOST_ONLY:
            problems.append("%s: %s runs on hosts alone" % (operation.name, operation.type))
        if "redundant_placeholder" in operation.name:  # of a loop's condition, unused
            continue
        for tensor in operation.outputs:
            if tensor.dtype == tf.string:
                problems.append("%s: a string" % tensor.name)
            elif (
                tensor.dtype not in (tf.resource, tf.variant)
                and not tensor.shape.is_fully_defined()
            ):
                problems.append("%s: shape %s" % (tensor.name, tensor.shape))
    return problems


def outputs_of(spec, mode):
    """The tensors of a spec that a TPU computes."""
    if mode == ModeKeys.TRAIN:
        with tf.control_dependencies([spec.train_op]):
            return [tf.identity(spec.loss)]
    if mode == ModeKeys.EVAL:
        return [spec.loss] + list(spec.eval_metrics[1])
    return [spec.predictions[name] for name in sorted(spec.predictions)]


def check(build, mode, steps=0):
    """Fails if a TPU cannot run the graph, or if compiled and uncompiled steps differ.

    Args:
        build: function of no arguments -> `Spec`.
        mode: one of `ModeKeys`.
        steps: number of steps to run; 0 to check only the graph.
    """
    start, plain = _values(build, mode, steps)
    if steps:  # from equal values: initial ones depend on the numbers of operations
        _, compiled = _values(build, mode, steps, tf.xla.experimental.compile, start)
        for expected, found in zip(plain, compiled):
            for one, other in zip(expected, found):
                np.testing.assert_allclose(other, one, atol=1e-4, rtol=1e-4)


def _values(build, mode, steps, wrap=lambda step: step(), start=()):
    """({name: value} of variables at the start, outputs of each step)."""
    with tf.Graph().as_default() as graph, tf.Session() as session:
        tf.set_random_seed(3)
        tf.get_variable_scope().set_use_resource(True)
        tf.train.get_or_create_global_step()
        outputs = wrap(lambda: outputs_of(build(), mode))
        problems = problems_of(graph)
        assert not problems, "\n".join(problems[:10])
        if not steps:
            return {}, []
        session.run(tf.global_variables_initializer())
        variables = {variable.name: variable for variable in tf.global_variables()}
        for name in start:
            variables[name].load(start[name], session)
        return session.run(variables), [session.run(outputs) for _ in range(steps)]


def check_runs(build, mode):
    """Fails unless XLA compiles the graph and its loss is finite."""
    with tf.Graph().as_default(), tf.Session() as session:
        tf.get_variable_scope().set_use_resource(True)
        tf.train.get_or_create_global_step()
        outputs = tf.xla.experimental.compile(lambda: outputs_of(build(), mode))
        session.run(tf.global_variables_initializer())
        assert np.isfinite(session.run(outputs)[0])
