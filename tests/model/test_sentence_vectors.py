"""Sentence vectors of a model, compared with NumPy, and the file that describes them."""

import json

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.common.errors import UserError
from albert_zh.model import classifier_output, sentence_vectors
from albert_zh.model.config import AlbertConfig
from albert_zh.model.sentence_vectors import SentenceNotes

H = 4
MASK = np.array([[1, 1, 1], [1, 1, 0]])
GENERATOR = np.random.RandomState(3)
LAYERS = [GENERATOR.normal(size=(2, 3, H)).astype(np.float32) for _ in range(5)]


class Model:
    def __init__(self, num_layers=5):
        self.num_layers = num_layers

    def get_hidden_states(self):
        return [None] + [tf.constant(layer) for layer in LAYERS[: self.num_layers]]


def mean(layer):
    return np.stack([layer[0].mean(axis=0), layer[1, :2].mean(axis=0)])


@pytest.mark.parametrize(
    "pooling, expected",
    [
        ("cls", LAYERS[-1][:, 0]),
        ("mean", mean(LAYERS[-1])),
        ("max", np.stack([LAYERS[-1][0].max(axis=0), LAYERS[-1][1, :2].max(axis=0)])),
        ("first_last_mean", mean((LAYERS[0] + LAYERS[-1]) / 2)),
        ("second_to_last", mean(LAYERS[-2])),
        ("last4", mean(np.mean(LAYERS[-4:], axis=0))),
    ],
)
def test_pooling_leaves_padding_out(pooling, expected):
    notes = SentenceNotes(pooling=pooling, normalize=False, width=H)
    with tf.Graph().as_default(), tf.Session() as session:
        vectors = session.run(sentence_vectors.sentence_vector(Model(), tf.constant(MASK), notes))
    np.testing.assert_allclose(vectors, expected, atol=1e-6)


@pytest.mark.parametrize("num_layers, pooling", [(3, "last4"), (1, "second_to_last")])
def test_layers_that_a_model_lacks_weigh_nothing(num_layers, pooling):
    """A classifier's pooling of the same name gives the same result."""
    model, expected = Model(num_layers), mean(np.mean(LAYERS[:num_layers], axis=0))
    with tf.Graph().as_default(), tf.Session() as session:
        mask = tf.constant(MASK)
        vectors = sentence_vectors.pooled_tokens(model, mask, pooling)
        of_classifier = classifier_output.pooled_output(model, mask, pooling)
        for found in session.run([vectors, of_classifier]):
            np.testing.assert_allclose(found, expected, atol=1e-6)


def test_projected_vectors_are_cut_and_then_normalized():
    notes = SentenceNotes(width=2, projection_width=3)
    with tf.Graph().as_default(), tf.Session() as session:
        vectors = sentence_vectors.sentence_vector(Model(), tf.constant(MASK), notes)
        kernel, bias = tf.trainable_variables()
        assert [kernel.op.name, bias.op.name] == [
            "sentence_projection/kernel",
            "sentence_projection/bias",
        ]
        arrays = [np.arange(12).reshape(4, 3) / 10, np.array([0.5, -1.0, 9.0])]
        session.run([tf.assign(kernel, arrays[0]), tf.assign(bias, arrays[1])])
        vectors = session.run(vectors)
    expected = (mean(LAYERS[-1]) @ arrays[0] + arrays[1])[:, :2]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors, expected, atol=1e-6)


def test_notes_come_back_as_they_were_written(tmp_path):
    notes = SentenceNotes("cls", False, 256, 32, (312, 256, 64), 312)
    sentence_vectors.write_notes(str(tmp_path), notes)
    assert sentence_vectors.read_notes(str(tmp_path)) == notes


@pytest.mark.parametrize(
    "change, message",
    [
        ({"pooling": "middle"}, "pooling: expected one of cls, mean"),
        ({"width": "312"}, "width: expected an integer"),
        ({"normalize": None}, "normalize: expected true or false"),
        ({"widths": [64]}, "expected one of its widths"),
    ],
)
def test_damaged_notes_are_refused(tmp_path, change, message):
    content = dict(sentence_vectors.as_json(SentenceNotes(width=312)), **change)
    (tmp_path / sentence_vectors.SENTENCE_FILE).write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        sentence_vectors.read_notes(str(tmp_path))


def test_a_folder_without_notes_is_no_embedding_model(tmp_path):
    assert sentence_vectors.read_notes(str(tmp_path)) is None
    with pytest.raises(UserError, match="--embedding_dir: .* has no sentence_embedding.json"):
        sentence_vectors.notes_of_embedding_model(str(tmp_path), "embedding_dir")


@pytest.mark.parametrize(
    "notes, message",
    [
        (SentenceNotes(width=9), "a width of 9, expected at most 8"),
        (SentenceNotes(width=4, widths=(12, 4)), "a width of 12, expected at most 8"),
        (SentenceNotes(width=8, max_seq_length=99), "max_seq_length is 99, expected at most 16"),
    ],
)
def test_notes_have_to_suit_the_model(notes, message):
    config = AlbertConfig(10, hidden_size=8, max_position_embeddings=16, num_attention_heads=2)
    with pytest.raises(UserError, match=message):
        sentence_vectors.check_notes(notes, config, "notes")


def test_relative_positions_do_not_limit_the_length():
    config = AlbertConfig(
        10,
        hidden_size=8,
        max_position_embeddings=16,
        num_attention_heads=2,
        use_relative_position=True,
    )
    sentence_vectors.check_notes(SentenceNotes(width=8, max_seq_length=99), config, "notes")
