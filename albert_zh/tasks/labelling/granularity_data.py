"""Granularities of a run in rows and in the model; `head` is `Settings.head` throughout."""

from typing import Any, Dict, Mapping, Optional, Sequence

from albert_zh.tasks.labelling import features, granularity, granularity_names, heads
from albert_zh.text.offsets import offsets


def first_piece(head: Mapping[str, Any]) -> int:
    """Position of the first piece in a row: after [CLS] and the granularity's token."""
    return heads.FIRST_PIECE + bool(granularity_names.names(head))


def model_settings(head: Mapping[str, Any]) -> Optional[granularity.GranularitySettings]:
    """Which parts a model has; None of one without granularities."""
    if not granularity_names.names(head):
        return None
    return granularity.GranularitySettings(
        granularity_names.names(head),
        head["granularity_bigrams"],
        head["granularity_attention"],
        head["granularity_loss"],
    )


def with_tokens(head: Mapping[str, Any], tokenizer: Any, texts: Sequence[str]) -> Dict[str, Any]:
    """The head with the tokens of its granularities, which the texts do not have.

    Args:
        head: without them.
        tokenizer: `FullTokenizer`.
        texts: those that are trained on.
    """
    read = (features.text_as_read(head, text) for text in texts)
    used = {piece for text in read for piece in offsets(tokenizer, text)[0]}
    tokens = granularity.granularity_tokens(tokenizer.vocab, granularity_names.names(head), used)
    return dict(head, **{granularity_names.TOKENS: tokens})
