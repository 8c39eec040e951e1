"""Rules for the paths that a command may read and write.

    path_rules.protect("texts.txt", "--input_file")  # done already for paths in flags
    target = path_rules.output_file("out.npy")  # called by each function that writes

A command never overwrites its own inputs, files of a model folder that it reads or existing files
of another model, never replaces a device or pipe, and follows links. Paths in remote storage
(`gs://...`) are refused only here, for flags at which the command does not support them, see
`serve_remote`.
"""

import fnmatch
import os
import re
from typing import TYPE_CHECKING, Any, Iterable, Optional

from albert_zh.common import storage
from albert_zh.common.errors import UserError, checks_of_flags

if TYPE_CHECKING:
    import argparse

_MAX_LINKS = 40
_DESCRIPTORS = re.compile(r"/dev/fd|/proc/[^/]+/(task/[^/]+/)?fd")
_ALIASES = {"bert_config_file": ("config_file",)}
_SERVES_REMOTE = "serves_remote"  # attribute of flags
_PIECES_OF_REMOTE_FILE = 4  # between slashes: "gs:", "", the bucket, a name
_MODEL_FILE = re.compile(r"\.(ckpt(-\d+)?|index|meta|data-\d+-of-\d+|json|txt|bin|safetensors)$")
_RUN_SETTINGS = "run_settings.json"  # in the output folder of training

# The files that make up a model folder; a command may write other files into it.
_MODEL_FILES = (
    "checkpoint *.ckpt *.ckpt-*[0-9] *.index *.data-?????-of-????? *.meta *.json vocab*.txt "
    "*.vocab *.model slot_dictionaries.tsv best *.safetensors *.bin *.pt *.pth weights_int8.npz"
).split()
# Of any folder with weights, even if the command does not read it: a report may be JSON too.
_WEIGHTS = "*.index *.safetensors pytorch_model*.bin weights_int8.npz".split()
_JSON_OF_MODEL = "*config*.json label_map.json fine_tuning.json sentence_embedding.json".split()
_MADE_BESIDE = ("tokenizer.json",)  # except these, which an export derives from the model's files

# What a flag names: files (one path, or several separated by commas), a folder of data, a model
# (its folder, checkpoint or one of its files), an output, or a model folder to write.
FILES, DATA, MODEL = "files", "data", "model"
OUTPUT, MODEL_OUTPUT = "output", "model output"
_FLAGS = {
    FILES: "bert_config_file class_weights config config_file context corpus corpus_file dev_file "
    "documents eval_file exclude exclude_file forced_chars_file glove_embs held_out "
    "held_out_file held_out_text input_file input_meta_graph intents_file na-prob-file "
    "na_prob_file packed_file pairs passages_file predict_file queries records report "
    "representative_texts similar_words spm_model_file teacher_vectors teachers templates_file "
    "test_file train_file unlabelled_file user_dict vectors_corpus vocab_file whitening_file",
    DATA: "data_dir dictionaries glue_dir pregenerated_data",
    MODEL: "embedding_dir encoder_dir generator_dir init_checkpoint init_model input_checkpoint "
    "mining_classifier_dir mining_model_dir model_dir model_dirs pretrained_bert_model "
    "pytorch_model_path scoring_classifier_dir student_model teacher_model tf_checkpoint_path",
    OUTPUT: "cache_dir cached_dir chart out out_file output output_dir output_file output_graph "
    "stats teacher_cache write",
    MODEL_OUTPUT: "export_dir pytorch_dump_path tf_dump_path",
}
PATH_FLAGS = {flag: kind for kind, flags in _FLAGS.items() for flag in flags.split()}


# The inputs of the command that this process runs.
_names = {}  # {real path: its name in error messages}
_paths_of_inodes = {}  # {(device, inode): real path}; hard links share an inode
_model_folders = {}  # {real path: its name in error messages}


def check_local(path: str, name: Optional[str] = None) -> None:
    """Raises `UserError` for a path in remote storage.

    Args:
        path: path of a file or folder.
        name: its name in the error message, such as "--data_dir=gs://bucket"; None: the path.
    """
    if storage.is_remote(path):
        raise UserError(
            "%s: remote storage is not supported by this command yet: copy it to a local path"
            % (name or path)
        )


def protect(path: str, name: str) -> None:
    """Registers an input, so that the functions here refuse to overwrite it.

    Args:
        path: file or folder that the command reads.
        name: its name in error messages, such as "--input_file".
    """
    path = storage.normalized(path)
    _names[path] = name
    _paths_of_inodes[_inode(path)] = path


