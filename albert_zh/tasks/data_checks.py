"""Checks a data set before training: imbalance, duplicates, contradictory labels, shared texts."""

import collections
from typing import Any, Dict, List, Tuple

from albert_zh.common.wording import counted
from albert_zh.tasks import counted_rows, registry
from albert_zh.tasks.datasets import label_parts
from albert_zh.tasks.tables import text_groups
from albert_zh.tasks.tables.label_rules import plain_label
from albert_zh.tasks.tables.own_labels import joined_labels, label_counts, separator_of
from albert_zh.tasks.task_forms import is_pair

RARE = 10  # classes with fewer examples than this are listed
IMBALANCE = 10  # ratio of the largest class to the smallest above which a note is printed
SHOWN = 5
MUCH_SHARED = 0.1  # share of rows with a text of train above which the note is a warning
FEW_DEV_ROWS = 100  # with fewer rows, a checkpoint cannot be chosen better than by chance
_ALL_SCORES, _FEWEST_SCORES = frozenset("0 1 2 3 4 5".split()), 5  # scores of pairs, as in STS-B
_PRESUMED_SCORE = 0.8  # the score for which the standard error is reported


def check(task: Any, splits: Dict[str, Any]) -> Tuple[List[str], Dict[str, Any]]:
    """Checks the splits of a run.

    Args:
        task: `Task` with its labels.
        splits: {name: `Split`}.

    Returns:
        (lines for the user, {name: count} for the report).
    """
    lines, counts = [], {}
    splits = {
        name: split._replace(examples=counted_rows.rows_of(split)) for name, split in splits.items()
    }
    labelled = {name: split for name, split in splits.items() if split.has_labels}
    finders = [(find, splits) for find in (_sizes, _few_dev_rows)]
    of_labels = [_spellings, _separators, _scores_as_classes, _labels_as_texts, _imbalance]
    finders += [(find, labelled) for find in [*of_labels, _absent_labels]]
    finders += [(find, splits) for find in (_duplicates, _shared_rows, _shared_texts)]
    for find, looked_at in finders:
        for line, count in find(task, looked_at):
            lines.append(line)
            counts.update(count)
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


def _few_dev_rows(task, splits):
    """Warns of a dev file that is too small to distinguish checkpoints."""
    num_rows = len(splits["dev"].examples) if "dev" in splits else FEW_DEV_ROWS
    if num_rows < FEW_DEV_ROWS:
        name = registry.type_of(task).usual_metrics[0]
        yield (
            "warning: dev has %s: the standard error of %s (at %.2f) is ± %.2f there, too "
            "large to choose a checkpoint by: label more rows, set more of them aside "
            "(--dev_share), and look at the mean of several runs (--seeds=1,2,3)"
            % (counted(num_rows, "row"), name, _PRESUMED_SCORE, standard_error(task, num_rows)),
            {"few_dev_rows": num_rows},
        )


def standard_error(task: Any, num_rows: int, score: float = _PRESUMED_SCORE) -> float:
    """Standard error of a task's score on `num_rows` rows."""
    return registry.rules_of(task).standard_error(score, num_rows)


def _spellings(task, splits):
    """Notes labels of train that differ in spelling only (width, case, .0)."""
    if "train" not in splits or not registry.rules_of(task).has_classes:
        return
    same = collections.defaultdict(list)
    for label in sorted(label_counts(task, splits["train"])):
        same[plain_label(label)].append(label)
    twice = [labels for labels in same.values() if len(labels) > 1]
    if twice:
        yield (
            "note: %s in several spellings (width, case, .0), which count as different labels: %s"
            % (
                counted(len(twice), "label of train occurs", "labels of train occur"),
                _some(map(" and ".join, twice)),
            ),
            {"labels_in_several_writings": len(twice)},
        )


