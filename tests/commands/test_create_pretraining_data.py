"""Tests of creating records: the original's sampling, draw by draw; our sampling; the command."""

import collections
import functools
import gzip
import hashlib
import io
import json
import os
import random
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.commands import create_pretraining_data
from albert_zh.common import files, storage
from albert_zh.common.errors import UserError
from albert_zh.corpus import (
    external_shuffle,
    masking,
    original_sampling,
    pipeline,
    sampling,
    similar_documents,
    tfrecords,
)
from albert_zh.corpus import reader as corpus_reader
from albert_zh.text import tokenization, word_segmentation, word_starts
import isolated_flags
from project_root import ROOT
import sentencepiece_models
from workspace import run_process

sys.path.append(os.path.join(ROOT, "benchmarks"))
import segment_order

SAMPLE = os.path.join(ROOT, "data", "news_sample.txt")
STARTER_VOCABULARY = os.path.join(ROOT, "albert_starter_zh", "vocab.txt")

SETTINGS = sampling.Settings(
    max_seq_length=128,
    max_predictions=20,
    masked_lm_prob=0.15,
    short_seq_prob=0.1,
    seed=12345,
    whole_words=True,
    run_weights=masking.WHOLE_WORDS,
    google=False,
    random_next=False,
    similar_next=False,
    permute=False,
    dynamic=False,
)
GOOGLE = SETTINGS._replace(google=True, run_weights=masking.ngram_weights(3))
LONG = {"max_seq_length": 512, "max_predictions": 51, "masked_lm_prob": 0.1}

# Name in data_info.json -> (settings, dupe_factor, name of the file of features or None).
ORIGINALS = {
    "bm_128_1": (SETTINGS, 3, "bm_128"),
    "bm_512_1": (SETTINGS._replace(**LONG), 10, None),
    "g_ng1": (GOOGLE._replace(run_weights=masking.ngram_weights(1)), 3, "google_ng1"),
    "g_ng3_1": (GOOGLE, 3, "google_ng3"),
    "g_ng3_rns": (GOOGLE._replace(random_next=True), 3, "google_ng3_rns"),
    "g_ng3_512": (GOOGLE._replace(**LONG), 10, None),
    "g_ng3_perm": (GOOGLE._replace(permute=True), 3, None),
    "g_ng3_short": (GOOGLE._replace(run_weights=masking.ngram_weights(3, True)), 3, None),
}


@pytest.fixture(scope="module")
def jieba():
    pytest.importorskip("jieba")
    return word_segmentation.make_segmenter("jieba")


@pytest.fixture(scope="module")
def released(shared):
    """Returns the tokenizer of the released vocabulary."""
    path = os.path.join(shared, "data", "ckpt_index_only", "MarsRoger_albert_tiny", "vocab.txt")
    return tokenization.FullTokenizer(path)


@pytest.fixture(scope="module")
def starter():
    return tokenization.FullTokenizer(STARTER_VOCABULARY)


@pytest.fixture(scope="module")
def golden(shared):
    """Returns a function that reads a golden file of numbers computed by the original."""

    def read(name):
        path = os.path.join(shared, "golden", "data", name)
        if name.endswith(".npz"):
            return dict(np.load(path))
        with open(path, encoding="utf-8") as handle:
            return json.load(handle)

    return read


@pytest.fixture(scope="module")
def news(shared):
    return os.path.join(shared, "data", "raw_news_zh_1", "news_zh_1.txt")


def original_sampler(path, tokenizer, segmenter, settings, generator=None):
    marker = None if settings.google else segmenter
    text = original_sampling.OriginalText(tokenizer, marker is not None)
    # Shards of 500 characters, so that documents continue from shard to shard.
    for shard in corpus_reader.read_shards([path], corpus_reader.TextFormat(as_original=True), 500):
        documents = [
            [original_sampling.original_pieces(x, tokenizer, marker) for x in lines]
            for lines in shard.documents
        ]
        text.add_shard(documents, shard.continues)
    vocabulary = sampling.make_vocabulary(tokenizer)
    return original_sampling.OriginalSampler(text, settings, vocabulary, generator)


def joined(batches):
    """Concatenates the features of all batches: name -> [N, k]."""
    batches = list(batches)
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


@pytest.mark.parametrize("name", sorted(ORIGINALS))
def test_the_original_is_reproduced_to_the_bit(name, golden, released, jieba, news):
    settings, dupe_factor, arrays = ORIGINALS[name]
    sampler = original_sampler(news, released, jieba, settings)
    features = joined(sampler.batches(dupe_factor))
    order = sampler.shuffled_order()
    expected = golden("data_info.json")[name]
    assert len(order) == expected["n"]
    records = pipeline.framed_records(features, settings)
    content = b"".join(records[number] for number in order)
    if arrays is not None:
        for feature, values in golden(arrays + ".npz").items():
            np.testing.assert_array_equal(features[feature][order], values, err_msg=feature)
    # The digest of the original's file after sorting the features of each record by name.
    assert hashlib.sha256(content).hexdigest() == expected["sorted_key_sha256"]


class Recorder:
    """A `random.Random` that records its calls in the form of the golden trace."""

    def __init__(self, seed):
        self._generator = random.Random(seed)
        self.calls = []

    def random(self):
        value = self._generator.random()
        self.calls.append(["random", value])
        return value

    def randint(self, low, high):
        value = self._generator.randint(low, high)
        self.calls.append(["randint", low, high, value])
        return value

    def shuffle(self, items):
        self._generator.shuffle(items)
        self.calls.append(["shuffle", len(items)])


def test_the_original_draws_in_this_order(golden, released, jieba, news):
    trace = golden("rng_trace_128.json")
    recorder = Recorder(12345)
    sampler = original_sampler(news, released, jieba, SETTINGS, recorder)
    list(sampler.batches(3))
    sampler.shuffled_order()
    assert recorder.calls[: len(trace["calls"])] == trace["calls"]
    assert len(recorder.calls) == trace["n_calls"]


def test_the_originals_instances_as_tokens(golden, released, jieba, news):
    sampler = original_sampler(news, released, jieba, SETTINGS)
    features = joined(sampler.batches(3))
    order = sampler.shuffled_order()
    for number, expected in zip(order, golden("instances_128_first40.json")):
        length = len(expected["tokens"])
        count = len(expected["pos"])
        tokens = released.convert_ids_to_tokens(features["input_ids"][number][:length].tolist())
        labels = released.convert_ids_to_tokens(features["masked_lm_ids"][number][:count].tolist())
        assert tokens == expected["tokens"]
        assert labels == expected["labels"]
        assert features["masked_lm_positions"][number][:count].tolist() == expected["pos"]
        segments = features["segment_ids"][number][:length]
        assert "".join(map(str, segments)) == expected["segment_ids"]
        assert features["next_sentence_labels"][number] == expected["is_random_next"]


def test_the_originals_whole_word_marks(golden, released, jieba):
    segments = golden("news_segments.json")
    assert len(segments) > 200
    for case in filter(None, segments):
        assert released.tokenize(case["line"]) == case["tokens"]
        assert original_sampling.original_pieces(case["line"], released, jieba) == (case["segment"])


def test_a_label_that_the_vocabulary_lacks_is_told(starter, jieba):
    sampler = original_sampler(SAMPLE, starter, jieba, SETTINGS)
    with pytest.raises(UserError, match="--original_masking: the vocabulary has no '##"):
        list(sampler.batches(1))


@pytest.mark.parametrize(
    "line, words",
    [
        ("中华人民共和国成立了", ["中华人民共和国", "成立", "了"]),
        ("我买了iPhone 15手机", ["我", "买", "了", "iphone", "15", "手机"]),
        ("unbelievable prices", ["unbelievable", "prices"]),
        ("圆周率是3.14，不是1,000或12:30", "圆周率 是 3.14 ， 不是 1,000 或 12:30".split()),
        ("去 城市", ["去", "城市"]),
        ("一件T恤打折", ["一件", "t恤", "打折"]),
        ("a\u200bb北\u200b京", ["ab", "北京"]),
        ("café Привет", ["cafe", "привет"]),
        ("增长了50%以上", ["增长", "了", "50%", "以上"]),
    ],
)
def test_words_are_what_a_reader_takes_for_words(line, words, starter, jieba):
    ids, starts = word_segmentation.LineEncoder(starter, jieba).encode(line)
    assert len(ids) == len(starts)
    found = []
    for token, is_start in zip(starter.convert_ids_to_tokens(ids), starts):
        if is_start:
            found.append("")
        found[-1] += token[2:] if token.startswith("##") else token
    assert found == words


