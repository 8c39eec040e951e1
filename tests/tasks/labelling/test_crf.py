"""CRF and Viterbi decoding, compared with golden values, all paths and tensorflow-addons."""

import itertools
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.tasks.labelling import crf, viterbi
from albert_zh.tasks.labelling.tag_schemes import SCHEMES, all_tags, allowed_moves

CASES = (
    "basic zero_length single_step double large_scores orientation masked_transitions ties long"
).split()


def run(tensors):
    with tf.Session() as session:
        return session.run(tensors)


def graph_values(unaries, tag_ids, lengths, transitions):
    """Returns {name: array} of everything that the module computes."""
    arrays = (unaries, transitions)
    with tf.Graph().as_default():
        unaries, transitions = tf.constant(unaries), tf.constant(transitions)
        score = crf.crf_sequence_score(unaries, tag_ids, lengths, transitions)
        log_norm = crf.crf_log_norm(unaries, lengths, transitions)
        likelihood = crf.crf_log_likelihood(unaries, tag_ids, lengths, transitions)
        loss = -tf.reduce_mean(likelihood)
        gradients = tf.gradients(loss, [unaries, transitions])
        values = run(
            {
                "sequence_score": score,
                "log_norm": log_norm,
                "log_likelihood": likelihood,
                "loss": loss,
                "grad_inputs": gradients[0],
                "grad_transitions": gradients[1],
            }
        )
    tags, best = viterbi.decode(arrays[0], lengths, arrays[1])
    return dict(values, decode_tags=tags, decode_score=best)


@pytest.mark.parametrize("case", CASES)
def test_golden(shared, case):
    with np.load(os.path.join(shared, "golden", "labelling", "labelling.npz")) as arrays:
        golden = {k.split("/")[1]: arrays[k] for k in arrays.files if k.startswith(case + "/")}
    names = ("inputs", "tag_indices", "sequence_lengths", "transition_params")
    values = graph_values(*(golden[name] for name in names))
    lengths = golden["sequence_lengths"]
    # tensorflow-addons decodes the first position of a row of length 0; here the row has no tags.
    golden["decode_tags"] *= np.arange(golden["decode_tags"].shape[1]) < lengths[:, None]
    assert np.array_equal(values.pop("decode_tags"), golden["decode_tags"])
    for name, value in values.items():
        np.testing.assert_allclose(value, golden[name], rtol=2e-6, atol=2e-5, err_msg=name)


def random_inputs(seed, shape, lengths, dtype=np.float32):
    generator = np.random.RandomState(seed)
    unaries = generator.randn(*shape).astype(dtype)
    transitions = generator.randn(shape[2], shape[2]).astype(dtype)
    tag_ids = generator.randint(shape[2], size=shape[:2]).astype(np.int32)
    return unaries, tag_ids, np.array(lengths, np.int32), transitions


def paths(unaries, transitions, length):
    """Returns {path: score} for all paths of a row."""
    scores = {}
    for path in itertools.product(range(unaries.shape[1]), repeat=length):
        score = sum(unaries[step, tag] for step, tag in enumerate(path))
        scores[path] = score + sum(transitions[i, j] for i, j in zip(path, path[1:]))
    return scores


def test_all_paths_enumerated():
    unaries, tag_ids, lengths, transitions = random_inputs(1, (5, 5, 3), [5, 1, 3, 4, 2])
    values = graph_values(unaries, tag_ids, lengths, transitions)
    for row, length in enumerate(lengths):
        scores = paths(unaries[row].astype(float), transitions.astype(float), length)
        log_norm = np.log(np.sum(np.exp(list(scores.values()))))
        gold = scores[tuple(tag_ids[row, :length])]
        np.testing.assert_allclose(values["log_likelihood"][row], gold - log_norm, rtol=1e-5)
        best = max(scores, key=scores.get)
        assert tuple(values["decode_tags"][row, :length]) == best
        np.testing.assert_allclose(values["decode_score"][row], scores[best], rtol=1e-5)


