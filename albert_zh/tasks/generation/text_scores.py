"""Similarity of generated texts to references, by characters: ROUGE-1/2/L, BLEU, distinct n-grams.

ROUGE has the same values as the package `rouge` (Google's formulas over distinct n-grams, texts
split at "."), BLEU the same as `nltk` (4-grams of a sentence, smoothing method 1). Case and blanks
are ignored. An empty prediction scores 0.
"""

import collections
import math
from typing import Dict, Iterable, List, Sequence, Set, Tuple

_TINY = 1e-8  # avoids a division by 0 in F, as the package does
_SMOOTHED = 0.1  # replaces a count of 0 common n-grams (Chen and Cherry 2014, method 1)
LONGEST_NGRAM = 4


def characters(text: str) -> List[str]:
    """The characters of a text that are compared."""
    return [character for character in text.lower() if not character.isspace()]


def scores(prediction: str, reference: str) -> Dict[str, float]:
    """ROUGE and BLEU of a text.

    Args:
        prediction: the generated text.
        reference: the text that should have been generated.

    Returns:
        {"rouge_1", "rouge_2", "rouge_l", "bleu": share between 0 and 1}.
    """
    written, wanted = characters(prediction), characters(reference)
    hypotheses, references = _sentences(written), _sentences(wanted)
    reached = dict.fromkeys(("rouge_1", "rouge_2", "rouge_l"), 0.0)
    if hypotheses and references:
        reached = {
            "rouge_1": _rouge_n(hypotheses, references, 1),
            "rouge_2": _rouge_n(hypotheses, references, 2),
            "rouge_l": _rouge_l(hypotheses, references),
        }
    return dict(reached, bleu=bleu(written, wanted))


def _sentences(tokens):
    """Lists of tokens between full stops, split as in the package; [""] between two full stops."""
    sentences = " ".join(tokens).split(".")
    return [sentence.strip().split(" ") for sentence in sentences if sentence]


def _f_score(num_common, num_written, num_wanted):
    precision = num_common / num_written if num_written else 0.0
    recall = num_common / num_wanted if num_wanted else 0.0
    return 2.0 * precision * recall / (precision + recall + _TINY)


def _rouge_n(hypotheses, references, n):
    written, wanted = (set(_ngrams(sum(texts, []), n)) for texts in (hypotheses, references))
    return _f_score(len(written & wanted), len(written), len(wanted))


def _rouge_l(hypotheses, references):
    common: Set[str] = set()
    for reference in references:
        for hypothesis in hypotheses:
            common.update(longest_common_subsequence(reference, hypothesis))
    return _f_score(len(common), len(set(sum(hypotheses, []))), len(set(sum(references, []))))


def longest_common_subsequence(first: Sequence[str], second: Sequence[str]) -> List[str]:
    """The longest common subsequence of two sequences; the package's choice in case of ties."""
    lengths = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, a in enumerate(first, start=1):
        for j, b in enumerate(second, start=1):
            longest = max(lengths[i - 1][j], lengths[i][j - 1])
            lengths[i][j] = lengths[i - 1][j - 1] + 1 if a == b else longest
    i, j, common = len(first), len(second), []
    while i and j:
        if first[i - 1] == second[j - 1]:
            i, j = i - 1, j - 1
            common.append(first[i])
        elif lengths[i - 1][j] > lengths[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return common[::-1]


def _ngrams(tokens: Sequence[str], n: int) -> Iterable[Tuple[str, ...]]:
    return (tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1))


def bleu(written: Sequence[str], wanted: Sequence[str]) -> float:
    """BLEU of one sentence against one reference (Papineni et al. 2002), smoothed.

    Args:
        written: tokens of the prediction.
        wanted: tokens of the reference.
    """
    log_precisions = []
    for n in range(1, LONGEST_NGRAM + 1):
        counts = collections.Counter(_ngrams(written, n))
        num_common = sum((counts & collections.Counter(_ngrams(wanted, n))).values())
        if n == 1 and not num_common:
            return 0.0
        log_precisions.append(math.log((num_common or _SMOOTHED) / max(sum(counts.values()), 1)))
    brevity = min(0.0, 1.0 - len(wanted) / len(written))
    return math.exp(brevity + sum(log_precisions) / LONGEST_NGRAM)


def distinct(texts: Iterable[str], n: int) -> float:
    """Share of distinct character n-grams among those of texts (Li et al. 2016); 0 if none."""
    all_ngrams: List[Tuple[str, ...]] = []
    for text in texts:
        all_ngrams += _ngrams(characters(text), n)
    return len(set(all_ngrams)) / len(all_ngrams) if all_ngrams else 0.0