def test_a_word_in_the_user_dictionary_is_one_word(tmp_path, starter):
    pytest.importorskip("jieba")
    line = "今天吃麻辣小土豆饼"
    path = tmp_path / "words.txt"
    path.write_text("麻辣小土豆饼 100 n\n", encoding="utf-8")
    plain, own = [
        word_segmentation.LineEncoder(starter, word_segmentation.make_segmenter("jieba", user_dict))
        for user_dict in (None, str(path))
    ]
    assert plain.encode(line)[0] == own.encode(line)[0]
    assert sum(plain.encode(line)[1]) > sum(own.encode(line)[1]) == 3
    with pytest.raises(UserError, match="--segmenter=none"):
        word_segmentation.make_segmenter("none", str(path))


@pytest.mark.slow
@pytest.mark.parametrize("do_lower_case", [True, False])
def test_the_pieces_are_those_of_the_whole_line(do_lower_case, jieba):
    starter = tokenization.FullTokenizer(STARTER_VOCABULARY, do_lower_case)
    hypothesis = pytest.importorskip("hypothesis")
    strategies = hypothesis.strategies
    letters = "aBé中国京。，.-'1９3 \t\u3000%\u200b\u0301ΣσТкコン喆😀٣ﬁ"
    encoder = word_segmentation.LineEncoder(starter, jieba)

    @hypothesis.settings(max_examples=500, deadline=None)
    @hypothesis.given(
        strategies.text(
            strategies.one_of(
                strategies.sampled_from(letters), strategies.characters(exclude_categories=["Cs"])
            )
        )
    )
    def check(line):
        ids, starts = encoder.encode(line)
        assert starter.convert_ids_to_tokens(ids) == starter.tokenize(line)
        assert not ids or starts[0]

    check()


def test_which_pieces_of_sentencepiece_begin_a_word():
    beginnings = ["▁the", "▁", "<unk>", ",", "$", "€", "中国", "é", "9"]
    for piece in beginnings:
        assert word_starts.starts_sentencepiece_word(piece), piece
    for piece in ["ing", "Ing", "s", "n't"]:
        assert not word_starts.starts_sentencepiece_word(piece), piece


def encoded_sample(tokenizer, segmenter, path=SAMPLE):
    (shard,) = corpus_reader.read_shards([path])
    encoder = word_segmentation.LineEncoder(tokenizer, segmenter)
    return sampling.encode_shard(shard, encoder)


def restored(features):
    """Returns the token ids without masks, restored from the labels."""
    ids = features["input_ids"].copy()
    rows, slots = np.nonzero(features["masked_lm_weights"])
    positions = features["masked_lm_positions"][rows, slots]
    ids[rows, positions] = features["masked_lm_ids"][rows, slots]
    return ids


def test_records_hold_consecutive_text_and_true_labels(starter, jieba):
    encoded = encoded_sample(starter, jieba)
    sampler = sampling.Sampler(SETTINGS, sampling.make_vocabulary(starter))
    features = joined(sampler.features(encoded, 0))
    text = " ".join(map(str, encoded.ids))
    cls_id, sep_id, mask_id = starter.convert_tokens_to_ids(["[CLS]", "[SEP]", "[MASK]"])
    ids = restored(features)
    assert (features["input_ids"] == mask_id).any() and not (ids == mask_id).any()
    assert len(ids) > 40
    for row in range(len(ids)):
        length = features["input_mask"][row].sum()
        length_b = features["segment_ids"][row].sum()
        pieces = ids[row].tolist()
        assert pieces[0] == cls_id and pieces[length - 1] == sep_id
        assert features["input_mask"][row].tolist() == [1] * length + [0] * (128 - length)
        first = length - length_b
        assert features["segment_ids"][row, first:length].all()
        assert pieces[first - 1] == sep_id and not any(pieces[length:])
        a, b = (
            " %s " % " ".join(map(str, x))
            for x in (pieces[1 : first - 1], pieces[first : length - 1])
        )
        places = [(" %s " % text).find(segment) for segment in (a, b)]
        assert min(places) >= 0
        assert features["next_sentence_labels"][row, 0] == (places[0] > places[1])
        count = features["masked_lm_weights"][row].sum()
        assert count == features["masked_lm_ids"][row].astype(bool).sum()
        assert count <= masking.num_predictions([length], 0.15, 20)[0]


def test_sequences_are_as_often_shorter_as_asked_for(starter):
    encoded = encoded_sample(starter, None)
    lengths = {}
    for share in (0, 1):
        settings = SETTINGS._replace(max_seq_length=64, short_seq_prob=share)
        sampler = sampling.Sampler(settings, sampling.make_vocabulary(starter))
        lengths[share] = joined(sampler.features(encoded, 0))["input_mask"].sum(axis=1)
    assert lengths[0].mean() > 50 and lengths[1].mean() < 40


def test_whole_words_are_masked_whole(starter, jieba):
    encoded = encoded_sample(starter, jieba)
    vocabulary = sampling.make_vocabulary(starter)
    google = SETTINGS._replace(google=True)  # these records contain the starts of words
    for whole_words, expected in ((True, 0), (False, 100)):
        sampler = sampling.Sampler(google._replace(whole_words=whole_words), vocabulary)
        features = joined(sampler.features(encoded, 0))
        chosen = np.zeros(features["input_ids"].shape, bool)
        rows, slots = np.nonzero(features["masked_lm_weights"])
        chosen[rows, features["masked_lm_positions"][rows, slots]] = True
        continues = (features["token_boundary"] == 0) & (features["input_mask"] == 1)
        parted = (continues[:, 1:] & (chosen[:, 1:] != chosen[:, :-1])).sum()
        assert parted >= expected and (expected or parted == 0)
        assert continues.sum() > 1000
        sequence_ends = (features["input_ids"] == vocabulary.sep_id) & ~chosen
        assert features["token_boundary"][sequence_ends].all()
        assert features["token_boundary"][:, 0].all()


def test_passes_differ_and_depend_on_nothing_else(starter):
    encoded = encoded_sample(starter, None)
    vocabulary = sampling.make_vocabulary(starter)

    def draw(number, index=0, seed=1):
        sampler = sampling.Sampler(SETTINGS._replace(seed=seed), vocabulary)
        return joined(sampler.features(encoded._replace(index=index), number))["input_ids"]

    first = draw(0)
    np.testing.assert_array_equal(first, draw(0))
    for other in (draw(1), draw(0, index=1), draw(0, seed=2)):
        assert other.shape != first.shape or (other != first).any()


def test_dynamic_records_are_the_text_and_its_words(starter, jieba):
    encoded = encoded_sample(starter, jieba)
    vocabulary = sampling.make_vocabulary(starter)
    static, dynamic = [
        joined(sampling.Sampler(settings, vocabulary).features(encoded, 3))
        for settings in (SETTINGS, SETTINGS._replace(dynamic=True))
    ]
    assert sorted(dynamic) == sorted(
        "input_ids input_mask next_sentence_labels segment_ids token_boundary".split()
    )
    np.testing.assert_array_equal(dynamic["input_ids"], restored(static))
    assert 0.5 < dynamic["token_boundary"].sum() / dynamic["input_mask"].sum() < 0.8
    # Mask the records as training does.
    choice = masking.MaskingChoice(0.15, 20, masking.WHOLE_WORDS, whole_words=True, permute=False)
    ids = []
    for seed in range(2):
        masked = masking.masked_features(
            dynamic, choice, vocabulary.mask_id, vocabulary.size, np.random.RandomState(seed)
        )
        assert sorted(masked) == sorted(static)
        np.testing.assert_array_equal(restored(masked), dynamic["input_ids"])
        ids.append(masked["input_ids"])
        chosen = masked["masked_lm_weights"].sum()
        assert abs(chosen - static["masked_lm_weights"].sum()) < 0.03 * chosen
    assert (ids[0] != ids[1]).any(axis=1).all()


