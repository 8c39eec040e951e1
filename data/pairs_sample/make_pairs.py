r"""Makes the sentence pairs of this folder from the intents written in `intents.txt`.

    python data/pairs_sample/make_pairs.py

writes train.txt, dev.txt and test.txt in LCQMC's format. The hard pairs are made by

    python data/pairs_sample/make_pairs.py --intents_file=data/pairs_hard_sample/intents.txt \
        --negatives=siblings --pairs_per_intent=0

and pairs of your own intents by

    python data/pairs_sample/make_pairs.py --intents_file=my_intents.txt --output_dir=my_pairs

An intents file is UTF-8 text:

    ## a comment
    # name of an intent
    one wording of it
    another wording of it
    # name of a sibling intent: the same topic, another question
    ...
    (an empty line ends a group of siblings)

Two wordings of one intent make a pair of label 1. The pairs of label 0 are as many. With
--negatives=similar, each joins a wording to one of those that share the most characters with it, as
a search engine would find them, which is how LCQMC's pairs were found. With --negatives=siblings,
most join wordings of sibling intents, the rest wordings of unrelated ones.
A group of siblings stays in one split. The same file and seed give the same bytes on every machine.
"""

import collections
import itertools
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

from absl import flags
import numpy as np

from albert_zh.common.errors import UserError, run_command
from albert_zh.common.files import read_lines
from albert_zh.common.output_files import atomic_write

FLAGS = flags.FLAGS

HERE = os.path.dirname(os.path.abspath(__file__))
HEADER = "text_a\ttext_b\tlabel"
SPLIT_SHARES = (("test", 0.18), ("dev", 0.12), ("train", 0.70))  # share of all intents
UNRELATED_SHARE = 0.15  # of the pairs of label 0, with --negatives=siblings
SIMILAR_SIBLING_SHARE = 0.75  # of the pairs of label 0, with --negatives=similar
SEARCH_DEPTH = 4  # most similar wordings of other intents that a wording may be paired with

Intent = collections.namedtuple("Intent", "name wordings")


def define_flags():
    flags.DEFINE_string("intents_file", os.path.join(HERE, "intents.txt"), "The intents to pair.")
    flags.DEFINE_string(
        "output_dir", None, "Folder for train.txt, dev.txt and test.txt; that of --intents_file."
    )
    flags.DEFINE_enum(
        "negatives",
        "similar",
        sorted(NEGATIVES),
        "Pairs of label 0: similar wordings of any other intent, or mostly those of siblings.",
    )
    flags.DEFINE_integer(
        "pairs_per_intent", 9, "At most so many pairs of label 1 of each intent; 0: all.", 0
    )
    flags.DEFINE_integer(
        "seed", 20240601, "Seed of the split, of the choice of pairs, their order."
    )


def read_intents(path):
    """Reads an intents file (format: top of this file).

    Args:
        path: the file.

    Returns:
        list of groups; a group is a list of `Intent`, whose `wordings` is a list of str.

    Raises:
        UserError: names the line with a wording outside an intent, a repeated wording or a tab, or
            the intent that has fewer than two wordings.
    """
    groups = [[]]
    seen = {}
    for number, line in enumerate(read_lines(path), start=1):
        text = line.strip()
        if text.startswith("##"):
            continue
        if not text:
            groups.append([])
        elif text.startswith("#"):
            groups[-1].append(Intent(text[1:].strip(), []))
        else:
            _check_wording(text, path, number, groups[-1], seen)
            groups[-1][-1].wordings.append(text)
    groups = [group for group in groups if group]
    for intent in itertools.chain.from_iterable(groups):
        if len(intent.wordings) < 2:
            raise UserError(
                "%s: intent %r has %d wordings, expected 2 or more: add some or take it out"
                % (path, intent.name, len(intent.wordings))
            )
    return groups


def _check_wording(text, path, number, group, seen):
    place = "%s, line %d" % (path, number)
    if not group:
        raise UserError(
            "%s: %r belongs to no intent: put a line '# name of the intent' before it"
            % (place, text)
        )
    if "\t" in text:
        raise UserError("%s: a tab inside the text, which separates columns: take it out" % place)
    if text in seen:
        raise UserError("%s: %r stands already in line %d" % (place, text, seen[text]))
    seen[text] = number


def split_groups(groups, rng):
    """Shares out whole groups of siblings: {"test": groups, "dev": groups, "train": groups}.

    Splits are filled one after the other up to their share of the intents; the last takes the rest.
    """
    waiting = list(groups)
    rng.shuffle(waiting)
    total = sum(map(len, groups))
    splits = {}
    for name, share in SPLIT_SHARES[:-1]:
        splits[name] = []
        while waiting and sum(map(len, splits[name])) < share * total:
            splits[name].append(waiting.pop())
    splits[SPLIT_SHARES[-1][0]] = waiting
    return splits


def labelled_pairs(groups, rng, negatives="similar", pairs_per_intent=0):
    """The pairs of one split, half of them of label 1.

    Args:
        groups: list of groups as from `read_intents`.
        rng: `random.Random`.
        negatives: key of `NEGATIVES`, how pairs of label 0 are chosen.
        pairs_per_intent: int, most pairs of label 1 of one intent; 0 for all.

    Returns:
        list of (text_a, text_b, label), label 0 or 1, shuffled; no pair twice nor the other way.
    """
    same = [
        pair
        for group in groups
        for intent in group
        for pair in _pairs_of_intent(intent, pairs_per_intent, rng)
    ]
    different = NEGATIVES[negatives](groups, len(same), rng)
    # Groups without siblings, as a user's file may have, leave fewer pairs of label 0.
    rng.shuffle(same)
    del same[len(different) :]
    rows = [pair + (1,) for pair in same] + [pair + (0,) for pair in different]
    rows = [row if rng.random() < 0.5 else (row[1], row[0], row[2]) for row in rows]
    rng.shuffle(rows)
    return rows


