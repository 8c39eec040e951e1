"""--recompute of the training commands: the same model, whatever is kept in memory."""

import os

import numpy as np

import checkpoints
import modeling
from workspace import Workspace, run_here


def trained_weights(folder, **changes):
    """Weights after an epoch with dropout."""
    workspace = Workspace(folder, num_train=32)
    run_here(
        workspace.arguments(
            num_train_epochs=1, learning_rate=1e-3, do_eval=False, do_predict=False, **changes
        )
    )
    return checkpoints.read_weights(os.path.join(workspace.output, "model.ckpt-2"))


def test_training_gives_the_same_weights(tmp_path, monkeypatch):
    chains = []
    build = modeling.recomputed_chain

    def spy(functions, x):
        chains.append(len(functions))
        return build(functions, x)

    monkeypatch.setattr(modeling, "recomputed_chain", spy)
    plain = trained_weights(tmp_path / "plain")
    assert chains == []
    again = trained_weights(tmp_path / "again", recompute=True)
    assert chains == [2]  # the layers of the training graph
    assert set(plain) == set(again)
    for name, value in plain.items():
        np.testing.assert_allclose(again[name], value, atol=1e-5, err_msg=name)
