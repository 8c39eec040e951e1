"""Compares the nearest of many vectors, found by numpy and faiss, with brute force."""

import os

import numpy as np
import pytest

from albert_zh.inference.retrieval import vector_index
from project_root import ROOT


def unit_vectors(count, width, seed):
    vectors = np.random.RandomState(seed).standard_normal([count, width]).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def recall(index, vectors, ids, queries, k=10, wanted=10):
    """Returns the share of the k exact nearest neighbours among the `wanted` ones of an index."""
    exact = ids[np.argsort(-(queries @ vectors.T), axis=1)[:, :k]]
    found = index.nearest(queries, wanted)
    return np.mean([len(set(a) & set(b)) / k for a, b in zip(exact, found)])


@pytest.mark.parametrize(
    "storage, form, of_class, attribute",
    [
        ("int8", "uint8", "downcast_index", "codes"),
        ("binary", "ubinary", "downcast_IndexBinary", "xb"),
    ],
)
def test_codes_are_those_of_sentence_transformers(storage, form, of_class, attribute):
    """Vectors added to an index are quantized with the ranges of its first vectors."""
    faiss = pytest.importorskip("faiss")
    golden = np.load(os.path.join(ROOT, "tests", "golden", "embedding", "quantization.npz"))
    ranges, vectors = golden["calibration"], golden["vectors"]
    assert (vectors < ranges.min(axis=0)).any()
    index = vector_index.VectorIndex.build(ranges, np.arange(100), storage)
    index.update(vectors, np.arange(100, 103))
    flat = getattr(faiss, of_class)(index._index.index)
    codes = faiss.vector_to_array(getattr(flat, attribute))
    np.testing.assert_array_equal(codes.reshape(103, -1)[100:], golden[form])


def test_nearest_by_numpy_is_exact_over_blocks(monkeypatch):
    monkeypatch.setattr(vector_index, "VECTORS_AT_ONCE", 70)
    vectors, queries = unit_vectors(500, 16, 0), unit_vectors(7, 16, 1)
    indices, cosines = vector_index.nearest_by_numpy(vectors, queries, 10)
    every = queries @ vectors.T
    np.testing.assert_array_equal(indices, np.argsort(-every, axis=1)[:, :10])
    np.testing.assert_allclose(cosines, -np.sort(-every, axis=1)[:, :10], atol=1e-6)
    assert vector_index.nearest_by_numpy(vectors[:3], queries, 3)[0].shape == (7, 3)


@pytest.mark.parametrize("at_once", [7, 60, 400])
def test_of_equal_cosines_the_first_lines_are_kept_whatever_the_blocks(at_once, monkeypatch):
    monkeypatch.setattr(vector_index, "VECTORS_AT_ONCE", at_once)
    axes = np.eye(4, dtype=np.float32)
    which = np.random.RandomState(5).randint(0, 4, 400)
    indices, cosines = vector_index.nearest_by_numpy(axes[which], axes, 9)
    np.testing.assert_array_equal(indices, [np.flatnonzero(which == axis)[:9] for axis in range(4)])
    np.testing.assert_array_equal(cosines, np.ones([4, 9]))


@pytest.mark.parametrize(
    "storage, least, wanted", [("float32", 1, 10), ("int8", 0.9, 10), ("binary", 0.5, 80)]
)
@pytest.mark.parametrize("has_clusters", [False, True])
def test_what_an_index_finds(storage, least, wanted, has_clusters, tmp_path, monkeypatch):
    pytest.importorskip("faiss")
    if has_clusters:
        monkeypatch.setattr(vector_index, "CLUSTERED_FROM", 100)
        monkeypatch.setattr(vector_index, "_PROBED", 2)
        least *= 0.75  # random vectors form no clusters
    vectors, queries = unit_vectors(2000, 44, 0), unit_vectors(50, 44, 1)  # 44 bits are 5.5 bytes
    ids = np.random.RandomState(2).randint(0, 2**62, 2000)
    index = vector_index.VectorIndex.build(vectors[:1500], ids[:1500], storage)
    index.update(vectors[1500:], ids[1500:], deleted=ids[:300])
    index.save(str(tmp_path / "index"))
    for each in (index, vector_index.VectorIndex.load(str(tmp_path / "index"), storage)):
        assert len(each) == 1700
        assert recall(each, vectors[300:], ids[300:], queries, 10, wanted) >= least
        assert not np.isin(each.nearest(queries, wanted), ids[:300]).any()
