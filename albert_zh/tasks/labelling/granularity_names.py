"""Names and files of a run's granularities, as given by flags and fine_tuning.json.

A folder has a file for each granularity, such as train.fine.txt and train.coarse.txt, from one
corpus or several. `head` is `Settings.head` throughout.
"""

from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from albert_zh.common.errors import UserError

TOKENS = "granularity_tokens"  # key of a head: {granularity: token of the input}


def names(head: Mapping[str, Any]) -> Tuple[str, ...]:
    """Returns the granularities of a model; () for a model without granularities."""
    return tuple(head.get("granularities") or ())


def chosen(head: Mapping[str, Any], example: Any = None) -> Optional[str]:
    """Returns an example's granularity: its file's, or else the requested one or the first one."""
    of_file = getattr(example, "granularity", None)
    return of_file or head.get("granularity") or next(iter(names(head)), None)


def predicted(head: Mapping[str, Any]) -> Tuple[Optional[str], ...]:
    """Returns the granularities to predict for unlabelled texts: the requested one, or all."""
    asked_for = head.get("granularity")
    return (asked_for,) if asked_for else names(head) or (None,)


def token(head: Mapping[str, Any], example: Any) -> Optional[str]:
    """Returns the token of an example's granularity; None for a model without granularities."""
    name = chosen(head, example)
    return head[TOKENS][name] if name else None


def check_chosen(head: Mapping[str, Any]) -> None:
    """Raises `UserError` if the requested granularity is not one of the model's."""
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
    """Returns a copy of a model's head that predicts the requested granularity.

    Args:
        head: the head with which the model was trained.
        name: the granularity; None leaves the head's choice unchanged.

    Raises:
        UserError: if the model does not have this granularity.
    """
    head = dict(head, granularity=name) if name else dict(head)
    check_chosen(head)
    return head


def files_of(head: Mapping[str, Any], files: Mapping[str, Sequence[str]]) -> Dict[str, Any]:
    """Returns the file names of a task with granularities.

    Args:
        head: head of the run.
        files: {split: names, preferred ones first} of a task without granularities.

    Returns:
        {split: names}, with the files of the requested granularity or else of the first one under
        the split's own name, and the files of each granularity under the keys of `split_names`.
    """
    if not names(head):
        return dict(files)
    named = {}
    for split, of_split in files.items():
        for name in names(head):
            named["%s.%s" % (split, name)] = tuple(file_name(file, name) for file in of_split)
        named[split] = named["%s.%s" % (split, chosen(head))]
        if head.get("granularity"):  # files without a granularity in their names have this one
            named[split] += tuple(of_split)
    return named


def split_names(task: Any, split: str) -> List[Tuple[str, Optional[str]]]:
    """Returns [(key of `Task.files`, granularity)] of the files that make up a split."""
    name = chosen(task.head)
    others = ["%s.%s" % (split, other) for other in names(task.head)]
    if task.head.get("granularity") or not all(other in task.files for other in others):
        return [(split, name)]
    return list(zip(others, names(task.head))) or [(split, None)]


def file_name(name: str, granularity: Optional[str]) -> str:
    """Inserts the name of a granularity before the ending of a file name: train.fine.txt."""
    stem, dot, ending = name.partition(".")
    return "%s.%s%s%s" % (stem, granularity, dot, ending) if granularity else name
