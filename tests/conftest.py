"""Fixtures for all tests: the project on the path, the development data where it is there."""

import os
import sys

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHARED = os.path.join(ROOT, "..", "shared")
sys.path.insert(0, ROOT)

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

# Tests of what does not touch TensorFlow: one run, on the newer Python, tells all; that the older
# one can read the files is the business of test_sources.py. With --slow they run there, too.
if sys.version_info < (3, 8) and "--slow" not in sys.argv:
    collect_ignore = [
        "test_%s.py" % name
        for name in (
            "android build_vocab corpus create_pretraining_data data_checks deploy fetch_assets "
            "inspect_tfrecord micro_batching pairs_sample pretraining_runner readme setup "
            "topics_sample"
        ).split()
    ]


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="also run end-to-end tests of minutes")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--slow"):
        return
    skip = pytest.mark.skip(reason="takes minutes; run with --slow")
    for item in items:
        if "slow" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(scope="session")
def shared():
    """The development data beside the checkout; a user's machine has none."""
    if not os.path.isdir(SHARED):
        pytest.skip("needs ../shared, the developers' data, which is not here")
    return SHARED
