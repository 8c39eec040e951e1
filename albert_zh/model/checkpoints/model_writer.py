"""Writes model folders atomically: config, vocabulary, checkpoint and its graph."""

import os
from typing import Any, Mapping
import warnings

import numpy as np

from albert_zh.common import output_files, storage
from albert_zh.common.errors import UserError
from albert_zh.common.messages import say
from albert_zh.model import inference_graph
from albert_zh.model.checkpoints import (
    checkpoint_files,
    checkpoint_values,
    fine_tuning_notes,
    model_folder,
    whole_folders,
)
from albert_zh.model.config import AlbertConfig


def fill_model_folder(
    folder: str, checkpoint: str, contents: Mapping[str, bytes], json_files: Any = ()
) -> None:
    """Writes the files of a model folder: config, vocabulary, weights without optimizer slots.

    Args:
        folder: an existing folder.
        checkpoint: prefix of the checkpoint to take the weights from.
        contents: {name: bytes} of config, vocabulary ..., as the run read them.
        json_files: {name: value} of further JSON files.
    """
    for name, content in contents.items():
        with output_files.atomic_write(os.path.join(folder, name), "wb") as handle:
            handle.write(content)
    for name, value in dict(json_files).items():
        output_files.write_json(os.path.join(folder, name), value)
    write_model_checkpoint(folder, checkpoint_values.read_weights(checkpoint))


def replace_model_folder(
    folder: str, checkpoint: str, contents: Mapping[str, bytes], json_files: Any = ()
) -> None:
    """Writes a model folder that belongs to the program, replacing an existing one completely.

    For folders of users, who may have put other files there, use `filled_folder`.

    Args:
        folder: the folder to write.
        checkpoint, contents, json_files: as in `fill_model_folder`.
    """
    former = set(storage.names_in(folder)) if storage.is_folder(folder) else set()
    with whole_folders.replaced_folder(folder) as partial:
        os.makedirs(partial)
        fill_model_folder(partial, checkpoint, contents, json_files)
        others = sorted(former - set(os.listdir(partial)))
    if others:
        say(
            "note: removed from %s with the previous model: %s: exported files have to be "
            "exported again",
            folder,
            ", ".join(others),
        )


def write_model_checkpoint(folder: str, values: Mapping[str, np.ndarray]) -> None:
    """Writes the checkpoint of a model folder, its `checkpoint` file and its inference graph.

    Args:
        folder: an existing folder; its config and settings must already be in it, if it has any.
        values: {name: array}.
    """
    prefix = os.path.join(folder, checkpoint_files.CHECKPOINT_NAME)
    checkpoint_values.write_checkpoint(prefix, values)
    _write_meta_graph(folder, prefix + ".meta", values)
    with output_files.atomic_write(os.path.join(folder, "checkpoint")) as handle:
        for field in ("model_checkpoint_path", "all_model_checkpoint_paths"):
            handle.write('%s: "%s"\n' % (field, checkpoint_files.CHECKPOINT_NAME))


def _write_meta_graph(folder, path, values):
    """Writes the .meta file that `freeze_graph` needs, unless no config fits the weights."""
    try:
        config_file = model_folder.config_in_folder(folder)
    except UserError:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # shown when the model is read
        config = AlbertConfig.from_json_file(config_file)
    settings = fine_tuning_notes.notes_of_folder(folder)
    shapes = {name: list(value.shape) for name, value in values.items()}
    inference_graph.write_meta_graph(path, config, shapes, settings)
