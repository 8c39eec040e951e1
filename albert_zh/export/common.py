"""Common parts of all export formats: from a model folder to a file for use elsewhere.

    model = read_model("lcqmc_output/best", "classifier")
    graph_def = frozen_graph(model, outputs_of(model, "classifier"))  # weights as constants

The module of each format (`to_saved_model`, `to_tflite`, `to_onnx`) creates its file from these
parts and compares its outputs on texts (`comparison`); a file that differs too much from the
checkpoint is discarded.
"""

import contextlib
import os
from typing import Any, Iterator, Optional, Sequence, Tuple

import tensorflow.compat.v1 as tf

from albert_zh.common import files, output_files, storage
from albert_zh.common.errors import UserError
from albert_zh.export import exported_model, graph_transforms
from albert_zh.export.exported_model import Model
from albert_zh.inference import input_rows, loaded_model
from albert_zh.inference.files_beside import FilesBeside
from albert_zh.model import inference_graph, sentence_vectors
from albert_zh.model.checkpoints import (
    checkpoint_files,
    checkpoint_matching,
    checkpoint_names,
    checkpoint_values,
    fine_tuning_notes,
    label_map,
    model_folder,
    packed_weights,
    whole_folders,
)
from albert_zh.model.config import AlbertConfig
from albert_zh.tasks import outputs_graph, registry, task_forms
from albert_zh.tasks.slots import dictionaries
from albert_zh.text import tokenization
from albert_zh.training import run_folder

# Files that a program needs in addition to the exported file.
COMPANIONS = (
    tokenization.VOCABULARY_FILE,
    tokenization.SENTENCEPIECE_FILE,
    label_map.LABEL_MAP,
    fine_tuning_notes.FINE_TUNING_FILE,
    sentence_vectors.SENTENCE_FILE,
    dictionaries.FILE_NAME,
)
# Names of exported folders, by a file that each of them contains.
EXPORTED_FOLDERS = {
    "saved_model.pb": "SavedModel",
    "modules.json": "folder of sentence-transformers",
}
DECIDING_SETTINGS = (
    "objective do_lower_case max_seq_length pooling thresholds columns compares_sentences "
    "label_separator head length_penalty null_score_diff_threshold"
).split()


def read_model(folder: str, task: str, config_file: Optional[str] = None) -> Model:
    """Reads and checks a model folder.

    Args:
        folder: model folder, with or without optimizer slots.
        task: key of `TASKS`.
        config_file: config JSON file; None: the one in the folder.

    Raises:
        UserError: if the folder does not contain such a model.
    """
    if not storage.is_folder(folder):
        raise UserError(
            "--model_dir=%s: no such folder; expected a model folder%s"
            % (folder, checkpoint_files.how_to_get(folder))
        )
    checkpoint_values.check_readable(checkpoint_files.find_checkpoint(folder))
    opened = model_folder.open_folder(folder, config=read_config(folder, config_file))
    config, prefix, heads = opened.config, opened.prefix, opened.heads
    _check_has_heads(opened, task)
    if task == "classifier":
        opened.check_parts()
    num_labels = opened.num_outputs()
    weights = checkpoint_values.read_weights(prefix)
    weights.pop("global_step", None)
    checkpoint_values.as_float32(prefix, weights)  # raises for NaN and infinite values
    beside = FilesBeside(folder)
    if num_labels:
        beside.check_settings(num_labels)
    kind = registry.get(beside.settings.get("objective", "single_label"))
    tokenizer, vocab_file = None, tokenization.vocabulary_in_folder(folder)
    if storage.exists(vocab_file):
        tokenizer = beside.tokenizer(vocab_file, beside.settings.get("do_lower_case", True))
        loaded_model.check_vocabulary(vocab_file, tokenizer, config.vocab_size)
    return Model(
        folder,
        config,
        prefix,
        heads,
        num_labels,
        beside.labels(None if kind.token_outputs else num_labels) if num_labels else None,
        beside.settings,
        tokenizer,
        sentence_vectors.notes_or_mean(folder, config) if task == "embedding" else None,
        _task_of(kind, beside, folder) if num_labels else None,
    )


