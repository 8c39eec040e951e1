"""Exports TensorFlow formats: frozen graphs (.pb), SavedModels for TensorFlow 2 and TF Serving."""

import collections
import os
from typing import Optional

import tensorflow.compat.v1 as tf

from albert_zh.common import files
from albert_zh.common.messages import say
from albert_zh.export import common as export_common
from albert_zh.export import comparison as export_comparison
from albert_zh.export import comparison_texts, exported_model, text_signatures
from albert_zh.export.comparison import Comparison, Examples
from albert_zh.export.exported_model import Model, Options
from albert_zh.model import graph_inputs
from albert_zh.model.checkpoints import checkpoint_names
from albert_zh.tasks import task_forms
from albert_zh.tasks.tables import label_rules

VERSION = "1"  # TF Serving loads the highest version number
SIGNATURES = {
    "classifier": "classify",
    "pretraining": "predict_masked",
    "encoder": "encode",
    "embedding": "embed",
}
EXTRA = "assets.extra"  # folder of a SavedModel for files that the graph does not read


def write_frozen(model: Model, examples: Examples, path: str, options: Options) -> Comparison:
    """Writes the graph with the weights as constants.

    It has the outputs of the task and all other outputs of the model: `logits`,
    `cls/predictions/truediv`, `pooled_output` ...

    Args:
        model: the exported model.
        examples: `comparison.Examples`, texts with the checkpoint's outputs.
        path: the .pb file.
        options: options of the export.

    Returns:
        `comparison.Comparison` of the graph with the checkpoint.
    """
    shape = (None, options.seq_length)
    heads = [head for head in exported_model.TASKS[options.task].heads if head in model.heads]
    names = [name for head in heads for name in exported_model.outputs_of_head(model, head)]
    names += exported_model.TASKS["encoder"].outputs
    names += [graph_inputs.SENTENCE_OUTPUT] if model.sentence_notes else []
    graph_def = export_common.frozen_graph(model, names, heads=heads, shape=shape)
    with export_common.file_to_export(path) as partial:
        with open(partial, "wb") as stream:
            stream.write(graph_def.SerializeToString())
        comparison = _check_frozen(partial, examples, options.limits, path)
        export_common.write_companions(model, os.path.dirname(path) or ".")
    return comparison


def _check_frozen(partial, examples, limits, path):
    graph_def = tf.GraphDef()
    graph_def.ParseFromString(files.read_bytes(partial))
    settings = tf.ConfigProto()  # optimizing a graph that holds its weights takes gigabytes
    settings.graph_options.rewrite_options.disable_meta_optimizer = True
    with tf.Graph().as_default(), tf.Session(config=settings) as session:
        tf.import_graph_def(graph_def, name="")

        def run(row):
            feeds = {name + ":0": array for name, array in row.items()}
            return session.run([name + ":0" for name in examples.output_names], feeds)

        return examples.check(run, limits, path)


def write_servable(model_dir: str, path: str, threshold: Optional[float] = None) -> Comparison:
    """Writes the SavedModel of a fine-tuned model folder.

    Args:
        model_dir: the model folder.
        path: the folder for TF Serving.
        threshold: value that the classifier's signature returns for each row, or None.

    Returns:
        `comparison.Comparison` of the SavedModel with the checkpoint.
    """
    options = Options(
        task="classifier",
        seq_length=None,
        quantize="none",
        limits=export_comparison.limits("none"),
        texts=[],
        integer_only=False,
        metadata=False,
    )
    model = export_common.read_model(model_dir, options.task)
    texts = comparison_texts.to_compare(model, options)
    examples = Examples(model, options.task, export_common.session_of, texts)
    return write_saved_model(model, examples, path, options, threshold)


