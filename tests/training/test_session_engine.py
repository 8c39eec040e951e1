"""The engine's numbers equal those of TPUEstimator and Estimator, if available, bit for bit."""

import glob
import os
import signal

from absl import flags
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.common.errors import UserError
from albert_zh.model.config import AlbertConfig
from albert_zh.training import engine, loop, metrics_log, model_spec, tensorflow_internals
from albert_zh.training.hooks import SaverHook, StopHook, StopRequest
from albert_zh.training.model_spec import ModeKeys, Spec
from albert_zh.training.session_engine import Engine, RunConfig
from estimators import needs_estimators
from living_graphs import num_living_graphs
from workspace import flags_of

SEED = 7
NUM_STEPS = 6
ROWS = np.linspace(-1, 1, 24).astype(np.float32).reshape(12, 2)


def input_fn(params, input_context=None):
    del params, input_context
    rows = tf.data.Dataset.from_tensor_slices({"x": ROWS}).shuffle(12, seed=3)
    return rows.repeat().batch(4, drop_remainder=True)


def rows_once(params):
    del params
    return tf.data.Dataset.from_tensor_slices({"x": ROWS}).batch(5)


def model_fn(features, labels, mode, params):
    """A regression; its random draws have no seed, so they depend on the numbers of the ops."""
    del labels, params
    x = features["x"]  # [B, 2]
    start = tf.random_normal_initializer()
    weights = tf.get_variable("weights", [2, 1], initializer=start)
    outputs = tf.matmul(x, weights)  # [B, 1]
    if mode == ModeKeys.PREDICT:
        return Spec(mode, predictions={"outputs": outputs, "x": x})
    loss = tf.reduce_mean(tf.square(outputs - x[:, :1]))
    if mode == ModeKeys.EVAL:
        metrics = (lambda row_losses: {"mean": tf.metrics.mean(row_losses)}, [outputs])
        return Spec(mode, loss=loss, eval_metrics=metrics)
    noise = tf.random.normal([])  # its seed depends on the op's number
    optimizer = tf.train.AdamOptimizer(0.1)
    train_op = optimizer.minimize(loss * (1 + 0.1 * noise), tf.train.get_global_step())
    return Spec(mode, loss=loss, train_op=train_op)


def weights_of(folder):
    """Returns {name: array} of a folder's newest checkpoint."""
    reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(str(folder)))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def assert_same_bits(folder, other):
    expected, actual = weights_of(folder), weights_of(other)
    assert set(actual) == set(expected)
    for name, weights in expected.items():
        np.testing.assert_array_equal(actual[name], weights, name)


def trained_engine(folder, max_steps=NUM_STEPS, strategy=None):
    trained = Engine(model_fn, RunConfig(str(folder), SEED, strategy=strategy))
    trained.train(input_fn, max_steps=max_steps, hooks=[SaverHook(str(folder), 2)])
    return trained


def tpu_estimator(folder):
    """Returns a TPUEstimator on the CPU, which was used for training before the engine."""
    return tf.estimator.tpu.TPUEstimator(
        model_fn=model_spec.for_tpu_estimator(model_fn),
        use_tpu=False,
        config=tf.estimator.tpu.RunConfig(model_dir=str(folder), tf_random_seed=SEED),
        **{name + "_batch_size": 4 for name in ("train", "eval", "predict")},
    )


@needs_estimators
def test_training_evaluation_and_prediction_are_those_of_tpu_estimator(tmp_path):
    estimator = tpu_estimator(tmp_path / "estimator")
    estimator.train(input_fn, max_steps=NUM_STEPS)
    trained = trained_engine(tmp_path / "engine")
    assert_same_bits(tmp_path / "estimator", tmp_path / "engine")
    assert trained.evaluate(rows_once, steps=2) == estimator.evaluate(rows_once, steps=2)
    rows = list(trained.predict(rows_once))
    expected = list(estimator.predict(rows_once))
    assert len(rows) == len(expected) == len(ROWS)
    for row, expected_row in zip(rows, expected):
        assert set(row) == set(expected_row)
        np.testing.assert_array_equal(row["outputs"], expected_row["outputs"])


