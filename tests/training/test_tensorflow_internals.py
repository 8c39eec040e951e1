"""Every name without an underscore's promise that training uses is there in this TensorFlow."""

import pytest
import tensorflow.compat.v1 as tf

from albert_zh.training import tensorflow_internals
from albert_zh.training.hooks import GridTimer, SaverHook


def test_the_read_of_the_global_step_is_that_of_optimizers():
    with tf.Graph().as_default() as graph:
        tf.train.create_global_step()
        tensorflow_internals.add_global_step_read()
        num_operations = len(graph.get_operations())
        assert num_operations > 1
        tensorflow_internals.add_global_step_read()
        assert len(graph.get_operations()) == num_operations


def test_a_strategy_scales_losses_and_says_how_they_are_reduced():
    with tf.Graph().as_default():
        strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
        with strategy.scope(), tensorflow_internals.scaled_losses(strategy):
            tf.train.create_global_step()
            tensorflow_internals.add_shared_global_step_read(strategy)
            assert tensorflow_internals.loss_reduction() == tf.distribute.ReduceOp.SUM
            assert tf.distribute.get_loss_reduction() == tf.distribute.ReduceOp.MEAN
        assert tf.distribute.get_loss_reduction() == tf.distribute.ReduceOp.SUM


def test_a_worker_function_runs_with_the_strategy(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    seen = []
    with tf.Graph().as_default():
        strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
        tensorflow_internals.run_as_worker(strategy, tf.ConfigProto(), seen.append)
    assert [type(own) for own in seen] == [type(strategy)]


def test_estimators_are_where_they_were():
    version = tuple(int(number) for number in tf.__version__.split(".")[:2])
    assert tensorflow_internals.has_estimators() == (version < (2, 16))


@pytest.mark.parametrize("name", ["_save", "_checkpoint_dir", "_timer"])
def test_what_the_saver_hook_overrides_is_there(name, tmp_path):
    assert hasattr(tf.train.CheckpointSaverHook(str(tmp_path), save_steps=1), name)
    assert isinstance(SaverHook(str(tmp_path), 2)._timer, GridTimer)
