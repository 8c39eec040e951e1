"""tokenizer.json: the `tokenizers` package gives the same ids as `FullTokenizer`."""

import json
import os
import random
import unicodedata

import pytest

tokenizers = pytest.importorskip("tokenizers")

from albert_zh.common import files, output_files
from albert_zh.conversion import tokenizer_json, tokenizer_steps
from albert_zh.text import encoding, tokenization
from java_cases import ALPHABETS
import small_models
from workspace import ROOT

BOTH_CASES = pytest.mark.parametrize("do_lower_case", [True, False])


def both(vocab_file, do_lower_case, max_seq_length=512):
    """Returns our tokenizer and its counterpart in the `tokenizers` package."""
    ours = tokenization.FullTokenizer(vocab_file, do_lower_case)
    content = tokenizer_steps.content_of(ours, max_seq_length)
    return ours, tokenizers.Tokenizer.from_str(json.dumps(content))


def differences(ours, theirs, texts):
    """Returns the texts whose ids differ, compared without [CLS] and [SEP]."""
    return [
        text
        for text in texts
        if theirs.encode(text, add_special_tokens=False).ids
        != ours.convert_tokens_to_ids(ours.tokenize(text))
    ]


@BOTH_CASES
def test_golden_cases(shared, do_lower_case):
    path = os.path.join(shared, "golden", "tokenization", "tokenization_cases.json")
    folder = os.path.join(shared, "data", "ckpt_index_only", "MarsRoger_albert_tiny")
    _, theirs = both(os.path.join(folder, "vocab.txt"), do_lower_case)
    name = "google_lower" if do_lower_case else "google_cased"
    with open(path, encoding="utf-8") as handle:
        cases = json.load(handle)["cases"]
    cases = [c for c in cases if not any(0xD800 <= ord(x) < 0xE000 for x in c["input"])]
    assert len(cases) > 190  # tokenizers does not accept unpaired surrogates
    for case in cases:
        encoded = theirs.encode(case["input"], add_special_tokens=False)
        assert (encoded.tokens, encoded.ids) == (case[name]["tokens"], case[name]["ids"])


@BOTH_CASES
def test_noise(do_lower_case):
    """Random texts of Unicode 3.2 and `ALPHABETS`: newer characters depend on Unicode versions."""
    ours, theirs = both(small_models.STARTER_VOCABULARY, do_lower_case)
    draw = random.Random(3)
    old = unicodedata.ucd_3_2_0
    every = [chr(number) for number in range(0x110000) if old.category(chr(number)) != "Cn"]
    every = [char for char in every if unicodedata.category(char) != "Cs"]

    def text():
        length = draw.randint(1, 30)
        return "".join(draw.choice(draw.choice(ALPHABETS[:-1] + [every])) for _ in range(length))

    assert differences(ours, theirs, [text() for _ in range(3000)]) == []


def test_long_words_and_special_tokens_in_texts():
    ours, theirs = both(small_models.STARTER_VOCABULARY, True)
    texts = ["a" * 200, "a" * 201, "[CLS]我[MASK]", "ΑΣ ΑΣ. ΑΣ.Α Σ", "\ue000", "\U0002b8c3a"]
    assert differences(ours, theirs, texts) == []
    assert "[CLS]" not in theirs.encode("[CLS]", add_special_tokens=False).tokens


def test_bundled_texts_and_pairs_as_they_are_cut():
    ours, theirs = both(small_models.STARTER_VOCABULARY, True, max_seq_length=21)
    path = os.path.join(ROOT, "data", "pairs_sample", "test.txt")
    rows = [line.split("\t")[:2] for line in files.read_lines(path)][1:]
    draw = random.Random(1)
    firsts = [a + draw.choice(rows)[0] * draw.randint(0, 2) for a, _ in rows[:400]]
    pairs = list(zip(firsts, (b for _, b in rows)))
    num_cut = 0
    for pair in pairs + [(text, None) for text in firsts[:100]]:
        ids, segments, was_cut = encoding.encode(ours, pair[0], pair[1], 21)
        encoded = theirs.encode(*[text for text in pair if text is not None])
        assert (encoded.ids, encoded.type_ids) == (ids, segments), pair
        num_cut += was_cut
    assert 100 < num_cut < 500


def test_of_an_odd_number_of_tokens_the_second_text_keeps_one_more():
    ours, theirs = both(small_models.STARTER_VOCABULARY, True, max_seq_length=20)
    encoded = theirs.encode("天" * 30, "人" * 30)
    assert sum(encoded.type_ids) == 10 and len(encoded.ids) == 20  # 9 tokens and [SEP]
    assert sum(encoding.encode(ours, "天" * 30, "人" * 30, 20)[1]) == 9


@BOTH_CASES
def test_it_is_read_as_one_of_ours(tmp_path, do_lower_case):
    ours, _ = both(small_models.STARTER_VOCABULARY, do_lower_case)
    path = str(tmp_path / "tokenizer.json")
    output_files.write_json(path, tokenizer_steps.content_of(ours, 128))
    found = tokenizer_json.read(path)
    assert found.entries == small_models.starter_vocabulary()
    assert found.do_lower_case is do_lower_case and found.notes == []
