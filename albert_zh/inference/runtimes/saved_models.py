"""Locates SavedModels."""

import os
from typing import Optional

from albert_zh.common import storage

_SAVED_MODEL = "saved_model.pb"


def saved_model_folder(path: str) -> Optional[str]:
    """The folder of the SavedModel: the path, or its newest version folder; None if neither."""
    if storage.is_file(os.path.join(path, _SAVED_MODEL)):
        return path
    names = storage.names_in(path) if storage.is_folder(path) else []
    versions = sorted((name for name in names if name.isdigit()), key=int)
    for name in reversed(versions):
        if storage.is_file(os.path.join(path, name, _SAVED_MODEL)):
            return os.path.join(path, name)
    return None
