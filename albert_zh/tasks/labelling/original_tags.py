"""Tags of NEZHA's and ProHiryu's entity recognisers, whose checkpoints have 11 outputs.

Output 0 is padding; X stands for further pieces of a character, [CLS] and [SEP] for these tokens.
None of the four is a tag of a text here: `select_outputs` keeps the outputs of the others, and
`as_model_folder` makes a folder of such a checkpoint that is used as any other.
"""

import os
from typing import Optional, Sequence, Tuple

import numpy as np

from albert_zh.common import output_files
from albert_zh.common.errors import UserError
from albert_zh.model import (
    checkpoint_files,
    checkpoint_names,
    checkpoint_values,
    fine_tuning_notes,
    label_map,
    model_writer,
    whole_folders,
)
from albert_zh.tasks.labelling import head_names, tag_schemes

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
_WEIGHTS, _BIAS = "output_weights", "output_bias"


def is_original(prefix: str) -> bool:
    """Whether a checkpoint is one of those programs: 11 outputs, and no label map beside it."""
    shapes = checkpoint_names.with_canonical_names(checkpoint_values.read_shapes(prefix))
    has_labels = os.path.exists(os.path.join(os.path.dirname(prefix), label_map.LABEL_MAP))
    return not has_labels and list(shapes.get(_WEIGHTS, ()))[:1] == [len(OUTPUTS)]


def as_model_folder(prefix: str, folder: str) -> Optional[str]:
    """Writes a checkpoint of those programs as the model that it is here: softmaxes of BIO tags.

    Args:
        prefix: of the checkpoint.
        folder: to write, with label_map.json and fine_tuning.json.

    Returns:
        prefix of the checkpoint that was written; None where `is_original` is not true of it.
    """
    if not is_original(prefix):
        return None
    weights = {
        checkpoint_names.canonical_name(name): array
        for name, array in checkpoint_values.read_weights(prefix).items()
    }
    tags = tag_schemes.all_tags(tag_schemes.SCHEMES["BIO"], sorted({tag[2:] for tag in TAGS[1:]}))
    weights[_WEIGHTS], weights[_BIAS] = select_outputs(weights[_WEIGHTS], weights[_BIAS], tags)
    notes = {
        "objective": "sequence_labelling",
        "columns": ["text_a", "label"],
        "head": {"form": head_names.SOFTMAX},
    }
    with whole_folders.replaced_folder(folder) as partial:
        os.makedirs(partial)
        model_writer.write_model_checkpoint(partial, weights)
        numbers = {tag: number for number, tag in enumerate(tags)}
        output_files.write_json(os.path.join(partial, label_map.LABEL_MAP), numbers)
        output_files.write_json(os.path.join(partial, fine_tuning_notes.FINE_TUNING_FILE), notes)
    return checkpoint_files.find_checkpoint(folder)


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
