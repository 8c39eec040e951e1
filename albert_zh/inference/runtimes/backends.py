"""Backends that run a fine-tuned model: a checkpoint, a SavedModel, a .tflite or an .onnx file.

A backend has
    num_outputs: int, C, the last dimension of its first output;
    longest: int, the maximum row length, or None if only the files next to the model record it;
    fixed_length: int, the only row length it takes, or None;
    num_segments: int;
    vocab_size: int, or None if the model does not record it;
    num_workers: int, how many concurrent calls of `run` are faster than one;
    num_shares: int, into how many calls the rows of one call should be split;
    run(ids, mask, segments, *further): int32 [B, F] each, and [B, F, ...] for each of the further
        inputs that it was opened with -> list of float [B, ...], one per output name; may be called
        by several threads;
    close().
"""

import os
import re
from typing import Any, Callable, Iterable, Mapping, Optional, Sequence

import tensorflow.compat.v1 as tf

from albert_zh.common import cpu_precision, library_logs, storage, system_errors
from albert_zh.common.errors import UserError
from albert_zh.inference import arguments
from albert_zh.inference.runtimes import (
    checkpoint_session,
    exported_names,
    onnx_backend,
    tflite_backend,
)
from albert_zh.inference.runtimes.saved_models import saved_model_folder
from albert_zh.model import forks, graph_inputs, sessions
from albert_zh.model.checkpoints import (
    checkpoint_files,
    checkpoint_names,
    checkpoint_values,
    model_folder,
    packed_weights,
)
from albert_zh.tasks import registry
from albert_zh.tasks import settings as task_settings

CLASSIFIER_OUTPUTS = ("probabilities",)
# {file name ending: backend}
_FILE_BACKENDS = {
    ".tflite": tflite_backend.TfliteBackend,
    ".onnx": onnx_backend.OnnxBackend,
}


def open_model(
    path: str,
    build_outputs: Callable[..., Any],
    config_file: Optional[str] = None,
    precision: str = "float32",
    num_threads: Optional[int] = None,
    output_names: Sequence[str] = CLASSIFIER_OUTPUTS,
    further_inputs: Optional[Mapping[str, Any]] = None,
) -> Any:
    """Opens the backend for a path.

    Args:
        path: model folder, SavedModel folder (or a folder of versions as for TF Serving), .tflite
            or .onnx file.
        build_outputs: function as `outputs_graph.outputs_builder`, for a model folder.
        config_file: config JSON file of a model folder, if it is not in the folder.
        precision: precision of a model folder's products, a key of `modeling.PRECISIONS`.
        num_threads: threads for all batches of a call; None: one per core. For a SavedModel,
            .tflite or .onnx file: threads per operation; None: all cores for a SavedModel, and one
            thread for the other files, with one batch at a time per core.
        output_names: names of the outputs that `run` returns, see `TaskType.decoded_outputs`.
        further_inputs: as in `KindFlags.further_inputs`; None: no further inputs.

    Raises:
        UserError: if there is no model at the path.
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
    if saved_model is not None:
        return SavedModelBackend(saved_model, num_threads, output_names, further)
    return _FILE_BACKENDS[os.path.splitext(path)[1]](path, num_threads, output_names, further)


def is_exported(path: str) -> bool:
    """Whether a path is a SavedModel, a .tflite or an .onnx file and not a model folder."""
    return path.endswith(tuple(_FILE_BACKENDS)) or saved_model_folder(path) is not None


def has_classifier(path: str) -> bool:
    """Whether a model has a classifier, as far as this is known before it is loaded.

    Args:
        path: as in `open_model`.
    """
    if is_exported(path):
        return True
    shapes = checkpoint_names.with_canonical_names(
        checkpoint_values.read_shapes(_checkpoint_of(path))
    )
    return checkpoint_names.TASK_HEAD in checkpoint_names.heads_of(shapes)


class CheckpointBackend:
    """Runs a model folder's checkpoint with its head."""

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
        """Arguments and errors are those of `open_model`."""
        opened = model_folder.open_folder(_checkpoint_of(model_dir), config_file)
        config, prefix = opened.config, opened.prefix
        has_head = checkpoint_names.TASK_HEAD in opened.heads
        if not has_head or registry.command_without_head(opened.notes):
            raise _no_head(packed_weights.as_named(prefix), opened.notes)
        opened.check_parts()
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
            prefix, build, "a classifier", num_threads, config.hidden_size
        )
        self.num_workers, self.num_shares = self._session.num_workers, self._session.num_shares
        self.run = self._session.run
        self.close = self._session.close


def _no_head(prefix, notes):
    """The `UserError` for a checkpoint without the head of a task."""
    command = registry.command_without_head(notes)
    if command:
        return UserError("%s has no head to predict with: use %s" % (prefix, command))
    return UserError("%s contains no classifier (output_weights): fine-tune it first" % prefix)


def _checkpoint_of(path):
    if storage.exists(path) or storage.exists(path + ".index"):
        return checkpoint_files.find_checkpoint(path)
    raise UserError(
        "%s: no such model folder; expected one of a fine-tuned model, a SavedModel's folder, a "
        ".tflite or an .onnx file" % path
    )


class SavedModelBackend:
    """Runs an exported SavedModel by its signature that takes token ids and has the outputs."""

    num_workers = num_shares = 1

    def __init__(
        self,
        folder: str,
        num_threads: Optional[int],
        output_names: Sequence[str],
        further_inputs: Iterable[str] = (),
    ) -> None:
        """Loads the SavedModel of a folder; raises `UserError` if it does not fit the task."""
        forks.check_sessions_can_run()
        settings = sessions.settings(num_threads or 0)
        self._session = tf.Session(graph=tf.Graph(), config=settings)
        try:
            with self._session.graph.as_default(), library_logs.errors_only():
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
        self.longest = self.fixed_length or sizes.get("position")
        self.num_segments = sizes.get("token_type", 2)
        self.vocab_size = sizes.get("word")
        self.num_outputs = tensors[0].shape.as_list()[-1]
        self.run = sessions.callable_of(self._session, tensors, feeds)

    def close(self) -> None:
        """Frees the session."""
        self._session.close()


def _sizes_of_tables(folder):
    """{"word", "position", "token_type": number of rows}, for the tables that a SavedModel has."""
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
    """(names of the input tensors, names of the output tensors) of the matching signature."""
    for _, signature in sorted(signatures.items()):
        inputs = exported_names.inputs_in_order(signature.inputs, further)
        if inputs and all(name in signature.outputs for name in output_names):
            outputs = [signature.outputs[name].name for name in output_names]
            return [tensor.name for tensor in inputs], outputs
    raise UserError(
        "%s: no signature takes %s and gives %s (found: %s): export a fine-tuned model"
        % (
            folder,
            ", ".join(exported_names.INPUT_NAMES + further),
            ", ".join(output_names),
            ", ".join(sorted(signatures)) or "none",
        )
    )
