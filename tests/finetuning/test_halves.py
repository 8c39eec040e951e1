"""Training in halves of a batch side by side: the same model as of whole batches."""

import os

import pytest

from albert_zh import finetuning
from albert_zh.model import checkpoint_values, encoder, xla
import small_models
import tiny_tasks
from workspace import Workspace, assert_same_weights

pytestmark = pytest.mark.rewritten_graphs


@pytest.fixture
def halves(monkeypatch):
    """Lists a True for each graph that is made of halves."""
    usual, called = encoder.encoder_layers_in_halves, []

    def listed(*args, **kwargs):
        called.append(True)
        return usual(*args, **kwargs)

    monkeypatch.setattr(encoder, "encoder_layers_in_halves", listed)
    return called


def trained_weights(folder, family, num_threads, **changes):
    """Weights after an epoch without dropout, from given weights."""
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
        num_train_epochs=1,
        train_batch_size=8,
        max_seq_length=24,
        do_train=True,
        **dict(tiny_tasks.settings_of(data, family), **changes),
    )
    return checkpoint_values.read_weights(os.path.join(workspace.output, "model.ckpt-3"))


@pytest.mark.skipif(not xla.pays(), reason="operations are shared where XLA does not pay")
@pytest.mark.slow
@pytest.mark.parametrize(
    "family", ["sequence_labelling", "reading_comprehension", "sentence_embedding"]
)
def test_training_gives_the_same_weights(tmp_path, family, halves):
    whole = trained_weights(tmp_path / "whole", family, 1)
    assert not halves
    in_halves = trained_weights(tmp_path / "halves", family, 2)
    assert halves
    assert_same_weights(whole, in_halves, atol=5e-5)  # steps are 3e-3 wide


@pytest.mark.slow
@pytest.mark.newest
def test_views_by_dropout_are_not_computed_in_halves(tmp_path, halves):
    """The same seed drops the same on any machine."""
    trained_weights(tmp_path, "sentence_embedding", 2, dropout=0.1)
    assert not halves
