"""Compares ways to convert a model: size, outputs, processor time of a run on one thread.

    python benchmarks/export_speed.py --format=onnx        # operators of ONNX against tf2onnx's
    python benchmarks/export_speed.py --format=tflite      # TensorFlow 2's converter against 1's
    python benchmarks/export_speed.py --format=tflite --peer_python=tf221/bin/python

The model is albert_starter_zh's encoder. The files take turns in one process. Printed are the
minimum and the median processor time of a run, which other load on the machine disturbs less than
wall-clock time, and the median ratio of a file's turns to the turns of the first file. With
--peer_python another environment (with another TensorFlow) also converts the model; this
environment runs all files.
"""

import argparse
import collections
import os
import subprocess
import sys
import tempfile
import time
from unittest import mock

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

import measuring
import numpy as np

from albert_zh.common import path_rules
from albert_zh.common.errors import run_program

STARTER = os.path.join(ROOT, "albert_starter_zh")
TEXTS = os.path.join(ROOT, "data", "pairs_sample", "train.txt")
NUM_TEXTS = 60  # calibration texts of int8
SHAPES = {"onnx": ((1, 16), (1, 128), (8, 128)), "tflite": ((1, 128),)}
QUANTIZATIONS = {"onnx": ("none", "int8"), "tflite": ("none", "dynamic", "int8")}
NAMES = ("input_ids", "input_mask", "segment_ids")
SECONDS_OF_TURN = 0.03
File = collections.namedtuple("File", "way path")


def parsed_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--format", choices=sorted(SHAPES), required=True, help="format of the exported files"
    )
    parser.add_argument("--rounds", type=int, default=41, help="turns of each file")
    parser.add_argument("--peer_python", help="Python of another environment that also converts")
    parser.add_argument("--output_dir", help="folder for the files: nothing is measured")
    arguments = parser.parse_args()
    path_rules.check_arguments(arguments)
    measuring.check_python(arguments.peer_python)
    return arguments


def main():
    arguments = parsed_arguments()
    if arguments.output_dir:
        write_all(arguments.format, arguments.output_dir)
        return
    with tempfile.TemporaryDirectory() as work:
        pythons = [sys.executable] + [arguments.peer_python] * bool(arguments.peer_python)
        for number, python in enumerate(pythons):
            write_by(python, arguments.format, os.path.join(work, str(number)))
        print_all(arguments.format, work, arguments.rounds)


def write_by(python, output_format, folder):
    """Makes another Python write its files to a folder."""
    os.makedirs(folder)
    command = [python, __file__, "--format=" + output_format, "--output_dir=" + folder]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise SystemExit(done.stdout.decode("utf-8", "replace"))


# Files


def write_all(output_format, folder):
    """Writes a file for each quantization and way of converting: QUANTIZATION/WAY."""
    import tensorflow.compat.v1 as tf

    from albert_zh.export import common, comparison_texts, exported_model

    model = common.read_model(STARTER, "encoder")
    texts = comparison_texts.of_file(TEXTS, "utf-8")[:NUM_TEXTS]
    for quantize in QUANTIZATIONS[output_format]:
        options = exported_model.Options("encoder", None, quantize, None, texts, False, False)
        if output_format == "tflite":
            options = options._replace(seq_length=SHAPES["tflite"][0][1])
        os.makedirs(os.path.join(folder, quantize))
        for name, former in (("new", False), ("former", True)):
            way = "%s, TensorFlow %s" % (name, tf.__version__)
            path = os.path.join(folder, quantize, way)
            WRITERS[output_format](model, options, path, former)


def write_onnx(model, options, path, former):
    """Writes a file with ONNX's own operators, or (`former`) converted by tf2onnx."""
    from albert_zh.export import exported_model, onnx_nodes, to_onnx

    replace = (lambda proto: None) if former else onnx_nodes.use_native_nodes
    with mock.patch.object(onnx_nodes, "use_native_nodes", replace):
        to_onnx.convert(model, exported_model.outputs_of(model, options.task), path, options)


def write_tflite(model, options, path, former):
    """Writes a file with the converter of TensorFlow 2, or (`former`) of TensorFlow 1."""
    import tensorflow.compat.v1 as tf

    from albert_zh.export import exported_model, to_tflite

    converter = tf.lite.TFLiteConverter.from_session if former else to_tflite.tflite_converter
    with mock.patch.object(to_tflite, "tflite_converter", converter), open(path, "wb") as stream:
        stream.write(
            to_tflite.converted(model, exported_model.outputs_of(model, options.task), options)
        )


WRITERS = {"onnx": write_onnx, "tflite": write_tflite}


# Runs


def print_all(output_format, work, rounds):
    """Prints a row for each file and input shape."""
    titles = "quantization|way|MB|rows x tokens|minimum, ms|median, ms|ratio|differs by"
    print("| %s |\n|---|---|---:|---:|---:|---:|---:|---:|" % titles.replace("|", " | "))
    for quantize in QUANTIZATIONS[output_format]:
        files = [
            File(way, os.path.join(work, environment, quantize, way))
            for environment in sorted(os.listdir(work))
            for way in sorted(os.listdir(os.path.join(work, environment, quantize)))
        ]
        for shape in SHAPES[output_format]:
            print_shape(output_format, quantize, files, shape, rounds)


def print_shape(output_format, quantize, files, shape, rounds):
    """Prints the rows of files for one input shape; ratios are relative to the first file."""
    runs = [RUNNERS[output_format](file.path, inputs_of(shape)) for file in files]
    outputs = [run() for run in runs]
    ms = measured(runs, rounds)
    for file, output, of_file in zip(files, outputs, ms):
        largest = max(float(np.abs(one - other).max()) for one, other in zip(output, outputs[0]))
        cells = (quantize, file.way, os.path.getsize(file.path) / 1e6, "%dx%d" % shape)
        cells += (min(of_file), np.median(of_file), np.median(of_file / ms[0]), largest)
        print("| %s | %s | %.2f | %s | %.2f | %.2f | %.3f | %.1e |" % cells, flush=True)


def inputs_of(shape):
    """{name: int32 array} of random words without padding."""
    ids = np.random.RandomState(1).randint(5, 7000, shape).astype(np.int32)
    return dict(zip(NAMES, (ids, np.ones_like(ids), np.zeros_like(ids))))


def measured(runs, rounds):
    """Processor time of each round in milliseconds, one array per function."""
    ms = [[] for _ in runs]
    for run in runs:
        run()
    for _ in range(rounds):
        for run, of_run in zip(runs, ms):
            start, count = time.process_time(), 0
            while time.process_time() < start + SECONDS_OF_TURN:
                run()
                count += 1
            of_run.append(1000 * (time.process_time() - start) / count)
    return [np.array(of_run) for of_run in ms]


def onnx_run(path, inputs):
    """A function that runs an ONNX file and returns its outputs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, inputs)


def tflite_run(path, inputs):
    """A function that runs a TFLite file with LiteRT and returns its outputs."""
    from albert_zh.export import to_tflite
    from albert_zh.inference.runtimes import litert

    with open(path, "rb") as stream:
        interpreter = litert.interpreter(stream.read(), num_threads=1)
    interpreter.allocate_tensors()
    names = dict(zip(to_tflite.INPUT_NAMES, NAMES))
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], inputs[names[detail["name"]]])

    def run():
        interpreter.invoke()
        details = sorted(interpreter.get_output_details(), key=lambda detail: detail["name"])
        return [interpreter.get_tensor(detail["index"]) for detail in details]

    return run


RUNNERS = {"onnx": onnx_run, "tflite": tflite_run}


if __name__ == "__main__":
    run_program(main)
