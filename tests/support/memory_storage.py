"""TensorFlow's in-memory file system as a bucket, and writes to it that end like a killed process.

with memory_storage.bucket(tmp_path, monkeypatch) as path: ...  # "ram://bucket/..."
"""

import contextlib
import os

import pytest
import tensorflow.compat.v1 as tf
from tensorflow.python.platform import gfile as platform_gfile

from albert_zh.common import path_rules, storage, transfer

MARKS = [
    pytest.mark.newest,
    pytest.mark.skipif(tf.__version__.startswith("1"), reason="TensorFlow 1.15 has no ram://"),
]
_WRITING = "Rename Remove DeleteRecursively MakeDirs".split()


_is_folder_of_tensorflow = tf.gfile.IsDirectory


def _is_folder(path):
    """As in a bucket: in memory TensorFlow takes each beginning of a name for a folder's."""
    path = path.rstrip("/")
    if not path.startswith("ram://"):
        return _is_folder_of_tensorflow(path)
    return _is_folder_of_tensorflow(path) and (
        os.path.basename(path) in _names(os.path.dirname(path))
        or any(tf.gfile.Glob(path + ending) for ending in ("/*", "/*/*", "/*/*/*"))
    )


def _names(folder):
    is_below = _is_folder_of_tensorflow(folder)
    return {name.rstrip("/") for name in tf.gfile.ListDirectory(folder)} if is_below else set()


@contextlib.contextmanager
def bucket(tmp_path, monkeypatch):
    """Yields the path of an empty folder in memory; nothing may be written to the local one.

    The process is in an empty local folder meanwhile: a folder called `ram:` would be there.
    """
    monkeypatch.setenv(transfer.SCRATCH_VARIABLE, str(tmp_path / "scratch"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for module in (tf.gfile, platform_gfile):
        monkeypatch.setattr(module, "IsDirectory", _is_folder)
    yield "ram://bucket/%s" % tmp_path.name
    path_rules.forget_inputs()
    assert os.listdir(str(tmp_path / "here")) == []


def content(path):
    """The bytes of a file."""
    with storage.open_binary(path) as handle:
        return handle.read()


class Killed(BaseException):
    """The process is gone."""


class Mortal:
    """TensorFlow's file systems, until a number of changes is made; then every change fails.

    Whatever would clean up after the first failure fails too, as if the process were gone.

    Attributes:
        count: changes made.
    """

    def __init__(self, num_changes=None):
        """`num_changes`: how many are made; None for no end."""
        self.count, self._num_changes = 0, num_changes
        self._gfile = tf.gfile

    def __getattr__(self, name):
        method = getattr(self._gfile, name)
        return self._counted(method) if name in _WRITING else method

    def GFile(self, path, mode="r"):  # noqa: N802  (TensorFlow's name)
        return (self._counted if "w" in mode else (lambda method: method))(self._gfile.GFile)(
            path, mode
        )

    def _counted(self, method):
        def call(*args, **settings):
            if self._num_changes is not None and self.count >= self._num_changes:
                raise Killed
            self.count += 1
            return method(*args, **settings)

        return call
