"""Ids of a source, and the text of ids that were written."""

from typing import Any, List, Optional, Sequence, Tuple

from albert_zh.text import detokenization


def source_ids(tokenizer: Any, text: str, longest: int) -> Tuple[List[int], bool]:
    """(ids of `[CLS] source [SEP]`, whether its end was cut off).

    Args:
        tokenizer: `FullTokenizer`.
        text: the source.
        longest: tokens at most.
    """
    pieces = tokenizer.tokenize(text)
    tokens = ["[CLS]"] + pieces[: longest - 2] + ["[SEP]"]
    return tokenizer.convert_tokens_to_ids(tokens), len(pieces) > longest - 2


def text_of_ids(tokenizer: Any, ids: Sequence[int], end: Optional[int] = 0) -> str:
    """The text of ids up to the first that is `end`.

    Args:
        tokenizer: `FullTokenizer`.
        ids: that were written.
        end: by default [PAD], which fills the rows of a graph behind their ends, and is never
            written: of all vocabularies for generators it is the first token (`flags.token_ids`).
    """
    kept = []
    for token_id in ids:
        if token_id == end:
            break
        kept.append(int(token_id))
    return detokenization.text_of_pieces(tokenizer.convert_ids_to_tokens(kept))
