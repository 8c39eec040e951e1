"""TensorFlow's in-memory file system as a bucket, and changes that fail as in a killed process.

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
    """Whether a folder exists, as in a bucket; ram:// takes every prefix of a name for a folder."""
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
    """Yields the path of an empty folder in memory; asserts that nothing is written locally.

    Meanwhile, the working directory is an empty local folder, where a folder `ram:` would appear.
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
    """Stands for the end of a killed process."""


class Mortal:
    """TensorFlow's file systems, in which every change fails after a given number of changes.

    Cleaning up after the first failure fails too, as if the process had been killed.

    Attributes:
        count: number of changes so far.
    """

    def __init__(self, num_changes=None):
        """`num_changes`: number of changes that succeed; None for no limit."""
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
