"""Rows of a classification task that a model learns in a few steps."""

import random

from workspace import CHARACTERS

LABELS = ("体育", "财经", "a b")


def titles(count, seed=1, labels=LABELS):
    """Rows of (text, label); each label has different characters."""
    generator = random.Random(seed)
    size = len(CHARACTERS) // len(labels)
    rows = []
    for _ in range(count):
        number = generator.randrange(len(labels))
        pool = CHARACTERS[number * size : (number + 1) * size]
        rows.append(("".join(generator.choice(pool) for _ in range(8)), labels[number]))
    return rows
