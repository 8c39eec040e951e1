"""Sets a part of the training rows aside as dev rows.

    split = set_aside(task, examples, share=0.1, seed=1, method="groups")
    split.kept, split.aside

With "groups", rows that share a text stay on the same side: a dev row whose sentence is trained on
in another pair scores higher than a new one. With "random", each row is drawn independently. Either
way every label gets its share of the dev rows as far as possible.
"""

import collections
import random
from typing import Any, Optional, Sequence, Tuple

from albert_zh.common.messages import exact_number
from albert_zh.common.wording import counted
from albert_zh.tasks import registry
from albert_zh.tasks.datasets import label_parts
from albert_zh.tasks.tables import text_groups

# How a run's settings describe the method. Another method would choose other dev rows, among them
# rows on which a former run was trained.
METHODS = collections.OrderedDict(
    [("groups", "by groups of shared texts"), ("random", "by largest remainders")]
)
DEFAULT_SHARE = 0.1
# Of few rows a larger share is set aside: 10 dev rows are too few to choose a checkpoint by.
FEWEST_ROWS, LARGEST_SHARE = 100, 0.3
# One group may fill at most this share of the dev rows, so that they come from several groups; if
# there are few dev rows, one group may fill them all.
_SHARE_OF_GROUP, _ROWS_OF_GROUP = 0.2, 5

DevSplit = collections.namedtuple("DevSplit", ["kept", "aside", "num_left_out", "note"])
DevSplit.__doc__ = """Training rows and dev rows.

Fields:
    kept: list of `InputExample`, the training rows, in the order of the file.
    aside: list of `InputExample`, the dev rows.
    num_left_out: number of rows in neither, because they share texts with both.
    note: a note on groups that are too large to be set aside, or None.
"""


def described(share: float, method: str) -> str:
    """The description of a split in a run's settings; `recorded` parses it."""
    return "%s, %s" % (exact_number(share), METHODS[method])


def recorded(description: str) -> Tuple[Optional[float], Any]:
    """(share, method) of a former run's split, from the description that `described` returned.

    (None, None) for a run without a split.
    """
    share, _, description_of_method = (description or "").partition(", ")
    methods = [
        method for method, description in METHODS.items() if description == description_of_method
    ]
    return (float(share), methods[0]) if methods else (None, None)


def usual_share(num_rows: int) -> float:
    """The share of the rows that is set aside by default."""
    wanted = min(FEWEST_ROWS / max(num_rows, 1), LARGEST_SHARE)
    return max(DEFAULT_SHARE, round(wanted, 4))


def set_aside(task: Any, examples: Sequence[Any], share: float, seed: int, method: str) -> DevSplit:
    """Sets a share of the rows aside.

    Args:
        task: `Task`.
        examples: list of `InputExample`.
        share: float, share of the rows to set aside, rounded; at least one example. A label with
            several examples keeps at least one for training; the only example of a label stays
            in training if possible.
        seed: int.
        method: a key of `METHODS`.

    Returns:
        `DevSplit`.
    """
    if method == "random":
        return _drawn(task, examples, share, seed, [[n] for n in range(len(examples))])
    rows = [text_groups.texts_of_row(example) for example in examples]
    groups = text_groups.groups_of_rows(rows)
    size = _rounded(share * len(examples))
    largest = max(int(_SHARE_OF_GROUP * size), min(size, _ROWS_OF_GROUP), 1)
    small = [group for group in groups if len(group) <= largest]
    large = [group for group in groups if len(group) > largest]
    num_in_large = sum(map(len, large))
    if 2 * num_in_large <= len(examples):
        return _drawn(task, examples, share, seed, small)
    groups_of_rows, links = _regions_of_large_groups(rows, large, share, largest, seed)
    split = _drawn(task, examples, share, seed, small, groups_of_rows, links)
    about = "%d of its %d rows are connected by shared texts" % (num_in_large, len(examples))
    if 2 * len(split.aside) < size:
        split = _drawn(task, examples, share, seed, [[n] for n in range(len(examples))])
        return split._replace(
            note="%s and cannot be split: dev rows are drawn one by one, and share texts with "
            "train: their scores are higher than on new texts" % about
        )
    return split._replace(
        note="%s: %s in neither"
        % (
            about,
            counted(
                len(links), "row that links dev and train is", "rows that link dev and train are"
            ),
        )
    )


def _regions_of_large_groups(rows, groups, share, largest, seed):
    """(parts of large groups to set aside, rows that link these parts to the remaining rows).

    A group is not split if that would discard more rows than it sets aside.
    """
    generator = random.Random(seed)
    regions, links = [], []
    for group in groups:
        starts = generator.sample(group, len(group))
        size = _rounded(share * len(group))
        drawn, lost = text_groups.regions(rows, group, size, largest, starts)
        if len(lost) <= sum(map(len, drawn)) <= 2 * size:
            regions += drawn
            links += lost
    return regions, links


