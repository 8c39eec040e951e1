r"""Creates a frozen graph from a checkpoint and its .meta file, like TensorFlow 1's freeze_graph.

    export PATH="$PWD/scripts:$PATH"    # with freeze_graph and tflite_convert in it
    cd prev_trained_model/albert_tiny_zh
    freeze_graph --input_checkpoint=./albert_model.ckpt --output_graph=/tmp/albert.pb \
        --output_node_names=cls/predictions/truediv --checkpoint_version=1 \
        --input_meta_graph=./albert_model.ckpt.meta --input_binary=true

TensorFlow 2 no longer installs a command of this name. The .meta file of a training run contains
the input pipeline and cannot be used elsewhere; it is replaced by a graph built from the config in
the checkpoint's folder. export_model.py supports more formats, and classifiers.
"""

import contextlib
import logging
import os
import warnings

from absl import flags
from google.protobuf.message import DecodeError

from albert_zh.common.errors import (  # first: it silences TensorFlow's log
    UserError,
    printable,
    run_command,
)

# isort: split
import tensorflow.compat.v1 as tf

from albert_zh.common import files, output_files, path_rules, storage, system_errors
from albert_zh.export import common as export_common
from albert_zh.export import exported_model
from albert_zh.inference import files_beside
from albert_zh.model import inference_graph
from albert_zh.model.checkpoints import (
    checkpoint_files,
    checkpoint_names,
    checkpoint_values,
    packed_weights,
)

__all__ = [
    "INPUT_OF_TRAINING",
    "define_flags",
    "main",
    "restore",
    "run",
]

FLAGS = flags.FLAGS
INPUT_OF_TRAINING = ("IteratorGetNext", "QueueDequeueV2", "InfeedDequeueTuple")


def define_flags() -> None:
    """Defines the command's flags: the flags of TensorFlow's freeze_graph."""
    flags.DEFINE_string("input_checkpoint", None, "Prefix of the checkpoint.")
    flags.DEFINE_string("output_graph", None, "File to write the frozen graph to.")
    flags.DEFINE_string("output_node_names", None, "Names of the output nodes, comma-separated.")
    flags.DEFINE_string("input_meta_graph", None, "The .meta file; default: the checkpoint's.")
    flags.DEFINE_integer("checkpoint_version", 2, "Not needed: the version is read from the files.")
    flags.DEFINE_boolean("input_binary", True, "Not needed: .meta files are binary.")
    flags.DEFINE_boolean("clear_devices", True, "Whether to remove device names from the nodes.")
    path_rules.serve_remote(FLAGS, ("input_checkpoint", "output_graph", "input_meta_graph"))


def run() -> None:
    """Writes the frozen graph and prints its inputs and outputs."""
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of deprecated functions
    for name in ("input_checkpoint", "output_graph", "output_node_names"):
        if not FLAGS[name].value:
            raise UserError("--%s is required (%s)" % (name, FLAGS[name].help.rstrip(".")))
    prefix = checkpoint_files.find_checkpoint(FLAGS.input_checkpoint)
    checkpoint_values.check_readable(prefix)
    outputs = [name.strip() for name in FLAGS.output_node_names.split(",")]
    with tf.Graph().as_default() as graph, tf.Session() as session:
        restore(session, prefix, FLAGS.input_meta_graph or prefix + ".meta")
        _check_outputs(graph, outputs)
        frozen = export_common.frozen(session, outputs)
    with output_files.atomic_write(FLAGS.output_graph, "wb") as stream:
        stream.write(frozen.SerializeToString())
    inputs = [node.name for node in frozen.node if node.op == "Placeholder"]
    print(printable("written    %s (%.2f MB)" % (FLAGS.output_graph, frozen.ByteSize() / 1e6)))
    print("inputs     " + ", ".join(inputs))
    print("outputs    " + ", ".join(outputs))


def restore(session: tf.Session, prefix: str, meta_file: str) -> None:
    """Loads the nodes of a .meta file and a checkpoint's values into a session's empty graph."""
    named = packed_weights.as_named(prefix)
    if not storage.exists(meta_file) and named != prefix:
        meta_file, reason = named, "has packed weights and no .meta file"
    elif not storage.exists(meta_file):
        reason = "does not exist"
    else:
        meta_graph = _read_meta_graph(meta_file)
        training_inputs = {node.op for node in meta_graph.graph_def.node} & set(INPUT_OF_TRAINING)
        if not training_inputs:
            try:
                saver = tf.train.import_meta_graph(meta_graph, clear_devices=FLAGS.clear_devices)
                if saver is None:
                    raise ValueError("it has no variables")
                saver.restore(session, prefix)
            except (tf.errors.OpError, ValueError) as error:
                raise UserError(
                    "%s does not belong to the checkpoint %s: %s"
                    % (meta_file, prefix, system_errors.reason(error))
                ) from error
            return
        reason = "contains the input pipeline of training (%s)" % ", ".join(sorted(training_inputs))
    print("note: %s %s: the graph is built from the config" % (meta_file, reason))
    _build(session, prefix)


def _read_meta_graph(path):
    meta_graph = tf.MetaGraphDef()
    with contextlib.suppress(DecodeError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        meta_graph.ParseFromString(files.read_bytes(path))
    if not meta_graph.graph_def.node:
        raise UserError(
            "--input_meta_graph=%s: not a .meta file written by TensorFlow: leave the flag out; if "
            "there is no .meta file next to the checkpoint, the graph is built from the config"
            % path
        )
    return meta_graph


def _build(session, prefix):
    folder = os.path.dirname(prefix) or "."
    config = export_common.read_config(folder, points_to_best=False)
    settings = files_beside.FilesBeside(folder).settings
    shapes = checkpoint_names.with_canonical_names(checkpoint_values.read_shapes(prefix))
    num_labels = shapes.get("output_weights", [None])[0]
    heads = inference_graph.heads_built_here(shapes, settings)
    inference_graph.build_for_converter(config, heads, num_labels, settings)
    export_common.load_weights(session, prefix)


def _check_outputs(graph, names):
    there = {operation.name for operation in graph.get_operations()}
    lacking = [name for name in names if name not in there]
    if lacking:
        usual = [output for _, outputs in checkpoint_names.HEADS.values() for output in outputs]
        usual += exported_model.TASKS["encoder"].outputs
        raise UserError(
            "--output_node_names=%s: the graph has no %s; it has %s (export_model.py "
            "--format=frozen writes the heads of all tasks)"
            % (",".join(names), ", ".join(lacking), ", ".join(n for n in usual if n in there))
        )


def main() -> None:
    """Runs the command line."""
    define_flags()
    run_command(run, description=__doc__)