@needs_estimators
def test_a_run_of_tpu_estimator_is_continued(tmp_path):
    for name in ("estimator", "engine"):
        tpu_estimator(tmp_path / name).train(input_fn, max_steps=3)
    tpu_estimator(tmp_path / "estimator").train(input_fn, max_steps=NUM_STEPS)
    trained_engine(tmp_path / "engine")
    assert_same_bits(tmp_path / "estimator", tmp_path / "engine")


class Steps(tf.train.CheckpointSaverListener):
    """Listener that records the steps after which checkpoints were saved."""

    def __init__(self):
        self.steps = []

    def after_save(self, session, global_step_value):
        self.steps.append(int(global_step_value))


def test_a_checkpoint_that_training_goes_on_from_is_not_written_again(tmp_path):
    """Regression: TensorFlow rewrote the index in place; a kill meanwhile lost the checkpoint."""
    trained_engine(tmp_path, max_steps=4)
    prefix = str(tmp_path / "model.ckpt-4")
    paths = [prefix + end for end in (".index", ".data-00000-of-00001", ".meta")]
    before = [(os.stat(path).st_ino, os.stat(path).st_mtime_ns) for path in paths]
    listener, folder = Steps(), str(tmp_path)
    config = RunConfig(folder, SEED, keep_checkpoint_max=3)
    Engine(model_fn, config).train(input_fn, NUM_STEPS, [SaverHook(folder, 2, [listener])])
    assert [(os.stat(path).st_ino, os.stat(path).st_mtime_ns) for path in paths] == before
    assert listener.steps == [4, 6]  # it may not have been called for step 4 before
    kept = [os.path.basename(path) for path in sorted(glob.glob(folder + "/*.index"))]
    assert kept == ["model.ckpt-%d.index" % step for step in (2, 4, 6)]


def test_a_checkpoint_without_its_graph_is_completed(tmp_path):
    """The run was killed before TensorFlow wrote the last file."""
    trained_engine(tmp_path, max_steps=4)
    os.remove(str(tmp_path / "model.ckpt-4.meta"))
    trained_engine(tmp_path)
    assert (tmp_path / "model.ckpt-4.meta").exists()


class NamesOfOperations(tf.train.SessionRunHook):
    """Hook that records the names of a session's operations."""

    def after_create_session(self, session, coord):
        self.names = [operation.name for operation in session.graph.get_operations()]


def test_sessions_do_not_ask_for_variables_without_a_value(tmp_path):
    """All variables have a value, and the check takes as long as loading them."""
    hooks = [NamesOfOperations(), NamesOfOperations()]
    trained = Engine(model_fn, RunConfig(str(tmp_path), SEED))
    trained.train(input_fn, max_steps=1, hooks=[hooks[0], SaverHook(str(tmp_path), 1)])
    trained.evaluate(rows_once, hooks=hooks[1:])
    for hook in hooks:
        assert "weights" in hook.names
        assert not [name for name in hook.names if name.startswith("report_uninitialized")]


class Preemption(tf.train.SessionRunHook):
    """Hook that sends SIGTERM after a number of steps, as when a machine is preempted."""

    def __init__(self, after_steps):
        self._steps_left = after_steps

    def after_run(self, run_context, run_values):
        self._steps_left -= 1
        if not self._steps_left:
            os.kill(os.getpid(), signal.SIGTERM)


@needs_estimators
def test_a_preempted_run_of_tpu_estimator_is_saved_and_continued(tmp_path):
    for max_steps in (4, NUM_STEPS):
        tpu_estimator(tmp_path / "whole").train(input_fn, max_steps=max_steps)
    folder = str(tmp_path / "preempted")
    with flags_of(["--use_tpu", "--output_dir=" + folder]), StopRequest() as stop:
        hooks = [Preemption(4), StopHook(stop)]
        loop.train_with_checkpoints(
            flags.FLAGS, tpu_estimator(folder), input_fn, NUM_STEPS, 1000, hooks
        )
        assert stop.is_made
    assert weights_of(folder)["global_step"] == 4  # no periodic save was due
    tpu_estimator(folder).train(input_fn, max_steps=NUM_STEPS)
    assert_same_bits(tmp_path / "whole", folder)


