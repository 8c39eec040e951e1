"""The inference graph of a model: placeholders in, outputs of fixed names, no training.

Every export is made from this graph, as is the `albert_model.ckpt.meta` next to the checkpoint of a
model folder, with which the two old commands to TFLite (`freeze_graph`, `tflite_convert`) work.
Inputs and outputs have the same names as in the graphs that albert_zh released.
"""

import collections
import copy
import functools
import json
import math
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

import tensorflow.compat.v1 as tf

from albert_zh.common import output_files
from albert_zh.model import classifier_output, graph_inputs, sentence_vectors
from albert_zh.model.activations import ACTIVATIONS
from albert_zh.model.checkpoints.checkpoint_names import MASKED_LM_LOSS, TASK_HEAD, heads_of
from albert_zh.model.config import AlbertConfig
from albert_zh.model.encoder import AlbertModel
from albert_zh.model.heads import classification_head, masked_lm_head, sentence_order_head

_NO_WEIGHTS = 1e-5  # added to the sum of the weights, as in training, against division by 0
Graph = collections.namedtuple("Graph", ["inputs", "outputs"])
Graph.__doc__ = """Input and output tensors of an inference graph, each {name: tensor}.

Inputs: `input_ids`, `input_mask`, `segment_ids` int [B, F]; with the masked-LM head also
`masked_lm_positions`, `masked_lm_ids` int and `masked_lm_weights` float [B, P].
Outputs: `sequence_output` [B, F, H], `pooled_output` [B, H]; of an embedding model
`sentence_embedding` [B, W]; of the heads that the graph has
`logits`, `probabilities` [B, C], `masked_lm_log_probs` [B, P, V], `cls/predictions/truediv` []
(the loss), `sentence_order_log_probs` [B, 2].
"""


def fusible_gelu(x: tf.Tensor) -> tf.Tensor:
    """`modeling.gelu` in the form that TensorFlow Lite's converter fuses into its operator GELU.

    In the usual form the converter folds the factors of x into the kernel of the layer before,
    which is then stored and multiplied three times.
    """
    inner = math.sqrt(2.0 / math.pi) * (x + 0.044715 * tf.pow(x, 3.0))
    return 0.5 * x * (1.0 + tf.tanh(inner))


ACTIVATIONS["fusible_gelu"] = fusible_gelu


def with_fusible_gelu(config: AlbertConfig) -> AlbertConfig:
    """A copy of an `AlbertConfig` for graphs that are converted to TensorFlow Lite."""
    config = copy.copy(config)
    if config.hidden_act == "gelu":
        config.hidden_act = "fusible_gelu"
    return config


