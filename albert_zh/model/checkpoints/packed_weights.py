"""Weights of a model folder as 8-bit integers: a quarter of the size of a checkpoint.

    with output_files.atomic_write("small/weights_int8.npz", "wb") as stream:
        packed_weights.write(stream, weights)
    folder = packed_weights.unpacked("small", checkpoint_values.write_checkpoint)

A folder that has `weights_int8.npz` instead of a checkpoint is opened like any other: its contents
are written, with float32 weights, to a temporary folder that is removed when the process ends.
Matrices have one scale per output; vectors are not quantized.
"""

import atexit
import os
import shutil
import tempfile
import tokenize
from typing import IO, Callable, Dict, Mapping
import zipfile
import zlib

import numpy as np

from albert_zh.common import storage
from albert_zh.common.errors import UserError

PACKED_FILE = "weights_int8.npz"
CHECKPOINT = "albert_model.ckpt"
_SCALES = ":scales"
_LARGEST = 127
# Exceptions that reading a damaged .npz can raise.
_DAMAGED = (
    EOFError,
    KeyError,
    OSError,
    OverflowError,
    RuntimeError,
    SyntaxError,  # this and the next one come from an array's header
    tokenize.TokenError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)
_folders: Dict[str, str] = {}  # {SHA-256 of the packed file and its folder: temporary folder}
_sources: Dict[str, str] = {}  # {temporary folder: folder of the packed file}


def packed(weights: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """{name: array}: matrices as int8 [..., W], with separate float32 scales [W].

    Args:
        weights: {name: array}.
    """
    arrays = {}
    for name, weight in weights.items():
        if weight.ndim < 2 or weight.dtype.kind != "f":
            arrays[name] = weight
            continue
        axes = tuple(range(weight.ndim - 1))
        scales = np.maximum(np.abs(weight).max(axis=axes), 1e-12) / _LARGEST
        arrays[name] = np.rint(weight / scales).astype(np.int8)
        arrays[name + _SCALES] = scales.astype(np.float32)
    return arrays


def write(stream: IO[bytes], weights: Mapping[str, np.ndarray]) -> None:
    """Writes packed weights to a stream; see `packed`."""
    np.savez_compressed(stream, **packed(weights))


def read(path: str) -> Dict[str, np.ndarray]:
    """Reads a file of packed weights: {name: array}, matrices as float32.

    Raises:
        UserError: if the file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {
                name: arrays[name].astype(np.float32) * arrays[name + _SCALES]
                if name + _SCALES in arrays
                else arrays[name]
                for name in arrays.files
                if not name.endswith(_SCALES)
            }
    except _DAMAGED as error:
        raise UserError(
            "%s: the file is damaged (%s): download it again" % (path, error)
        ) from error


def is_packed(folder: str) -> bool:
    """Whether a folder has packed weights."""
    return not storage.is_remote(folder) and os.path.isfile(os.path.join(folder, PACKED_FILE))


def unpacked(folder: str, write_checkpoint: Callable[[str, Mapping[str, np.ndarray]], None]) -> str:
    """Unpacks weights to a checkpoint, copies the folder's other files and returns the prefix.

    Args:
        folder: a folder with packed weights.
        write_checkpoint: function (prefix, {name: array}).
    """
    path = os.path.join(folder, PACKED_FILE)
    key = storage.sha256_of_file(path) + os.path.abspath(folder)
    if key not in _folders:
        weights = read(path)
        target = tempfile.mkdtemp(prefix="albert_zh_")
        atexit.register(shutil.rmtree, target, ignore_errors=True)
        for name in os.listdir(folder):
            source = os.path.join(folder, name)
            if os.path.isfile(source) and name != PACKED_FILE:
                shutil.copyfile(source, os.path.join(target, name))
        write_checkpoint(os.path.join(target, CHECKPOINT), weights)
        _folders[key], _sources[target] = target, folder
    return os.path.join(_folders[key], CHECKPOINT)


def folder_of(prefix: str) -> str:
    """The folder of a checkpoint; for unpacked weights the packed file's, which is permanent."""
    folder = os.path.dirname(prefix) or "."
    return _sources.get(folder, folder)


def as_named(prefix: str) -> str:
    """A checkpoint's name for the user: for unpacked weights the folder of the packed file."""
    return _sources.get(os.path.dirname(prefix), prefix)
