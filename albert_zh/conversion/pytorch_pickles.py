"""Reads the tensors of `.bin` files, which are pickles, without running anything in them.

Names in pickles are accepted only if they are in a list of those that files of tensors contain, and
each becomes a record of where a tensor is.
"""

import collections
import io
import os
import pickle
import pickletools
import re
from typing import Dict
import zipfile

import numpy as np

from albert_zh.common import validation
from albert_zh.common.errors import UserError
from albert_zh.conversion.tensor_bytes import BFLOAT16, array_of_bytes, count_of, item_size

_STORAGE_DTYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": BFLOAT16,
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "?",
}
_MOST_SHARED = 16  # how many times larger than their storages all tensors together may be
_LARGEST_SIZE = 1 << 48  # of a dimension, a step or a storage, in values
_MOST_MEMBERS = 1000  # of a tuple, nested ones included; a tensor has about 40
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # the first value of files that torch before 1.6 wrote

# A pickle's tensors as `_TensorUnpickler` returns them: where they are stored, not their values.
_Storage = collections.namedtuple("_Storage", ["key", "dtype", "count"])
_TensorLocation = collections.namedtuple("_TensorLocation", ["storage", "offset", "size", "stride"])


class _TensorMaker:
    """Replaces torch's function that creates a tensor; has no state that a pickle could change."""

    __slots__ = ()

    def __call__(self, storage, offset, size, stride, *_):
        numbers = tuple(size) + tuple(stride) + (offset,)
        if not isinstance(storage, _Storage) or not all(map(_is_size, numbers)):
            raise pickle.UnpicklingError("a tensor of impossible shape")
        return _TensorLocation(storage, offset, tuple(size), tuple(stride))


class _ParameterMaker:
    """Replaces torch's function that creates a parameter from a tensor."""

    __slots__ = ()

    def __call__(self, tensor, *_):
        return tensor


class _TensorUnpickler(pickle.Unpickler):
    """Accepts the names that a file of tensors needs and refuses all others."""

    _KNOWN = {
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _TensorMaker(),
        ("torch._utils", "_rebuild_parameter"): _ParameterMaker(),
    }
    _KNOWN.update({("torch", name): dtype for name, dtype in _STORAGE_DTYPES.items()})

    def __init__(self, path, stream):
        super().__init__(stream)
        self.path = path
        self.storages = {}  # {key: storage}

    def find_class(self, module, name):
        if (module, name) not in self._KNOWN:
            raise UserError(
                "%s: refused, it asks for %s.%s: only tensors are read from such a file, never "
                "code; save only the model's state_dict(), or use safetensors"
                % (self.path, module, name)
            )
        return self._KNOWN[module, name]

    def persistent_load(self, pid):
        kind, dtype, key, _, count = pid[:5]
        is_known = kind == "storage" and dtype in _STORAGE_DTYPES.values()
        if not (is_known and isinstance(key, (str, int)) and _is_size(count)):
            raise pickle.UnpicklingError("an unknown reference")
        if len(pid) > 5 and pid[5] is not None:
            raise pickle.UnpicklingError("views of storages are not supported")
        return self.storages.setdefault(str(key), _Storage(str(key), dtype, count))


def _is_size(size):
    return isinstance(size, int) and 0 <= size <= _LARGEST_SIZE


def _load(path, stream):
    return _checked_unpickler(path, stream).load()


def _checked_unpickler(path, stream):
    """An unpickler at the file's current position; its work is bounded by the pickle's size."""
    start = stream.tell()
    _check_work(stream)
    stream.seek(start)
    return _TensorUnpickler(path, stream)


def _check_work(stream):
    """Raises `ValueError` for a pickle that would take a reader excessive time or memory.

    Tuples that contain the same tuple several times, nested over some levels, have more members
    than fit into any memory, and a dictionary's key is hashed member by member. The highest memo
    index decides how much memory the reader allocates for memoized values.

    Args:
        stream: file, which is read to the end of the pickle.
    """
    stack, memo = [], {}  # numbers of members; 0 for a mark on the stack
    for opcode, argument, _ in pickletools.genops(stream):
        kinds = opcode.stack_before
        count = 1
        if pickletools.markobject in kinds:
            while stack[-1]:
                count += stack.pop()
            stack.pop()
            kinds = kinds[: kinds.index(pickletools.markobject)]
        for _ in kinds:
            count += stack.pop()
        for kind in opcode.stack_after:
            stack.append(_members(kind, count))
        if opcode.name in ("GET", "BINGET", "LONG_BINGET"):
            stack[-1] = memo[argument]
        elif opcode.name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            index = len(memo) if argument is None else argument
            if index > len(memo) + 1:
                raise ValueError("it remembers %d values and numbers one %d" % (len(memo), index))
            memo[index] = stack[-1]
        if stack and stack[-1] > _MOST_MEMBERS:
            raise ValueError("it contains a tuple of over %d members" % _MOST_MEMBERS)