def protect_model(path: str, name: str) -> None:
    """Registers a model that the command reads, so that none of its files is overwritten.

    Args:
        path: model folder, checkpoint prefix or a file of the model.
        name: as in `protect`.
    """
    protect(path, name)
    folder = _folder_of_model(path)
    protect(folder, name)
    _model_folders[storage.normalized(folder)] = name


def forget_inputs() -> None:
    """Forgets all registered inputs, so that they may be overwritten."""
    for inputs in (_names, _paths_of_inodes, _model_folders):
        inputs.clear()


def check_flags(flags: Any) -> None:
    """Protects the inputs that the flags name, and checks the outputs.

    Args:
        flags: absl's `FLAGS`, already parsed.

    Raises:
        UserError: for an input or output in remote storage, and for an output that must not be
            written.
    """
    given = {flag: flags[flag].value for flag in sorted(PATH_FLAGS) if flag in flags}
    _check(given, [flag for flag in given if getattr(flags[flag], _SERVES_REMOTE, False)])


def check_arguments(arguments: "argparse.Namespace") -> None:
    """Does the same as `check_flags` for argparse arguments."""
    _check({flag: value for flag, value in vars(arguments).items() if flag in PATH_FLAGS})


def serve_remote(flags: Any, names: Iterable[str]) -> None:
    """Allows paths in remote storage for flags; called by the commands that support them.

    Args:
        flags: absl's `FLAGS`, in which the flags are defined.
        names: names of the flags.
    """
    for name in names:
        for alias in (name, *_ALIASES.get(name, ())):
            setattr(flags[alias], _SERVES_REMOTE, True)


def serve_remote_everywhere(flags: Any) -> None:
    """Allows paths in remote storage for all flags that name paths."""
    serve_remote(flags, [name for name in PATH_FLAGS if name in flags])


def refuse_remote(flags: Any) -> None:
    """Disallows remote paths for all flags; for a command that reuses flags of other commands."""
    for name in flags:
        setattr(flags[name], _SERVES_REMOTE, False)


def _check(given, served=()):
    """Does `check_flags` for {flag: value}; the flags in `served` may name remote paths."""
    forget_inputs()
    for flag in given:
        if flag not in served:
            check_local(_first_path(given[flag]), "--%s=%s" % (flag, _first_path(given[flag])))
    values = [(flag, "--" + flag, path) for flag in given for path in _paths_in(given[flag])]
    outputs = [path for flag, _, path in values if PATH_FLAGS[flag] == OUTPUT]
    for flag, name, path in values:
        if PATH_FLAGS[flag] == DATA or (PATH_FLAGS[flag] == FILES and not _is_folder(path)):
            protect(path, name)
        elif PATH_FLAGS[flag] == MODEL and not _continues_run(path, outputs):
            protect_model(path, name)
    for flag, name, path in values:
        if PATH_FLAGS[flag] in (OUTPUT, MODEL_OUTPUT):
            target = _check_output(path, "%s=%s" % (name, path))
        if PATH_FLAGS[flag] == OUTPUT:
            check_is_of_no_model(target, "%s=%s" % (name, path))
        if PATH_FLAGS[flag] == MODEL_OUTPUT:
            folder = os.path.dirname(path) or "." if path.endswith(".bin") else path
            _check_model_output(folder, "%s=%s" % (name, path))


def _first_path(value):
    """Returns the first remote path that a flag's value names, or ""."""
    paths = value if isinstance(value, list) else (value or "").split(",")
    return next(filter(storage.is_remote, map(str.strip, paths)), "")


def _paths_in(value):
    """Splits a flag's value at commas into paths, unless the whole value is an existing path."""
    if isinstance(value, list) or not value:
        return list(value or ())
    is_one = not storage.is_remote(value) and os.path.exists(value)
    return [value] if is_one else [path.strip() for path in value.split(",")]


def _continues_run(path, output_folders):
    """Whether a checkpoint belongs to a training run that is resumed in its own output folder."""
    folder = storage.normalized(_folder_of_model(path))
    outputs = map(storage.normalized, output_folders)
    return folder in outputs and storage.exists(os.path.join(folder, _RUN_SETTINGS))


def _is_folder(path):
    """Whether a path is a folder; a remote one is judged by its name alone, to save requests."""
    return path.endswith("/") if storage.is_remote(path) else os.path.isdir(path)


def _folder_of_model(path):
    if storage.is_remote(path):
        is_one = not _MODEL_FILE.search(os.path.basename(path))
        return path.rstrip("/") if is_one else os.path.dirname(path)
    return path if os.path.isdir(path) else os.path.dirname(path) or "."