def test_what_a_killed_training_had_not_finished_is_removed(tmp_path):
    """Regression: TensorFlow's temporary files, as large as a checkpoint, stayed in the folder."""
    folder, digits = str(tmp_path), "0123456789abcdef" * 2
    drafts = ["model.ckpt-2_temp", "model.ckpt-2_temp_" + digits]  # the second name is that of 1.15
    for name in drafts:
        (tmp_path / name).mkdir()
        (tmp_path / name / "part-00000-of-00001.data-00000-of-00001.tempstate1").write_text("x")
    drafts += ["model.ckpt-2.meta.tmp" + digits, "checkpoint.tmp" + digits]
    others = ["model.ckpt-2_temp.md", "notes.tmp" + digits]
    for name in drafts[2:] + others:
        (tmp_path / name).write_text("x")
    with flags_of(["--output_dir=" + folder]), StopRequest() as stop:
        trained, log = Engine(model_fn, RunConfig(folder, SEED)), metrics_log.Metrics(folder, 0)
        loop.train(flags.FLAGS, trained, input_fn, loop.Steps(0, 4, 2), stop, log)
    left = os.listdir(folder)
    assert set(others) < set(left) and "model.ckpt-4.index" in left
    assert not set(drafts) & set(left)


def two_cpus():
    """Returns (strategy, session configuration) of two CPU devices on any machine."""
    with tf.Graph().as_default():
        strategy = tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
    return strategy, tf.ConfigProto(device_count={"CPU": 2}, allow_soft_placement=True)


@needs_estimators
def test_a_mirrored_run_is_that_of_estimator(tmp_path):
    def estimator_model_fn(features, labels, mode, params):
        spec = model_spec.for_tpu_estimator(model_fn)(features, labels, mode, params)
        return spec.as_estimator_spec()

    strategy, session_config = two_cpus()
    config = tf.estimator.RunConfig(
        model_dir=str(tmp_path / "estimator"),
        tf_random_seed=SEED,
        session_config=session_config,
        train_distribute=strategy,
    )
    tf.estimator.Estimator(estimator_model_fn, config=config, params={}).train(
        input_fn, max_steps=NUM_STEPS
    )
    folder, (strategy, session_config) = str(tmp_path / "engine"), two_cpus()
    config = RunConfig(folder, SEED, session_config=session_config, strategy=strategy)
    Engine(model_fn, config).train(input_fn, NUM_STEPS, [SaverHook(folder, 2)])
    assert_same_bits(tmp_path / "estimator", tmp_path / "engine")


def test_a_run_that_is_complete_is_left_as_it_is(tmp_path):
    trained_engine(tmp_path)
    before = sorted(os.listdir(str(tmp_path)))
    trained_engine(tmp_path)
    assert sorted(os.listdir(str(tmp_path))) == before


def test_a_finished_training_leaves_no_graph(tmp_path):
    """The memory must not grow from one training run to the next, as with several seeds."""

    @tf.custom_gradient
    def halved_gradient(x):
        return tf.identity(x), lambda dy: dy / 2

    def with_own_gradient(features, labels, mode, params):
        return model_fn({"x": halved_gradient(features["x"])}, labels, mode, params)

    before = num_living_graphs()
    for seed in (1, 2):
        folder = str(tmp_path / str(seed))
        trained = Engine(with_own_gradient, RunConfig(folder, seed))
        trained.train(input_fn, max_steps=2, hooks=[SaverHook(folder, 2)])
        assert len(list(trained.predict(rows_once))) == 12
    assert num_living_graphs() == before


def test_checkpoints_of_a_training_are_predicted_with_in_one_graph(tmp_path):
    """Unread rows do no harm; outside the context each prediction has a graph, which is freed."""
    modes, found, before = [], [], num_living_graphs()

    def counting_model_fn(features, labels, mode, params):
        modes.append(mode)
        return model_fn(features, labels, mode, params)

    class Predicting(tf.train.CheckpointSaverListener):
        def after_save(self, session, global_step_value):
            prefix = "%s/model.ckpt-%d" % (tmp_path, global_step_value)
            next(trained.predict(rows_once, checkpoint_path=prefix))
            rows = trained.predict(rows_once, checkpoint_path=prefix)
            found.append((prefix, np.array([row["outputs"] for row in rows])))

    trained = Engine(counting_model_fn, RunConfig(str(tmp_path), SEED))
    with engine.one_prediction_graph(trained):
        trained.train(input_fn, 6, [SaverHook(str(tmp_path), 2, [Predicting()])])
        prefix = str(tmp_path / "model.ckpt-2")
        after = [row["outputs"] for row in trained.predict(rows_once, checkpoint_path=prefix)]
        np.testing.assert_array_equal(after, found[1][1])
    assert modes.count(ModeKeys.PREDICT) == 1 and len(found) == 4
    for prefix, outputs in found:
        weights = tf.train.load_checkpoint(prefix).get_tensor("weights")
        np.testing.assert_allclose(outputs, ROWS @ weights, atol=1e-6)
    assert not np.allclose(found[1][1], found[3][1])
    list(trained.predict(rows_once))
    list(trained.predict(rows_once))
    assert modes.count(ModeKeys.PREDICT) == 3 and num_living_graphs() == before


