"""Statistics of the text and records of pre-training, counted by several processes.

    counts = Counter()
    counts.update(counts_of_text(encoded))        # for every portion of the text
    counts.update(counts_of_records(features))    # for every batch of records
    for name, value in summary(counts, dupe_factor):
        print(name, value)

Counts are `collections.Counter`s with string keys, also for histograms ("length: 128"), so that the
counts of several processes, or of a killed run and the run that resumed it, can be added up.
"""

import collections
from typing import (
    TYPE_CHECKING,
    Any,
    Counter,
    Dict,
    Iterable,
    List,
    Mapping,
    Sequence,
    Tuple,
    Union,
)

import numpy as np

from albert_zh.corpus import masking

if TYPE_CHECKING:
    from albert_zh.text.word_segmentation import LineEncoder

_LENGTH = "length: "
_MASKED_WORD = "masked word: "
_UNKNOWN = "unknown: "
_MOST_UNKNOWN_SHOWN = 10
_MOST_OF_ONE_SENTENCE = 0.5  # share of the documents from which on a warning is printed
_MOST_OF_LABEL_1 = 0.95  # share of the records from which on a warning is printed
_LEAST_OF_TEXT = 0.5  # share of the text below which a warning is printed
_ONE_SEGMENT = "--one_segment=true"  # creates records without a sentence-order task


def counts_of_text(
    num_pieces: int, sentences: Sequence[int], documents: Sequence[Tuple[int, int]]
) -> Counter[str]:
    """Counts the documents, sentences and pieces of a portion of the text.

    Args:
        num_pieces: total number of pieces of all its sentences.
        sentences, documents: as in `sampling.EncodedShard`.
    """
    return collections.Counter(
        {
            "documents": len(documents),
            "documents of one sentence": sum(last - first == 1 for first, last in documents),
            "sentences": len(sentences) - 1,
            "pieces of text": num_pieces,
        }
    )


def counts_of_unknown(
    line: str,
    pieces: Union[Sequence[int], Sequence[str]],
    unknown: Union[int, str],
    encoder: "LineEncoder",
) -> Counter[str]:
    """Counts the unknown characters and unknown pieces of a line.

    Args:
        line: a line of the text.
        pieces: the pieces of the line, as ids or strings.
        unknown: the unknown token in `pieces`, as an id or string.
        encoder: `word_segmentation.LineEncoder`.
    """
    counts = collections.Counter(_UNKNOWN + char for char in encoder.unknown_characters(line))
    counts["unknown pieces"] = pieces.count(unknown)
    return counts


def counts_of_records(features: Mapping[str, np.ndarray], whole_words: bool = True) -> Counter[str]:
    """Counts the records, pieces, masks and labels in a batch of records.

    Args:
        features: {name: array [N, k]}, including `token_boundary`.
        whole_words: whether whole words were masked; otherwise every piece counts as a word.
    """
    ids, lengths = features["input_ids"], features["input_mask"].sum(axis=1)
    last = np.take_along_axis(ids, lengths[:, None] - 1, axis=1)  # [SEP], as the first is [CLS]
    is_special = (ids == ids[:, :1]) | (ids == last)
    counts = collections.Counter(
        {
            "records": len(lengths),
            "places": ids.size,
            "pieces": int(lengths.sum()),
            "[CLS] and [SEP]": int((features["input_mask"] * is_special).sum()),
            "label 1": int(features["next_sentence_labels"].sum()),
        }
    )
    counts.update(_histogram(_LENGTH, lengths))
    if "masked_lm_weights" in features:
        counts["masked"] = int(features["masked_lm_weights"].sum())
        counts.update(_histogram(_MASKED_WORD, _lengths_of_masked_words(features, whole_words)))
    return counts


def _lengths_of_masked_words(features, masks_words):
    """Int [M]: number of pieces of each word whose first piece is predicted."""
    mask = features["input_mask"]
    ends_word = ~masking.maskable_pieces(mask, features["segment_ids"])
    starts = ends_word | ((features["token_boundary"] if masks_words else mask) == 1)
    rows, slots = np.nonzero(features["masked_lm_weights"])
    positions = rows * mask.shape[1] + features["masked_lm_positions"][rows, slots]
    positions = positions[starts.ravel()[positions]]
    bounds = np.flatnonzero(starts)
    return bounds[np.searchsorted(bounds, positions) + 1] - positions


def _histogram(name, samples):
    distinct, counts = np.unique(samples, return_counts=True)
    return {name + str(sample): int(count) for sample, count in zip(distinct, counts)}


def summary(counts: Counter[str], dupe_factor: int) -> List[Tuple[str, str]]:
    """Formats the statistics for display.

    Args:
        counts: counts of at least one record.
        dupe_factor: number of passes over the text.

    Returns:
        list of rows (name, value).
    """
    statistics_of_text = statistics(counts, dupe_factor)
    rows = [(name, "%d" % statistics_of_text[name]) for name in _WHOLE_NUMBERS]
    rows += summary_of_records(counts)
    rows.append(
        ("text in records", "%s of each pass" % _percent(statistics_of_text["text in records"]))
    )
    rows.append(("unknown", _percent(statistics_of_text["unknown"], 3)))
    if statistics_of_text["unknown characters"]:
        most = list(statistics_of_text["unknown characters"].items())[:_MOST_UNKNOWN_SHOWN]
        shown = " ".join("%s %d" % pair for pair in most)
        rows.append(("unknown characters", shown))
    return rows