def _members(kind, count):
    """The number of members to count for an opcode's value: lists and the like have no hash."""
    if kind is pickletools.markobject:
        return 0
    return 1 if kind in (pickletools.pylist, pickletools.pydict, pickletools.pyset) else count


def read_bin(path: str) -> Dict[str, np.ndarray]:
    """{name: array} of a `.bin` file, zipped or in the format of torch before 1.6."""
    with open(path, "rb") as stream:
        start = stream.read(4)
    if start[:2] == b"PK":
        return _read_zipped(path)
    if start[:1] == b"\x80":
        return _read_legacy(path)
    raise ValueError("it begins with %r" % start)


def _read_zipped(path):
    """Files of torch 1.6 and later: a zip with data.pkl, and one member per storage."""
    with zipfile.ZipFile(path) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("a compressed zip, which PyTorch does not write")
        root = [name[: -len("data.pkl")] for name in archive.namelist() if _is_main(name)]
        if len(root) != 1:
            raise ValueError("no data.pkl in the zip")
        order = root[0] + "byteorder"
        if order in archive.namelist() and archive.read(order) != b"little":
            raise ValueError("its numbers are big-endian")
        locations = _tensor_locations(_load(path, io.BytesIO(archive.read(root[0] + "data.pkl"))))
        storages = {}
        bytes_left = os.path.getsize(path)
        for storage in {location.storage for location in locations.values()}:
            member = archive.getinfo(root[0] + "data/" + storage.key)
            bytes_left -= member.file_size
            if member.file_size != storage.count * item_size(storage.dtype) or bytes_left < 0:
                raise ValueError("storage %s has %d bytes" % (storage.key, member.file_size))
            storages[storage] = array_of_bytes(archive.read(member), storage.dtype)
    return _tensors_at(locations, storages)


def _is_main(name):
    return re.match(r"[^/]+/data\.pkl$", name) is not None


def _read_legacy(path):
    """Files of torch before 1.6: several pickles, then the storages' counts and bytes."""
    with open(path, "rb") as stream:
        if _load(path, stream) != _LEGACY_MAGIC:
            raise ValueError("a pickle, but not of PyTorch")
        _load(path, stream)  # protocol version
        if not _load(path, stream)["little_endian"]:
            raise ValueError("its numbers are big-endian")
        unpickler = _checked_unpickler(path, stream)
        locations = _tensor_locations(unpickler.load())
        storages = {}
        for key in _load(path, stream):
            storage = unpickler.storages[key]
            count = int.from_bytes(_read_exactly(stream, 8), "little")
            if count != storage.count:
                raise ValueError("storage %s has %d values" % (key, count))
            raw = _read_exactly(stream, count * item_size(storage.dtype))
            storages[storage] = array_of_bytes(raw, storage.dtype)
    return _tensors_at(locations, storages)


def _read_exactly(stream, size):
    """Reads a number of bytes; raises `EOFError` if the file ends before."""
    content = stream.read(size)
    if len(content) != size:
        raise EOFError("the file ends %d bytes too early" % (size - len(content)))
    return content


def _tensor_locations(node):
    """{name: location} of a pickle's content; training checkpoints have it under `state_dict`."""
    for key in ("state_dict", "model"):
        if isinstance(node, dict) and isinstance(dict.get(node, key), dict):
            node = dict.get(node, key)
    if not isinstance(node, dict):
        raise ValueError("it contains a %s, not tensors by name" % type(node).__name__)
    locations = collections.OrderedDict(
        (name, location)
        for name, location in dict.items(node)
        if isinstance(location, _TensorLocation)
    )
    if not locations:
        raise ValueError("no tensor is in it")
    return locations


def _tensors_at(locations, storages):
    """{name: array}; raises `ValueError` if tensors need far more memory than their storages."""
    there = sum(storage.nbytes for storage in storages.values())
    wanted = sum(
        count_of(location.size) * storages[location.storage].itemsize
        for location in locations.values()
    )
    if wanted > _MOST_SHARED * there:
        raise ValueError("its tensors have %d bytes, of %d in the file" % (wanted, there))
    return collections.OrderedDict(
        (name, _strided(location, storages[location.storage]))
        for name, location in locations.items()
    )


def _strided(location, storage):
    """A tensor as a view of its storage; checked, since NumPy does not check strides' bounds."""
    size, stride, offset = location.size, location.stride, location.offset
    count = count_of(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride)) if count else 0
    if len(size) != len(stride):
        raise ValueError("a tensor of impossible shape")
    if count > len(storage) or (count and last >= len(storage)):
        raise ValueError("a tensor of %s reaches beyond its storage" % validation.shown(size))
    if not count:
        return np.zeros(size, storage.dtype)
    steps = [step * storage.itemsize for step in stride]
    return np.array(np.lib.stride_tricks.as_strided(storage[offset:], size, steps))
