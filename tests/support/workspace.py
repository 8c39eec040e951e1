"""A small model, vocabulary and data set to run commands on, and ways to run them."""

import json
import os
import random
import subprocess
import sys

import numpy as np

from albert_zh.commands import run_classifier
from albert_zh.finetuning import runner as finetuning_runner
import isolated_flags
from project_root import ROOT

CHARACTERS = "今天气很好我们去吃饭吧明天再说什么时候开门怎么办理银行卡"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = SPECIAL + list(dict.fromkeys(CHARACTERS + "？，。ab1"))
CONFIG = {
    "vocab_size": len(VOCABULARY),
    "hidden_size": 16,
    "embedding_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
}


class Workspace:
    """A folder with `model/` (config, vocab), `data/` (LCQMC's files) and a path for output."""

    def __init__(self, folder, num_train=96, num_dev=20, num_test=12):
        self.folder = str(folder)
        self.data = os.path.join(self.folder, "data")
        self.output = os.path.join(self.folder, "out")
        self.config = self.write(
            "model/albert_config_small.json", json.dumps(dict(CONFIG, initializer_range=0.3))
        )
        self.vocab = self.write("model/vocab.txt", "\n".join(VOCABULARY) + "\n")
        generator = random.Random(1)
        for name, count in (("train", num_train), ("dev", num_dev), ("test", num_test)):
            rows = "\n".join(_pair(generator) for _ in range(count))
            self.write("data/%s.txt" % name, "text_a\ttext_b\tlabel\n%s\n" % rows)

    def write(self, name, text):
        """Writes a text (or bytes) under the folder; returns its path."""
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        content = text if isinstance(text, bytes) else text.encode("utf-8")
        with open(path, "wb") as handle:
            handle.write(content)
        return path

    def read(self, name):
        """The text of a file of the output folder."""
        with open(os.path.join(self.output, name), encoding="utf-8") as handle:
            return handle.read()

    def arguments(self, **changes):
        """Arguments of run_classifier.py; a value of None omits a flag."""
        values = {
            "task_name": "lcqmc",
            "data_dir": self.data,
            "bert_config_file": self.config,
            "vocab_file": self.vocab,
            "output_dir": self.output,
            "max_seq_length": 24,
            "train_batch_size": 16,
            "learning_rate": 3e-3,
            "seed": 4,  # a model learns so few rows with this seed
            "num_train_epochs": 2,
            "do_train": True,
            "do_eval": True,
            "do_predict": True,
        }
        values.update(changes)
        return ["--%s=%s" % item for item in sorted(values.items()) if item[1] is not None]


def _pair(generator):
    """A row whose label depends on its characters in 9 of 10 cases: learned quickly, not fully."""
    label = generator.randint(0, 1)
    is_other = label == (generator.random() < 0.9)
    characters = CHARACTERS[3:6] if is_other else CHARACTERS[:3]
    texts = ["".join(generator.choice(characters) for _ in range(6)) for _ in range(2)]
    return "%s\t%s\t%d" % (texts[0], texts[1], label)


def assert_same_weights(one, other, atol=0):
    """Fails unless the arrays of two {name: array} are equal and finite.

    Args:
        one: expected arrays.
        other: actual arrays.
        atol: absolute tolerance.
    """
    assert sorted(one) == sorted(other)
    for name, value in one.items():
        assert np.isfinite(value).all(), name
        np.testing.assert_allclose(other[name], value, rtol=0, atol=atol, err_msg=name)


def command(arguments, script="run_classifier.py"):
    """The command line that runs a command in a new process."""
    return [sys.executable, os.path.join(ROOT, script)] + arguments


def run_process(arguments, script="run_classifier.py", **settings):
    """Runs a command in a new process; returns its `CompletedProcess`."""
    return subprocess.run(
        command(arguments, script),
        capture_output=True,
        text=True,
        timeout=300,
        **settings,
    )


def run_here(arguments):
    """Runs run_classifier.py in this process, which is faster; errors are raised as exceptions."""
    with flags_of(arguments):
        run_classifier.run()


def flags_of(arguments):
    """Context manager: sets absl's flags as run_classifier.py would with these arguments."""
    return isolated_flags.flags_of(arguments, finetuning_runner.define_flags)
