"""What generators learn from rows, against the definitions."""

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.tasks.generation import objectives

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
