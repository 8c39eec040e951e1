"""Model folders: config JSON, vocabulary and checkpoint together; written whole or not at all."""

import fnmatch
import os
from typing import Any, Dict, List, NamedTuple, Optional, Sequence
import warnings

from albert_zh.common import files, package_files, path_rules, storage
from albert_zh.common.errors import UserError
from albert_zh.model.checkpoints import (
    checkpoint_files,
    checkpoint_names,
    checkpoint_values,
    fine_tuning_notes,
    packed_weights,
)
from albert_zh.model.config import AlbertConfig

# The pre-trained models that commands use if none is named, the better one first.
PRETRAINED = (os.path.join("prev_trained_model", "albert_tiny_zh"), "albert_starter_zh")

_CONFIG_PATTERNS = ("albert_config*.json", "bert_config*.json", "config.json")
_NOT_IN_SHAPES = ("num_hidden_layers", "num_attention_heads", "hidden_act")  # of the weights
_BEST = "best"  # where a run leaves its model folder


class OpenedFolder(NamedTuple):
    """A model folder whose config, notes and variable names have been read."""

    folder: str
    prefix: str  # prefix of its checkpoint
    config: AlbertConfig
    shapes: Dict[str, Sequence[int]]  # shapes of its variables, by their names in graphs
    heads: List[str]  # keys of `checkpoint_names.HEADS` that the checkpoint has
    notes: Dict[str, Any]  # content of fine_tuning.json, {} without that file

    def num_outputs(self) -> Optional[int]:
        """Number of outputs of the task's head; None if there is no such head."""
        has_head = checkpoint_names.TASK_HEAD in self.heads
        return checkpoint_names.num_labels(self.shapes) if has_head else None

    def check_parts(self) -> None:
        """Raises `UserError` if the classifier has a part that the notes do not describe."""
        for scope in checkpoint_names.classifier_parts(self.shapes):
            if checkpoint_names.CLASSIFIER_PARTS[scope] not in self.notes.get("head", {}):
                raise UserError(
                    "%s: its classifier has %s (variables %s/...), which %s does not describe: "
                    "restore that file from the folder in which the model was trained"
                    % (
                        packed_weights.as_named(self.prefix),
                        scope,
                        scope,
                        fine_tuning_notes.FINE_TUNING_FILE,
                    )
                )


def open_folder(
    path: str, config_file: Optional[str] = None, config: Optional[AlbertConfig] = None
) -> OpenedFolder:
    """Opens a model folder for use, without reading its weights.

    Args:
        path: model folder or checkpoint prefix.
        config_file: config JSON file, if it is not in the folder.
        config: the config, if it has already been read.

    Raises:
        UserError: if config or checkpoint is missing or cannot be read.
    """
    prefix = checkpoint_files.find_checkpoint(path)
    folder = os.path.dirname(prefix) or "."
    if config is None:
        config = AlbertConfig.from_json_file(config_file or config_in_folder(folder))
    shapes = checkpoint_names.with_canonical_names(checkpoint_values.read_shapes(prefix))
    heads = checkpoint_names.heads_of(shapes)
    notes = fine_tuning_notes.notes_of_folder(folder)
    return OpenedFolder(folder, prefix, config, shapes, heads, notes)


def pretrained_folder(flag: str = "model_dir") -> str:
    """The folder of the pre-trained model that a command uses by default.

    Args:
        flag: the flag that names a model, for the error.

    Returns:
        the folder of the released model if its weights have been downloaded, otherwise the bundled
        one; the current folder is searched before the clone or the installed package.

    Raises:
        UserError: if neither folder holds weights.
    """
    for name in PRETRAINED:
        for place in package_files.places_of_models():
            folder = os.path.normpath(os.path.join(place, name))
            if checkpoint_files.index_files(folder):
                path_rules.protect_model(folder, "--" + flag)
                return folder
    raise UserError(
        "no pre-trained model: neither %s contains weights: download one (python "
        "scripts/fetch_assets.py albert_tiny_489k), or name one with --%s"
        % (" nor ".join(PRETRAINED), flag)
    )


def files_in(folders: Sequence[str], names: Sequence[str]) -> Dict[str, bytes]:
    """{name: content} of files, each from the first folder that has it.

    Args:
        folders: folders to search.
        names: names of the files; files that are not found are skipped.
    """
    contents: Dict[str, bytes] = {}
    for name in names:
        paths = [os.path.join(folder, name) for folder in folders]
        path = next((path for path in paths if storage.is_file(path)), None)
        if path is not None:
            contents[name] = files.read_bytes(path)
    return contents


def config_warnings(config: AlbertConfig, folder: str) -> List[str]:
    """Warnings about settings that differ from the folder's config though the weights fit both.

    Args:
        config: the config to use the weights with.
        folder: folder of the weights; without a config in it there are no warnings.
    """
    try:
        path = config_in_folder(folder)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trained_with = AlbertConfig.from_json_file(path)
    except UserError:
        return []
    return [
        "warning: --bert_config_file has the %s %s, but %s next to the checkpoint has %s: the "
        "weights fit both, but were trained with the latter; use that file, unless the change is "
        "intended" % (name, getattr(config, name), path, getattr(trained_with, name))
        for name in _NOT_IN_SHAPES
        if str(getattr(config, name)).lower() != str(getattr(trained_with, name)).lower()
    ]


def config_name(path: str) -> str:
    """The file name of a config in a model folder: its own name if that is a config's name."""
    name = os.path.basename(path)
    is_plain = any(fnmatch.fnmatch(name, pattern) for pattern in _CONFIG_PATTERNS)
    return name if is_plain else "albert_config.json"


def config_in_folder(folder: str) -> str:
    """The config JSON of a model folder.

    Raises:
        UserError: if there is none, or more than one candidate.
    """
    for pattern in _CONFIG_PATTERNS:
        found = storage.in_folder(folder, pattern)
        if len(found) == 1:
            return found[0]
        if found:
            raise UserError(
                "%s contains several configs (%s): keep one" % (folder, ", ".join(found))
            )
    best = storage.joined(folder, _BEST)
    raise UserError(
        "%s contains no config JSON (albert_config*.json): expected a model folder%s"
        % (folder, ", such as " + best if storage.is_folder(best) else "")
    )
