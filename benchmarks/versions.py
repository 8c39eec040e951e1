r"""Compares versions of TensorFlow: same results, resuming each other's runs, and speed.

    python benchmarks/versions.py --pythons=.venv/bin/python,OTHER_ENVIRONMENT/bin/python
    python benchmarks/versions.py --pythons=... --parts=speed --rounds=9

Each Python belongs to an environment with the toolkit's packages; the others are compared with the
first one. Parts:
    numbers   records, and weights after fine-tuning, pre-training and pre-training with two
              replicas (--devices=/cpu:0,/cpu:1), from the same seed
    crossing  a run that one version began and the other finished, with the features of the first;
              predictions with the model of the other version
    speed     processor time of a training step of albert_tiny (64 pairs of LCQMC's lengths, one
              thread), in processes that take turns: medians
Finished runs are not repeated: the same command resumes where it was stopped.
"""

import filecmp
import glob
import json
import os
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path.insert(0, ROOT)

from absl import flags
import measuring
import numpy as np

from albert_zh.common import output_files, path_rules
from albert_zh.common.errors import UserError, run_command
from albert_zh.model.checkpoints import checkpoint_values

FLAGS = flags.FLAGS
PARTS = ("numbers", "crossing", "speed")
STARTER = os.path.join(ROOT, "albert_starter_zh")
STARTER_CONFIG = os.path.join(STARTER, "albert_config_tiny.json")
VOCABULARY = os.path.join(STARTER, "vocab.txt")
PAIRS = os.path.join(ROOT, "data", "pairs_hard_sample")
SEQUENCE, PREDICTIONS = 64, 10
NAME_OF_VERSION = """
import sys
sys.path.insert(0, sys.argv[1])
import check_environment
found = check_environment.installed_packages()
version = next(found[name] for name in check_environment.TENSORFLOW_PACKAGES if name in found)
print("%s-py%d.%d" % ((version,) + sys.version_info[:2]))
"""
PRECISIONS = ("float32", "bfloat16")
SPEED_STEPS = 32  # steps per turn: all lengths of a window of batches
TWO_REPLICAS = {"distribution": "mirrored", "devices": "/cpu:0,/cpu:1"}
DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob")


def define_flags():
    """Defines the command's flags."""
    flags.DEFINE_list("pythons", [], "Pythons of the environments; the first is the reference.")
    flags.DEFINE_list("parts", list(PARTS), "Parts to run: some of %s." % ", ".join(PARTS))
    flags.DEFINE_string("output_dir", "versions_output", "Folder for the runs.")
    flags.DEFINE_integer("fine_tuning_steps", 40, "Steps of fine-tuning.", lower_bound=2)
    flags.DEFINE_integer("pretraining_steps", 50, "Steps of pre-training.", lower_bound=1)
    flags.DEFINE_integer("rounds", 5, "Turns per process in speed.", lower_bound=1)
    flags.DEFINE_string("speed_of", None, "A precision: serve the turns of speed (internal).")


def main():
    """Prints a table of the parts in --parts."""
    if FLAGS.speed_of:
        serve_speed(FLAGS.speed_of)
        return
    unknown = sorted(set(FLAGS.parts) - set(PARTS))
    if unknown:
        raise UserError("--parts: unknown %s, expected some of %s" % (unknown, list(PARTS)))
    names = names_of_versions(FLAGS.pythons)
    path_rules.output_folder(FLAGS.output_dir, "--output_dir=%s" % FLAGS.output_dir)
    steps = ("fine_tuning_steps", "pretraining_steps")
    measuring.check_settings(FLAGS.output_dir, {name: FLAGS[name].value for name in steps})
    reference, *others = [Version(*pair) for pair in names.items()]
    show_row("beside %s" % reference.name, [version.name for version in others])
    if "numbers" in FLAGS.parts:
        show_numbers(reference, others)
    if "crossing" in FLAGS.parts:
        show_crossing(reference, others)
    if "speed" in FLAGS.parts:
        show_speed([reference] + others)


def names_of_versions(pythons):
    """Returns {name of TensorFlow's and Python's versions: Python}.

    Raises:
        UserError: for fewer than two Pythons, one without TensorFlow, or two of the same versions.
    """
    if len(pythons) < 2:
        raise UserError("--pythons: name two Pythons or more, with commas between them")
    names = {}
    for python in pythons:
        try:
            output = subprocess.check_output(
                [python, "-c", NAME_OF_VERSION, os.path.join(ROOT, "scripts")],
                stderr=subprocess.DEVNULL,
            )
        except (OSError, subprocess.CalledProcessError) as error:
            raise UserError(
                "--pythons: %s has no TensorFlow: expected the Python of an environment with "
                "requirements.txt" % python
            ) from error
        name = output.decode().split()[-1]
        if name in names:
            raise UserError("--pythons: %s and %s are both %s" % (names[name], python, name))
        names[name] = python
    return names


