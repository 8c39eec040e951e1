"""Common part of the steps that write the training file of a run before it starts."""

from typing import Any, Dict, Optional

from albert_zh.tasks.tables import split_files


def name_files(
    options: Any, task: Any, data_dir: str, train: str, corpus: Optional[str] = None
) -> None:
    """Sets the flags to name every file of a run, since they name its training file.

    Args:
        options: the flags; train_file and the other files of the data folder are set.
        task, data_dir: the data that the flags named before.
        train: the training file.
        corpus: the file of further entries, if there is one.
    """
    found: Dict[str, Optional[str]] = {"train_file": train, "corpus_file": corpus}
    for split, flag in (("dev", "dev_file"), ("test", "predict_file")):
        found[flag] = split_files.split_path(task, data_dir, split)[0]
    for flag, path in found.items():
        if path:
            options[flag].value = path
