"""Tensors in PyTorch's file formats, read and written without PyTorch.

    tensors = read_tensors("folder")  # or model.safetensors, pytorch_model.bin, *.index.json
    write_safetensors("folder/model.safetensors", tensors, "float16")

A `.bin` is a pickle. Of pickles only a list of names is understood, those that a file of tensors
has in it, and each becomes a note of what stands where; so nothing in a file can be run.
"""

import collections
import io
import json
import os
import pickle
import pickletools
import re
import zipfile

import numpy as np

from albert_zh.common import files, package_files, path_rules, validation
from albert_zh.common.errors import UserError

DTYPES = ("float32", "float16", "bfloat16")
WEIGHTS_NAME = "model.safetensors"
BIN_NAME = "pytorch_model.bin"
_WEIGHT_NAMES = (WEIGHTS_NAME, WEIGHTS_NAME + ".index.json", BIN_NAME, BIN_NAME + ".index.json")
_WEIGHT_ENDINGS = (".safetensors", ".bin", ".pt", ".pth")

_BFLOAT16 = "bfloat16"  # NumPy has no such type: bits are the upper half of a float32's
_SAFETENSORS_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": _BFLOAT16,
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "<i1",
    "U8": "<u1",
    "BOOL": "?",
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
_STORAGE_DTYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": _BFLOAT16,
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "?",
}
_MOST_SHARED = 16  # as often may tensors be larger together than the storages they share
_LARGEST_SIZE = 1 << 48  # of a dimension, a step or a storage, in values
_MOST_MEMBERS = 1000  # of a tuple in a pickle, with those of its members; a tensor has about 40
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C  # the first value of files that torch before 1.6 wrote
_LFS_POINTER = b"version https://git-lfs"
# What reading a damaged or malicious file can raise.
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


def is_pytorch(path):
    """Whether a path is a PyTorch or safetensors file, or a folder that holds one."""
    if os.path.isdir(path):
        return _weights_in(path) is not None
    return path.endswith(_WEIGHT_ENDINGS) or path.endswith(".index.json")


def find_weights(path):
    """The file of weights that is meant.

    Args:
        path: that file, or the folder it lies in.

    Returns:
        path of a file of tensors, or of the index of a sharded one.

    Raises:
        UserError: if there is none.
    """
    path_rules.check_local(path)
    found = _weights_in(path) if os.path.isdir(path) else path
    if found is None:
        raise UserError(
            "%s holds no PyTorch weights: expected one of %s" % (path, ", ".join(_WEIGHT_NAMES))
        )
    if not os.path.isfile(found):
        raise UserError("%s: no such file or folder; expected PyTorch weights" % path)
    return found


def _weights_in(folder):
    there = sorted(os.listdir(folder))
    others = [
        name
        for name in there
        if name.endswith(_WEIGHT_ENDINGS) and "-of-" not in name and name != "training_args.bin"
    ]
    names = [name for name in _WEIGHT_NAMES if name in there] or others
    return os.path.join(folder, names[0]) if names else None


def files_of_weights(path):
    """All files that the tensors of `find_weights(path)` lie in."""
    path = find_weights(path)
    if not path.endswith(".index.json"):
        return [path]
    folder = os.path.dirname(path)
    return [os.path.join(folder, name) for name in sorted(set(_weight_map(path).values()))]


def read_tensors(path):
    """Reads tensors.

    Args:
        path: safetensors file, `.bin` file, index of a sharded one, or the folder of these.

    Returns:
        OrderedDict, name -> array (bfloat16 widened to float32).

    Raises:
        UserError: if a file is missing, damaged, cut off or holds anything but tensors.
    """
    path = find_weights(path)
    if not path.endswith(".index.json"):
        return _read_file(path)
    weight_map = _weight_map(path)
    tensors = collections.OrderedDict()
    for shard in files_of_weights(path):
        if not os.path.isfile(shard):
            raise UserError("%s names %s, which is not there: copy all shards" % (path, shard))
        tensors.update(_read_file(shard))
    missing = sorted(set(weight_map) - set(tensors))
    if missing:
        raise UserError(
            "%s: %s is not in %s, where it should be: the shards are of different models"
            % (path, missing[0], weight_map[missing[0]])
        )
    return tensors


