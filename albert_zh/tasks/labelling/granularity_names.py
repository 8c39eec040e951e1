"""Granularities of a run: their names and files, as flags and fine_tuning.json say.

A folder has a file for each granularity, train.fine.txt and train.coarse.txt, say, of one corpus or
of several. `head` is `Settings.head` throughout.
"""

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from albert_zh.common.errors import UserError

TOKENS = "granularity_tokens"  # key of a head: {granularity: token of the input}


def names(head: Mapping[str, Any]) -> Tuple[str, ...]:
    """The granularities that a model has; () for a model without."""
    return tuple(head.get("granularities") or ())


def chosen(head: Mapping[str, Any], example: Any = None) -> Optional[str]:
    """The granularity of an example: that of its file, the one that is asked for, or the first."""
    of_file = getattr(example, "granularity", None)
    return of_file or head.get("granularity") or next(iter(names(head)), None)


def predicted(head: Mapping[str, Any]) -> Tuple[Optional[str], ...]:
    """The granularities that texts without labels have: the one that is asked for, or all."""
    asked_for = head.get("granularity")
    return (asked_for,) if asked_for else names(head) or (None,)


def token(head: Mapping[str, Any], example: Any) -> Optional[str]:
    """The token that stands for an example's granularity; None of a model without."""
    name = chosen(head, example)
    return head[TOKENS][name] if name else None


def check_chosen(head: Mapping[str, Any]) -> None:
    """Raises `UserError` for a granularity that is asked for and that the model has not."""
    name = head.get("granularity")
    if name and name not in names(head):
        raise UserError(
            "--granularity=%s: the model has %s"
            % (
                name,
                "only " + ", ".join(names(head))
                if names(head)
                else "no granularities: train one with --granularities",
            )
        )


def with_chosen(head: Mapping[str, Any], name: Optional[str]) -> Dict[str, Any]:
    """A model's head that predicts the granularity that is asked for.

    Args:
        head: as the model was trained with.
        name: the granularity; None for the first.

    Raises:
        UserError: if the model has it not.
    """
    head = dict(head, granularity=name) if name else dict(head)
    check_chosen(head)
    return head


def files_of(head: Mapping[str, Any], files: Mapping[str, Sequence[str]]) -> Dict[str, Any]:
    """The file names of a task with granularities.

    Args:
        head: the run's.
        files: {split: names, best first} of a task without granularities.

    Returns:
        {split: names}: of the granularity that is asked for, or of the first; the others' splits
        are called as by `split_names`.
    """
    if not names(head):
        return dict(files)
    named = {}
    for split, of_split in files.items():
        for name in names(head):
            named["%s.%s" % (split, name)] = tuple(file_name(file, name) for file in of_split)
        named[split] = named["%s.%s" % (split, chosen(head))]
        if head.get("granularity"):  # a file without a name in it will be of the one asked for
            named[split] += tuple(of_split)
    return named


def split_names(task: Any, split: str) -> List[Tuple[str, Optional[str]]]:
    """[(key of `Task.files`, granularity)] of the files that make up a split."""
    name = chosen(task.head)
    others = ["%s.%s" % (split, other) for other in names(task.head)]
    if task.head.get("granularity") or not all(other in task.files for other in others):
        return [(split, name)]
    return list(zip(others, names(task.head))) or [(split, None)]


def file_name(name: str, granularity: Optional[str]) -> str:
    """A file's name with that of a granularity before its ending: train.fine.txt."""
    stem, dot, ending = name.partition(".")
    return "%s.%s%s%s" % (stem, granularity, dot, ending) if granularity else name