def test_permuted_pieces_are_predicted_too(starter):
    encoded = encoded_sample(starter, None)
    vocabulary = sampling.make_vocabulary(starter)
    sampler = sampling.Sampler(GOOGLE._replace(permute=True), vocabulary)
    features = joined(sampler.features(encoded, 0))
    assert features["masked_lm_ids"].shape[1] == 40
    lengths = features["input_mask"].sum(axis=1)
    limits = masking.num_predictions(lengths, 0.15, 20)
    assert abs(features["masked_lm_weights"].sum() / limits.sum() - 2) < 0.06
    ids = restored(features)
    text = " ".join(map(str, encoded.ids))
    first = int((features["segment_ids"][0] == 0).sum() - (128 - lengths[0]))
    assert " ".join(map(str, ids[0, 1 : first - 1])) in text


def test_pairs_with_other_documents(starter):
    encoded = encoded_sample(starter, None)
    vocabulary = sampling.make_vocabulary(starter)
    sampler = sampling.Sampler(GOOGLE._replace(random_next=True), vocabulary)
    places = np.array(encoded.sentences)
    bounds = [(places[first], places[last]) for first, last in encoded.documents]

    def document_of(place):
        return next(n for n, (first, last) in enumerate(bounds) if first <= place < last)

    pairs = [sampler.pairs(encoded, random.Random(seed)) for seed in range(20)]
    labels = np.concatenate([p.labels for p in pairs])
    assert abs(labels.mean() - 0.5) < 0.1
    for p in pairs:
        for begin_a, _, begin_b, length_b, label in zip(*p):
            assert (document_of(begin_a) != document_of(begin_b)) == bool(label)
            assert document_of(begin_b) == document_of(begin_b + length_b - 1)
            assert label or begin_a < begin_b


@pytest.mark.parametrize("settings", [{"random_next": True}, {}])
def test_a_document_alone_is_never_another_one(starter, settings):
    encoded = encoded_sample(starter, None)
    encoded = encoded._replace(documents=[(0, len(encoded.sentences) - 1)])
    vocabulary = sampling.make_vocabulary(starter)
    sampler = sampling.Sampler(GOOGLE._replace(**settings), vocabulary)
    pairs = sampler.pairs(encoded, random.Random(1))
    assert len(pairs.labels) > 10 and labels_fit_the_order(pairs)
    assert pairs.labels.any() != bool(settings)


def labels_fit_the_order(pairs):
    """Returns whether A and B are neighbours: in order if the label is 0, swapped if it is 1."""
    a, b = pairs.begins_a, pairs.begins_b
    swapped = pairs.labels == 1
    first = np.where(swapped, b + pairs.lengths_b, a + pairs.lengths_a)
    return (first == np.where(swapped, a, b)).all()


SIMILAR_TEXT = [  # documents; 猫粮 occurs in the first three
    ["猫粮放在哪里好", "干燥的柜子里"],
    ["换猫粮要慢慢来", "先掺一半旧的"],
    ["猫粮"],
    ["今天下雨了", "路上很滑", "慢慢走", "别摔了"],
]


@pytest.fixture(name="similar")
def fixture_similar(starter, tmp_path):
    """Returns `SIMILAR_TEXT` as an `EncodedShard`."""
    path = tmp_path / "similar.txt"
    path.write_text("\n\n".join(map("\n".join, SIMILAR_TEXT)) + "\n", encoding="utf-8")
    return encoded_sample(starter, None, str(path))


def test_similar_documents_share_rare_words_and_go_on(similar, monkeypatch):
    neighbours = similar_documents.Neighbours(similar)
    places = similar.sentences
    of_first = neighbours.following(places[0], places[1], similar.documents[0])
    assert of_first == [(3, 4)]  # 先掺一半旧的; nothing follows the 猫粮 of the third document
    of_second = neighbours.following(places[2], places[3], similar.documents[1])
    assert of_second == [(8, 9), (1, 2)]  # 慢慢 occurs twice, 猫粮 three times
    assert not neighbours.following(places[5], places[6], similar.documents[3])
    monkeypatch.setattr(similar_documents, "_MOST_OCCURRENCES", 2)  # treats 猫粮 as frequent
    assert neighbours.following(places[2], places[3], similar.documents[1]) == [(8, 9)]
    nothing = similar._replace(ids=similar.ids[:0], sentences=[0], documents=[])
    similar_documents.Neighbours(nothing)  # a shard whose lines have no pieces is accepted


def test_pairs_with_similar_documents(starter, similar):
    vocabulary = sampling.make_vocabulary(starter)
    settings = GOOGLE._replace(random_next=True, similar_next=True)
    sampler = sampling.Sampler(settings, vocabulary)
    pairs = [sampler.pairs(similar, random.Random(seed)) for seed in range(100)]
    begins_a, _, begins_b, _, labels = (np.concatenate(column) for column in zip(*pairs))
    assert abs(labels.mean() - 0.5) < 0.1
    places = similar.sentences
    is_of_first = (begins_a == places[0]) & (labels == 1)
    assert is_of_first.any() and set(begins_b[is_of_first]) == {places[3]}
    assert places[4] not in set(begins_a)  # a document of one sentence would only get label 1


@pytest.mark.parametrize(
    "lengths, expected",
    [
        ((5, 5), (3, 3)),  # each end loses 0, 1 or 2 pieces
        ((1, 2), (1, 2)),
        ((115, 105), (10.45, 9.55)),
        ((300, 100), (15, 5)),
        ((100, 300), (5, 15)),
        ((2000, 1), (19, 1)),
        ((1, 2000), (1, 19)),
        ((301, 302), (10, 10)),
    ],
)
def test_pairs_are_cut_in_proportion_and_at_both_ends(lengths, expected):
    count = 4000
    column = np.ones(count, np.int64)
    pairs = sampling.Pairs(
        5000 * column, lengths[0] * column, 9000 * column, lengths[1] * column, column
    )
    cut = sampling.cut_to_size(pairs, 20, np.random.RandomState(1))
    if sum(lengths) > 20:
        assert (cut.lengths_a + cut.lengths_b == 20).all()
    for kept, wanted in ((cut.lengths_a, expected[0]), (cut.lengths_b, expected[1])):
        assert kept.min() >= 1 and abs(kept.mean() - wanted) < 0.3
    for front, length, kept in (
        (cut.begins_a - 5000, lengths[0], cut.lengths_a),
        (cut.begins_b - 9000, lengths[1], cut.lengths_b),
    ):
        assert (front >= 0).all() and (front <= length - kept).all()
        is_cut = length - kept.mean()
        assert abs(front.mean() - is_cut / 2) <= 0.05 * (1 + is_cut**0.5)


@pytest.mark.parametrize(
    "name, num_shards, length, sentences, least",
    [
        ("news_sogou", 6, 128, "all", 7000),
        ("news_cctv", 6, 128, "all", 7000),
        ("tech_docs", 6, 128, "all", 7000),
        # News, laws, forums, questions and answers, dialogues and reviews, all together.
        ("", 2, 128, "all", 30000),
        ("", 1, 512, "as_records", 5000),
    ],
)
def test_how_text_is_cut_does_not_tell_the_order(
    name, num_shards, length, sentences, least, shared
):
    pytest.importorskip("sklearn")
    orders = segment_order.Order(), segment_order.Order()
    paths = corpus_reader.input_files(os.path.join(shared, "corpus", name + "*.txt.gz"))
    paths = [path for path in paths if "_titles" not in path]
    segment_order.add_texts(orders, paths, length, num_shards, sentences)
    made, whole = orders
    assert sum(map(len, made.rows[False])) > least
    assert made.accuracy() < whole.accuracy() + 0.02


def test_shards_are_whole_documents_and_lose_nothing(tmp_path):
    path = tmp_path / "text.txt"
    documents = [["第%d篇第%d句" % (n, i) for i in range(n % 5 + 1)] for n in range(40)]
    path.write_bytes(
        b"\xef\xbb\xbf\r\n" + "\r\n\r\n \r\n".join("\r\n".join(d) for d in documents).encode()
    )
    shards = list(corpus_reader.read_shards([str(path)], shard_characters=50))
    assert len(shards) > 5
    assert [s.index for s in shards] == list(range(len(shards)))
    assert [d for s in shards for d in s.documents] == documents
    assert not any(s.continues for s in shards)
    assert sum(s.counts["lines"] for s in shards) == path.read_bytes().count(b"\n") + 1
    assert shards[-1].bytes_read == path.stat().st_size
    # Documents longer than two shards are split between lines.
    parts = list(corpus_reader.read_shards([str(path)], shard_characters=5))
    assert any(s.continues for s in parts)
    assert [x for s in parts for d in s.documents for x in d] == [x for d in documents for x in d]


