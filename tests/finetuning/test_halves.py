"""Training on both halves of a batch in parallel gives the same model as on whole batches."""

import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh import finetuning
from albert_zh.model import encoder, xla
from albert_zh.model.checkpoints import checkpoint_values
import small_models
import tiny_tasks
from workspace import Workspace, assert_same_weights

pytestmark = pytest.mark.rewritten_graphs


@pytest.fixture
def halves(monkeypatch):
    """Returns a list to which a True is added for each graph that computes in halves."""
    usual, called = encoder.encoder_layers_in_halves, []

    def listed(*args, **kwargs):
        called.append(True)
        return usual(*args, **kwargs)

    monkeypatch.setattr(encoder, "encoder_layers_in_halves", listed)
    return called


def trained(folder, family, num_threads, num_steps, **changes):
    """Trains some steps from given weights, without dropout; returns the checkpoint's prefix."""
    workspace = Workspace(folder)
    dropout = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    start = small_models.write_model(folder / "start", **dropout)
    data = os.path.join(workspace.folder, tiny_tasks.write(workspace, family))
    finetuning.run(
        bert_config_file=os.path.join(start, "albert_config.json"),
        vocab_file=os.path.join(start, "vocab.txt"),
        init_checkpoint=start,
        output_dir=workspace.output,
        num_threads=num_threads,
        learning_rate=3e-3,
        train_step=num_steps,
        train_batch_size=8,
        max_seq_length=24,
        do_train=True,
        **dict(tiny_tasks.settings_of(data, family), **changes),
    )
    return os.path.join(workspace.output, "model.ckpt-%d" % num_steps)


def first_gradients(prefix):
    """Returns {name: a tenth of the first step's gradient} from the checkpoint after this step."""
    saved = tf.train.load_checkpoint(prefix)
    names = [name for name in saved.get_variable_to_shape_map() if name.endswith("/adam_m")]
    return {name: saved.get_tensor(name) for name in names}


@pytest.mark.skipif(not xla.pays(), reason="operations are shared where XLA does not pay")
@pytest.mark.slow
@pytest.mark.parametrize(
    "family", ["sequence_labelling", "reading_comprehension", "sentence_embedding"]
)
def test_halves_give_the_same_gradients(tmp_path, family, halves):
    """Gradients differ by rounding only; Adam normalizes them, so weights may differ by more."""
    whole = first_gradients(trained(tmp_path / "whole", family, 1, 1))
    assert not halves
    in_halves = first_gradients(trained(tmp_path / "halves", family, 2, 1))
    assert halves
    assert sorted(whole) == sorted(in_halves)
    assert len(whole) > 20
    for name, gradient in whole.items():
        rounding = 1e-9 + 1e-6 * np.abs(gradient).max()  # key/bias: only rounding errors
        np.testing.assert_allclose(in_halves[name], gradient, rtol=0, atol=rounding, err_msg=name)


@pytest.mark.skipif(not xla.pays(), reason="operations are shared where XLA does not pay")
@pytest.mark.slow
@pytest.mark.parametrize("family", ["sequence_labelling", "reading_comprehension"])
def test_training_gives_the_same_weights(tmp_path, family, halves):
    whole = checkpoint_values.read_weights(trained(tmp_path / "whole", family, 1, 3))
    in_halves = checkpoint_values.read_weights(trained(tmp_path / "halves", family, 2, 3))
    assert halves
    assert_same_weights(whole, in_halves, atol=5e-5)  # the learning rate is 3e-3


@pytest.mark.slow
@pytest.mark.newest
def test_views_by_dropout_are_not_computed_in_halves(tmp_path, halves):
    """Dropout with the same seed has to be the same on every machine."""
    trained(tmp_path, "sentence_embedding", 2, 1, dropout=0.1)
    assert not halves
