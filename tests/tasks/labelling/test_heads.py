"""Heads: losses compared with golden values and NumPy, variable names, predicted spans."""

import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.common.errors import UserError
from albert_zh.finetuning import flags as finetuning_flags
from albert_zh.model.config import AlbertConfig
from albert_zh.tasks import registry
from albert_zh.tasks.labelling import global_pointer, heads

ROWS, LENGTH, HIDDEN, TAGS = 3, 8, 12, 5
MASK = np.array([[1] * 8, [1] * 5 + [0] * 3, [1] * 2 + [0] * 6])  # 6, 3 and 0 pieces


def config(**settings):
    return AlbertConfig(vocab_size=30, hidden_size=HIDDEN, num_attention_heads=2, **settings)


def random(seed, *shape):
    return np.random.RandomState(seed).randn(*shape).astype(np.float32)


def computed(build, weights, fetches):
    """Evaluates tensors of a graph whose variables have been set to given values.

    Args:
        build: function that builds the graph and returns a `HeadOutput`.
        weights: {name: array}; its names have to be exactly the graph's variables.
        fetches: function that returns the tensors to evaluate, given the `HeadOutput`.
    """
    with tf.Graph().as_default(), tf.Session() as session:
        wanted = fetches(build())
        variables = tf.trainable_variables()
        assert {v.op.name: v.shape.as_list() for v in variables} == {
            name: list(value.shape) for name, value in weights.items()
        }
        session.run(tf.global_variables_initializer())
        for variable in variables:
            variable.load(weights[variable.op.name], session)
        return session.run(wanted)


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))


@pytest.fixture
def inputs():
    tag_ids = np.random.RandomState(2).randint(TAGS, size=[ROWS, LENGTH])
    return random(1, ROWS, LENGTH, HIDDEN), {"input_mask": MASK, "tag_ids": tag_ids}


WEIGHTS = {"output_weights": random(3, TAGS, HIDDEN), "output_bias": random(4, TAGS)}


def test_softmax_loss(inputs):
    encoded, features = inputs
    loss, logits, lengths = computed(
        lambda: heads.softmax_head(tf.constant(encoded), features, config(), TAGS, False),
        WEIGHTS,
        lambda out: [out.per_example_loss, out.predictions["logits"], out.predictions["lengths"]],
    )
    expected = encoded[:, 1:] @ WEIGHTS["output_weights"].T + WEIGHTS["output_bias"]
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
    assert list(lengths) == [6, 3, 0]
    log_probs = log_softmax(expected)
    for row, length in enumerate(lengths):
        gold = features["tag_ids"][row, 1 : 1 + length]
        of_gold = log_probs[row, np.arange(length), gold]
        np.testing.assert_allclose(loss[row], -of_gold.mean() if length else 0, rtol=1e-4)


def test_first_piece_behind_a_further_token(inputs):
    encoded, features = inputs
    logits, lengths = computed(
        lambda: heads.softmax_head(tf.constant(encoded), features, config(), TAGS, False, 2),
        WEIGHTS,
        lambda out: [out.predictions["logits"], out.predictions["lengths"]],
    )
    assert logits.shape == (ROWS, LENGTH - 2, TAGS) and list(lengths) == [5, 2, 0]


def test_crf_loss_is_of_all_paths(inputs):
    encoded, features = inputs
    weights = dict(WEIGHTS, **{"crf/transitions": random(5, TAGS, TAGS)})
    loss, logits, lengths = computed(
        lambda: heads.crf_head(tf.constant(encoded), features, config(), TAGS, False),
        weights,
        lambda out: [out.per_example_loss, out.predictions["logits"], out.predictions["lengths"]],
    )
    transitions = weights["crf/transitions"]
    gold = features["tag_ids"][:, 1:]
    for row, length in enumerate(lengths[:2]):
        alpha = np.exp(logits[row, 0].astype(float))
        for step in range(1, length):
            alpha = (alpha @ np.exp(transitions)) * np.exp(logits[row, step])
        tags = gold[row, :length]
        score = logits[row, np.arange(length), tags].sum()
        score += transitions[tags[:-1], tags[1:]].sum()
        np.testing.assert_allclose(loss[row], (np.log(alpha.sum()) - score) / length, rtol=1e-4)
    assert loss[2] == 0


