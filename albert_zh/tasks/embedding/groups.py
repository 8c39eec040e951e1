"""Groups of rows whose texts are positives of one another, and the groups of negatives.

    examples = of_file(examples)          # sets group and negative_groups of each example
    first, second = of_files([first, second])

The loss of a batch does not use a text as negative if it is a positive of the anchor's group.
"""

from typing import Any, Dict, List, Sequence, Tuple

from albert_zh.tasks.tables import text_groups

NO_GROUP = -1  # for a negative that is not a positive of any row
Keys = Tuple[str, ...]


def of_file(examples: Sequence[Any]) -> List[Any]:
    """The rows of a file with their groups: rows that share a text have the same group.

    Scored rows are only grouped if they have the highest score.

    Args:
        examples: `text_files.EmbeddingExample`s.
    """
    rows = [_right_texts(example) for example in examples]
    wrong = [[(text_groups.normalized(text),) for text in e.negatives] for e in examples]
    return _with_groups(examples, rows, wrong)


def of_files(files: Sequence[Sequence[Any]]) -> List[List[Any]]:
    """The rows of each file with groups over all files; a group within a file stays together.

    Args:
        files: the examples of each file, as returned by `of_file`; some rows may be missing.
    """
    examples, rows, wrong = [], [], []
    for number, of_one in enumerate(files):
        for example in of_one:
            examples.append(example)
            rows.append((_key(number, example.group),) + _right_texts(example))
            wrong.append(
                [
                    (text_groups.normalized(text), _key(number, group))
                    for text, group in zip(example.negatives, example.negative_groups)
                ]
            )
    grouped = iter(_with_groups(examples, rows, wrong))
    return [[next(grouped) for _ in of_one] for of_one in files]


def _right_texts(example) -> Keys:
    return text_groups.texts_of_row(example) if example.target == 1.0 else ()


def _key(number, group):
    """A key for a group of a file; it cannot be a normalized text, which never has a tab."""
    return "%d\t%d" % (number, group)


def _with_groups(examples, rows: Sequence[Keys], wrong: Sequence[Sequence[Keys]]):
    """Examples with the groups of rows that share a key.

    `wrong`: for each example and each of its negatives, the keys that may belong to a group.
    """
    numbers = [0] * len(rows)
    for number, members in enumerate(text_groups.groups_of_rows(rows)):
        for index in members:
            numbers[index] = number
    of_key = {key: number for row, number in zip(rows, numbers) for key in row}
    return [
        example._replace(
            group=number, negative_groups=tuple(_first_known(keys, of_key) for keys in of_wrong)
        )
        for example, number, of_wrong in zip(examples, numbers, wrong)
    ]


def _first_known(keys: Keys, of_key: Dict[str, int]) -> int:
    return next((of_key[key] for key in keys if key in of_key), NO_GROUP)
