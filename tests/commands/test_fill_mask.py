"""Tests of fill_mask.py: the words predicted for [MASK]."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.commands import fill_mask
from albert_zh.common import files, package_files
from albert_zh.common.errors import UserError
from albert_zh.model import modeling
from albert_zh.model.checkpoints import (
    checkpoint_files,
    checkpoint_matching,
    checkpoint_values,
    model_folder,
    model_writer,
)
import small_models
from workspace import ROOT, VOCABULARY


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_models.write_model(tmp_path_factory.mktemp("models") / "pretrained")


@pytest.fixture(scope="module")
def filler(folder):
    with fill_mask.MaskFiller(folder) as loaded:
        yield loaded


def test_words_are_those_of_the_masked_lm_head(folder, filler):
    tokens = ["[CLS]", "今", "[MASK]", "气", "[MASK]", "[SEP]"]
    ids = [[VOCABULARY.index(token) for token in tokens]]
    with tf.Graph().as_default(), tf.Session() as session:
        config = modeling.AlbertConfig.from_json_file(model_folder.config_in_folder(folder))
        model = modeling.AlbertModel(config, False, tf.constant(ids))
        positions = tf.constant([[2, 4]])
        head = modeling.masked_lm_head(config, model, positions, positions, tf.ones([1, 2]))
        checkpoint_matching.initialize_from(
            checkpoint_files.find_checkpoint(folder), tf.trainable_variables()
        )
        session.run(tf.global_variables_initializer())
        expected = np.exp(session.run(head.log_probs))  # [2, V]
    filled = filler.fill("今[MASK]气[MASK]", top_k=3)
    assert len(filled) == 2
    for words, row in zip(filled, expected):
        assert [word for word, _ in words] == [VOCABULARY[i] for i in np.argsort(-row)[:3]]
        np.testing.assert_allclose([p for _, p in words], np.sort(row)[::-1][:3], atol=1e-5)
    everything = filler.fill("[MASK]", top_k=10**6)[0]
    assert len(everything) == len(VOCABULARY)
    assert abs(sum(p for _, p in everything) - 1) < 1e-4


def test_letters_keep_their_case_where_the_folder_says_so(tmp_path):
    settings = {"do_lower_case": False}
    cased = small_models.write_model(tmp_path / "cased", settings=settings)

    def word(**given):
        with fill_mask.MaskFiller(cased, **given) as loaded:
            return loaded.fill("A[MASK]", top_k=1)

    assert word() == word(do_lower_case=False) != word(do_lower_case=True)


@pytest.mark.parametrize(
    "text, message",
    [
        ("今天", r"'今天' has no \[MASK\]"),
        ("今" * 63 + "[MASK]", "the text has 66 tokens, but the model takes at most 64"),
        (None, "text 0 is None"),
        (("今[MASK]", "天"), "found a pair"),
    ],
)
def test_texts_that_cannot_be_filled(filler, text, message):
    with pytest.raises(UserError, match=message):
        filler.fill(text)


def test_other_checkpoints_are_told(folder, tmp_path):
    classifier = str(tmp_path / "classifier")
    model_writer.replace_model_folder(
        classifier,
        checkpoint_files.find_checkpoint(folder),
        {
            name: files.read_bytes(os.path.join(folder, name))
            for name in ("albert_config.json", "vocab.txt")
        },
    )
    weights = checkpoint_values.read_weights(checkpoint_files.find_checkpoint(classifier))
    kept = {name: value for name, value in weights.items() if not name.startswith("cls/")}
    model_writer.write_model_checkpoint(classifier, kept)
    with pytest.raises(UserError, match="cls/predictions.*expected a checkpoint of pre-training"):
        fill_mask.MaskFiller(classifier)


def test_the_pretrained_model_at_hand_is_the_default(folder, filler, monkeypatch, capsys):
    monkeypatch.setattr(package_files, "ROOT", os.path.dirname(folder))
    monkeypatch.setattr(model_folder, "PRETRAINED", ("absent", "pretrained"))
    small_models.run_command(fill_mask, ["--top_k=1"], ["今[MASK]"])
    shown = capsys.readouterr()
    assert shown.out == "今[MASK]\t1\t%s %.4f\n" % filler.fill("今[MASK]", top_k=1)[0][0]
    assert shown.err == "model: %s\n" % os.path.relpath(folder)


def test_a_line_that_cannot_be_filled_is_named(folder, monkeypatch, capsys):
    lines = io.TextIOWrapper(io.BytesIO("今[MASK]\n今天\n".encode()))
    monkeypatch.setattr(sys, "stdin", lines)
    with pytest.raises(UserError, match=r"^standard input, line 2: '今天' has no \[MASK\]"):
        small_models.run_command(fill_mask, ["--model_dir=" + folder], [])
    assert capsys.readouterr().out.startswith("今[MASK]\t1\t")


def test_blank_lines_are_left_out_and_tabs_shift_no_columns(folder, filler, monkeypatch, capsys):
    lines = io.TextIOWrapper(io.BytesIO("\n今\t[MASK]\n \n".encode()))
    monkeypatch.setattr(sys, "stdin", lines)
    small_models.run_command(fill_mask, ["--model_dir=" + folder, "--top_k=1"], [])
    shown = capsys.readouterr()
    assert shown.out == "今 [MASK]\t1\t%s %.4f\n" % filler.fill("今[MASK]", top_k=1)[0][0]
    assert shown.err.splitlines()[1:] == ["note: skipped 2 empty lines of standard input"]


def test_unknown_words_are_noted(folder, capsys):
    small_models.run_command(fill_mask, ["--model_dir=" + folder], ["今鑫[MASK]"])
    assert (
        "note: the texts: 50.0 % of the word pieces are unknown to the vocabulary, most often 鑫: "
        "the model cannot tell them apart\n"
    ) in capsys.readouterr().err


def test_command(folder, filler):
    command = [sys.executable, os.path.join(ROOT, "fill_mask.py"), "--model_dir=" + folder]
    result = subprocess.run(
        command + ["--top_k=2"],
        input="今天天[MASK]很[MASK]\n明天[MASK]\n".encode(),
        capture_output=True,
    )
    assert result.returncode == 0, result.stderr
    rows = [line.split("\t") for line in result.stdout.decode("utf-8").splitlines()]
    assert [row[:2] for row in rows] == [
        ["今天天[MASK]很[MASK]", "1"],
        ["今天天[MASK]很[MASK]", "2"],
        ["明天[MASK]", "1"],
    ]
    expected = filler.fill("明天[MASK]", top_k=2)[0]
    assert rows[2][2:] == ["%s %.4f" % word for word in expected]