class Version:
    """A Python and its version of TensorFlow."""

    def __init__(self, name, python):
        self.name = name
        self._python = python

    def path(self, name):
        """The path of a run of this version."""
        return os.path.join(FLAGS.output_dir, self.name, name)

    def command(self, script, options):
        """The command line of a script of the project."""
        words = ["--%s=%s" % option for option in sorted(options.items())]
        return [self._python, os.path.join(ROOT, script)] + words

    def run(self, name, script, options, prepare=lambda: None):
        """Runs a command, unless it was finished; its output goes to a log next to its folder.

        Args:
            name: name of the run.
            script: name of the command's file.
            options: {flag: value} of the command.
            prepare: function that is called before the first attempt.

        Raises:
            UserError: if the command fails.
        """
        begun, finished, log = (self.path(name) + end for end in (".begun", ".finished", ".log"))
        os.makedirs(os.path.dirname(log), exist_ok=True)
        if os.path.exists(finished):
            return
        if not os.path.exists(begun):
            prepare()
            output_files.write_json(begun, {})
        with open(log, "ab") as output:
            command = self.command(script, options)
            status = subprocess.call(command, stdout=output, stderr=subprocess.STDOUT)
        if status:
            raise UserError("%s ended with status %d, as %s says" % (script, status, log))
        output_files.write_json(finished, {})


def show_row(title, cells):
    """Prints a row of the table."""
    print("%-48s" % title + "".join("%16s" % cell for cell in cells), flush=True)


# Numbers


def show_numbers(reference, others):
    """Compares the records and weights of each version with the reference."""
    expected = records(reference)
    same = [filecmp.cmp(expected, records(version), shallow=False) for version in others]
    show_row("pre-training records", ["equal" if is_same else "different" for is_same in same])
    for title, learn in (
        ("fine-tuning, %d steps" % FLAGS.fine_tuning_steps, fine_tuned),
        ("pre-training, %d steps" % FLAGS.pretraining_steps, pretrained(expected)),
        ("the same by two replicas", pretrained(expected, **TWO_REPLICAS)),
    ):
        show_row(title, [difference(learn(reference), learn(version)) for version in others])


def difference(one, other):
    """The largest difference between two checkpoints' weights, formatted for the table."""
    first, second = checkpoint_values.read_weights(one), checkpoint_values.read_weights(other)
    if set(first) != set(second):
        return "other variables"
    return "%.1e" % max(np.abs(first[name] - value).max() for name, value in second.items())


def records(version):
    """Path of the pre-training records that a version writes."""
    path = version.path("records.tfrecord")
    version.run(
        "records",
        "create_pretraining_data.py",
        {
            "input_file": os.path.join(ROOT, "data", "news_zh_1.txt"),
            "output_file": path,
            "vocab_file": VOCABULARY,
            "do_whole_word_mask": "true",
            "max_seq_length": SEQUENCE,
            "max_predictions_per_seq": PREDICTIONS,
        },
    )
    return path


def fine_tuned(version, name="fine_tuning", prepare=lambda: None):
    """The checkpoint of a version's fine-tuning, after --fine_tuning_steps."""
    steps = FLAGS.fine_tuning_steps
    options = {
        "task_name": "lcqmc",
        "data_dir": PAIRS,
        "output_dir": version.path(name),
        "do_train": "true",
        "do_eval": "true",
        "bert_config_file": STARTER_CONFIG,
        "vocab_file": VOCABULARY,
        "init_checkpoint": STARTER,
        "max_seq_length": 32,
        "train_batch_size": 16,
        "learning_rate": 1e-4,
        "train_step": steps,
        "save_checkpoints_steps": steps // 2,
        "keep_checkpoint_max": 5,  # crossed runs resume from the middle one
        "seed": 5,
        "num_threads": 1,
    }
    version.run(name, "run_classifier.py", options, prepare)
    return os.path.join(version.path(name), "model.ckpt-%d" % steps)