def _task_of(kind, beside, folder):
    """The task of a folder's head, which converts texts to features."""
    task = task_forms.Task(
        {}, task_forms.PAIR, (), objective=kind.name, head=beside.settings.get("head", {})
    )
    return kind.flags.with_model_files(task, beside.further_files(kind.flags.further_files), folder)


def read_config(
    folder: str, config_file: Optional[str] = None, points_to_best: bool = True
) -> AlbertConfig:
    """The config of a folder's checkpoint: its JSON file, or the settings of its training.

    Args:
        folder: model folder, or output folder of training.
        config_file: config to use instead, or None.
        points_to_best: whether to refuse a training folder that has a best model, since the best
            model comes with vocabulary and labels.

    Raises:
        UserError: if there is no config.
    """
    if config_file:
        return AlbertConfig.from_json_file(config_file)
    try:
        return AlbertConfig.from_json_file(model_folder.config_in_folder(folder))
    except UserError as error:
        best = os.path.join(folder, "best")
        if points_to_best and storage.is_folder(best):
            raise UserError("%s; did you mean %s?" % (error, best)) from error
        remembered = run_folder.former_settings(folder)["fixed"].get("config")
        if remembered is None:
            raise
        return AlbertConfig.from_dict(remembered)


def _check_has_heads(opened, task):
    named, heads = packed_weights.as_named(opened.prefix), opened.heads
    command = registry.command_without_head(opened.notes)
    if task == "classifier" and command:
        raise UserError(
            "%s has no head to export: use it with %s, or export --task=pretraining or "
            "--task=encoder" % (named, command)
        )
    lacking = [head for head in exported_model.TASKS[task].heads if head not in heads]
    if task == "pretraining" and "masked_lm" in heads:
        return  # plain BERT may lack the second head
    if not lacking:
        return
    if task == "classifier" and sentence_vectors.read_notes(os.path.dirname(opened.prefix)):
        raise UserError(
            "%s is a model of sentence vectors, without a classifier: export --task=embedding"
            % named
        )
    present = ", ".join(heads) or "no head at all"
    variables = ", ".join(checkpoint_names.HEADS[head][0][0] for head in lacking)
    way_out = {
        "classifier": "fine-tune it first (run_classifier.py), or export --task=encoder",
        "pretraining": "name a pre-trained model, or export --task=classifier",
    }[task]
    raise UserError(
        "%s contains no %s (%s; it has %s): %s" % (named, task, variables, present, way_out)
    )


def check_length(length: Optional[int], model: Model) -> None:
    """Checks a sequence length (None: any) against the model's positions and its task."""
    needed = model.kind.flags.shortest_length(model.settings.get("head", {}))
    least = max(input_rows.SHORTEST_LENGTH, needed)
    if length is None or least <= length <= model.config.longest_sequence:
        return
    raise UserError(
        "--seq_length=%d: expected %d%s to %d (the config's max_position_embeddings), or dynamic"
        % (
            length,
            least,
            " (what the model's questions need)" if least == needed else "",
            model.config.longest_sequence,
        )
    )


@contextlib.contextmanager
def session_of(
    model: Model, **build_settings: Any
) -> Iterator[Tuple[tf.Session, inference_graph.Graph]]:
    """A session with the model's inference graph and the checkpoint's weights.

    Args:
        model: as returned by `read_model`.
        **build_settings: arguments of `inference_graph.build`: `config`, `heads`, `shape`,
            `input_names` ...

    Yields:
        (session, tensors of its graph).
    """
    settings = {"config": model.config, "heads": model.heads}
    settings = dict(settings, sentence_notes=model.sentence_notes, **build_settings)
    settings["further_inputs"] = model.further_inputs(settings["heads"])
    with tf.Graph().as_default(), tf.Session() as session:
        build_head = outputs_graph.head_builder(model.settings, model.num_labels)
        graph = inference_graph.build(build_head=build_head, **settings)
        load_weights(session, model.prefix)
        yield session, graph


