"""Exports ONNX files for onnxruntime and other runtimes; needs requirements-export.txt."""

import importlib
import logging
import os
from typing import TYPE_CHECKING, Sequence

import tensorflow.compat.v1 as tf

from albert_zh.common import package_files
from albert_zh.common.errors import UserError
from albert_zh.export import common as export_common
from albert_zh.export import exported_model, onnx_metadata, onnx_nodes, onnx_tables
from albert_zh.export.exported_model import Model, Options

if TYPE_CHECKING:
    from albert_zh.export.comparison import Comparison, Examples

OPSET = 18  # tf2onnx's latest; `onnx_nodes` raises it to 20
# All of tf2onnx's optimizers would take gigabytes, and onnxruntime has its own. The quantizer finds
# weights only if constants are folded; that duplicates the word table, which `onnx_tables` repairs.
OPTIMIZERS = {
    "none": ("remove_identity",),
    "float16": ("remove_identity",),
    "int8": ("fold_constants", "remove_identity"),
}
MODULES = ("tf2onnx", "onnx", "onnxruntime")
# `reduce_range`: sums of 8-bit products saturate on x86 CPUs without VNNI.
QUANTIZED = {"per_channel": True, "reduce_range": True}


def check_possible() -> None:
    """Raises `UserError` if the packages for ONNX are not installed."""
    for name in MODULES:
        try:
            importlib.import_module(name)
        except (ImportError, AttributeError) as error:  # the latter: conflicting versions
            raise UserError(
                "--format=onnx needs %s (%s): install it with %s"
                % (name, error, package_files.installation_of("export"))
            ) from error


def write(model: Model, examples: "Examples", path: str, options: Options) -> "Comparison":
    """Writes an .onnx file.

    `--quantize=int8` stores weights as 8-bit integers and quantizes activations dynamically;
    `--quantize=float16` computes in half precision, except for LayerNorm's mean and variance.

    Args:
        model: the exported model.
        examples: `comparison.Examples`, texts with the checkpoint's outputs.
        path: the file.
        options: options of the export.

    Returns:
        `comparison.Comparison` of the file with the checkpoint.
    """
    check_possible()
    with export_common.file_to_export(path) as partial:
        convert(model, examples.output_names, partial, options)
        onnx_metadata.add(partial, model, options)
        run = _runner(partial, examples)
        comparison = examples.check(run, options.limits, path, options.quantize)
        export_common.write_companions(model, os.path.dirname(path) or ".")
        onnx_metadata.write_tokenizer_beside(path, model, options)
    return comparison


def convert(model: Model, output_names: Sequence[str], path: str, options: Options) -> None:
    """Writes the file, without metadata and without comparing it.

    Args:
        model: the exported model.
        output_names: names of the outputs.
        path: the file.
        options: options of the export.
    """
    proto = _converted(model, output_names, options)
    onnx_nodes.use_native_nodes(proto)
    with open(path, "wb") as stream:
        stream.write(proto.SerializeToString())
    if options.quantize != "none":
        _QUANTIZERS[options.quantize](path)


def _converted(model, output_names, options):
    """tf2onnx's `ModelProto` of the inference graph."""
    from tf2onnx import optimizer, tfonnx

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    heads = [head for head in exported_model.TASKS[options.task].heads if head in model.heads]
    names = model.input_names(heads)
    if "masked_lm" in heads:
        names.append("masked_lm_positions")
    graph_def = export_common.frozen_graph(
        model,
        output_names,
        heads=heads,
        shape=(None, options.seq_length),
        output_positions=exported_model.output_positions(model, options.task),
    )
    with tf.Graph().as_default() as graph:
        tf.import_graph_def(graph_def, name="")
        converted = tfonnx.process_tf_graph(
            graph,
            opset=OPSET,
            input_names=[name + ":0" for name in names],
            output_names=[name + ":0" for name in output_names],
        )
        converted = optimizer.optimize_graph(
            converted,
            catch_errors=False,
            optimizers={name: optimizer._optimizers[name] for name in OPTIMIZERS[options.quantize]},
        )
        proto = converted.make_model("ALBERT %s" % options.task)
    _rename(proto)
    return proto


def _rename(proto):
    """Removes TensorFlow's `:0` from the names of inputs and outputs."""
    tensors = list(proto.graph.input) + list(proto.graph.output)
    renamed = {tensor.name: tensor.name[:-2] for tensor in tensors}
    for tensor in tensors:
        tensor.name = renamed[tensor.name]
    for node in proto.graph.node:
        for names in (node.input, node.output):
            names[:] = [renamed.get(name, name) for name in names]


def _halve(path):
    """Converts weights and computations to float16; inputs and outputs keep their types."""
    import onnx
    from onnxruntime.transformers import float16

    onnx.save(float16.convert_float_to_float16(onnx.load(path), keep_io_types=True), path)


def _quantize(path):
    import onnx
    from onnxruntime import quantization

    logging.getLogger().setLevel(logging.ERROR)  # hide its advice on preprocessing
    shared = onnx_tables.shared_tables(onnx.load(path).graph)
    quantization.quantize_dynamic(
        path,
        path,
        nodes_to_exclude=[name for table in shared for name in table.gathers],
        weight_type=quantization.QuantType.QInt8,
        **QUANTIZED,
    )
    proto = onnx.load(path)
    onnx_tables.store_once(proto.graph, shared)
    onnx_tables.quantize_sliced_tables(proto.graph)
    onnx.save(proto, path)


_QUANTIZERS = {"float16": _halve, "int8": _quantize}


def _runner(path, examples):
    """A function from a row {name: array [1, F]} to outputs: `run` of `Examples.check`."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda row: session.run(examples.output_names, row)
