"""The layouts of other programs, NEZHA and ELECTRA, in every export format."""

import os

import numpy as np
import pytest

from albert_zh.commands import export_model
from albert_zh.inference import predictor
from albert_zh.model.checkpoints import checkpoint_files, checkpoint_values
from crossed_cases import with_slow
import small_models

pytestmark = pytest.mark.newest

LAYOUTS = {
    "nezha": {"embedding_size": None, "use_relative_position": True},
    "albert_relative": {"use_relative_position": True},
    "electra": {"model_type": "electra"},
}
TEXTS = [("今天天气", "明天天气很好"), ("怎么办理", "什么时候开门"), ("好", "今天")]


@pytest.fixture(name="model", scope="module", params=with_slow(sorted(LAYOUTS), ["nezha"]))
def model_fixture(request, tmp_path_factory):
    """Fixture: (folder, probabilities of `TEXTS`) of a classifier."""
    changes = LAYOUTS[request.param]
    folder = small_models.write_model(tmp_path_factory.mktemp("layouts") / "best", **changes)
    with predictor.Predictor(folder) as loaded:
        return folder, loaded.predict(TEXTS)[1]


@pytest.mark.parametrize("file_format", with_slow(["saved_model", "tflite", "onnx"], ["onnx"]))
def test_exported_models_predict_alike(model, tmp_path, file_format):
    folder, expected = model
    name = {"saved_model": "saved", "tflite": "model.tflite", "onnx": "model.onnx"}[file_format]
    path = str(tmp_path / name)
    if file_format == "onnx":
        pytest.importorskip("tf2onnx")
        pytest.importorskip("onnxruntime")
    arguments = ["--model_dir=" + folder, "--format=" + file_format, "--output=" + path]
    small_models.run_command(export_model, arguments)
    assert np.ptp(expected[:, 0]) > 0.01
    with predictor.Predictor(path) as loaded:
        np.testing.assert_allclose(loaded.predict(TEXTS)[1], expected, atol=1e-4)
    if file_format == "tflite":
        weights = checkpoint_values.read_weights(checkpoint_files.find_checkpoint(folder))
        size = sum(array.nbytes for array in weights.values())
        vectors = 128 * 128 * 8 * 4  # for all pairs of 128 positions, once for all layers
        assert os.path.getsize(path) < size + 40000 + vectors * (
            "electra" not in weights_scope(weights)
        )


def weights_scope(weights):
    """Returns the top-level scopes of a model's variables."""
    return {name.split("/")[0] for name in weights}
