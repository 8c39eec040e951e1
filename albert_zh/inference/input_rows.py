"""Converts texts to rows of ids and batches of similar length, for models kept in memory."""

import collections.abc
from typing import TYPE_CHECKING, Any, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np

from albert_zh.common import files, validation
from albert_zh.common.errors import UserError
from albert_zh.text import encoding

if TYPE_CHECKING:
    from albert_zh.text import tokenization

__all__ = [
    "DEFAULT_LENGTH",
    "ROWS_PER_BATCH",
    "Reading",
    "Row",
    "SHORTEST_LENGTH",
    "TOKENS_PER_BATCH",
    "Text",
    "batches_by_length",
    "checked_length",
    "checked_texts",
    "is_pair",
    "is_several",
    "is_table",
    "num_tokens",
    "padded",
    "padded_columns",
    "rows_of",
    "rows_with_cuts",
]

Text = Union[str, Tuple[str, str]]
Row = Tuple[List[int], List[int]]  # ids, segment ids
DEFAULT_LENGTH = 128
SHORTEST_LENGTH = 8  # [CLS] A [SEP] B [SEP] with a few tokens in it
TOKENS_PER_BATCH = 2048  # keeps a layer's values in the processor's caches
ROWS_PER_BATCH = 256
_NOT_SEVERAL = (str, bytes, collections.abc.Mapping, collections.abc.Set)
_TOKENS_OF_A_SHARE = 128  # on average; with fewer, a call mostly reads weights


class Reading(NamedTuple):
    """Which parts of a text, or of a pair, a model does not see."""

    was_cut: bool = False  # the text was longer than the model reads
    is_unknown: bool = False  # at least half of its word pieces are not in the vocabulary


def checked_texts(texts: Sequence[Text]) -> List[Tuple[str, Optional[str]]]:
    """Checks texts and returns them as (text_a, text_b), text_b None for a single text.

    Args:
        texts: sequence of str, or of pairs of str.

    Raises:
        UserError: for other values; names the first such text.
    """
    if isinstance(texts, (str, bytes)):
        raise UserError("texts: expected a list of texts, found a single one: put it into a list")
    if is_table(texts):
        raise UserError(
            "texts: expected a list of texts, found a table: give one of its columns, or pairs as "
            "zip(table[a], table[b])"
        )
    if not is_several(texts):
        raise UserError("texts: expected a list of texts, found %s" % validation.shown(texts))
    checked: List[Tuple[str, Optional[str]]] = []
    for index, text in enumerate(texts):
        if isinstance(text, str):
            checked.append((text, None))
        elif is_pair(text):
            checked.append((text[0], text[1]))
        else:
            raise UserError(
                "text %d is %s, expected a str or a pair of str" % (index, validation.shown(text))
            )
        for single in filter(None, checked[-1]):
            files.check_decoded(single, "text %d" % index, "decode its bytes by their encoding")
    return checked


def is_several(texts: Any) -> bool:
    """Whether a value yields texts in an order: a list or a generator, for example."""
    if isinstance(texts, _NOT_SEVERAL) or is_table(texts):
        return False
    try:
        iter(texts)
    except TypeError:  # NumPy's 0-d arrays have the method as well
        return False
    return True


def is_table(texts: Any) -> bool:
    """Whether a value is a table, such as a pandas one: iterating yields its column names."""
    return hasattr(texts, "columns")


def is_pair(text: Any) -> bool:
    """Whether a value is a pair of texts: a tuple, list or NumPy array of two str."""
    is_array = isinstance(text, np.ndarray) and text.ndim == 1
    is_of_two = (is_array or isinstance(text, (tuple, list))) and len(text) == 2
    return is_of_two and all(isinstance(single, str) for single in text)


def checked_length(wanted: Optional[int], config_length: int, needed: int = 0) -> int:
    """The maximum input length in tokens: the requested one, as far as the model allows it.

    Args:
        wanted: requested length, or None.
        config_length: the config's max_position_embeddings, or a fixed length.
        needed: minimum of the kind of task, as in `KindFlags.shortest_length`.

    Raises:
        UserError: if it is too short for any text.
    """
    length = min(DEFAULT_LENGTH if wanted is None else wanted, config_length)
    if length < max(needed, min(SHORTEST_LENGTH, config_length)):
        raise UserError(
            "max_seq_length: %d is too short, expected at least %d%s"
            % (
                length,
                max(needed, SHORTEST_LENGTH),
                " (what the model's questions need)" if needed > SHORTEST_LENGTH else "",
            )
        )
    return int(length)


