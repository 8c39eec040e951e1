"""Tests of rows created by replacing words, and of word vectors."""

import types

import numpy as np
import pytest

from albert_zh.common.errors import UserError
from albert_zh.inference.augmentation import (
    EACH,
    AugmentationSettings,
    Augmenter,
    Example,
)
from albert_zh.inference.word_candidates import CandidateFinder, CandidateSettings
from albert_zh.text.tokenization import FullTokenizer
from albert_zh.text.word_vectors import WordVectors

WORDS = {"苹果": ["香蕉", "葡萄"], "手机": ["电脑"], "便宜": ["实惠"]}


class Finder:
    """Knows three words and their replacements."""

    def replaceable(self, text):
        places = [(text.find(word), len(word)) for word in WORDS if word in text]
        return sorted((begin, begin + size) for begin, size in places)

    def is_too_long(self, text):
        return len(text) > 20

    def candidates(self, requests):
        return [list(WORDS[text[begin:end]]) for text, (begin, end) in requests]


def augmented(text_a, text_b=None, number=0, finder=Finder, **settings):
    settings = AugmentationSettings(**dict({"copies": 20, "probability": 0.5}, **settings))
    return Augmenter(finder(), settings).augment([Example(number, text_a, text_b)])[0].texts


def test_rounds_replace_some_words():
    texts = [text for text, _ in augmented("苹果手机很便宜。")]
    possible = {
        a + b + "很" + c + "。"
        for a in ("苹果", "香蕉", "葡萄")
        for b in ("手机", "电脑")
        for c in ("便宜", "实惠")
    }
    assert len(texts) == len(set(texts)) > 5
    assert set(texts) <= possible - {"苹果手机很便宜。"}


def test_rows_with_a_text_too_long_for_masked_lm_are_marked():
    """A row of masked LM is [CLS] text [SEP] text [SEP]: 9 tokens hold a text of 3."""
    tokenizer = types.SimpleNamespace(tokenize=list)
    filler = types.SimpleNamespace(tokenizer=tokenizer, max_seq_length=9)
    finder = CandidateFinder(filler, None, None, CandidateSettings())
    assert [finder.is_too_long("苹" * length) for length in (0, 3, 4)] == [False, False, True]
    examples = [Example(0, "苹果" + "。" * 18, None), Example(1, "苹果" + "。" * 19, None)]
    examples.append(Example(2, "好" * 99, None))  # without replaceable words
    rows = Augmenter(Finder(), AugmentationSettings()).augment(examples)
    assert [row.is_too_long for row in rows] == [False, True, False]


def test_every_word_by_probability_1_and_none_by_0():
    texts = augmented("手机便宜", probability=1.0)
    assert texts == [("电脑实惠", None)]
    assert augmented("手机便宜", probability=0.0) == []


def test_of_a_pair_the_same_words_are_replaced_alike_and_no_others():
    for text_a, text_b in augmented("苹果手机", "便宜的苹果"):
        assert text_a[2:] == "手机" and text_b[:3] == "便宜的"
        assert text_a[:2] == text_b[3:] != "苹果"
    assert augmented("手机", "便宜") == []


class SameFinder(Finder):
    """A finder for which any word may replace any other."""

    def candidates(self, requests):
        return [list(WORDS) + ["香蕉"] for _ in requests]


def test_words_of_a_pair_that_differ_still_differ():
    """No word becomes another word of the texts, and no two words become the same word."""
    settings = {"copies": 99, "finder": SameFinder}
    assert set(augmented("苹果比手机便宜", "手机比苹果便宜", **settings)) == {
        ("香蕉比手机便宜", "手机比香蕉便宜"),
        ("苹果比香蕉便宜", "香蕉比苹果便宜"),
        ("苹果比手机香蕉", "手机比苹果香蕉"),
    }
    assert set(augmented("苹果比手机", "手机比苹果", **settings)) == {
        ("便宜比手机", "手机比便宜"),
        ("苹果比便宜", "便宜比苹果"),
        ("香蕉比手机", "手机比香蕉"),
        ("苹果比香蕉", "香蕉比苹果"),
        ("便宜比香蕉", "香蕉比便宜"),
        ("香蕉比便宜", "便宜比香蕉"),
    }


def test_a_word_of_a_pair_that_is_part_of_another_word_stays():
    assert augmented("苹果", "苹果汁和苹果") == []  # the finder returns one of two places
    assert augmented("苹果汁和苹果") != []


def test_each_word_of_each_text_by_itself():
    texts = augmented("苹果手机", "便宜的苹果", pairs=EACH)
    assert any(text_a[:2] != text_b[3:] for text_a, text_b in texts)
    assert any(text_a[2:] == "电脑" for text_a, _ in texts)


