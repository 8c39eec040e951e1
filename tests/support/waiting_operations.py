"""Which operations of a graph wait for which."""


def depends_on(op, ancestor):
    """Whether an operation waits for another one's values, or for its end.

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
