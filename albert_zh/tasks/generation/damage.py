"""Corrupts raw text for denoising pre-training in the manner of MASS and BART.

damaged = DAMAGES["bart"](sentences, mask_id, vocab_size, generator)  # ids

mass  a contiguous fragment with half of the text's tokens is masked; the target is that fragment
      (Song et al. 2019)
bart  the sentences are permuted and 30 % of the tokens masked in spans of Poisson(3) tokens, each
      of which is replaced by one `[MASK]`; the target is the text (Lewis et al. 2020)
"""

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

FRAGMENT = 0.5  # share of a text's tokens that MASS masks
INFILLED = 0.3  # share of a text's tokens that BART masks
MEAN_SPAN = 3.0
_AT_START, _AT_END = 0.2, 0.4  # cumulative shares of fragments at the start and end of the text
_MASKED, _MASKED_OR_RANDOM = 0.8, 0.9  # cumulative shares of a fragment's tokens; the others stay


class Damaged(NamedTuple):
    """A corrupted text and the text that is to be generated from it.

    Fields:
        source: ids of the corrupted text.
        target: ids of the text to generate.
        positions: positions of the target's tokens in the text, from 0; None if they are numbered
            after the source's tokens.
    """

    source: List[int]
    target: List[int]
    positions: Optional[List[int]] = None


def denoising(
    sentences: Sequence[Sequence[int]],
    mask_id: int,
    vocab_size: int,
    generator: np.random.RandomState,
) -> Damaged:
    """BART's denoising: the text is generated from its permuted sentences with masked spans.

    Args:
        sentences: ids of each sentence.
        mask_id: id of `[MASK]`.
        vocab_size: not used; BART has no random tokens.
        generator: random number generator.
    """
    order = generator.permutation(len(sentences))
    permuted = [token for index in order for token in sentences[index]]
    return Damaged(infilled(permuted, mask_id, generator), _joined(sentences))


def infilled(ids: Sequence[int], mask_id: int, generator: np.random.RandomState) -> List[int]:
    """Ids in which random spans are replaced by one `[MASK]` each.

    Args:
        ids: sequence of int.
        mask_id: id of `[MASK]`.
        generator: random number generator for the lengths and positions of spans; all ways to place
            the spans are equally probable.
    """
    lengths = span_lengths(len(ids), generator)
    num_kept = len(ids) - sum(lengths)
    gaps = np.sort(generator.randint(0, num_kept + 1, len(lengths)))  # kept tokens before a span
    shown: List[int] = []
    begin, num_before = 0, 0
    for gap, length in zip(gaps, lengths):
        end = begin + int(gap) - num_before
        shown += list(ids[begin:end]) + [mask_id]
        begin, num_before = end + length, int(gap)
    return shown + list(ids[begin:])


def span_lengths(num_tokens: int, generator: np.random.RandomState) -> List[int]:
    """Lengths of spans that mask 30 % of `num_tokens` tokens: Poisson(3), the last one truncated.

    A span of length 0 inserts a `[MASK]`.
    """
    left = int(np.ceil(INFILLED * num_tokens))
    lengths = []
    while left > 0:
        lengths.append(min(int(generator.poisson(MEAN_SPAN)), left))
        left -= lengths[-1]
    return lengths


def masked_fragment(
    sentences: Sequence[Sequence[int]],
    mask_id: int,
    vocab_size: int,
    generator: np.random.RandomState,
) -> Damaged:
    """MASS: a fragment of the text is generated from the text in which it is masked.

    Args:
        sentences: ids of each sentence.
        mask_id: id of `[MASK]`, which replaces 80 % of the fragment's tokens.
        vocab_size: random tokens, which replace 10 %, have ids below it.
        generator: random number generator.
    """
    ids = _joined(sentences)
    begin, end = fragment(len(ids), generator)
    fate, others = (
        generator.random_sample(end - begin),
        generator.randint(0, vocab_size, end - begin),
    )
    kept = np.where(fate < _MASKED_OR_RANDOM, others, ids[begin:end])
    shown = np.where(fate < _MASKED, mask_id, kept).tolist()
    return Damaged(ids[:begin] + shown + ids[end:], ids[begin:end], list(range(begin, end)))


def fragment(num_tokens: int, generator: np.random.RandomState) -> Tuple[int, int]:
    """(begin, end) of half of the tokens: 20 % at the start, 20 % at the end, the rest anywhere."""
    size = max(1, int(round(FRAGMENT * num_tokens)))
    fate, last = generator.random_sample(), num_tokens - size
    begin = int(generator.randint(0, last + 1))
    if fate < _AT_END:
        begin = 0 if fate < _AT_START else last
    return begin, begin + size


def _joined(sentences):
    return [token for sentence in sentences for token in sentence]


DAMAGES: Dict[str, Callable[..., Damaged]] = {"mass": masked_fragment, "bart": denoising}


def settings(way: str, seed: int, max_seq_length: int, max_target_length: int) -> Dict[str, Any]:
    """The settings of the corruption that are saved in a head.

    Args:
        way: a key of `DAMAGES`.
        seed: random seed of the corruption.
        max_seq_length, max_target_length: the flags with these names.

    Returns:
        {"way", "seed", "longest": maximum number of characters (and so of tokens) of a text}.
    """
    most = max_target_length - 1  # without the end token
    longest = most if way == "bart" else min(2 * most, max_seq_length - max_target_length - 2)
    return {"way": way, "seed": seed, "longest": longest}
