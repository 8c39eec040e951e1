"""Short trainings and their checkpoints, compared with the original's."""

import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.model import heads, optimization, xla
import golden_cases

pytestmark = pytest.mark.rewritten_graphs

# Golden training -> model case and settings; 12 steps on one fixed batch.
TRAININGS = {
    "train_bm_cls_postln_2_adamw_lr0.001_t12_w2": (
        "bm_cls_postln_2",
        {"init_lr": 0.001, "num_train_steps": 12, "num_warmup_steps": 2, "optimizer": "adamw"},
    ),
    "train_bm_small_postln_lamb_lr0.01_t10_w4": (
        "bm_small_postln",
        {"init_lr": 0.01, "num_train_steps": 10, "num_warmup_steps": 4, "optimizer": "lamb"},
    ),
    "train_google_small_lamb_lr0.01_t10_w4": (
        "google_small",
        {"init_lr": 0.01, "num_train_steps": 10, "num_warmup_steps": 4, "optimizer": "lamb"},
    ),
}
# Ways of computing, none of which may change the result -> arguments of `golden_cases.build`.
WAYS = {
    "plainly": {"plain": True},
    "with all that saves time": {"is_training": True, "leaves_out": True, "in_halves": True},
}
# Checkpoint of the original with slots -> model case and optimizer.
SLOT_CHECKPOINTS = {
    "slots_lamb_small.ckpt-2": ("bm_small_postln", "lamb"),
    "slots_adamw_small.ckpt-2": ("bm_cls_postln_2", "adamw"),
}


@pytest.fixture
def golden_folder(shared):
    return os.path.join(shared, "golden", "optim")


@pytest.mark.parametrize("way", sorted(WAYS))
@pytest.mark.parametrize("name", sorted(TRAININGS))
def test_training_equals_the_originals(golden_folder, name, way, monkeypatch):
    case, settings = TRAININGS[name]
    is_compiled = way == "with all that saves time" and xla.pays()
    monkeypatch.setattr(optimization, "COMPILED_FROM", 1)
    monkeypatch.setattr(heads, "CLASSIFIER_DROPOUT", 0.0)
    golden = dict(np.load(os.path.join(golden_folder, name + ".npz")))
    config, _, arrays, values = golden_cases.load_case(case)
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    with tf.Graph().as_default(), tf.Session() as session:
        tensors = golden_cases.build(config, arrays, **WAYS[way])
        train_op = optimization.create_optimizer(
            tensors["total_loss"],
            use_tpu=False,
            layout=config.layout,
            is_compiled=is_compiled,
            **settings,
        )
        golden_cases.set_variables(session, values)
        for step in range(13):
            _check_losses(session, tensors, golden, step)
            if step < 12:
                session.run(train_op)
        _check_variables(session, golden)


def _check_losses(session, tensors, golden, step):
    keys = [key[5:] for key in golden if key.startswith("loss/")]
    assert "total_loss" in keys
    for key, value in session.run({key: tensors[key] for key in keys}).items():
        golden_cases.assert_close(value, golden["loss/" + key][step], "%s, step %d" % (key, step))


def _check_variables(session, golden):
    expected = {key[6:]: value for key, value in golden.items() if key.startswith("final/")}
    actual = session.run({v.op.name: v for v in tf.global_variables()})
    assert actual.pop("global_step") == 12
    assert set(actual) == set(expected)
    for name, value in actual.items():
        # Softmax cancels the bias of keys: its gradient is rounding noise, which LAMB amplifies.
        if not name.endswith("key/bias"):
            golden_cases.assert_close(value, expected[name], name)


@pytest.mark.parametrize("name", sorted(SLOT_CHECKPOINTS))
def test_checkpoints_with_slots_are_the_originals(golden_folder, tmp_path, name):
    """Names, shapes and types agree, so that both programs can restore each other's checkpoints."""
    case, optimizer = SLOT_CHECKPOINTS[name]
    original = os.path.join(golden_folder, name)
    expected = dict(np.load(original + ".npz"))
    loss_after = expected.pop("loss_after")
    config, _, arrays, _ = golden_cases.load_case(case)
    with tf.Graph().as_default(), tf.Session() as session:
        tensors = golden_cases.build(config, arrays)
        optimization.create_optimizer(tensors["total_loss"], 0.01, 10, 4, False, optimizer)
        saver = tf.train.Saver()
        saver.restore(session, original)
        golden_cases.assert_close(session.run(tensors["total_loss"]), loss_after)
        ours = saver.save(session, str(tmp_path / "model.ckpt"), write_meta_graph=False)
    theirs, ours = (tf.train.NewCheckpointReader(path) for path in (original, ours))
    assert ours.get_variable_to_shape_map() == theirs.get_variable_to_shape_map()
    assert ours.get_variable_to_dtype_map() == theirs.get_variable_to_dtype_map()
    assert set(expected) == set(ours.get_variable_to_shape_map())
    for variable, value in expected.items():
        np.testing.assert_array_equal(ours.get_tensor(variable), value, variable)


@pytest.mark.reference
def test_stopping_and_resuming_changes_nothing(tmp_path):
    """6 steps, a checkpoint and 6 steps equal 12 steps bit for bit, including slots and step."""
    config, _, arrays, values = golden_cases.load_case("bm_small_preln")
    one_thread = tf.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    checkpoint = str(tmp_path / "model.ckpt")
    with tf.Graph().as_default(), tf.Session(config=one_thread) as session:
        loss = golden_cases.build(config, arrays)["total_loss"]
        train_op = optimization.create_optimizer(loss, 0.01, 12, 3, False, "lamb")
        variables = {variable.op.name: variable for variable in tf.global_variables()}
        saver = tf.train.Saver()

        def train(steps):
            for _ in range(steps):
                session.run(train_op)
            return session.run(variables)

        golden_cases.set_variables(session, values)
        straight = train(12)
        golden_cases.set_variables(session, values)
        train(6)
        saver.save(session, checkpoint, write_meta_graph=False)
        golden_cases.set_variables(session, values)  # which the checkpoint overwrites
        saver.restore(session, checkpoint)
        resumed = train(6)
    assert straight["global_step"] == resumed["global_step"] == 12
    for name, value in straight.items():
        np.testing.assert_array_equal(resumed[name], value, name)
