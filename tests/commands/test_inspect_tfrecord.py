"""Tests of inspect_tfrecord.py: what it shows, and the faults it finds."""

import os
import struct
import subprocess
import sys

from absl.testing import flagsaver
import numpy as np
import pytest

from albert_zh.commands import inspect_tfrecord
from albert_zh.common.errors import UserError
from albert_zh.corpus import tfrecords
import isolated_flags
from workspace import ROOT

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "天", "气", "很", "好", "ab", "##c"]
S, P = 12, 4


def record(**changes):
    """Returns [CLS] 天 气(masked) ab ##c(random) [SEP] 很(unchanged) 好 [SEP], swapped."""
    features = {
        "input_ids": [2, 5, 4, 9, 8, 3, 7, 8, 3, 0, 0, 0],
        "input_mask": [1] * 9 + [0] * 3,
        "segment_ids": [0] * 6 + [1] * 3 + [0] * 3,
        "masked_lm_positions": [2, 4, 6, 0],
        "masked_lm_ids": [6, 10, 7, 0],
        "masked_lm_weights": [1.0, 1.0, 1.0, 0.0],
        "next_sentence_labels": [1],
    }
    features.update(changes)
    return {
        name: np.array([values], np.float32 if name == "masked_lm_weights" else np.int64)
        for name, values in features.items()
        if values is not None
    }


@pytest.fixture
def inspect(tmp_path, capsys):
    """Returns a function that writes records and returns what the command prints about them."""
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("\n".join(TOKENS) + "\n", encoding="utf-8")

    def call(*records, **settings):
        path = str(tmp_path / "records")
        payloads = [p for features in records for p in tfrecords.encode_examples(features)]
        with open(path, "wb") as handle:
            handle.write(b"".join(tfrecords.frame_records(payloads)))
        with flagsaver.flagsaver(**dict({"vocab_file": str(vocabulary)}, **settings)):
            inspect_tfrecord.run([path])
        return capsys.readouterr().out

    call.path = str(tmp_path / "records")
    with isolated_flags.flags_of([], inspect_tfrecord.define_flags):
        yield call


def test_records_are_shown_as_text(inspect):
    out = inspect(record(), record(), num=1)
    assert out.split("\n")[:3] == [
        "record 1: 9 of 12 pieces, 3 predicted, label 1 (B before A, or from elsewhere)",
        "  A: [CLS]天[气]ab[c as 好][SEP]",
        "  B: [很 kept]好[SEP]",
    ]
    assert out.endswith("records: 2 records\n") and "record 2" not in out
    colored = inspect(record(), color="always")
    for text in ("\033[1;31m气\033[0m", "\033[1;33mc as 好\033[0m", "\033[1;32m很 kept\033[0m"):
        assert text in colored
    assert "  A:  2  5 [ 6  as  4 ]" in inspect(record(), vocab_file=None)


def test_a_record_of_one_segment_has_no_order(inspect):
    features = record()
    features["segment_ids"] = np.zeros_like(features["segment_ids"])
    first, text, end = inspect(features, num=1).strip().split("\n")
    assert first.endswith("label 1 (one segment)")
    assert text == "  A: 天[气]ab[c as 好][SEP][很 kept]好[SEP]".replace("天", "[CLS]天")
    assert end.endswith("1 records")


def test_a_right_file_is_told(inspect):
    out = inspect(*[record()] * 7, check=True, num=0)
    assert "checked: all 7 records are valid" in out
    assert "average length             9.0 pieces" in out
    zeros = {"masked_lm_positions": [0] * 4, "masked_lm_ids": [0] * 4}
    nothing = record(masked_lm_weights=[0.0] * 4, **zeros)  # its words are too long to mask
    assert "checked: all 2 records are valid" in inspect(record(), nothing, check=True, num=0)
    dynamic = record(
        masked_lm_positions=None,
        masked_lm_ids=None,
        masked_lm_weights=None,
        token_boundary=[1, 1, 0, 1, 0, 1, 1, 1, 1, 0, 0, 0],
    )
    out = inspect(dynamic, check=True)
    assert "masked in training" in out and "all 1 records are valid" in out


