"""Metrics of vectors, against scikit-learn, SciPy and golden values."""

import os

import numpy as np
import pytest

from albert_zh.tasks.embedding import comparison, scores
from albert_zh.tasks.embedding.text_files import EmbeddingExample
from project_root import ROOT

GOLDEN = np.load(os.path.join(ROOT, "tests", "golden", "embedding", "losses.npz"))


def test_correlations_are_the_golden_ones():
    found = scores.pair_scores(GOLDEN["metric_scores"], GOLDEN["metric_labels"])
    assert found["spearman"] == pytest.approx(float(GOLDEN["metric_spearman"]), abs=1e-9)
    assert found["pearson"] == pytest.approx(float(GOLDEN["metric_pearson"]), abs=1e-9)


def test_two_labels_have_an_area_under_the_curve():
    found = scores.pair_scores(np.array([0.9, 0.8, 0.7, 0.1]), np.array([1.0, 0.0, 1.0, 0.0]))
    assert found["auc"] == pytest.approx(0.75)
    assert scores.best_threshold(np.array([0.9, 0.8, 0.2, 0.1]), np.array([1, 1, 0, 0])) == 0.8
    # From 1 on two of five are right, from 0.5 on three: equal similarities go together.
    equal = scores.best_threshold(np.array([1, 1, 1, 0.5, 0.2]), np.array([1, 0, 0, 1, 0]))
    assert equal == 0.5


def test_vectors_that_are_all_the_same_have_no_correlation():
    found = scores.pair_scores(np.ones(4), np.array([0.0, 1.0, 2.0, 3.0]))
    assert found == {"spearman": 0.0, "pearson": 0.0}


def test_ranks_are_the_golden_ones():
    relevance = GOLDEN["retrieval_relevance"]
    rows = relevance.any(axis=1)
    relevant = [set(np.flatnonzero(row)) for row in relevance[rows]]
    found = scores.retrieval_scores(GOLDEN["retrieval_scores"][rows], relevant)
    for name in ("mrr_at_10", "recall_at_10", "ndcg_at_10", "map_at_10"):
        expected = float(GOLDEN["retrieval_" + name])
        assert found[name].mean() == pytest.approx(expected, abs=1e-9), name


def test_mean_cosine_of_different_rows():
    vectors = np.random.RandomState(1).normal(size=(7, 5))
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = (unit @ unit.T)[~np.eye(7, dtype=bool)]
    assert scores.mean_cosine(vectors) == pytest.approx(cosines.mean())


FAQ = [
    EmbeddingExample("1", "怎么开户", "如何开户", 1.0),
    EmbeddingExample("2", "密码忘了", "找回密码", 1.0),
    EmbeddingExample("3", "如何开户", "怎么办卡", 1.0),  # its own text is an entry, too
    EmbeddingExample("4", "退货", "", None, is_entry=True),
]


def test_a_query_does_not_find_itself_and_entries_of_the_corpus_are_searched():
    measured = scores.Measured(FAQ, True)
    assert measured.entries == ["如何开户", "找回密码", "怎么办卡", "退货"]
    found = measured.scores(scores.CharacterTfIdf(measured.texts()))
    assert found["recall_at_1"] == pytest.approx(2 / 3)
    assert found["recall_at_5"] == 1.0


def test_worse_and_collapsed_vectors_are_reported(tmp_path):
    lines = comparison.compare(
        FAQ,
        True,
        {comparison.TRAINED: lambda texts: np.ones([len(texts), 3])},
        str(tmp_path),
        "test.tsv",
    )
    warnings = [line for line in lines if line.startswith("warning")]
    assert "is below that of character TF-IDF" in warnings[0]
    assert "vectors have collapsed" in warnings[1]
    assert (tmp_path / "comparison.md").read_text().count("Warning") == 2
    assert (tmp_path / "comparison.png").exists() and (tmp_path / "comparison.json").exists()
