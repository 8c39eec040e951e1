"""Imports TensorFlow without optional packages that no command of this toolkit needs.

TensorFlow imports Keras, h5py and SciPy if they are installed, and works without them if they are
not. In a process that builds no Keras models they cost a fifth of the import time and 45 MiB
(TensorFlow 2.15), or almost half of the time and 127 MiB (2.21). Once TensorFlow is imported, they
can be imported as usual.
"""

import sys

_MODULE = "tensorflow"
_LEFT_OUT = ("keras.src", "h5py", "scipy")


def install() -> None:
    """Makes the next import of TensorFlow skip them; no effect if it is already imported."""
    if _MODULE not in sys.modules:
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Reports the skipped packages as not installed while TensorFlow is being imported."""

    def find_spec(self, name, path=None, target=None):
        del path, target
        if name in _LEFT_OUT and _is_being_imported():
            raise ModuleNotFoundError("No module named %r" % name, name=name)


def _is_being_imported():
    spec = getattr(sys.modules.get(_MODULE), "__spec__", None)
    return getattr(spec, "_initializing", False)
