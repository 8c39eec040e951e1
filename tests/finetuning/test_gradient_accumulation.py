"""--gradient_accumulation_steps in fine-tuning: the same step, computed in parts."""

import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.common.errors import UserError
from albert_zh.model import heads
from albert_zh.model.checkpoints import checkpoint_values
from albert_zh.tasks import model_fn
from albert_zh.tasks import settings as task_settings
import small_models
from workspace import Workspace, run_here

ROWS = np.float32([[1, 2], [3, -1], [0, 4], [2, 2]])
KERNEL = np.float32([[0.5], [-2.0]])


def test_gradients_add_up_to_those_of_the_mean_loss():
    """The loss is a mean of squares, whose gradient is computed with NumPy."""

    def losses_of(rows):
        kernel = tf.get_variable("kernel", initializer=KERNEL)
        tf.get_variable("unused", initializer=[1.0])
        loss = tf.reduce_mean(tf.matmul(rows["x"], kernel) ** 2)
        return loss, 2 * loss

    settings = task_settings.Settings()._replace(loss_scale=8.0)
    with tf.Graph().as_default(), tf.Session() as session:
        features = {"x": tf.constant(ROWS)}
        pairs, shown = model_fn.gradients_in_parts(losses_of, features, 2, settings)
        session.run(tf.global_variables_initializer())
        gradients = {variable.op.name: gradient for gradient, variable in pairs}
        assert gradients["unused"] is None
        gradient, shown = session.run([gradients["kernel"], shown])
    products = ROWS @ KERNEL
    np.testing.assert_allclose(gradient, 8.0 * ROWS.T @ products * 2 / 4, rtol=1e-6)
    assert shown == pytest.approx(2 * np.mean(products**2))


def trained_weights(folder, **changes):
    """Returns the weights after one epoch without dropout, from given initial weights."""
    workspace = Workspace(folder, num_train=32)
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    start = small_models.write_model(folder / "start", **dropout)
    given = {
        "bert_config_file": os.path.join(start, "albert_config.json"),
        "vocab_file": os.path.join(start, "vocab.txt"),
        "init_checkpoint": start,
        "num_train_epochs": 1,
        "do_eval": False,
        "do_predict": False,
    }
    run_here(workspace.arguments(**dict(given, **changes)))
    return checkpoint_values.read_weights(os.path.join(workspace.output, "model.ckpt-2"))


@pytest.mark.slow
@pytest.mark.reference
def test_training_gives_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(heads, "CLASSIFIER_DROPOUT", 0.0)  # masks of parts differ from the whole's
    whole = trained_weights(tmp_path / "whole")
    assert np.abs(whole["output_bias"]).max() > 0
    in_parts = trained_weights(tmp_path / "parts", gradient_accumulation_steps=4)
    assert set(whole) == set(in_parts)
    for name, weights in whole.items():
        np.testing.assert_allclose(in_parts[name], weights, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"gradient_accumulation_steps": 3}, "=16 is not a multiple of --gradient_acc.*=3"),
        ({"gradient_accumulation_steps": 2, "fgm_epsilon": 0.5}, "=2 and --fgm_epsilon, which"),
        ({"gradient_accumulation_steps": 0}, "gradient_accumulation_steps"),
    ],
)
def test_what_does_not_go_together_is_named(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        trained_weights(tmp_path, **changes)
