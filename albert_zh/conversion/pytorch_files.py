"""Reads and writes tensors in PyTorch's file formats without PyTorch.

    tensors = read_tensors("folder")  # or model.safetensors, pytorch_model.bin, *.index.json
    write_safetensors("folder/model.safetensors", tensors, "float16")

A `.bin` file is a pickle. Names in pickles are accepted only if they are in a list of those that
files of tensors contain, and each becomes a record of where a tensor is; so no code in a file can
be run.
"""

import collections
import json
import os
import pickle
from typing import Any, Dict, List, Mapping
import zipfile

import numpy as np

from albert_zh.common import (
    checks,
    files,
    output_files,
    package_files,
    storage,
    transfer,
    validation,
)
from albert_zh.common.errors import UserError
from albert_zh.conversion.pytorch_pickles import read_bin
from albert_zh.conversion.tensor_bytes import BFLOAT16, array_of_bytes, count_of, item_size

DTYPES = ("float32", "float16", "bfloat16")
WEIGHTS_NAME = "model.safetensors"
BIN_NAME = "pytorch_model.bin"
_WEIGHT_NAMES = (WEIGHTS_NAME, WEIGHTS_NAME + ".index.json", BIN_NAME, BIN_NAME + ".index.json")
_WEIGHT_ENDINGS = (".safetensors", ".bin", ".pt", ".pth")

_SAFETENSORS_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": BFLOAT16,
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "<i1",
    "U8": "<u1",
    "BOOL": "?",
    "F8_E4M3": "<u1",  # raw bytes; such weights are refused as quantized
    "F8_E5M2": "<u1",
}
_TENSOR_ENTRY = validation.record(
    {
        "dtype": validation.one_of(*_SAFETENSORS_DTYPES),
        "shape": validation.list_of(validation.integer(0)),
        "data_offsets": validation.list_of(validation.integer(0), 2),
    },
    ["dtype", "shape", "data_offsets"],
)
_HEADER = validation.record({"__metadata__": validation.record()}, others=_TENSOR_ENTRY)
_INDEX = validation.record(
    {"weight_map": validation.record(others=validation.TEXT)},
    ["weight_map"],
    expected="the index of sharded weights",
)
_DTYPE_CODES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}
_LFS_POINTER = b"version https://git-lfs"
# Errors that reading a damaged or malicious file can raise.
_DAMAGED = (
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    NotImplementedError,
)


def is_pytorch(path: str) -> bool:
    """Whether a path is a PyTorch or safetensors file, or a folder that contains one."""
    if storage.is_folder(path):
        return _weights_in(path) is not None
    return path.endswith(_WEIGHT_ENDINGS) or path.endswith(".index.json")


def find_weights(path: str) -> str:
    """Finds the file of weights at a path.

    Args:
        path: the file, or its folder.

    Returns:
        path of a file of tensors, or of the index of a sharded one.

    Raises:
        UserError: if there is none.
    """
    found = _weights_in(path) if storage.is_folder(path) else path
    if found is None:
        raise UserError(
            "%s contains no PyTorch weights: expected one of %s" % (path, ", ".join(_WEIGHT_NAMES))
        )
    if not storage.is_file(found):
        raise UserError("%s: no such file or folder; expected PyTorch weights" % path)
    return found


def _weights_in(folder):
    there = storage.names_in(folder)
    others = [
        name
        for name in there
        if name.endswith(_WEIGHT_ENDINGS) and "-of-" not in name and name != "training_args.bin"
    ]
    names = [name for name in _WEIGHT_NAMES if name in there] or others
    return os.path.join(folder, names[0]) if names else None


def files_of_weights(path: str) -> List[str]:
    """All files that contain the tensors of `find_weights(path)`."""
    path = find_weights(path)
    if not path.endswith(".index.json"):
        return [path]
    folder = os.path.dirname(path)
    return [os.path.join(folder, name) for name in sorted(set(_weight_map(path).values()))]


def read_tensors(path: str) -> Dict[str, np.ndarray]:
    """Reads tensors.

    Args:
        path: safetensors file, `.bin` file, index of sharded files, or their folder.

    Returns:
        {name: array}, with bfloat16 converted to float32.

    Raises:
        UserError: if a file is missing, damaged, truncated or contains anything but tensors.
    """
    path = find_weights(path)
    if not path.endswith(".index.json"):
        return _read_file(path)
    weight_map = _weight_map(path)
    tensors = collections.OrderedDict()
    for shard in files_of_weights(path):
        if not storage.is_file(shard):
            raise UserError("%s names %s, which does not exist: copy all shards" % (path, shard))
        tensors.update(_read_file(shard))
    missing = sorted(set(weight_map) - set(tensors))
    if missing:
        raise UserError(
            "%s: %s is not in %s, where the index expects it: the shards belong to different "
            "models" % (path, missing[0], weight_map[missing[0]])
        )
    return tensors


def _weight_map(path):
    weight_map = files.read_json(path, _INDEX, "download it again")["weight_map"]
    if not weight_map:
        raise UserError("%s: its weight_map is empty, expected names of tensors" % path)
    for name in weight_map.values():
        if name != os.path.basename(name) or name in ("", ".", "..") or "\0" in name:
            raise UserError(
                "%s: expected the name of a file in the same folder as a shard, found %s"
                % (path, validation.shown(name))
            )
    return weight_map


