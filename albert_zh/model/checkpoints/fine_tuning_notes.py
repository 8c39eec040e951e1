"""Settings that fine-tuning records for a model: `fine_tuning.json` next to its checkpoint."""

import os
from typing import Any, Dict, Optional

from albert_zh.common import files, storage, validation
from albert_zh.common.errors import UserError

POOLINGS = ("cls", "mean", "max", "last4", "second_to_last")  # see `classifier_output`
# Name of the file in a model folder that records the settings of fine-tuning.
FINE_TUNING_FILE = "fine_tuning.json"
_SEPARATOR = validation.scalar(
    "a text that is not empty", lambda value: isinstance(value, str) and value != ""
)
MAX_POSITIONS = "max_positions"  # next to exports: the maximum number of tokens of the encoder
# Keys that are validated; other keys are informative or used in comparisons.
NOTES = validation.record(
    {
        "objective": validation.TEXT,
        "pooling": validation.one_of(*POOLINGS),
        "do_lower_case": validation.BOOLEAN,
        "max_seq_length": validation.integer(1),
        MAX_POSITIONS: validation.integer(1),
        "label_separator": validation.or_none(_SEPARATOR),
        "columns": validation.list_of(
            validation.or_none(validation.one_of("text_a", "text_b", "label"))
        ),
        "header": validation.or_none(validation.list_of(validation.or_none(validation.TEXT))),
        "chosen_columns": validation.record({}, [], validation.TEXT),
        "compares_sentences": validation.BOOLEAN,
        "head": validation.record(),
        "thresholds": validation.or_none(validation.list_of(validation.number(0, 1))),
        "length_penalty": validation.or_none(validation.number(0)),
        "null_score_diff_threshold": validation.or_none(validation.number()),
        "similarity_threshold": validation.or_none(validation.number()),
        "task": validation.or_none(validation.TEXT),
        "dev": validation.record(
            {"global_step": validation.integer(0)}, ["global_step"], validation.NUMBER_OR_NAN
        ),
    },
    expected="the JSON object that training wrote there",
)
NOTES_WAY_OUT = "restore what training wrote there, or train again"


def notes_of_folder(folder: str) -> Dict[str, Any]:
    """The content of a folder's fine_tuning.json, see `read_notes`; {} for other models."""
    return read_notes(os.path.join(folder, FINE_TUNING_FILE))


def read_notes(path: Optional[str]) -> Dict[str, Any]:
    """Reads a fine_tuning.json.

    Args:
        path: the file, which need not exist; or None.

    Returns:
        dict; {} if there is no file.

    Raises:
        UserError: if it does not match the schema `NOTES`, or contradicts itself.
    """
    if not path or not storage.exists(path):
        return {}
    notes = files.read_json(path, NOTES, NOTES_WAY_OUT)
    if "text_a" not in notes.get("columns", ["text_a"]):
        raise UserError("%s: columns: expected text_a among them: %s" % (path, NOTES_WAY_OUT))
    if notes.get("compares_sentences") and "text_b" not in notes.get("columns", ["text_b"]):
        raise UserError(
            "%s: compares_sentences is true, expected false, as its columns have no text_b: %s"
            % (path, NOTES_WAY_OUT)
        )
    return notes


def notes_on_case(do_lower_case: bool) -> Dict[str, Dict[str, Any]]:
    """{file name: content} of a pre-trained model's notes; {} if it lower-cases its input."""
    return {} if do_lower_case else {FINE_TUNING_FILE: {"do_lower_case": False}}


def check_notes(notes: Dict[str, Any], num_outputs: int, source: str) -> None:
    """Raises `UserError` unless the notes of fine-tuning fit a model with this number of outputs.

    Args:
        notes: as returned by `read_notes`.
        num_outputs: int, C.
        source: file or folder that the notes come from, for the error.
    """
    objective, thresholds = notes.get("objective"), notes.get("thresholds")
    if objective == "regression" and num_outputs != 1:
        noted, expected = "objective is regression", "a model of one output for it"
    elif objective == "single_label" and num_outputs == 1:
        noted, expected = "objective is single_label", "a model of several outputs for it"
    elif thresholds is not None and len(thresholds) != num_outputs:
        noted, expected = (
            "it has %d thresholds" % len(thresholds),
            "one for each output of the model",
        )
    else:
        return
    raise UserError(
        "%s: %s, expected %s, which has %d: %s"
        % (source, noted, expected, num_outputs, NOTES_WAY_OUT)
    )