def summary_of_records(counts: Counter[str]) -> List[Tuple[str, str]]:
    """Formats the statistics that concern only records, as rows (name, value)."""
    masked = counts["masked"] / counts["pieces"]
    return [
        ("records", "%d" % counts["records"]),
        ("average length", "%.1f pieces" % (counts["pieces"] / counts["records"])),
        ("padding", _percent(1 - counts["pieces"] / counts["places"])),
        ("label 1", _percent(counts["label 1"] / counts["records"])),
        ("masked", _percent(masked) if masked else "again in each epoch"),
    ]


_WHOLE_NUMBERS = (
    "lines",
    "blank lines",
    "documents",
    "documents of one sentence",
    "sentences",
    "sentences without pieces",
)


def statistics(counts: Counter[str], dupe_factor: int) -> Dict[str, Any]:
    """Computes the statistics as numbers.

    Args:
        counts, dupe_factor: as for `summary`.

    Returns:
        {name: value}: integers, shares from 0 to 1, "average length" in pieces, and the histograms
        "lengths", "masked words" (number of pieces -> count) and "unknown characters", the most
        frequent first.
    """
    in_records = counts["pieces"] - counts["[CLS] and [SEP]"]
    figures: Dict[str, Any] = {name: counts[name] for name in _WHOLE_NUMBERS}
    figures.update(
        {
            "records": counts["records"],
            "average length": counts["pieces"] / counts["records"],
            "padding": 1 - counts["pieces"] / counts["places"],
            "text in records": in_records / (dupe_factor * counts["pieces of text"]),
            "label 1": counts["label 1"] / counts["records"],
            "masked": counts["masked"] / counts["pieces"],
            "unknown": counts["unknown pieces"] / counts["pieces of text"],
            "lengths": _counts_by_length(counts, _LENGTH),
            "masked words": _counts_by_length(counts, _MASKED_WORD),
            "unknown characters": collections.OrderedDict(
                sorted(_section(counts, _UNKNOWN).items(), key=lambda pair: (-pair[1], pair[0]))
            ),
        }
    )
    return figures


def warnings_of_order(counts: Counter[str], one_segment: str = _ONE_SEGMENT) -> List[str]:
    """Warns if sentence order cannot be learnt from the records.

    Args:
        counts: counts of the text and the records.
        one_segment: the setting that creates records of one segment, to be named in the warning.
    """
    share = counts["documents of one sentence"] / max(1, counts["documents"])
    of_label_1 = counts["label 1"] / max(1, counts["records"])
    if share >= _MOST_OF_ONE_SENTENCE:
        found = "%s of the documents have a single sentence" % _percent(share)
    elif of_label_1 >= _MOST_OF_LABEL_1:
        found = "%s of the records have label 1, as each line fills one" % _percent(of_label_1)
    else:
        return []
    return [
        "%s: the order of sentences cannot be learned from them (label 1: %s). Put the sentences "
        "of a document on consecutive lines, followed by a blank line; give "
        "--split_sentences=true if lines are paragraphs; or %s to train on masked words only"
        % (found, _percent(of_label_1), one_segment)
    ]


def warnings_of_loss(
    counts: Counter[str],
    dupe_factor: int,
    splits_sentences: bool = False,
    one_segment: str = _ONE_SEGMENT,
) -> List[str]:
    """Warns if much of the text is in no record of two segments.

    Args:
        counts, dupe_factor: as for `summary`.
        splits_sentences: whether lines are paragraphs that were split into sentences.
        one_segment: as in `warnings_of_order`.
    """
    share = statistics(counts, dupe_factor)["text in records"]
    if share >= _LEAST_OF_TEXT:
        return []
    no_ends = one_segment + " keeps all text, without an order of sentences to learn"
    if splits_sentences:
        way_out = "--split_sentences finds no ends of sentences (。！？；…) in them: " + no_ends
    else:
        way_out = (
            "give --split_sentences=true if lines are paragraphs; for text without ends of "
            "sentences (。！？；…) " + no_ends
        )
    return [
        "only %s of the text is in records, %s of it is lost: lines that fill a record are "
        "truncated, or their document has no other line to pair them with: %s"
        % (_percent(share), _percent(1 - share), way_out)
    ]


def _percent(share, digits=1):
    return "%.*f%%" % (digits, 100 * share)


def _section(counts, name):
    return {key[len(name) :]: count for key, count in counts.items() if key.startswith(name)}


def _counts_by_length(counts, name):
    by_length = {int(length): count for length, count in _section(counts, name).items()}
    return collections.OrderedDict(sorted(by_length.items()))


class Notes:
    """Notes for the user about a text: per kind the number of occurrences and the first place."""

    def __init__(self, notes: Iterable[Tuple[str, str]] = ()) -> None:
        """Starts with notes in the format of `update`."""
        self._counts, self._first_sources = collections.Counter(), collections.OrderedDict()
        self.update(notes)

    def update(self, notes: Iterable[Tuple[str, str]], times: int = 1) -> None:
        """Adds notes (kind, place), each `times` times."""
        for kind, source in notes:
            self._counts[kind] += times
            self._first_sources.setdefault(kind, source)

    def lines(self) -> List[str]:
        """Returns one line per kind of note."""
        first = self._first_sources.items()
        return ["%s: %d (first: %s)" % (kind, self._counts[kind], source) for kind, source in first]
