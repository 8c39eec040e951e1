"""Masking as in albert_zh: one sequence at a time, with the same random draws in the same order.

runs = original_runs(original_candidates(continues, segment_ends), longest=3)
shown = original_choice_of_runs(runs, limit, weights, vocab_size, generator, length_generator)
"""

import bisect
import itertools
import random
import re
from typing import Any, Container, Dict, List, Sequence, Set, Tuple

import numpy as np

Runs = List[List[List[int]]]  # per word, the runs of 1, 2 ... words from it on, as positions

# Of the chosen pieces, 80% are masked; half of the rest are kept.
_MASKED_SHARE = 0.8

# In the original mode: what is shown at a chosen position, unless it is a vocabulary index.
MASKED = -1
KEPT = -2

_MARK = "##"
_HANZI = re.compile("[\u4e00-\u9fa5]")
_MARKED_HANZI = re.compile("##[\u4e00-\u9fa5]")
_LONGEST_SET_WORD = 3


def original_marked_tokens(tokens: Sequence[str], words: Set[str]) -> List[str]:
    """Adds the original's whole-word marks: "##" within runs of up to 3 tokens that form a word.

    From each hanzi on, the longest such run in `words` is marked.

    Args:
        tokens: word pieces of a line.
        words: the words into which a segmenter splits the joined pieces.

    Returns:
        the pieces, with "##" before those that continue a word.
    """
    marked = []
    while len(marked) < len(tokens):
        start = len(marked)
        marked.append(tokens[start])
        if _HANZI.search(tokens[start]):
            for length in range(min(_LONGEST_SET_WORD, len(tokens) - start), 1, -1):
                run = tokens[start : start + length]
                if "".join(run) in words:
                    marked += [_MARK + token for token in run[1:]]
                    break
    return marked


def original_visible_token(token: str) -> str:
    """Removes the mark of `original_marked_tokens` from a hanzi, as the model's input shows it."""
    return token[len(_MARK) :] if _MARKED_HANZI.search(token) else token


def original_candidates(continues: Sequence[bool], segment_ends: Container[int]) -> List[List[int]]:
    """Groups the positions of a sequence into words like the original.

    The first piece always begins a word, and a piece that continues a word may belong to a word
    before [SEP].

    Args:
        continues: whether each piece continues a word.
        segment_ends: the positions of [CLS] and [SEP].

    Returns:
        the positions of each word.
    """
    candidates = []
    for position, is_continuation in enumerate(continues):
        if position in segment_ends:
            continue
        if is_continuation and candidates:
            candidates[-1].append(position)
        else:
            candidates.append([position])
    return candidates


def original_choice_of_words(
    words: List[List[int]], limit: int, vocab_size: int, generator: random.Random
) -> Dict[int, int]:
    """Masks whole words like the original.

    Args:
        words: the positions of each word; shuffled in place.
        limit: maximum number of positions to choose.
        vocab_size: random pieces have indices below it.
        generator: the generator for all random draws.

    Returns:
        position -> MASKED, KEPT or an index of the vocabulary.
    """
    generator.shuffle(words)
    shown = {}
    for word in words:
        if len(shown) >= limit:
            break
        if len(shown) + len(word) <= limit:
            for position in word:
                shown[position] = _original_replacement(vocab_size, generator)
    return shown


def original_runs(words: Sequence[Sequence[int]], longest: int) -> Runs:
    """Lists, for each word, the runs of 1 to `longest` words that begin with it, as positions.

    At the end of the sequence the same, shorter run is repeated.
    """
    return [
        [list(itertools.chain(*words[first : first + n])) for n in range(1, longest + 1)]
        for first in range(len(words))
    ]


def original_choice_of_runs(
    runs: Runs,
    limit: int,
    weights: Sequence[float],
    vocab_size: int,
    generator: random.Random,
    length_generator: Any,
) -> Dict[int, int]:
    """Masks runs of words like Google's original.

    Args:
        runs: result of `original_runs`; shuffled in place, twice.
        limit: maximum number of positions to choose.
        weights: weights of runs of 1, 2 ... words.
        vocab_size: random pieces have indices below it.
        generator: the generator for all random draws except run lengths.
        length_generator: `numpy.random.RandomState` or `numpy.random`, which draws the lengths.

    Returns:
        position -> MASKED, KEPT or an index of the vocabulary.
    """
    generator.shuffle(runs)
    shown = {}
    for run in _original_fitting_runs(runs, limit, weights, length_generator, shown, ()):
        for position in run:
            shown[position] = _original_replacement(vocab_size, generator)
    generator.shuffle(runs)
    return shown


def original_permutation(
    runs: Runs,
    limit: int,
    weights: Sequence[float],
    generator: random.Random,
    length_generator: Any,
    masked: Container[int],
) -> List[Tuple[int, int]]:
    """Chooses further runs and pairs their positions at random, like Google's original.

    Args:
        runs, limit, weights, generator, length_generator: as for `original_choice_of_runs`.
        masked: positions that must not be chosen.

    Returns:
        list of (position, position of the piece to move there), sorted by position.
    """
    chosen = {}
    for run in _original_fitting_runs(runs, limit, weights, length_generator, chosen, masked):
        chosen.update(dict.fromkeys(run))
    positions = sorted(chosen)
    partners = list(positions)
    generator.shuffle(partners)
    return list(zip(positions, partners))


def _original_fitting_runs(runs, limit, weights, length_generator, chosen, forbidden):
    """Yields one fitting run from each list, if there is one; the caller adds it to `chosen`."""
    # Equal to the probabilities in NumPy's `choice`, which the original uses, including rounding.
    probabilities = np.asarray(weights) / np.sum(weights)
    sums = np.cumsum(probabilities / np.sum(probabilities))
    sums = (sums / sums[-1]).tolist()
    for alternatives in runs:
        if len(chosen) >= limit:
            break
        length = bisect.bisect_right(sums, length_generator.random_sample()) + 1
        while length > 1 and len(chosen) + len(alternatives[length - 1]) > limit:
            length -= 1
        run = alternatives[length - 1]
        if len(chosen) + len(run) > limit:
            continue
        if not any(position in chosen or position in forbidden for position in run):
            yield run


def _original_replacement(vocab_size, generator):
    if generator.random() < _MASKED_SHARE:
        return MASKED
    if generator.random() < 0.5:
        return KEPT
    return generator.randint(0, vocab_size - 1)