def test_files_end_documents_and_may_be_packed(tmp_path):
    plain, packed = tmp_path / "a.txt", tmp_path / "b.txt.gz"
    plain.write_text("甲\n乙", encoding="utf-8")
    packed.write_bytes(gzip.compress("丙\n丁\n".encode()))
    paths = corpus_reader.input_files("%s, %s" % (tmp_path / "a*", packed))
    assert paths == [str(plain), str(packed)]
    (shard,) = corpus_reader.read_shards(paths)
    assert shard.documents == [["甲", "乙"], ["丙", "丁"]]
    (shard,) = corpus_reader.read_shards(paths, corpus_reader.TextFormat(as_original=True))
    assert shard.documents == [["甲", "乙", "丙", "丁"]]


def test_a_run_is_on_the_disk_before_its_index_says_that_it_is_whole(tmp_path, monkeypatch):
    synced, replace = [], os.replace
    monkeypatch.setattr(external_shuffle.output_files, "sync", synced.append)

    def check(source, target):
        assert synced == [str(tmp_path / "run.records"), source]
        replace(source, target)

    monkeypatch.setattr(os, "replace", check)
    external_shuffle.write_run(str(tmp_path / "run"), [b"a", b"b"], np.array([2, 1], "<u8"))
    assert sorted(os.listdir(str(tmp_path))) == ["run.index.npy", "run.records"]


def test_runs_merge_into_the_same_order_however_they_are_cut(tmp_path):
    rng = np.random.RandomState(1)
    records = [b"%d" % n * rng.randint(1, 9) for n in range(1000)]
    keys = np.frombuffer(rng.bytes(8000), "<u8")
    expected = [records[n] for n in np.argsort(keys)]
    for cuts, num_files, bucket in (([0, 1000], 1, 1 << 20), ([0, 10, 600, 1000], 3, 500)):
        runs = []
        for begin, end in zip(cuts, cuts[1:]):
            runs.append(str(tmp_path / ("%d-%d" % (begin, end))))
            external_shuffle.write_run(runs[-1], records[begin:end], keys[begin:end])
        handles = [io.BytesIO() for _ in range(num_files)]
        external_shuffle.merge_runs(runs, handles, bucket_bytes=bucket)
        for number, handle in enumerate(handles):
            assert handle.getvalue() == b"".join(expected[number::num_files])


def read_records(path):
    """Returns the features of a file's records, parsed by TensorFlow."""
    import tensorflow.compat.v1 as tf

    found = []
    for record in tf.python_io.tf_record_iterator(path):
        features = tf.train.Example.FromString(record).features.feature
        found.append(
            {
                name: list(value.int64_list.value or value.float_list.value)
                for name, value in features.items()
            }
        )
    return found


def test_tensorflow_reads_what_is_written(tmp_path):
    rng = np.random.RandomState(1)
    features = {
        "ids": rng.randint(0, 200, (50, 7)) ** 3,  # varints of one to four bytes
        "small": rng.randint(0, 128, (50, 300)),
        "weights": rng.random_sample((50, 3)).astype(np.float32),
    }
    path = tmp_path / "x.tfrecord"
    path.write_bytes(b"".join(tfrecords.frame_records(tfrecords.encode_examples(features))))
    records = read_records(str(path))
    assert len(records) == 50
    for name, values in features.items():
        np.testing.assert_array_equal([record[name] for record in records], values)


def run(name, *arguments):
    return subprocess.run(
        [sys.executable, os.path.join(ROOT, name)] + list(arguments),
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        env=dict(os.environ, PYTHONIOENCODING="utf-8"),
    )


def arguments(folder, **flags):
    defaults = {
        "input_file": SAMPLE,
        "output_file": os.path.join(str(folder), "records"),
        "vocab_file": STARTER_VOCABULARY,
        "dupe_factor": 2,
    }
    return ["--%s=%s" % item for item in dict(defaults, **flags).items()]


@pytest.mark.parametrize(
    "google, given, expected",
    [
        (False, "--do_whole_word_mask", {"whole_words": True}),
        (False, "--short_seq_prob=0.5", {"short_seq_prob": 0.5}),
        (False, "--masked_lm_prob=0.5", {"masked_lm_prob": 0.5}),
        (False, "--random_seed=7", {"seed": 7}),
        (False, "--ngram=3", {"run_weights": (1, 1 / 2, 1 / 3)}),
        (False, "--span", {"run_weights": masking.span_weights()}),
        (False, "--masking=dynamic", {"dynamic": True}),
        (False, "--user_dict=words.txt", {"user_dict": "words.txt"}),
        (False, "--do_lower_case=false", {"do_lower_case": False}),
        (True, "--ngram=2", {"run_weights": (1, 1 / 2)}),
        (True, "--favor_longer_ngram", {"run_weights": (1 / 3, 1 / 2, 1)}),
        (True, "--favor_shorter_ngram", {}),
        (True, "--do_permutation", {"permute": True}),
        (True, "--random_next_sentence", {"random_next": True}),
        (True, "--similar_next_sentence", {"random_next": True, "similar_next": True}),
    ],
)
def test_a_flag_changes_its_settings_and_no_others(google, given, expected):
    settings = []
    define_flags = functools.partial(create_pretraining_data.define_flags, google=google)
    for typed in ([], [given]):
        with isolated_flags.flags_of(typed, define_flags):
            job = create_pretraining_data._job(google)
        settings.append(dict(job._asdict(), **job.settings._asdict(), settings=None))
    usual, changed = settings
    assert changed == dict(usual, **expected)


def with_counts(*names):
    """Returns the names of record files and of their count files, sorted."""
    return sorted(names + tuple(name + ".count" for name in names))


def test_the_files_do_not_depend_on_the_number_of_workers(tmp_path):
    pytest.importorskip("jieba")
    many = tmp_path / "many.txt"  # several shards
    with open(SAMPLE, encoding="utf-8") as handle:
        many.write_text((handle.read() + "\n") * 40, encoding="utf-8")
    digests = set()
    for workers in (1, 3):
        outputs = [str(tmp_path / ("%d-%d" % (workers, n))) for n in range(2)]
        done = run(
            "create_pretraining_data.py",
            *arguments(
                tmp_path,
                input_file=many,
                output_file=",".join(outputs),
                num_workers=workers,
                do_whole_word_mask=True,
            ),
        )
        assert done.returncode == 0, done.stderr
        digests.add(tuple(storage.sha256_of_file(path) for path in outputs))
    assert len(digests) == 1
    counts = [len(read_records(path)) for path in outputs]
    assert 0 <= counts[0] - counts[1] <= 1
    assert "records                    %d\n" % sum(counts) in done.stdout
    assert sorted(os.listdir(str(tmp_path))) == with_counts("1-0", "1-1", "3-0", "3-1") + [
        "many.txt"
    ]
    # Equal documents in different shards get different masks.
    ids = collections.Counter(tuple(r["input_ids"]) for path in outputs for r in read_records(path))
    assert len(ids) > 0.99 * sum(counts)


def test_the_original_by_command(tmp_path, shared, news, golden):
    pytest.importorskip("jieba")
    vocab = os.path.join(shared, "data", "ckpt_index_only", "MarsRoger_albert_tiny", "vocab.txt")
    common = {"input_file": news, "vocab_file": vocab, "dupe_factor": 3, "num_workers": 2}
    for name, script, more in (
        ("bm_128_1", "create_pretraining_data.py", {"do_whole_word_mask": True}),
        (
            "g_ng3_short",
            "create_pretraining_data_google.py",
            {"max_seq_length": 128, "favor_shorter_ngram": True},
        ),
    ):
        flags = dict(common, original_masking=True, **more)
        done = run(script, *arguments(tmp_path, **flags))
        assert done.returncode == 0, done.stderr
        content = (tmp_path / "records").read_bytes()
        expected = golden("data_info.json")[name]["sorted_key_sha256"]
        assert hashlib.sha256(content).hexdigest() == expected


