"""Makes the titles of this folder from the sentences written in `templates.json`.

    python data/titles_sample/make_titles.py

writes train.tsv, dev.tsv and test.tsv, lines text<TAB>title. A subject has words for its slots,
sentences of three kinds (what happened, details, outlook) and titles; a text has one or two of
each kind, and its title only words that it has. The same file gives the same bytes on every
machine, and no text of dev or test has the same slots as one of train.
"""

import json
import os
import random
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

from absl import flags

from albert_zh.common import files, output_files
from albert_zh.common.errors import run_command

FLAGS = flags.FLAGS
HERE = os.path.dirname(os.path.abspath(__file__))
TEXTS_OF_SUBJECT = 50
HELD_OUT = 5  # of these, for test and for dev
_SLOT = re.compile(r"\{(\w+)\}")


def define_flags():
    """Defines the flags."""
    flags.DEFINE_string("templates_file", os.path.join(HERE, "templates.json"), "Source file.")
    flags.DEFINE_string("output_dir", HERE, "Where the three files go.")


def run():
    """Writes the files."""
    subjects = json.loads(files.read_text(FLAGS.templates_file))
    rows = {"train": [], "dev": [], "test": []}
    for name, subject in sorted(subjects.items()):
        made = list(pairs_of(subject, random.Random(name)))
        rows["test"] += made[:HELD_OUT]
        rows["dev"] += made[HELD_OUT : 2 * HELD_OUT]
        rows["train"] += made[2 * HELD_OUT :]
    for split, pairs in rows.items():
        random.Random(split).shuffle(pairs)
        with output_files.atomic_write(os.path.join(FLAGS.output_dir, split + ".tsv")) as stream:
            stream.write("".join("%s\t%s\n" % pair for pair in pairs))


def pairs_of(subject, generator):
    """Yields (text, title), each with slots that no other has.

    Args:
        subject: {"slots": {name: words}, "news", "details", "outlook", "titles": sentences}.
        generator: `random.Random`.
    """
    seen = set()
    while len(seen) < TEXTS_OF_SUBJECT:
        slots = {name: generator.choice(words) for name, words in subject["slots"].items()}
        key = tuple(slots.values())
        if key in seen:
            continue
        half = len(subject["details"]) // 2
        details = [generator.choice(subject["details"][:half])]
        details.append(generator.choice(subject["details"][half:]))
        generator.shuffle(details)
        sentences = [generator.choice(subject["news"])] + details
        text = filled("".join(sentences) + generator.choice(subject["outlook"]), slots)
        titles = [title for title in subject["titles"] if says_all_of(text, title, slots)]
        if titles:
            seen.add(key)
            yield text, filled(generator.choice(titles), slots)


def says_all_of(text, title, slots):
    """Whether a text has the words of all of a title's slots."""
    return all(slots[name] in text for name in _SLOT.findall(title))


def filled(sentence, slots):
    """A sentence with the words of its slots."""
    return _SLOT.sub(lambda match: slots[match.group(1)], sentence)


def main():
    """Runs the command line."""
    define_flags()
    run_command(run, description=__doc__)


if __name__ == "__main__":
    main()
