"""The SavedModel of --export_dir, which a training command writes at its end."""

from typing import Any


def write_servable(model_dir: str, path: str, options: Any) -> Any:
    """Writes the SavedModel of a run's best checkpoint, see `to_saved_model.write_servable`.

    Args:
        model_dir: the model folder.
        path: folder for TF Serving.
        options: the flags; those of classifiers have `threshold_to_export`.

    Returns:
        `comparison.Comparison` with the checkpoint.
    """
    from albert_zh.export import to_saved_model  # few runs need it

    threshold = getattr(options, "threshold_to_export", None)
    return to_saved_model.write_servable(model_dir, path, threshold)