def _pairs_of_intent(intent, limit, rng):
    """All pairs of an intent's wordings, or `limit` random ones of them."""
    pairs = list(itertools.combinations(intent.wordings, 2))
    return rng.sample(pairs, limit) if 0 < limit < len(pairs) else pairs


def _mostly_siblings(groups, count, rng):
    """`count` pairs of wordings: of sibling intents, and a small share of unrelated ones."""
    unrelated = _unrelated_pairs(groups, int(count * UNRELATED_SHARE), rng)
    siblings = _sibling_pairs(groups)
    rng.shuffle(siblings)
    return unrelated + siblings[: count - len(unrelated)]


def _sibling_pairs(groups):
    return [
        pair
        for group in groups
        for first, second in itertools.combinations(group, 2)
        for pair in itertools.product(first.wordings, second.wordings)
    ]


def _unrelated_pairs(groups, count, rng):
    """`count` different pairs of wordings of different groups, fewer if there are not so many."""
    wordings = [
        (text, number)
        for number, group in enumerate(groups)
        for intent in group
        for text in intent.wordings
    ]
    rng.shuffle(wordings)
    # Neighbours in the shuffled list first, then those two apart: no wording comes up too often.
    candidates = (
        (text_a, text_b)
        for step in range(1, len(wordings))
        for (text_a, group_a), (text_b, group_b) in zip(wordings, wordings[step:])
        if group_a != group_b
    )
    return list(itertools.islice(candidates, count))


def _similar_pairs(groups, count, rng):
    """`count` pairs of wordings of different intents that share many characters.

    `SIMILAR_SIBLING_SHARE` of them are of sibling intents, the rest of different groups.
    """
    if not count:
        return []
    wordings = [
        (text, group_index, intent)
        for group_index, group in enumerate(groups)
        for intent in group
        for text in intent.wordings
    ]
    rng.shuffle(wordings)
    texts, group_indices, intents = zip(*wordings)
    similarity = _dice_similarities(texts)
    is_same_group = np.equal.outer(group_indices, group_indices)
    is_same_intent = np.array([[one is other for other in intents] for one in intents])
    siblings = _nearest_pairs(texts, similarity, is_same_group & ~is_same_intent, rng)
    others = _nearest_pairs(texts, similarity, ~is_same_group, rng)
    del siblings[int(count * SIMILAR_SIBLING_SHARE) :]
    return siblings + others[: count - len(siblings)]


def _dice_similarities(texts):
    """Array (N, N): the Dice coefficients of the characters and bigrams of N texts."""
    grams = [set(text) | {text[i : i + 2] for i in range(len(text) - 1)} for text in texts]
    columns = {gram: i for i, gram in enumerate(sorted(set().union(*grams)))}
    occurs = np.zeros((len(texts), len(columns)), np.float32)
    for row, grams_of_text in zip(occurs, grams):
        row[[columns[gram] for gram in grams_of_text]] = 1
    sizes = occurs.sum(axis=1)
    return 2 * (occurs @ occurs.T) / np.add.outer(sizes, sizes)


def _nearest_pairs(texts, similarity, is_allowed, rng):
    """Different pairs of each text with its `SEARCH_DEPTH` most similar ones.

    Each text is paired with a random one of them before any text is paired with a second one.

    Args:
        texts: list of N str.
        similarity: array (N, N).
        is_allowed: bool array (N, N), whether two texts may be a pair.
        rng: `random.Random`.

    Returns:
        list of (text_a, text_b).
    """
    order = np.argsort(np.where(is_allowed, -similarity, 1), axis=1, kind="stable")
    pairs = collections.OrderedDict()
    nearest = order[:, :SEARCH_DEPTH].tolist()
    for candidates in nearest:
        rng.shuffle(candidates)
    for column in zip(*nearest):
        for i, j in enumerate(column):
            if is_allowed[i, j]:
                pairs.setdefault(frozenset((i, j)), (texts[i], texts[j]))
    return list(pairs.values())


NEGATIVES = {"similar": _similar_pairs, "siblings": _mostly_siblings}


def write_pairs(path, rows):
    """Writes rows (text_a, text_b, label) in LCQMC's format, the header first."""
    with atomic_write(path) as handle:
        handle.write(HEADER + "\n")
        handle.writelines("%s\t%s\t%d\n" % row for row in rows)


def main():
    groups = read_intents(FLAGS.intents_file)
    folder = FLAGS.output_dir or os.path.dirname(FLAGS.intents_file)
    rng = random.Random(FLAGS.seed)
    splits = split_groups(groups, rng)
    rows = {
        name: labelled_pairs(members, rng, FLAGS.negatives, FLAGS.pairs_per_intent)
        for name, members in splits.items()
    }
    for name in rows:
        if not rows[name]:
            raise UserError(
                "%s: too few groups (%d) to fill the %s split: write more groups of siblings"
                % (FLAGS.intents_file, len(groups), name)
            )
    for name, members in splits.items():
        path = os.path.join(folder, name + ".txt")
        write_pairs(path, rows[name])
        print("%s: %d pairs of %d intents" % (path, len(rows[name]), sum(map(len, members))))


if __name__ == "__main__":
    define_flags()
    run_command(main)
