"""Tokenization in the graph gives the tokens and rows of `FullTokenizer` for any text."""

import functools
import json
import os
import random
import sys
import unicodedata

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.export.graph_tokenizer import GraphTokenizer
from albert_zh.inference import input_rows
from albert_zh.inference.runtimes import checkpoint_session
from albert_zh.text import tokenization, tokenizer_tables
from crossed_cases import with_slow
import small_models

# Both forms of sigma, marks of several combining classes that are not stripped with the accents
# (U+302E 224, U+1D165 216, U+1D16D 226), Hangul jamo, overlapping pieces, a character that is
# ignored next to a sigma (U+00A8), a private-use character, pieces that no word can contain.
PIECES = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] a ##a ab ##ab abc ##bca b ##b ##c c abcab ##cabc A ##A é ##é "
    "e ##e σ ς ##σ ##ς Σ ##Σ σς ##σσ α ##α ##ας \u00a8 ##\u00a8 ##\u302e ##\U0001d165 "
    "##\U0001d16d a\u302e \u1112 ##\u1161 ##\u11ab 한 北 ##京 京 , . ' ## ### ##\u02b0 i ##i ß ##ß "
    "ss \ue000 ##\ue000 \U0001f600 \U0001d158 ##\u0cd5 \u0cd5 1 ##1 ##0"
).split()
# Texts consist of any characters and of these: the above, and some that are dropped, split words
# or combine.
SPECIAL = (
    "abcABΣΣσςα'’.·:^`\u00a8\u02b0\u0345\u0301\u0307\u034f\u302e\u302f\U0001d165\U0001d16d"
    "\u0f71\u0cbf\u0cc0한글北京々〇ａÀÅéİıßẞﬁ１ \t\n\r\0\x0b\x1c\x85\xa0\xad\u200b\u200d\u2028"
    "\u2029\u3000\ufeff\ufffd\ufffe\U0001f600\U0001f468\ue000\uf900\U0002f800\U00020000\u037e"
    "\u1fef$+<~,-_[]#"
)


@pytest.fixture(scope="module")
def vocab_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    path.write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    return str(path)


class Tokenizers:
    """A tokenizer in Python and its counterpart in the graph."""

    def __init__(self, vocab_file, do_lower_case):
        self.python = tokenization.FullTokenizer(vocab_file, do_lower_case)
        with tf.Graph().as_default():
            self.graph = GraphTokenizer(tokenizer_tables.build(self.python))
            texts = tf.placeholder(tf.string, [None])
            self._run = tf.Session().make_callable(self.graph.tokens(texts), [texts])

    def tokens(self, texts):
        """Returns the graph's tokens of texts (bytes), one list per text."""
        ids, rows = self._run(texts)
        assert (np.diff(rows) >= 0).all()
        ends = np.cumsum(np.bincount(rows, minlength=len(texts)))
        return [self.python.convert_ids_to_tokens(part) for part in np.split(ids, ends[:-1])]

    def check(self, texts):
        """Asserts that both give the same tokens of texts, str or bytes."""
        as_bytes = [t if isinstance(t, bytes) else t.encode("utf-8") for t in texts]
        for text, tokens in zip(texts, self.tokens(as_bytes)):
            assert tokens == self.python.tokenize(text), repr(text)


@functools.lru_cache(maxsize=None)
def tokenizers(vocab_file, do_lower_case):
    return Tokenizers(vocab_file, do_lower_case)


BOTH_CASES = pytest.mark.parametrize("do_lower_case", [True, False])
MOSTLY_LOWER_CASE = pytest.mark.parametrize("do_lower_case", with_slow([True, False], [True]))


@BOTH_CASES
def test_golden_cases(shared, do_lower_case):
    vocabulary = os.path.join(shared, "data", "ckpt_index_only", "MarsRoger_albert_tiny")
    both = tokenizers(os.path.join(vocabulary, "vocab.txt"), do_lower_case)
    path = os.path.join(shared, "golden", "tokenization", "tokenization_cases.json")
    with open(path, encoding="utf-8") as handle:
        cases = json.load(handle)["cases"]
    cases = [case for case in cases if not any(map(is_surrogate, case["input"]))]
    assert len(cases) == 199  # two have an unpaired surrogate, which UTF-8 cannot encode
    found = both.tokens([case["input"].encode("utf-8") for case in cases])
    for case, tokens in zip(cases, found):
        for family in ("bm", "google"):
            expected = case[family + ("_lower" if do_lower_case else "_cased")]
            assert tokens == expected["tokens"], repr(case["input"])


def is_surrogate(char):
    return unicodedata.category(char) == "Cs"


@MOSTLY_LOWER_CASE
def test_every_character(do_lower_case, vocab_file):
    path = small_models.STARTER_VOCABULARY if do_lower_case else vocab_file
    chars = [chr(c) for c in range(sys.maxunicode + 1)]
    chars = [c for c in chars if unicodedata.category(c) not in ("Cn", "Co", "Cs")]
    assert len(chars) > 130000
    tokenizers(path, do_lower_case).check(["a" + char + "b" for char in chars])


@pytest.mark.slow
@BOTH_CASES
def test_letters_around_a_sigma(do_lower_case, vocab_file):
    """The lower case of sigma differs at the end of a word, as Unicode defines it."""
    around = ["", "a", "A", "'", "\u00a8", "1", "北", " ", "\u200b", "\u0301", "Σ", ",", "\0"]
    texts = [a + b + "Σ" + c + d for a in around for b in around for c in around for d in around]
    both = tokenizers(vocab_file, do_lower_case)
    both.check(texts)
    both.check(["".join(texts), "", "Σ", "αΣ"])
    found = both.tokens(["αΣ' αΣ'α".encode()])[0]
    lower = ["α", "##ς", "'", "α", "##σ", "'", "α"]
    assert found == (lower if do_lower_case else ["α", "##Σ", "'", "α", "##Σ", "'", "α"])


