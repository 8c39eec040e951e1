"""What a training starts from, for its user, and whether that is what made it fail."""

import os
from typing import TYPE_CHECKING, List, Mapping, Optional, Sequence

from albert_zh.common.errors import UserError
from albert_zh.model import (
    checkpoint_files,
    checkpoint_matching,
    checkpoint_values,
    model_folder,
    packed_weights,
)

if TYPE_CHECKING:
    from albert_zh.model.config import AlbertConfig


def report(shapes: Mapping[str, Sequence[int]], prefix: str, config: "AlbertConfig") -> List[str]:
    """Lines for the user: what a graph takes from a checkpoint, and what may be wrong with it.

    Args:
        shapes: {name: shape} of the graph's variables.
        prefix: of the checkpoint.
        config: of the graph.

    Raises:
        UserError: if the checkpoint does not fit.
    """
    named = packed_weights.as_named(prefix)
    folder = os.path.dirname(prefix) if named == prefix else named
    assignment = checkpoint_matching.assign(shapes, prefix)
    lines = checkpoint_matching.report(assignment, prefix)
    return lines + model_folder.config_warnings(config, folder or os.curdir)


def check_start(start: Optional[str]) -> None:
    """Raises `UserError` for a checkpoint to start from whose weights are no finite numbers.

    Args:
        start: its prefix or folder, which may be gone by now; None without one.
    """
    try:
        prefix = checkpoint_files.find_checkpoint(start) if start else None
    except UserError:
        return
    if prefix:
        checkpoint_values.read_weights(prefix, with_objectives=True)