def _separators(task, splits):
    """Warns of cells that hold several labels if the flags name no separator or another one."""
    is_own = task.header is not None
    kind = registry.rules_of(task)
    if "train" not in splits or not (kind.has_several_labels or is_own):
        return
    separated = [label_parts(task, example.label) for example in splits["train"].examples]
    labels = [names[0] for names in separated if names]
    joined = joined_labels(label_counts(task, splits["train"])) if kind.has_several_labels else []
    if joined:
        yield (
            "warning: %s of others with a separator between them, but count separately: %s: use "
            "the same separator everywhere, and name it with --label_separator"
            % (
                counted(len(joined), "label of train consists", "labels of train consist"),
                _some(joined),
            ),
            {"joined_labels": len(joined)},
        )
    mark = separator_of(labels)
    if mark is None or joined or not kind.has_classes or max(map(len, separated)) > 1:
        return
    way_out = "--label_separator=%r" % mark
    if not kind.has_several_labels:
        way_out = "--multi_label=true" + ("" if mark == "|" else " " + way_out)
    with_mark = [label for label in labels if mark in label]
    yield (
        "warning: no row of train has several labels, but %d of %d labels contain %r, such as %r: "
        "if it separates labels, use %s"
        % (len(with_mark), len(labels), mark, with_mark[0], way_out),
        {"labels_with_a_separator": len(with_mark)},
    )


def _scores_as_classes(task, splits):
    """Notes pairs with whole-number scores, as in STS-B, that would be trained as classes."""
    is_own = task.header is not None
    if "train" not in splits or not (is_own and registry.rules_of(task).has_classes):
        return
    are_scores = is_pair(task) and _ALL_SCORES.issuperset(task.labels)
    if are_scores and len(task.labels) >= _FEWEST_SCORES:
        yield (
            "note: the labels of these pairs are the numbers %s to %s, and are treated as %d "
            "unordered classes: if they are similarity scores, use --regression=true"
            % (task.labels[0], task.labels[-1], len(task.labels)),
            {"scores_as_classes": len(task.labels)},
        )


def _labels_as_texts(task, splits):
    """Warns of a text column that only restates the label, such as its name next to its number."""
    is_own = task.header is not None
    if "train" not in splits or not (is_own and is_pair(task)):
        return
    if not registry.rules_of(task).has_classes or registry.rules_of(task).has_several_labels:
        return
    for column in ("text_a", "text_b"):
        pairs = {(getattr(e, column), e.label) for e in splits["train"].examples}
        texts, labels = map(set, zip(*pairs))
        if len(pairs) == len(texts) == len(labels) < len(splits["train"].examples) / 2:
            yield (
                "warning: %s of train only restates the label, such as %r with %r: name the "
                "columns of the text and the label by --text_column and --label_column"
                % ((column, *min(pairs))),
                {"labels_as_texts": len(pairs)},
            )


def _imbalance(task, splits):
    if "train" not in splits or not registry.rules_of(task).has_classes:
        return
    counts = label_counts(task, splits["train"])
    (most, many), (least, few) = counts.most_common()[0], counts.most_common()[-1]
    if many > IMBALANCE * few:
        yield (
            "note: train is imbalanced: %s has %d rows, %s %d (--class_weights=balanced "
            "compensates for that, --best_metric=macro_f1 weights all classes equally)"
            % (most, many, least, few),
            {"imbalance": many / few},
        )
    rare = [label for label in task.labels if counts[label] < RARE]
    if rare:
        yield (
            "note: %s fewer than %d rows in train: %s"
            % (counted(len(rare), "class has", "classes have"), RARE, _some(rare)),
            {"rare_classes": len(rare)},
        )


def _absent_labels(task, splits):
    if "train" not in splits or not registry.rules_of(task).has_classes:
        return
    for name in ("train", "dev"):
        if name in splits and splits[name].has_labels:
            there = label_counts(task, splits[name])
            absent = [label for label in task.labels if not there[label]]
            if absent:
                yield (
                    "note: %s has no row of %s: %s"
                    % (name, counted(len(absent), "label"), _some(absent)),
                    {"labels_absent_in_" + name: len(absent)},
                )