@pytest.mark.parametrize("head", [heads.softmax_head, heads.crf_head])
def test_without_labels_there_is_no_loss(inputs, head):
    encoded, features = inputs
    with tf.Graph().as_default():
        output = head(
            tf.constant(encoded), {"input_mask": features["input_mask"]}, config(), 5, False
        )
        assert output.per_example_loss is None


def test_heads_normalize_what_pre_norm_encoders_do_not(inputs):
    encoded, features = inputs
    weights = dict(
        WEIGHTS,
        **{"loss/LayerNorm/beta": np.zeros(HIDDEN), "loss/LayerNorm/gamma": np.ones(HIDDEN)},
    )
    logits = computed(
        lambda: heads.softmax_head(
            tf.constant(encoded), features, config(ln_type="preln"), TAGS, False
        ),
        weights,
        lambda out: out.predictions["logits"],
    )
    x = encoded[:, 1:]
    x = (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)
    np.testing.assert_allclose(logits, x @ WEIGHTS["output_weights"].T + WEIGHTS["output_bias"],
                               rtol=1e-3, atol=1e-4)  # fmt: skip


# GlobalPointer


def test_global_pointer_golden(shared):
    with np.load(os.path.join(shared, "golden/labelling/global_pointer_formula.npz")) as arrays:
        golden = {name: arrays[name] for name in arrays.files}
    projected = golden["hidden"] @ golden["dense_kernel"] + golden["dense_bias"]
    projected = projected.reshape(2, 5, 3, 2, 4).transpose(3, 0, 2, 1, 4)
    with tf.Graph().as_default(), tf.Session() as session:
        scores = global_pointer.rotated_products(*map(tf.constant, projected))
        scores = global_pointer.masked_scores(scores, golden["lengths"])
        losses = global_pointer.span_loss(scores, tf.constant(golden["labels"]))
        scores, losses, loss = session.run([scores, losses, tf.reduce_mean(losses)])
    is_pair = golden["scores"] > -1e20
    np.testing.assert_allclose(scores[is_pair], golden["scores"][is_pair], rtol=1e-10)
    assert scores[~is_pair].max() < -1e11
    np.testing.assert_allclose(losses, golden["loss_per_head"], rtol=1e-10)
    np.testing.assert_allclose(loss, golden["loss"], rtol=1e-10)


SPANS = {
    "input_mask": MASK,
    "span_types": np.array([[0, 2, 2, -1], [1, -1, -1, -1], [-1] * 4]),
    "span_starts": np.array([[0, 3, 3, 0], [2, 0, 0, 0], [0] * 4]),
    "span_ends": np.array([[1, 5, 3, 0], [2, 0, 0, 0], [0] * 4]),
}
SIZE, TYPES = 4, 3


