"""Ids of a source text, and the text of generated ids."""

from typing import Any, List, Optional, Sequence, Tuple

from albert_zh.text import detokenization


def source_ids(tokenizer: Any, text: str, longest: int) -> Tuple[List[int], bool]:
    """(ids of `[CLS] source [SEP]`, whether the source was truncated).

    Args:
        tokenizer: `FullTokenizer`.
        text: the source.
        longest: maximum number of tokens.
    """
    pieces = tokenizer.tokenize(text)
    tokens = ["[CLS]"] + pieces[: longest - 2] + ["[SEP]"]
    return tokenizer.convert_tokens_to_ids(tokens), len(pieces) > longest - 2


def text_of_ids(tokenizer: Any, ids: Sequence[int], end: Optional[int] = 0) -> str:
    """The text of ids up to the first `end`.

    Args:
        tokenizer: `FullTokenizer`.
        ids: the generated ids.
        end: by default [PAD], with which a graph fills rows after their ends and which is never
            generated: it is the first token of all vocabularies for generators
            (`flags.token_ids`).
    """
    kept = []
    for token_id in ids:
        if token_id == end:
            break
        kept.append(int(token_id))
    return detokenization.text_of_pieces(tokenizer.convert_ids_to_tokens(kept))
