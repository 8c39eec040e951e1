"""The labels of a model: `label_map.json` next to its checkpoint."""

import os
from typing import Any, Dict, Iterable, Mapping, Optional, Sequence, Tuple

from albert_zh.common import files, storage, validation
from albert_zh.common.errors import UserError
from albert_zh.model.checkpoints import fine_tuning_notes

_is_index = validation.integer(0).accepts

LABEL_MAP = "label_map.json"

LABEL_MAP_KIND = validation.scalar(
    "a JSON object {label: number}, numbers from 0",
    lambda value: isinstance(value, dict) and all(map(_is_index, value.values())),
)


def labels_of_map(path: str) -> Tuple[str, ...]:
    """The labels of a label map, in the order of their numbers.

    Raises:
        UserError: if the file is no label map.
    """
    return labels_of_numbers(files.read_json(path, LABEL_MAP_KIND), path)


def labels_of_numbers(numbers: Mapping[str, int], name: str) -> Tuple[str, ...]:
    """The labels of {label: number}, in the order of their numbers.

    Args:
        numbers: dict {label: number}.
        name: what errors call the dict.

    Raises:
        UserError: unless the numbers are 0 to n - 1.
    """
    for expected, (label, class_id) in enumerate(
        sorted(numbers.items(), key=lambda entry: entry[1])
    ):
        if class_id != expected:
            raise UserError(
                "%s: expected %s, each number once: the label %s has %d in place of %d"
                % (name, LABEL_MAP_KIND.expected, validation.shown(label), class_id, expected)
            )
    return tuple(sorted(numbers, key=numbers.__getitem__))


def check_num_labels(path: str, labels: Sequence[str], num_labels: int) -> None:
    """Raises `UserError` unless a file has one label per output of its model."""
    if len(labels) != num_labels:
        raise UserError(
            "%s has %d labels, but the model next to it has %d: it belongs to another model"
            % (path, len(labels), num_labels)
        )


def notes_of_model(folders: Iterable[str]) -> Tuple[Optional[Tuple[str, ...]], Dict[str, Any]]:
    """(labels, notes) of the first folder that records what its model was trained for.

    Args:
        folders: folders of checkpoints, in the order in which they are searched.

    Returns:
        tuple of labels and the dict of `fine_tuning.json`; (None, {}) if no folder records them.
    """
    for folder in folders:
        path = os.path.join(folder, LABEL_MAP)
        if storage.exists(path):
            labels, notes = labels_of_map(path), fine_tuning_notes.notes_of_folder(folder)
            # Without labels (regression) the model has one output.
            fine_tuning_notes.check_notes(notes, len(labels) or 1, folder)
            return labels, notes
    return None, {}


def numbers_of(labels: Sequence[str]) -> Dict[str, int]:
    """{label: number}, the content of `label_map.json`."""
    return {label: class_id for class_id, label in enumerate(labels)}


def check_label_maps_agree(folders: Iterable[str]) -> None:
    """Raises `UserError` if the label maps of a folder and of its best/ differ."""
    paths = [os.path.join(folder, LABEL_MAP) for folder in folders]
    paths = [path for path in paths if storage.exists(path)]
    maps = [labels_of_map(path) for path in paths]
    for path, labels in zip(paths[1:], maps[1:]):
        if labels != maps[0]:
            differing = sorted(set(labels) ^ set(maps[0]))
            raise UserError(
                "the label_map.json next to the checkpoint belongs to another run: %s has %d "
                "labels, %s %d (%s): name another folder with --output_dir, or restore the "
                "original one"
                % (
                    path,
                    len(labels),
                    paths[0],
                    len(maps[0]),
                    "differing: " + ", ".join(differing[:5]) if differing else "in another order",
                )
            )
