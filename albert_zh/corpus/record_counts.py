"""Stores the number of records of a TFRecord file in a small index file, `NAME.count`.

    record_counts.write("my/x.tfrecord", 1000000)
    record_counts.read("my/x.tfrecord")  # 1000000, or None: the records have to be counted
    record_counts.keeps_case("my/x.tfrecord")  # False

This avoids reading terabytes to count the records. The index contains the size of the record file;
it is ignored if the file now has another size.
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
    """Returns the path of the index of a record file."""
    return path + ENDING


def is_index(path: str) -> bool:
    """Whether a path is the path of an index."""
    return path.endswith(ENDING)


def write(path: str, num_records: int, do_lower_case: bool = True) -> None:
    """Writes the index of an existing record file.

    Args:
        path: path of the record file.
        num_records: number of its records.
        do_lower_case: whether the text was lower-cased when the records were created.
    """
    index = {"records": num_records, "bytes": storage.size(path)}
    if not do_lower_case:
        index["do_lower_case"] = False
    output_files.write_json(index_file(path), index)


def read(path: str) -> Optional[int]:
    """Returns the number of records in a file; None if there is no index that matches the file.

    Args:
        path: path of the record file.
    """
    return _index_of(path).get("records")


def keeps_case(path: str) -> bool:
    """Whether, according to its index, a record file was created without lower-casing.

    Args:
        path: path of the record file.
    """
    return not _index_of(path).get("do_lower_case", True)


def _index_of(path):
    """Returns the content of a file's index; {} if there is no index that matches the file."""
    index = index_file(path)
    try:
        if not storage.exists(index):
            return {}
        content = files.read_json(index, _INDEX, "remove it")
        return content if content["bytes"] == storage.size(path) else {}
    except (UserError, OSError):  # the index is only a hint: the records can be read without it
        return {}