def rows_of(
    texts: Sequence[Tuple[str, Optional[str]]],
    tokenizer: "tokenization.FullTokenizer",
    max_seq_length: int,
    num_segments: int = 2,
) -> List[Row]:
    """(ids, segment ids) of each text; arguments as in `rows_with_cuts`."""
    return rows_with_cuts(texts, tokenizer, max_seq_length, num_segments)[0]


def rows_with_cuts(
    texts: Sequence[Tuple[str, Optional[str]]],
    tokenizer: "tokenization.FullTokenizer",
    max_seq_length: int,
    num_segments: int = 2,
) -> Tuple[List[Row], List[bool]]:
    """(ids, segment ids) of each text, and whether it was truncated.

    Args:
        texts: as returned by `checked_texts`.
        tokenizer: `FullTokenizer`.
        max_seq_length: maximum row length.
        num_segments: the config's type_vocab_size.

    Returns:
        (list of two lists of at most max_seq_length ints, list of bool).

    Raises:
        UserError: for a pair if the model has a single segment.
    """
    rows, cuts = [], []
    for text_a, text_b in texts:
        if text_b is not None and num_segments < 2:
            raise UserError("the model takes single texts (type_vocab_size 1), found a pair")
        ids, segments, was_cut = encoding.encode(tokenizer, text_a, text_b, max_seq_length)
        rows.append((ids, segments))
        cuts.append(was_cut)
    return rows, cuts


def num_tokens(
    tokenizer: "tokenization.FullTokenizer", text_a: str, text_b: Optional[str] = None
) -> int:
    """The row length of a text or pair without truncation, including [CLS] and [SEP]."""
    tokens = len(tokenizer.tokenize(text_a)) + 2
    return tokens if text_b is None else tokens + len(tokenizer.tokenize(text_b)) + 1


def batches_by_length(lengths: Sequence[int], num_shares: int = 1) -> Iterator[List[int]]:
    """Yields batches of indices, shortest rows first, to limit padding and tokens per batch.

    Args:
        lengths: lengths of the rows.
        num_shares: number of batches processed concurrently: the rows are split evenly into as many
            batches, unless these would be too small.
    """
    batch: List[int] = []
    num_shares = min(num_shares, max(1, sum(lengths) // _TOKENS_OF_A_SHARE))
    rows_of_share = min(ROWS_PER_BATCH, -(-len(lengths) // num_shares))
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        is_full = (len(batch) + 1) * lengths[index] > TOKENS_PER_BATCH
        if batch and (is_full or len(batch) == rows_of_share):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def padded_columns(
    columns: Sequence[np.ndarray], column: Any, length: Optional[int] = None
) -> np.ndarray:
    """Joins the per-token inputs of a model, other than ids, into an array.

    Args:
        columns: arrays [F, ...] of the rows.
        column: its `task_type.Column`.
        length: F; default: the length of the longest row.

    Returns:
        int32 or float32 [B, F, ...], padded with 0.
    """
    length = length or max(map(len, columns))
    dtype = np.float32 if column.dtype == "float" else np.int32
    arrays = np.zeros([len(columns), length] + list(column.shape), dtype)
    for array, entries in zip(arrays, columns):
        array[: len(entries)] = entries
    return arrays


def padded(rows: Sequence[Row], length: Optional[int] = None) -> np.ndarray:
    """Joins rows into arrays.

    Args:
        rows: list of (ids, segment ids).
        length: F; default: the length of the longest row.

    Returns:
        int32 [3, B, F]: ids, mask, segment ids.
    """
    length = length or max(len(ids) for ids, _ in rows)
    arrays = np.zeros([3, len(rows), length], np.int32)
    for index, (ids, segments) in enumerate(rows):
        arrays[0, index, : len(ids)] = ids
        arrays[1, index, : len(ids)] = 1
        arrays[2, index, : len(ids)] = segments
    return arrays
