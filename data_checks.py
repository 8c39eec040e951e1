"""What is remarkable about a data set before training: imbalance, duplicates, contradictions."""

import collections
import random
import re

from layouts import plain_label
from reading import label_counts
import scores
from tasks import label_parts

RARE = 10  # examples; classes with fewer are named
IMBALANCE = 10  # times that the largest class is larger than the smallest
SHOWN = 5
COMPOUND = 0.1  # share of labels with a mark in them from which it may be a separator
# Goes with a run's settings: other rows would be dev, those of a former run's training among them.
SPLIT_METHOD = "by largest remainders"
_MARKS = re.compile("[;；,，、|]")


def text_key(example):
    """What makes two examples the same text or pair."""
    return hash((example.text_a, example.text_b))


def check(task, splits):
    """Looks at the splits of a run.

    Args:
        task: `Task`, whose labels are known.
        splits: {name: `Split`}.

    Returns:
        (lines for the user, {name: count} for the report).
    """
    lines, counts = [], {}
    finders = (_sizes, _spellings, _separators, _imbalance, _absent_labels)
    for find in finders + (_duplicates, _shared_rows):
        for line, found in find(task, splits):
            lines.append(line)
            counts.update(found)
    return lines, counts


def _sizes(task, splits):
    if "train" in splits and "dev" in splits:
        sizes = [len(splits[name].examples) for name in ("train", "dev")]
        if sizes[1] > sizes[0]:
            yield (
                "warning: dev has more rows than train (%d and %d): are the files swapped?"
                % (sizes[1], sizes[0]),
                {"dev_larger_than_train": sizes[1]},
            )


def _spellings(task, splits):
    """Labels of train that differ in their writing only."""
    if "train" not in splits or task.objective == "regression":
        return
    same = collections.defaultdict(list)
    for label in sorted(label_counts(task, splits["train"])):
        same[plain_label(label)].append(label)
    twice = [labels for labels in same.values() if len(labels) > 1]
    if twice:
        yield (
            "note: %d labels of train stand there in several writings (width, case, .0), which are "
            "taken for different labels: %s" % (len(twice), _some(map(" and ".join, twice))),
            {"labels_in_several_writings": len(twice)},
        )


def _separators(task, splits):
    """Several labels in one, where another separator than the task's stands between them."""
    if "train" not in splits or task.objective != "multi_label":
        return
    parts = [label_parts(task, example.label) for example in splits["train"].examples]
    labels = [found[0] for found in parts if found]
    if not labels or max(map(len, parts)) > 1:
        return
    counts = collections.Counter(mark for label in labels for mark in set(_MARKS.findall(label)))
    for mark, count in counts.most_common(1):
        if count >= COMPOUND * len(labels):
            yield (
                "warning: no row of train has several labels, but %d of %d labels have %r in them, "
                "as %r: if it stands between labels, use --label_separator=%r"
                % (count, len(labels), mark, next(x for x in labels if mark in x), mark),
                {"labels_with_a_separator": count},
            )


def _imbalance(task, splits):
    if "train" not in splits or task.objective == "regression":
        return
    counts = label_counts(task, splits["train"])
    (most, many), (least, few) = counts.most_common()[0], counts.most_common()[-1]
    if many > IMBALANCE * few:
        yield (
            "note: train is imbalanced: %s has %d rows, %s %d (--class_weights=balanced evens that "
            "out, --best_metric=macro_f1 looks at all classes alike)" % (most, many, least, few),
            {"imbalance": many / few},
        )
    rare = [label for label in task.labels if counts[label] < RARE]
    if rare:
        yield (
            "note: %d classes have fewer than %d rows in train: %s"
            % (len(rare), RARE, _some(rare)),
            {"rare_classes": len(rare)},
        )


def _absent_labels(task, splits):
    if "train" not in splits or task.objective == "regression":
        return
    for name in ("train", "dev"):
        if name in splits and splits[name].has_labels:
            there = label_counts(task, splits[name])
            absent = [label for label in task.labels if not there[label]]
            if absent:
                yield (
                    "note: %s has no row of %d labels: %s" % (name, len(absent), _some(absent)),
                    {"labels_absent_in_" + name: len(absent)},
                )


def _duplicates(task, splits):
    """Texts that stand twice in one file, with the same label or with different ones."""
    for name, split in splits.items():
        if not split.has_labels:
            continue
        labels = collections.defaultdict(set)
        for example in split.examples:
            labels[text_key(example)].add(example.label)
        repeated = len(split.examples) - len(labels)
        if repeated:
            yield (
                "note: %d rows of %s repeat an earlier one's text" % (repeated, name),
                {"repeated_in_" + name: repeated},
            )
        contradictory = {key for key, found in labels.items() if len(found) > 1}
        if contradictory:
            example = next(e for e in split.examples if text_key(e) in contradictory)
            yield (
                "warning: %d texts of %s stand there with different labels, as %r (%s)"
                % (
                    len(contradictory),
                    name,
                    example.text_a[:40],
                    ", ".join(sorted(map(str, labels[text_key(example)]))),
                ),
                {"contradictory_in_" + name: len(contradictory)},
            )