def test_google_by_command_needs_no_segmenter(tmp_path):
    done = run("create_pretraining_data_google.py", *arguments(tmp_path, max_seq_length=128))
    assert done.returncode == 0, done.stderr
    records = read_records(str(tmp_path / "records"))
    sizes = {name: len(values) for name, values in records[0].items()}
    assert sizes == {
        "input_ids": 128,
        "input_mask": 128,
        "segment_ids": 128,
        "token_boundary": 128,
        "masked_lm_positions": 20,
        "masked_lm_ids": 20,
        "masked_lm_weights": 20,
        "next_sentence_labels": 1,
    }


def test_sentencepiece_by_command(tmp_path):
    """The records contain the pieces of the SentencePiece model and its word starts."""
    english = os.path.join(ROOT, "data", "english_sample.txt")
    model = sentencepiece_models.train_sentencepiece(tmp_path, files.read_lines(english), 300)
    flags = {"spm_model_file": model, "input_file": english, "masking": "dynamic"}
    done = run(
        "create_pretraining_data_google.py",
        *arguments(tmp_path, vocab_file="", max_seq_length=64, dupe_factor=1, **flags),
    )
    assert done.returncode == 0, done.stderr
    tokenizer = tokenization.FullTokenizer(None, True, spm_model_file=model)
    text = "".join(tokenizer.tokenize(" ".join(files.read_lines(english))))
    records = read_records(str(tmp_path / "records"))
    assert len(records) > 20
    for record in records:
        size = sum(record["input_mask"])
        pieces = tokenizer.convert_ids_to_tokens(record["input_ids"][:size])
        assert pieces[0] == "[CLS]" and pieces[-1] == "[SEP]" and pieces.count("[SEP]") == 2
        segments = " ".join(pieces[1:-1]).split(" [SEP] ")
        first_of_b = pieces.index("[SEP]") + 1
        for place, piece in enumerate(pieces):
            is_bound = piece in ("[CLS]", "[SEP]") or place in (1, first_of_b)
            begins = is_bound or word_starts.starts_sentencepiece_word(piece)
            assert record["token_boundary"][place] == begins, (place, pieces)
        assert any(segment.replace(" ", "") in text for segment in segments)


@pytest.mark.parametrize(
    "script", ["create_pretraining_data.py", "create_pretraining_data_google.py"]
)
def test_a_sentencepiece_model_may_be_the_vocabulary(script, tmp_path):
    """A SentencePiece model is accepted as --vocab_file; the word segmenter is then not used."""
    english = os.path.join(ROOT, "data", "english_sample.txt")
    model = sentencepiece_models.train_sentencepiece(tmp_path, files.read_lines(english), 300)
    common = {"input_file": english, "max_seq_length": 64, "masking": "dynamic", "dupe_factor": 1}
    done = run(script, *arguments(tmp_path, vocab_file=model, **common))
    assert done.returncode == 0, done.stderr
    tokenizer = tokenization.FullTokenizer(model)
    whole_lines = set(map(tuple, map(tokenizer.tokenize, files.read_lines(english))))
    for record in read_records(str(tmp_path / "records"))[:9]:
        pieces = tokenizer.convert_ids_to_tokens(record["input_ids"][: sum(record["input_mask"])])
        begins = [
            piece in ("[CLS]", "[SEP]")
            or pieces[place - 1] in ("[CLS]", "[SEP]")
            or word_starts.starts_sentencepiece_word(piece)
            for place, piece in enumerate(pieces)
        ]
        assert record["token_boundary"][: len(pieces)] == begins
        assert sum(begins) < 0.9 * len(begins)
        text = " ".join(pieces)
        assert any(" ".join(line) in text or text[6:30] in " ".join(line) for line in whole_lines)


def test_a_file_name_that_is_not_utf8(tmp_path):
    folder = os.path.join(os.fsencode(str(tmp_path)), b"\xd6\xd0")
    os.mkdir(folder)
    with open(os.path.join(folder, b"\xce\xc4.txt"), "wb") as handle:
        handle.write(files.read_bytes(SAMPLE))
    for flags in ({}, {"stats": tmp_path / "stats.json"}):
        flags = dict(flags, input_file=tmp_path, segmenter="none", output_file=tmp_path / "new")
        done = run("create_pretraining_data.py", *arguments(tmp_path, **flags))
        assert done.returncode == 0, done.stderr
        (tmp_path / "new").unlink()


@pytest.mark.parametrize(
    "flags, message",
    [
        ({"input_file": "nowhere/*.txt"}, "--input_file=nowhere/.* no file matches the pattern"),
        ({"vocab_file": "nowhere.txt"}, "--vocab_file=nowhere.txt: no such file"),
        ({"max_predictions_per_seq": 126}, "--max_predictions_per_seq=126 does not fit .* 125"),
        ({"masked_lm_prob": 15}, "--masked_lm_prob=15.0: expected a share"),
        ({"dupe_factor": 0}, "--dupe_factor=0: expected at least 1"),
        ({"span": True, "ngram": 2}, "--span and --ngram are mutually exclusive"),
        (
            {"similar_words": "{gbk}", "do_whole_word_mask": True},
            "--similar_words: .*gbk, line 2: the file is in GBK, expected UTF-8: convert it",
        ),
        (
            {"one_segment": True, "format": "segment_pair"},
            "--one_segment=true and --format=segment_pair are mutually exclusive",
        ),
        (
            {"one_segment": True, "format": "full_sentences"},
            "--one_segment=true and --format=full_sentences are mutually exclusive",
        ),
        (
            {"one_segment": False, "format": "full_sentences"},
            "--one_segment=false and --format=full_sentences are mutually exclusive",
        ),
        (
            {"non_chinese": True, "segmenter": "jieba"},
            "--non_chinese and --segmenter=jieba are mutually exclusive",
        ),
        ({"output_file": "/proc/x/records"}, "cannot be written"),
        ({"input_file": STARTER_VOCABULARY + "x"}, "no such file"),
        (
            {"input_file": "{one}"},
            "no two sentences in any of 3 lines and 2 documents: .*, --one_segment for",
        ),
        (
            {"input_file": "{blank}", "one_segment": True},
            "no text in any of 2 lines and 0 documents",
        ),
        ({"input_file": "{gbk}"}, "line 2: the file is in GBK, expected UTF-8"),
        ({"vocab_file": "{maskless}"}, r"maskless: the vocabulary of 3 entries has no \[MASK\]"),
        ({"vocab_file": "{one}", "output_file": "{one}"}, "output_file=.*one: it is an input too"),
        ({"user_dict": "{one}", "output_file": "{one}"}, "output_file=.*one: it is an input too"),
        ({"input_file": "{link}", "output_file": "{one}"}, "output_file=.*one: it is an input too"),
        ({"output_file": "new", "stats": "./new"}, "--stats=./new: a file is named twice"),
        ({"output_file": "a.png", "stats": "a.json"}, "--stats=a.png: a file is named twice"),
        (
            {"vocab_file": "a.model", "segmenter": "jieba"},
            "a SentencePiece model and --segmenter are mutually exclusive",
        ),
        (
            {"vocab_file": "a.model", "similar_words": "words", "do_whole_word_mask": True},
            "a SentencePiece model and --similar_words are mutually exclusive: leave one out",
        ),
        ({"vocab_file": "{empty.model}"}, "empty.model: not a SentencePiece model"),
        ({"input_file": "{mac}"}, "mac: its lines end with CR only"),
    ],
)
def test_mistakes_are_one_line(flags, message, tmp_path):
    contents = {
        "one": "只有一句。\n\n又一句。\n".encode(),
        "blank": b"\n\n",
        "gbk": b"abc\n" + "这是一个句子，我们都认识它。\n".encode("gbk"),
        "maskless": b"[UNK]\n[CLS]\n[SEP]\n",
        "empty.model": b"",
        "mac": "一句。\r又一句。\r".encode(),
    }
    (tmp_path / "link").symlink_to(tmp_path / "one")
    flags = {k: str(v).replace("{link}", str(tmp_path / "link")) for k, v in flags.items()}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        flags = {k: str(v).replace("{%s}" % name, str(tmp_path / name)) for k, v in flags.items()}
    flags = dict({"num_workers": 1}, **flags)
    if not {"segmenter", "non_chinese"} & set(flags) and ".model" not in str(flags):
        flags["segmenter"] = "none"  # saves the time of loading jieba
    done = run("create_pretraining_data.py", *arguments(tmp_path, **flags))
    assert done.returncode == 2, done.stderr
    assert re.search(message, done.stderr), done.stderr
    assert len(done.stderr.strip().split("\n")) == 1
    assert sorted(os.listdir(str(tmp_path))) == sorted([*contents, "link"])


