"""What runs a fine-tuned model: the checkpoint of its folder, a SavedModel, or a .tflite file.

A backend has
    num_outputs: int, C, the last dimension of its first output;
    longest: int, the longest row it takes;
    fixed_length: int, the only length it takes, or None;
    num_segments: int;
    vocab_size: int, or None where the model does not record it;
    run(ids, mask, segments, *further): int32 [B, F] each, and [B, F, ...] of each of the further
        inputs that it was opened with -> list of float [B, ...], one for each of the output names;
        may be called by several threads;
    close().
"""

import os
import re
import tempfile
import threading
from typing import Any, Dict, Iterable, List, Mapping, Optional, Sequence
import zipfile

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.common import cpu_precision, files, storage, system_errors
from albert_zh.common.errors import UserError
from albert_zh.inference import litert, loaded_model
from albert_zh.model import (
    checkpoint_files,
    checkpoint_matching,
    inference_graph,
    label_map,
    model_folder,
)
from albert_zh.tasks import outputs_graph, registry
from albert_zh.tasks import settings as task_settings
from albert_zh.text import tokenization

CLASSIFIER_OUTPUTS = ("probabilities",)
LONGEST_UNKNOWN = 512  # of exported files, whose positions are not known
_SAVED_MODEL = "saved_model.pb"

# The names under which exported models take their inputs; the second is the one of TFLite metadata.
_INPUT_ALIASES = (("input_ids", "ids"), ("input_mask", "mask"), ("segment_ids",))


def open_model(
    path: str,
    config_file: Optional[str] = None,
    precision: str = "float32",
    num_threads: Optional[int] = None,
    output_names: Sequence[str] = CLASSIFIER_OUTPUTS,
    further_inputs: Optional[Mapping[str, Any]] = None,
) -> Any:
    """The backend for a path.

    Args:
        path: model folder, SavedModel folder (or one of TF Serving's layout), or .tflite file.
        config_file: config JSON of a model folder, if it is not in it.
        precision: of a model folder's products, a key of `modeling.PRECISIONS`.
        num_threads: threads of an operation; None: one for a .tflite file, otherwise as many as
            there are cores.
        output_names: names of the outputs that `run` gives, see `TaskType.decoded_outputs`.
        further_inputs: as of `KindFlags.further_inputs`; None for none.

    Raises:
        UserError: if there is no such model.
    """
    further = further_inputs or {}
    loaded_model.check_precision(precision)
    if not is_exported(path):
        cpu_precision.warn_of_slow_precision(precision)
        return CheckpointBackend(path, config_file, precision, num_threads, output_names, further)
    saved_model = _saved_model_folder(path)
    if precision != "float32":
        raise UserError("precision: an exported model (%s) has its own, leave it out" % path)
    if saved_model is None:
        return TfliteBackend(path, num_threads, output_names, further)
    return SavedModelBackend(saved_model, num_threads, output_names, further)


def is_exported(path: str) -> bool:
    """Whether a path is a SavedModel or a .tflite file rather than a model folder."""
    return path.endswith(".tflite") or _saved_model_folder(path) is not None


def has_classifier(path: str) -> bool:
    """Whether a model has a classifier, as far as that is known before it is loaded.

    Args:
        path: as of `open_model`.
    """
    if is_exported(path):
        return True
    shapes = checkpoint_matching.with_canonical_names(
        checkpoint_files.read_shapes(_checkpoint_of(path))
    )
    return inference_graph.TASK_HEAD in inference_graph.heads_of(shapes)


def _saved_model_folder(path):
    """The folder with the SavedModel: the path, or its newest version folder; None for none."""
    if storage.is_file(os.path.join(path, _SAVED_MODEL)):
        return path
    names = storage.names_in(path) if storage.is_folder(path) else []
    versions = sorted((name for name in names if name.isdigit()), key=int)
    for name in reversed(versions):
        if storage.is_file(os.path.join(path, name, _SAVED_MODEL)):
            return os.path.join(path, name)
    return None


