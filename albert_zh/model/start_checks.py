"""What a training starts from, for its user, and whether that is what made it fail."""

from typing import TYPE_CHECKING, List, Mapping, Optional, Sequence

from albert_zh.common.errors import UserError
from albert_zh.model.checkpoints import (
    checkpoint_files,
    checkpoint_matching,
    checkpoint_values,
    model_folder,
    packed_weights,
)

if TYPE_CHECKING:
    from albert_zh.model.config import AlbertConfig


def report(
    shapes: Mapping[str, Sequence[int]],
    prefix: str,
    config: "AlbertConfig",
    folder: Optional[str] = None,
) -> List[str]:
    """Lines for the user: what a graph takes from a checkpoint, and what may be wrong with it.

    Args:
        shapes: {name: shape} of the graph's variables.
        prefix: of the checkpoint.
        config: of the graph.
        folder: where the checkpoint was copied from; None for its own.

    Raises:
        UserError: if the checkpoint does not fit.
    """
    lines = checkpoint_matching.report(checkpoint_matching.assign(shapes, prefix), prefix)
    return lines + model_folder.config_warnings(config, folder or packed_weights.folder_of(prefix))


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
