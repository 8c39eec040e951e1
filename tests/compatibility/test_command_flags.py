"""`FLAGS` and `main` of the commands, used as programs written for albert_zh use them."""

import json
import os
import subprocess
import sys

from albert_zh.corpus import record_counts
from project_root import ROOT

# Defaults of the original, by command and flag.
DEFAULTS = {
    "run_classifier": {"max_seq_length": 128, "train_batch_size": 32, "num_tpu_cores": 8},
    "run_classifier_clue": {"eval_batch_size": 8, "learning_rate": 5e-5, "warmup_proportion": 0.1},
    "run_classifier_multiclass": {"predict_batch_size": 8, "num_train_epochs": 3.0},
    "run_classifier_sp_google": {"max_seq_length": 512, "use_pooled_output": True},
    "run_pretraining": {
        "num_train_steps": 100000,
        "num_warmup_steps": 10000,
        "do_train": False,
        "learning_rate": 5e-5,
    },
    "run_pretraining_google": {
        "train_batch_size": 4096,
        "optimizer": "lamb",
        "do_train": True,
        "learning_rate": 0.00176,
    },
    "run_pretraining_google_fast": {"poly_power": 1.0, "save_checkpoints_steps": 5000},
    "create_pretraining_data": {"max_seq_length": 128, "dupe_factor": 10, "non_chinese": False},
    "create_pretraining_data_google": {"max_seq_length": 512, "ngram": 3, "do_permutation": False},
}
ALL_DEFAULTS = """
import importlib, json, sys
defaults = json.loads(sys.argv[1])
found = {}
for name, flags in defaults.items():
    values = importlib.import_module(name).FLAGS
    values.mark_as_parsed()
    found[name] = {flag: values[flag].value for flag in flags}
print(json.dumps(found))
"""
OWN_PROGRAM = """
import tensorflow.compat.v1 as tf
from run_classifier import FLAGS, DataProcessor
import run_classifier
tf.flags.DEFINE_integer("num_shards", 3, "A flag that albert_zh has not.")
tf.flags.DEFINE_string("seed", "today", "One that only the toolkit has.")

def main(_):
    assert FLAGS is run_classifier.FLAGS
    print([FLAGS.data_dir, FLAGS.max_seq_length, FLAGS.num_shards, FLAGS.seed])

tf.flags.mark_flag_as_required("data_dir")
tf.app.run()
"""
REQUIRES_FLAGS = """
import tensorflow.compat.v1 as tf
from absl import app
tf.flags.DEFINE_string("seed", "today", "One that only the toolkit has.")
import run_classifier
from run_classifier import *

tf.flags.mark_flag_as_required("data_dir")

def main(_):
    assert run_classifier.FLAGS is FLAGS
    print([tf.flags.FLAGS.data_dir, FLAGS.task_name, FLAGS.seed])

app.run(main)
"""
TWO_COMMANDS = """
import json
import tensorflow.compat.v1 as tf
import run_classifier, run_pretraining
tf.flags.DEFINE_string("seed", "today", "One that only the toolkit has.")

NAMES = "train_batch_size max_seq_length learning_rate output_dir bert_config_file seed".split()

def main(_):
    run_pretraining.FLAGS.max_seq_length = 64
    found = [[getattr(c.FLAGS, name) for name in NAMES] for c in (run_classifier, run_pretraining)]
    assert found == [
        [command.FLAGS.flag_values_dict()[name] for name in NAMES]
        for command in (run_classifier, run_pretraining)
    ]
    print(json.dumps(found + [run_pretraining.FLAGS.num_train_steps]))

run_pretraining.FLAGS(["program"], known_only=True)
tf.app.run()
"""
SECOND_MAIN = """
import run_classifier
import tensorflow.compat.v1 as tf
import run_pretraining_google
run_classifier.FLAGS.train_batch_size = 64
print(run_pretraining_google.FLAGS["num_train_steps"].value)
run_pretraining_google.FLAGS.num_train_steps = 20
tf.app.run(run_pretraining_google.main)
"""
CHOSEN_BY_COMMAND = """
import run_pretraining
from absl import flags
from albert_zh.commands import run_pretraining as command

flags.FLAGS.mark_as_parsed()
print(run_pretraining.FLAGS.learning_rate)
command._flags.use()
print(run_pretraining.FLAGS.learning_rate)
run_pretraining.FLAGS.learning_rate = 1e-3
command._flags.use()
print(run_pretraining.FLAGS.learning_rate)
"""
STARTS_MAIN = """
import tensorflow.compat.v1 as tf
import create_pretraining_data
create_pretraining_data.FLAGS.dupe_factor = 3
tf.app.run(create_pretraining_data.main)
"""


