"""Finds checkpoints and manages the checkpoint files of a training run."""

import glob
import os
import re
import tempfile
from typing import List, Mapping, Optional, Sequence

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.common import storage, transfer
from albert_zh.common.errors import UserError
from albert_zh.model.checkpoints import checkpoint_values, packed_weights

CHECKPOINT_NAME = "albert_model.ckpt"  # in a model folder, as in the released archives

_DOWNLOADED = "prev_trained_model"  # the folder of released models
_FILE_ENDING = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")
_PYTORCH_ENDINGS = (".bin", ".pt", ".pth", ".safetensors")
_ARCHIVE_ENDINGS = (".zip", ".tar", ".gz", ".tgz", ".xz", ".bz2", ".7z", ".rar")
_KERAS_ENDINGS = (".h5", ".keras")
_EXPORTED_ENDINGS = (".pb", ".tflite", ".onnx") + _KERAS_ENDINGS
_PATTERN_CHARACTERS = frozenset("[\\")  # with * and ? a name still matches itself
# Temporary files of TensorFlow: of a checkpoint, of its graph, of the list of checkpoints.
_UNFINISHED = re.compile(
    r"model\.ckpt-\d+(_temp(_[0-9a-f]{32})?|\.meta\.tmp[0-9a-f]{32})$|checkpoint\.tmp[0-9a-f]{32}$"
)
_END_OF_INDEX = bytes.fromhex("57fb808b247547db")  # the last bytes of TensorFlow's index files


def find_checkpoint(path: str) -> str:
    """Finds the checkpoint that a user's path refers to and returns its prefix.

    Args:
        path: a prefix, one of the checkpoint's files, or its folder. If the folder's `checkpoint`
            file names a path of another machine, the last part of that path is looked up in the
            folder. If the folder holds packed weights, they are unpacked, see `packed_weights`.

    Returns:
        the prefix.

    Raises:
        UserError: if no checkpoint is found; the message says what was found instead.
    """
    path = _FILE_ENDING.sub("", path)
    check_no_pattern(path)
    if storage.exists(path + ".index"):
        if not _has_weights(path):
            raise UserError(
                "%s.index exists, but not its weights (%s.data-00000-of-00001): copy all files of "
                "the checkpoint" % (path, path)
            )
        return path
    if storage.is_folder(path):
        return _checkpoint_in_folder(path)
    if _has_weights(path):
        raise UserError("%s.index is missing next to its .data file: copy it, too" % path)
    if storage.is_file(path):
        raise UserError(_no_checkpoint_message(path, path))
    folder = os.path.dirname(path) or "."
    there = [name[: -len(".index")] for name in index_files(folder)]
    raise UserError(
        "no checkpoint %s (neither this folder nor %s.index exists); in %s there %s%s"
        % (
            path,
            path,
            folder,
            "is " + ", ".join(there) if there else "is no checkpoint",
            how_to_get(path),
        )
    )


def how_to_get(path: str) -> str:
    """Text to append to an error about a missing model: how to get the model, if that is known."""
    if _DOWNLOADED not in os.path.normpath(path).split(os.sep):
        return ""
    return (
        ": download it (python scripts/fetch_assets.py --list), or name albert_starter_zh, which "
        "is bundled"
    )


def check_no_pattern(path: str, place: Optional[str] = None) -> None:
    """Rejects paths that TensorFlow would interpret as glob patterns when it finds checkpoints.

    Args:
        path: a folder or a prefix.
        place: what the error calls the path (a flag, say); None: the path itself.

    Raises:
        UserError: if the path has a character with which a pattern does not match itself.
    """
    found = sorted(set(path) & _PATTERN_CHARACTERS)
    if found:
        raise UserError(
            "%s: TensorFlow finds no checkpoints in paths that contain %s: rename the folder"
            % (place or path, " ".join(found))
        )


