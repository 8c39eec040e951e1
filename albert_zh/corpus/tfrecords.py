"""Reads and writes TFRecord files of `tf.train.Example`s without TensorFlow.

    payloads = encode_examples({"input_ids": ids, "masked_lm_weights": weights})
    framed = frame_records(payloads)  # list of bytes; a TFRecord file is their concatenation

A batch of records is encoded and checksummed at once, and the processes that create records need
not import TensorFlow. The features of a record are sorted by name, so that equal records have equal
bytes.
"""

import collections
import mmap
import struct
from typing import Iterator, List, Mapping, Sequence, Tuple, Union

import numpy as np

from albert_zh.common import storage

Content = Union[memoryview, mmap.mmap, storage.RemoteBytes]  # a file's content, to be sliced

# Fields of the messages, with their wire type (2: a length follows), see
# tensorflow/core/example/{example,feature}.proto.
_EXAMPLE_FEATURES = b"\x0a"
_MAP_ENTRY = b"\x0a"
_KEY = b"\x0a"
_VALUE = b"\x12"
_FLOAT_LIST = b"\x12"
_INT64_LIST = b"\x1a"
_PACKED_VALUES = b"\x0a"

HEADER_BYTES, FOOTER_BYTES = 12, 4  # length and checksum of the length; checksum of the content

_CRC_POLYNOMIAL = 0x82F63B78  # CRC-32C, reflected
_CRC_MASK_DELTA = 0xA282EAD8


def encode_examples(features: Mapping[str, np.ndarray]) -> List[bytes]:
    """Encodes a batch of records.

    Args:
        features: {name: int or float32 array [N, k]}; integers must not be negative.

    Returns:
        N serialized `tf.train.Example`s.
    """
    columns = [_encoded_feature(name, features[name]) for name in sorted(features)]
    return [_with_length(_EXAMPLE_FEATURES, b"".join(entries)) for entries in zip(*columns)]


def _encoded_feature(name, values):
    """Encodes the map entry of a feature for each record: list of N bytes."""
    if values.dtype.kind == "f":
        kind, rows = _FLOAT_LIST, _rows_of_bytes(values.astype("<f4"))
    else:
        kind, rows = _INT64_LIST, _rows_of_varints(values)
    key = _with_length(_KEY, name.encode("utf-8"))
    heads = {}
    entries = []
    for row in rows:
        head = heads.get(len(row))
        if head is None:
            head = heads[len(row)] = _entry_head(key, kind, len(row))
        entries.append(head + row)
    return entries


def _entry_head(key, kind, size):
    """Encodes the part of a map entry that precedes `size` bytes of values."""
    head = _PACKED_VALUES + _varint(size)
    for field, before in ((kind, b""), (_VALUE, key), (_MAP_ENTRY, b"")):
        head = before + field + _varint(len(head) + size) + head
    return head


def _with_length(field, content):
    return field + _varint(len(content)) + content


def _varint(number):
    """Encodes a number as 7-bit groups, lowest first, with the top bit set on all but the last."""
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def _rows_of_varints(values):
    """Encodes each row of an int array [N, k] as varints: list of N bytes."""
    highest = int(values.max()) if values.size else 0
    width = len(_varint(highest))
    if width == 1:
        return _rows_of_bytes(values.astype(np.uint8))
    groups = np.empty(values.shape + (width,), np.uint8)  # [N, k, width]
    is_needed = np.empty(groups.shape, bool)
    for place in range(width):
        goes_on = values >= 1 << 7 * (place + 1)
        is_needed[:, :, place] = values >= 1 << 7 * place
        groups[:, :, place] = (values >> 7 * place) & 0x7F
        groups[:, :, place] |= goes_on.astype(np.uint8) << 7
    is_needed[:, :, 0] = True
    content = groups[is_needed].tobytes()
    ends = np.cumsum(is_needed.sum(axis=(1, 2))).tolist()
    return [content[begin:end] for begin, end in zip([0] + ends, ends)]


def _rows_of_bytes(array):
    content = array.tobytes()
    size = array.shape[1] * array.itemsize
    return [content[begin : begin + size] for begin in range(0, size * len(array), size)]