def _read_file(path):
    read = _read_safetensors if path.endswith(".safetensors") else read_bin
    try:
        local = transfer.local_copy(path)
        with open(local, "rb") as handle:
            if handle.read(len(_LFS_POINTER)) == _LFS_POINTER:
                raise UserError("%s is Git LFS's pointer, not the weights: git lfs pull" % path)
        return read(local)
    except UserError:
        raise
    except _DAMAGED as error:
        raise UserError(
            "%s: damaged, truncated or not a file of PyTorch tensors (%s): download it again"
            % (path, " ".join(str(error).split()) or type(error).__name__)
        ) from error
    except OSError as error:
        raise files.cannot_read(path, error) from error


def _read_safetensors(path):
    size = storage.size(path)
    with open(path, "rb") as handle:
        header_size = int.from_bytes(handle.read(8), "little")
        if not 2 <= header_size <= size - 8:
            raise ValueError("its header does not fit into its %d bytes" % size)
        header = _checked_header(handle.read(header_size).decode("utf-8"))
    start = 8 + header_size
    data = np.memmap(path, np.uint8, "r", offset=start) if size > start else np.zeros(0, np.uint8)
    end = 0
    for offsets in sorted(entry["data_offsets"] for entry in header.values()):
        if offsets[0] != end:
            raise ValueError("its tensors overlap, or have a gap between, at byte %d" % offsets[0])
        end = offsets[1]
    if end != len(data):
        raise ValueError("its header describes %d bytes of data, it has %d" % (end, len(data)))
    return collections.OrderedDict(
        (name, _safetensor(name, entry, data)) for name, entry in sorted(header.items())
    )


def _checked_header(text):
    """{name: entry} of a safetensors header; raises `ValueError` if it is invalid."""
    try:
        header = checks.checked("header", files.parse_json(text, "header"), _HEADER)
    except UserError as error:
        raise ValueError(error) from error
    header.pop("__metadata__", None)
    return header


def _safetensor(name, entry, data):
    dtype = _SAFETENSORS_DTYPES[entry["dtype"]]
    begin, end = entry["data_offsets"]
    shape = entry["shape"]
    if end - begin != count_of(shape) * item_size(dtype):
        shown = validation.shown(shape)
        raise ValueError("%s is %s, but has %d bytes" % (name, shown, end - begin))
    return array_of_bytes(data[begin:end], dtype).reshape(shape)


def write_safetensors(path: str, tensors: Mapping[str, np.ndarray], dtype: str = "float32") -> None:
    """Writes a safetensors file atomically.

    Args:
        path: the file.
        tensors: {name: float array}.
        dtype: one of `DTYPES`.

    Raises:
        UserError: if a value exceeds float16's range, or the file cannot be written.
    """
    header: Dict[str, Any] = collections.OrderedDict([("__metadata__", {"format": "pt"})])
    place = 0
    for name in sorted(tensors):
        end = place + tensors[name].size * item_size(dtype)
        header[name] = {
            "dtype": _DTYPE_CODES[dtype],
            "shape": list(tensors[name].shape),
            "data_offsets": [place, end],
        }
        place = end
    text = json.dumps(header, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    with output_files.atomic_write(path, "wb") as handle:
        handle.write(len(text).to_bytes(8, "little") + text)
        for name in sorted(tensors):
            handle.write(narrowed(name, tensors[name], dtype).tobytes())


def narrowed(name: str, array: np.ndarray, dtype: str) -> np.ndarray:
    """Converts an array to the type it is stored in (bfloat16: the uint16 of its bits).

    Raises:
        UserError: if a value exceeds float16's range.
    """
    if dtype == BFLOAT16:
        bits = np.ascontiguousarray(array, "<f4").view("<u4")
        rounded = ((bits + (((bits >> 16) & 1) + 0x7FFF)) >> 16).astype("<u2")
        quiet_nan = ((bits >> 16) | 0x40).astype("<u2")  # rounding could make it an infinity
        return np.where(np.isnan(array), quiet_nan, rounded)
    with np.errstate(over="ignore"):
        result = array.astype(np.dtype(dtype).newbyteorder("<"))
    if np.isinf(result).any() and not np.isinf(array).any():
        raise UserError(
            "--dtype=float16: %s has values up to %.3g, beyond float16: use --dtype=bfloat16"
            % (name, float(np.max(np.abs(array))))
        )
    return result


def write_bin(path: str, tensors: Mapping[str, np.ndarray], dtype: str = "float32") -> None:
    """Writes a `.bin` file with torch; the only function here that needs PyTorch.

    Args and errors as in `write_safetensors`.
    """
    try:
        import torch
    except ImportError as error:
        raise UserError(
            "%s: writing a .bin needs PyTorch, which is not installed: leave .bin out (a "
            "safetensors file needs no PyTorch) or %s"
            % (path, package_files.installation_of("convert"))
        ) from error
    with output_files.whole_file(path) as partial:
        state = {
            name: torch.from_numpy(np.array(tensors[name])).to(getattr(torch, dtype))
            for name in sorted(tensors)
        }
        torch.save(state, partial)