def _shared_rows(task, splits):
    """Rows of dev and test that training has seen, and those that it saw with another label."""
    if "train" not in splits:
        return
    labels = {text_key(example): example.label for example in splits["train"].examples}
    for name in ("dev", "test"):
        if name not in splits:
            continue
        shared = [e for e in splits[name].examples if text_key(e) in labels]
        if shared:
            other = sum(e.label not in (None, labels[text_key(e)]) for e in shared)
            yield (
                "note: %d of %d rows of %s stand in train too%s%s"
                % (
                    len(shared),
                    len(splits[name].examples),
                    name,
                    ", %d of them with another label" % other if other else "",
                    _about_scores(task, splits[name], len(shared)),
                ),
                {"seen_in_" + name: len(shared)},
            )


def _about_scores(task, split, num_seen):
    """What rows that training has seen do to a split's scores, for the note on them."""
    if not split.has_labels:
        return ""
    if num_seen == len(split.examples):
        return ": all of them, so that its scores say nothing about new texts"
    return "; %s is told with and without them" % scores.USUAL[task.objective][0]


def stratified_split(task, examples, share, seed):
    """Sets a share of the examples aside, in which each label has its share.

    The rarest label comes first: rows with it are set aside until it has its share, and of them
    first those whose other labels need rows too (in the manner of Sechidis et al. 2011, "On the
    stratification of multi-label data"; with one label a row it is the largest remainder method).

    Args:
        task: `Task`.
        examples: list of `InputExample`.
        share: float, share that is set aside, rounded; at least one example. Of a label with
            several examples at least one stays, and a label's only example stays if it can.
        seed: int.

    Returns:
        (what stays, what is set aside), two lists in the order of `examples`.
    """
    generator = random.Random(seed)
    labels = [_labels_to_spread(task, example) for example in examples]
    counts = collections.Counter(label for found in labels for label in found)
    quotas = _quotas(counts, share, len(examples), generator)
    order = generator.sample(range(len(examples)), len(examples))
    order.sort(key=lambda number: any(counts[label] == 1 for label in labels[number]))
    shared = [[label for label in found if counts[label] > 1] for found in labels]
    aside = _spread(shared, quotas, order, _rounded(share * len(examples))) or {order[0]}
    return (
        [example for number, example in enumerate(examples) if number not in aside],
        [examples[number] for number in sorted(aside)],
    )


def _labels_to_spread(task, example):
    """The labels of a row, each once; of several also how many, so that the rows' number fits."""
    if task.objective == "regression":
        return [0]
    labels = sorted(set(label_parts(task, example.label)))
    return labels + [len(labels)] if task.objective == "multi_label" else labels


def _quotas(counts, share, num_rows, generator):
    """How many rows of each label are set aside: its share, the largest remainders rounded up.

    Args:
        counts: {label: rows}; an int is a number of labels, of which each row has one.
        share: float.
        num_rows: int.
        generator: decides between labels of equal remainders.

    Returns:
        {label: int}, so that one row of each label can stay.
    """
    quotas = {}
    for is_number in (False, True):
        group = {label: n for label, n in counts.items() if isinstance(label, int) == is_number}
        if sum(group.values()) != num_rows:  # of several labels a row
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


def _spread(labels, quotas, order, size):
    """The numbers of the rows that are set aside, a set of at most `size`.

    Args:
        labels: list of the labels of each row, but those that one row alone has.
        quotas: {label: rows that are wanted of it}.
        order: numbers of the rows, first come first taken.
        size: int.
    """
    rows_of = collections.defaultdict(list)
    for number in order:
        for label in labels[number]:
            rows_of[label].append(number)
    needed, staying = dict(quotas), {label: len(rows) for label, rows in rows_of.items()}
    aside = set()
    for are_enough in (all, any):
        for label in sorted(rows_of, key=lambda label: (len(rows_of[label]), str(label))):
            for number in rows_of[label]:
                if needed[label] <= 0 or len(aside) >= size:
                    break
                is_wanted = are_enough(needed[other] > 0 for other in labels[number])
                can_leave = all(staying[other] > 1 for other in labels[number])
                if number not in aside and is_wanted and can_leave:
                    aside.add(number)
                    for other in labels[number]:
                        needed[other] -= 1
                        staying[other] -= 1
    return aside


def _rounded(number):
    return int(number + 0.5)


def _some(names):
    names = list(names)
    shown = ", ".join(names[:SHOWN])
    return shown + (" ..." if len(names) > SHOWN else "")
