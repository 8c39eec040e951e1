"""Training objectives of generators equal their definitions."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.model import attention_masks, heads, modeling
from albert_zh.tasks.generation import objectives
from crossed_cases import with_slow
import variable_values

ROWS = {  # [CLS] 5 6 [SEP] 7 8 [SEP]; [CLS] 5 [SEP] 9 [SEP]; a source alone
    "input_ids": [[2, 5, 6, 3, 7, 8, 3], [2, 5, 3, 9, 3, 0, 0], [2, 5, 3, 0, 0, 0, 0]],
    "input_mask": [[1] * 7, [1] * 5 + [0] * 2, [1] * 3 + [0] * 4],
    "segment_ids": [[0] * 4 + [1] * 3, [0] * 3 + [1] * 2 + [0] * 2, [0] * 7],
}


def test_each_token_of_the_target_is_predicted_at_the_one_before_it():
    with tf.Graph().as_default(), tf.Session() as session:
        features = {name: tf.constant(rows) for name, rows in ROWS.items()}
        positions, labels, weights = session.run(objectives.next_tokens(features))
    assert weights.tolist() == [[1, 1, 1], [1, 1, 0], [0, 0, 0]]
    assert positions[weights > 0].tolist() == [3, 4, 5, 2, 3]
    assert labels[weights > 0].tolist() == [7, 8, 3, 9, 3]


def test_label_smoothing_is_the_cross_entropy_with_smoothed_labels():
    logits = np.random.RandomState(0).standard_normal([2, 3, 5]).astype(np.float32)
    labels = np.array([[0, 4, 2], [1, 1, 3]])
    log_probs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    wanted = 0.8 * np.eye(5)[labels] + 0.2 / 5
    with tf.Session() as session:
        losses = session.run(objectives.smoothed_losses(tf.constant(logits), labels, 0.2))
    np.testing.assert_allclose(losses, -(wanted * log_probs).sum(axis=-1), rtol=1e-5)


CONFIG = {
    "vocab_size": 12,
    "embedding_size": 4,
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 24,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
HEAD = {
    "token_ids": {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4},
    "target_mask_prob": 0.7,
    "label_smoothing": 0.0,
    "tasks": {"masked_targets": 1.0},
}


def encoder_of(seen_rows):
    """Returns the function by which objectives build models; it records their inputs."""

    def build(features, config, **further):
        seen_rows.append(dict(features, **further))
        inputs = [features[name] for name in ("input_ids", "input_mask", "segment_ids")]
        return modeling.AlbertModel(config, False, *inputs, scope="bert", **further)

    return build


def with_values(session):
    generator = np.random.RandomState(1)
    values = {}
    for variable in tf.global_variables():
        noise = 0.4 * generator.standard_normal(variable.shape.as_list())
        if not variable.op.name.startswith("global_step"):
            values[variable] = noise + variable.op.name.endswith("gamma")
    variable_values.assign(session, values)


@pytest.mark.parametrize("is_relative", with_slow([False, True], [False]))
def test_targets_at_masks_are_predicted_as_if_the_row_ended_there(is_relative):
    """The single pass of an evaluation equals one pass per target token, each ending in [MASK]."""
    layout = {"embedding_size": None, "use_relative_position": True} if is_relative else {}
    config = modeling.AlbertConfig(**dict(CONFIG, **layout))
    with tf.Graph().as_default(), tf.Session() as session:
        features = {name: tf.constant(rows) for name, rows in ROWS.items()}
        with tf.variable_scope("", reuse=tf.AUTO_REUSE):
            found = objectives.target_losses(config, encoder_of([]), features, HEAD)
            expected = []
            for row, count in ((0, 3), (1, 2)):
                length = sum(ROWS["input_mask"][row])
                for place in range(length - count, length):
                    ids = tf.constant([ROWS["input_ids"][row][:place] + [4]])
                    segments = tf.constant([ROWS["segment_ids"][row][: place + 1]])
                    seen = attention_masks.visible_positions(
                        "sequence_to_sequence", tf.ones_like(ids), segments
                    )
                    model = modeling.AlbertModel(
                        config, False, ids, None, segments, scope="bert", attention_mask=seen
                    )
                    logits = heads.word_logits(config, model, model.get_sequence_output()[0, -1:])
                    label = ROWS["input_ids"][row][place]
                    expected.append((row, -tf.nn.log_softmax(logits)[0, label]))
        with_values(session)
        found, losses = session.run([found, [loss for _, loss in expected]])
    sums = [sum(loss for (row, _), loss in zip(expected, losses) if row == n) for n in range(3)]
    np.testing.assert_allclose(found["target_loss"], sums, rtol=1e-4, atol=1e-5)
    assert found["target_tokens"].tolist() == [3, 2, 0] and sums[0] != sums[1]


def test_masked_targets_are_a_share_of_the_target_and_its_end(monkeypatch):
    """0.7 of 3, of 2 and of 0 tokens are masked; they are predicted at their positions."""
    chosen = []
    monkeypatch.setattr(
        objectives, "smoothed_losses", lambda logits, labels, _: chosen.append(labels) or
        tf.ones_like(labels, tf.float32)
    )  # fmt: skip
    seen_rows = []
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(1)
        step = tf.train.get_or_create_global_step()
        features = {name: tf.constant(rows) for name, rows in ROWS.items()}
        config = modeling.AlbertConfig(**CONFIG)
        losses = objectives.masked_targets(config, encoder_of(seen_rows), features, HEAD)
        session.run(tf.global_variables_initializer())
        tensors = [seen_rows[0][name] for name in ("output_positions", "input_ids")]
        drawn = []
        for number in range(60):
            step.load(number, session)
            drawn.append(session.run([losses, chosen[0]] + tensors))
        seen = session.run(seen_rows[0]["attention_mask"])
    assert seen[0, 0].tolist() == [1, 1, 1, 1, 0, 0, 0] and seen[0, 5].tolist() == [1] * 6 + [0]
    for loss, labels, positions, shown in drawn:
        assert loss.tolist() == [1, 1, 0]
        for row, count in ((0, 2), (1, 1)):
            places = positions[row, 1 : 1 + count]
            assert [ROWS["input_ids"][row][place] for place in places] == list(labels[row, :count])
            assert all(ROWS["segment_ids"][row][place] for place in places)
            others = np.setdiff1d(np.arange(7), places)
            assert (shown[row][others] == np.array(ROWS["input_ids"])[row][others]).all()
    ends = [3 in labels[0, :2] for _, labels, _, _ in drawn]
    assert any(ends) and not all(ends)
