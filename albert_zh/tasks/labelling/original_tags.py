"""Tags of NEZHA's and ProHiryu's entity recognisers, whose checkpoints have further outputs.

Output 0 is padding; X stands for further pieces of a character, [CLS] and [SEP] for these tokens.
None of the four is a tag of a text here: `select_outputs` keeps the outputs of the others, and
`as_model_folder` makes a folder of such a checkpoint that is used as any other. Which tag an output
has is read from the programs' `label2id.pkl`; without it there are the 11 outputs of their code.
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
LABEL_IDS = "label2id.pkl"  # beside such a checkpoint: {label: number of its output}
_WEIGHTS, _BIAS = "output_weights", "output_bias"


def outputs_of(prefix: str) -> Optional[Tuple[str, ...]]:
    """What the outputs of a checkpoint of those programs stand for, by number.

    Args:
        prefix: of the checkpoint.

    Returns:
        tuple of str; None for a checkpoint with a label map, or without one and with other than 11
        outputs and no `LABEL_IDS`.

    Raises:
        UserError: if `LABEL_IDS` is damaged, or of another model.
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
    """Reads dicts, strings and numbers; whatever would run code is refused."""

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
    """The tags among outputs, in the order of the outputs."""
    return [name for name in outputs if tag_schemes.is_tag(name)]


def as_model_folder(prefix: str, outputs: Sequence[str], folder: str) -> str:
    """Writes a checkpoint of those programs as the model that it is here: softmaxes of tags.

    Args:
        prefix: of the checkpoint.
        outputs: those of `outputs_of`.
        folder: to write, with label_map.json and fine_tuning.json.

    Returns:
        prefix of the checkpoint that was written.
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
    """The tags of a checkpoint in the order of ids that models have here."""
    tags = tags_of(outputs)
    scheme = tag_schemes.detect_scheme(tags, prefix)
    types = sorted({tag_schemes.split_tag(tag)[1] for tag in tags} - {""})
    return tag_schemes.all_tags(scheme, types or [""], tag_schemes.OUTSIDE_TAG in tags)


def select_outputs(
    weights: np.ndarray, bias: np.ndarray, tags: Sequence[str], outputs: Sequence[str] = OUTPUTS
) -> Tuple[np.ndarray, np.ndarray]:
    """The output layer of such a checkpoint for tags in another order.

    Args:
        weights: float [N, H], `output_weights`.
        bias: float [N], `output_bias`.
        tags: list of K str, some of `outputs`.
        outputs: N str, what each output stands for.

    Returns:
        (weights, bias): float [K, H] and [K].

    Raises:
        UserError: for tags that the checkpoint does not have, or other numbers of outputs.
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
