"""Losses, pooling, FGM, R-Drop and layer-wise learning rates equal computations in NumPy."""

import types

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.common.errors import UserError
from albert_zh.model import classifier_output, modeling
from albert_zh.model.checkpoints import fine_tuning_notes
from albert_zh.tasks import model_fn, outputs_graph
from albert_zh.tasks import settings as task_settings
from albert_zh.tasks.classification import losses as class_losses
from workspace import CONFIG

LOGITS = np.array([[2.0, -1.0, 0.5], [0.1, 0.2, 0.3], [-3.0, 4.0, 1.0]], np.float32)
LABELS = np.array([0, 2, 0])
MANY = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 1]])


def value(function, *arrays):
    with tf.Graph().as_default(), tf.Session() as session:
        return session.run(function(*[tf.constant(array) for array in arrays]))


def loss(logits, labels, **settings):
    settings = task_settings.Settings()._replace(**settings)
    return value(lambda x, y: class_losses.per_example_loss(x, y, settings), logits, labels)


def softmax(logits):
    odds = np.exp(logits.astype(np.float64))
    return odds / odds.sum(axis=1, keepdims=True)


def sigmoid(logits):
    return 1 / (1 + np.exp(-logits.astype(np.float64)))


P = softmax(LOGITS)
OWN = P[np.arange(3), LABELS]


@pytest.mark.parametrize(
    "settings, expected",
    [
        ({}, -np.log(OWN)),
        ({"class_weights": [3.0, 1.0, 0.5]}, -np.log(OWN) * np.array([3.0, 0.5, 3.0])),
        (
            {"label_smoothing": 0.3},
            -(0.7 * np.log(OWN) + 0.1 * np.log(P).sum(axis=1)),
        ),
        ({"focal_gamma": 2.0}, -((1 - OWN) ** 2) * np.log(OWN)),
    ],
)
def test_losses_of_single_labels(settings, expected):
    np.testing.assert_allclose(loss(LOGITS, LABELS, **settings), expected, rtol=1e-5)


@pytest.mark.parametrize("multi_label_loss, reduce", [("sum", np.sum), ("mean", np.mean)])
@pytest.mark.parametrize(
    "settings, weights, gamma, smoothing",
    [
        ({}, 1.0, 0.0, 0.0),
        ({"class_weights": [3.0, 1.0, 0.5]}, np.array([3.0, 1.0, 0.5]), 0.0, 0.0),
        ({"focal_gamma": 1.5}, 1.0, 1.5, 0.0),
        ({"label_smoothing": 0.2}, 1.0, 0.0, 0.2),
    ],
)
def test_losses_of_several_labels(settings, weights, gamma, smoothing, multi_label_loss, reduce):
    p, targets = sigmoid(LOGITS), MANY * (1 - smoothing) + smoothing / 2
    yes = weights * targets * (1 - p) ** gamma * np.log(p)
    no = (1 - targets) * p**gamma * np.log(1 - p)
    settings = dict(settings, objective="multi_label", multi_label_loss=multi_label_loss)
    found = loss(LOGITS, MANY, **settings)
    np.testing.assert_allclose(found, -reduce(yes + no, axis=1), rtol=1e-5)


def test_the_sum_over_labels_is_the_default():
    assert task_settings.Settings().multi_label_loss == "sum"
    logits, labels = np.zeros([1, 65], np.float32), np.eye(65, dtype=int)[:1]
    found = loss(logits, labels, objective="multi_label")
    np.testing.assert_allclose(found, 65 * np.log(2), rtol=1e-6)


def test_more_labels_do_not_make_the_step_of_one_smaller():
    """The gradient of a label's logit is p - y, however many other labels there are."""
    settings = task_settings.Settings(objective="multi_label")

    def slope(logits, labels):
        losses = class_losses.per_example_loss(logits, labels, settings)
        return tf.gradients(tf.reduce_mean(losses), logits)[0]

    for num_labels in (1, 5, 100):
        logits, labels = np.ones([1, num_labels], np.float32), np.ones([1, num_labels], int)
        found = value(slope, logits, labels)
        np.testing.assert_allclose(found, 1 / (1 + np.exp(-1)) - 1, rtol=1e-5)


