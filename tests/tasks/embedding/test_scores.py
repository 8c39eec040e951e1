"""Metrics of vectors equal golden values and values computed by loops."""

import os
import tracemalloc

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
    # Threshold 1 is right for two of five pairs, 0.5 for three: equal values are not separated.
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
    EmbeddingExample("3", "如何开户", "怎么办卡", 1.0),  # the query is also an entry
    EmbeddingExample("4", "退货", "", None, is_entry=True),
]


def test_a_query_does_not_find_itself_and_entries_of_the_corpus_are_searched():
    measured = scores.Measured(FAQ, True)
    assert measured.entries == ["如何开户", "找回密码", "怎么办卡", "退货"]
    found = measured.scores(scores.CharacterTfIdf(measured.texts()))
    assert found["recall_at_1"] == pytest.approx(2 / 3)
    assert found["recall_at_5"] == 1.0


def ranks_one_by_one(vectors, queries, entries):
    """Returns the rank of the right entry of each query, found by a loop over all entries."""
    ranks = []
    for number, query in enumerate(queries):
        cosines = [float(np.dot(vectors[query], vectors[entry])) for entry in entries]
        ranks.append(1 + sum(cosine > cosines[number] for cosine in cosines))
    return np.array(ranks)


@pytest.mark.parametrize("cells", [1, 7 * 40, 1 << 23])
def test_scores_do_not_depend_on_how_many_queries_are_compared_at_once(monkeypatch, cells):
    monkeypatch.setattr(scores, "_CELLS_AT_ONCE", cells)
    texts = ["q%d" % number for number in range(20)] + ["e%d" % number for number in range(40)]
    rows = np.random.RandomState(3).normal(size=(60, 4))
    vectors = dict(zip(texts, rows / np.linalg.norm(rows, axis=1, keepdims=True)))
    examples = [EmbeddingExample(str(n), "q%d" % n, "e%d" % n, 1.0) for n in range(20)]
    examples += [EmbeddingExample(str(n), "e%d" % n, "", None, is_entry=True) for n in range(40)]
    found = scores.Measured(examples, True).scores(scores.VectorSimilarity(vectors))
    ranks = ranks_one_by_one(vectors, texts[:20], texts[20:])
    for depth in (1, 5, 10):
        assert found["recall_at_%d" % depth] == pytest.approx(np.mean(ranks <= depth))
    assert found["mrr_at_10"] == pytest.approx(np.mean(np.where(ranks <= 10, 1 / ranks, 0)))


@pytest.mark.parametrize("values", [[0.5, np.nan, 0.9, 0.9], [np.nan] * 4, [0.5] * 4])
def test_equal_similarities_rank_by_position_and_what_is_no_number_last(values):
    similarities = np.array([values * 20])
    order = np.argsort(-similarities[0], kind="stable")
    found = scores.retrieval_scores(similarities, [{int(order[4])}])
    assert (found["recall_at_1"][0], found["recall_at_5"][0]) == (0.0, 1.0)
    assert found["mrr_at_10"][0] == pytest.approx(1 / 5)


def test_the_similarities_of_a_large_faq_are_not_held_all_at_once():
    """2,500 questions and 5,000 entries: 50 MB of similarities, and 100 MB of their order.

    A FAQ of 300,000 rows, 30,000 of them in dev, would need 14 GB by calculation (TF-IDF: 22 GB).
    """
    texts = [str(number) for number in range(7500)]
    vectors = dict(zip(texts, np.random.RandomState(1).normal(size=(7500, 2))))
    examples = [EmbeddingExample(t, t, texts[2500 + int(t)], 1.0) for t in texts[:2500]]
    examples += [EmbeddingExample(t, t, "", None, is_entry=True) for t in texts[2500:]]
    measured, similarity = scores.Measured(examples, True), scores.VectorSimilarity(vectors)
    tracemalloc.start()
    try:
        measured.scores(similarity)
        assert tracemalloc.get_traced_memory()[1] < 110e6
    finally:
        tracemalloc.stop()


def test_worse_and_collapsed_vectors_are_reported(tmp_path):
    lines = comparison.compare(
        FAQ,
        True,
        {comparison.TRAINED: lambda texts: np.ones([len(texts), 3])},
        str(tmp_path),
        "test.tsv",
    )
    warnings = [line for line in lines if line.startswith("warning")]
    assert "is lower than that of character TF-IDF" in warnings[0]
    assert "vectors have collapsed" in warnings[1]
    assert (tmp_path / "comparison.md").read_text().count("Warning") == 2
    assert (tmp_path / "comparison.png").exists() and (tmp_path / "comparison.json").exists()
