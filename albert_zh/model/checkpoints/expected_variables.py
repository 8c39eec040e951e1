"""Names and shapes of the variables that a config requires, without allocating them."""

import collections
import copy
import functools
from typing import Dict, List, Optional, Sequence

import tensorflow.compat.v1 as tf

from albert_zh.model.checkpoints import checkpoint_files, checkpoint_matching
from albert_zh.model.config import AlbertConfig, with_each_layer_once
from albert_zh.model.encoder import AlbertModel
from albert_zh.model.heads import classification_head, masked_lm_head, sentence_order_head

MODEL_PARTS = ("encoder", "masked_lm", "sentence_order", "classification")


def expected_shapes(config: AlbertConfig, num_labels: Optional[int] = None) -> Dict[str, List[int]]:
    """{name: shape} of the variables that a config requires: an encoder, optionally a classifier.

    Args:
        config: `AlbertConfig`.
        num_labels: number of classes of the classifier; None for the encoder only.
    """
    components = ("encoder", "classification") if num_labels else ("encoder",)
    shapes = expected_shapes_by_part(config, num_labels or 2, components)
    return {name: shape for component in components for name, shape in shapes[component].items()}


def expected_shapes_by_part(
    config: AlbertConfig, num_labels: int = 2, parts: Sequence[str] = MODEL_PARTS
) -> Dict[str, Dict[str, List[int]]]:
    """Names and shapes of the variables that a config requires; nothing is allocated.

    Args:
        config: `AlbertConfig`.
        num_labels: number of classes of the classification head.
        parts: the items of `MODEL_PARTS` to include.

    Returns:
        OrderedDict, part -> {name: shape}.
    """
    found = _shapes_by_part(with_each_layer_once(config).values(), num_labels, tuple(parts))
    return copy.deepcopy(found)


@functools.lru_cache(maxsize=32)
def _shapes_by_part(settings, num_labels, parts):
    """As `expected_shapes_by_part`, cached by the config's `values` to build each graph once."""
    config = AlbertConfig(*settings)
    shapes = collections.OrderedDict()
    with tf.Graph().as_default():
        zero = tf.zeros([1, 1], tf.int32)
        model = AlbertModel(config, False, zero)
        pooled = model.get_pooled_output()
        heads = {
            "encoder": lambda: None,
            "masked_lm": lambda: masked_lm_head(config, model, zero, zero, zero),
            "sentence_order": lambda: sentence_order_head(config, pooled, zero),
            "classification": lambda: classification_head(
                config, pooled, None, num_labels, is_training=False
            ),
        }
        seen = set()
        for component in parts:
            heads[component]()
            variables = [v for v in tf.trainable_variables() if v.op.name not in seen]
            shapes[component] = {v.op.name: v.shape.as_list() for v in variables}
            seen.update(shapes[component])
    return shapes


def check_fits(config_file: str, path: str) -> None:
    """Checks that a checkpoint holds the encoder of a config.

    Args:
        config_file: config JSON.
        path: prefix or folder of a checkpoint.

    Raises:
        UserError: if it does not; the message says what is missing.
    """
    config = AlbertConfig.from_json_file(config_file)
    checkpoint_matching.assign(expected_shapes(config), checkpoint_files.find_checkpoint(path))
