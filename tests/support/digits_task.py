"""A kind of task for tests, in one class: which characters of a text are digits (1) or not (0)."""

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.model.layers import new_variable
from albert_zh.tasks import kind_interface, registry, scorer, task_type
from albert_zh.tasks.tables import label_rules


class DigitScorer(scorer.Scorer):
    def __init__(self):
        super().__init__()
        self._losses, self._shares = [], []

    def add_labelled(self, example, rows):
        logits, gold = rows[0]["logits"][1:-1], np.array(list(example.label), int)
        log_odds = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        self._losses.append(-log_odds[np.arange(len(gold)), gold].mean())
        self._shares.append(np.mean(logits.argmax(axis=1) == gold))

    def losses(self):
        return np.array(self._losses)

    def values(self, names, chosen=None):
        shares = np.array(self._shares)
        return {"accuracy": float(np.mean(shares if chosen is None else shares[chosen]))}


class Digits(task_type.TaskType):
    name, rules = "digits", label_rules.FreeText()
    metrics, usual_metrics = {"accuracy": True, "loss": False}, ("accuracy",)
    token_outputs = ("logits",)

    def with_labels(self, task, train):
        return task._replace(columns=train.columns, header=(), labels=("other", "digit"))

    def columns(self, task):
        return {"tags": kind_interface.Column("int", is_per_token=True)}

    def features(self, task, example, tokenizer, max_seq_length):
        pieces = ["[CLS]"] + list(example.text_a)[: max_seq_length - 2] + ["[SEP]"]
        ids = [tokenizer.vocab.get(piece, tokenizer.vocab["[UNK]"]) for piece in pieces]
        tags = [0] + [int(tag) for tag in example.label or "0" * (len(ids) - 2)] + [0]
        return [{"input_ids": ids, "segment_ids": [0] * len(ids), "tags": tags}], False

    def outputs(self, config, model, features, num_outputs, settings, is_training):
        rows = tf.cast(model.get_sequence_output(), tf.float32)  # [B, F, H]
        weights = new_variable("output_weights", [num_outputs, config.hidden_size], config)
        flat = tf.matmul(tf.reshape(rows, [-1, config.hidden_size]), weights, transpose_b=True)
        return {"logits": tf.reshape(flat, [-1, tf.shape(rows)[1], num_outputs])}  # [B, F, C]

    def losses(self, outputs, features, settings):
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
            labels=features["tags"], logits=outputs["logits"]
        )
        mask = tf.cast(features["input_mask"], tf.float32)
        return tf.reduce_sum(losses * mask, axis=1) / tf.reduce_sum(mask, axis=1)  # [B]

    def scorer(self, use, settings, options=None, num_errors=0):
        return DigitScorer()

    def decode(self, examples, predictions, use):
        tags = [rows[0]["logits"][1:-1].argmax(axis=1) for rows in predictions]
        return [np.flatnonzero(of_text).tolist() for of_text in tags]


registry.register(Digits())