@pytest.mark.parametrize(
    "flags, message",
    [
        (
            {"original_masking": True, "similar_next_sentence": True},
            "--original_masking and --similar_next_sentence are mutually exclusive",
        ),
        ({"similar_next_sentence": True}, "no two sentences in any of 3 lines and 2 documents"),
        (
            {"favor_longer_ngram": True, "masking": "dynamic"},
            "--masking=dynamic and --favor_longer_ngram are mutually exclusive",
        ),
        (
            {"favor_longer_ngram": True, "favor_shorter_ngram": True},
            "--favor_shorter_ngram and --favor_longer_ngram are mutually exclusive",
        ),
    ],
)
def test_mistakes_of_googles_flags(flags, message, tmp_path):
    (tmp_path / "one").write_text("只有一句。\n\n又一句。\n", encoding="utf-8")
    flags = dict(flags, input_file=str(tmp_path / "one"))
    done = run("create_pretraining_data_google.py", *arguments(tmp_path, **flags))
    assert done.returncode == 2 and message in done.stderr, done.stderr


def test_the_sample_is_as_its_readme_says():
    with open(SAMPLE, encoding="utf-8") as handle:
        documents = [document.split("\n") for document in handle.read().rstrip("\n").split("\n\n")]
    sentences = [line for document in documents for line in document]
    assert len(documents) >= 20 and len(sentences) >= 200
    assert len(set(sentences)) == len(sentences)
    assert all(line and line == line.strip() for line in sentences)
    with open(os.path.join(ROOT, "data", "README.md"), encoding="utf-8") as handle:
        readme = handle.read()
    for count in (len(documents), len(sentences)):
        assert len(re.findall(r"\b%d (?=篇|句|short|sentences)" % count, readme)) == 4


def test_the_shell_command_runs_as_it_stands(tmp_path):
    pytest.importorskip("jieba")
    output = str(tmp_path / "records")
    done = subprocess.run(
        [
            "bash",
            "create_pretrain_data.sh",
            "--dupe_factor=1",
            "--vocab_file=" + STARTER_VOCABULARY,
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=120,
        env=dict(os.environ, OUTPUT_FILE=output, VIRTUAL_ENV=sys.prefix),
    )
    assert done.returncode == 0, done.stderr
    records = read_records(output)
    assert len(records) > 10
    assert len(records[0]["input_ids"]) == 512 and len(records[0]["masked_lm_ids"]) == 51


def test_many_files_by_the_shell_command(tmp_path):
    texts = [tmp_path / name for name in ("a.txt", "b.txt")]
    texts[0].write_text("一句话。\n两句话。\n", encoding="utf-8")
    texts[1].write_text("只有一句。", encoding="utf-8")

    def call(**settings):
        settings = dict(settings, OUTPUT_DIR=str(tmp_path / "out"), VIRTUAL_ENV=sys.prefix)
        return subprocess.run(
            ["bash", "scripts/create_pretrain_data_batch.sh"]
            + [str(text) for text in texts]
            + ["--", "--segmenter=none", "--vocab_file=" + STARTER_VOCABULARY],
            capture_output=True,
            text=True,
            cwd=ROOT,
            timeout=120,
            env=dict(os.environ, **settings),
        )

    done = call()
    assert done.returncode == 2
    assert "1 created, 0 skipped, 1 failed: %s" % texts[1] in done.stderr
    assert sorted(os.listdir(str(tmp_path / "out"))) == with_counts("a.tfrecord")
    texts[1].write_text("又有一句。\n再来一句。", encoding="utf-8")
    done = call()
    assert done.returncode == 0 and "1 created, 1 skipped, 0 failed" in done.stderr
    names = with_counts("a.tfrecord", "b.tfrecord")
    assert sorted(os.listdir(str(tmp_path / "out"))) == names
    work = tmp_path / "out" / ".a.tfrecord.unfinished"  # left by a stopped run with other settings
    work.mkdir()
    (work / "manifest.json").write_text('{"settings": {"x": 1}}')
    (work / "shard 0.done").write_text("{}")
    done = call(AGAIN="1")
    assert done.returncode == 0 and "2 created, 0 skipped, 0 failed" in done.stderr


NO_SUCH = "no such file, and no file matches the pattern (flags go after --)"
COMMA = "contains a comma, which separates names of outputs: rename the file"


@pytest.mark.parametrize(
    "words, settings, message",
    [
        (["--", "--dupe_factor=5"], {}, "no text before --: expected "),
        (["a.txt", "none.txt"], {}, "none.txt: " + NO_SUCH),
        (["a.txt", "--dupe_factor=5"], {}, "--dupe_factor=5: " + NO_SUCH),
        (["a.txt", "b/*.txt"], {}, "b/*.txt: " + NO_SUCH),
        (["a.txt", "gs://b/c.txt"], {}, "gs://b/c.txt: remote storage is not supported"),
        (["a.txt", "b,c.txt"], {}, "./b,c.tfrecord: " + COMMA),
        (["a.txt"], {"OUTPUT_DIR": "x,y"}, "x,y/a.tfrecord: " + COMMA),
        (["a.txt"], {"OUTPUT_PREFIX": "x,"}, "./x,a.tfrecord: " + COMMA),
        (["a.txt", "--", "--input_file=b.txt"], {}, "--input_file: each text has its own: "),
        (["a.txt", "--", "-output_file", "b"], {}, "-output_file: each text has its own: "),
    ],
)
def test_mistakes_of_many_files_cost_no_work(tmp_path, words, settings, message):
    for name in ("a.txt", "b,c.txt"):
        (tmp_path / name).write_text("一句话。\n两句话。\n", encoding="utf-8")
    done = call_batch(tmp_path, *words, **settings)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("create_pretrain_data_batch.sh: error: " + message)
    assert done.stderr.count("\n") == 1
    assert sorted(os.listdir(str(tmp_path))) == ["a.txt", "b,c.txt"]


def call_batch(folder, *words, name="create_pretrain_data_batch.sh", **settings):
    return subprocess.run(
        ["bash", os.path.join(ROOT, "scripts", name), *words],
        capture_output=True,
        text=True,
        cwd=str(folder),
        timeout=120,
        env=dict(os.environ, VIRTUAL_ENV=sys.prefix, **settings),
    )


@pytest.mark.parametrize("script", ["", "_webtext"])
def test_a_batch_of_nothing_shows_how_it_is_called(tmp_path, script):
    name = "create_pretrain_data_batch%s.sh" % script
    done = call_batch(tmp_path, name=name)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Creates pre-training records from ")
    helped = call_batch(tmp_path, "--help", name=name)
    assert (helped.returncode, helped.stdout, helped.stderr) == (0, done.stderr, "")


@pytest.mark.parametrize("folder, word", [("x,y", "x,y/a.txt"), ("xy", "?y/**/a.txt")])
def test_a_batch_takes_patterns_and_folders_with_commas(tmp_path, folder, word):
    text = tmp_path / folder / "a.txt"
    text.parent.mkdir()
    text.write_text("一句话。\n两句话。\n", encoding="utf-8")
    flags = ["--segmenter=none", "--vocab_file=" + STARTER_VOCABULARY]
    done = call_batch(tmp_path, word, "--", *flags, OUTPUT_DIR="out")
    assert done.returncode == 0 and "1 created, 0 skipped, 0 failed" in done.stderr
    assert sorted(os.listdir(str(tmp_path / "out"))) == with_counts("a.tfrecord")


def test_a_pattern_in_quotes_is_every_file_that_it_fits(tmp_path):
    """Regression: a single file of records called `*.tfrecord` was once created from all texts."""
    for name in ("a b.txt", "c.txt", "folder.txt/d.txt"):
        (tmp_path / "my" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "my" / name).write_text("一句话。\n两句话。\n", encoding="utf-8")
    flags = ["--segmenter=none", "--vocab_file=" + STARTER_VOCABULARY]
    done = call_batch(tmp_path, "my/*.txt", "--", *flags, OUTPUT_DIR="out")
    assert done.returncode == 0 and "2 created, 0 skipped, 0 failed" in done.stderr
    names = with_counts("a b.tfrecord", "c.tfrecord")
    assert sorted(os.listdir(str(tmp_path / "out"))) == names
    (tmp_path / "my" / "e.txt").write_text("一句话。\n两句话。\n", encoding="utf-8")
    done = call_batch(tmp_path, "my/*.txt", "--", *flags, OUTPUT_DIR="out")
    assert "1 created, 2 skipped, 0 failed" in done.stderr


# Records of one segment


def one_segment_features(lines_of_documents, starter, **settings):
    """Returns the features of the records of documents, each given as a list of lines."""
    shard = corpus_reader.Shard(0, lines_of_documents, False, collections.Counter(), [], 0)
    encoded = sampling.encode_shard(shard, word_segmentation.LineEncoder(starter))
    settings = SETTINGS._replace(one_segment=True, **settings)
    sampler = sampling.Sampler(settings, sampling.make_vocabulary(starter))
    return joined(sampler.features(encoded, 0))


def test_a_segment_a_record_has_all_the_text_of_whole_sentences(starter):
    """Three sentences of 10 fit into 34 positions, two of 20 do not; one of 70 is split."""
    documents, expected = documents_of([[10, 10, 10, 10], [20, 20], [70, 5]], starter)
    features = one_segment_features(documents, starter, max_seq_length=34, dynamic=True)
    ids, mask = features["input_ids"], features["input_mask"]
    cls_id, sep_id = starter.convert_tokens_to_ids(["[CLS]", "[SEP]"])
    assert mask.sum(axis=1).tolist() == [length + 2 for length in (30, 10, 20, 20, 32, 32, 11)]
    texts = [row[: size.sum()].tolist() for row, size in zip(ids, mask)]
    assert all(text[0] == cls_id and text[-1] == sep_id for text in texts)
    assert sum((text[1:-1] for text in texts), []) == expected
    assert not features["segment_ids"].any()
    assert (features["next_sentence_labels"] == 1).all()


def documents_of(lengths, starter):
    """Returns documents of sentences of the given lengths, without repeated hanzi, and all ids."""
    hanzi = [token for token in starter.vocab if "\u4e00" <= token <= "\u9fa5"]
    documents, first = [], 0
    for sizes in lengths:
        documents.append([])
        for size in sizes:
            documents[-1].append("".join(hanzi[first : first + size]))
            first += size
    return documents, starter.convert_tokens_to_ids(hanzi[:first])


def test_full_sentences_go_on_behind_a_separator(starter):
    """34 positions hold 32 pieces: two documents of 10 with a [SEP] between them, not a third."""
    lengths = [[10], [10], [12, 20], [32], [70, 3], [1]]
    documents, expected = documents_of(lengths, starter)
    features = one_segment_features(
        documents, starter, max_seq_length=34, dynamic=True, crosses_documents=True
    )
    cls_id, sep_id = starter.convert_tokens_to_ids(["[CLS]", "[SEP]"])
    sizes = features["input_mask"].sum(axis=1)
    texts = [row[:size].tolist() for row, size in zip(features["input_ids"], sizes)]
    assert all(text[0] == cls_id and text[-1] == sep_id for text in texts)
    inner = [text[1:-1] for text in texts]
    assert [len(text) for text in inner] == [21, 32, 32, 32, 32, 11]
    assert all(text[0] != sep_id and text[-1] != sep_id for text in inner)
    assert [text.count(sep_id) for text in inner] == [1, 0, 0, 0, 0, 1]
    assert inner[0].index(sep_id) == 10
    assert [piece for text in inner for piece in text if piece != sep_id] == expected
    assert not features["segment_ids"].any()


def test_a_separator_inside_of_a_segment_is_never_masked(starter):
    documents, _ = documents_of([[3]] * 40, starter)
    features = one_segment_features(
        documents, starter, max_seq_length=34, crosses_documents=True, max_predictions=20,
        masked_lm_prob=0.6,
    )  # fmt: skip
    sep_id = starter.vocab["[SEP]"]
    used = features["masked_lm_weights"] > 0
    assert used.sum() > 40 and not (features["masked_lm_ids"][used] == sep_id).any()
    assert ((features["input_ids"] == sep_id).sum(axis=1)[:-1] == 8).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, at_most",
    [("doc_sentences", 1), ("full_sentences", 60)],
)
def test_formats_of_one_segment_are_read_by_pre_training(name, at_most, tmp_path):
    output = str(tmp_path / "one.tfrecord")
    arguments = [
        "--input_file=" + SAMPLE,
        "--output_file=" + output,
        "--vocab_file=" + STARTER_VOCABULARY,
        "--format=" + name,
        "--dupe_factor=1",
    ]
    done = run_process(arguments, "create_pretraining_data.py")
    assert done.returncode == 0 and "train with --sentence_task=false" in done.stdout
    check = run_process(
        ["--vocab_file=" + STARTER_VOCABULARY, "--check", output], "inspect_tfrecord.py"
    )
    assert check.returncode == 0, check.stdout + check.stderr
    rows = [
        tf.train.Example.FromString(record).features.feature["input_ids"].int64_list.value
        for record in tf.python_io.tf_record_iterator(output)
    ]
    with open(STARTER_VOCABULARY, encoding="utf-8") as handle:
        sep_id = handle.read().split("\n").index("[SEP]")
    counts = [list(row).count(sep_id) for row in rows]
    assert max(counts) <= at_most and (name == "doc_sentences" or max(counts) > 1)