def output_file(path: str, name: Optional[str] = None) -> str:
    """Checks an output file that the user names and returns the path to write to.

    Args:
        path: the file to create or replace.
        name: its name in error messages; None: the path.

    Returns:
        the path with links resolved; the file need not exist.

    Raises:
        UserError: if it must not be written.
    """
    target = _check_output(path, name or path)
    if path.endswith("/") or (not storage.is_remote(target) and os.path.isdir(target)):
        raise UserError("%s: expected a file to write, found a folder" % (name or path))
    return target


def output_folder(path: str, name: Optional[str] = None) -> str:
    """Does the same as `output_file` for a folder that is created or written to."""
    return _check_output(path, name or path)


def check_is_of_no_model(path: str, name: str) -> None:
    """Raises `UserError` for a file of an existing model, which needs exactly this file.

    Args:
        path: path of an output, with links resolved.
        name: its name in the error message.
    """
    folder, base = os.path.split(path)
    patterns = [pattern for pattern in _MODEL_FILES if pattern != "*.json"] + _JSON_OF_MODEL
    if not (_fits(base, patterns) and storage.is_file(path)):
        return
    weights = [found for found in storage.names_in(folder) if _fits(found, _WEIGHTS)]
    if weights:
        raise UserError(
            "%s: this is a file of the model in the same folder (weights: %s): choose another path"
            % (name, weights[0])
        )


def check_not_replaced(folder: str) -> None:
    """Raises `UserError` if an input is in a folder that will be replaced as a whole."""
    above = os.path.join(storage.normalized(folder), "")
    for path, name in _names.items():
        if os.path.join(path, "").startswith(above):
            raise _is_read(folder, path, name)


def _is_read(output, what, source):
    return UserError("%s: %s is an input too (%s): choose another place" % (output, what, source))


def _check_output(path, name):
    """Returns the path with links resolved; raises `UserError` if it must not be written."""
    is_remote = storage.is_remote(path)
    target = storage.normalized(path) if is_remote else _without_links(path, name)
    if is_remote and len(target.split("/")) < _PIECES_OF_REMOTE_FILE:
        raise UserError("%s: expected a name in a bucket, such as gs://BUCKET/FOLDER/NAME" % name)
    if not is_remote and _is_device(target):
        raise UserError("%s: expected a file to write, found a device or pipe" % name)
    source = _names.get(target) or _name_of_hard_link(target)
    if source:
        raise _is_read(name, "it", source)
    for folder, source in _model_folders.items():
        if _is_part_of_model(target, folder):
            raise _is_read(name, "this part of the model", source)
    return target


def _is_device(path):
    return os.path.exists(path) and not (os.path.isfile(path) or os.path.isdir(path))


def _name_of_hard_link(target):
    """Name of the input of which an output is a hard link; None if there is none."""
    inode = _inode(target)
    path = _paths_of_inodes.get(inode)
    return _names[path] if inode and path and _inode(path) == inode else None


def _check_model_output(folder, name):
    """Raises `UserError` if an input is in a folder that a model will be written to."""
    for path, source in _names.items():
        if os.path.dirname(path) == storage.normalized(folder) and not _is_folder(path):
            raise _is_read(name, path, source)


def _without_links(path, name):
    """Resolves all links in an output's path, the last one too, even if the target is missing."""
    path = path.rstrip("/") or "/"
    for _ in range(_MAX_LINKS):
        folder = os.path.realpath(os.path.dirname(path) or ".")
        if _DESCRIPTORS.fullmatch(folder):
            raise UserError(
                "%s: expected a file to write, found a stream of this process: name a file" % name
            )
        path = os.path.join(folder, os.path.basename(path))
        if not os.path.islink(path):
            return os.path.realpath(path)
        path = os.path.join(folder, os.readlink(path))
    raise UserError("%s: its links form a loop: remove them or choose another place" % name)


def _inode(path):
    """Returns (device, inode), which hard links share; None if missing or remote."""
    if storage.is_remote(path):
        return None
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _is_part_of_model(target, folder):
    """Whether an output is one of the files that make up a model folder, existing or not."""
    places = [folder, os.path.join(folder, "best")]
    if os.path.dirname(target) in places and _is_name_of_model(os.path.basename(target)):
        return True
    inode = _inode(target)
    return inode is not None and any(
        _inode(os.path.join(place, name)) == inode
        for place in places
        if not storage.is_remote(place) and os.path.isdir(place)
        for name in os.listdir(place)
        if _is_name_of_model(name)
    )


def _is_name_of_model(name):
    return name not in _MADE_BESIDE and _fits(name, _MODEL_FILES)


def _fits(name, patterns):
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


checks_of_flags.append(check_flags)
