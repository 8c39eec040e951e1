"""Similar words to show instead of [MASK], as in MacBERT (Cui et al. 2020).

    table = read("similar.txt", tokenizer)
    shown = masking.similar_pieces(ids, chosen, starts, table, vocab_size, generator)

A similar word must have as many pieces as the word itself, since otherwise all following positions
would shift. The table is provided by the user, or computed from word vectors by cosine similarity.
"""

import collections
from typing import TYPE_CHECKING

import numpy as np

from albert_zh.common import files, validation
from albert_zh.common.errors import UserError
from albert_zh.text.word_vectors import WordVectors

if TYPE_CHECKING:
    from albert_zh.text.tokenization import FullTokenizer

MOST_SIMILAR = 10  # similar words per word, if they are computed from vectors
MOST_WORDS = 30000  # first words of a file of vectors that are used
_FEWEST_NUMBERS = 3  # in a row that is taken for a vector; two may be spellings of a numeral
_UNKNOWN = "[UNK]"
_SHOWN_CHARACTERS = 40  # of an invalid line, in an error message
_LEFT_OUT = (
    "%s: similar words skipped because their number of pieces differs from that of the word: %d"
)
_ROWS = 1024  # words that are compared with all others at a time

Table = collections.namedtuple("Table", "similar num_left_out notes", defaults=((),))
Table.__doc__ = """Words and the similar words that may replace them.

Fields:
    similar: {ids of a word: list of ids of similar words}, tuples of equal lengths.
    num_left_out: int, number of skipped similar words, which have another number of pieces than the
        word or are not in the vocabulary.
    notes: list of str, lines about the parts of the file that are not used.
"""


def read(path: str, tokenizer: "FullTokenizer") -> Table:
    """Reads a table `word<TAB>similar<TAB>similar...`, or word vectors in word2vec's text format.

    Args:
        path: the file; it is read as vectors if its first non-blank line has no TAB.
        tokenizer: `tokenization.FullTokenizer`.

    Raises:
        UserError: if a line has no similar word, or if no word has a usable one.
    """
    vectors = None if _is_table(path) else WordVectors.read(path)
    rows = _rows_of_vectors(vectors) if vectors else _rows_of_table(path)
    similar, num_left_out = collections.OrderedDict(), 0
    for word, others in rows:
        ids = _ids_of(word, tokenizer)
        candidates = [_ids_of(other, tokenizer) for other in others]
        fitting = [o for o in candidates if o and len(o) == len(ids) and o != ids]
        num_left_out += len(candidates) - len(fitting)
        if ids and fitting:
            similar.setdefault(ids, []).extend(fitting)
    if not similar:
        raise UserError(
            "%s: no word has a similar one of as many pieces: expected lines "
            "word<TAB>similar<TAB>similar..., or word vectors" % path
        )
    notes = list(vectors.notes) if vectors else []
    if num_left_out:
        notes.append(_LEFT_OUT % (path, num_left_out))
    return Table(similar, num_left_out, notes)


def _is_table(path):
    """Whether a file is a table; raises `UserError` for words that are not separated by TABs."""
    lines = enumerate(files.stream_lines(path, None), start=1)
    number, first = next(((n, line) for n, line in lines if line.strip()), (1, ""))
    if "\t" in first.strip("\r\n"):
        return True
    cells = first.split()
    if cells and not validation.reads_as_number(cells[-1]):
        raise UserError(
            "%s: line %d: %r: expected a word and similar ones, separated by TABs, or word "
            "vectors, lines of a word and numbers separated by spaces"
            % (path, number, first.strip()[:_SHOWN_CHARACTERS])
        )
    return False


def _ids_of(word, tokenizer):
    """Returns the ids of a word's pieces; () if any piece of it is unknown."""
    pieces = tokenizer.tokenize(word)
    return () if _UNKNOWN in pieces else tuple(tokenizer.convert_tokens_to_ids(pieces))


def _rows_of_table(path):
    """Yields (word, [similar words]) of each line that is not empty."""
    for number, line in enumerate(files.stream_lines(path, None), start=1):
        if not line.strip():
            continue
        word, *others = [cell.strip() for cell in line.rstrip("\r\n").split("\t")]
        others = [other for other in others if other]
        if len(others) >= _FEWEST_NUMBERS and all(map(validation.reads_as_number, others)):
            raise UserError(
                "%s: line %d: found numbers separated by TABs, expected similar words; in a file "
                "of word vectors the numbers are separated by spaces" % (path, number)
            )
        if not (word and others):
            raise UserError(
                "%s: line %d: %r: expected a word and similar ones, separated by TABs"
                % (path, number, line.strip()[:_SHOWN_CHARACTERS])
            )
        yield word, others


def _rows_of_vectors(vectors):
    """Yields (word, [nearest words with the same number of characters]) from `WordVectors`."""
    by_length = collections.defaultdict(list)
    for number, word in enumerate(vectors.words[:MOST_WORDS]):
        by_length[len(word)].append(number)
    for numbers in by_length.values():
        numbers = np.array(numbers)
        for first in range(0, len(numbers), _ROWS):
            rows = numbers[first : first + _ROWS]
            for number, nearest in zip(rows, vectors.nearest_among(rows, numbers, MOST_SIMILAR)):
                yield vectors.words[number], [vectors.words[other] for other in nearest]
