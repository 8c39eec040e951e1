"""Input pipelines that prefetch batches do not delay the end of a session."""

import pytest
import tensorflow.compat.v1 as tf

from albert_zh.pretraining import input_pipeline as pretraining_input
from albert_zh.tasks import datasets, feature_records, input_pipeline
from albert_zh.training import length_bucketing
from classification_batches import pair_record
import pretraining_workspace as small


def features_file(tmp_path):
    path = str(tmp_path / "rows.tf_record")
    with tf.python_io.TFRecordWriter(path) as writer:
        for number in range(64):
            writer.write(pair_record([2, 5, 3], number % 2))
    return feature_records.FeatureFile(path, 64, 0, datasets.TASKS["lcqmc"])


def training(tmp_path):
    return input_pipeline.train_input_fn(features_file(tmp_path), 8, 4, 10**6, seed=1)({})


def evaluation(tmp_path):
    return input_pipeline.eval_input_fn(features_file(tmp_path), 8, 4)({})


def pretraining(tmp_path, make=pretraining_input.training_batches, **arguments):
    folder = small.Workspace(tmp_path)
    path = folder.write_records("records", small.masked_records(40, 0))
    source = pretraining_input.RecordSource(
        files=[path],
        masking=None,
        num_records=40,
        record_bytes=100,
        max_seq_length=small.SEQUENCE,
        max_predictions=small.PREDICTIONS,
        mask_id=small.MASK,
        vocab_size=small.CONFIG["vocab_size"],
        is_static=False,
    )
    return make(source, 4, seed=1, **arguments)


def pretraining_training(tmp_path):
    return pretraining(tmp_path, first_step=0, pack_by_length=True)


def pretraining_evaluation(tmp_path):
    return pretraining(tmp_path, pretraining_input.evaluation_batches)


@pytest.mark.parametrize(
    "make", [training, evaluation, pretraining_training, pretraining_evaluation]
)
def test_no_pipeline_is_tuned(make, tmp_path):
    """Regression: with autotuning, closing a session after a minute took up to another minute."""
    with tf.Graph().as_default():
        options = make(tmp_path).options()
    if tf.__version__.startswith("1"):
        assert options.experimental_optimization.autotune is False
    else:
        assert options.autotune.enabled is False


def test_batches_stay_what_they_are():
    with tf.Graph().as_default(), tf.Session() as session:
        dataset = length_bucketing.prefetched(tf.data.Dataset.range(3))
        number = tf.data.make_one_shot_iterator(dataset).get_next()
        assert [session.run(number) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(tf.errors.OutOfRangeError):
            session.run(number)


def test_shuffled_epochs_are_equal_on_all_versions():
    """Regression: 1.15 fused shuffling and repeating; its orders differed from 2.15 and 2.21."""
    with tf.Graph().as_default(), tf.Session() as session:
        rows = tf.data.Dataset.range(10).shuffle(10, seed=5, reshuffle_each_iteration=True)
        epochs = length_bucketing.prefetched(rows.repeat().batch(10))
        epoch = tf.data.make_one_shot_iterator(epochs).get_next()
        assert [session.run(epoch).tolist() for _ in range(2)] == [
            [5, 3, 0, 2, 7, 6, 4, 1, 9, 8],
            [4, 0, 5, 9, 2, 8, 6, 3, 1, 7],
        ]