def test_every_line_of_the_vocabulary_has_an_id(inspect, tmp_path):
    path = tmp_path / "equal_entries.txt"
    path.write_text("\n".join(TOKENS[:5] + ["天", "天"] + TOKENS[7:]) + "\n", encoding="utf-8")
    out = inspect(record(), check=True, vocab_file=str(path))  # has id 10, as there are 11 lines
    assert "checked: all 1 records are valid" in out


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"input_mask": [1] * 8 + [0, 1, 0, 0]}, "input_mask is not ones and then zeros"),
        ({"input_ids": [2, 5, 4, 9, 8, 3, 7, 8, 3, 0, 0, 6]}, "not 0 after the sequence"),
        ({"segment_ids": [0] * 5 + [1, 0, 1, 1] + [0] * 3}, "segment_ids are not zeros, then"),
        ({"next_sentence_labels": [2]}, "next_sentence_labels is not 0 or 1"),
        ({"input_ids": [5, 5, 4, 9, 8, 3, 7, 8, 3, 0, 0, 0]}, r"no \[CLS\] at the start"),
        ({"input_ids": [2, 5, 4, 9, 8, 3, 7, 8, 8, 0, 0, 0]}, r"no \[SEP\] at the end"),
        ({"input_ids": [2, 5, 4, 99, 8, 3, 7, 8, 3, 0, 0, 0]}, "an id outside the vocabulary"),
        ({"masked_lm_weights": [1.0, 0, 1, 0]}, "masked_lm_weights are not ones and then"),
        ({"masked_lm_positions": [2, 5, 6, 0]}, r"\[CLS\], \[SEP\] or padding is to be pre"),
        ({"masked_lm_positions": [4, 2, 6, 0]}, "masked_lm_positions do not ascend"),
        ({"masked_lm_positions": [2, 4, 60, 0]}, "a masked position outside the sequence"),
        ({"masked_lm_ids": [6, 10, 7, 5]}, "not 0 after the predictions"),
        ({"masked_lm_ids": [6, 10, 70, 0]}, "a label outside the vocabulary"),
        ({"token_boundary": [1] * 12}, "features .* but the records before it have"),
    ],
)
def test_wrong_records_are_named(changes, message, inspect):
    with pytest.raises(UserError, match="record 2.*" + message):
        inspect(record(), record(**changes), record(), check=True, num=0)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"input_mask": [1] * 9}, "input_ids, input_mask, segment_ids are of different lengths"),
        ({"next_sentence_labels": [1, 0]}, "next_sentence_labels has 2 values"),
        ({"masked_lm_ids": None}, "masked_lm_weights: expected all of them"),
        ({"masked_lm_ids": [6, 10, 7, 0, 0]}, "masked_lm_weights: expected all of them"),
    ],
)
def test_records_of_no_form_are_named(changes, message, inspect):
    with pytest.raises(UserError, match="record 1: .*" + message):
        inspect(record(**changes), check=True)


def test_numbers_of_the_wrong_kind_are_named(inspect):
    floats = dict(record(), input_mask=np.ones((1, 12), np.float32))
    with pytest.raises(UserError, match="input_mask is of kind float_list, expected int64_list"):
        inspect(floats, check=True)


def test_a_file_that_may_not_be_read(inspect, monkeypatch):
    inspect(record())

    def refuse(path):
        raise inspect_tfrecord.tf.errors.PermissionDeniedError(None, None, path)

    monkeypatch.setattr(inspect_tfrecord.tf.python_io, "tf_record_iterator", refuse)
    with pytest.raises(UserError, match="cannot be read: no permission"):
        inspect(record())


def test_files_that_are_no_records(inspect, tmp_path):
    inspect(record(), record(), num=0)
    with open(inspect.path, "rb") as handle:
        content = handle.read()
    payloads = tfrecords.encode_examples({"input_ids": np.array([[1, 2, 3]])})
    other = b"".join(tfrecords.frame_records(payloads))
    damaged = bytearray(content)
    damaged[40] ^= 1
    for wrong, message in (
        (content[:-5], "record 2 is truncated: the file ends in it: create it again"),
        (bytes(damaged), "record 1: damaged or not a TFRecord file"),
        (
            b"only text, and no record in it",
            "record 1 is damaged, or the file is not a TFRecord file .*: create",
        ),
        (other, "record 1: no input_mask and segment_ids: .*, found features input_ids"),
    ):
        path = str(tmp_path / "other")
        with open(path, "wb") as handle:
            handle.write(wrong)
        with pytest.raises(UserError, match=message), flagsaver.flagsaver(num=1, check=False):
            inspect_tfrecord.run([path])
    with pytest.raises(UserError, match="nowhere: no such file"):
        inspect_tfrecord.run([os.path.join(str(tmp_path), "nowhere")])
    with pytest.raises(UserError, match="expected one file, found 0"):
        inspect_tfrecord.run([])


def test_a_length_that_no_file_has_is_told(tmp_path):
    """With a valid checksum, TensorFlow's reader would allocate memory for the given length."""
    length = struct.pack("<Q", 1 << 62)
    path = tmp_path / "records"
    path.write_bytes(length + tfrecords.masked_checksums([length])[0] + b"abc")
    command = [sys.executable, os.path.join(ROOT, "inspect_tfrecord.py"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "records, record 1 is truncated: the file ends in it" in done.stderr
    assert not tfrecords.is_whole(str(path))
    path.write_bytes(tfrecords.frame_records([b"abcdefgh"])[0])
    assert tfrecords.is_whole(str(path))
