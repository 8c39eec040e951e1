"""Plots a confusion matrix."""

from typing import Optional, Sequence

import numpy as np

from albert_zh.common import plotting
from albert_zh.common.messages import say

MAX_CLASSES_WITH_NUMBERS = 30  # a larger confusion matrix shows colours only, no counts
SHOWN_LABEL = 20  # characters of a label that are shown


def draw(counts: np.ndarray, labels: Sequence[str], path: str, title: str) -> Optional[str]:
    """Draws a confusion matrix as a PNG.

    Args:
        counts: int [C, C], rows are true labels, columns are predicted labels.
        labels: list of C names.
        path: file to write.
        title: title of the plot.

    Returns:
        the path, or None if matplotlib is not installed.
    """
    if not plotting.is_installed():
        say("no confusion matrix: matplotlib is not installed")
        return None
    labels = [tick(label) for label in labels]
    font = plotting.font_for("".join(labels))
    if font is None:
        say(
            "note: no font here has all characters of the labels: %s shows their numbers "
            "(label_map.json)",
            path,
        )
        labels = [str(index) for index in range(len(labels))]
    plotting.save(_figure(counts, labels, font, title), path)
    return path


def tick(label: str) -> str:
    """A label shortened to one line for the plot."""
    text = " ".join(label.split())
    return text if len(text) <= SHOWN_LABEL else text[: SHOWN_LABEL - 1] + "…"


def _figure(counts, labels, font, title):
    size = min(24.0, max(4.0, 0.45 * len(labels) + 2))
    figure, axes = plotting.subplots(figsize=(size, size))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    text_size = 9 if len(labels) <= MAX_CLASSES_WITH_NUMBERS else 6
    settings = {"size": text_size} if font is None else {"fontproperties": font, "size": text_size}
    axes.set_xticks(range(len(labels)))
    axes.set_yticks(range(len(labels)))
    labels = [label.replace("$", r"\$") for label in labels]  # not as formulas
    axes.set_xticklabels(labels, rotation=90, **settings)
    axes.set_yticklabels(labels, **settings)
    axes.set_title(title)
    axes.set_xlabel("predicted")
    if len(labels) <= MAX_CLASSES_WITH_NUMBERS:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                colour = "white" if shares[row, column] > 0.5 else "black"
                axes.text(
                    column, row, str(count), ha="center", va="center", color=colour, size=text_size
                )
    return figure