def _weight_map(path):
    weight_map = validation.read_json(path, _INDEX, "get it again")["weight_map"]
    if not weight_map:
        raise UserError("%s: its weight_map is empty, expected names of tensors" % path)
    for name in weight_map.values():
        if name != os.path.basename(name) or name in ("", ".", "..") or "\0" in name:
            raise UserError(
                "%s: shard %s is no name of a file beside it" % (path, validation.shown(name))
            )
    return weight_map


def _read_file(path):
    read = _read_safetensors if path.endswith(".safetensors") else _read_bin
    try:
        with open(path, "rb") as handle:
            if handle.read(len(_LFS_POINTER)) == _LFS_POINTER:
                raise UserError("%s is Git LFS's pointer, not the weights: git lfs pull" % path)
        return read(path)
    except UserError:
        raise
    except _DAMAGED as error:
        raise UserError(
            "%s: damaged, cut off or no file of PyTorch tensors (%s): get it again"
            % (path, " ".join(str(error).split()) or type(error).__name__)
        ) from error
    except OSError as error:
        raise UserError("%s: cannot be read: %s" % (path, error.strerror or error)) from error


def _read_safetensors(path):
    size = os.path.getsize(path)
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
    """{name: entry} of a safetensors header; raises `ValueError` if it is none."""
    try:
        header = validation.checked("header", files.parse_json(text, "header"), _HEADER)
    except UserError as error:
        raise ValueError(error) from error
    header.pop("__metadata__", None)
    return header


def _safetensor(name, entry, data):
    dtype = _SAFETENSORS_DTYPES[entry["dtype"]]
    begin, end = entry["data_offsets"]
    shape = entry["shape"]
    if end - begin != count_of(shape) * _item_size(dtype):
        shown = validation.shown(shape)
        raise ValueError("%s is %s, but has %d bytes" % (name, shown, end - begin))
    return _array_of_bytes(data[begin:end], dtype).reshape(shape)


def count_of(shape):
    """Number of values of a shape, as an unbounded integer (math.prod is of Python 3.8)."""
    product = 1
    for size in shape:
        product *= size
    return product


def _item_size(dtype):
    return 2 if dtype == _BFLOAT16 else np.dtype(dtype).itemsize


def _array_of_bytes(raw, dtype):
    """Flat array of bytes; bfloat16 is widened to float32."""
    if dtype != _BFLOAT16:
        return np.frombuffer(raw, dtype)
    return (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)


# A pickle's tensors as `_TensorUnpickler` gives them: where they lie, not what they hold.
_Storage = collections.namedtuple("_Storage", ["key", "dtype", "count"])
_TensorPlace = collections.namedtuple("_TensorPlace", ["storage", "offset", "size", "stride"])


class _TensorMaker:
    """Stands for torch's function that makes a tensor; has no state that a pickle could change."""

    __slots__ = ()

    def __call__(self, storage, offset, size, stride, *_):
        numbers = tuple(size) + tuple(stride) + (offset,)
        if not isinstance(storage, _Storage) or not all(map(_is_size, numbers)):
            raise pickle.UnpicklingError("a tensor of impossible shape")
        return _TensorPlace(storage, offset, tuple(size), tuple(stride))


class _ParameterMaker:
    """Stands for torch's function that makes a parameter of a tensor."""

    __slots__ = ()

    def __call__(self, tensor, *_):
        return tensor