def _duplicates(task, splits):
    """Notes texts that occur twice in one file, with the same label or with different labels."""
    for name, split in splits.items():
        if not split.has_labels:
            continue
        labels = collections.defaultdict(set)
        for example in split.examples:
            labels[text_groups.text_key(example)].add(example.label)
        repeated = len(split.examples) - len(labels)
        if repeated:
            yield (
                "note: %s the text of an earlier row"
                % counted(repeated, "row of %s repeats" % name, "rows of %s repeat" % name),
                {"repeated_in_" + name: repeated},
            )
        contradictory = {key for key, labels_of_text in labels.items() if len(labels_of_text) > 1}
        if contradictory:
            example = next(e for e in split.examples if text_groups.text_key(e) in contradictory)
            yield (
                "warning: %s with different labels, such as %r (%s)"
                % (
                    counted(
                        len(contradictory), "text of %s occurs" % name, "texts of %s occur" % name
                    ),
                    example.text_a[:40],
                    ", ".join(sorted(map(str, labels[text_groups.text_key(example)]))),
                ),
                {"contradictory_in_" + name: len(contradictory)},
            )


def about_both_orders(split: Any) -> List[str]:
    """Warnings about pairs that also occur in reverse order with a different label.

    Args:
        split: `Split` of pairs whose order does not matter (--swap_pairs): each order of such a
            pair would be trained with both labels.
    """
    labels = {(example.text_a, example.text_b): example.label for example in split.examples}
    contradictory = [
        example
        for example in split.examples
        if labels.get((example.text_b, example.text_a), example.label) != example.label
    ]
    if not contradictory:
        return []
    first = contradictory[0]
    return [
        "warning: %s in reverse order with another label, such as %r and %r (%s and %s): "
        "--swap_pairs trains each order with both"
        % (
            counted(
                len(contradictory),
                "row of %s occurs" % split.name,
                "rows of %s occur" % split.name,
            ),
            first.text_a[:40],
            (first.text_b or "")[:40],
            first.label,
            labels[(first.text_b, first.text_a)],
        )
    ]


def _shared_rows(task, splits):
    """Notes rows of dev and test that are in train too, and how many have another label there."""
    if "train" not in splits:
        return
    labels = {text_groups.text_key(example): example.label for example in splits["train"].examples}
    for name in ("dev", "test"):
        if name not in splits:
            continue
        shared = [e for e in splits[name].examples if text_groups.text_key(e) in labels]
        if shared:
            pairs = [(e.label, labels[text_groups.text_key(e)]) for e in shared]
            other = sum(None not in both and both[0] != both[1] for both in pairs)
            yield (
                "note: %d of %d rows of %s are also in train%s%s"
                % (
                    len(shared),
                    len(splits[name].examples),
                    name,
                    ", %d of them with another label" % other if other else "",
                    _about_scores(task, splits[name], len(shared)),
                ),
                {"seen_in_" + name: len(shared)},
            )


def _shared_texts(task, splits):
    """Notes rows of dev and test that share a text with train without being the same row."""
    if "train" not in splits or not {"dev", "test"}.intersection(splits):
        return
    rows = {name: list(map(text_groups.texts_of_row, splits[name].examples)) for name in splits}
    for name in ("dev", "test"):
        shared = text_groups.overlap(rows.get(name, []), rows["train"])
        if shared.one_text > shared.same_row:
            share = shared.one_text / len(rows[name])
            of_pairs = ", %d of them both texts, %d the same pair" % shared[1:]
            yield (
                "%s: %d of %d rows of %s (%.1f %%) share a text with train%s: scores there are "
                "higher than on new texts"
                % (
                    "warning" if share > MUCH_SHARED else "note",
                    shared.one_text,
                    len(rows[name]),
                    name,
                    100 * share,
                    of_pairs if is_pair(task) else "",
                ),
                {"share_a_text_in_" + name: shared.one_text},
            )


def _about_scores(task, split, num_seen):
    """How rows that training has seen affect a split's scores: the end of the note on them."""
    if not split.has_labels:
        return ""
    if num_seen == len(split.examples):
        return ": all of them, so that its scores say nothing about new texts"
    return "; %s is reported with and without them" % registry.type_of(task).usual_metrics[0]


def _some(names):
    names = list(names)
    shown = ", ".join(names[:SHOWN])
    return shown + (" ..." if len(names) > SHOWN else "")
