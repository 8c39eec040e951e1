"""Losses of sentence embeddings and their gradients equal those of sentence-transformers."""

import functools
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.model import layers
from albert_zh.tasks.embedding import losses
from albert_zh.tasks.embedding.chunks import vectors_in_chunks
from project_root import ROOT

GOLDEN = np.load(os.path.join(ROOT, "tests", "golden", "embedding", "losses.npz"))
A, P = "anchors", "positives"
N = ("negatives_1", "negatives_2")


def infonce(*vectors, **options):
    return losses.infonce(vectors[0], vectors[1], vectors[2:], **options)


def constant(name):
    return tf.constant(GOLDEN[name])


def with_labels(loss, name):
    return lambda a, b: loss(a, b, constant(name))


def softmax(a, b, weights, bias):
    classes = "labels_class" if weights.shape[0] == 3 else "labels_binary"
    return losses.softmax_of_pairs(a, b, tf.cast(constant(classes), tf.int32), weights, bias)


def matryoshka(loss, *vectors):
    widths, weights = (GOLDEN["matryoshka_" + name].tolist() for name in ("dims", "weights"))
    return losses.matryoshka(loss, vectors, widths, weights)


COSENT = with_labels(losses.cosent, "labels_sts")
CASES = {
    "infonce": (infonce, A, P),
    "infonce_symmetric": (functools.partial(infonce, is_symmetric=True), A, P),
    "infonce_one_negative": (infonce, A, P, N[0]),
    "infonce_two_negatives": (infonce, A, P) + N,
    "infonce_duplicates_masked": (
        lambda a, p: infonce(a, p, ids=constant("duplicate_ids")),
        A,
        P,
    ),
    "infonce_dot_scale_1": (functools.partial(infonce, scale=1.0, similarity="dot"), A, P),
    "infonce_all_four_blocks": (losses.infonce_of_four_blocks, A, P),
    "simcse_2b_by_2b": (losses.infonce_of_both_views, A, P),
    "simcse_supervised_hard_weight_0.7": (
        functools.partial(infonce, own_negative_weight=0.7),
        A,
        P,
        N[0],
    ),
    "cosent_sts": (COSENT, A, P),
    "cosent_binary": (with_labels(losses.cosent, "labels_binary"), A, P),
    "cosent_all_labels_equal": (lambda a, p: losses.cosent(a, p, tf.ones([6])), A, P),
    "sbert_softmax_3": (softmax, A, P, "softmax_weight", "softmax_bias"),
    "sbert_softmax_2": (softmax, A, P, "softmax_weight_2", "softmax_bias_2"),
    "sbert_cosine_mse": (
        lambda a, p: losses.cosine_regression(a, p, constant("labels_sts") / 5),
        A,
        P,
    ),
    "sbert_cosine_mse_binary": (with_labels(losses.cosine_regression, "labels_binary"), A, P),
    "triplet_cosine_margin_0.5": (losses.triplet, A, P, N[0]),
    "triplet_euclidean_margin_5": (
        functools.partial(losses.triplet, margin=5.0, distance="euclidean"),
        A,
        P,
        N[0],
    ),
    "contrastive_cosine_margin_0.5": (with_labels(losses.contrastive, "labels_binary"), A, P),
    "matryoshka_infonce": (functools.partial(matryoshka, infonce), A, P),
    "matryoshka_cosent_sts": (functools.partial(matryoshka, COSENT), A, P),
    "distil_vectors_mse": (lambda a: losses.vector_distillation(a, constant("teacher")), A),
    "distil_pair_cosine_mse": (
        with_labels(losses.cosine_regression, "teacher_pair_cosines"),
        A,
        P,
    ),
    "margin_mse_dot": (
        lambda a, p, n: losses.margin_regression(a, p, n, constant("labels_sts"), "dot"),
        A,
        P,
        N[0],
    ),
}


@pytest.mark.parametrize("case", sorted(CASES))
def test_losses_and_gradients_are_those_of_sentence_transformers(case):
    function, *names = CASES[case]
    with tf.Graph().as_default(), tf.Session() as session:
        inputs = [constant(name) for name in names]
        loss = function(*inputs)
        found, *gradients = session.run([loss] + tf.gradients(loss, inputs))
    np.testing.assert_allclose(found, GOLDEN[case + "/loss"], atol=1e-6)
    for name, gradient in zip(names, gradients):
        np.testing.assert_allclose(gradient, GOLDEN["%s/grad_%s" % (case, name)], atol=1e-6)


