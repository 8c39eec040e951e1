"""Runs .tflite files with several single-threaded interpreters, so that batches use all cores."""

import queue
import threading
from typing import Any, Iterable, List, Optional, Sequence

import numpy as np

from albert_zh.common import cores, files, system_errors
from albert_zh.common.errors import UserError
from albert_zh.inference.runtimes import exported_names, litert


class TfliteBackend:
    """An exported .tflite file; uses LiteRT's interpreter if installed, else TensorFlow's.

    The threads of one interpreter wait for each other actively: if other work takes the core of one
    thread, the others are held up, and in TensorFlow's interpreter almost nothing is computed.
    Batches in separate single-threaded interpreters do not wait for each other.
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
        """Loads a file.

        Args:
            path: the file.
            num_threads: threads of the only interpreter; None: one single-threaded interpreter per
                core, created when needed.
            output_names: names of the outputs that `run` returns.
            further_inputs: names of inputs in addition to ids, mask and segments.

        Raises:
            UserError: if it does not have the inputs and outputs of such a task.
        """
        self.num_workers = 1 if num_threads else cores.num_usable()
        content = files.read_bytes(path)
        names = (tuple(output_names), tuple(further_inputs))
        self._make: Any = lambda: _Interpreter(path, content, num_threads or 1, *names)
        self._idle: Any = queue.LifoQueue()
        self._num_made, self._making = 1, threading.Lock()
        first = self._make()
        self._idle.put(first)
        self.num_outputs = first.num_outputs
        self.fixed_length = first.fixed_length
        self.num_shares = self.num_workers if first.fixed_length is None else 1
        self.longest = self.fixed_length

    def run(self, *arrays: np.ndarray) -> List[np.ndarray]:
        """int32 [B, F] three times, further inputs [B, F, ...] -> list of float [B, ...]."""
        interpreter = self._taken()
        try:
            return interpreter.run(arrays)
        finally:
            self._idle.put(interpreter)

    def _taken(self):
        """An idle interpreter; a new one if there are fewer interpreters than workers."""
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            pass
        with self._making:
            is_missing = self._num_made < self.num_workers
            self._num_made += is_missing
        return self._make() if is_missing else self._idle.get()

    def close(self) -> None:
        """Frees the interpreters."""
        self._idle = self._make = None


class _Interpreter:
    """One interpreter, used by one thread at a time."""

    def __init__(self, path, content, num_threads, output_names, further_inputs):
        self._interpreter = _allocated(path, content, num_threads)
        inputs = {
            _plain_name(detail["name"]): detail for detail in self._interpreter.get_input_details()
        }
        outputs = self._interpreter.get_output_details()
        self._inputs = exported_names.inputs_in_order(inputs, further_inputs)
        self._outputs = _named_outputs(outputs, output_names)
        if self._inputs is None or self._outputs is None:
            found = (list(inputs), [_plain_name(detail["name"]) for detail in outputs])
            expected = (exported_names.INPUT_NAMES + further_inputs, output_names)
            raise UserError(exported_names.misfit(path, *expected, *found))
        self.num_outputs = int(self._outputs[0]["shape"][-1])
        batch, length = self._inputs[0].get("shape_signature", self._inputs[0]["shape"])
        self._is_batch_fixed = batch > 0
        self.fixed_length = int(length) if length > 0 else None
        self._shape = tuple(self._inputs[0]["shape"])

    def run(self, arrays):
        """Like `TfliteBackend.run`."""
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


def _allocated(path, content, num_threads):
    """An interpreter with the content of a .tflite file, ready to run."""
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
    """The details of outputs by name; a single output may have any name. None for a mismatch."""
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
    """The rows of an array, padded with zeros to a number of rows."""
    missing = np.zeros((size - len(array),) + array.shape[1:], array.dtype)
    return np.concatenate([array, missing])