def build(
    config: AlbertConfig,
    heads: Sequence[str],
    num_labels: Optional[int] = None,
    settings: Optional[Dict[str, Any]] = None,
    shape: Tuple[Optional[int], Optional[int]] = (None, None),
    input_names: Sequence[str] = graph_inputs.ENCODER_INPUTS,
    takes_flat_segments: bool = False,
    output_positions: Any = None,
    build_head: Optional[Callable[..., Any]] = None,
    sentence_notes: Optional[sentence_vectors.SentenceNotes] = None,
    further_inputs: Optional[Mapping[str, Any]] = None,
    default_inputs: Optional[Callable[[], Sequence[tf.Tensor]]] = None,
    use_resource: bool = False,
) -> Graph:
    """Builds the inference graph of a model in the default graph.

    If the length is not fixed, rows may have more tokens than the model has positions: the graph
    truncates them, so that the tokenizers of other libraries cannot make it fail. A truncated row
    lacks the final `[SEP]`; to keep it, truncate texts before they become ids, as `Predictor` does.

    Args:
        config: `AlbertConfig`.
        heads: keys of `HEADS`.
        num_labels: classes of the classification head, C.
        settings: content of the folder's `FINE_TUNING_FILE`: `pooling` and `objective`.
        shape: (B, F), None for any size.
        input_names: names of the three encoder inputs, instead of `ENCODER_INPUTS`.
        takes_flat_segments: bool; segments may also be [B * F], as in albert_zh's graphs.
        output_positions: see `modeling.AlbertModel`; `sequence_output` is then [B, K, H].
        build_head: function (config, model, {name of `ENCODER_INPUTS`: tensor}) -> {name: tensor}
            that builds the head of a task; None: a classifier.
        sentence_notes: how sentence vectors are computed; None: there are none.
        further_inputs: {name: column} of per-token inputs that the head of a task needs in addition
            to the encoder's inputs, see `KindFlags.further_inputs`; None for none.
        default_inputs: function () -> (ids, mask, segments), int32 [B, F], which the encoder uses
            if its inputs are not fed; None: they must be fed.
        use_resource: whether to use resource variables, as TensorFlow 2 does; every freezing tool
            understands plain (reference) variables.

    Returns:
        `Graph`, whose keys are the usual names even if `input_names` differ.
    """
    inputs = _encoder_inputs(shape, input_names, takes_flat_segments, default_inputs)
    ids, mask, segments = _rows_within_positions(config, inputs, takes_flat_segments, shape[1])
    further = _further_inputs(further_inputs, heads, shape)
    inputs.update(further)
    outputs = collections.OrderedDict()
    with tf.variable_scope(tf.get_variable_scope(), use_resource=use_resource):
        model = AlbertModel(config, False, ids, mask, segments, output_positions=output_positions)
        outputs["sequence_output"] = model.get_sequence_output()
        outputs["pooled_output"] = model.get_pooled_output()
        if sentence_notes:
            vectors = sentence_vectors.sentence_vector(model, mask, sentence_notes)
            outputs[graph_inputs.SENTENCE_OUTPUT] = vectors
        if TASK_HEAD in heads:
            build_head = build_head or _classifier(num_labels, settings or {})
            features = dict(zip(graph_inputs.ENCODER_INPUTS, (ids, mask, segments)))
            features.update((name, x[:, : tf.shape(ids)[1]]) for name, x in further.items())
            outputs.update(build_head(config, model, features))
        if "masked_lm" in heads:
            outputs.update(_masked_lm(config, model, inputs, shape))
        if "sentence_order" in heads:
            labels = tf.zeros_like(ids[:, 0])
            head = sentence_order_head(config, model.get_pooled_output(), labels)
            outputs["sentence_order_log_probs"] = head.log_probs
    return Graph(inputs, _named(outputs))


def _encoder_inputs(shape, names, takes_flat_segments, default_inputs):
    """{name of `ENCODER_INPUTS`: placeholder}; arguments as in `build`."""
    if default_inputs:
        return collections.OrderedDict(
            (key, tf.placeholder_with_default(default, shape, name))
            for key, name, default in zip(graph_inputs.ENCODER_INPUTS, names, default_inputs())
        )
    shapes = (shape, shape, None if takes_flat_segments else shape)
    return collections.OrderedDict(
        (key, tf.placeholder(tf.int32, input_shape, name))
        for key, input_shape, name in zip(graph_inputs.ENCODER_INPUTS, shapes, names)
    )


def _further_inputs(columns, heads, shape):
    """{name: placeholder} of the inputs that the head of a task needs besides the encoder's."""
    if not columns or TASK_HEAD not in heads:
        return {}
    return {
        name: graph_inputs.further_input(name, column, shape) for name, column in columns.items()
    }


def _named(outputs):
    """The outputs as tensors named by their keys."""
    return collections.OrderedDict(
        (name, tensor if tensor.op.name == name else tf.identity(tensor, name))
        for name, tensor in outputs.items()
    )


def _rows_within_positions(config, inputs, takes_flat_segments, length):
    """(ids, mask, segments), each [B, F], truncated to the number of positions of the model."""
    ids, mask, segments = (inputs[name] for name in graph_inputs.ENCODER_INPUTS)
    if takes_flat_segments:
        segments = tf.reshape(segments, tf.shape(ids))
    if length is not None:
        return ids, mask, segments
    longest = config.longest_sequence
    return tuple(rows[:, :longest] for rows in (ids, mask, segments))


