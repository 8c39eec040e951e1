"""Makes the FAQ of this folder from the intents of pairs_sample and pairs_hard_sample.

    python data/faq_sample/make_faq.py

writes faq.txt (the entries, one a line) and train.tsv, dev.tsv and test.tsv (`question<TAB>entry`).
The first wording of an intent is its entry; of its other wordings one goes to test, of every third
intent one to dev, the rest to train. Which one is decided by SHA-256 of the wording, so that the
files are the same bytes every time.
"""

import hashlib
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "pairs_sample"))

import make_pairs

from albert_zh.common.output_files import atomic_write

SOURCES = ("pairs_sample", "pairs_hard_sample")
# Intents that both sources have; they are taken once.
DOUBLE = {"怎么提高英语口语", "怎么提高英语听力", "今年考研什么时候报名", "word怎么转成pdf"}
INTENTS_PER_DEV_QUESTION = 3


def digest(text):
    """A number that a text decides."""
    return int(hashlib.sha256(text.encode("utf-8")).hexdigest(), 16)


def read_faq():
    """List of (entry, questions) of all intents."""
    faq = []
    for source in SOURCES:
        path = os.path.join(HERE, "..", source, "intents.txt")
        for group in make_pairs.read_intents(path):
            for intent in group:
                entry, *questions = intent.wordings
                if not (source == SOURCES[0] and entry in DOUBLE):
                    faq.append((entry, questions))
    return faq


def split(faq):
    """{name of a split: list of (question, entry)}."""
    rows = {"train": [], "dev": [], "test": []}
    for entry, questions in faq:
        ordered = sorted(questions, key=digest)
        has_dev = digest(entry) % INTENTS_PER_DEV_QUESTION == 0 and len(ordered) > 2
        names = ["test"] + ["dev"] * has_dev
        names += ["train"] * (len(ordered) - len(names))
        for name, question in zip(names, ordered):
            rows[name].append((question, entry))
    return rows


def main():
    """Writes the files."""
    faq = read_faq()
    with atomic_write(os.path.join(HERE, "faq.txt")) as stream:
        stream.writelines(entry + "\n" for entry, _ in faq)
    for name, rows in split(faq).items():
        with atomic_write(os.path.join(HERE, name + ".tsv")) as stream:
            stream.writelines("%s\t%s\n" % row for row in rows)


if __name__ == "__main__":
    main()
