"""Runs .onnx files with onnxruntime: one thread per operation, and batches on all cores."""

from typing import Any, Dict, Iterable, List, Optional, Sequence

import numpy as np

from albert_zh.common import cores, files, package_files
from albert_zh.common.errors import UserError
from albert_zh.inference.runtimes import exported_names


class OnnxBackend:
    """An exported .onnx file; `run` may be called by several threads."""

    vocab_size = None
    num_segments = 2

    def __init__(
        self,
        path: str,
        num_threads: Optional[int],
        output_names: Sequence[str],
        further_inputs: Iterable[str] = (),
    ) -> None:
        """Loads a file.

        Args:
            path: the file.
            num_threads: threads per operation, with one batch at a time; None: one thread, with
                one batch at a time per core.
            output_names: names of the outputs that `run` returns.
            further_inputs: names of inputs in addition to ids, mask and segments.

        Raises:
            UserError: if onnxruntime is not installed, or the file does not have the inputs and
                outputs of such a task.
        """
        self.num_workers = 1 if num_threads else cores.num_usable()
        content = files.read_bytes(path)
        self._session = _session_of(path, content, num_threads or 1)
        # Such a node has one scale for all rows of a batch, so that rows affect each other.
        self._is_by_row = b"DynamicQuantizeLinear" in content
        inputs = {tensor.name: tensor for tensor in self._session.get_inputs()}
        outputs = {tensor.name: tensor for tensor in self._session.get_outputs()}
        further = tuple(further_inputs)
        fed = exported_names.inputs_in_order(inputs, further)
        if fed is None or not set(output_names) <= set(outputs):
            expected = (exported_names.INPUT_NAMES + further, output_names)
            raise UserError(exported_names.misfit(path, *expected, list(inputs), list(outputs)))
        self._inputs, self._output_names = fed, list(output_names)
        self.num_outputs = outputs[output_names[0]].shape[-1]
        length = self._inputs[0].shape[1]
        self.fixed_length = length if isinstance(length, int) else None
        self.num_shares = self.num_workers if self.fixed_length is None else 1
        self.longest = self.fixed_length

    def run(self, *arrays: np.ndarray) -> List[np.ndarray]:
        """int32 [B, F] three times, further inputs [B, F, ...] -> list of float [B, ...]."""
        if not self._is_by_row:
            return self._outputs_of(arrays)
        lengths = self.fixed_length or arrays[1].sum(axis=1)  # without the padding
        rows = [
            self._outputs_of([array[row : row + 1, :length] for array in arrays])
            for row, length in enumerate(np.broadcast_to(lengths, len(arrays[0])))
        ]
        return [_joined(of_rows) for of_rows in zip(*rows)]

    def _outputs_of(self, arrays):
        feeds = {tensor.name: array for tensor, array in zip(self._inputs, arrays)}
        return self._session.run(self._output_names, feeds)

    def close(self) -> None:
        """Frees the session."""
        self._session = None


def _joined(outputs):
    """One output of several rows, [B, ...], padded with zeros for rows with fewer tokens."""
    shape = [max(sizes) for sizes in zip(*(output.shape[1:] for output in outputs))]
    joined = np.zeros([len(outputs), *shape], outputs[0].dtype)
    for row, output in zip(joined, outputs):
        row[tuple(slice(size) for size in output.shape[1:])] = output[0]
    return joined


def metadata_of(path: str) -> Dict[str, str]:
    """The metadata of a file's model, {name: text}; raises the errors of `OnnxBackend`."""
    session = _session_of(path, files.read_bytes(path), 1, is_optimized=False)
    return session.get_modelmeta().custom_metadata_map


def _session_of(path: str, content: bytes, num_threads: int, is_optimized: bool = True) -> Any:
    """An onnxruntime session for a file; optimization takes most of the time to create it."""
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(
            "%s: onnxruntime, which .onnx files are run with, is not installed (%s): install it "
            "with %s" % (path, error, package_files.installation_of("export"))
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors only
    if not is_optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no other common class
        lines = str(error).splitlines() or [type(error).__name__]
        raise UserError("%s: not a readable ONNX model: %s" % (path, lines[0])) from error