@pytest.mark.slow
def test_the_originals_program_for_one_segment(tmp_path, capsys):
    """The records equal those of --one_segment, have the original's features and pass the check."""
    output = str(tmp_path / "roberta.tfrecord")
    script = os.path.join("resources", "create_pretraining_data_roberta.py")
    arguments = [
        "--input_file=" + SAMPLE,
        "--output_file=" + output,
        "--vocab_file=" + STARTER_VOCABULARY,
        "--do_whole_word_mask=true",
        "--dupe_factor=2",
    ]
    done = run_process(arguments, script, cwd=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "the order of sentences cannot be learned" not in done.stderr
    same = run_process(
        ["--one_segment=true"] + arguments[:1] + ["--output_file=" + output + "2"] + arguments[2:],
        "create_pretraining_data.py",
    )
    assert same.returncode == 0
    assert storage.sha256_of_file(output) == storage.sha256_of_file(output + "2")
    examples = [tf.train.Example.FromString(r) for r in tf.python_io.tf_record_iterator(output)]
    sizes = {
        name: (feature.WhichOneof("kind"), len(getattr(feature, feature.WhichOneof("kind")).value))
        for name, feature in examples[0].features.feature.items()
    }
    ints = dict.fromkeys(("input_ids", "input_mask", "segment_ids"), ("int64_list", 128))
    ints.update(dict.fromkeys(("masked_lm_positions", "masked_lm_ids"), ("int64_list", 20)))
    ints.update(masked_lm_weights=("float_list", 20), next_sentence_labels=("int64_list", 1))
    assert sizes == ints
    arguments = ["--vocab_file=" + STARTER_VOCABULARY, "--check", output]
    check = run_process(arguments, "inspect_tfrecord.py")
    assert check.returncode == 0, check.stdout + check.stderr


@pytest.mark.parametrize("flag", ["--random_next_sentence", "--similar_next_sentence"])
def test_one_segment_has_no_second(flag, tmp_path):
    arguments = ["--input_file=" + SAMPLE, "--output_file=%s/a" % tmp_path]
    arguments += ["--vocab_file=" + STARTER_VOCABULARY, "--one_segment=true"]
    done = run_process(arguments + [flag], "create_pretraining_data_google.py")
    assert done.returncode == 2 and "--one_segment and a B from another" in done.stderr
    done = run_process(arguments + ["--original_masking"], "create_pretraining_data.py")
    assert done.returncode == 2 and "--one_segment and --original_masking" in done.stderr


def test_paragraphs_as_lines_are_warned_of(tmp_path):
    """Each paragraph fills a record: Google's pairs all have label 1, or most text is lost."""
    text, output = tmp_path / "text.txt", tmp_path / "a"
    settings = ["--input_file=%s" % text, "--output_file=%s" % output, "--num_workers=1"]
    settings += ["--vocab_file=" + STARTER_VOCABULARY, "--dupe_factor=1", "--max_seq_length=32"]
    paragraph = "今天天气很好我们都去公园里面散步" * 3 + "\n"
    text.write_text((paragraph * 4 + "\n") * 6, encoding="utf-8")
    script = "create_pretraining_data_google.py"
    assert "100.0% of the records have label 1" in run_process(settings, script).stderr
    paragraph = paragraph.strip() * 4 + "\n"
    text.write_text(paragraph * 40 + "\n" + "明天会下雨。\n后天不下。\n\n" * 9, encoding="utf-8")
    done = run_process(settings, script).stderr
    assert re.search(r"only [0-9.]+% of the text is in records, [0-9.]+% of it is lost", done)


def test_text_without_punctuation_is_kept_in_one_segment(tmp_path, capsys):
    """Without sentence ends, the warning says how much text is lost, and its advice works."""
    text, output = tmp_path / "text.txt", tmp_path / "a"
    text.write_text(("今天天气很好我们都去公园里面散步" * 125 + "\n") * 3, encoding="utf-8")
    settings = ["--input_file=%s" % text, "--output_file=%s" % output, "--num_workers=1"]
    settings += ["--vocab_file=" + STARTER_VOCABULARY, "--dupe_factor=1", "--max_seq_length=63"]
    settings += ["--segmenter=none"]

    def printed(*flags):
        with isolated_flags.flags_of(settings + list(flags), create_pretraining_data.define_flags):
            create_pretraining_data.run()
        return capsys.readouterr()

    warning = "only 1.0% of the text is in records, 99.0% of it is lost: lines that fill a record"
    way_out = "in them: --one_segment=true keeps all text"
    usual, split, one = printed(), printed("--split_sentences"), printed("--one_segment")
    assert warning in usual.err and "give --split_sentences=true if lines are" in usual.err
    assert warning in split.err and "--split_sentences finds no ends of sentences" in split.err
    assert way_out in split.err and "give --split_sentences" not in split.err.split("lost")[1]
    assert "lost" not in one.err
    assert re.search("^records +99$", one.out, re.MULTILINE)  # 33 records of 61 pieces per line
    assert re.search("^text in records +100.0% of each pass$", one.out, re.MULTILINE)


@pytest.mark.parametrize("script", ["create_pretraining_data", "create_pretraining_data_google"])
def test_documents_of_one_sentence_are_warned_of(script, tmp_path):
    text = tmp_path / "text.txt"
    settings = ["--input_file=%s" % text, "--output_file=%s/a" % tmp_path, "--num_workers=1"]
    settings += ["--vocab_file=" + STARTER_VOCABULARY, "--dupe_factor=1", "--masking=dynamic"]
    sentences = "今天天气很好。\n明天会下雨。\n\n" * 3
    text.write_text(sentences + "苹果手机怎么样？\n\n" * 4, encoding="utf-8")
    done = run_process(settings, script + ".py")
    assert done.returncode == 0
    assert "57.1% of the documents have a single sentence" in done.stderr
    assert "--split_sentences=true" in done.stderr
    text.write_text(sentences + "苹果手机怎么样？\n\n" * 2, encoding="utf-8")
    assert "single sentence" not in run_process(settings, script + ".py").stderr


@pytest.mark.slow
def test_numbered_files_by_the_shell_command(tmp_path):
    """create_pretrain_data_batch_webtext.sh takes FIRST LAST and uses the original's folders."""
    folder = tmp_path / "raw_text" / "web_text_zh_raw"
    folder.mkdir(parents=True)
    for number in (8, 9, 10, 11):
        name = "web_text_zh_%d.txt" % number
        (folder / name).write_text("一句话。\n两句话。\n", encoding="utf-8")

    def call(*words, **settings):
        script = os.path.join(ROOT, "create_pretrain_data_batch_webtext.sh")
        return subprocess.run(
            ["sh", script]
            + list(words)
            + ["--segmenter=none", "--vocab_file=" + STARTER_VOCABULARY],
            capture_output=True,
            text=True,
            cwd=str(tmp_path),
            timeout=120,
            env=dict(os.environ, VIRTUAL_ENV=sys.prefix, **settings),
        )

    done = call("9", "10")
    assert done.returncode == 0 and "2 created, 0 skipped, 0 failed" in done.stderr
    made = ["tf_web_text_zh_%d.tfrecord" % number for number in (10, 9)]
    assert sorted(os.listdir(str(tmp_path / "tf_records"))) == with_counts(*made)
    done = call("08", "09", INPUT=str(folder / "web_text_zh_%d.txt"), OUTPUT_DIR=str(tmp_path))
    assert done.returncode == 0 and os.path.exists(str(tmp_path / "tf_web_text_zh_8.tfrecord"))
    for words, message in (
        (["1"], "expected two numbers"),
        (["a", "2"], "found 'a' and '2'"),
        (["3", "2"], "the first number, 3, is greater than the last, 2"),
    ):
        done = call(*words)
        assert done.returncode == 2 and message in done.stderr
    assert "lacks %d" in call("1", "2", INPUT="x.txt").stderr


def test_numbers_without_a_file_cost_no_work_and_are_named(tmp_path):
    for number in (1, 3):
        (tmp_path / ("a_%d.txt" % number)).write_text("一句话。\n两句话。\n", encoding="utf-8")
    script = "create_pretrain_data_batch_webtext.sh"
    for last, numbers in (("05", "2, 4, 5"), ("20", "2, 4, 5, 6, 7, 8, 9, 10, 11, 12 and 8 more")):
        done = call_batch(tmp_path, "1", last, name=script, INPUT="a_%d.txt")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            "%s: error: a_%%d.txt: no such file if %%d is %s: give the numbers of files that "
            "exist, or set INPUT to their names\n" % (script, numbers)
        )
    assert sorted(os.listdir(str(tmp_path))) == ["a_1.txt", "a_3.txt"]