def _done(program, *arguments):
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=dict(os.environ, PYTHONPATH=ROOT),
        capture_output=True,
        text=True,
        timeout=300,
    )


def _run(program, *arguments):
    done = _done(program, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_every_command_has_its_flags():
    assert json.loads(_run(ALL_DEFAULTS, json.dumps(DEFAULTS))[-1]) == DEFAULTS


def test_a_program_reads_the_flags_of_a_command_beside_its_own():
    printed = _run(OWN_PROGRAM, "--data_dir=here", "--max_seq_length=64", "--seed=never")
    assert printed[-1] == str(["here", 64, 3, "never"])


def test_a_program_requires_flags_of_a_command_that_it_has_only_imported():
    printed = _run(REQUIRES_FLAGS, "--data_dir=here", "--task_name=mine")
    assert printed[-1] == str(["here", "mine", "today"])
    done = _done(REQUIRES_FLAGS, "--task_name=mine")
    assert (done.returncode, done.stdout) == (1, "")
    assert "--data_dir" in done.stderr and "Traceback" not in done.stderr


def test_two_commands_have_their_own_defaults_and_what_was_set_for_both():
    printed = _run(TWO_COMMANDS, "--output_dir=here", "--albert_config_file=a.json")
    assert json.loads(printed[-1]) == [
        [32, 128, 5e-5, "here", "a.json", "today"],
        [32, 64, 5e-5, "here", "a.json", "today"],
        100000,
    ]
    printed = _run(TWO_COMMANDS, "--train_batch_size=7", "--learning_rate=1e-3", "--seed=never")
    assert json.loads(printed[-1]) == [
        [7, 128, 1e-3, None, None, "never"],
        [7, 64, 1e-3, None, None, "never"],
        100000,
    ]


def test_the_main_of_a_second_command_has_its_own_defaults(tmp_path):
    """The check of the second command uses the defaults of that command, and names them."""
    shown = _done(SECOND_MAIN, "--helpfull").stdout
    for name in ("num_warmup_steps", "max_seq_length", "data_dir"):  # of second, both, first
        assert shown.count("--%s:" % name) == 1
    done = _done(
        SECOND_MAIN,
        "--input_file=none.tfrecord",
        "--output_dir=%s" % (tmp_path / "out"),
        "--albert_config_file=none.json",
    )
    assert (done.returncode, done.stdout) == (2, "125000\n")
    assert done.stderr.endswith(
        "--num_warmup_steps=3125: expected 0 or more and less than --num_train_steps=20\n"
    )


def test_the_command_chooses_the_rate_of_which_programs_read_the_original_default():
    assert _run(CHOSEN_BY_COMMAND) == ["5e-05", "None", "0.001"]


def test_main_is_started_by_tensorflow_with_flags_that_a_program_set(tmp_path):
    text = "今天天气很好\n我们去公园\n\n明天下雨\n带伞\n"
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    records = str(tmp_path / "a.tfrecord")
    vocab = os.path.join(ROOT, "albert_starter_zh", "vocab.txt")
    _run(
        STARTS_MAIN,
        "--input_file=%s" % (tmp_path / "a.txt"),
        "--output_file=%s" % records,
        "--vocab_file=%s" % vocab,
        "--max_seq_length=32",
        "--max_predictions_per_seq=5",
    )
    assert record_counts.read(records) == 6  # two documents, three times each
