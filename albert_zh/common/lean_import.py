"""Has TensorFlow imported without packages that no command of this toolkit asks it for.

TensorFlow imports Keras, h5py and SciPy where they are installed, and does without them where they
are not. For a process that builds no Keras models they are a fifth of the import's time and 45 MiB
(TensorFlow 2.15), or almost half of it and 127 MiB (2.21). Once TensorFlow is imported, they can be
imported as usual.
"""

import sys

_MODULE = "tensorflow"
_LEFT_OUT = ("keras.src", "h5py", "scipy")


def install() -> None:
    """Has the next import of TensorFlow be without them; nothing where it is imported already."""
    if _MODULE not in sys.modules:
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Says of what is left out that it is not installed, while TensorFlow is being imported."""

    def find_spec(self, name, path=None, target=None):
        del path, target
        if name in _LEFT_OUT and _is_being_imported():
            raise ModuleNotFoundError("No module named %r" % name, name=name)


def _is_being_imported():
    spec = getattr(sys.modules.get(_MODULE), "__spec__", None)
    return getattr(spec, "_initializing", False)
