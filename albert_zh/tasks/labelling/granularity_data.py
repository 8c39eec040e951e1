"""Granularities in input rows and in the model; `head` is `Settings.head` throughout."""

from typing import Any, Dict, Mapping, Optional, Sequence

from albert_zh.tasks.labelling import features, granularity, granularity_names, heads
from albert_zh.text.offsets import offsets


def first_piece(head: Mapping[str, Any]) -> int:
    """Returns the position of the first piece: after [CLS] and the granularity token, if any."""
    return heads.FIRST_PIECE + bool(granularity_names.names(head))


def model_settings(head: Mapping[str, Any]) -> Optional[granularity.GranularitySettings]:
    """Returns the settings of a model with granularities; None for a model without them."""
    if not granularity_names.names(head):
        return None
    return granularity.GranularitySettings(
        granularity_names.names(head),
        head["granularity_bigrams"],
        head["granularity_attention"],
        head["granularity_loss"],
    )


def with_tokens(head: Mapping[str, Any], tokenizer: Any, texts: Sequence[str]) -> Dict[str, Any]:
    """Adds to a head the tokens of its granularities, which must not occur in the texts.

    Args:
        head: the head without these tokens.
        tokenizer: `FullTokenizer`.
        texts: the training texts.
    """
    read = (features.text_as_read(head, text) for text in texts)
    used = {piece for text in read for piece in offsets(tokenizer, text)[0]}
    tokens = granularity.granularity_tokens(tokenizer.vocab, granularity_names.names(head), used)
    return dict(head, **{granularity_names.TOKENS: tokens})
