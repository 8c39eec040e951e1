"""Checks of what --use_tpu builds, without a TPU: static shapes, XLA for the CPU.

check(lambda: model_fn(features, None, mode, {}), mode)  # a problem is an AssertionError
"""

import numpy as np
import tensorflow.compat.v1 as tf
from tensorflow.python.tpu.ops import tpu_ops

from albert_zh.training.model_spec import ModeKeys

# What XLA cannot compile, or gives shapes that depend on values.
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
    """Sums over a TPU's cores are those of its only one; like these they are dense."""
    alone = lambda value, *_, **__: tf.identity(tf.convert_to_tensor(value))  # noqa: E731
    monkeypatch.setattr(tf.tpu, "cross_replica_sum", alone)
    monkeypatch.setattr(tpu_ops, "cross_replica_sum", alone)


def problems_of(graph):
    """Lines about what a TPU cannot run; of functions in the graph too."""
    problems = []
    operations = list(graph.get_operations())
    for name in graph._functions:
        function = graph._get_function(name)
        inner = getattr(function, "graph", None)
        operations += inner.get_operations() if inner is not None else []
    for operation in operations:
        if operation.type in _HOST_ONLY:
            problems.append("%s: %s runs on hosts alone" % (operation.name, operation.type))
        if "redundant_placeholder" in operation.name:  # of a loop's condition, read by nobody
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
    """The tensors that a TPU computes of a spec."""
    if mode == ModeKeys.TRAIN:
        with tf.control_dependencies([spec.train_op]):
            return [tf.identity(spec.loss)]
    if mode == ModeKeys.EVAL:
        return [spec.loss] + list(spec.eval_metrics[1])
    return [spec.predictions[name] for name in sorted(spec.predictions)]


def check(build, mode, steps=0):
    """Fails for what does not fit in a graph; runs some steps of it compiled, and as it is.

    Args:
        build: function of no arguments -> `Spec`.
        mode: of `ModeKeys`.
        steps: to run; 0 for the graph alone.
    """
    start, plain = _values(build, mode, steps)
    if steps:  # of equal start values: initializers draw by the number of their operation
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
    """Fails unless XLA compiles a graph whose loss is a number."""
    with tf.Graph().as_default(), tf.Session() as session:
        tf.get_variable_scope().set_use_resource(True)
        tf.train.get_or_create_global_step()
        outputs = tf.xla.experimental.compile(lambda: outputs_of(build(), mode))
        session.run(tf.global_variables_initializer())
        assert np.isfinite(session.run(outputs)[0])
