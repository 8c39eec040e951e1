"""Whether the weights that a training started from are what made it fail."""

from typing import Optional

from albert_zh.common.errors import UserError
from albert_zh.model import checkpoint_files, checkpoint_values


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
