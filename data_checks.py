"""What is remarkable about a data set before training: imbalance, duplicates, contradictions."""

import collections
import random

from reading import label_counts

RARE = 10  # examples; classes with fewer are named
IMBALANCE = 10  # times that the largest class is larger than the smallest
SHOWN = 5


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
    for find in (_sizes, _imbalance, _absent_labels, _duplicates, _shared_rows):
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
            contradictory = ", %d of them with another label" % other if other else ""
            yield (
                "note: %d of %d rows of %s stand in train too%s; accuracy is told with and without "
                "them" % (len(shared), len(splits[name].examples), name, contradictory),
                {"seen_in_" + name: len(shared)},
            )


def stratified_split(task, examples, share, seed):
    """Sets a share of the examples of each label aside.

    Args:
        task: `Task`.
        examples: list of `InputExample`.
        share: float, share that is set aside; at least one example, and of a label with several
            at least one stays.
        seed: int.

    Returns:
        (what stays, what is set aside), two lists in the order of `examples`.
    """
    groups = collections.OrderedDict()
    for number, example in enumerate(examples):
        key = None if task.objective == "regression" else example.label
        groups.setdefault(key, []).append(number)
    generator = random.Random(seed)
    aside = set()
    for numbers in groups.values():
        count = min(int(share * len(numbers) + 0.5), len(numbers) - 1)
        aside.update(generator.sample(numbers, count))
    if not aside:
        aside.add(generator.randrange(len(examples)))
    return (
        [example for number, example in enumerate(examples) if number not in aside],
        [examples[number] for number in sorted(aside)],
    )


def _some(names):
    shown = ", ".join(names[:SHOWN])
    return shown + (" ..." if len(names) > SHOWN else "")
