"""Reads and runs SavedModels with the API of TensorFlow 1, as TF Serving does."""

import os

import tensorflow.compat.v1 as tf
from tensorflow.core.protobuf import saved_model_pb2

from albert_zh.common import files


def meta_graph(path):
    """The meta graph of a SavedModel's folder, or of version 1 in a folder for TF Serving."""
    name = os.path.join(path, "saved_model.pb")
    if not os.path.exists(name):
        name = os.path.join(path, "1", "saved_model.pb")
    return saved_model_pb2.SavedModel.FromString(files.read_bytes(name)).meta_graphs[0]


def signatures_of(path):
    """{name: (names of inputs, names of outputs)} of a SavedModel, sorted."""
    signatures = meta_graph(path).signature_def
    return {n: (sorted(s.inputs), sorted(s.outputs)) for n, s in signatures.items()}


def operations_of(path):
    """The set of operation types in a SavedModel's graph and its functions."""
    graph = meta_graph(path).graph_def
    nodes = list(graph.node)
    for function in graph.library.function:
        nodes += function.node_def
    return {node.op for node in nodes}


def run_signature(path, name, **inputs):
    """Runs a signature.

    Args:
        path: folder for TF Serving, with version 1 of the SavedModel.
        name: name of the signature.
        **inputs: arrays, or lists of str.

    Returns:
        {name of an output: array}.
    """
    with tf.Graph().as_default(), tf.Session() as session:
        model = tf.saved_model.loader.load(session, ["serve"], os.path.join(path, "1"))
        signature = model.signature_def[name]
        assert set(inputs) == set(signature.inputs)
        feeds = {signature.inputs[key].name: encoded(value) for key, value in inputs.items()}
        return session.run({key: info.name for key, info in signature.outputs.items()}, feeds)


def encoded(value):
    """Texts as bytes; arrays unchanged."""
    is_texts = isinstance(value, (list, tuple))
    return [text.encode("utf-8") for text in value] if is_texts else value
