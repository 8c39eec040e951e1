"""Converts checkpoints of NEZHA's and ProHiryu's entity recognizers, which have extra outputs.

Output 0 is padding, X labels the second and later pieces of a character, and [CLS] and [SEP] label
these tokens. None of the four is a tag here: `select_outputs` selects the other outputs, and
`as_model_folder` converts such a checkpoint to an ordinary model folder. The tags of the outputs
are read from the programs' `label2id.pkl`; without it, the 11 outputs of their code are assumed.
"""

import io
import os
import pickle
from typing import List, Optional, Sequence, Tuple

import numpy as np

from albert_zh.common import files, output_files
from albert_zh.common.errors import UserError
from albert_zh.model.checkpoints import (
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
LABEL_IDS = "label2id.pkl"  # in the checkpoint's folder: {label: number of its output}
_WEIGHTS, _BIAS = "output_weights", "output_bias"


def outputs_of(prefix: str) -> Optional[Tuple[str, ...]]:
    """Returns the labels of a checkpoint's outputs, if it comes from one of those programs.

    Args:
        prefix: prefix of the checkpoint.

    Returns:
        tuple of str, in the order of the outputs; None for a checkpoint that has a label map, or
        that has neither `LABEL_IDS` nor 11 outputs.

    Raises:
        UserError: if `LABEL_IDS` is damaged, or belongs to another model.
    """
    folder = os.path.dirname(prefix)
    shapes = checkpoint_names.with_canonical_names(checkpoint_values.read_shapes(prefix))
    num_outputs = (list(shapes.get(_WEIGHTS, ())) or [0])[0]
    if not num_outputs or os.path.exists(os.path.join(folder, label_map.LABEL_MAP)):
        return None
    path = os.path.join(folder, LABEL_IDS)
    if os.path.exists(path):
        return _named_outputs(path, num_outputs)
    return OUTPUTS if num_outputs == len(OUTPUTS) else None


def _named_outputs(path, num_outputs):
    ids = _read_label_ids(path)
    if not all(isinstance(n, int) and 0 <= n < num_outputs for n in ids.values()):
        raise UserError(
            "%s: expected {label: number of its output}, numbers below %d, as many as the "
            "checkpoint has outputs" % (path, num_outputs)
        )
    outputs = list(OUTPUTS[:1]) * num_outputs
    for label, number in ids.items():
        outputs[number] = str(label)
    return tuple(outputs)


class _ValuesOnly(pickle.Unpickler):
    """Unpickles dicts, strings and numbers; everything that could run code is refused."""

    def find_class(self, module_name, global_name):
        raise pickle.UnpicklingError("%s.%s" % (module_name, global_name))


def _read_label_ids(path):
    try:
        ids = _ValuesOnly(io.BytesIO(files.read_bytes(path))).load()
    except (pickle.UnpicklingError, EOFError, ValueError, IndexError, KeyError) as error:
        raise UserError(
            "%s: not a pickled {label: number of its output} (%s)" % (path, error)
        ) from error
    if not isinstance(ids, dict) or not ids:
        raise UserError("%s: expected a pickled {label: number of its output}" % path)
    return ids


def tags_of(outputs: Sequence[str]) -> List[str]:
    """Returns the outputs that are tags, in the order of the outputs."""
    return [name for name in outputs if tag_schemes.is_tag(name)]


def as_model_folder(prefix: str, outputs: Sequence[str], folder: str) -> str:
    """Converts a checkpoint of those programs to a model folder with a softmax head.

    Args:
        prefix: prefix of the checkpoint.
        outputs: labels of the outputs, as `outputs_of` returns them.
        folder: folder to write, with label_map.json and fine_tuning.json.

    Returns:
        prefix of the written checkpoint.
    """
    weights = {
        checkpoint_names.canonical_name(name): array
        for name, array in checkpoint_values.read_weights(prefix).items()
    }
    tags = _ordered_tags(outputs, prefix)
    weights[_WEIGHTS], weights[_BIAS] = select_outputs(
        weights[_WEIGHTS], weights[_BIAS], tags, outputs
    )
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


def _ordered_tags(outputs, prefix):
    """Returns the tags of a checkpoint in this toolkit's order of ids."""
    tags = tags_of(outputs)
    scheme = tag_schemes.detect_scheme(tags, prefix)
    types = sorted({tag_schemes.split_tag(tag)[1] for tag in tags} - {""})
    return tag_schemes.all_tags(scheme, types or [""], tag_schemes.OUTSIDE_TAG in tags)


def select_outputs(
    weights: np.ndarray, bias: np.ndarray, tags: Sequence[str], outputs: Sequence[str] = OUTPUTS
) -> Tuple[np.ndarray, np.ndarray]:
    """Selects and reorders the rows of such a checkpoint's output layer.

    Args:
        weights: float [N, H], `output_weights`.
        bias: float [N], `output_bias`.
        tags: list of K str, the outputs to select.
        outputs: N str, the labels of all outputs.

    Returns:
        (weights, bias): float [K, H] and [K].

    Raises:
        UserError: for a tag that the checkpoint does not have, or a wrong number of outputs.
    """
    if len(weights) != len(outputs) or len(bias) != len(outputs):
        raise UserError(
            "output_weights: %d outputs, expected the %d of NEZHA's run_classifier_ner.py"
            % (len(weights), len(outputs))
        )
    unknown = [tag for tag in tags if tag not in outputs]
    if unknown:
        raise UserError(
            "the tag %s is not among those of the checkpoint: %s: train from its encoder instead"
            % (unknown[0], ", ".join(tags_of(outputs)))
        )
    rows = [outputs.index(tag) for tag in tags]
    return weights[rows], bias[rows]
