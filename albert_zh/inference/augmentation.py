"""Augments training data by replacing words (TinyBERT's data augmentation, for Chinese).

    augmenter = Augmenter(finder, AugmentationSettings(copies=20, probability=0.4))
    for row in augmenter.augment([Example(0, "这家店的菜很好吃", None)]): ...

For a pair, only words that both texts have are replaced, in both texts alike: the difference
between the texts, on which the label depends, stays the same. Therefore no replacement is a word
that either text contains or that replaces another word, and no word is replaced that is also part
of a longer word.
"""

import collections
import random
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

SHARED, EACH = "shared", "each"
WAYS_OF_PAIRS = (SHARED, EACH)


class AugmentationSettings(NamedTuple):
    """How augmented rows are created from a row.

    Fields:
        copies: number of rounds, N; equal results count once.
        probability: probability that a word is replaced in a round, p.
        pairs: which words of a pair are replaced: shared words, or each word.
        seed: random seed.
    """

    copies: int = 30
    probability: float = 0.4
    pairs: str = SHARED
    seed: int = 12345


class Example(NamedTuple):
    """The texts of a row."""

    number: int  # of the row; seeds its random draws
    text_a: str
    text_b: Optional[str]


class Augmented(NamedTuple):
    """The texts created from a row."""

    texts: List[Tuple[str, Optional[str]]]  # without the row's own texts
    candidates: Dict[str, List[str]]  # for each replaceable word
    is_too_long: bool  # whether a text is too long for the masked LM


class Augmenter:
    """Creates augmented rows from rows."""

    def __init__(self, finder: Any, settings: AugmentationSettings) -> None:
        """Initializes the augmenter.

        Args:
            finder: `CandidateFinder`.
            settings: how rows are created.
        """
        self._finder, self._settings = finder, settings

    def augment(self, examples: Sequence[Example]) -> List[Augmented]:
        """Augments some rows; the candidates of all their words are found together.

        Args:
            examples: the rows.

        Returns:
            list of `Augmented`, one per row.
        """
        places = [self._places(example) for example in examples]
        requests = [request for of_row in places for request in of_row.values()]
        found = iter(self._finder.candidates(requests))
        augmented = []
        for example, of_row in zip(examples, places):
            candidates = {word: self._fitting(example, next(found)) for word in of_row}
            candidates = {word: others for word, others in candidates.items() if others}
            texts = {text for text, _ in of_row.values()}
            is_too_long = any(map(self._finder.is_too_long, texts))
            augmented.append(Augmented(self._rounds(example, candidates), candidates, is_too_long))
        return augmented

    def _places(self, example):
        """{word that may be replaced: (text, its range)} of a row, at the first occurrence."""
        places = {}
        for text in filter(None, (example.text_a, example.text_b)):
            for begin, end in self._finder.replaceable(text):
                places.setdefault(text[begin:end], (text, (begin, end)))
        if self._keeps_difference(example):
            texts = example.text_a, example.text_b
            words = [self._words(text) for text in texts]
            places = {
                word: place
                for word, place in places.items()
                if all(0 < n[word] == text.count(word) for n, text in zip(words, texts))
            }
        return places

    def _keeps_difference(self, example):
        return example.text_b is not None and self._settings.pairs == SHARED

    def _words(self, text):
        spans = self._finder.replaceable(text)
        return collections.Counter(text[begin:end] for begin, end in spans)

    def _fitting(self, example, words):
        """The candidates of a word that leave the difference between a pair's texts unchanged."""
        if not self._keeps_difference(example):
            return words
        return [word for word in words if word not in example.text_a + "\n" + example.text_b]

    def _rounds(self, example, candidates):
        """The distinct texts of N rounds."""
        draws = random.Random("%d %d" % (self._settings.seed, example.number))
        seen = {(example.text_a, example.text_b)}
        texts = []
        for _ in range(self._settings.copies if candidates else 0):
            made = self._round(example, candidates, draws)
            if made not in seen:
                seen.add(made)
                texts.append(made)
        return texts

    def _round(self, example, candidates, draws):
        """One round: all occurrences of a word are replaced alike; with `EACH`, per text."""
        chosen = _drawn(candidates, self._settings.probability, draws)
        if self._keeps_difference(example):
            chosen = _one_to_one(chosen)
        text_a = self._replaced(example.text_a, chosen)
        if example.text_b is None:
            return text_a, None
        if self._settings.pairs == EACH:
            chosen = _drawn(candidates, self._settings.probability, draws)
        return text_a, self._replaced(example.text_b, chosen)

    def _replaced(self, text, chosen):
        parts, begin = [], 0
        for first, last in self._finder.replaceable(text):
            parts += [text[begin:first], chosen.get(text[first:last], text[first:last])]
            begin = last
        return "".join(parts) + text[begin:]


def _drawn(candidates, probability, draws):
    """{word: its replacement} for one round."""
    chosen = {word: draws.choice(others) for word, others in candidates.items()}
    return {word: other for word, other in chosen.items() if draws.random() < probability}


def _one_to_one(chosen):
    """The replacements without words whose replacement an earlier word already has."""
    first = {other: word for word, other in reversed(list(chosen.items()))}
    return {word: other for word, other in chosen.items() if first[other] == word}