def _checkpoint_in_folder(folder):
    state = tf.train.get_checkpoint_state(folder)
    named = [] if state is None else [os.path.basename(state.model_checkpoint_path)]
    there = [name[: -len(".index")] for name in index_files(folder)]
    for name in named + sorted(there, key=checkpoint_step, reverse=True):
        if name in there:
            return find_checkpoint(os.path.join(folder, name))
    if packed_weights.is_packed(folder):
        return packed_weights.unpacked(folder, checkpoint_values.write_checkpoint)
    for endings in (_PYTORCH_ENDINGS, _EXPORTED_ENDINGS):
        foreign = sorted(name for name in _listing(folder) if name.endswith(endings))
        if foreign:
            raise UserError(_no_checkpoint_message(os.path.join(folder, foreign[0]), folder))
    if any(".data-" in name for name in _listing(folder)):
        raise UserError(
            "%s: the .index file next to the checkpoint's .data file is missing" % folder
        )
    raise UserError(
        "%s contains no TensorFlow checkpoint (no *.index file): expected a model folder" % folder
    )


def _no_checkpoint_message(path, named):
    """The error for an existing file that is no checkpoint: what it is instead, and what to do.

    `named` is the path that the user passed: the file or its folder.
    """
    if path.endswith(_PYTORCH_ENDINGS):
        return (
            "%s is a PyTorch file, expected a TensorFlow checkpoint (%s.index and its .data): "
            "convert it by convert_albert_pytorch_checkpoint_to_tf.py --pytorch_model_path=%s"
            % (path, CHECKPOINT_NAME, named)
        )
    if path.lower().endswith(_ARCHIVE_ENDINGS):
        return (
            "%s is an archive, expected a model folder: unpack it and name the folder in it" % path
        )
    if path.lower().endswith(_KERAS_ENDINGS):
        return (
            "%s is a Keras file, expected a TensorFlow checkpoint: convert the model's PyTorch "
            "file (pytorch_model.bin or model.safetensors) by "
            "convert_albert_pytorch_checkpoint_to_tf.py" % path
        )
    if path.lower().endswith(_EXPORTED_ENDINGS):
        return (
            "%s is an exported model, expected a TensorFlow checkpoint: name the model folder that "
            "it was exported from" % path
        )
    return (
        "%s is a file, but not of a checkpoint: expected a model folder, or a checkpoint's name "
        "(such as DIR/%s)" % (path, CHECKPOINT_NAME)
    )


def index_files(folder: str) -> List[str]:
    """Names of the index files of a folder's checkpoints, sorted."""
    return sorted(name for name in _listing(folder) if name.endswith(".index"))


def _has_weights(prefix):
    folder, name = os.path.split(prefix)
    return any(there.startswith(name + ".data-") for there in _listing(folder or "."))


def _listing(folder):
    return storage.names_in(folder) if storage.is_folder(folder) else []


def checkpoint_step(prefix: str) -> int:
    """The step in a checkpoint's name (`model.ckpt-120` -> 120); -1 if the name has no step."""
    match = re.search(r"-(\d+)$", prefix)
    return int(match.group(1)) if match else -1


def checkpoints_of_training(folder: str) -> List[str]:
    """Prefixes of all `model.ckpt-STEP` checkpoints of a training folder, sorted by step.

    A checkpoint that is still being written, or that a killed run left unfinished, is skipped.
    """
    names = [name[: -len(".index")] for name in index_files(folder)]
    names = [name for name in names if name.startswith("model.ckpt-")]
    prefixes = sorted((os.path.join(folder, name) for name in names), key=checkpoint_step)
    if all(map(_has_whole_index, prefixes)):
        return prefixes
    recorded = _recorded_checkpoints(folder)
    return [
        prefix
        for prefix in prefixes
        if os.path.basename(prefix) in recorded or _has_whole_index(prefix)
    ]


def _recorded_checkpoints(folder):
    """Names in the folder's `checkpoint` file, which lists a checkpoint once it is complete."""
    state = tf.train.get_checkpoint_state(folder)
    if state is None:
        return set()
    paths = [state.model_checkpoint_path] + list(state.all_model_checkpoint_paths)
    return set(map(os.path.basename, paths))


def _has_whole_index(prefix):
    with storage.open_binary(prefix + ".index") as handle:
        return handle.read().endswith(_END_OF_INDEX)


def newest_of_training(folder: str) -> Optional[str]:
    """The newest `model.ckpt-STEP` of a training folder, or None; checks that it is readable.

    TensorFlow finds it by the folder's `checkpoint` file; if that file names another checkpoint, it
    is corrected.
    """
    prefixes = checkpoints_of_training(folder)
    if not prefixes:
        return None
    checkpoint_values.check_readable(prefixes[-1])
    if tf.train.latest_checkpoint(folder) != prefixes[-1]:
        _record_checkpoints(folder, prefixes)
    return prefixes[-1]