class _TensorUnpickler(pickle.Unpickler):
    """Understands what a file of tensors needs and refuses every other name."""

    _KNOWN = {
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _TensorMaker(),
        ("torch._utils", "_rebuild_parameter"): _ParameterMaker(),
    }
    _KNOWN.update({("torch", name): dtype for name, dtype in _STORAGE_DTYPES.items()})

    def __init__(self, path, handle):
        super().__init__(handle)
        self.path = path
        self.storages = {}  # by key

    def find_class(self, module, name):
        if (module, name) not in self._KNOWN:
            raise UserError(
                "%s: refused, it asks for %s.%s: only tensors are read from such a file, never "
                "code; save the model's state_dict() alone, or use safetensors"
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


def _is_size(number):
    return isinstance(number, int) and 0 <= number <= _LARGEST_SIZE


def _load(path, handle):
    return _checked_unpickler(path, handle).load()


def _checked_unpickler(path, handle):
    """An unpickler at the place where the file is; its work is bounded by the pickle's size."""
    start = handle.tell()
    _check_work(handle)
    handle.seek(start)
    return _TensorUnpickler(path, handle)


def _check_work(handle):
    """Raises `ValueError` for a pickle that a reader would not come to an end with.

    Tuples that hold one tuple several times, over some levels, have more members than any memory
    has room for, and a dictionary's key is hashed member by member. A number under which a value
    is remembered decides how much memory the reader takes for all of them.

    Args:
        handle: file, which is read to the end of the pickle.
    """
    stack, memo = [], {}  # numbers of members, 0 for a mark on the stack
    for opcode, argument, _ in pickletools.genops(handle):
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
            raise ValueError("it holds a tuple of over %d members" % _MOST_MEMBERS)


def _members(kind, count):
    """The members by which the value of an opcode counts: lists and such have no hash."""
    if kind is pickletools.markobject:
        return 0
    return 1 if kind in (pickletools.pylist, pickletools.pydict, pickletools.pyset) else count


def _read_bin(path):
    with open(path, "rb") as handle:
        start = handle.read(4)
    if start[:2] == b"PK":
        return _read_zipped(path)
    if start[:1] == b"\x80":
        return _read_legacy(path)
    raise ValueError("it begins with %r" % start)


def _read_zipped(path):
    """Files of torch 1.6 and later: a zip with data.pkl, and a member for each storage."""
    with zipfile.ZipFile(path) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("a compressed zip, which PyTorch does not write")
        root = [name[: -len("data.pkl")] for name in archive.namelist() if _is_main(name)]
        if len(root) != 1:
            raise ValueError("no data.pkl in the zip")
        order = root[0] + "byteorder"
        if order in archive.namelist() and archive.read(order) != b"little":
            raise ValueError("its numbers are big-endian")
        places = _places(_load(path, io.BytesIO(archive.read(root[0] + "data.pkl"))))
        storages = {}
        bytes_left = os.path.getsize(path)
        for storage in {place.storage for place in places.values()}:
            member = archive.getinfo(root[0] + "data/" + storage.key)
            bytes_left -= member.file_size
            if member.file_size != storage.count * _item_size(storage.dtype) or bytes_left < 0:
                raise ValueError("storage %s has %d bytes" % (storage.key, member.file_size))
            storages[storage] = _array_of_bytes(archive.read(member), storage.dtype)
    return _tensors_at(places, storages)


def _is_main(name):
    return re.match(r"[^/]+/data\.pkl$", name) is not None


def _read_legacy(path):
    """Files of torch before 1.6: pickles in a row, then the storages' counts and bytes."""
    with open(path, "rb") as handle:
        if _load(path, handle) != _LEGACY_MAGIC:
            raise ValueError("a pickle, but not of PyTorch")
        _load(path, handle)  # version of the protocol
        if not _load(path, handle)["little_endian"]:
            raise ValueError("its numbers are big-endian")
        unpickler = _checked_unpickler(path, handle)
        places = _places(unpickler.load())
        storages = {}
        for key in _load(path, handle):
            storage = unpickler.storages[key]
            count = int.from_bytes(_read_exactly(handle, 8), "little")
            if count != storage.count:
                raise ValueError("storage %s has %d values" % (key, count))
            raw = _read_exactly(handle, count * _item_size(storage.dtype))
            storages[storage] = _array_of_bytes(raw, storage.dtype)
    return _tensors_at(places, storages)


def _read_exactly(handle, size):
    """So many bytes; raises `EOFError` where the file ends before."""
    content = handle.read(size)
    if len(content) != size:
        raise EOFError("the file ends %d bytes too early" % (size - len(content)))
    return content


def _places(value):
    """{name: place} of a pickle's content; training checkpoints have it under `state_dict`."""
    for key in ("state_dict", "model"):
        if isinstance(value, dict) and isinstance(dict.get(value, key), dict):
            value = dict.get(value, key)
    if not isinstance(value, dict):
        raise ValueError("it holds a %s, not tensors by name" % type(value).__name__)
    places = collections.OrderedDict(
        (name, place) for name, place in dict.items(value) if isinstance(place, _TensorPlace)
    )
    if not places:
        raise ValueError("no tensor is in it")
    return places


def _tensors_at(places, storages):
    """{name: array}; raises `ValueError` if they would take far more memory than their storages."""
    there = sum(values.nbytes for values in storages.values())
    wanted = sum(
        count_of(place.size) * storages[place.storage].itemsize for place in places.values()
    )
    if wanted > _MOST_SHARED * there:
        raise ValueError("its tensors have %d bytes, of %d in the file" % (wanted, there))
    return collections.OrderedDict(
        (name, _strided(place, storages[place.storage])) for name, place in places.items()
    )


def _strided(place, values):
    """A tensor of its storage; checked, as NumPy does not hold strides against the memory's end."""
    size, stride, offset = place.size, place.stride, place.offset
    count = count_of(size)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride)) if count else 0
    if len(size) != len(stride):
        raise ValueError("a tensor of impossible shape")
    if count > len(values) or (count and last >= len(values)):
        raise ValueError("a tensor of %s reaches beyond its storage" % validation.shown(size))
    if not count:
        return np.zeros(size, values.dtype)
    steps = [step * values.itemsize for step in stride]
    return np.array(np.lib.stride_tricks.as_strided(values[offset:], size, steps))


