"""How many records a TFRecord file has, in a small file beside it: `NAME.count`.

    record_counts.write("my/x.tfrecord", 1000000)
    record_counts.read("my/x.tfrecord")  # 1000000, or None: the records have to be walked through

A file of terabytes need not be read for it. The index has the file's size; for a file of another
size it does not count.
"""

from typing import Optional

from albert_zh.common import files, output_files, storage, validation
from albert_zh.common.errors import UserError

ENDING = ".count"
_INDEX = validation.record(
    {"records": validation.integer(0), "bytes": validation.integer(0)}, ["records", "bytes"]
)


def index_file(path: str) -> str:
    """The path of the index of a file of records."""
    return path + ENDING


def is_index(path: str) -> bool:
    """Whether a path is one of an index."""
    return path.endswith(ENDING)


def write(path: str, num_records: int) -> None:
    """Writes the index of a file of records that is there.

    Args:
        path: of the records.
        num_records: their number.
    """
    output_files.write_json(index_file(path), {"records": num_records, "bytes": storage.size(path)})


def read(path: str) -> Optional[int]:
    """The number of a file's records; None without an index, or with one of another content.

    Args:
        path: of the records.
    """
    index = index_file(path)
    try:
        if not storage.exists(index):
            return None
        counted = files.read_json(index, _INDEX, "remove it")
        return counted["records"] if counted["bytes"] == storage.size(path) else None
    except (UserError, OSError):  # a hint alone: the records themselves say it too
        return None