def test_a_classifier_starts_from_the_shares_of_its_labels():
    found = class_losses.prior_logits([10, 0, 40], 40)
    np.testing.assert_allclose(found, np.log([10.5 / 30.5, 0.5 / 40.5, 40.5 / 0.5]))
    config = modeling.AlbertConfig.from_dict(CONFIG)
    with tf.Graph().as_default(), tf.Session() as session:
        modeling.classification_head(config, tf.zeros([1, 16]), None, 3, True, found)
        (bias,) = [v for v in tf.trainable_variables() if v.op.name == "output_bias"]
        session.run(tf.global_variables_initializer())
        np.testing.assert_allclose(session.run(bias), found, rtol=1e-6)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("objective", ["single_label", "multi_label"])
def test_focal_loss_of_what_is_sure_has_a_gradient(objective, gamma):
    """1 - p is 0 in float32, and there the slope of (1 - p) ** 0.5 is infinite."""
    labels = np.int32([0]) if objective == "single_label" else np.int32([[1, 0]])
    settings = task_settings.Settings(objective=objective)._replace(focal_gamma=gamma)

    def slope(logits):
        losses = class_losses.per_example_loss(logits, tf.constant(labels), settings)
        return tf.gradients(losses, logits)[0]

    np.testing.assert_allclose(value(slope, np.float32([[30.0, -30.0]])), 0, atol=1e-5)


def test_a_scale_of_the_loss_changes_no_weights():
    """This holds for dense gradients and rows of a table; only float16 rounding would differ."""

    def weights(loss_scale):
        with tf.Graph().as_default(), tf.Session() as session:
            table = tf.get_variable("table", initializer=tf.ones([5, 2]))
            kernel = tf.get_variable("kernel", initializer=tf.ones([2, 1]))
            loss = tf.reduce_sum(tf.matmul(tf.gather(table, [1, 3, 3]), kernel) ** 2)
            step = model_fn.create_train_op(
                loss, 0.1, 10, 0, False, task_settings.Settings()._replace(loss_scale=loss_scale)
            )
            session.run(tf.global_variables_initializer())
            session.run(step)
            return session.run([table, kernel])

    for plain, scaled in zip(weights(1.0), weights(1024.0)):
        assert np.abs(plain - 1).max() > 0.05
        np.testing.assert_array_equal(plain, scaled)


def test_loss_of_a_regression():
    found = loss(LOGITS[:, :1], np.float32([1.0, 0.0, -3.0]), objective="regression")
    np.testing.assert_allclose(found, [1.0, 0.01, 0.0], atol=1e-6)


def test_divergence_is_symmetric_kullback_leibler():
    other = LOGITS[::-1].copy()
    p, q = softmax(LOGITS), softmax(other)
    expected = 0.5 * ((p * np.log(p / q)).sum(axis=1) + (q * np.log(q / p)).sum(axis=1))
    found = value(lambda a, b: class_losses.divergence(a, b, "single_label"), LOGITS, other)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    p, q = sigmoid(LOGITS), sigmoid(other)

    def kl(p, q):
        return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))

    terms = 0.5 * (kl(p, q) + kl(q, p))
    for loss_of_labels, expected in (("sum", terms.sum(axis=1)), ("mean", terms.mean(axis=1))):
        found = value(
            lambda a, b, way=loss_of_labels: class_losses.divergence(a, b, "multi_label", way),
            LOGITS,
            other,
        )
        np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_rdrop_adds_the_divergence_of_two_passes():
    passes = iter([LOGITS, LOGITS[::-1].copy()])
    settings = task_settings.Settings()._replace(rdrop_alpha=4.0)
    with tf.Graph().as_default(), tf.Session() as session:
        found = session.run(
            model_fn.training_loss(
                lambda change: {"logits": tf.constant(next(passes))},
                {"label_ids": tf.constant(LABELS)},
                settings,
            )
        )
    p, q = softmax(LOGITS), softmax(LOGITS[::-1])
    losses = [-np.log(r[np.arange(3), LABELS]).mean() for r in (p, q)]
    drift = (0.5 * (p - q) * np.log(p / q)).sum(axis=1).mean()
    np.testing.assert_allclose(found, [np.mean(losses) + 2.0 * drift, losses[0]], rtol=1e-5)