class CheckpointBackend:
    """The head of a model folder."""

    fixed_length = None

    def __init__(
        self,
        model_dir: str,
        config_file: Optional[str],
        precision: str,
        num_threads: Optional[int],
        output_names: Sequence[str],
        further_inputs: Mapping[str, Any],
    ) -> None:
        """Arguments and errors as of `open_model`."""
        opened = model_folder.open_folder(_checkpoint_of(model_dir), config_file)
        config, prefix = opened.config, opened.prefix
        if inference_graph.TASK_HEAD not in opened.heads:
            raise _no_head(prefix, opened.notes)
        settings = task_settings.of_notes(opened.notes)
        self.num_outputs = opened.num_outputs()
        self.longest = config.longest_sequence
        self.num_segments = config.type_vocab_size
        self.vocab_size = config.vocab_size

        def build(features):
            further = {
                name: inference_graph.further_input(name, column)
                for name, column in further_inputs.items()
            }
            features = dict(features, **further)
            outputs = outputs_graph.outputs_builder(
                config, features, self.num_outputs, settings, False, precision=precision
            )()
            return [outputs[name] for name in output_names], list(further.values())

        self._session = loaded_model.CheckpointSession(prefix, build, "a classifier", num_threads)
        self.run = self._session.run
        self.close = self._session.close


def _no_head(prefix, notes):
    """The `UserError` for a checkpoint without the head of a task."""
    command = registry.command_without_head(notes)
    if command:
        return UserError("%s has no head to predict with: use %s" % (prefix, command))
    return UserError("%s holds no classifier (output_weights): fine-tune it first" % prefix)


def _checkpoint_of(path):
    if storage.is_folder(path) or storage.exists(path + ".index"):
        return checkpoint_files.find_checkpoint(path)
    raise UserError(
        "%s: no such model folder; expected one of a fine-tuned model, a SavedModel's folder or a "
        ".tflite file" % path
    )


class SavedModelBackend:
    """An exported SavedModel, by its signature with token ids and the outputs asked for."""

    def __init__(
        self,
        folder: str,
        num_threads: Optional[int],
        output_names: Sequence[str],
        further_inputs: Iterable[str] = (),
    ) -> None:
        """Loads the SavedModel of a folder; raises `UserError` if it is none of such a task."""
        loaded_model.check_sessions_can_run()
        settings = tf.ConfigProto()
        settings.gpu_options.allow_growth = True
        settings.intra_op_parallelism_threads = num_threads or 0
        self._session = tf.Session(graph=tf.Graph(), config=settings)
        try:
            with self._session.graph.as_default():
                model = tf.saved_model.loader.load(self._session, ["serve"], folder)
        except (tf.errors.OpError, OSError, RuntimeError, ValueError) as error:
            raise UserError(
                "%s: not a readable SavedModel: %s" % (folder, system_errors.reason(error))
            ) from error
        names = tuple(further_inputs)
        inputs, outputs = _signature_of(folder, model.signature_def, output_names, names)
        graph = self._session.graph
        feeds = [graph.get_tensor_by_name(name) for name in inputs]
        tensors = [graph.get_tensor_by_name(name) for name in outputs]
        sizes = _sizes_of_tables(folder)
        self.fixed_length = feeds[0].shape.as_list()[1]
        self.longest = self.fixed_length or sizes.get("position", LONGEST_UNKNOWN)
        self.num_segments = sizes.get("token_type", 2)
        self.vocab_size = sizes.get("word")
        self.num_outputs = tensors[0].shape.as_list()[-1]
        self.run = self._session.make_callable(tensors, feeds)

    def close(self) -> None:
        """Frees the session."""
        self._session.close()


def _sizes_of_tables(folder):
    """{"word", "position", "token_type": rows of that table} as far as a SavedModel holds them."""
    prefix = os.path.join(folder, "variables", "variables")
    if not storage.exists(prefix + ".index"):
        return {}
    sizes = {}
    for name, shape in checkpoint_files.read_shapes(prefix).items():
        table = re.match(
            r"bert/embeddings/(\w+)_embeddings$", checkpoint_matching.canonical_name(name)
        )
        if table:
            sizes[table.group(1)] = shape[0]
    return sizes


def _signature_of(folder, signatures, output_names, further):
    """(names of the input tensors, names of output tensors) of the fitting signature."""
    for _, signature in sorted(signatures.items()):
        inputs = _in_order(signature.inputs, further)
        if inputs and all(name in signature.outputs for name in output_names):
            outputs = [signature.outputs[name].name for name in output_names]
            return [tensor.name for tensor in inputs], outputs
    raise UserError(
        "%s: no signature takes %s and gives %s (found: %s): export a fine-tuned model"
        % (
            folder,
            ", ".join(loaded_model.INPUT_NAMES + further),
            ", ".join(output_names),
            ", ".join(sorted(signatures)) or "none",
        )
    )


