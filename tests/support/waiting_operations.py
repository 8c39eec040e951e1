"""Dependencies between the operations of a graph."""


def depends_on(op, ancestor):
    """Whether an operation depends on another one, by its inputs or control dependencies.

    Args:
        op: `tf.Operation`.
        ancestor: `tf.Operation`.
    """
    seen, queue = set(), [op]
    while queue:
        current = queue.pop()
        if current is ancestor:
            return True
        if current not in seen:
            seen.add(current)
            queue += [tensor.op for tensor in current.inputs] + list(current.control_inputs)
    return False