@pytest.mark.newest
def test_tensorflow_addons_agrees():
    text = pytest.importorskip("tensorflow_addons.text")
    inputs = random_inputs(2, (8, 20, 9), [20, 3, 7, 1, 19, 20, 12, 5])
    values = graph_values(*inputs)
    with tf.Graph().as_default():
        likelihood, _ = text.crf_log_likelihood(*map(tf.constant, inputs))
        tags, _ = text.crf_decode(*(tf.constant(inputs[i]) for i in (0, 3, 2)))
        expected = run([likelihood, tags])
    np.testing.assert_allclose(values["log_likelihood"], expected[0], rtol=1e-5)
    assert np.array_equal(values["decode_tags"], expected[1])


def test_impossible_tags_have_finite_gradients():
    unaries, tag_ids, lengths, transitions = random_inputs(3, (3, 6, 4), [6, 2, 4])
    unaries[:, :, 3] = -1e9
    transitions[1, 2] = -1e9
    tag_ids[:] = [0, 1, 1, 0, 2, 2]
    values = graph_values(unaries, tag_ids, lengths, transitions)
    for name, value in values.items():
        assert np.isfinite(value).all(), name
    assert np.abs(values["grad_inputs"][:, :, 3]).max() == 0


def test_forbidden_tags_and_moves_of_minus_infinity():
    """Regression: a path without forbidden tags had the likelihood NaN, unlike in addons' CRF."""
    unaries, tag_ids, lengths, transitions = random_inputs(6, (3, 6, 4), [4, 2, 1])
    tag_ids[:] = [0, 1, 1, 0, 2, 3]  # the last two are padding
    unaries[:, :, 3] = -np.inf
    transitions[2, 3] = transitions[3, 0] = transitions[0, 2] = -np.inf
    values = graph_values(unaries, tag_ids, lengths, transitions)
    for row, length in enumerate(lengths):
        scores = paths(unaries[row].astype(float), transitions.astype(float), length)
        log_norm = np.log(np.sum(np.exp(list(scores.values()))))
        gold = scores[tuple(tag_ids[row, :length])]
        np.testing.assert_allclose(values["sequence_score"][row], gold, rtol=1e-5)
        np.testing.assert_allclose(values["log_likelihood"][row], gold - log_norm, rtol=1e-5)
    for name in ("loss", "grad_inputs", "grad_transitions"):
        assert np.isfinite(values[name]).all(), name


def test_what_is_beyond_a_row_does_not_matter():
    unaries, tag_ids, lengths, transitions = random_inputs(4, (2, 6, 4), [3, 6])
    before = graph_values(unaries, tag_ids, lengths, transitions)
    unaries[0, 3:] = 1e6
    after = graph_values(unaries, tag_ids, lengths, transitions)
    for name, value in before.items():
        assert np.array_equal(value, after[name]), name


def test_viterbi_takes_allowed_moves_only():
    scheme = SCHEMES["BIOES"]
    tags = all_tags(scheme, ["A", "B"])
    moves = allowed_moves(tags, scheme)
    unaries, _, _, transitions = random_inputs(5, (6, 4, len(tags)), [4] * 6)
    lengths = np.array([4, 1, 2, 3, 0, 4])
    decoded, scores = viterbi.decode(unaries, lengths, transitions, moves)
    for row, length in enumerate(lengths[:4]):
        candidates = {
            path: score
            for path, score in paths(unaries[row].astype(float), transitions, length).items()
            if moves[1][path[0]]
            and moves[2][path[-1]]
            and all(moves[0][i, j] for i, j in zip(path, path[1:]))
        }
        best = max(candidates, key=candidates.get)
        assert tuple(decoded[row, :length]) == best
        np.testing.assert_allclose(scores[row], candidates[best], rtol=1e-6)


def test_viterbi_of_rows_is_that_of_each_alone():
    lengths = [7, 0, 3, 7, 1, 5]
    unaries, _, _, transitions = random_inputs(6, (6, 7, 5), lengths)
    together, _ = viterbi.decode(unaries, np.array(lengths), transitions)
    for row, length in enumerate(lengths):
        alone, _ = viterbi.decode(unaries[row : row + 1, :length], [length], transitions)
        assert np.array_equal(together[row, :length], alone[0])
        assert not together[row, length:].any()
    assert viterbi.decode(unaries[:, :0], [0] * 6, transitions)[0].shape == (6, 0)
