"""What of a data set's texts the vocabulary lacks: words that the model cannot tell apart."""

import collections
from typing import Any, Callable, List, Sequence

from albert_zh.text import unicode_text
from albert_zh.text.vocabulary_files import UNKNOWN

LOOKED_AT = 1000  # examples, evenly spread over the file
NOTED_FROM = 0.01  # share of the word pieces
_LOOKED_AT_OF_TEXT = 500  # characters
_SHOWN = 5
_LONGEST_SHOWN = 12


def notes(examples: Sequence[Any], tokenizer: Any, read: Callable[[str], str] = str) -> List[str]:
    """Lines for the user where much of the texts is unknown.

    Args:
        examples: of a split, of any kind of task.
        tokenizer: `FullTokenizer`.
        read: what the model reads of a text.
    """
    num_pieces, unknown = _counted(examples, tokenizer, read)
    num_unknown = sum(unknown.values())
    if not num_unknown or num_unknown < NOTED_FROM * num_pieces:
        return []
    most = [word for word, _ in unknown.most_common(_SHOWN)]
    note = (
        "%.1f %% of the word pieces are unknown to the vocabulary, most often %s: the model "
        "cannot tell them apart"
        % (100 * num_unknown / num_pieces, ", ".join(word[:_LONGEST_SHOWN] for word in most))
    )
    if any(unicode_text.with_half_width(word) != word for word in most):
        note += "; write letters and digits of full width half-width, here and in use"
    return [note]


def _counted(examples, tokenizer, read):
    """(number of word pieces, `Counter` of the unknown ones by their words) of some examples."""
    unknown_id = tokenizer.convert_tokens_to_ids([UNKNOWN])[0]
    num_pieces, unknown = 0, collections.Counter()
    for example in examples[:: max(1, len(examples) // LOOKED_AT)]:
        for text in filter(None, (example.text_a, example.text_b)):
            for word in unicode_text.words_of(read(text[:_LOOKED_AT_OF_TEXT])):
                ids = tokenizer.convert_tokens_to_ids(tokenizer.tokenize(word))
                num_pieces += len(ids)
                if unknown_id in ids:
                    unknown[word] += ids.count(unknown_id)
    return num_pieces, unknown
