"""Writes statistics of records as a JSON file, and their histograms as an image."""

import os
from typing import Any, Dict, List

from albert_zh.common import output_files, plotting


def picture_beside(path: str) -> str:
    """Returns the path of the image that belongs to a statistics file."""
    return os.path.splitext(path)[0] + ".png"


def write_statistics(path: str, values: Dict[str, Any]) -> List[str]:
    """Writes statistics as JSON, and their histograms as an image next to it.

    Args:
        path: the JSON file.
        values: the result of `statistics`, and any further values to save.

    Returns:
        the files written; without matplotlib there is no image.
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