def test_margin_is_taken_off_the_positives_cosine_alone():
    a, p = GOLDEN[A], GOLDEN[P]
    a, p = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, p))
    logits = 20.0 * (a @ p.T - 0.2 * np.eye(len(a)))
    expected = np.mean(np.log(np.exp(logits).sum(axis=1)) - np.diag(logits))
    with tf.Graph().as_default(), tf.Session() as session:
        found = session.run(losses.infonce(tf.constant(a), tf.constant(p), margin=0.2))
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("own_negative_weight", [0.0, 0.5])
def test_a_negative_that_is_right_for_another_row_is_no_candidate_for_it(own_negative_weight):
    """Expected values come from NumPy. A row's own negative stays, whatever its group."""
    groups, groups_of_negatives = (
        [0, 1, 0, 2, 3, 4],
        [[-1, 2], [0, -1], [0, 4], [1, 2]] + [[9, -1]] * 2,
    )
    a, p, *negatives = (
        GOLDEN[name] / np.linalg.norm(GOLDEN[name], axis=1, keepdims=True) for name in (A, P) + N
    )
    logits = 20.0 * np.concatenate([a @ p.T] + [a @ n.T for n in negatives], axis=1)  # [6, 18]
    columns = groups + [row[k] for k in (0, 1) for row in groups_of_negatives]
    expected = []
    for i, row in enumerate(logits):
        row[[6 + i, 12 + i]] += own_negative_weight
        kept = [j for j in range(18) if j % 6 == i or columns[j] != groups[i]]
        expected.append(np.log(np.exp(row[kept]).sum()) - row[i])
    with tf.Graph().as_default(), tf.Session() as session:
        found = session.run(
            infonce(
                *[constant(name) for name in (A, P) + N],
                ids=tf.constant(groups),
                own_negative_weight=own_negative_weight,
                negative_ids=tf.constant(groups_of_negatives),
            )
        )
    assert found == pytest.approx(np.mean(expected), abs=1e-6)


def test_texts_of_a_group_are_no_negatives_in_either_view():
    """Expected values come from NumPy; rows 0 and 2 are in the same group."""
    groups = [0, 1, 0, 2, 3, 4] * 2
    texts = np.concatenate([GOLDEN[A], GOLDEN[P]])
    texts /= np.linalg.norm(texts, axis=1, keepdims=True)
    logits = 20.0 * texts @ texts.T
    expected = []
    for i, row in enumerate(logits):
        partner = (i + 6) % 12
        kept = [j for j in range(12) if groups[j] != groups[i] or j == partner]
        expected.append(np.log(np.exp(row[kept]).sum()) - row[partner])
    with tf.Graph().as_default(), tf.Session() as session:
        found = session.run(
            losses.infonce_of_both_views(constant(A), constant(P), ids=tf.constant(groups[:6]))
        )
    assert found == pytest.approx(np.mean(expected), abs=1e-6)


def test_equal_texts_have_a_distance_of_0_and_a_finite_gradient():
    with tf.Graph().as_default(), tf.Session() as session:
        a, n = constant(A), constant(N[0])
        loss = losses.triplet(a, tf.identity(a), n, 100.0, "euclidean")
        found, gradient, of_anchors = session.run([loss] + tf.gradients(loss, [n, a]))
    apart = GOLDEN[N[0]] - GOLDEN[A]
    lengths = np.linalg.norm(apart, axis=1, keepdims=True)
    assert found == pytest.approx(100.0 - lengths.mean(), abs=1e-9)
    np.testing.assert_allclose(gradient, -apart / lengths / 6, atol=1e-9)
    np.testing.assert_allclose(of_anchors, -gradient, atol=1e-9)


def test_one_row_has_no_loss():
    with tf.Graph().as_default(), tf.Session() as session:
        one = tf.constant(GOLDEN[A][:1])
        assert session.run(losses.infonce(one, one)) == 0.0


@pytest.mark.parametrize("num_chunks", [1, 2, 3, 6])
def test_chunks_give_the_gradient_of_the_whole_batch(num_chunks):
    def encode(rows):
        weight = tf.get_variable("weight", initializer=GOLDEN["cache_weight"].astype(np.float32))
        return tf.tanh(tf.matmul(rows["x"], weight))

    inputs = [GOLDEN["cache_inputs_" + n] for n in ("anchor", "positive", "negative")]
    with tf.Graph().as_default(), tf.Session() as session:
        rows = {"x": tf.constant(np.concatenate(inputs), tf.float32)}
        vectors = vectors_in_chunks(encode, rows, 12, num_chunks)
        loss = infonce(*tf.split(vectors, 3))
        gradient = tf.gradients(loss, tf.trainable_variables())
        session.run(tf.global_variables_initializer())
        found, (gradient,) = session.run([loss, gradient])
    np.testing.assert_allclose(found, GOLDEN["cached_infonce/loss"], rtol=2e-6)
    expected = GOLDEN["cached_infonce/grad_cache_weight"]
    np.testing.assert_allclose(gradient, expected, atol=1e-5 * np.abs(expected).max())


def test_chunks_drop_the_same_when_they_are_computed_again():
    """As weights are 1, the gradient of the sum is the sum of the values after the same dropout."""

    def encode(rows):
        weight = tf.get_variable("weight", initializer=tf.ones([4]))
        dropped = layers.dropout(rows["x"] * weight, 0.5)
        kept.append(dropped)
        return dropped

    kept = []
    with tf.Graph().as_default(), tf.Session() as session:
        tf.train.get_or_create_global_step()
        vectors = vectors_in_chunks(encode, {"x": tf.ones([40, 4])}, 4, 4)
        gradient = tf.gradients(tf.reduce_sum(vectors), tf.trainable_variables())
        session.run(tf.global_variables_initializer())
        vectors, (gradient,) = session.run([vectors, gradient])
    np.testing.assert_allclose(gradient, vectors.sum(axis=0))
    parts = np.split(vectors, 4)
    assert not np.array_equal(parts[0], parts[1])
