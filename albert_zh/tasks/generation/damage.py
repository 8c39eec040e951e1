"""Damaged texts as sources of the whole ones: what MASS and BART learn from raw text.

damaged = DAMAGES["bart"](sentences, mask_id, vocab_size, generator)  # ids

mass  half of the text's tokens, in one piece, are masked; the target is that piece (Song et al.
      2019)
bart  the sentences are permuted and 30 % of the tokens masked by spans of Poisson(3) tokens,
      each of which becomes one `[MASK]`; the target is the text (Lewis et al. 2020)
"""

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

FRAGMENT = 0.5  # of a text's tokens, what MASS masks
INFILLED = 0.3  # of a text's tokens, what BART masks
MEAN_SPAN = 3.0
_AT_START, _AT_END = 0.2, 0.4  # shares of the fragments that begin, or end, with the text
_MASKED, _MASKED_OR_RANDOM = 0.8, 0.9  # of a fragment's tokens; the others stay


class Damaged(NamedTuple):
    """A damaged text and what is to be written.

    Fields:
        source: ids.
        target: ids.
        positions: of the target's tokens in the text, from 0; None where counting restarts.
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
    """BART's: the text from its permuted sentences, with spans infilled.

    Args:
        sentences: ids of each sentence.
        mask_id: id of `[MASK]`.
        vocab_size: not used; BART shows no random tokens.
        generator: of the damage.
    """
    order = generator.permutation(len(sentences))
    permuted = [token for index in order for token in sentences[index]]
    return Damaged(infilled(permuted, mask_id, generator), _joined(sentences))


def infilled(ids: Sequence[int], mask_id: int, generator: np.random.RandomState) -> List[int]:
    """Ids with spans at random places replaced by one `[MASK]` each.

    Args:
        ids: sequence of int.
        mask_id: id of `[MASK]`.
        generator: of lengths and places; all ways to place the spans are equally probable.
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
    """Lengths of spans that mask 30 % of so many tokens: Poisson(3), the last one cut.

    A span of no token is a `[MASK]` in between.
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
    """MASS': a fragment of the text, from the text without it.

    Args:
        sentences: ids of each sentence.
        mask_id: id of `[MASK]`, as which 80 % of the fragment's tokens are shown.
        vocab_size: random tokens, 10 %, have ids below it.
        generator: of the damage.
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
    """(begin, end) of half of the tokens: 20 % at the start, 20 % at the end, others anywhere."""
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
    """What a head notes of its damage.

    Args:
        way: a key of `DAMAGES`.
        seed: of the damage.
        max_seq_length, max_target_length: as the flags of these names.

    Returns:
        {"way", "seed", "longest": characters (and so tokens) of a text at most}.
    """
    most = max_target_length - 1  # without its end
    longest = most if way == "bart" else min(2 * most, max_seq_length - max_target_length - 2)
    return {"way": way, "seed": seed, "longest": longest}
