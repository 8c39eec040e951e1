"""Detects raw text files in JSON Lines format by their names or, as for wiki_zh, by first line.

with files.open_unpacked("AA/wiki_00") as (content, _):
    begins_with_object(content, "utf-8")
"""

import json
from typing import IO

from albert_zh.common import files

ENDINGS = (".jsonl", ".jsonl.gz", ".json", ".json.gz")
TEXT_KEYS = ("text", "content")  # used by wiki_zh; by news2016zh and webtext2019zh
_LONGEST_LINE = 1 << 24  # bytes


def begins_with_object(content: IO, encoding: str) -> bool:
    """Whether the first line that is not blank is a JSON object with a text.

    Args:
        content: the file, open for reading bytes; its position is reset to the beginning.
        encoding: the file's encoding.
    """
    first = b"\n"
    while first and not first.strip():
        first = content.readline(_LONGEST_LINE)
    content.seek(0)
    if not first.lstrip(b"\xef\xbb\xbf \t").startswith(b"{"):
        return False
    try:
        record = json.loads(first.decode(files.known_encoding(encoding)).lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return False
    return any(isinstance(record.get(key), str) for key in TEXT_KEYS)
