"""bert4keras loads a checkpoint of ours in the google layout and computes the same outputs.

The test needs TensorFlow 1.15, since bert4keras cannot be imported on 2.15, and installs
bert4keras into a temporary folder:

    bash scripts/run_tests_tf1.sh --slow tests/conversion/test_bert4keras.py
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.model.checkpoints import model_writer
import golden_cases

VERSION = "0.11.5"
# By default, bert4keras uses the erf form of GELU.
SCRIPT = """
import sys
import numpy as np
from bert4keras.backend import set_gelu
from bert4keras.models import build_transformer_model

folder = sys.argv[1]
set_gelu("tanh")
model = build_transformer_model(
    folder + "/albert_config.json", folder + "/albert_model.ckpt", model="albert", with_pool=%s
)
inputs = np.load(folder + "/inputs.npz")
np.save(folder + "/output.npy", model.predict([inputs["ids"], inputs["segments"]]))
"""


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Environment variables under which Python finds bert4keras."""
    if not tf.__version__.startswith("1.15"):
        pytest.skip("bert4keras %s needs TensorFlow 1.15 (scripts/run_tests_tf1.sh)" % VERSION)
    folder = str(tmp_path_factory.mktemp("bert4keras"))
    # With TF_KERAS=1, bert4keras uses TensorFlow's Keras, so its dependency keras is not needed.
    arguments = ["install", "--quiet", "--no-deps", "--target", folder, "bert4keras==" + VERSION]
    result = subprocess.run([sys.executable, "-m", "pip"] + arguments, capture_output=True)
    if result.returncode:
        pytest.skip("bert4keras cannot be installed: no package index can be reached")
    return dict(os.environ, PYTHONPATH=folder, TF_KERAS="1", CUDA_VISIBLE_DEVICES="")


@pytest.mark.slow
@pytest.mark.parametrize(
    "with_pool, output", [("False", "sequence_output"), ("'tanh'", "pooled_output")]
)
def test_output_of_bert4keras_is_ours(tmp_path, environment, with_pool, output):
    config, _, arrays, values = golden_cases.load_case("google_small")
    with open(str(tmp_path / "albert_config.json"), "w") as handle:
        json.dump(config.to_dict(), handle)
    model_writer.write_model_checkpoint(str(tmp_path), values)
    mask = arrays["in/input_mask"]
    ids = arrays["in/input_ids"] * mask  # bert4keras treats token 0 as padding
    assert np.array_equal(ids > 0, mask > 0)
    np.savez(str(tmp_path / "inputs.npz"), ids=ids, segments=arrays["in/segment_ids"])
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT % with_pool, str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    actual, expected = np.load(str(tmp_path / "output.npy")), arrays["out/" + output]
    if output == "sequence_output":  # the outputs of padding are meaningless
        actual, expected = actual[mask > 0], expected[mask > 0]
    golden_cases.assert_close(actual, expected)
