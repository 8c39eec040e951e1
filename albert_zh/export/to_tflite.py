"""Exports TensorFlow Lite files of built-in operators, from floating point to 8-bit integers.

`int8` computes the expensive operations, the products with weights and the activation between them,
in integers with ranges calibrated on the user's texts. Softmax, LayerNorm and the products of
attention stay in floating point: TensorFlow Lite has no fast integer kernels for them, so that a
file of integers only (`integer_only`, which some accelerators require) is slower on a CPU than the
unquantized file, and less accurate.
"""

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any, List, Sequence
import warnings

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.common import files, library_logs
from albert_zh.common.errors import UserError
from albert_zh.common.progress import progress_bar
from albert_zh.export import (
    channel_ranges,
    comparison_texts,
    exported_model,
    kernel_scales,
    tflite_metadata,
)
from albert_zh.export import common as export_common
from albert_zh.export.exported_model import Model, Options
from albert_zh.inference import input_rows
from albert_zh.inference.runtimes import litert
from albert_zh.model import graph_inputs, inference_graph
from albert_zh.model.channel_scales import ChannelScales

if TYPE_CHECKING:
    from albert_zh.export.comparison import Comparison, Examples

INPUT_NAMES = ("ids", "mask", "segment_ids")  # the names that TFLite's metadata libraries expect
# Operators that int8 keeps in floating point. STRIDED_SLICE selects rows of hidden states.
FLOAT_OPERATORS = (
    "BATCH_MATMUL CONV_2D SOFTMAX LOGISTIC MEAN SQUARED_DIFFERENCE RSQRT ADD MUL SUB RESHAPE "
    "STRIDED_SLICE"
).split()
FURTHER_OPERATORS = {
    # Sums over the tokens of a text, which grow with its length.
    "classifier": "SUM MAXIMUM DIV".split(),
    "pretraining": ["LOG_SOFTMAX"],  # integers go down to -16, log probabilities lower
    "embedding": "SUM DIV SQRT SQUARE MAXIMUM REDUCE_MAX".split(),  # pooling
}
MAX_CALIBRATION_TEXTS = 100


def check_possible(options: Options, has_texts: bool) -> None:
    """Raises `UserError` if this TensorFlow or these options cannot produce such a file.

    Args:
        options: options of the export.
        has_texts: whether int8 has texts for its calibration.
    """
    if tf.__version__.startswith("1."):
        raise UserError(
            "--format=tflite needs TensorFlow 2.15 or newer (here is %s); with 1.15 use the two "
            "commands freeze_graph and tflite_convert, see docs/mobile.md" % tf.__version__
        )
    if options.quantize == "int8" and not has_texts:
        raise UserError(
            "--quantize=int8 needs --representative_texts=FILE: a hundred or more texts like "
            "those that the model will get, one per line (pairs: separated by a tab)"
        )
    if options.integer_only and options.quantize != "int8":
        raise UserError("--integer_only requires --quantize=int8")


def write(model: Model, examples: "Examples", path: str, options: Options) -> "Comparison":
    """Writes a .tflite file.

    Args:
        model: the exported model.
        examples: `comparison.Examples`, texts with the checkpoint's outputs.
        path: the file.
        options: options of the export.

    Returns:
        `comparison.Comparison` of the file with the checkpoint.
    """
    check_possible(options, bool(options.texts))
    with export_common.file_to_export(path) as partial:
        content = converted(model, examples.output_names, options)
        if options.metadata:
            content = tflite_metadata.with_metadata(content, model)
        with open(partial, "wb") as stream:
            stream.write(content)
        with _quietly():
            comparison = examples.check(_runner(partial), options.limits, path, options.quantize)
        export_common.write_companions(model, os.path.dirname(path) or ".")
    return comparison


