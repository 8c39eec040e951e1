"""Graph of a task's encoder and head. Shapes: B rows, F tokens, C outputs, [V, E] word table."""

import contextlib
from typing import Any, Callable, Dict, Iterator, List, Optional

import tensorflow.compat.v1 as tf

from albert_zh.model.config import with_each_layer_once
from albert_zh.model.encoder import AlbertModel
from albert_zh.tasks import registry
from albert_zh.tasks import settings as task_settings

_LENGTH = 4  # length of the row in a graph that is only built to list its variables
WORD_TABLES = ("bert/embeddings/word_embeddings", "electra/embeddings/word_embeddings")


def outputs_builder(
    config: Any,
    features: Dict[str, tf.Tensor],
    num_outputs: int,
    settings: Any,
    is_training: bool,
    **model_settings: Any,
) -> Callable[..., Any]:
    """Returns the function that `training_loss` calls to get a head's outputs.

    Args:
        config: `AlbertConfig`.
        features: dict of input_ids, input_mask and segment_ids, int tensors [B, F].
        num_outputs: int, C.
        settings: `Settings`.
        is_training: bool.
        **model_settings: further arguments of `AlbertModel`; with `plain`, the last layer is
            computed at all positions, not only at those that the outputs need.

    Returns:
        function of a change of the word table, or None -> {name: tensor [B, ...]}, as returned by
        `TaskType.outputs`.
    """
    kind = registry.get(settings.objective)
    num_built = [0]
    positions = None if model_settings.get("plain") else kind.output_positions(settings)

    def encoder(rows, config, **further):
        return AlbertModel(
            config,
            is_training,
            rows["input_ids"],
            rows["input_mask"],
            rows["segment_ids"],
            scope=config.scope,
            **dict(dict(model_settings, output_positions=positions), **further),
        )

    def build(change=None):
        is_first = not num_built[0]
        num_built[0] += 1
        with contextlib.ExitStack() as stack:
            if not is_first:
                stack.enter_context(changed_word_table(change))
            model = encoder if kind.builds_encoder else encoder(features, config)
            return kind.outputs(config, model, features, num_outputs, settings, is_training)

    return build


def head_builder(notes: Dict[str, Any], num_outputs: int) -> Callable[..., Any]:
    """Returns the function that `inference_graph.build` calls to build a task's head.

    Args:
        notes: content of the model's fine_tuning.json.
        num_outputs: int, C.
    """
    settings = task_settings.of_notes(notes)
    kind = registry.get(settings.objective)

    def build(config, model, features):
        return kind.outputs(config, model, features, num_outputs, settings, False)

    return build


def expected_shapes(
    config: Any, num_outputs: int, settings: Any, columns: Any
) -> Dict[str, List[int]]:
    """{name: shape} of a model's variables, encoder and head, without allocating them.

    Args:
        config: `AlbertConfig`.
        num_outputs: int, C.
        settings: `Settings`.
        columns: {name: `task_type.Column`} of the task.
    """
    with tf.Graph().as_default():
        features = {
            name: tf.zeros([1, _LENGTH], tf.int32)
            for name in ("input_ids", "input_mask", "segment_ids")
        }
        for name, column in columns.items():
            dtype = tf.float32 if column.dtype == "float" else tf.int32
            length = [_LENGTH] if column.is_per_token else []
            features[name] = tf.zeros([1] + length + list(column.shape), dtype)
        once = with_each_layer_once(config)
        outputs_builder(once, features, num_outputs, settings, is_training=False)()
        return {v.op.name: v.shape.as_list() for v in tf.trainable_variables()}


@contextlib.contextmanager
def changed_word_table(change: Optional[tf.Tensor]) -> Iterator[None]:
    """A context that reuses the existing variables and adds a change to the word table.

    Args:
        change: float tensor [V, E], or None.
    """

    def changed(getter, name, *args, **kwargs):
        variable = getter(name, *args, **kwargs)
        return variable + change if change is not None and name in WORD_TABLES else variable

    scope = tf.get_variable_scope()
    with tf.variable_scope(scope, reuse=True, custom_getter=changed):
        yield