def rotated(x, size):
    """Returns x [P, D] as complex numbers [P, D / 2], rotated by their positions."""
    pairs = x[:, 0::2] + 1j * x[:, 1::2]
    rates = 10000.0 ** (-2.0 * np.arange(size // 2) / size)
    return pairs * np.exp(1j * np.arange(len(x))[:, None] * rates)


def expected_loss(scores, row, length):
    """Computes the loss of a row from its `scores` [C, P, P]."""
    losses = []
    for entity_type in range(TYPES):
        gold = {
            (s, e)
            for t, s, e in zip(*(SPANS[n][row] for n in ("span_types", "span_starts", "span_ends")))
            if t == entity_type
        }
        pairs = [(i, j) for i in range(length) for j in range(i, length)]
        none = sum(np.exp(scores[entity_type][p]) for p in pairs if p not in gold)
        losses.append(np.log1p(none) + np.log1p(sum(np.exp(-scores[entity_type][p]) for p in gold)))
    return np.mean(losses)


def test_global_pointer_head():
    encoded = random(1, ROWS, LENGTH, HIDDEN)
    weights = {
        "global_pointer/dense/kernel": random(6, HIDDEN, TYPES * 2 * SIZE),
        "global_pointer/dense/bias": random(7, TYPES * 2 * SIZE),
    }
    loss = computed(
        lambda: global_pointer.global_pointer_head(
            tf.constant(encoded), SPANS, config(), TYPES, False, head_size=SIZE
        ),
        weights,
        lambda output: output.per_example_loss,
    )
    for row, length in enumerate([6, 3, 0]):
        x = encoded[row, 1:] @ weights["global_pointer/dense/kernel"]
        x = (x + weights["global_pointer/dense/bias"]).reshape(-1, TYPES, 2, SIZE)
        scores = [
            (rotated(x[:, t, 0], SIZE) @ rotated(x[:, t, 1], SIZE).conj().T).real / 2
            for t in range(TYPES)
        ]
        np.testing.assert_allclose(loss[row], expected_loss(scores, row, length), rtol=1e-4)


def test_efficient_global_pointer_head():
    encoded = random(1, ROWS, LENGTH, HIDDEN)
    weights = {
        "global_pointer/dense/kernel": random(6, HIDDEN, 2 * SIZE),
        "global_pointer/dense/bias": random(7, 2 * SIZE),
        "global_pointer/type_biases/kernel": random(8, 2 * SIZE, 2 * TYPES),
        "global_pointer/type_biases/bias": random(9, 2 * TYPES),
    }
    loss, predicted = computed(
        lambda: global_pointer.efficient_global_pointer_head(
            tf.constant(encoded), SPANS, config(), TYPES, False, head_size=SIZE
        ),
        weights,
        lambda output: [output.per_example_loss, output.predictions],
    )
    for row, length in enumerate([6, 3, 0]):
        x = encoded[row, 1:] @ weights["global_pointer/dense/kernel"]
        x = x + weights["global_pointer/dense/bias"]
        bias = x @ weights["global_pointer/type_biases/kernel"]
        bias = (bias + weights["global_pointer/type_biases/bias"]) / 2
        product = rotated(x[:, :SIZE], SIZE) @ rotated(x[:, SIZE:], SIZE).conj().T
        scores = [
            product.real / 2 + bias[:, t, None] + bias[None, :, TYPES + t] for t in range(TYPES)
        ]
        np.testing.assert_allclose(loss[row], expected_loss(scores, row, length), rtol=1e-4)
        above = {
            (t, i, j): scores[t][i, j]
            for t in range(TYPES)
            for i in range(length)
            for j in range(i, length)
            if scores[t][i, j] > 0
        }
        best = sorted(above, key=above.get, reverse=True)[: 2 * (LENGTH - 1)]
        names = ("span_types", "span_starts", "span_ends")
        rows = list(zip(*(predicted[name][row].tolist() for name in names)))
        assert [found for found in rows if found[0] >= 0] == best


def test_scores_depend_on_the_distance_only():
    x = np.tile(random(1, 1, 1, 1, 64), [1, 1, 9, 1])
    with tf.Graph().as_default(), tf.Session() as session:
        scores = session.run(global_pointer.rotated_products(tf.constant(x), tf.constant(x)))[0, 0]
    for distance in range(9):
        diagonal = np.diagonal(scores, distance)
        np.testing.assert_allclose(diagonal, diagonal[0], rtol=1e-4)


@pytest.mark.parametrize("name", ["softmax", "crf", "global_pointer", "efficient_global_pointer"])
def test_heads_learn(name):
    """Each head overfits three rows, and its weights stay finite; one row has no pieces."""
    encoded = random(1, ROWS, LENGTH, HIDDEN)
    features = dict(SPANS, tag_ids=np.random.RandomState(2).randint(TAGS, size=[ROWS, LENGTH]))
    head = {
        "softmax": heads.softmax_head,
        "crf": heads.crf_head,
        "global_pointer": global_pointer.global_pointer_head,
        "efficient_global_pointer": global_pointer.efficient_global_pointer_head,
    }[name]
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(1)
        output = head(tf.constant(encoded), features, config(), TAGS, False)
        loss = tf.reduce_mean(output.per_example_loss)
        train = tf.train.AdamOptimizer(0.05).minimize(loss)
        session.run(tf.global_variables_initializer())
        first = session.run(loss)
        for _ in range(100):
            session.run(train)
        assert session.run(loss) < 0.1 * first
        assert all(np.isfinite(array).all() for array in session.run(tf.trainable_variables()))


@pytest.mark.parametrize(
    "flag", [{"tag_scheme": "BIO"}, {"rdrop_alpha": 1.0}, {"overlaps": "longest"}]
)
def test_flags_without_meaning_for_spans_are_refused(flag):
    family = registry.get("span_labelling")
    options = finetuning_flags.of_settings("sequence_labelling", head="global_pointer", **flag)
    with pytest.raises(UserError, match="--%s=.* has no effect with --head=" % list(flag)[0]):
        family.flags.check(options)