def write_safetensors(path, tensors, dtype="float32"):
    """Writes a safetensors file, whole or not at all.

    Args:
        path: the file.
        tensors: {name: float array}.
        dtype: one of `DTYPES`.

    Raises:
        UserError: if a value is beyond float16, or the file cannot be written.
    """
    header = collections.OrderedDict([("__metadata__", {"format": "pt"})])
    place = 0
    for name in sorted(tensors):
        end = place + tensors[name].size * _item_size(dtype)
        header[name] = {
            "dtype": _DTYPE_CODES[dtype],
            "shape": list(tensors[name].shape),
            "data_offsets": [place, end],
        }
        place = end
    text = json.dumps(header, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)
    with files.atomic_write(path, "wb") as handle:
        handle.write(len(text).to_bytes(8, "little") + text)
        for name in sorted(tensors):
            handle.write(narrowed(name, tensors[name], dtype).tobytes())


def narrowed(name, array, dtype):
    """An array in the type it is stored in (bfloat16 as the uint16 of its bits).

    Raises:
        UserError: if a value is beyond float16.
    """
    if dtype == _BFLOAT16:
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


def write_bin(path, tensors, dtype="float32"):
    """Writes a `.bin` of torch's own; the one function here that needs PyTorch.

    Args and errors as in `write_safetensors`.
    """
    try:
        import torch
    except ImportError as error:
        raise UserError(
            "%s: a .bin is written by PyTorch, which is not installed: leave it away (a "
            "safetensors file needs no PyTorch) or %s"
            % (path, package_files.installation_of("convert"))
        ) from error
    with files.whole_file(path) as partial:
        state = {
            name: torch.from_numpy(np.array(tensors[name])).to(getattr(torch, dtype))
            for name in sorted(tensors)
        }
        torch.save(state, partial)
