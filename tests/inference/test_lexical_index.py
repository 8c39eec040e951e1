"""Compares BM25 of characters and pairs of characters with the formula."""

import collections
import math
import unicodedata

import numpy as np

from albert_zh.inference.retrieval import lexical_index

TEXTS = [
    "怎么开户",
    "如何开通账户",
    "退票",
    "退市股票怎么处理",
    "",
    "ＡＢＣ卡怎么办理？",
    "开户开户",
]
QUERIES = ["怎么开户", "退票怎么退", "abc卡", "没有的字", "", " ", "开"]


def terms_of(text):
    text = unicodedata.normalize("NFKC", text).lower()
    pairs = [text[i : i + 2] for i in range(len(text) - 1)]
    return collections.Counter(list(text) + pairs)


def expected_scores(query):
    documents = [terms_of(text) for text in TEXTS]
    lengths = [max(1, len(text)) for text in TEXTS]
    mean = sum(lengths) / len(lengths)

    def weight(term, count, length):
        frequency = sum(term in document for document in documents)
        rarity = 1 + math.log(1 + (len(TEXTS) - frequency + 0.5) / (frequency + 0.5))
        share = 1 if len(term) == 1 else lexical_index.PAIR_WEIGHT
        return share * rarity * count * 2.2 / (count + 1.2 * length / mean)

    terms = terms_of(query)
    own = sum(weight(term, terms[term], len(query)) for term in terms)
    for document, length in zip(documents, lengths):
        shared = sum(weight(t, document[t], length) for t in terms if t in document)
        yield min(1, shared / own) if own else 0


def test_scores_are_those_of_the_formula(tmp_path):
    index = lexical_index.LexicalIndex.build(TEXTS)
    path = str(tmp_path / "index.npz")
    index.save(path)
    for loaded in (index, lexical_index.LexicalIndex.load(path)):
        for query in QUERIES:
            np.testing.assert_allclose(
                loaded.scores(query), list(expected_scores(query)), atol=1e-5
            )


def test_an_updated_index_is_a_built_one():
    former = lexical_index.LexicalIndex.build(["不再有的行"] + TEXTS[::-1])
    new = ["新的一行", "开通"]
    texts = TEXTS[:3] + new[:1] + TEXTS[3:] + new[1:]
    rows = np.array([7, 6, 5, -1, 4, 3, 2, 1, -1])
    expected, updated = lexical_index.LexicalIndex.build(texts), former.updated(rows, new)
    assert len(updated._terms) == len(expected._terms)  # terms of removed lines only are dropped
    for query in QUERIES + new + ["不再有的行"]:
        np.testing.assert_allclose(updated.scores(query), expected.scores(query), atol=1e-6)
    twice = updated.updated(np.arange(len(texts))[:4], [])
    expected = lexical_index.LexicalIndex.build(texts[:4])
    np.testing.assert_allclose(twice.scores("开户"), expected.scores("开户"), atol=1e-6)


def test_a_line_has_all_of_its_own_wording():
    index = lexical_index.LexicalIndex.build(TEXTS)
    for number, text in enumerate(TEXTS):
        scores = index.scores(text)
        assert abs(scores[number] - 1) < 1e-5 or not text
        assert np.isfinite(scores).all() and scores.min() >= 0


def test_characters_of_every_plane_are_terms():
    index = lexical_index.LexicalIndex.build(["𠮷野家", "吉野家", "👨‍👩‍👧", "\x00\x01"])
    assert index.scores("𠮷").argmax() == 0 and index.scores("👧").argmax() == 2
