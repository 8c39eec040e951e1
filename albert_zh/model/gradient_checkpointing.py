"""Gradient checkpointing: values that the gradient needs are recomputed instead of kept in memory.

    y = recomputed(function, [x, kernel])  # one function; pays off if values are large and cheap
    layers = recomputed_chain(functions, x)  # a whole encoder, a layer at a time
    results = summed_by_parts(function, rows, labels, tables, 4)  # a sum, with its gradient

The last one recomputes nothing: the gradient of a sum is known, up to a factor, with the sum.

Method: Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost".
"""

import collections
from typing import Any, Callable, List, Sequence

import tensorflow.compat.v1 as tf


def recomputed(
    function: Callable[..., Any], tensors: Sequence[Any], is_training: bool = True
) -> Any:
    """Applies a function whose intermediate values are recomputed for the gradient, not kept.

    Args:
        function: function of the tensors; it uses no variables other than these.
        tensors: list of tensors or variables.
        is_training: bool; if false, the function is simply called.

    Returns:
        the function's result.
    """
    if not is_training:
        return function(*tensors)

    @tf.custom_gradient
    def apply(*inputs):
        def gradient(dy):
            # Waiting for dy keeps TensorFlow from merging this with the first computation.
            with tf.control_dependencies([dy]):
                late_inputs = [tf.identity(x) for x in inputs]
            return tf.gradients(function(*late_inputs), late_inputs, dy)

        return function(*inputs), gradient

    return apply(*[tf.identity(x) for x in tensors])


def summed_by_parts(
    function: Callable[..., Any],
    rows: tf.Tensor,
    labels: Sequence[tf.Tensor],
    shared: Sequence[Any],
    parts: int,
) -> List[tf.Tensor]:
    """Sums a function over parts of its rows and computes the gradient of each part with the sum.

    Thus large intermediate values are in memory for only one part at a time.

    Args:
        function: function (rows, *labels, *shared) -> (sum [], values [N], ...).
        rows: float tensor [N, ...] that is split among the parts; it has a gradient.
        labels: list of tensors [N, ...] that are split likewise; they have no gradients.
        shared: list of tensors that every part receives whole; they have gradients.
        parts: int, number of parts.

    Returns:
        list of the function's results: the sum, the only one with a gradient, and the values.
    """
    count = rows.shape.as_list()[0]
    if count is None:
        count = tf.shape(rows)[0]
    bounds = [count * share // parts for share in range(parts + 1)]

    @tf.custom_gradient
    def apply(rows, *shared):
        outputs, of_rows, of_shared = [], [], [tf.zeros_like(x) for x in shared]  # gradients
        for first, last in zip(bounds, bounds[1:]):
            with tf.control_dependencies(of_shared + of_rows):  # earlier parts are done
                share = tf.identity(rows[first:last])
            outputs.append(function(share, *[x[first:last] for x in labels], *shared))
            of_share, *added = tf.gradients(outputs[-1][0], [share] + list(shared))
            of_rows.append(of_share)
            of_shared = [gradient + more for gradient, more in zip(of_shared, added)]
        sums, *per_row = zip(*outputs)

        def gradient(dy, *_):
            known = [tf.concat(of_rows, axis=0)] + of_shared
            return [x * tf.cast(dy, x.dtype) for x in known]

        return [tf.add_n(sums)] + [tf.concat(output, axis=0) for output in per_row], gradient

    return apply(rows, *[tf.identity(x) for x in shared])


def recomputed_chain(
    functions: Sequence[Callable[[tf.Tensor], tf.Tensor]], x: tf.Tensor
) -> List[tf.Tensor]:
    """Applies functions one after another; only the values passed between them are kept in memory.

    Backpropagation handles one function at a time and recomputes its inner values. If several
    functions share a variable, its gradients are summed on the way, so that only one per variable
    is in memory.

    Args:
        functions: list of functions of a tensor; they create variables with `tf.get_variable` and
            must compute the same whenever they are called.
        x: tensor, input of the first function.

    Returns:
        list of the functions' results.
    """
    scope = tf.get_variable_scope()
    variables = {}
    results, names_of = [], []
    for function in functions:
        names = collections.OrderedDict()

        def get(getter, name, *args, names=names, **kwargs):
            if name not in variables:
                variables[name] = getter(name, *args, **kwargs)
            names[name] = None
            return variables[name]

        with _getting_variables_by(get, scope):
            results.append(function(results[-1] if results else x))
        names_of.append(names)
    outputs = []
    for position, (function, output) in enumerate(zip(functions, results)):
        later = set().union(*names_of[position + 1 :])
        variables_of_function = collections.OrderedDict(
            (name, variables[name]) for name in names_of[position]
        )
        x, passed_on = _with_late_gradient(
            function,
            scope,
            x,
            output,
            variables_of_function,
            [name for name in variables_of_function if name in later],
        )
        variables.update(passed_on)
        outputs.append(x)
    return outputs


def _with_late_gradient(function, scope, x, output, variables, passed_on):
    """The result of a function, with a gradient that recomputes the function.

    Variables are passed on to later functions that also use them, so that the gradients from there
    come back to this function, which adds its share.

    Args:
        function: function of a tensor.
        scope: variable scope in which it was called.
        x: tensor, its input.
        output: tensor, its result.
        variables: OrderedDict {name: variable or tensor} of the variables that it used.
        passed_on: list of the names of the variables that are passed on.

    Returns:
        (result, {name: tensor} of the variables that are passed on).
    """

    @tf.custom_gradient
    def apply(output, x, *tensors):
        tensors_by_name = dict(zip(variables, tensors))

        def gradient(dy, *dy_passed_on):
            # Waiting keeps TensorFlow from merging this with the first computation, and from going
            # back through several functions at once.
            with tf.control_dependencies([dy] + list(dy_passed_on)):
                again, late_x, late = _computed_again(function, scope, x, tensors_by_name)
            dx, *of_variables = tf.gradients(
                again, [late_x] + [late[name] for name in variables], dy
            )
            sums = dict(zip(variables, of_variables))
            for name, dy_later in zip(passed_on, dy_passed_on):
                if sums[name] is None:  # a variable that the result does not depend on
                    sums[name] = dy_later
                else:
                    sums[name] = tf.convert_to_tensor(sums[name]) + dy_later  # may be IndexedSlices
            return [None, dx] + [sums[name] for name in variables]

        return [tf.identity(output)] + [
            tf.identity(tensors_by_name[name]) for name in passed_on
        ], gradient

    tensors = [tf.identity(variable) for variable in variables.values()]
    outputs = apply(tf.stop_gradient(output), x, *tensors)
    return outputs[0], dict(zip(passed_on, outputs[1:]))


def _computed_again(function, scope, x, variables):
    """Calls a function on copies of its input and variables: (result, input, {name: variable})."""
    late_x = tf.identity(x)
    late = {name: tf.identity(variable) for name, variable in variables.items()}

    def get(getter, name, *args, **kwargs):
        del getter, args, kwargs
        return late[name]

    with _getting_variables_by(get, scope):
        return function(late_x), late_x, late


def _getting_variables_by(getter, scope):
    return tf.variable_scope(scope, custom_getter=getter, auxiliary_name_scope=False)
