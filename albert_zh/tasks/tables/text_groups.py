"""Groups rows that share a text, and counts the texts that two files have in common.

    groups_of_rows([("怎么开户", "如何开户"), ("如何开户", "开户"), ("天气", "下雨")])
    -> [[0, 1], [2]]

Texts that differ only in width, case, blanks or punctuation count as the same text: a model sees
hardly any difference, and LCQMC's test file has 4 % fewer texts by that measure.
"""

import collections
import heapq
from typing import Any, Iterable, List, Sequence, Tuple
import unicodedata

Overlap = collections.namedtuple("Overlap", ["one_text", "all_texts", "same_row"])
Overlap.__doc__ = """How many rows of a split have texts that occur in another split, too.

Fields:
    one_text: number of rows with at least one such text.
    all_texts: number of rows with only such texts, from the same row there or from several rows.
    same_row: number of rows with the same texts as a row there; a pair may be in reverse order.
"""


class _KeptCharacters(dict):
    """{code point: itself; None for blanks, punctuation and controls}, filled on first use."""

    def __missing__(self, code):
        is_dropped = unicodedata.category(chr(code))[0] in "PZC"
        self[code] = None if is_dropped else code
        return self[code]


_KEPT = _KeptCharacters()


def normalized(text: str) -> str:
    """A text without width, case, blanks and punctuation; unchanged if nothing else is left."""
    return unicodedata.normalize("NFKC", text).lower().translate(_KEPT) or text.strip()


def text_key(example: Any) -> int:
    """A hash that is equal for examples with the same text or pair."""
    return hash((example.text_a, example.text_b))


def texts_of_row(example: Any) -> Tuple[str, ...]:
    """The normalized texts of an `InputExample` as a tuple, without empty texts."""
    texts = (example.text_a, example.text_b)
    return tuple(filter(None, (normalized(text) for text in texts if text)))


def groups_of_rows(rows: Sequence[Tuple[str, ...]]) -> List[List[int]]:
    """Groups rows that share a text, directly or through other rows.

    Args:
        rows: list of tuples of texts, which may be empty.

    Returns:
        list of lists of row numbers: the connected components, ordered by their first rows.
    """
    parents = {}
    for texts in rows:
        for text in texts:
            parents.setdefault(text, text)
            parents[_root(parents, text)] = _root(parents, texts[0])
    groups = collections.OrderedDict()
    for row_index, texts in enumerate(rows):
        key = _root(parents, texts[0]) if texts else row_index
        groups.setdefault(key, []).append(row_index)
    return list(groups.values())


def _root(parents, text):
    while parents[text] != text:
        parents[text] = text = parents[parents[text]]
    return text


def regions(
    rows: Sequence[Tuple[str, ...]],
    group: Sequence[int],
    num_wanted: int,
    largest: int,
    starts: Iterable[int],
) -> Tuple[List[List[int]], List[int]]:
    """Splits parts off a group of rows such that few rows link them to the remaining rows.

    Each part grows from one text. The next text to be added is always the one of whose rows the
    largest share already contains texts of the parts.

    Args:
        rows: as in `groups_of_rows`.
        group: numbers of the rows.
        num_wanted: number of rows that the parts should have in total.
        largest: number of rows at which a part stops growing.
        starts: numbers of rows from whose first texts the parts grow; used as far as needed.

    Returns:
        (parts, links): list of lists of row numbers, all of whose texts are inside the parts; list
        of the numbers of rows that have texts both inside and outside.
    """
    rows_of = collections.defaultdict(list)
    for row_index in group:
        for text in set(rows[row_index]):
            rows_of[text].append(row_index)
    inside, grown, num_taken = set(), [], 0
    for start in starts:
        if num_taken >= num_wanted:
            break
        region = _grown(rows, rows_of, inside, rows[start][0], min(largest, num_wanted - num_taken))
        grown.append(region)
        num_taken += len(region)
    taken = set().union(*grown)
    links = [n for n in group if n not in taken and inside.intersection(rows[n])]
    return [region for region in grown if region], links


def _grown(rows, rows_of, inside, start, size):
    """The rows of a part, at least `size` if possible; adds the texts of the part to `inside`."""
    region, num_shared, waiting = [], collections.Counter(), [(0, start)]
    while waiting and len(region) < size:
        _, text = heapq.heappop(waiting)
        if text in inside:
            continue
        inside.add(text)
        for row_index in rows_of[text]:
            others = [other for other in rows[row_index] if other not in inside]
            if not others:
                region.append(row_index)
            for other in others:
                num_shared[other] += 1
                heapq.heappush(waiting, (-num_shared[other] / len(rows_of[other]), other))
    return region


def overlap(rows: Sequence[Tuple[str, ...]], other_rows: Sequence[Tuple[str, ...]]) -> Overlap:
    """Counts the rows whose texts also occur in other rows.

    Args:
        rows: list of tuples of texts.
        other_rows: list of tuples of texts in which the texts of `rows` are looked up.

    Returns:
        `Overlap`.
    """
    texts = {text for row in other_rows for text in row}
    keys = {tuple(sorted(row)) for row in other_rows}
    known = [[text in texts for text in row] for row in rows if row]
    return Overlap(
        sum(map(any, known)),
        sum(map(all, known)),
        sum(tuple(sorted(row)) in keys for row in rows if row),
    )
