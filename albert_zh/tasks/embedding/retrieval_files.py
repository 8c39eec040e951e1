"""Retrieval data sets in the format of BEIR and MTEB: corpus.jsonl, queries.jsonl, qrels/SPLIT.tsv.

A line of the qrels is query-id, corpus-id, score; a score above 0 means that the entry is relevant
to the query. corpus.jsonl ({_id, title, text}) and queries.jsonl ({_id, text}) are in the folder of
the qrels or, if that folder is called `qrels`, in its parent folder.
"""

import os
from typing import Any, Dict, List, Optional, Sequence, Tuple

from albert_zh.common import storage
from albert_zh.common.errors import UserError
from albert_zh.tasks.tables import rows as row_files

CORPUS_FILE, QUERIES_FILE = "corpus.jsonl", "queries.jsonl"
_HEADER = ["query-id", "corpus-id", "score"]


def is_qrels(cells: Any) -> bool:
    """Whether a file's first row is the header of qrels."""
    return isinstance(cells, list) and [cell.strip().lower() for cell in cells[:3]] == _HEADER


def text_of_record(record: Dict[str, Any]) -> str:
    """The text of an object with "_id": its title, if there is one, followed by its text."""
    parts = [record.get(key) for key in ("title", "text")]
    return " ".join(part.strip() for part in parts if isinstance(part, str) and part.strip())


def corpus_beside(path: str) -> Optional[str]:
    """The corpus.jsonl that belongs to a file of qrels; None if there is none."""
    if not _found(path, QUERIES_FILE):
        return None
    return _found(path, CORPUS_FILE)


def rows_of_qrels(
    path: str, rows: Sequence[Any], encoding: str
) -> Tuple[List[Tuple[int, str, str]], List[Tuple[int, Exception]], List[str]]:
    """The relevant entries of each query.

    Args:
        path: the file of qrels.
        rows: its rows, as `rows.Table` returns them, the header first.
        encoding: character encoding of the files.

    Returns:
        ([(line, text of the query, text of the entry)], [(line, what is wrong)], digests of the
        two other files).

    Raises:
        UserError: for a folder without corpus.jsonl or queries.jsonl.
    """
    (queries, *digests), (entries, of_entries) = (
        _texts(path, name, encoding) for name in (QUERIES_FILE, CORPUS_FILE)
    )
    found: List[Tuple[int, str, str]] = []
    bad: List[Tuple[int, Exception]] = []
    for row in rows[1:]:
        try:
            text = _row(row, queries, entries)
        except ValueError as error:
            bad.append((row.line, error))
            continue
        if text:
            found.append((row.line, text[0], text[1]))
    return found, bad, digests + [of_entries]


def _row(row, queries, entries):
    """(query, entry) of a row; None if it is not relevant; `ValueError` if it is malformed."""
    if row.problem or len(row.cells) < 3:
        raise ValueError(row.problem or "it has no score")
    query, entry, score = (cell.strip() for cell in row.cells[:3])
    try:
        is_right = float(score) > 0
    except ValueError:
        raise ValueError("the score %r is not a number" % score) from None
    for name, key, texts in ((QUERIES_FILE, query, queries), (CORPUS_FILE, entry, entries)):
        if key not in texts:
            raise ValueError("%s has no _id %r" % (name, key))
        if is_right and not texts[key]:
            raise ValueError("%s has no text for _id %r" % (name, key))
    return (queries[query], entries[entry]) if is_right else None


def _found(path, name):
    folder = os.path.dirname(path)
    is_in_qrels = os.path.basename(os.path.abspath(folder)) == "qrels"
    for place in [folder] + [os.path.join(folder, os.pardir)] * is_in_qrels:
        joined = os.path.normpath(os.path.join(place, name))
        if not storage.is_remote(path) and storage.is_file(joined):
            return joined
    return None


def _texts(path, name, encoding):
    """({_id: text} of a JSON-lines file that belongs to the qrels, digest of the file)."""
    found = _found(path, name)
    if found is None:
        raise UserError(
            "%s: it has a qrels header, but there is no %s next to it or in the parent folder"
            % (path, name)
        )
    texts: Dict[str, str] = {}
    table = row_files.Table(found, encoding)
    for row in table:
        if row.problem == row_files.BLANK:
            continue
        if row.problem or not isinstance(row.cells, dict) or "_id" not in row.cells:
            raise UserError("%s, line %d: expected an object with _id and text" % (found, row.line))
        key, text = str(row.cells["_id"]), text_of_record(row.cells)
        if texts.setdefault(key, text) != text:
            raise UserError("%s, line %d: another text for _id %r" % (found, row.line, key))
    return texts, table.sha256()
