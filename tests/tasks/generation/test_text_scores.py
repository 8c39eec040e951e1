"""ROUGE and BLEU scores equal those of the packages `rouge` and `nltk`."""

import random
import types

import numpy as np
import pytest

from albert_zh.common.errors import UserError
from albert_zh.tasks.generation import flags, scorer, text_scores
from albert_zh.tasks.input_examples import InputExample

# (prediction, reference, ROUGE-1, ROUGE-2, ROUGE-L, BLEU), from rouge 1.0.1 and nltk 3.10.4.
FIXED = [
    (
        "基于图像的车牌识别方法",
        "一种基于图像处理的车牌自动识别方法",
        0.7857143,
        0.6153846,
        0.7857143,
        0.3346197,
    ),
    ("今天天气很好", "明天下雨", 0.2222222, 0.0, 0.2222222, 0.0408248),
    ("BERT模型3.5版", "bert 模型 3.5 版的训练", 0.8571429, 0.8421053, 0.8571429, 0.7408182),
    ("甲甲甲乙", "甲乙丙", 0.8, 0.5, 0.8, 0.1699044),
    ("天A洪.a.地", ".", 0.0, 0.0, 0.0, 0.0330316),  # ROUGE drops full stops, BLEU does not
]


def random_pairs():
    generator = random.Random(5)
    for _ in range(60):
        alphabet = generator.choice(["甲乙丙丁戊己", "甲乙丙. ab1", "ab c.."])
        lengths = generator.randint(1, 14), generator.randint(1, 14)
        pair = ["".join(generator.choices(alphabet, k=length)) for length in lengths]
        if all(text.replace(".", "").strip() for text in pair):
            yield pair


@pytest.mark.parametrize("pair", random_pairs())
def test_scores_equal_the_packages(pair):
    rouge = pytest.importorskip("rouge")
    bleu = pytest.importorskip("nltk.translate.bleu_score")
    written, wanted = (text_scores.characters(text) for text in pair)
    scores = text_scores.scores(*pair)
    expected = rouge.Rouge().get_scores(" ".join(written), " ".join(wanted))[0]
    for ours, theirs in (("rouge_1", "rouge-1"), ("rouge_2", "rouge-2"), ("rouge_l", "rouge-l")):
        assert scores[ours] == pytest.approx(expected[theirs]["f"], abs=1e-9)
    smoothing = bleu.SmoothingFunction().method1
    expected = bleu.sentence_bleu([wanted], written, smoothing_function=smoothing)
    assert scores["bleu"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("case", FIXED)
def test_scores_of_fixed_texts(case):
    scores = text_scores.scores(*case[:2])
    names = ("rouge_1", "rouge_2", "rouge_l", "bleu")
    assert [scores[name] for name in names] == pytest.approx(case[2:], abs=1e-6)


def test_an_empty_prediction_has_nothing():
    assert set(text_scores.scores(" ", "标题").values()) == {0.0}


def test_distinct_ngrams():
    """甲乙甲 and 甲乙 have 5 unigrams, 2 of them distinct, and 3 bigrams, 2 of them distinct."""
    texts = ["甲乙 甲", "甲乙"]
    assert text_scores.distinct(texts, 1) == pytest.approx(2 / 5)
    assert text_scores.distinct(texts, 2) == pytest.approx(2 / 3)
    assert text_scores.distinct([], 2) == 0.0


def test_a_loss_that_is_no_number_is_not_scored():
    """Regression: all predictions were empty, and results.json was not valid JSON."""
    example = InputExample("test-7", "甲", None, "乙")
    row = {"written": [5], "target_loss": np.float32("nan"), "target_tokens": 2.0}
    with pytest.raises(UserError, match="the loss of test-7 is no finite number: the model's weig"):
        scorer.GenerationScorer(lambda ids: "").add_labelled(example, [row])


def test_padding_has_the_id_0():
    """Regression: predicted texts once ended at the character with the id 0."""
    vocab = {token: number for number, token in enumerate(flags.SPECIAL.values())}
    ids = flags.token_ids(types.SimpleNamespace(vocab=vocab), "vocab.txt")
    assert ids["pad"] == 0 and sorted(ids.values()) == list(range(len(vocab)))
    turned = dict(vocab, **{"的": 0, flags.SPECIAL["pad"]: len(vocab)})
    message = "vocab.txt has .PAD. in line %d: expected it in the first" % (len(vocab) + 1)
    with pytest.raises(UserError, match=message):
        flags.token_ids(types.SimpleNamespace(vocab=turned), "vocab.txt")