def test_draws_are_a_function_of_seed_and_row():
    assert augmented("苹果手机便宜", seed=3) == augmented("苹果手机便宜", seed=3)
    assert augmented("苹果手机便宜", seed=3) != augmented("苹果手机便宜", seed=4)
    assert augmented("苹果手机便宜") != augmented("苹果手机便宜", number=1)


@pytest.mark.parametrize("first", ["", "4 3\n"])
def test_nearest_words(tmp_path, first):
    path = tmp_path / "words.vec"
    path.write_text(
        first + "北京 1 0 0\n上海 2 0.2 0\n苹果 0 1 0\n香蕉 0 3 0.5\n", encoding="utf-8"
    )
    vectors = WordVectors.read(str(path))
    (word, cosine), (other, _) = vectors.nearest("苹果", 2)
    assert word == "香蕉" and other == "上海"
    np.testing.assert_allclose(cosine, 3 / np.sqrt(9.25), rtol=1e-6)
    assert vectors.nearest("火星", 2) == []


@pytest.mark.parametrize(
    "num_left_out, text",
    [
        (0, "3 3\n苹果\t0\t1\t0\n香蕉\t0\t3\t0.5\t\n梨\t1\t0\t0\n\n"),
        (2, "苹果  0 1 0 \n. . . 1 1 1\nWindows 10 1 1 1\n2019 9 9 9\n香蕉 0 3 0.5\n"),
        (3, "5 3\n\u3000 0 1 0.1\n苹果 0 1 0\n\ufffd\ufffd果 0 1 0\n香蕉 0 3 0.5\n苹果 1 0 0\n"),
    ],
    ids=["tabs", "blanks in words", "unreadable and repeated"],
)
def test_vectors_of_other_programs(tmp_path, num_left_out, text):
    """Files contain tabs, blanks at the end or in words, numbers, broken bytes, repeated words."""
    content = text.encode("utf-8").replace("\ufffd\ufffd".encode("utf-8"), b"\xe6\x9e")
    (tmp_path / "words.vec").write_bytes(content)
    vectors = WordVectors.read(str(tmp_path / "words.vec"))
    assert vectors.words[0] == "苹果" and len(set(vectors.words)) == len(vectors.words)
    assert not any(" " in word or "\ufffd" in word for word in vectors.words)
    assert vectors.nearest("苹果", 1)[0][0] == "香蕉"
    assert len(vectors.notes) == bool(num_left_out)
    assert all("words.vec: %d word vectors skipped" % num_left_out in n for n in vectors.notes)


@pytest.mark.parametrize(
    "text, message",
    [
        ("北京 1 0\n上海 1 x\n", "line 2: .* is no word vector: expected .* in each line .2.,"),
        ("2 2\n北京 1 0\n上海 1\n", "line 3: .* is no word vector"),
        ("2 3\n北京 1 0\n上海 1 2\n", "line 2: .* is no word vector: expected .* line .3.,"),
        ("2 2\n北京 1 0 2\n上海 1 2 3\n", "no word vectors: .* and its numbers, 2 by its first"),
        ("北京 1 0\n上海 1 nan\n", "line 2: .* is no word vector"),
        ("北京\n上海\n", "line 1: '北京' is no word vector: expected"),
        ("", "no word vectors"),
    ],
)
def test_a_file_of_other_lines(tmp_path, text, message):
    path = tmp_path / "words.vec"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="words.vec: " + message):
        WordVectors.read(str(path))


def test_near_words_are_content_words(tmp_path):
    """没有 and 可以 occur near verbs, but replacing a verb by them would change the meaning."""
    for name, lines in (
        ("words.vec", ["支持 1 0", "没有 1 0.1", "赞成 1 0.2", "OK 1 0.3"]),
        ("vocab.txt", ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "支", "持"]),
    ):
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    tokenizer = FullTokenizer(str(tmp_path / "vocab.txt"))
    filler = types.SimpleNamespace(tokenizer=tokenizer, max_seq_length=0)  # disables masked LM
    vectors = WordVectors.read(str(tmp_path / "words.vec"))
    finder = CandidateFinder(filler, list, bool, CandidateSettings(), vectors)
    assert finder.candidates([("支持", (0, 2))]) == [["赞成"]]


def test_vectors_of_a_text(tmp_path):
    pytest.importorskip("gensim")
    generator = np.random.RandomState(1)
    fruits, cities = ["苹果", "香蕉", "葡萄"], ["北京", "上海", "广州"]
    sentences = [list(generator.choice(words, 6)) for words in (fruits, cities) * 200]
    vectors = WordVectors.train(sentences, seed=1)
    assert {word for word, _ in vectors.nearest("苹果", 2)} == {"香蕉", "葡萄"}
    with pytest.raises(UserError, match="no word occurs 5 times"):
        WordVectors.train([["苹果"]], seed=1)
