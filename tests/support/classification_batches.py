"""Batches of a classifier's input functions, as arrays."""

import tensorflow.compat.v1 as tf

from albert_zh.tasks import datasets, feature_records, registry


def batches_of(input_fn, batch_size=None, input_context=None, tpu_context=None):
    """Yields all batches of an input function, each {name: array}."""
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(3)
        context = {} if input_context is None else {"input_context": input_context}
        params = {"batch_size": batch_size}
        if tpu_context is not None:
            params["context"] = tpu_context
        dataset = input_fn(params, **context)
        batch = tf.data.make_one_shot_iterator(dataset).get_next()
        while True:
            try:
                yield session.run(batch)
            except tf.errors.OutOfRangeError:
                return


def pair_record(ids, label):
    """A serialized record of a feature file of pairs: ids of one segment, number of a class."""
    record = {"input_ids": ids, "segment_ids": [0] * len(ids), "label_ids": label}
    task = datasets.TASKS["lcqmc"]
    return feature_records.serialized(record, registry.type_of(task).columns(task))