def check_can_be_resumed(folder: str) -> None:
    """Raises `UserError` if a folder's `checkpoint` file names a checkpoint that is missing."""
    if checkpoints_of_training(folder):
        return
    missing = sorted(n for n in _recorded_checkpoints(folder) if n.startswith("model.ckpt-"))
    if missing:
        raise UserError(
            "%s names %s, whose files do not exist: restore them, or remove it to start over"
            % (os.path.join(folder, "checkpoint"), missing[-1])
        )


def remove_unfinished(folder: str) -> None:
    """Removes files that TensorFlow left unfinished when training was killed; they can be large.

    Args:
        folder: output folder of a training that is not running.
    """
    for name in _listing(folder):
        if _UNFINISHED.match(name):
            path = os.path.join(folder, name)
            (storage.remove_tree if storage.is_folder(path) else storage.remove)(path)


def _record_checkpoints(folder, prefixes):
    """Writes a folder's `checkpoint` file with names that stay valid if the folder is moved.

    TensorFlow treats any path without a leading slash, such as a remote path, as relative to the
    current directory and rewrites it relative to the folder.
    """
    paths = list(prefixes)
    if not storage.is_remote(folder):
        folder, paths = os.path.abspath(folder), list(map(os.path.basename, prefixes))
    tf.train.update_checkpoint_state(folder, paths[-1], paths)


def remove_all_but(folder: str, prefixes: Sequence[str]) -> None:
    """Removes all `model.ckpt-STEP` checkpoints of a training folder except the given ones.

    Args:
        folder: the folder.
        prefixes: prefixes of the checkpoints to keep, sorted by step; at least one.
    """
    _record_checkpoints(folder, prefixes)
    names = [os.path.basename(prefix) for prefix in prefixes]
    paths = storage.in_folder(folder, "model.ckpt-*")
    # The index is removed first: if this is interrupted, no checkpoint without data is found.
    for path in sorted(paths, key=lambda path: not path.endswith(".index")):
        match = re.match(r"(model\.ckpt-\d+)\.", os.path.basename(path))
        if match and match.group(1) not in names:
            storage.remove(path)


def add_missing(prefix: str, values: Mapping[str, np.ndarray]) -> None:
    """Adds missing variables to a checkpoint atomically: a kill leaves the old or the new one.

    Args:
        prefix: checkpoint prefix.
        values: {name: array}; variables that the checkpoint already has keep their values.
    """
    reader = checkpoint_values.open_reader(prefix)
    missing = {name: value for name, value in values.items() if not reader.has_tensor(name)}
    if not missing:
        return
    folder, basename = os.path.split(prefix)
    former = storage.in_folder(folder or ".", glob.escape(basename) + ".data-*")
    names = sorted(reader.get_variable_to_shape_map())
    # One data file more than before, so that no file has a name that the old index refers to.
    shards = [
        {name: reader.get_tensor(name) for name in names[index :: len(former)]}
        for index in range(len(former))
    ] + [missing]
    draft_folder = os.path.dirname(transfer.local_stand_in(prefix)) or "."
    with tempfile.TemporaryDirectory(dir=draft_folder) as partial:
        _write_in_parts(os.path.join(partial, basename), shards)
        made = storage.in_folder(partial, glob.escape(basename) + ".*")
        for path in made:  # .data before .index
            transfer.move_file(path, os.path.join(folder, os.path.basename(path)))
    for path in former:
        storage.remove(path)


def _write_in_parts(prefix, parts):
    """Writes a checkpoint with a data file for each dict of `parts`."""
    prefixes = ["%s_part_%d" % (prefix, number) for number in range(len(parts))]
    for part, values in zip(prefixes, parts):
        checkpoint_values.write_checkpoint(part, values)
    with tf.Graph().as_default(), tf.Session() as session:
        session.run(
            tf.raw_ops.MergeV2Checkpoints(
                checkpoint_prefixes=prefixes, destination_prefix=prefix, delete_old_dirs=False
            )
        )
