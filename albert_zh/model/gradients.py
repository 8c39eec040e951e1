"""Gradients of a batch that is split among replicas or computed in parts (accumulated)."""

from typing import Any, Callable, Dict, List, Mapping, Sequence, Tuple

import tensorflow.compat.v1 as tf


def num_replicas(use_tpu: bool = False) -> Any:
    """The number of replicas that share a step: cores of a TPU or replicas of a strategy."""
    if use_tpu:
        return tf.tpu.cross_replica_sum(tf.constant(1.0))
    return tf.distribute.get_strategy().num_replicas_in_sync


def sum_over_replicas(values: Sequence[tf.Tensor], use_tpu: bool = False) -> List[tf.Tensor]:
    """The sums of float tensors over the replicas that share a step.

    On several GPUs the sums are complete only once every replica has computed its share: whatever
    uses them must run on all replicas, as a train op does.

    Args:
        values: list of float tensors.
        use_tpu: bool.

    Returns:
        list of float tensors.
    """
    if use_tpu:
        return [tf.tpu.cross_replica_sum(tensor) for tensor in values]
    if not tf.distribute.has_strategy():
        return list(values)
    context = tf.distribute.get_replica_context()
    return context.merge_call(_summed_over_replicas, args=(values,))


def mean_over_replicas(values: Sequence[tf.Tensor], use_tpu: bool = False) -> List[tf.Tensor]:
    """As `sum_over_replicas`, but means: a replica divides its share of a sum by such a mean."""
    number = num_replicas(use_tpu)
    return [total / number for total in sum_over_replicas(list(values), use_tpu)]


def accumulated_gradients(
    compute: Callable[..., Any], batch: Mapping[str, tf.Tensor], num_parts: int
) -> Tuple[List[tf.Tensor], Dict[str, tf.Tensor]]:
    """Gradient accumulation: computes a batch part by part, with the memory of one part.

    Args:
        compute: function (part, number) -> (list of gradients, {name: value} of scalars); its
            gradients must add up to the gradients of the batch. It builds the model under
            `tf.AUTO_REUSE`.
        batch: {name: tensor [B, ...]}.
        num_parts: int, must divide B.

    Returns:
        (list of gradients, {name: value}), the sums over the parts.
    """
    if num_parts == 1:
        return compute(batch, 0)
    shares = {
        name: tf.reshape(tensor, tf.concat([[num_parts, -1], tf.shape(tensor)[1:]], axis=0))
        for name, tensor in batch.items()
    }
    for name, share in shares.items():
        share.set_shape([num_parts, None] + batch[name].shape.as_list()[1:])

    def of_share(index):
        gradients, scalars = compute({name: shares[name][index] for name in shares}, index)
        return [tf.convert_to_tensor(gradient) for gradient in gradients], scalars

    def add_share(index, sums):
        return index + 1, tf.nest.map_structure(tf.add, sums, of_share(index))

    # The first part is built before the loop, because variables cannot be created in a loop.
    _, sums = tf.while_loop(
        lambda index, _: index < num_parts,
        add_share,
        [tf.constant(1), of_share(0)],
        parallel_iterations=1,
    )
    return sums


def clipped_over_replicas(grads: Sequence[Any], norm: float) -> Tuple[List[Any], tf.Tensor]:
    """Gradients clipped together, by the norm of their sum over a strategy's replicas.

    Returns:
        (list of the clipped gradients, the norm before clipping).
    """
    if not tf.distribute.has_strategy():
        return tf.clip_by_global_norm(grads, norm)
    context = tf.distribute.get_replica_context()
    present = [grad for grad in grads if grad is not None]
    rows = [grad.values for grad in present if isinstance(grad, tf.IndexedSlices)]
    squares_of_rows = tf.add_n([tf.reduce_sum(tf.square(x)) for x in rows] + [tf.constant(0.0)])
    *sums, squares = context.merge_call(
        _summed_over_replicas,
        args=([tf.convert_to_tensor(grad) for grad in present] + [squares_of_rows],),
    )
    # A row that is looked up twice counts twice, as on one device.
    for grad, total in zip(present, sums):
        if not isinstance(grad, tf.IndexedSlices):
            squares += tf.reduce_sum(tf.square(total))
    norm_before = tf.sqrt(squares)
    clipped, _ = tf.clip_by_global_norm(sums, norm, use_norm=norm_before)
    # The strategy sums what the replicas apply, and now all of them apply the same gradients.
    shares = iter([grad / context.num_replicas_in_sync for grad in clipped])
    return [None if grad is None else next(shares) for grad in grads], norm_before


def _summed_over_replicas(strategy, tensors):
    return strategy.extended.batch_reduce_to(
        tf.distribute.ReduceOp.SUM, [(tensor, tensor) for tensor in tensors]
    )
