"""What is known of a TFRecord file's records, in a small file beside it: `NAME.count`.

    record_counts.write("my/x.tfrecord", 1000000)
    record_counts.read("my/x.tfrecord")  # 1000000, or None: the records have to be walked through
    record_counts.keeps_case("my/x.tfrecord")  # False

A file of terabytes need not be read for it. The index has the file's size; for a file of another
size it does not count.
"""

from typing import Optional

from albert_zh.common import files, output_files, storage, validation
from albert_zh.common.errors import UserError

ENDING = ".count"
_INDEX = validation.record(
    {
        "records": validation.integer(0),
        "bytes": validation.integer(0),
        "do_lower_case": validation.BOOLEAN,
    },
    ["records", "bytes"],
)


def index_file(path: str) -> str:
    """The path of the index of a file of records."""
    return path + ENDING


def is_index(path: str) -> bool:
    """Whether a path is one of an index."""
    return path.endswith(ENDING)


def write(path: str, num_records: int, do_lower_case: bool = True) -> None:
    """Writes the index of a file of records that is there.

    Args:
        path: of the records.
        num_records: their number.
        do_lower_case: whether letters were lower-cased when they were made.
    """
    index = {"records": num_records, "bytes": storage.size(path)}
    if not do_lower_case:
        index["do_lower_case"] = False
    output_files.write_json(index_file(path), index)


def read(path: str) -> Optional[int]:
    """The number of a file's records; None without an index, or with one of another content.

    Args:
        path: of the records.
    """
    return _index_of(path).get("records")


def keeps_case(path: str) -> bool:
    """Whether an index says that a file's records were made of texts with their case.

    Args:
        path: of the records.
    """
    return not _index_of(path).get("do_lower_case", True)


def _index_of(path):
    """The content of a file's index; {} without one that fits it."""
    index = index_file(path)
    try:
        if not storage.exists(index):
            return {}
        content = files.read_json(index, _INDEX, "remove it")
        return content if content["bytes"] == storage.size(path) else {}
    except (UserError, OSError):  # a hint alone: the records themselves have what counts
        return {}
