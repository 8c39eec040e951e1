"""Exports the SavedModel of --export_dir at the end of a training command."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from albert_zh.export.comparison import Comparison


def write_servable(model_dir: str, path: str, options: Any) -> "Comparison":
    """Writes the SavedModel of a run's best checkpoint, see `to_saved_model.write_servable`.

    Args:
        model_dir: the model folder.
        path: folder for TF Serving.
        options: the flags; for classifiers they include `threshold_to_export`.

    Returns:
        comparison of the SavedModel with the checkpoint.
    """
    from albert_zh.export import to_saved_model  # only few runs need it

    threshold = getattr(options, "threshold_to_export", None)
    return to_saved_model.write_servable(model_dir, path, threshold)