def test_the_originals_name_of_the_sample():
    """The original's script reads data/news_zh_1.txt, and users name this file in commands."""
    originals = os.path.join(ROOT, "data", "news_zh_1.txt")
    assert files.read_text(originals) == files.read_text(SAMPLE)


@pytest.mark.parametrize(
    "arguments, times",
    [
        (["--format=doc_sentences", "--masking=dynamic"], 1),
        (["--format=doc_sentences", "--masking=dynamic", "--dupe_factor=5"], 5),
        (["--format=doc_sentences"], 10),
        (["--masking=dynamic"], 10),
    ],
)
def test_a_text_is_used_once_by_default_where_each_time_makes_the_same(arguments, times):
    with isolated_flags.flags_of(arguments, create_pretraining_data.define_flags):
        assert create_pretraining_data._dupe_factor() == times
        notes = " ".join(create_pretraining_data._notes_on_flags())
    assert ("--dupe_factor=5 writes each record that many times" in notes) == (times == 5)


@pytest.mark.parametrize("runner, notes", [("local", 1), ("beam", 0)])
def test_options_of_beam_that_is_not_used_are_noted(runner, notes):
    arguments = ["--runner=" + runner, "--beam_options=--runner=FlinkRunner"]
    with isolated_flags.flags_of(arguments, create_pretraining_data.define_flags):
        said = list(create_pretraining_data._notes_on_flags())
    expected = (
        "--beam_options has no effect without --runner=beam: the records are created on this "
        "machine"
    )
    assert said == [expected] * notes


@pytest.mark.parametrize(
    "arguments, noted",
    [
        (["--segmenter=rjieba"], ["--segmenter=rjieba"]),
        (["--user_dict=my.txt", "--ngram=2"], ["--user_dict=my.txt"]),
        (["--segmenter=none"], []),
        (["--segmenter=jieba", "--do_whole_word_mask"], []),
        (["--segmenter=jieba", "--masking=dynamic"], []),
        (["--segmenter=jieba", "--original_masking"], []),
        ([], []),
    ],
)
def test_words_that_are_not_masked_are_noted(arguments, noted):
    """Regression: users who name a segmenter expect whole words, but no note said otherwise."""
    with isolated_flags.flags_of(arguments, create_pretraining_data.define_flags):
        notes = list(create_pretraining_data._notes_on_flags())
    end = " has no effect without --do_whole_word_mask=true: single pieces are masked"
    assert notes == [flag + end for flag in noted]
