"""ONNX files, for onnxruntime and what else reads them; needs requirements-export.txt."""

import copy
import importlib
import logging
import os

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.common import package_files
from albert_zh.common.errors import UserError
from albert_zh.export import common as export_common
from albert_zh.export import exported_model, onnx_metadata, onnx_nodes

OPSET = 18  # tf2onnx's last; `onnx_nodes` makes it 20
# All of tf2onnx's optimizers would take gigabytes, and onnxruntime has its own. Folding constants
# doubles a word table that is used twice, but the quantizer finds weights only then.
OPTIMIZERS = {
    "none": ("remove_identity",),
    "float16": ("remove_identity",),
    "int8": ("fold_constants", "remove_identity"),
}
MODULES = ("tf2onnx", "onnx", "onnxruntime")


def check_possible():
    """Raises `UserError` where what ONNX needs is not installed."""
    for name in MODULES:
        try:
            importlib.import_module(name)
        except (ImportError, AttributeError) as error:  # the latter: versions that clash
            raise UserError(
                "--format=onnx needs %s (%s): install it with %s"
                % (name, error, package_files.installation_of("export"))
            ) from error


def write(model, examples, path, options):
    """Writes an .onnx file.

    `--quantize=int8` has weights in 8-bit integers and ranges of activations found while it runs;
    `--quantize=float16` computes in half precision, but for LayerNorm's mean and variance.

    Args:
        model: `exporting.Model`.
        examples: `export_comparison.Examples`.
        path: the file.
        options: `exporting.Options`.

    Returns:
        `export_comparison.Comparison` with the checkpoint.
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


def convert(model, output_names, path, options):
    """Writes the file, without metadata and without comparing it.

    Args:
        model: `exporting.Model`.
        output_names: list of str.
        path: the file.
        options: `exporting.Options`.
    """
    proto = _converted(model, output_names, options)
    onnx_nodes.use_native_nodes(proto)
    with open(path, "wb") as stream:
        stream.write(proto.SerializeToString())
    for change in _QUANTIZERS[options.quantize]:
        change(path)


def _converted(model, output_names, options):
    """tf2onnx's `ModelProto` of the graph for use."""
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
    """Takes TensorFlow's `:0` off the names of inputs and outputs."""
    tensors = list(proto.graph.input) + list(proto.graph.output)
    renamed = {tensor.name: tensor.name[:-2] for tensor in tensors}
    for tensor in tensors:
        tensor.name = renamed[tensor.name]
    for node in proto.graph.node:
        for names in (node.input, node.output):
            names[:] = [renamed.get(name, name) for name in names]


def _halve(path):
    """Makes weights and what is computed float16; inputs and outputs stay as they are."""
    import onnx
    from onnxruntime.transformers import float16

    onnx.save(float16.convert_float_to_float16(onnx.load(path), keep_io_types=True), path)


def _quantize(path):
    from onnxruntime import quantization

    logging.getLogger().setLevel(logging.ERROR)  # its advice on preprocessing
    quantization.quantize_dynamic(
        path,
        path,
        weight_type=quantization.QuantType.QInt8,
        per_channel=True,
        reduce_range=True,  # sums of 8-bit products saturate on x86 CPUs without VNNI
    )


def _quantize_sliced_tables(path):
    """Holds tables of which rows are sliced (positions) in 8-bit integers, a scale a column.

    The quantizer does so with tables of which rows are gathered.
    """
    import onnx

    proto = onnx.load(path)
    tables = {
        array.name: array
        for array in proto.graph.initializer
        if array.data_type == onnx.TensorProto.FLOAT and len(array.dims) == 2
    }
    nodes, scales = [], {}
    for node in map(copy.deepcopy, proto.graph.node):
        nodes.append(node)
        name = node.input[0] if node.input else None
        if node.op_type == "Slice" and name in tables:
            if name not in scales:
                scales[name] = _as_integers(tables[name], proto.graph)
            nodes.append(_dequantized(node, scales[name]))
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    onnx.save(proto, path)


_QUANTIZERS = {
    "none": (),
    "float16": (_halve,),
    "int8": (_quantize, _quantize_sliced_tables),
}


def _as_integers(table, graph):
    """Makes a table [rows, C] of integers; returns the name of its scales [C]."""
    from onnx import numpy_helper

    entries = numpy_helper.to_array(table)
    scales = np.maximum(np.abs(entries).max(axis=0), np.finfo(np.float32).tiny) / 127
    integers = np.round(entries / scales).astype(np.int8)
    table.CopyFrom(numpy_helper.from_array(integers, table.name))
    graph.initializer.append(numpy_helper.from_array(scales, table.name + "_scale"))
    return table.name + "_scale"


def _dequantized(node, scales):
    """Renames a node's output; returns the node that makes the former one of it."""
    from onnx import helper

    output, node.output[0] = node.output[0], node.output[0] + "_integers"
    return helper.make_node("DequantizeLinear", [node.output[0], scales], [output], axis=1)


def _runner(path, examples):
    """A function of a row {name: array [1, F]} -> outputs: `run` of `Examples.check`."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda row: session.run(examples.output_names, row)