def pretrained(record_file, **settings):
    """A function (version) -> checkpoint that pre-trains with dropout on the records."""
    steps = FLAGS.pretraining_steps
    name = "_".join(["pretraining"] + sorted(settings.values())).replace("/", "").replace(",", "_")

    def learn(version):
        options = {
            "input_file": record_file,
            "output_dir": version.path(name),
            "bert_config_file": config_with_dropout(),
            "vocab_file": VOCABULARY,
            "do_train": "true",
            "max_seq_length": SEQUENCE,
            "max_predictions_per_seq": PREDICTIONS,
            "train_batch_size": 16,
            "learning_rate": 1e-3,
            "num_train_steps": steps,
            "num_warmup_steps": steps // 5,
            "save_checkpoints_steps": steps,
            "seed": 5,
            "num_threads": 1,
        }
        version.run(name, "run_pretraining.py", dict(options, **settings))
        return os.path.join(version.path(name), "model.ckpt-%d" % steps)

    return learn


def config_with_dropout():
    """Path of a config of albert_tiny with dropout, which the bundled model lacks."""
    with open(STARTER_CONFIG, encoding="utf-8") as content:
        config = dict(json.load(content), **dict.fromkeys(DROPOUTS, 0.1))
    path = os.path.join(FLAGS.output_dir, "albert_config_dropout.json")
    output_files.write_json(path, config)
    return path


# Crossing


def show_crossing(reference, others):
    """Compares runs that one version began and another one finished."""
    for title, pairs in (
        ("begun by %s, finished here" % reference.name, [(reference, own) for own in others]),
        ("begun here, finished by %s" % reference.name, [(own, reference) for own in others]),
    ):
        finished = [crossed(*pair) for pair in pairs]
        whole = [fine_tuned(begun) for begun, _ in pairs]
        show_row("run " + title, [difference(*two) for two in zip(whole, finished)])
        reused = [same_features(*two) for two in zip(whole, finished)]
        show_row("    its features", ["used" if is_same else "made again" for is_same in reused])
        scores = [probabilities(begun, begun) - probabilities(begun, user) for begun, user in pairs]
        show_row("    probabilities of its model", ["%.1e" % np.abs(s).max() for s in scores])


def crossed(begun, finisher):
    """The checkpoint of a run whose second half was trained by `finisher`."""
    name = "begun_by_" + begun.name
    whole = fine_tuned(begun)

    def copy():
        shutil.rmtree(finisher.path(name), ignore_errors=True)
        shutil.copytree(os.path.dirname(whole), finisher.path(name))
        for path in glob.glob(os.path.join(finisher.path(name), os.path.basename(whole) + ".*")):
            os.remove(path)

    return fine_tuned(finisher, name, copy)


def same_features(one, other):
    """Whether the folders of two checkpoints have the same feature files, with equal times."""
    paths = glob.glob(os.path.join(os.path.dirname(one), "*.tf_record"))
    copies = [os.path.join(os.path.dirname(other), os.path.basename(path)) for path in paths]
    return bool(paths) and all(
        os.stat(path).st_mtime_ns == os.stat(copy).st_mtime_ns for path, copy in zip(paths, copies)
    )


def probabilities(owner, user):
    """float [texts], predictions by `user` with the best model of `owner`'s fine-tuning."""
    options = {
        "model_dir": os.path.join(os.path.dirname(fine_tuned(owner)), "best"),
        "input_file": os.path.join(PAIRS, "dev.txt"),
    }
    output = subprocess.check_output(
        user.command("classify.py", options), stderr=subprocess.DEVNULL, universal_newlines=True
    )
    return np.array([float(line.split("\t")[-1]) for line in output.splitlines()])


# Speed


def show_speed(versions):
    """Prints the processor time per step in milliseconds."""
    for precision in measuring.in_fast_precisions({name: name for name in PRECISIONS}):
        commands = {
            version.name: version.command("benchmarks/versions.py", {"speed_of": precision})
            for version in versions
            if precision == "float32" or not version.name.startswith("1.")
        }
        results = measuring.take_turns(commands, FLAGS.rounds)
        first = results[versions[0].name][0]
        for name, (seconds, _, _) in results.items():
            print(
                "%s, %-20s %7.1f ms of a step, %.3f of %s"
                % (precision, name, 1e3 * seconds, seconds / first, versions[0].name)
            )


def serve_speed(precision):
    """Answers turns with the processor time per training step."""
    import fine_tuning

    with fine_tuning.session_of(fine_tuning.Way(precision=precision), 1) as (session, fetches):

        def turn():
            begin = time.process_time()
            for _ in range(SPEED_STEPS):
                session.run(fetches)
            return (time.process_time() - begin) / SPEED_STEPS

        measuring.serve_turns(turn)


if __name__ == "__main__":
    define_flags()
    run_command(main)