def write_saved_model(
    model: Model,
    examples: Examples,
    path: str,
    options: Options,
    threshold: Optional[float] = None,
) -> Comparison:
    """Writes a SavedModel to `path`/1, with a signature for each head of the model.

    Args and Returns as in `write_frozen`; `path` is the model's folder for TF Serving, `threshold`
    as in `write_servable`.
    """
    folder = os.path.join(path, VERSION)
    reason = text_signatures.why_none(model)
    if reason:
        say("note: the SavedModel has no signatures that take texts: %s", reason)
    of_texts = None if reason else text_signatures.TextSignatures(model, options)
    with export_common.folder_to_export(folder) as partial:
        settings = {
            "shape": (None, options.seq_length),
            "use_resource": True,
            "default_inputs": of_texts and of_texts.rows,
        }
        with export_common.session_of(model, **settings) as (session, graph):
            signatures = _signatures(model, graph, options.task, threshold)
            if of_texts:
                signatures = of_texts.beside(signatures, graph)
            build = tf.saved_model.signature_def_utils.predict_signature_def
            builder = tf.saved_model.Builder(partial)
            builder.add_meta_graph_and_variables(
                session,
                [tf.saved_model.tag_constants.SERVING],
                signature_def_map={name: build(*signatures[name]) for name in signatures},
                main_op=tf.tables_initializer(),
                strip_default_attrs=True,
            )
            builder.save()
        extra = os.path.join(partial, EXTRA)
        os.makedirs(extra)
        export_common.write_companions(model, extra)
        return _check_saved_model(partial, examples, options, folder, of_texts)


def _signatures(model, graph, task, threshold):
    """{name: (inputs, outputs)} for every head, with the task's signature as the default."""
    inputs = collections.OrderedDict((n, graph.inputs[n]) for n in graph_inputs.ENCODER_INPUTS)
    encoder_outputs = {
        name: graph.outputs[name] for name in exported_model.TASKS["encoder"].outputs
    }
    signatures = {"encode": (inputs, encoder_outputs)}
    if model.sentence_notes:
        name = graph_inputs.SENTENCE_OUTPUT
        signatures["embed"] = (inputs, {name: graph.outputs[name]})
    if checkpoint_names.TASK_HEAD in model.heads:
        outputs = {name: graph.outputs[name] for name in model.kind.decoded_outputs}
        if model.kind.is_classification and model.kind.rules.has_classes:
            outputs["labels"] = _decided_labels(model, graph.outputs)
        if threshold is not None:
            rows = tf.shape(graph.inputs["input_ids"])[:1]
            outputs["threshold"] = tf.fill(rows, tf.constant(threshold, tf.float32))
        further = {name: graph.inputs[name] for name in model.further_inputs(model.heads)}
        signatures["classify"] = (dict(inputs, **further), outputs)
    if "masked_lm" in model.heads:
        positions = {"masked_lm_positions": graph.inputs["masked_lm_positions"]}
        names = exported_model.outputs_of(model, "pretraining")
        outputs = {name: graph.outputs[name] for name in names}
        signatures["predict_masked"] = (dict(inputs, **positions), outputs)
    signatures[tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY] = signatures[SIGNATURES[task]]
    return signatures


def _decided_labels(model, outputs):
    """The label of each row, or all of its labels joined by the separator; string [B]."""
    labels = tf.constant(model.labels)
    if not model.kind.rules.has_several_labels:
        return tf.gather(labels, tf.argmax(outputs["logits"], axis=-1), name="labels")
    separator = model.settings.get("label_separator") or task_forms.SEPARATOR
    least = model.settings.get("thresholds") or label_rules.DEFAULT_THRESHOLD
    is_there = outputs["probabilities"] >= least  # [B, C]
    ended = tf.tile((labels + separator)[None], [tf.shape(is_there)[0], 1])
    joined = tf.strings.reduce_join(tf.where(is_there, ended, tf.fill(tf.shape(ended), "")), axis=1)
    return tf.strings.regex_replace(joined, r"\Q%s\E$" % separator, "", name="labels")


def _check_saved_model(folder, examples, options, name, of_texts):
    with tf.Graph().as_default() as graph, tf.Session() as session:
        meta = tf.saved_model.loader.load(session, [tf.saved_model.tag_constants.SERVING], folder)
        if of_texts:
            of_texts.check(session, meta.signature_def, examples.texts, name)
        signature = meta.signature_def[SIGNATURES[options.task]]
        outputs = [
            graph.get_tensor_by_name(signature.outputs[output].name)
            for output in examples.output_names
        ]

        def run(row):
            feeds = {signature.inputs[key].name: array for key, array in row.items()}
            return session.run(outputs, feeds)

        return examples.check(run, options.limits, name)