def _in_order(by_name, further=()):
    """The values of {input name: value} for ids, mask, segments and others; None if one lacks."""
    ordered = [
        next((by_name[alias] for alias in aliases if alias in by_name), None)
        for aliases in _INPUT_ALIASES + tuple((name,) for name in further)
    ]
    return None if None in ordered else ordered


class TfliteBackend:
    """An exported .tflite file; LiteRT's interpreter where it is installed, else TensorFlow's.

    Threads wait for each other actively: where other work takes one's core, the others are held up,
    in TensorFlow's interpreter so long that hardly anything comes of it. So one is the default.
    """

    vocab_size = None
    num_segments = 2

    def __init__(
        self,
        path: str,
        num_threads: Optional[int],
        output_names: Sequence[str],
        further_inputs: Iterable[str] = (),
    ) -> None:
        """Loads a file; raises `UserError` if it has not the inputs and outputs of such a task."""
        self._lock = threading.Lock()  # an interpreter serves one thread at a time
        content = files.read_bytes(path)
        try:
            self._interpreter = litert.interpreter(content, num_threads or 1)
            self._interpreter.allocate_tensors()
        except UserError:
            raise
        except (ValueError, RuntimeError) as error:
            raise UserError(
                "%s: not a readable TFLite model: %s" % (path, system_errors.reason(error))
            ) from error
        by_name = {
            _plain_name(detail["name"]): detail for detail in self._interpreter.get_input_details()
        }
        further = tuple(further_inputs)
        self._inputs = _in_order(by_name, further)
        self._outputs = _named_outputs(self._interpreter.get_output_details(), output_names)
        if self._inputs is None or self._outputs is None:
            raise UserError(
                "%s: expected inputs %s and outputs %s, found inputs %s and %d outputs: export a "
                "fine-tuned model"
                % (
                    path,
                    ", ".join(loaded_model.INPUT_NAMES + further),
                    ", ".join(output_names),
                    ", ".join(sorted(by_name)),
                    len(self._interpreter.get_output_details()),
                )
            )
        self.num_outputs = int(self._outputs[0]["shape"][-1])
        batch, length = self._inputs[0].get("shape_signature", self._inputs[0]["shape"])
        self._is_batch_fixed = batch > 0
        self.fixed_length = int(length) if length > 0 else None
        self.longest = self.fixed_length or LONGEST_UNKNOWN
        self._shape = tuple(self._inputs[0]["shape"])

    def run(self, *arrays: np.ndarray) -> np.ndarray:
        """int32 [B, F] three times, further inputs [B, F, ...] -> list of float [B, ...]."""
        with self._lock:
            if not self._is_batch_fixed:
                return self._run(arrays)
            size = self._shape[0]
            outputs = [
                self._run([_filled(array[start : start + size], size) for array in arrays])
                for start in range(0, len(arrays[0]), size)
            ]
        return [np.concatenate(of_output)[: len(arrays[0])] for of_output in zip(*outputs)]

    def _run(self, arrays):
        if arrays[0].shape != self._shape:
            for detail, array in zip(self._inputs, arrays):
                self._interpreter.resize_tensor_input(detail["index"], array.shape)
            self._interpreter.allocate_tensors()
            self._shape = arrays[0].shape
        for detail, array in zip(self._inputs, arrays):
            self._interpreter.set_tensor(detail["index"], array.astype(detail["dtype"]))
        self._interpreter.invoke()
        return [self._float_output(detail) for detail in self._outputs]

    def _float_output(self, detail):
        output = self._interpreter.get_tensor(detail["index"])
        scale, zero_point = detail["quantization"]
        return output if not scale else (output.astype(np.float32) - zero_point) * scale

    def close(self) -> None:
        """Frees the interpreter."""
        self._interpreter = None


def _named_outputs(details, names):
    """The details of outputs by name; a single one may have any. None where they do not fit."""
    if len(names) == 1 and len(details) == 1 and len(details[0]["shape"]) >= 2:
        return details
    by_name = {_plain_name(detail["name"]): detail for detail in details}
    return [by_name[name] for name in names] if set(by_name) == set(names) else None


def _plain_name(name):
    """`serving_default_input_ids:0` -> `input_ids`."""
    name = name.split(":")[0]
    prefix = "serving_default_"
    return name[len(prefix) :] if name.startswith(prefix) else name


