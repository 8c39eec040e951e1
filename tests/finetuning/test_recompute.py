"""--recompute in fine-tuning: recomputing activations does not change the trained model."""

import os

import numpy as np
import pytest

from albert_zh.model.checkpoints import checkpoint_values
from workspace import Workspace, run_here

pytestmark = pytest.mark.rewritten_graphs


def trained_weights(folder, **changes):
    """Returns the weights after one epoch with dropout."""
    workspace = Workspace(folder, num_train=32)
    run_here(
        workspace.arguments(
            num_train_epochs=1, learning_rate=1e-3, do_eval=False, do_predict=False, **changes
        )
    )
    return checkpoint_values.read_weights(os.path.join(workspace.output, "model.ckpt-2"))


@pytest.mark.slow
@pytest.mark.newest
def test_training_gives_the_same_weights(tmp_path, recomputed_chains):
    plain = trained_weights(tmp_path / "plain")
    assert recomputed_chains == []
    again = trained_weights(tmp_path / "again", recompute=True)
    assert recomputed_chains == [2]  # number of layers in the training graph
    assert set(plain) == set(again)
    for name, value in plain.items():
        np.testing.assert_allclose(again[name], value, atol=1e-5, err_msg=name)