def build_for_converter(
    config: AlbertConfig,
    heads: Sequence[str],
    num_labels: Optional[int] = None,
    settings: Optional[Dict[str, Any]] = None,
) -> Graph:
    """Builds the graph that the old commands freeze and convert; arguments as in `build`."""
    return build(with_fusible_gelu(config), heads, num_labels, settings, takes_flat_segments=True)


def _classifier(num_labels, settings):
    """The function that builds a classification head, see `build`."""

    def build_head(config, model, features):
        pooled = classifier_output.pooled_output(
            model, features["input_mask"], settings.get("pooling", "cls")
        )
        head = classification_head(config, pooled, None, num_labels, is_training=False)
        objective = settings.get("objective", "single_label")
        return {
            "logits": head.logits,
            "probabilities": classifier_output.probabilities(head.logits, objective),
        }

    return build_head


def _masked_lm(config, model, inputs, shape):
    """Log probabilities and loss of the masked words; adds their inputs."""
    for key, dtype in (("positions", tf.int32), ("ids", tf.int32), ("weights", tf.float32)):
        name = "masked_lm_" + key
        inputs[name] = tf.placeholder(dtype, [shape[0], None], name)
    given = [inputs["masked_lm_" + key] for key in ("positions", "ids", "weights")]
    if shape[1] is None:  # positions that were truncated become the last remaining one
        given[0] = tf.minimum(given[0], config.longest_sequence - 1)
    with tf.name_scope("masked_lm"):
        head = masked_lm_head(config, model, *given)
        # The loss of the head uses an operation that TensorFlow Lite lacks.
        targets = tf.one_hot(tf.reshape(given[1], [-1]), config.vocab_size)
        losses = -tf.reduce_sum(targets * head.log_probs, axis=-1)  # [B * P]
        weights = tf.reshape(given[2], [-1])
        numerator = tf.reduce_sum(weights * losses)
        denominator = tf.reduce_sum(weights) + _NO_WEIGHTS
        log_probs = tf.reshape(head.log_probs, [-1, tf.shape(given[0])[1], config.vocab_size])
    with tf.name_scope("cls/predictions/"):
        loss = tf.divide(numerator, denominator, name="truediv")
    return {"masked_lm_log_probs": log_probs, MASKED_LM_LOSS: loss}


def heads_built_here(shapes: Mapping[str, Sequence[int]], settings: Dict[str, Any]) -> List[str]:
    """The heads of a checkpoint that are built here; a task's only if it is a plain classifier.

    Args:
        shapes: {name: shape} of its variables.
        settings: content of its fine_tuning.json.
    """
    is_plain = settings.get("objective", "single_label") in classifier_output.OBJECTIVES
    is_built = is_plain and not settings.get("head")
    return [head for head in heads_of(shapes) if is_built or head != TASK_HEAD]


def write_meta_graph(
    path: str,
    config: AlbertConfig,
    shapes: Mapping[str, Sequence[int]],
    settings: Optional[Dict[str, Any]] = None,
) -> None:
    """Writes the inference graph of a checkpoint with all its heads, if config and weights fit.

    Args:
        path: the .meta file.
        config: `AlbertConfig`.
        shapes: {name: shape} of the checkpoint's variables.
        settings: as in `build`.
    """
    settings = settings or {}
    heads = heads_built_here(shapes, settings)
    num_labels = shapes.get("output_weights", [None])[0]
    built, meta_graph = _meta_graph(
        config.values(), tuple(heads), num_labels, json.dumps(settings, sort_keys=True)
    )
    if all(shapes.get(name) == shape for name, shape in built.items()):
        with output_files.atomic_write(path, "wb") as handle:
            handle.write(meta_graph)


@functools.lru_cache(maxsize=16)
def _meta_graph(config_values, heads, num_labels, settings_json):
    """({name: shape} of its variables, serialized), cached: training writes it many times."""
    with tf.Graph().as_default():
        config = AlbertConfig(*config_values)
        build_for_converter(config, heads, num_labels, json.loads(settings_json))
        built = {variable.op.name: variable.shape.as_list() for variable in tf.global_variables()}
        meta_graph = tf.train.Saver().export_meta_graph(
            clear_devices=True, strip_default_attrs=True
        )
    return built, meta_graph.SerializeToString()
