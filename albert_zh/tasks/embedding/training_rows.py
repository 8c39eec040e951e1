"""The parts of a head that depend on the training rows, and checks of these rows.

head = head_of_file(split, head, objective)
head = head_of_files(split, further, head, objective)
"""

from typing import Any, Dict, Iterator, List, Sequence

from albert_zh.common.errors import UserError
from albert_zh.common.wording import counted
from albert_zh.tasks.tables import own_labels

CLASSES, NUM_NEGATIVES = "classes", "num_negatives"  # keys of a head
MOST_CLASSES = 100
_SHOWN = 5  # number of labels that a message names
Head = Dict[str, Any]


def head_of_file(split: Any, head: Head, objective: Any) -> Head:
    """The head, completed with the values that a training file determines.

    Args:
        split: `input_examples.Split` of `text_files.EmbeddingExample`.
        head: `Settings.head`.
        objective: `flags.Objective`.

    Returns:
        the head with `NUM_NEGATIVES`, int, 0 if the objective takes none, and `CLASSES`, list of
        the labels that softmax predicts in the order of its outputs; [] for other objectives.

    Raises:
        UserError: if some rows have negatives and some do not, or if the rows cannot be trained on.
    """
    counts = {0}
    if objective.takes_negatives:
        counts = {len(example.negatives) for example in split.examples}
    if len(counts) > 1 and 0 in counts:
        raise UserError(
            "%s: some rows have negatives (third column) and some do not: give each row one, or "
            "none" % split.path
        )
    head = dict(head)
    head[NUM_NEGATIVES], head[CLASSES] = min(counts), []
    if head["loss"] == "triplet":
        head[NUM_NEGATIVES] = min(head[NUM_NEGATIVES], 1)  # as in a row of `triplets`
    if head["loss"] == "softmax":
        head[CLASSES] = sorted({example.label for example in split.examples})
    for problem in _problems(split, head, objective):
        raise UserError(problem)
    return head


def notes_of_cut_rows(files: Sequence[Any]) -> List[str]:
    """Notes on rows with more negatives than others, whose surplus negatives are not used.

    Args:
        files: `input_examples.Split`s that are used for training together.
    """
    counts = [len(example.negatives) for split in files for example in split.examples]
    least = min(counts)
    cut = sum(count > least for count in counts)
    if not least or not cut:
        return []
    return [
        "%s more negatives than the row with the fewest: of each row, only the first %s used"
        % (counted(cut, "row has", "rows have"), "is" if least == 1 else "%d are" % least)
    ]


def head_of_files(split: Any, further: Sequence[Any], head: Head, objective: Any) -> Head:
    """The head of a training file, completed with values that additional files determine.

    Args:
        split: the first file.
        further: list of `input_examples.Split`, the files of --more_train.
        head: the head that `head_of_file` returned for the first file.
        objective: `flags.Objective`.

    Raises:
        UserError: for files that cannot be combined.
    """
    num_negatives = head[NUM_NEGATIVES]
    for more in further:
        found = head_of_file(more, head, objective)
        differing = sorted(set(found[CLASSES]) ^ set(head[CLASSES]))
        if differing:
            raise UserError(
                "--more_train: %s and %s have different labels (only in one of them: %s): "
                "--objective=softmax expects the same ones in all files"
                % (more.path, split.path, _shown(differing))
            )
        if (found[NUM_NEGATIVES] == 0) != (num_negatives == 0):
            paths = (split.path, more.path) if num_negatives else (more.path, split.path)
            raise UserError(
                "--more_train: the rows of %s have negatives (third column), those of %s do not: "
                "add some (--mine_negatives without --do_train writes a file with them) or leave "
                "one file out" % paths
            )
        num_negatives = min(num_negatives, found[NUM_NEGATIVES])
    return dict(head, num_negatives=num_negatives)


def triplets(examples: Sequence[Any]) -> List[Any]:
    """Rows with one negative each: one row per negative of an example."""
    return [
        example._replace(negatives=(text,), negative_groups=example.negative_groups[at : at + 1])
        for example in examples
        for at, text in enumerate(example.negatives)
    ]


def check_groups(split: Any, name: str, objective: Any) -> None:
    """Raises `UserError` for rows of which no batch can have a negative.

    Args:
        split: all training rows.
        name: name of the objective.
        objective: `flags.Objective`.
    """
    examples = split.examples
    is_compared = objective.is_of_batch and objective.data_format != "scored"
    has_wrong = name == "infonce" and all(example.negatives for example in examples)
    groups = {example.group for example in examples}
    if is_compared and not has_wrong and len(groups) == 1 < len(examples):
        raise UserError(
            "%s: all %d rows share texts and are therefore positives of each other: no batch has "
            "a negative for --objective=%s to learn from: expected rows of different meanings"
            % (split.path, len(examples), name)
        )


def _problems(split, head, objective) -> Iterator[str]:
    """What is wrong with the rows of a file for an objective, one line each."""
    labels = {example.label for example in split.examples}
    if objective.data_format == "scored" and len(labels) == 1:
        yield (
            "%s: %s the label %g, from which nothing can be learned: expected rows that mean the "
            "same and rows that do not, or --objective=infonce for a file of the former"
            % (split.path, own_labels.all_rows_have(len(split.examples)), labels.pop())
        )
    if objective.needs_negatives and not head[NUM_NEGATIVES]:
        yield (
            "%s: --objective=%s needs a negative in the third column of each row: add one, or use "
            "--objective=infonce" % (split.path, head["loss"])
        )
    fractions = [label for label in head[CLASSES] if not label.is_integer()]
    if fractions:
        yield (
            "%s: the label %s is not a class: --objective=softmax expects whole numbers; "
            "--objective=cosent learns scores" % (split.path, _shown(fractions[:1]))
        )
    if len(head[CLASSES]) > MOST_CLASSES:
        yield (
            "%s: %d different labels, expected at most %d classes for --objective=softmax; "
            "--objective=cosent learns scores" % (split.path, len(head[CLASSES]), MOST_CLASSES)
        )


def _shown(labels):
    return ", ".join("%.12g" % label for label in labels[:_SHOWN])