def test_marks_are_ordered_as_normalization_orders_them(vocab_file):
    marks = ["\u302e", "\U0001d165", "\U0001d16d", "\u0301", "\u034f", "b", "\u200b", " ", ""]
    texts = ["a" + i + j + k + m for i in marks for j in marks for k in marks for m in marks]
    both = tokenizers(vocab_file, True)
    both.check(texts)
    both.check(["".join(texts)] + marks)
    found = both.tokens(
        ["a\u302e\U0001d165".encode("utf-8"), "ab\u302e\u034f\U0001d165".encode("utf-8")]
    )
    assert found == [["a", "##\U0001d165", "##\u302e"], ["ab", "##\u302e", "##\U0001d165"]]


@BOTH_CASES
def test_long_words_and_no_words(do_lower_case, vocab_file):
    both = tokenizers(vocab_file, do_lower_case)
    lengths = (199, 200, 201, 10000)
    both.check([word[:n] for n in lengths for word in ("a" * n, "abcab" * n, "éb" * n)])
    both.check(["a" * 200 + "," + "a" * 201 + ",b", "北" * 10000, "," * 300, "a\u0301" * 200])
    both.check(["", "", " ", "a", "", "\0"])
    both.check([""])
    assert [len(part) for part in both._run([])] == [0, 0]
    assert both.tokens([b"a" * 200, b"a" * 201]) == [["a"] + ["##a"] * 199, ["[UNK]"]]


@pytest.mark.slow
@MOSTLY_LOWER_CASE
@pytest.mark.reference
def test_any_text(do_lower_case, vocab_file):
    hypothesis = pytest.importorskip("hypothesis")
    strategies = hypothesis.strategies
    chars = strategies.one_of(
        strategies.sampled_from(SPECIAL), strategies.characters(blacklist_categories=["Cs"])
    )
    texts = strategies.lists(strategies.text(chars, max_size=60), max_size=8)

    @hypothesis.settings(max_examples=300, deadline=None)
    @hypothesis.given(texts)
    def check(texts):
        if texts:
            tokenizers(vocab_file, do_lower_case).check(texts)
            tokenizers(small_models.STARTER_VOCABULARY, do_lower_case).check(texts)

    check()


@BOTH_CASES
@pytest.mark.newest
def test_random_texts_of_special_characters(do_lower_case, vocab_file):
    generator = random.Random(6)
    sizes = (generator.randint(0, 30) for _ in range(30000))
    texts = ["".join(generator.choice(SPECIAL) for _ in range(size)) for size in sizes]
    tokenizers(vocab_file, do_lower_case).check(texts)


@BOTH_CASES
def test_what_is_not_utf_8_is_left_out(do_lower_case, vocab_file):
    generator = random.Random(7)
    parts = [char.encode("utf-8") for char in SPECIAL + "ab北" * 20]
    parts += [bytes(bytearray([n])) for n in range(128, 256)]
    parts += [b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xe5\x8c", b"\xf0\x9f\x98"]
    texts = [b"".join(generator.choice(parts) for _ in range(12)) for _ in range(20000)]
    tokenizers(vocab_file, do_lower_case).check(texts + parts)


# Rows


def encoder_of(vocab_file, max_seq_length, length=None):
    """Returns a function of two lists of texts -> ids, mask, segments."""
    with tf.Graph().as_default():
        texts = [tf.placeholder(tf.string, [None]) for _ in range(2)]
        graph_tokenizer = tokenizers(vocab_file, True).graph
        rows = graph_tokenizer.encode(*texts, max_seq_length=max_seq_length, length=length)
        return tf.Session().make_callable(list(rows), texts)


def some_texts(count):
    generator = random.Random(8)
    return [
        "".join(generator.choice("ab北京, ") for _ in range(generator.choice([0, 1, 2, 5, 20])))
        for _ in range(count)
    ]


@pytest.mark.parametrize("max_seq_length", [3, 4, 8, 9, 10, 24, 128])
@pytest.mark.parametrize("is_padded", [False, True])
@pytest.mark.newest
def test_rows_are_those_of_the_predictor(max_seq_length, is_padded, vocab_file):
    length = max_seq_length + 2 if is_padded else None
    run = encoder_of(vocab_file, max_seq_length, length)
    first, second = some_texts(300), some_texts(600)[300:]
    for texts_a, texts_b in ((first, second), (first, None), (first[:1], second[:1]), ([""], [""])):
        pairs = list(zip(texts_a, texts_b or [None] * len(texts_a)))
        tokenizer = tokenizers(vocab_file, True).python
        rows = input_rows.rows_of(pairs, tokenizer, max_seq_length)
        expected = input_rows.padded(rows, length)
        found = run(
            [t.encode("utf-8") for t in texts_a], [t.encode("utf-8") for t in texts_b or ()]
        )
        for name, ours, wanted in zip(checkpoint_session.INPUT_NAMES, found, expected):
            np.testing.assert_array_equal(ours, wanted, err_msg=name)
            assert ours.dtype == np.int32


def test_no_texts_are_no_rows(vocab_file):
    assert [rows.shape for rows in encoder_of(vocab_file, 8)([], [])] == [(0, 2)] * 3
    assert [rows.shape for rows in encoder_of(vocab_file, 8, 8)([], [])] == [(0, 8)] * 3


def test_texts_without_their_second_one_are_an_error(vocab_file):
    with pytest.raises(tf.errors.InvalidArgumentError):
        encoder_of(vocab_file, 8)([b"a", b"b"], [b"c"])