def _filled(array, size):
    """The rows of an array, and zeros up to a size."""
    missing = np.zeros((size - len(array),) + array.shape[1:], array.dtype)
    return np.concatenate([array, missing])


def _check_kind(notes, source):
    """Raises `UserError` where the kind of task that a file of notes names is unknown."""
    name = notes.get("objective", "single_label")
    if name not in registry.names():
        raise UserError(
            "%s: objective: expected one of %s, found %r: %s"
            % (source, ", ".join(registry.names()), name, inference_graph.NOTES_WAY_OUT)
        )


def _is_archive(path):
    """Whether a file is there and has others packed at its end."""
    if not storage.is_file(path):
        return False
    with storage.open_binary(path) as content:
        return zipfile.is_zipfile(content)


class FilesBeside:
    """What is beside a model's weights: vocabulary, labels, settings of its training."""

    def __init__(self, path: str) -> None:
        """`path`: model folder, SavedModel folder or .tflite file."""
        self._folder = folder = path if storage.is_folder(path) else os.path.dirname(path) or "."
        inner = _saved_model_folder(path) or folder
        self._folders = list(
            dict.fromkeys(
                [inner, os.path.join(inner, "assets"), os.path.join(inner, "assets.extra"), folder]
            )
        )
        self._packed = path if path.endswith(".tflite") and _is_archive(path) else None
        self._notes_file = self._find(inference_graph.FINE_TUNING_FILE)
        self.settings = inference_graph.read_notes(self._notes_file)
        _check_kind(self.settings, self._notes_file)

    def _find(self, name):
        paths = (os.path.join(folder, name) for folder in self._folders)
        return next((path for path in paths if storage.is_file(path)), None)

    def _packed_text(self, *names):
        """The text of a file that a .tflite file carries, or None."""
        if self._packed is None:
            return None
        with storage.open_binary(self._packed) as content, zipfile.ZipFile(content) as archive:
            there = [name for name in names if name in archive.namelist()]
            return archive.read(there[0]).decode("utf-8") if there else None

    def further_files(self, names: Sequence[str]) -> Dict[str, bytes]:
        """{name: content} of those of some files that are there."""
        return model_folder.files_in(self._folders, names)

    def check_settings(self, num_outputs: int) -> None:
        """Raises `UserError` unless the settings are of a model of so many outputs."""
        inference_graph.check_notes(self.settings, num_outputs, self._notes_file)

    def labels(self, num_labels: Optional[int]) -> List[str]:
        """The labels in the order of their numbers; the numbers themselves where none are there.

        Args:
            num_labels: how many the model has; None where only its label map says so.

        Raises:
            UserError: if there are more or fewer.
        """
        path = self._find(label_map.LABEL_MAP)
        packed = self._packed_text("labels.txt", "label.txt")
        if packed is not None:  # a file beside it may be another model's
            path, labels = self._packed, packed.rstrip("\n").split("\n")
        elif path is not None:
            labels = list(label_map.labels_of_map(path))
        else:
            return [str(index) for index in range(num_labels or 0)]
        if num_labels is not None:
            label_map.check_num_labels(path, labels, num_labels)
        return labels

    def tokenizer(
        self, vocab_file: Optional[str], do_lower_case: bool
    ) -> tokenization.FullTokenizer:
        """The tokenizer of a vocabulary, or of the one that is beside the model.

        Args:
            vocab_file: path, or None.
            do_lower_case: bool.

        Raises:
            UserError: if there is no vocabulary.
        """
        packed = None if vocab_file else self._packed_text("vocab.txt")
        if packed is None:
            path = vocab_file or self._find(tokenization.SENTENCEPIECE_FILE)
            path = path or self._find(tokenization.VOCABULARY_FILE)
            if path is None:
                raise UserError(
                    "%s holds no vocabulary (%s or %s): copy the model's there, or name it "
                    "(vocab_file in Python, --vocab_file)"
                    % (
                        self._folder,
                        tokenization.VOCABULARY_FILE,
                        tokenization.SENTENCEPIECE_FILE,
                    )
                )
            return tokenization.FullTokenizer(path, do_lower_case)
        with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8", newline="") as copy:
            copy.write(packed)
            copy.flush()
            return tokenization.FullTokenizer(copy.name, do_lower_case)