def load_weights(session: tf.Session, prefix: str) -> None:
    """Loads all variables of a session's graph from a checkpoint.

    Args:
        session: session of the default graph.
        prefix: prefix of the checkpoint.

    Raises:
        UserError: if a variable (also of a head) is missing or has another shape, since its values
            would be random.
    """
    assignment, _ = checkpoint_matching.initialize_from(prefix, tf.trainable_variables())
    for name in assignment.new + list(assignment.reshaped):
        raise UserError(
            "%s lacks %s of the config's shape: use the config that came with the checkpoint"
            % (prefix, name)
        )
    session.run(tf.global_variables_initializer())


def frozen_graph(model: Model, output_names: Sequence[str], **build_settings: Any) -> tf.GraphDef:
    """The inference graph with the weights as constants.

    Args:
        model: as returned by `read_model`.
        output_names: outputs that must be computable; the rest is removed.
        **build_settings: as in `session_of`.
    """
    with session_of(model, **build_settings) as (session, _):
        return frozen(session, output_names)


def frozen(session: tf.Session, output_names: Sequence[str]) -> tf.GraphDef:
    """The graph of a session up to some outputs, with each weight as one constant.

    Args:
        session: session with values of the variables.
        output_names: names of nodes, which keep their names.
    """
    graph_def = tf.graph_util.convert_variables_to_constants(
        session, session.graph.as_graph_def(), list(output_names)
    )
    return graph_transforms.merge_equal_weights(graph_def, kept=output_names)


# Files


def _about_model(path):
    """The part of a companion's content that must be equal for two exports of one model."""
    if os.path.basename(path) != fine_tuning_notes.FINE_TUNING_FILE:
        return files.read_bytes(path)
    settings = fine_tuning_notes.read_notes(path)
    return {name: settings.get(name) for name in DECIDING_SETTINGS}


def check_companions(model: Model, folder: str) -> None:
    """Raises `UserError` if a folder contains vocabulary, labels or settings of another model."""
    for name in COMPANIONS:
        source, target = os.path.join(model.folder, name), os.path.join(folder, name)
        if storage.exists(target) and not (
            storage.exists(source) and _about_model(source) == _about_model(target)
        ):
            raise UserError(
                "%s belongs to another model: name another folder with --output, or first remove "
                "the files of that model there" % target
            )


def write_companions(model: Model, folder: str) -> None:
    """Writes vocabulary, labels and settings next to a file exported outside the model's folder.

    Args:
        model: as returned by `read_model`.
        folder: folder of the exported file.

    Raises:
        UserError: if files of another model are there.
    """
    if files.is_same_path(folder, model.folder):
        return
    check_companions(model, folder)
    for name in COMPANIONS:
        source = os.path.join(model.folder, name)
        if not storage.exists(source):
            continue
        if name == fine_tuning_notes.FINE_TUNING_FILE:
            output_files.write_json(os.path.join(folder, name), model.exported_settings)
        else:
            content = files.read_bytes(source)
            with output_files.atomic_write(os.path.join(folder, name), "wb") as stream:
                stream.write(content)


@contextlib.contextmanager
def file_to_export(path: str) -> Iterator[str]:
    """Writes an exported file atomically; an unwritable folder is reported at once.

    Args:
        path: the file to create or replace.

    Yields:
        a local path to write to.
    """
    if storage.is_folder(path):
        raise UserError("--output=%s is a folder: name a file" % path)
    with output_files.whole_file(path) as partial:
        with open(partial, "wb"):
            pass
        yield partial


def _check_is_export(path, mark):
    """Raises `UserError` if a folder to be replaced contains anything but such an export."""
    names = storage.names_in(path) if storage.is_folder(path) else []
    if names and mark not in names:
        raise UserError(
            "%s contains files, but is not a %s: name another --output, or remove them"
            % (path, EXPORTED_FOLDERS[mark])
        )


@contextlib.contextmanager
def folder_to_export(path: str, mark: str = "saved_model.pb") -> Iterator[str]:
    """Writes an exported folder atomically.

    Args:
        path: the folder to create or replace.
        mark: a file that all such folders contain, a key of `EXPORTED_FOLDERS`.

    Yields:
        path of a local folder that does not exist yet.
    """
    with whole_folders.replaced_folder(path) as partial:
        if not storage.is_remote(path):
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        whole_folders.restore_model_folder(path)
        _check_is_export(path, mark)
        os.mkdir(partial)  # fails now rather than after the work
        os.rmdir(partial)
        yield partial
