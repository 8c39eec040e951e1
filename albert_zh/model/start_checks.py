"""Reports the checkpoint that training starts from, and checks it when training has failed."""

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
    """Lines for the user: what a graph restores from a checkpoint, and warnings about its config.

    Args:
        shapes: {name: shape} of the graph's variables.
        prefix: prefix of the checkpoint.
        config: config of the graph.
        folder: folder that the checkpoint was copied from; None: the folder that it is in.

    Raises:
        UserError: if the checkpoint does not fit.
    """
    lines = checkpoint_matching.report(checkpoint_matching.assign(shapes, prefix), prefix)
    return lines + model_folder.config_warnings(config, folder or packed_weights.folder_of(prefix))


def check_start(start: Optional[str]) -> None:
    """Raises `UserError` if the initial checkpoint has weights that are not finite.

    Args:
        start: its prefix or folder, which may no longer exist; None if there is no checkpoint.
    """
    try:
        prefix = checkpoint_files.find_checkpoint(start) if start else None
    except UserError:
        return
    if prefix:
        checkpoint_values.read_weights(prefix, with_objectives=True)
