"""Tests of test_changes.py: each figure that it shows, and its whole output."""

import os
import subprocess
import sys

import pytest
import tensorflow.compat.v1 as tf

from albert_zh.model import modeling
from workspace import ROOT

sys.path.insert(0, ROOT)
from albert_zh.commands import test_changes as changes


def test_factorized_embedding_of_the_paper():
    table = changes.word_table(modeling.AlbertConfig(**changes.PAPER_SIZES))
    assert table == (122880000, 4364288) == (30000 * 4096, 30000 * 128 + 128 * 4096)
    assert round(table.plain / table.factorized) == 28


@pytest.mark.parametrize(
    "name, plain, factorized",
    [
        ("albert_config_tiny.json", 21128 * 312, 21128 * 128 + 128 * 312),
        ("albert_config_xxlarge.json", 21128 * 4096, 21128 * 128 + 128 * 4096),
        ("albert_config_small_google.json", 21128 * 384, 21128 * 128 + 128 * 384),
        ("bert_config.json", 21128 * 768, 21128 * 768),
    ],
)
def test_factorized_embedding_of_the_configs(name, plain, factorized):
    path = os.path.join(ROOT, "albert_config", name)
    config = modeling.AlbertConfig.from_json_file(path)
    assert changes.word_table(config) == (plain, factorized)


def test_sharing():
    unshared = dict(changes.SHARED_SIZES, embedding_size=None)
    assert changes.encoder_parameters(modeling.AlbertConfig(**unshared)) == 125976576
    assert (
        changes.encoder_parameters(modeling.AlbertConfig(**changes.SHARED_SIZES))
        == 10498048
        == 125976576 // 12
    )


def test_sentence_order():
    pairs = changes.sentence_order_pairs(changes.DOCUMENT)
    assert sorted(pairs) == [0, 1]
    for label, pair in pairs.items():
        assert pair.label == label
        assert changes.is_in_order(pair, changes.DOCUMENT) == (label == 0)
        assert len(pair.text_a) > 5 and len(pair.text_b) > 5
        assert "[UNK]" not in pair.text_a + pair.text_b


@pytest.mark.slow
@pytest.mark.slow
@pytest.mark.newest
def test_the_command_shows_all_of_it():
    result = subprocess.run(
        [sys.executable, os.path.join(ROOT, "test_changes.py")],
        capture_output=True,
        encoding="utf-8",
        env=dict(os.environ, PYTHONIOENCODING="utf-8"),
    )
    assert result.returncode == 0, result.stderr
    for text in (
        "122.88 M →   4.36 M   少到 1/28  28 times fewer",
        "125,976,576 → 10,498,048   1/12",
        "标签 label 0 (顺序正确 in order)",
        "标签 label 1 (前后对调 swapped)",
        "albert_config_xxlarge.json",
    ):
        assert text in result.stdout


@pytest.mark.slow
def test_the_originals_names():
    """Users' scripts call the functions by these names."""
    for name in ("factorized_embedding", "share_parameters", "sentence_order_prediction"):
        assert getattr(changes, "test_" + name)() is None
    with tf.Graph().as_default():
        tf.get_variable("a", [3, 5])
        tf.get_variable("b", [2], trainable=False)
        assert changes.get_total_parameters() == 15


@pytest.mark.slow
def test_a_figure_that_is_wrong_ends_the_command(monkeypatch):
    monkeypatch.setattr(changes, "SHARED_COUNTS", (1, 2))
    with pytest.raises(changes.UserError, match="125976576"):
        changes.test_share_parameters()
