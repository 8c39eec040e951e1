"""Chooses the fine-tuned model if none is named, and reads what its notes say about its input."""

import glob
import os
from typing import Any, Dict, Optional, Sequence

from albert_zh.common import package_files
from albert_zh.common.errors import UserError
from albert_zh.model.checkpoints import fine_tuning_notes

# The commands that train a model of a kind of task, for the error if there is none.
_SCRIPT_OF_CLASSIFIERS = "run_classifier (or bash run_classifier_lcqmc.sh)"
_SCRIPTS = {
    "generation": "run_seq2seq.py",
    "reading_comprehension": "bash run_reading.sh",
    "sequence_labelling": "bash run_sequence_labelling.sh",
}


EMBEDDINGS = ("sentence_embedding", "sentence_retrieval")  # kinds whose vectors are compared


class NoModelError(UserError):
    """No flag names a model, and no fine-tuned model was found in the default places."""


def takes_pairs(settings: dict) -> Optional[bool]:
    """Whether a model was trained on pairs of texts; None if fine_tuning.json does not record it.

    Args:
        settings: content of fine_tuning.json.
    """
    return "text_b" in settings["columns"] if "columns" in settings else None


def compares_sentences(settings: Dict[str, Any]) -> bool:
    """Whether a model decides if two sentences mean the same, according to fine_tuning.json."""
    has_two_texts = "text_b" in settings.get("columns", ["text_b"])
    return settings.get("compares_sentences", has_two_texts)


def newest_best_folder(
    folders: Sequence[str] = (".",), of_pairs: bool = False, kinds: Sequence[str] = ()
) -> str:
    """The `*_output/best` folder that was written last, optionally only of sentence pairs.

    Args:
        folders: folders to search.
        of_pairs: whether to consider only models that compare two sentences.
        kinds: names of the kinds of tasks to consider; () for all.

    Raises:
        NoModelError: if no model is found; the message names the command that trains one.
    """
    patterns = [os.path.join(glob.escape(folder), "*_output", "best") for folder in folders]
    found = [os.path.normpath(path) for pattern in patterns for path in glob.glob(pattern)]
    if of_pairs:
        found = [
            path for path in found if compares_sentences(fine_tuning_notes.notes_of_folder(path))
        ]
    if kinds:
        notes = [fine_tuning_notes.notes_of_folder(path) for path in found]
        found = [path for path, n in zip(found, notes) if n.get("objective") in kinds]
    if not found:
        raise NoModelError(
            "found no fine-tuned model%s (*_output/best): train one with %s, or name one with "
            "--model_dir"
            % (
                " of sentence pairs" if of_pairs else " of the kind %s" % kinds[0] if kinds else "",
                _SCRIPTS.get(kinds[0] if kinds else "", _SCRIPT_OF_CLASSIFIERS),
            )
        )
    return max(found, key=os.path.getmtime)


def usual_embedding_model() -> str:
    """The folder of the newest embedding model, `*_output/best`, or of the bundled one."""
    try:
        return newest_best_folder(package_files.places_of_models(), kinds=EMBEDDINGS)
    except NoModelError:
        return package_files.EMBEDDING_MODEL


def newest_model(of_pairs: bool = False) -> str:
    """The newest `*_output/best` of the current folder or of the clone.

    Args:
        of_pairs: whether to consider only models that compare two sentences.

    Raises:
        UserError: if there is none.
    """
    return newest_best_folder(package_files.places_of_models(), of_pairs)
