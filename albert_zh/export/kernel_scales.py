"""Kernels in 8-bit integers with one scale for each output of a dense layer.

TensorFlow 2.15's converter gives a whole kernel one scale, so that small weights are rounded to
steps that are too large; newer versions give each output its scale, which 2.15's interpreter also
understands. This does the same to a converted file.
"""

from typing import Any, Dict, NamedTuple, Optional

import numpy as np

LARGEST = 127  # kernels have integers from -127 to 127, biases 32 bits


class DenseLayer(NamedTuple):
    """The tensors of a dense layer in a .tflite file."""

    inputs: Any
    kernel: Any
    bias: Optional[Any]


def with_scale_of_each_output(content: bytes, unquantized: bytes) -> bytes:
    """Quantizes the kernels of a .tflite file again, with one scale for each output.

    Args:
        content: .tflite file of integers.
        unquantized: the file that it was converted from, in floating point.

    Returns:
        the .tflite file; kernels that have such scales remain as they are.
    """
    from tensorflow.lite.tools import flatbuffer_utils

    model, source = (
        flatbuffer_utils.convert_bytearray_to_object(bytearray(file))
        for file in (content, unquantized)
    )
    originals = _dense_layers(source)
    layers = _dense_layers(model)
    # Layers may share a kernel, so its former scale is looked up first.
    names = [name for name, layer in layers.items() if _has_one_scale(layer.kernel)]
    for name in names:
        _quantize(model, layers[name], source, originals[name])
    _drop_unused_buffers(model)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def _dense_layers(model) -> Dict[bytes, DenseLayer]:
    """The dense layers with constant kernels, by the names of their outputs."""
    from tensorflow.lite.python import schema_py_generated as schema

    found = {}
    (graph,) = model.subgraphs
    for operator in graph.operators:
        code = model.operatorCodes[operator.opcodeIndex].builtinCode
        if code != schema.BuiltinOperator.FULLY_CONNECTED:
            continue
        tensors: Any = [graph.tensors[i] if i >= 0 else None for i in operator.inputs]
        if model.buffers[tensors[1].buffer].data is not None:
            bias = tensors[2] if len(tensors) > 2 else None
            name = graph.tensors[operator.outputs[0]].name
            found[name] = DenseLayer(tensors[0], tensors[1], bias)
    return found


def _has_one_scale(kernel):
    scales = kernel.quantization.scale if kernel.quantization else None
    return scales is not None and len(scales) == 1


def _quantize(model, layer, source, original):
    kernel = _values(source, original.kernel)  # [out, in]
    largest = np.abs(kernel).max(axis=1)
    scales = np.where(largest > 0, largest, 1.0).astype(np.float32) / LARGEST  # [out]
    _store(model, layer.kernel, np.rint(kernel / scales[:, None]).astype(np.int8), scales)
    if layer.bias is not None:
        scales = scales * np.float32(layer.inputs.quantization.scale[0])
        bias = _values(source, original.bias).astype(np.float64) / scales
        _store(model, layer.bias, np.rint(bias).astype(np.int32), scales)


def _values(model, tensor: Any):
    data = np.asarray(model.buffers[tensor.buffer].data, np.uint8)
    return data.view(np.float32).reshape(tensor.shape)


def _store(model, tensor, values, scales):
    """Gives a tensor integers and their scales, in a buffer that it shares with equal tensors."""
    data = np.frombuffer(values.tobytes(), np.uint8)
    tensor.buffer = _buffer_with(model, data)
    tensor.quantization.scale = scales
    tensor.quantization.zeroPoint = np.zeros(len(scales), np.int64)
    tensor.quantization.quantizedDimension = 0


def _buffer_with(model, data):
    """The number of the buffer that contains such data, a new one if there is none."""
    from tensorflow.lite.python import schema_py_generated as schema

    for number, buffer in enumerate(model.buffers):
        if buffer.data is not None and np.array_equal(buffer.data, data):
            return number
    buffer = schema.BufferT()
    buffer.data = data
    model.buffers.append(buffer)
    return len(model.buffers) - 1


def _drop_unused_buffers(model):
    used = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors}
    used |= {entry.buffer for entry in model.metadata or ()}
    for number, buffer in enumerate(model.buffers):
        if number not in used:
            buffer.data = None
