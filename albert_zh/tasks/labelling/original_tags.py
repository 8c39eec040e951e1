"""Tags of NEZHA's and ProHiryu's entity recognisers, whose checkpoints have 11 outputs.

Output 0 is padding; X stands for further pieces of a character, [CLS] and [SEP] for these tokens.
None of the four is a tag of a text here: `select_outputs` keeps the outputs of the others.
"""

from typing import Sequence, Tuple

import numpy as np

from albert_zh.common.errors import UserError

OUTPUTS = (
    "[PAD]",
    "O",
    "B-PER",
    "I-PER",
    "B-ORG",
    "I-ORG",
    "B-LOC",
    "I-LOC",
    "X",
    "[CLS]",
    "[SEP]",
)
TAGS = OUTPUTS[1:8]


def select_outputs(
    weights: np.ndarray, bias: np.ndarray, tags: Sequence[str]
) -> Tuple[np.ndarray, np.ndarray]:
    """The output layer of such a checkpoint for tags in another order.

    Args:
        weights: float [11, H], `output_weights`.
        bias: float [11], `output_bias`.
        tags: list of K str, some of `TAGS`.

    Returns:
        (weights, bias): float [K, H] and [K].

    Raises:
        UserError: for tags that the checkpoint does not have, or other numbers of outputs.
    """
    if len(weights) != len(OUTPUTS) or len(bias) != len(OUTPUTS):
        raise UserError(
            "output_weights: %d outputs, expected the %d of NEZHA's run_classifier_ner.py"
            % (len(weights), len(OUTPUTS))
        )
    unknown = [tag for tag in tags if tag not in TAGS]
    if unknown:
        raise UserError(
            "the tag %s is not among those of the checkpoint: %s: train from its encoder instead"
            % (unknown[0], ", ".join(TAGS))
        )
    rows = [OUTPUTS.index(tag) for tag in tags]
    return weights[rows], bias[rows]
