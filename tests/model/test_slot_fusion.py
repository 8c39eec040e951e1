"""Slot fusion: label embeddings, attention, gate and context, compared with NumPy."""

import math

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.model import slot_fusion
from albert_zh.model.config import AlbertConfig
from albert_zh.model.slot_fusion import SlotSettings
import numpy_encoder
import variable_values

ROWS, LENGTH, HIDDEN, NAMES = 3, 5, 8, ("city", "singer", "song")
CONFIG = AlbertConfig(
    vocab_size=30,
    hidden_size=HIDDEN,
    num_attention_heads=2,
    hidden_dropout_prob=0.5,
    attention_probs_dropout_prob=0.5,
)
MASK = np.array([[1] * 5, [1] * 4 + [0], [1] * 3 + [0] * 2])
SLOTS = np.zeros([ROWS, LENGTH, len(NAMES)], np.int32)
SLOTS[0, 1], SLOTS[0, 2], SLOTS[1, 3] = [1, 0, 1], [0, 1, 0], [0, 0, 1]  # the third row has none


def sequences():
    return np.random.RandomState(1).randn(ROWS, LENGTH, HIDDEN).astype(np.float32)


def run(settings, sequence, slots=SLOTS, is_training=False, weights=None):
    """Returns (output, {name: array} of its variables)."""
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(1)
        output = slot_fusion.fused_output(
            tf.constant(sequence),
            tf.constant(slots),
            tf.constant(MASK),
            CONFIG,
            settings,
            is_training,
        )
        session.run(tf.global_variables_initializer())
        variables = tf.trainable_variables()
        if weights:
            variable_values.assign(session, {v: weights[v.op.name] for v in variables})
        arrays = session.run(variables)
        return session.run(output), {v.op.name: a for v, a in zip(variables, arrays)}


def softmax(x):
    x = np.exp(x - x.max(axis=-1, keepdims=True))
    return x / x.sum(axis=-1, keepdims=True)


def expected_row(weights, settings, h, slots, mask):
    """Computes the formulas position by position: h [F, H], slots [F, S], mask [F]."""

    def dense(x, name):
        return x @ weights["slots/%s/kernel" % name] + weights["slots/%s/bias" % name]

    table = weights["slots/label_embeddings"]
    rows = []
    for labels in slots:
        numbers = np.flatnonzero(labels)
        rows.append(np.mean([table[1 + n] for n in numbers], axis=0) if len(numbers) else table[0])
    v = dense(np.array(rows), "label")
    if settings.attention:
        u = dense(h, "text")
        seen = [j for j in range(len(h)) if mask[j] and slots[j].any()]
        seen = seen or [j for j in range(len(h)) if mask[j]]
        weighed = [softmax(x @ v[seen].T / math.sqrt(v.shape[1])) @ v[seen] for x in u]
        v = np.array(weighed)
    s = dense(v, "output")
    z = h + s
    if settings.gate:
        g = 1 / (1 + np.exp(-dense(np.concatenate([h, s], axis=1), "gate")))
        z = g * h + (1 - g) * s
    if not settings.context:
        return z
    attended = numpy_encoder._attention(weights, "slots/", z[None], mask[None], 2)[0]
    return numpy_encoder._normalized(weights, "slots/attention/output/LayerNorm", z + attended)


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"attention": False},
        {"gate": False},
        {"context": False},
        {"attention": False, "gate": False, "context": False},
    ],
)
def test_each_part_is_the_formula(parts):
    settings = SlotSettings(NAMES, label_width=4, width=6, **parts)
    sequence = sequences()
    _, weights = run(settings, sequence)
    draw = np.random.RandomState(2)
    weights = {
        name: (array + 0.3 * draw.randn(*array.shape)).astype(np.float32)
        for name, array in weights.items()
    }
    output, _ = run(settings, sequence, weights=weights)
    for row in range(ROWS):
        length = MASK[row].sum()
        expected = expected_row(weights, settings, sequence[row], SLOTS[row], MASK[row])
        np.testing.assert_allclose(output[row, :length], expected[:length], rtol=1e-4, atol=1e-5)


def test_names_and_shapes_of_variables():
    _, weights = run(SlotSettings(NAMES, label_width=4, width=6), sequences())
    shapes = {name: array.shape for name, array in weights.items()}
    assert shapes["slots/label_embeddings"] == (4, 4)
    assert shapes["slots/text/kernel"] == (HIDDEN, 6)
    assert shapes["slots/label/kernel"] == (4, 6)
    assert shapes["slots/output/kernel"] == (6, HIDDEN)
    assert shapes["slots/gate/kernel"] == (2 * HIDDEN, HIDDEN)
    assert shapes["slots/attention/self/query/kernel"] == (HIDDEN, HIDDEN)
    assert all(name.startswith("slots/") for name in shapes)


@pytest.mark.parametrize(
    "parts, names",
    [
        ({"attention": False}, {"label_embeddings", "label", "output", "gate", "attention"}),
        ({"gate": False}, {"label_embeddings", "label", "text", "output", "attention"}),
        ({"context": False}, {"label_embeddings", "label", "text", "output", "gate"}),
    ],
)
def test_parts_that_are_off_have_no_variables(parts, names):
    _, weights = run(SlotSettings(NAMES, **parts), sequences())
    assert {name.split("/")[1] for name in weights} == names


def test_padding_does_not_matter():
    settings = SlotSettings(NAMES, label_width=4, width=6)
    other, slots = sequences(), SLOTS.copy()
    other[2, 3:] += 50
    slots[2, 3:] = 1
    first, _ = run(settings, sequences())
    second, _ = run(settings, other, slots)
    np.testing.assert_allclose(first[2, :3], second[2, :3], rtol=1e-5)


def test_only_a_step_of_training_drops_slots():
    head = {"slots": {"names": list(NAMES), "dropout": 0.999999}}
    with tf.Graph().as_default(), tf.Session() as session:
        features = {"slots": tf.constant(SLOTS), "input_ids": tf.constant(MASK)}
        seen = session.run(slot_fusion.features_of_step(features, head))
    assert not seen["slots"].any() and (seen["input_ids"] == MASK).all()


def test_dropout_takes_whole_rows_of_slots():
    with tf.Graph().as_default(), tf.Session() as session:
        tf.train.get_or_create_global_step()
        session.run(tf.global_variables_initializer())
        kept = session.run(slot_fusion.dropped_slots(tf.ones([4000, 2, 3]), 0.3))
    assert set(kept.reshape(4000, -1).mean(axis=1)) == {0.0, 1.0}
    assert abs(kept.mean() - 0.7) < 0.03