def converted(model: Model, output_names: Sequence[str], options: Options) -> bytes:
    """The content of the .tflite file, without metadata.

    Args:
        model: the exported model.
        output_names: names of the outputs.
        options: options of the export.
    """
    config = inference_graph.with_fusible_gelu(model.config)
    if options.quantize == "int8" and not options.integer_only:
        _set_channel_scales(config, model, calibration_rows(model, options))
    heads = [head for head in exported_model.TASKS[options.task].heads if head in model.heads]
    with export_common.session_of(
        model,
        config=config,
        heads=heads,
        shape=(1, options.seq_length),
        input_names=INPUT_NAMES,
        output_positions=exported_model.output_positions(model, options.task),
    ) as (session, graph):
        names = model.input_names(heads)
        if "masked_lm" in heads:
            names.append("masked_lm_positions")
        inputs = [graph.inputs[name] for name in names]
        outputs = [graph.outputs[name] for name in output_names]
        with _quietly(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about ranges of inputs: ids need none
            converter = tflite_converter(session, inputs, outputs)
            return _QUANTIZERS[options.quantize](converter, model, options)


def _set_channel_scales(config, model, rows):
    """Sets `config.channel_scales`; the outputs' scale depends on what is computed apart."""
    config.channel_scales = ChannelScales()
    for measure in (channel_ranges.input_scales, channel_ranges.output_scales):
        with export_common.session_of(model, config=config, heads=()) as (session, graph):
            config.channel_scales = measure(session, graph.inputs, config, rows)


def tflite_converter(
    session: tf.Session, inputs: Sequence[tf.Tensor], outputs: Sequence[tf.Tensor]
) -> Any:
    """TensorFlow 2's converter for a part of a session's graph, with the weights as constants.

    Args:
        session: session of the default graph.
        inputs: placeholders.
        outputs: tensors to compute from them.

    Returns:
        `tf.lite.TFLiteConverter` of TensorFlow 2's API.
    """
    from tensorflow import lite  # `tensorflow.compat.v1` has the former converter

    graph_def = export_common.frozen(session, [tensor.op.name for tensor in outputs])
    with tf.init_scope():  # outside the session's graph
        imported = tf.wrap_function(lambda: tf.import_graph_def(graph_def, name=""), [])
        function = imported.prune(
            *[[imported.graph.get_tensor_by_name(t.name) for t in end] for end in (inputs, outputs)]
        )
        return lite.TFLiteConverter.from_concrete_functions([function], imported)


def _unquantized(converter, model, options):
    del model, options
    return converter.convert()


def _with_float16_weights(converter, model, options):
    del model, options
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


def _with_dynamic_ranges(converter, model, options):
    del model, options
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return converter.convert()


def _with_integers(converter, model, options):
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    rows = calibration_rows(model, options)
    converter.representative_dataset = lambda: progress_bar(
        "finding ranges", len(rows), "text", iterable=rows, leave=False
    )
    if options.integer_only:
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        return converter.convert()
    return _with_float_operators(
        converter, FLOAT_OPERATORS + FURTHER_OPERATORS.get(options.task, [])
    )


def _with_float_operators(converter, operators):
    """The content of a file of integers in which some operators stay in floating point.

    Only the debugger can exclude operators. The comparison of layers that it would run is disabled:
    it uses TensorFlow's interpreter, which newer versions of TensorFlow will remove.
    """

    class Quantizer(tf.lite.experimental.QuantizationDebugger):
        def _init_from_converter(self, *arguments, **settings):
            pass

        def _initialize_stats(self):
            pass

    options = tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=operators)
    quantizer = Quantizer(converter=converter, debug_options=options)
    content = quantizer.get_nondebug_quantized_model()
    return kernel_scales.with_scale_of_each_output(content, quantizer.calibrated_model)


_QUANTIZERS = {
    "none": _unquantized,
    "float16": _with_float16_weights,
    "dynamic": _with_dynamic_ranges,
    "int8": _with_integers,
}


def calibration_rows(model: Model, options: Options) -> List[List[np.ndarray]]:
    """Inputs for the calibration of activation ranges.

    All have the same length, since TensorFlow's calibration fails if it changes: the sequence
    length, or the length of the longest text for files of any length.

    Args:
        model: the exported model.
        options: options of the export.

    Returns:
        for each text, int32 arrays [1, F], the converter's inputs.
    """
    texts = comparison_texts.spread(comparison_texts.for_ranges(options), MAX_CALIBRATION_TEXTS)
    longest = options.seq_length or min(input_rows.DEFAULT_LENGTH, model.config.longest_sequence)
    heads = [head for head in exported_model.TASKS[options.task].heads if head in model.heads]
    rows = [
        exported_model.encoded(model, pair, index, longest, heads)
        for index, pair in enumerate(texts)
    ]
    length = options.seq_length or max(row["input_ids"].shape[1] for row in rows)
    inputs = [list(_filled(row, length).values()) for row in rows]
    if options.task == "pretraining":
        positions = np.array([[1, 2, 3]], np.int32)
        inputs = [arrays + [positions] for arrays in inputs]
    return inputs


def _filled(row, length):
    """A row of a length: positions after the text repeat it, and the mask leaves them out.

    The [PAD] word has values unlike those of any text, which would enlarge the ranges.
    """
    num_tokens = row["input_ids"].shape[1]
    positions = np.arange(length)
    filled = {name: array[:, positions % num_tokens] for name, array in row.items()}
    filled["input_mask"] = (positions < num_tokens)[None].astype(np.int32)
    return filled


def _runner(path):
    """A function from a row {name: array [1, F]} to outputs: `run` of `Examples.check`."""
    interpreter = litert.interpreter(files.read_bytes(path), num_threads=1)
    names = dict(zip(INPUT_NAMES, graph_inputs.ENCODER_INPUTS))

    def run(row):
        for detail in interpreter.get_input_details():
            array = row[names.get(detail["name"], detail["name"])]
            if tuple(detail["shape"]) != array.shape:
                interpreter.resize_tensor_input(detail["index"], array.shape)
        interpreter.allocate_tensors()
        for detail in interpreter.get_input_details():
            interpreter.set_tensor(detail["index"], row[names.get(detail["name"], detail["name"])])
        interpreter.invoke()
        return [
            interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()
        ]

    return run


@contextlib.contextmanager
def _quietly():
    """Suppresses TensorFlow Lite's output; its failures become one line."""
    sys.stderr.flush()
    screen = os.fdopen(os.dup(2), "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    with library_logs.errors_only(), screen, contextlib.redirect_stderr(screen):
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            raise UserError(
                "TensorFlow Lite does not support this model: %s"
                % " ".join(str(error).split())[:500]
            ) from error
        finally:
            os.dup2(screen.fileno(), 2)
