"""Small records and a small model for pre-training, and ways to run its commands."""

import json
import subprocess

import numpy as np

from albert_zh.corpus import tfrecords
from albert_zh.pretraining import flags as pretraining_flags
from albert_zh.pretraining import runner as pretraining_runner
from isolated_flags import flags_of
import workspace

SEQUENCE = 16
PREDICTIONS = 3
CONFIG = dict(
    workspace.CONFIG,
    max_position_embeddings=32,
    hidden_dropout_prob=0.0,
    attention_probs_dropout_prob=0.0,
)
CLS, SEP, MASK = (workspace.VOCABULARY.index(piece) for piece in ("[CLS]", "[SEP]", "[MASK]"))
FIRST_WORD = len(workspace.SPECIAL)


def unmasked_records(count, first=0):
    """Features [count, SEQUENCE] of records that are not masked yet; up to 250 are all different.

    The pieces follow each other in vocabulary order, so that a model can learn to predict them.

    Args:
        count: number of records.
        first: number of the first one.
    """
    generator = np.random.RandomState(first)
    words = CONFIG["vocab_size"] - FIRST_WORD
    place = np.arange(SEQUENCE)
    shapes = np.random.RandomState(0).permutation(words * (SEQUENCE - 7))
    chosen = np.resize(np.roll(shapes, -first), count)
    starts, lengths = chosen % words, 8 + chosen // words
    ids = FIRST_WORD + (starts[:, None] + place) % words
    middle = 1 + lengths[:, None] // 2
    is_special = (place == 0) | (place == middle) | (place == lengths[:, None] - 1)
    ids[is_special] = SEP
    ids[:, 0] = CLS
    mask = place < lengths[:, None]
    return {
        "input_ids": ids * mask,
        "input_mask": mask.astype(np.int64),
        "segment_ids": (mask & (place > middle)).astype(np.int64),
        "token_boundary": mask.astype(np.int64),
        "next_sentence_labels": generator.randint(0, 2, (count, 1)),
    }


def masked_records(count, first=0):
    """Features of masked records; the positions 1, 3 and 5 are masked."""
    features = unmasked_records(count, first)
    del features["token_boundary"]
    positions = np.tile([1, 3, 5], (count, 1))
    rows = np.arange(count)[:, None]
    labels = features["input_ids"][rows, positions]
    features["input_ids"][rows, positions] = MASK
    return dict(
        features,
        masked_lm_positions=positions,
        masked_lm_ids=labels,
        masked_lm_weights=np.ones((count, PREDICTIONS), np.float32),
    )


class Workspace(workspace.Workspace):
    """A folder for `model/`, record files and output."""

    def __init__(self, folder):
        super().__init__(folder, 1, 1, 1)
        self.config = self.write("model/albert_config_small.json", json.dumps(CONFIG))

    def write_records(self, name, features):
        """Writes records as a TFRecord file; returns its path."""
        framed = tfrecords.frame_records(tfrecords.encode_examples(features))
        return self.write(name, b"".join(framed))

    def arguments(self, **changes):
        """Arguments of run_pretraining.py; a value of None omits a flag."""
        values = {
            "bert_config_file": self.config,
            "output_dir": self.output,
            "max_seq_length": SEQUENCE,
            "max_predictions_per_seq": PREDICTIONS,
            "train_batch_size": 8,
            "num_train_steps": 8,
            "num_warmup_steps": 2,
            "learning_rate": 1e-2,
            "save_checkpoints_steps": 4,
            "do_train": True,
        }
        values.update(changes)
        return ["--%s=%s" % item for item in sorted(values.items()) if item[1] is not None]


def run_process(arguments, script="run_pretraining.py", **settings):
    """Starts a command in a new process; returns its `Popen`."""
    return subprocess.Popen(
        workspace.command(arguments, script),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        **settings,
    )


def run_here(arguments):
    """Runs run_pretraining.py in this process; its errors are raised as exceptions."""
    with flags_of(arguments, pretraining_flags.define_flags):
        pretraining_runner.run()
