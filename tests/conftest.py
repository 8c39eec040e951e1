"""Fixtures for all tests: the project on the path, the development data where it is there."""

import collections
import os
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHARED = os.path.join(ROOT, "..", "shared")
sys.path.insert(0, ROOT)

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

# On TensorFlow 1.15 the tests of modules that build graphs run, and those of one command from end
# to end. The others run there with --slow only: what does not touch TensorFlow is the same on both
# (project/test_sources.py tests that the older Python can read the files), and the other commands
# use the same modules.
IS_OLD_PYTHON = sys.version_info < (3, 8)
if IS_OLD_PYTHON and "--slow" not in sys.argv:
    collect_ignore = ["conversion/test_convert.py", "inference"] + [
        "%s/test_%s.py" % (folder, name)
        for folder, names in (
            (
                "commands",
                "build_vocab classify create_pretraining_data fill_mask inspect_checkpoint "
                "inspect_tfrecord run_classifier_multiclass run_classifier_sp_google "
                "run_pretraining similarity",
            ),
            ("common", "config_flag validation"),
            ("corpus", "pipeline reader"),
            ("export", "exported_models formats"),
            (
                "project",
                "android deploy doc_snippets fetch_assets fine_tuning_benchmark "
                "installed_package migration pairs_sample python_api questions_sample readme "
                "results_benchmark setup starter_model topics_sample train_starter",
            ),
            ("tasks", "data_checks dev_split"),
        )
        for name in names.split()
    ]

# Few tests of many seconds each. They are run first, else one process may be left with the last of
# them while the other has nothing to do.
LONG_FILES = [
    os.path.join(*path.split("/")) + ".py"
    for path in (
        "pretraining/test_remote_storage finetuning/test_remote_storage pretraining/test_model_fn "
        "pretraining/test_replaced_tokens commands/test_google_flags commands/test_run_pretraining "
        "tasks/labelling/test_labelling_kind tasks/reading/test_kind tasks/test_task_type "
        "model/test_training_golden finetuning/test_recompute compatibility/test_pretraining "
        "compatibility/test_classification project/test_python_api project/test_train_starter "
        "project/test_fine_tuning_benchmark"
    ).split()
]


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="also run end-to-end tests of minutes")


def pytest_collection_modifyitems(config, items):
    tests_of_files = collections.Counter(str(item.fspath) for item in items)
    items.sort(  # files in the order in which processes take them, see --no-loadscope-reorder
        key=lambda item: (
            not str(item.fspath).endswith(tuple(LONG_FILES)),
            -tests_of_files[str(item.fspath)],
        )
    )
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