def test_fgm_adds_the_loss_of_a_table_moved_along_the_gradient():
    """The logit is sum(table * x), whose gradient is x, so that all expected values are known."""
    x = np.float32([[3.0, 0.0], [0.0, 4.0]])
    settings = task_settings.Settings()._replace(objective="regression", fgm_epsilon=0.5)
    with tf.Graph().as_default(), tf.Session() as session:
        table = tf.get_variable(
            outputs_graph.WORD_TABLES[0], initializer=np.float32([[1, 5], [6, 1]])
        )

        def build(change):
            with outputs_graph.changed_word_table(change):
                changed = tf.get_variable(outputs_graph.WORD_TABLES[0], shape=[2, 2])
            return {"logits": tf.reshape(tf.reduce_sum(changed * x), [1, 1])}

        features = {"label_ids": tf.constant([0.0])}
        total, shown = model_fn.training_loss(build, features, settings)
        gradient = tf.gradients(total, table)[0]
        session.run(tf.global_variables_initializer())
        total, shown, gradient = session.run([total, shown, tf.convert_to_tensor(gradient)])
    moved = 7.0 + 0.5 * 5.0  # sum(table * x) = 7; the gradient's direction is x / 5
    assert shown == pytest.approx(49.0) and total == pytest.approx(49.0 + moved**2)
    np.testing.assert_allclose(gradient, 2 * 7.0 * x + 2 * moved * x, rtol=1e-5)


@pytest.mark.parametrize(
    "pooling, expected",
    [
        ("cls", [9.0, 9.0]),
        ("mean", [2.0, 3.0]),
        ("max", [3.0, 4.0]),
        ("second_to_last", [20.0, 30.0]),
        # Means over the tokens of the last four layers: 2, 20, 200, 2000.
        ("last4", [555.5, 833.25]),
    ],
)
def test_pooling_leaves_padding_out(pooling, expected):
    tokens = np.float32([[[1.0, 2.0], [3.0, 4.0], [50.0, -50.0]]])  # the third token is padding
    layers = [tokens * factor for factor in (0.0, 1000, 100, 10, 1)]
    model = types.SimpleNamespace(
        get_pooled_output=lambda: tf.constant([[9.0, 9.0]]),
        get_hidden_states=lambda: [None] + [tf.constant(layer) for layer in layers],
    )
    found = value(lambda mask: classifier_output.pooled_output(model, mask, pooling), [[1, 1, 0]])
    np.testing.assert_allclose(found, [expected], rtol=1e-6)


@pytest.mark.parametrize("pooling", fine_tuning_notes.POOLINGS)
def test_pooling_of_layers_in_bfloat16_is_float32(pooling):
    config = modeling.AlbertConfig.from_dict(dict(CONFIG, vocab_size=30))
    with tf.Graph().as_default():
        ids = tf.constant([[2, 7, 9, 3], [2, 8, 3, 0]])
        model = modeling.AlbertModel(config, False, ids, tf.sign(ids), precision="bfloat16")
        assert classifier_output.pooled_output(model, tf.sign(ids), pooling).dtype == tf.float32


def test_rates_by_depth():
    shared = ["bert/embeddings/word_embeddings", "bert/encoder/layer_shared/output/dense/kernel"]
    found = model_fn.rate_scales(shared + ["bert/pooler/dense/kernel", "output_bias"], 0.5)
    assert list(found.values()) == [0.25, 0.5, 1.0, 1.0]
    found = model_fn.rate_scales(shared + ["bert/pooler/dense/bias", "output_bias"], 0.5, 10.0)
    assert list(found.values()) == [0.25, 0.5, 1.0, 10.0]
    layers = ["bert/encoder/layer_%d/output/dense/bias" % n for n in (0, 1, 10)]
    found = model_fn.rate_scales(layers + ["output_weights"], 0.1)
    np.testing.assert_allclose(list(found.values()), [1e-3, 1e-2, 1e-1, 1])
    google = ["bert/encoder/embedding_hidden_mapping_in/kernel"]
    google += ["bert/encoder/transformer/group_%d/inner_group_0/ffn_1/x" % n for n in (0, 1)]
    assert list(model_fn.rate_scales(google, 0.5).values()) == [0.125, 0.25, 0.5]
    electra = ["electra/embeddings/word_embeddings", "electra/embeddings_project/kernel"]
    electra += ["electra/encoder/layer_%d/output/dense/bias" % n for n in (0, 1)]
    found = model_fn.rate_scales(electra + ["output_bias"], 0.5, 10.0)
    assert list(found.values()) == [0.125, 0.125, 0.25, 0.5, 10.0]
    parts = ["slot_templates/table", "slots/gate/bias", "output_bias"]
    found = model_fn.rate_scales(parts, 0.5, 10.0, {"slot_templates": 25.0})
    assert list(found.values()) == [25.0, 10.0, 10.0]


