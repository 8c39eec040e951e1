"""A model's graph for use: placeholders in, outputs of fixed names, no iterator and no training.

Everything that is exported is made of it, and so is the `albert_model.ckpt.meta` beside a model
folder's checkpoint, which makes the two old commands to TFLite (`freeze_graph`, `tflite_convert`)
work. The names of inputs and outputs are those of the graphs that albert_zh released.
"""

import collections
import os

import tensorflow.compat.v1 as tf

from errors import UserError
import files
import modeling
import objectives

# What a model folder calls the settings of its fine-tuning.
FINE_TUNING_FILE = "fine_tuning.json"
ENCODER_INPUTS = ("input_ids", "input_mask", "segment_ids")
MASKED_LM_LOSS = "cls/predictions/truediv"
_NO_WEIGHTS = 1e-5  # added to the sum of the weights, as in training
# A variable that each head has, and what the head puts out.
HEADS = collections.OrderedDict(
    [
        ("classification", ("output_weights", ("probabilities", "logits"))),
        ("masked_lm", ("cls/predictions/output_bias", ("masked_lm_log_probs", MASKED_LM_LOSS))),
        ("sentence_order", ("cls/seq_relationship/output_weights", ("sentence_order_log_probs",))),
    ]
)

Graph = collections.namedtuple("Graph", ["inputs", "outputs"])
Graph.__doc__ = """Tensors of a graph for use, each {name: tensor}.

Inputs: `input_ids`, `input_mask`, `segment_ids` int [B, F]; of the masked words also
`masked_lm_positions`, `masked_lm_ids` int and `masked_lm_weights` float [B, P].
Outputs: `sequence_output` [B, F, H], `pooled_output` [B, H], and as far as there are heads
`logits`, `probabilities` [B, C], `masked_lm_log_probs` [B, P, V], `cls/predictions/truediv` []
(the loss), `sentence_order_log_probs` [B, 2].
"""


def notes_of_folder(folder):
    """What fine-tuning noted of the model in a folder, as of `read_notes`; {} for other models."""
    return read_notes(os.path.join(folder, FINE_TUNING_FILE))


def read_notes(path):
    """What a fine_tuning.json says.

    Args:
        path: the file, which may be missing; or None.

    Returns:
        dict; {} without the file.

    Raises:
        UserError: if it is no JSON object.
    """
    notes = files.read_json(path) if path and os.path.exists(path) else {}
    if not isinstance(notes, dict):
        raise UserError("%s: expected the JSON object that training wrote there" % path)
    return notes


def heads_of(names):
    """The heads whose variables are among names, a list of keys of `HEADS`."""
    return [head for head, (mark, _) in HEADS.items() if mark in names]


def build(
    config,
    heads,
    num_labels=None,
    settings=None,
    shape=(None, None),
    input_names=ENCODER_INPUTS,
    takes_flat_segments=False,
    output_positions=None,
):
    """Builds the graph of a model for use in the default graph.

    Args:
        config: `AlbertConfig`.
        heads: keys of `HEADS`.
        num_labels: classes of the classification head, C.
        settings: content of the folder's `FINE_TUNING_FILE`: `pooling` and `objective`.
        shape: (B, F), None for any.
        input_names: names of the three encoder inputs in place of `ENCODER_INPUTS`.
        takes_flat_segments: bool; segments may also be [B * F], as in albert_zh's graphs.
        output_positions: see `modeling.AlbertModel`; `sequence_output` is [B, K, H] then.

    Returns:
        `Graph`, whose keys are the usual names in any case.
    """
    shapes = (shape, shape, None if takes_flat_segments else shape)
    inputs = collections.OrderedDict(
        (key, tf.placeholder(tf.int32, input_shape, name))
        for key, input_shape, name in zip(ENCODER_INPUTS, shapes, input_names)
    )
    ids, mask, segments = inputs.values()
    if takes_flat_segments:
        segments = tf.reshape(segments, tf.shape(ids))
    outputs = collections.OrderedDict()
    # Plain variables are what every freezing tool understands.
    with tf.variable_scope(tf.get_variable_scope(), use_resource=False):
        model = modeling.AlbertModel(
            config, False, ids, mask, segments, output_positions=output_positions
        )
        outputs["sequence_output"] = model.get_sequence_output()
        outputs["pooled_output"] = model.get_pooled_output()
        if "classification" in heads:
            outputs.update(_classification(config, model, mask, num_labels, settings or {}))
        if "masked_lm" in heads:
            outputs.update(_masked_lm(config, model, inputs, shape[0]))
        if "sentence_order" in heads:
            labels = tf.zeros_like(ids[:, 0])
            head = modeling.sentence_order_head(config, model.get_pooled_output(), labels)
            outputs["sentence_order_log_probs"] = head.log_probs
    for name, tensor in outputs.items():
        if tensor.op.name != name:
            outputs[name] = tf.identity(tensor, name)
    return Graph(inputs, outputs)


def _classification(config, model, mask, num_labels, settings):
    pooled = objectives.pooled_output(model, mask, settings.get("pooling", "cls"))
    head = modeling.classification_head(config, pooled, None, num_labels, is_training=False)
    objective = settings.get("objective", "single_label")
    return {
        "logits": head.logits,
        "probabilities": objectives.probabilities(head.logits, objective),
    }


def _masked_lm(config, model, inputs, batch):
    """Log probabilities and loss of the masked words; adds their inputs."""
    for key, dtype in (("positions", tf.int32), ("ids", tf.int32), ("weights", tf.float32)):
        name = "masked_lm_" + key
        inputs[name] = tf.placeholder(dtype, [batch, None], name)
    given = [inputs["masked_lm_" + key] for key in ("positions", "ids", "weights")]
    with tf.name_scope("masked_lm"):
        head = modeling.masked_lm_head(config, model, *given)
        # The head's own loss has an operation that TensorFlow Lite lacks.
        targets = tf.one_hot(tf.reshape(given[1], [-1]), config.vocab_size)
        losses = -tf.reduce_sum(targets * head.log_probs, axis=-1)  # [B * P]
        weights = tf.reshape(given[2], [-1])
        numerator = tf.reduce_sum(weights * losses)
        denominator = tf.reduce_sum(weights) + _NO_WEIGHTS
        log_probs = tf.reshape(head.log_probs, [-1, tf.shape(given[0])[1], config.vocab_size])
    with tf.name_scope("cls/predictions/"):
        loss = tf.divide(numerator, denominator, name="truediv")
    return {"masked_lm_log_probs": log_probs, MASKED_LM_LOSS: loss}


def write_meta_graph(path, config, shapes, settings=None):
    """Writes the graph for use of a checkpoint, with every head that it has, if the two fit.

    Args:
        path: the .meta file.
        config: `AlbertConfig`.
        shapes: {name: shape} of the checkpoint's variables.
        settings: as in `build`.
    """
    num_labels = shapes.get("output_weights", [None])[0]
    with tf.Graph().as_default():
        build(config, heads_of(shapes), num_labels, settings, takes_flat_segments=True)
        found = {variable.op.name: variable.shape.as_list() for variable in tf.global_variables()}
        if all(shapes.get(name) == shape for name, shape in found.items()):
            tf.train.Saver().export_meta_graph(path, clear_devices=True, strip_default_attrs=True)