def test_metrics_are_those_of_the_checkpoint_and_are_written_for_tensorboard(tmp_path):
    """The model is w x, so its loss over all rows follows from the weights."""
    trained = trained_engine(tmp_path, max_steps=4)
    metrics = trained.evaluate(rows_once, checkpoint_path=str(tmp_path / "model.ckpt-2"))
    reader = tf.train.load_checkpoint(str(tmp_path / "model.ckpt-2"))
    outputs = ROWS @ reader.get_tensor("weights")
    batches = np.split(np.square(outputs - ROWS[:, :1]), [5, 10])
    assert metrics["global_step"] == 2
    assert metrics["mean"] == pytest.approx(outputs.mean(), abs=1e-6)
    assert metrics["loss"] == pytest.approx(np.mean([batch.mean() for batch in batches]), abs=1e-6)
    assert glob.glob(str(tmp_path / "eval" / "events.*"))
    batches = list(trained.predict(rows_once, yield_single_examples=False))
    assert [len(batch["outputs"]) for batch in batches] == [5, 5, 2]


def test_a_tpu_without_tpu_estimator_is_refused_with_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorflow_internals, "has_estimators", lambda: False)
    arguments = ["--use_tpu", "--output_dir=" + str(tmp_path)]
    with flags_of(arguments), pytest.raises(UserError, match="no TPUEstimator, 2.15 is the last"):
        engine.make_engine(flags.FLAGS, model_fn, 10, train_batch_size=8)


@pytest.mark.parametrize(
    "given, in_halves",
    [
        (["--num_threads=2"], True),
        ([], True),  # two cores, see below
        (["--num_threads=1"], False),
        (["--num_threads=4"], False),
        (["--num_threads=2", "--plain"], False),
        (["--num_threads=2", "--distribution=mirrored"], False),
        (["--num_threads=2", "--use_tpu"], False),
    ],
)
def test_two_threads_take_a_half_each(given, in_halves, monkeypatch):
    monkeypatch.setattr(engine.cores, "num_usable", lambda: 2)
    monkeypatch.setattr(engine.xla, "pays", lambda: True)
    config = AlbertConfig(
        50, hidden_size=312, hidden_dropout_prob=0, attention_probs_dropout_prob=0
    )
    with flags_of(given):
        assert engine.takes_halves(flags.FLAGS, config) == in_halves


@pytest.mark.parametrize(
    "settings",
    [
        {"hidden_dropout_prob": 0.1},  # a seed gives the same dropout on any machine
        {"attention_probs_dropout_prob": 0.1},
        {"hidden_size": 768},
    ],
)
def test_some_models_are_not_computed_in_halves(settings, monkeypatch):
    monkeypatch.setattr(engine.xla, "pays", lambda: True)
    usual = {"hidden_size": 312, "hidden_dropout_prob": 0, "attention_probs_dropout_prob": 0}
    with flags_of(["--num_threads=2"]):
        assert engine.takes_halves(flags.FLAGS, AlbertConfig(50, **usual))
        assert not engine.takes_halves(flags.FLAGS, AlbertConfig(50, **dict(usual, **settings)))


def test_a_thread_that_has_a_half_shares_no_operation(tmp_path):
    with flags_of(["--num_threads=2", "--output_dir=" + str(tmp_path)]):
        config = engine.make_run_config(flags.FLAGS, in_halves=True).session_config
        assert config.intra_op_parallelism_threads == 1
        assert config.inter_op_parallelism_threads == 2
        config = engine.make_run_config(flags.FLAGS).session_config
        assert config.intra_op_parallelism_threads == 2
