r"""Averages the weights of several training runs into one model.

    python run_sentence_embedding.py ... --seeds=1,2,3 --output_dir=vectors
    python average_models.py --output_dir=vectors/averaged \
        --model_dirs=vectors/seed_1/best,vectors/seed_2/best,vectors/seed_3/best

The runs start from the same weights and differ in seed, order of rows or learning rate: their
average is often better than each of them and costs as much as one model. Heads that are initialized
randomly (classifiers, labellers) cannot be averaged over seeds; such models are refused. The
settings are copied from the first model, without thresholds that were fitted on its dev set.
"""

import os

from absl import flags

from albert_zh.common.errors import (  # first: it silences TensorFlow's log
    UserError,
    printable,
    run_command,
)

# isort: split

from albert_zh.common import files, output_files, path_rules, storage
from albert_zh.model import sentence_vectors
from albert_zh.model.checkpoints import (
    checkpoint_files,
    checkpoint_values,
    fine_tuning_notes,
    label_map,
    model_folder,
    model_writer,
    weight_averages,
    whole_folders,
)
from albert_zh.tasks.slots import dictionaries
from albert_zh.training import run_folder

__all__ = ["define_flags", "main", "run"]

FLAGS = flags.FLAGS
# Files of a model, without the files that evaluations and exports write next to them.
_COPIED = (
    "*config*.json",
    run_folder.RUN_SETTINGS_FILE,
    fine_tuning_notes.FINE_TUNING_FILE,
    label_map.LABEL_MAP,
    sentence_vectors.SENTENCE_FILE,
    dictionaries.FILE_NAME,
    "vocab*.txt",
    "*.model",
)
# Entries of fine_tuning.json for one run only: its scores, and values fitted to its outputs.
_OF_ONE_RUN = (
    "dev",
    "thresholds",
    "length_penalty",
    "null_score_diff_threshold",
    "similarity_threshold",
)
_CONTENTS = {
    run_folder.RUN_SETTINGS_FILE: run_folder.RUN_SETTINGS,
    fine_tuning_notes.FINE_TUNING_FILE: fine_tuning_notes.NOTES,
    label_map.LABEL_MAP: label_map.LABEL_MAP_KIND,
    sentence_vectors.SENTENCE_FILE: sentence_vectors.NOTES,
}
_NOTES = fine_tuning_notes.FINE_TUNING_FILE
_OF_THE_TASK = "objective pooling columns do_lower_case compares_sentences label_separator".split()


def define_flags() -> None:
    """Defines the command's flags."""
    flags.DEFINE_list("model_dirs", None, "Model folders, such as OUTPUT_DIR/seed_1/best.")
    flags.DEFINE_string("output_dir", None, "Folder to write the model to.")
    path_rules.serve_remote_everywhere(FLAGS)


def run() -> None:
    """Writes the model."""
    for name in ("model_dirs", "output_dir"):
        if not FLAGS[name].value:
            raise UserError("--%s is required (%s)" % (name, FLAGS[name].help.rstrip(".")))
    prefixes = {path: checkpoint_files.find_checkpoint(path) for path in FLAGS.model_dirs}
    _check_several(list(prefixes.values()))
    contents = {path: _contents_of(path, prefix) for path, prefix in prefixes.items()}
    _check_same_task(contents)
    for prefix in prefixes.values():
        checkpoint_values.check_readable(prefix)
    weights = weight_averages.averaged(
        {path: checkpoint_values.read_weights(prefix) for path, prefix in prefixes.items()}
    )
    first = contents[FLAGS.model_dirs[0]]
    with whole_folders.filled_folder(FLAGS.output_dir) as partial:
        _write_files(partial, first)
        model_writer.write_model_checkpoint(partial, weights)
    print(printable("written    %s: the mean of %d models" % (FLAGS.output_dir, len(prefixes))))
    if not any(name.endswith((".txt", ".model")) for name in first):
        print(
            printable(
                "note: %s has no vocabulary: copy the model's vocabulary there" % FLAGS.output_dir
            )
        )


def _check_several(prefixes):
    """Raises `UserError` unless there are two models or more, each once."""
    different = {storage.normalized(prefix) for prefix in prefixes}
    if len(different) < max(2, len(FLAGS.model_dirs)):
        raise UserError(
            "--model_dirs=%s: expected at least two folders, each only once"
            % ",".join(FLAGS.model_dirs)
        )


def _contents_of(path, prefix):
    """{name: content} of a model's files except the checkpoint: bytes, or parsed JSON."""
    folder = path if storage.is_folder(path) else os.path.dirname(prefix) or "."
    contents = {}
    for file in (file for pattern in _COPIED for file in storage.in_folder(folder, pattern)):
        name = os.path.basename(file)
        is_json = name.endswith(".json")
        contents[name] = (
            files.read_json(file, _CONTENTS.get(name)) if is_json else files.read_bytes(file)
        )
    contents = _as_model_folder(contents)
    notes = contents.get(_NOTES)
    if notes:
        contents[_NOTES] = {n: value for n, value in notes.items() if n not in _OF_ONE_RUN}
    return contents


def _as_model_folder(contents):
    """Reduces the settings of a training folder to the config that they contain."""
    of_run = contents.pop(run_folder.RUN_SETTINGS_FILE, {})
    config = of_run.get("fixed", {}).get("config")
    if config and not any(map(_is_config, contents.values())):
        contents[model_folder.config_name("")] = config
    return contents


def _is_config(content):
    return isinstance(content, dict) and "hidden_size" in content


def _check_same_task(contents):
    """Raises `UserError` unless the models have the same config, vocabulary, labels and task."""
    (first, expected), *others = ((path, _of_task(found)) for path, found in contents.items())
    for path, found in others:
        for name in sorted(expected.keys() | found.keys()):
            if expected.get(name) != found.get(name):
                raise UserError(
                    "%s and %s differ in %s%s: expected runs of the same task"
                    % (first, path, name, _difference(expected.get(name), found.get(name)))
                )


def _of_task(contents):
    """What models of the same task have in common: all files, and of the notes only the task's.

    The config is compared under any name, since training folders and `best/` name it differently.
    """
    contents = {"config" if _is_config(c) else name: c for name, c in contents.items()}
    notes = contents.get(_NOTES) or {}
    of_task = {name: notes.get(name) for name in _OF_THE_TASK}
    # What a generator writes, and what the rows of a classifier's table mean.
    for name in ("tasks", "ngram_length"):
        of_task["head: " + name] = notes.get("head", {}).get(name)
    return dict(contents, **{_NOTES: of_task})


def _difference(one, other):
    """The keys in which two JSON objects differ, as part of an error message."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return ""
    names = [name for name in sorted(one.keys() | other.keys()) if one.get(name) != other.get(name)]
    return " (%s)" % ", ".join(names)


def _write_files(folder, contents):
    for name, content in contents.items():
        path = os.path.join(folder, name)
        if not isinstance(content, bytes):
            output_files.write_json(path, content)
            continue
        with output_files.atomic_write(path, "wb") as handle:
            handle.write(content)


def main() -> None:
    """Runs the command line."""
    define_flags()
    run_command(run, description=__doc__)
