"""Statistics of records as a JSON file, and their histograms as a picture."""

import os
from typing import Any, Dict, List

from albert_zh.common import output_files, plotting


def picture_beside(path: str) -> str:
    """Path of the picture that is drawn beside a file of statistics."""
    return os.path.splitext(path)[0] + ".png"


def write_statistics(path: str, values: Dict[str, Any]) -> List[str]:
    """Writes statistics as JSON, and their histograms as a picture beside it.

    Args:
        path: the JSON file.
        values: what `statistics` returns, and whatever else is to be kept.

    Returns:
        the files written; the picture is missing where matplotlib is not installed.
    """
    output_files.write_json(path, values)
    picture = picture_beside(path)
    if not plotting.is_installed():
        return [path]
    figure, axes = plotting.subplots(1, 2, figsize=(10, 4))
    histograms = (
        ("lengths", "length of a record (pieces)", "records"),
        ("masked words", "length of a masked word (pieces)", "words"),
    )
    for axis, (name, label, unit) in zip(axes, histograms):
        axis.bar(list(values[name]), list(values[name].values()), width=1.0)
        axis.set_xlabel(label)
        axis.set_ylabel(unit)
    plotting.save(figure, picture)
    return [path, picture]
