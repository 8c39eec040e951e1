"""Compares whitened model folders with NumPy."""

import json
import os

import numpy as np
import pytest

from albert_zh.common.errors import UserError
from albert_zh.inference.retrieval import whitening
from albert_zh.inference.text_encoder import TextEncoder
from albert_zh.model import sentence_vectors
from albert_zh.model.sentence_vectors import SentenceNotes
from project_root import ROOT
import small_models
from workspace import CHARACTERS

GOLDEN = np.load(os.path.join(ROOT, "tests", "golden", "embedding", "whitening.npz"))
TEXTS = [CHARACTERS[start : start + 2 + start % 5] for start in range(24)] + list(CHARACTERS[:20])


def cosines(vectors):
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors @ vectors.T


def test_it_is_the_golden():
    kernel, bias = whitening.fitted(GOLDEN["vectors"], 4)
    np.testing.assert_allclose(bias, -GOLDEN["mean"].ravel() @ kernel, atol=1e-5)
    values = GOLDEN["singular_values"]
    np.testing.assert_allclose(np.linalg.norm(kernel, axis=0), values[:4] ** -0.5, rtol=1e-5)
    found = cosines(GOLDEN["vectors"] @ kernel + bias)
    np.testing.assert_allclose(found, GOLDEN["cosines_k4"], atol=1e-5)


def test_vectors_are_without_correlation_and_the_widest_directions_come_first():
    vectors = np.random.RandomState(2).normal(size=(500, 8)) @ np.diag(np.arange(1, 9)) + 3
    for width in (8, 3):
        kernel, bias = whitening.fitted(vectors, width)
        white = vectors @ kernel + bias
        np.testing.assert_allclose(white.mean(axis=0), 0, atol=1e-5)
        np.testing.assert_allclose(np.cov(white, rowvar=False), np.eye(width), atol=1e-4)
        assert np.abs(kernel[:, 0]).argmax() == 7
    kernel, bias = whitening.fitted(vectors, 8, power=0.5)
    variances = np.linalg.svd(np.cov(vectors.T))[1]
    found = np.cov(vectors @ kernel + bias, rowvar=False)
    np.testing.assert_allclose(found, np.diag(variances**0.5), atol=1e-4)
    again, _ = whitening.fitted(vectors[::-1], 8)
    np.testing.assert_allclose(again, whitening.fitted(vectors, 8)[0], atol=1e-5)  # also the signs


def test_too_few_texts_are_refused():
    with pytest.raises(UserError, match="fitted to 5 different texts, expected 7") as error:
        whitening.fitted(np.random.RandomState(1).normal(size=(5, 8)), 6)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "notes",
    [
        None,
        pytest.param(SentenceNotes("mean", True, 16, 24), marks=pytest.mark.slow),
        SentenceNotes("max", False, 8, 24, (12, 8), 12),
    ],
)
def test_the_folder_is_followed_without_flags(tmp_path, notes):
    source = str(tmp_path / "model")
    if notes is None:
        small_models.write_model(source)
    else:
        small_models.write_embedding_model(source, notes)
    with TextEncoder(source) as encoder:
        vectors = encoder.encode_with_lengths(TEXTS)[1]
    kernel, bias = whitening.fitted(vectors, 5)
    target = str(tmp_path / "whitened")
    tuned = {"objective": "sentence_embedding", "similarity_threshold": 0.9}
    with open(os.path.join(source, "fine_tuning.json"), "w") as handle:
        json.dump(tuned, handle)
    for _ in range(2):  # the second one replaces the first
        whitening.write_whitened(source, target, kernel, bias)
    centered = vectors - vectors.mean(axis=0)
    u, s, _ = np.linalg.svd(np.cov(vectors.T))
    expected = centered @ u[:, :5] @ np.diag(s[:5] ** -0.5)
    with TextEncoder(target) as encoder:
        assert encoder.width == 5
        found = encoder.encode(TEXTS)
    np.testing.assert_allclose(cosines(found), cosines(expected), atol=2e-3)
    lengths = np.linalg.norm(found, axis=1)
    is_normalized = notes is None or notes.normalize
    assert np.allclose(lengths, 1) == is_normalized
    with open(os.path.join(target, "fine_tuning.json")) as handle:
        kept = json.load(handle)
    # A threshold of cosines of the former vectors is not valid for the new ones.
    assert kept["objective"] == tuned["objective"] and "similarity_threshold" not in kept
    of_target = sentence_vectors.read_notes(target)
    assert (of_target.width, of_target.projection_width, of_target.widths) == (5, 5, ())


def test_a_damaged_label_map_is_named(tmp_path):
    source = small_models.write_model(tmp_path / "model")
    with open(os.path.join(source, "label_map.json"), "w") as handle:
        handle.write("[5]")
    with pytest.raises(UserError, match="label_map.json: expected a JSON object"):
        whitening.write_whitened(
            source, str(tmp_path / "whitened"), np.eye(16, 4), np.zeros(4, np.float32)
        )
    assert not (tmp_path / "whitened").exists()
