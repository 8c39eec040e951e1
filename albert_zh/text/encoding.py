"""Encodes texts and text pairs as token ids."""

from typing import Any, List, Optional, Tuple


def encode(
    tokenizer: Any, text_a: str, text_b: Optional[str], max_seq_length: int
) -> Tuple[List[int], List[int], bool]:
    """Encodes a text or text pair as ids: [CLS] A [SEP], or [CLS] A [SEP] B [SEP].

    Args:
        tokenizer: `FullTokenizer`.
        text_a: str.
        text_b: str or None.
        max_seq_length: maximum number of ids; a pair is truncated at the end of its longer text.

    Returns:
        (input_ids, segment_ids, was_cut): two lists of at most max_seq_length ints, and whether
        the input was truncated.
    """
    tokens_a = tokenizer.tokenize(text_a)
    tokens_b = None if text_b is None else tokenizer.tokenize(text_b)
    max_tokens = max_seq_length - (2 if tokens_b is None else 3)
    was_cut = truncate_pair(tokens_a, [] if tokens_b is None else tokens_b, max_tokens)
    tokens = ["[CLS]"] + tokens_a + ["[SEP]"]
    segment_ids = [0] * len(tokens)
    if tokens_b is not None:
        tokens += tokens_b + ["[SEP]"]
        segment_ids += [1] * (len(tokens_b) + 1)
    return tokenizer.convert_tokens_to_ids(tokens), segment_ids, was_cut


def truncate_pair(tokens_a: List[str], tokens_b: List[str], max_length: int) -> bool:
    """Truncates two lists in place to a total length, always at the end of the longer (B on a tie).

    Returns:
        whether anything was truncated.
    """
    was_cut = len(tokens_a) + len(tokens_b) > max_length
    while len(tokens_a) + len(tokens_b) > max_length:
        (tokens_a if len(tokens_a) > len(tokens_b) else tokens_b).pop()
    return was_cut