def _drawn(task, examples, share, seed, groups, first=(), left_out=()):
    """Draws groups until each label has its share of rows.

    The rarest label comes first: groups that contain it are set aside until it has its share, and
    groups whose other labels need rows too are taken first (in the manner of Sechidis et al. 2011,
    "On the stratification of multi-label data"; for groups of one row with one label it is the
    largest remainder method).

    Args:
        task, examples, share, seed: as in `set_aside`.
        groups: lists of row numbers; each group is set aside as a whole or stays in training.
        first: groups that are set aside in any case.
        left_out: numbers of rows that are neither training rows nor dev rows.

    Returns:
        `DevSplit`.
    """
    generator = random.Random(seed)
    labels = [_labels_to_spread(task, example) for example in examples]
    counts = collections.Counter(label for of_row in labels for label in of_row)
    quotas = _quotas(counts, share, len(examples), generator)
    order = generator.sample(groups, len(groups))
    order.sort(key=lambda group: any(counts[lb] == 1 for n in group for lb in labels[n]))
    shared = [[label for label in of_row if counts[label] > 1] for of_row in labels]
    aside = _spread(shared, quotas, list(first), order, _rounded(share * len(examples)))
    if not aside and order:
        aside = set(min(order, key=len))
    neither = aside.union(left_out)
    return DevSplit(
        [example for index, example in enumerate(examples) if index not in neither],
        [examples[index] for index in sorted(aside)],
        len(left_out),
        None,
    )


def _labels_to_spread(task, example):
    """The labels of a row without repetition; in a multi-label task also how many there are."""
    return registry.rules_of(task).labels_to_spread(label_parts(task, example.label))


def _quotas(counts, share, num_rows, generator):
    """How many rows of each label to set aside: its share, the largest remainders rounded up.

    Args:
        counts: {label: rows}; a key that is an int counts the rows with so many labels.
        share: float.
        num_rows: int.
        generator: decides between labels with equal remainders.

    Returns:
        {label: int}, such that at least one row of each label can stay in training.
    """
    quotas = {}
    for is_numeric in (False, True):
        group = {label: n for label, n in counts.items() if isinstance(label, int) == is_numeric}
        if sum(group.values()) != num_rows:  # rows have several labels
            group = {label: n for label, n in group.items() if n > 1}
        quotas.update(_apportioned(group, share, generator))
    return quotas


def _apportioned(counts, share, generator):
    """{label: int} by the largest remainder method, each less than its count."""
    quotas = {label: min(int(share * count), count - 1) for label, count in counts.items()}
    labels = generator.sample(sorted(counts), len(counts))
    labels.sort(key=lambda label: quotas[label] - share * counts[label])
    missing = _rounded(share * sum(counts.values())) - sum(quotas.values())
    while missing > 0 and labels:
        labels = [label for label in labels if quotas[label] < counts[label] - 1]
        for label in labels[:missing]:
            quotas[label] += 1
            missing -= 1
    return quotas


def _spread(labels, quotas, first, order, size):
    """The numbers of the rows to set aside: the first groups, and others up to `size` in total.

    Args:
        labels: list of the labels of each row, without labels that occur in only one row.
        quotas: {label: number of its rows to set aside}.
        first: groups of rows that are set aside in any case.
        order: the other groups, in the order in which they are tried.
        size: int.
    """
    aside = {index for group in first for index in group}
    needed = collections.Counter(quotas)
    needed.subtract(label for index in aside for label in labels[index])
    staying = collections.Counter(label for group in order for n in group for label in labels[n])
    rarest_first = sorted(staying, key=lambda label: (staying[label], str(label)))
    groups_of = collections.defaultdict(list)
    for group in order:
        for label in {label for index in group for label in labels[index]}:
            groups_of[label].append(group)
    for are_enough in (_all_are_needed, _any_is_needed):
        for label in rarest_first:
            for group in groups_of[label]:
                if needed[label] <= 0 or len(aside) >= size:
                    break
                if group[0] in aside or len(aside) + len(group) > size:
                    continue
                counts = collections.Counter(lb for index in group for lb in labels[index])
                can_leave = all(staying[lb] > count for lb, count in counts.items())
                if can_leave and are_enough(needed, counts):
                    aside.update(group)
                    needed.subtract(counts)
                    staying.subtract(counts)
    return aside


def _all_are_needed(needed, counts):
    return all(needed[label] >= count for label, count in counts.items())


def _any_is_needed(needed, counts):
    return any(needed[label] > 0 for label in counts)


def _rounded(share):
    return int(share + 0.5)