def test_class_weights():
    assert class_losses.balanced_weights([30, 10, 20]) == pytest.approx([2 / 3, 2, 1])
    assert class_losses.weights_of_labels({"b": 3}, ("a", "b"), "w.json") == [1.0, 3.0]
    for given in ({"c": 1}, ["a"], {"a": -1}, {"a": "x"}):
        with pytest.raises(UserError, match="--class_weights=w.json"):
            class_losses.weights_of_labels(given, ("a", "b"), "w.json")


def changes_of_one_step(layout=(), **settings):
    """Returns {variable: largest change} after one training step of a small classifier."""
    settings = task_settings.Settings()._replace(**settings)
    config = modeling.AlbertConfig.from_dict(dict(CONFIG, **dict(layout)))
    ids = np.array([[2, 5, 6, 3], [2, 7, 3, 0]])
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(5)
        tf.train.get_or_create_global_step()
        features = {
            "input_ids": tf.constant(ids),
            "input_mask": tf.constant((ids > 0).astype(int)),
            "segment_ids": tf.zeros_like(tf.constant(ids)),
            "label_ids": tf.constant([0, 2]),
        }
        build = outputs_graph.outputs_builder(config, features, 3, settings, is_training=True)
        total, _ = model_fn.training_loss(build, features, settings)
        step = model_fn.create_train_op(total, 1e-3, 10, 0, False, settings)
        variables = {v.op.name: v for v in tf.trainable_variables()}
        session.run(tf.global_variables_initializer())
        before = session.run(variables)
        session.run(step)
        after = session.run(variables)
    return {name: float(np.abs(after[name] - before[name]).max()) for name in before}


@pytest.mark.slow
@pytest.mark.newest
@pytest.mark.parametrize("way", [{"freeze_encoder": True}, {"fgm_epsilon": 0.5}])
def test_electra_is_frozen_or_attacked_like_bert(way):
    changes = changes_of_one_step({"model_type": "electra"}, **way)
    of_encoder = {name: change for name, change in changes.items() if name.startswith("electra/")}
    assert of_encoder and changes["output_bias"]
    assert any(of_encoder.values()) == ("fgm_epsilon" in way)


@pytest.mark.reference
def test_a_frozen_encoder_stays_and_lower_layers_learn_slower():
    plain = changes_of_one_step()
    frozen = changes_of_one_step(freeze_encoder=True)
    assert {name for name, change in frozen.items() if change} == {
        "bert/pooler/dense/kernel",
        "bert/pooler/dense/bias",
        "output_weights",
        "output_bias",
    }
    decayed = changes_of_one_step(layer_decay=0.1)
    for name, factor in (
        ("bert/embeddings/word_embeddings_2", 0.01),
        ("bert/encoder/layer_shared/intermediate/dense/kernel", 0.1),
        ("output_weights", 1.0),
    ):
        assert decayed[name] == pytest.approx(factor * plain[name], rel=0.02), name


@pytest.mark.slow
@pytest.mark.reference
@pytest.mark.newest
def test_fgm_and_rdrop_train_the_real_model_with_its_own_variables():
    plain = changes_of_one_step()
    far = changes_of_one_step(fgm_epsilon=1.0, rdrop_alpha=4.0)
    assert set(far) == set(plain) and far != plain
    # The second pass alone does not explain the difference: the size of the perturbation counts.
    assert changes_of_one_step(fgm_epsilon=1e-9, rdrop_alpha=4.0) != far


@pytest.mark.parametrize(
    "name, wrong",
    [("label_smoothing", 1.0), ("layer_decay", 0.0), ("rdrop_alpha", -1), ("pooling", "none")],
)
def test_settings_that_make_no_sense(name, wrong):
    with pytest.raises(UserError, match="--%s: %s is invalid, expected" % (name, wrong)):
        task_settings.check(task_settings.Settings()._replace(**{name: wrong}))


def test_a_frozen_encoder_has_no_fgm():
    with pytest.raises(UserError, match="fgm_epsilon.*freeze_encoder"):
        task_settings.check(task_settings.Settings()._replace(freeze_encoder=True, fgm_epsilon=1.0))
