"""Fixtures for all tests: the project on the path, the development data where it is there."""

import os
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHARED = os.path.join(ROOT, "..", "shared")
sys.path.insert(0, ROOT)

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

# On TensorFlow 1.15 run the tests of rooms that build graphs, and of one command from end to end.
# The others run there with --slow only: what does not touch TensorFlow is the same on both (that
# the older Python can read the files is the business of test_sources.py), and further commands
# stand on the same rooms.
IS_OLD_PYTHON = sys.version_info < (3, 8)
if IS_OLD_PYTHON and "--slow" not in sys.argv:
    collect_ignore = [
        "test_%s.py" % name
        for name in (
            "android build_vocab classify cli_run_classifier_multiclass cli_run_pretraining "
            "config_flag convert corpus create_pretraining_data data_checks deploy dev_split "
            "doc_snippets export_model exported_models fetch_assets fill_mask "
            "fine_tuning_benchmark inspect_checkpoint inspect_tfrecord installed_package "
            "lexical_index micro_batching migration pairs_sample predictor pretraining_runner "
            "python_api readme results_benchmark run_classifier_sp_google search serving setup "
            "similarity starter_model text_encoder topics_sample train_starter validation"
        ).split()
    ]


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="also run end-to-end tests of minutes")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--slow"):
        return
    reasons = {"slow": "takes minutes; run with --slow"}
    if IS_OLD_PYTHON:
        reasons["newest"] = "as on TensorFlow 2.15; run with --slow"
    for mark, reason in reasons.items():
        for item in items:
            if mark in item.keywords:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def shared():
    """The development data beside the checkout; a user's machine has none."""
    if not os.path.isdir(SHARED):
        pytest.skip("needs ../shared, the developers' data, which is not here")
    return SHARED


@pytest.fixture
def recomputed_chains(monkeypatch):
    """A list that gets the number of layers of each chain that is built to be recomputed."""
    from albert_zh.model import encoder

    chains = []
    build = encoder.recomputed_chain

    def spy(functions, x):
        chains.append(len(functions))
        return build(functions, x)

    monkeypatch.setattr(encoder, "recomputed_chain", spy)
    return chains
