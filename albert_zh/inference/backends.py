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
import threading
from typing import Any, Callable, Iterable, Mapping, Optional, Sequence

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.common import cpu_precision, files, storage, system_errors
from albert_zh.common.errors import UserError
from albert_zh.inference import arguments, checkpoint_session, litert
from albert_zh.inference.saved_models import saved_model_folder
from albert_zh.model import (
    checkpoint_files,
    checkpoint_names,
    checkpoint_values,
    graph_inputs,
    model_folder,
)
from albert_zh.tasks import registry
from albert_zh.tasks import settings as task_settings

CLASSIFIER_OUTPUTS = ("probabilities",)
LONGEST_UNKNOWN = 512  # of exported files, whose positions are not known

# The names under which exported models take their inputs; the second is the one of TFLite metadata.
_INPUT_ALIASES = (("input_ids", "ids"), ("input_mask", "mask"), ("segment_ids",))


def open_model(
    path: str,
    build_outputs: Callable[..., Any],
    config_file: Optional[str] = None,
    precision: str = "float32",
    num_threads: Optional[int] = None,
    output_names: Sequence[str] = CLASSIFIER_OUTPUTS,
    further_inputs: Optional[Mapping[str, Any]] = None,
) -> Any:
    """The backend for a path.

    Args:
        path: model folder, SavedModel folder (or one of TF Serving's layout), or .tflite file.
        build_outputs: function as `outputs_graph.outputs_builder`, for a model folder.
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
    arguments.check_precision(precision)
    if not is_exported(path):
        cpu_precision.warn_of_slow_precision(precision)
        return CheckpointBackend(
            path, build_outputs, config_file, precision, num_threads, output_names, further
        )
    saved_model = saved_model_folder(path)
    if precision != "float32":
        raise UserError("precision: an exported model (%s) has its own, leave it out" % path)
    if saved_model is None:
        return TfliteBackend(path, num_threads, output_names, further)
    return SavedModelBackend(saved_model, num_threads, output_names, further)


def is_exported(path: str) -> bool:
    """Whether a path is a SavedModel or a .tflite file rather than a model folder."""
    return path.endswith(".tflite") or saved_model_folder(path) is not None


def has_classifier(path: str) -> bool:
    """Whether a model has a classifier, as far as that is known before it is loaded.

    Args:
        path: as of `open_model`.
    """
    if is_exported(path):
        return True
    shapes = checkpoint_names.with_canonical_names(
        checkpoint_values.read_shapes(_checkpoint_of(path))
    )
    return checkpoint_names.TASK_HEAD in checkpoint_names.heads_of(shapes)


class CheckpointBackend:
    """The head of a model folder."""

    fixed_length = None

    def __init__(
        self,
        model_dir: str,
        build_outputs: Callable[..., Any],
        config_file: Optional[str],
        precision: str,
        num_threads: Optional[int],
        output_names: Sequence[str],
        further_inputs: Mapping[str, Any],
    ) -> None:
        """Arguments and errors as of `open_model`."""
        opened = model_folder.open_folder(_checkpoint_of(model_dir), config_file)
        config, prefix = opened.config, opened.prefix
        if checkpoint_names.TASK_HEAD not in opened.heads:
            raise _no_head(prefix, opened.notes)
        settings = task_settings.of_notes(opened.notes)
        self.num_outputs = opened.num_outputs()
        self.longest = config.longest_sequence
        self.num_segments = config.type_vocab_size
        self.vocab_size = config.vocab_size

        def build(features):
            further = {
                name: graph_inputs.further_input(name, column)
                for name, column in further_inputs.items()
            }
            features = dict(features, **further)
            outputs = build_outputs(
                config, features, self.num_outputs, settings, False, precision=precision
            )()
            return [outputs[name] for name in output_names], list(further.values())

        self._session = checkpoint_session.CheckpointSession(
            prefix, build, "a classifier", num_threads
        )
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
        checkpoint_session.check_sessions_can_run()
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
    for name, shape in checkpoint_values.read_shapes(prefix).items():
        table = re.match(
            r"(?:bert|electra)/embeddings/(\w+)_embeddings$",
            checkpoint_names.canonical_name(name),
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
            ", ".join(checkpoint_session.INPUT_NAMES + further),
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
        self._interpreter = _allocated_interpreter(path, num_threads or 1)
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
                    ", ".join(checkpoint_session.INPUT_NAMES + further),
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


def _allocated_interpreter(path, num_threads):
    """The interpreter of a .tflite file, ready to run."""
    content = files.read_bytes(path)
    try:
        interpreter = litert.interpreter(content, num_threads)
        interpreter.allocate_tensors()
    except UserError:
        raise
    except (ValueError, RuntimeError) as error:
        raise UserError(
            "%s: not a readable TFLite model: %s" % (path, system_errors.reason(error))
        ) from error
    return interpreter


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