def frame_records(payloads: Sequence[bytes]) -> List[bytes]:
    """Frames records for a TFRecord file: length, its checksum, content, its checksum."""
    headers = {}
    framed = []
    for payload, checksum in zip(payloads, masked_checksums(payloads)):
        header = headers.get(len(payload))
        if header is None:
            size = struct.pack("<Q", len(payload))
            header = headers[len(payload)] = size + masked_checksums([size])[0]
        framed.append(b"".join((header, payload, checksum)))
    return framed


class Damage(Exception):
    """A record that cannot be read; all records after it in the file are lost, too."""

    def __init__(self, number: int, why: str) -> None:
        """Initializes the error.

        Args:
            number: the record's number, from 1.
            why: what is wrong with the record.
        """
        super().__init__("record %d %s" % (number, why))


def record_places(content: Union[bytes, Content]) -> Iterator[Tuple[int, int]]:
    """Yields the position (begin, end) of each record's content.

    Args:
        content: content of a TFRecord file.

    Raises:
        Damage: if the file is damaged or truncated, after the last intact record.
    """
    headers = {}
    place, size, number = 0, len(content), 0
    while place < size:
        number += 1
        begin = place + HEADER_BYTES
        if begin > size:
            raise Damage(number, "is truncated: the file ends in it")
        packed_length = bytes(content[place : place + 8])
        if packed_length not in headers:
            headers[packed_length] = masked_checksums([packed_length])[0]
        if bytes(content[place + 8 : begin]) != headers[packed_length]:
            raise Damage(
                number,
                "is damaged, or the file is not a TFRecord file (the checksum of its length "
                "differs)",
            )
        end = begin + struct.unpack("<Q", packed_length)[0]
        place = end + FOOTER_BYTES
        if place > size:
            raise Damage(number, "is truncated: the file ends in it")
        yield begin, end


def opened(path: str) -> Content:
    """Opens a file's content: memory-mapped, or read on demand if the file is remote.

    Args:
        path: path of the file.

    Returns:
        the content, which is also a context manager; it is empty for an empty file.

    Raises:
        OSError: if the file cannot be read.
    """
    if storage.size(path) == 0:
        return memoryview(b"")
    if storage.is_remote(path):
        return storage.RemoteBytes(path)
    with open(path, "rb") as handle:
        return mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ)


def is_whole(path: str) -> bool:
    """Whether a file consists of complete records; checks only their lengths."""
    with opened(path) as content:
        try:
            collections.deque(record_places(content), maxlen=0)
        except Damage:
            return False
    return True


def masked_checksums(contents: Sequence[bytes]) -> List[bytes]:
    """Computes the masked CRC-32C of several contents at once.

    The contents are stacked, aligned at their ends: leading zeros do not change a register that is
    0, and starting with all ones is the same as starting with 0 after inverting the first four
    bytes.

    Args:
        contents: at least 4 bytes each.

    Returns:
        4 bytes for each content.
    """
    if not contents:
        return []
    width = max(map(len, contents))
    width += width % 2
    table = np.frombuffer(b"".join(content.rjust(width, b"\0") for content in contents), np.uint8)
    table = table.reshape(len(contents), width).copy()
    starts = width - np.fromiter(map(len, contents), np.int64, len(contents))
    table[np.arange(len(contents))[:, None], starts[:, None] + np.arange(4)] ^= 0xFF
    register = np.zeros(len(contents), np.uint32)
    for pair in np.ascontiguousarray(table.view("<u2").T):
        register = _CRC_OF_PAIR[(register ^ pair) & 0xFFFF] ^ (register >> 16)
    crc = ~register
    masked = (crc >> 15 | crc << 17) + np.uint32(_CRC_MASK_DELTA)
    return _rows_of_bytes(masked.astype("<u4").reshape(-1, 1))


def _crc_table_of_pairs():
    """uint32 [65536]: the register after two zero bytes, if it starts with a 16-bit number."""
    register = np.arange(1 << 16, dtype=np.uint32)
    for _ in range(16):
        register = np.where(register & 1, register >> 1 ^ np.uint32(_CRC_POLYNOMIAL), register >> 1)
    return register


_CRC_OF_PAIR = _crc_table_of_pairs()
