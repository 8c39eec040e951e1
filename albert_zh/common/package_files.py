"""Paths of the package, its data files and models, in a clone or an installation."""

import os
from typing import List

from albert_zh.common import storage

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_AROUND = os.path.dirname(PACKAGE)
IS_CLONE = os.path.exists(os.path.join(_AROUND, "pyproject.toml"))
# Contains the starter model and the sample data; in a clone also the commands and downloads.
ROOT = _AROUND if IS_CLONE else PACKAGE
STARTER_MODEL = os.path.join(ROOT, "albert_starter_zh")
EMBEDDING_MODEL = os.path.join(STARTER_MODEL, "embedding")  # fine-tuned for semantic search
CONFIGS = os.path.realpath(os.path.join(PACKAGE, "configs"))  # in a clone: albert_config/
FONT = os.path.join(PACKAGE, "common", "fonts", "NotoSansSC-GB2312.otf")
WEB = os.path.join(PACKAGE, "inference", "web")
PYTORCH = os.path.join(PACKAGE, "conversion", "pytorch")


def places_of_models() -> List[str]:
    """Folders to search for a model if no flag names one: the current folder, then `ROOT`."""
    return [os.curdir, os.path.relpath(ROOT)]


def shown(path: str) -> str:
    """Returns a path below `ROOT` as the user would type it in the current folder."""
    relative = os.path.relpath(os.path.join(ROOT, path))
    return os.path.join(ROOT, path) if relative.startswith(os.pardir) else relative


def folder_of_outputs(model_dir: str) -> str:
    """Default folder for output files that are derived from a model.

    Args:
        model_dir: the model's folder.

    Returns:
        the same folder; for the starter model of an installed package, a folder with the model's
        name in the current folder.
    """
    is_installed = storage.normalized(model_dir).startswith(
        os.path.join(os.path.realpath(PACKAGE), "")
    )
    return os.path.basename(STARTER_MODEL) if is_installed else model_dir


def installation_of(extra: str) -> str:
    """Returns the command that installs optional requirements.

    Args:
        extra: name of the requirements, as in `requirements-EXTRA.txt`.
    """
    if IS_CLONE:
        return "pip install -r requirements-%s.txt" % extra
    return 'pip install "albert-zh-toolkit[%s]"' % extra
