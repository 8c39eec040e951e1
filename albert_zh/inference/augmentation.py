"""Further rows of training data by replacing words (TinyBERT's data augmentation, for Chinese).

    augmenter = Augmenter(finder, AugmentationSettings(copies=20, probability=0.4))
    for row in augmenter.augment([Example(0, "这家店的菜很好吃", None)]): ...

Of a pair only words that both texts have are replaced, in both alike: the difference of the two
texts, on which the label depends, stays. So no word takes the place of one that either text has, or
that another one is replaced by, nor is one replaced that is also a part of a longer word.
"""

import collections
import random
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

SHARED, EACH = "shared", "each"
WAYS_OF_PAIRS = (SHARED, EACH)


class AugmentationSettings(NamedTuple):
    """How rows are made of a row."""

    copies: int = 30  # rounds, N; equal results count once
    probability: float = 0.4  # of a word to be replaced in a round, p
    pairs: str = SHARED  # which words of a pair are replaced: those of both texts, or each word
    seed: int = 12345


class Example(NamedTuple):
    """A row's texts."""

    number: int  # of the row, which its draws depend on
    text_a: str
    text_b: Optional[str]


class Augmented(NamedTuple):
    """The texts made of a row."""

    texts: List[Tuple[str, Optional[str]]]  # without the row's own
    candidates: Dict[str, List[str]]  # of each word that could be replaced
    is_too_long: bool  # whether it has a text which masked LM cannot read


class Augmenter:
    """Makes rows of rows."""

    def __init__(self, finder: Any, settings: AugmentationSettings) -> None:
        """Initializes the augmenter.

        Args:
            finder: `CandidateFinder`.
            settings: how rows are made.
        """
        self._finder, self._settings = finder, settings

    def augment(self, examples: Sequence[Example]) -> List[Augmented]:
        """The rows made of some rows, whose words' candidates are found together.

        Args:
            examples: the rows.

        Returns:
            list of `Augmented`, one for each.
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
        """{word that may be replaced: (text, its range)} of a row, where it stands first."""
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
        """Of a word's candidates those by which the texts of a pair differ as they did."""
        if not self._keeps_difference(example):
            return words
        return [word for word in words if word not in example.text_a + "\n" + example.text_b]

    def _rounds(self, example, candidates):
        """The different texts of N rounds."""
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
        """One round: a word is replaced alike wherever it stands; with `EACH`, in each text."""
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
    """{word: what replaces it} of one round."""
    chosen = {word: draws.choice(others) for word, others in candidates.items()}
    return {word: other for word, other in chosen.items() if draws.random() < probability}


def _one_to_one(chosen):
    """Without the words that are replaced by what an earlier one is."""
    first = {other: word for word, other in reversed(list(chosen.items()))}
    return {word: other for word, other in chosen.items() if first[other] == word}
