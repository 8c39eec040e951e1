"""Gain of distillation over plain training of the same student with the same number of steps.

    python benchmarks/distillation.py --data_dir=DATA --experiments=few_labels,pairs
    python benchmarks/distillation.py --data_dir=DATA --unlabelled_file='titles/*.txt'

Each experiment trains teachers (the model itself with other seeds and, for single texts, also a
linear model), plain students and students of the teachers with each seed, and prints the
accuracies. `few_labels` has 2,000 labelled rows of THUCNews and uses the other rows without labels;
`lcqmc` has the split of results.py, and the rest of its dev file without labels; `pairs` and
`topics_sample` are bundled. Runs are saved in --output_dir: a killed command resumes when it is run
again.
"""

import collections
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from absl import flags
import numpy as np
import results

from albert_zh.common import files, output_files
from albert_zh.common.errors import UserError, run_command

FLAGS = flags.FLAGS
ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
STARTER = os.path.join(ROOT, "albert_starter_zh")

Experiment = collections.namedtuple(
    "Experiment",
    "folder task length epochs teacher_flags has_linear files unlabelled rate student_flags batch",
    defaults=(None, None, 1e-4, (), 32),
)
Experiment.__doc__ = """How models are trained on a data set.

Fields:
    folder: folder of the data, below --data_dir.
    task, length, epochs: flags of all runs.
    teacher_flags: additional flags of the teachers.
    has_linear: whether the linear model is also a teacher.
    files: {split: (its file, slice of the lines)}; None: the files of the task.
    unlabelled: (file, slice of the lines) to use without labels; None: no unlabelled texts.
    rate: learning rate of all runs.
    student_flags: additional flags of the students.
    batch: examples per step.
"""
FGM = ("--fgm_epsilon=0.5",)
_TRAIN = "train_45k_subset.txt"
_THUCNEWS = {"train": _TRAIN, "dev": "dev.txt", "test": "test.txt"}
_ALL, _FIRST, _REST = slice(None), slice(2000), slice(2000, None)
_NUM_DEV = results.LCQMC_FILES["dev"][1].stop


def _as_in_results(name, has_linear):
    """An experiment with the settings of a set in results.py, and default flags otherwise."""
    found = results.DATASETS[name]
    settings = {"rate": found.rate, "batch": found.batch}
    return Experiment(
        found.folder, found.task, found.length, found.epochs, (), has_linear, **settings
    )


EXPERIMENTS = {
    "few_labels": Experiment(
        "thucnews10",
        "multiclass",
        64,
        1,
        (*FGM, "--num_train_epochs=4"),
        True,
        {split: (file, _FIRST) for split, file in _THUCNEWS.items()},
        (_TRAIN, _REST),
    ),
    "pairs": Experiment("", "lcqmc", 64, 5, (), False),
    "lcqmc": Experiment(
        "lcqmc",
        "lcqmc",
        64,
        4,
        FGM,
        False,
        results.LCQMC_FILES,
        ("dev.txt", slice(_NUM_DEV, None)),
        student_flags=("--num_train_epochs=8",),
    ),
    "iflytek": Experiment("fewclue_iflytek", "iflytek", 128, 20, (), True, rate=4e-4),
    "thucnews": Experiment(
        "thucnews10",
        "multiclass",
        64,
        3,
        FGM,
        True,
        {split: (file, _ALL) for split, file in _THUCNEWS.items()},
        rate=3e-4,
    ),
    # A ninth of dev is also in train, so memorizing training labels pays off.
    "tnews": Experiment(
        "tnews",
        "tnews",
        128,
        5,
        (*FGM, "--num_train_epochs=3"),
        True,
        rate=3e-4,
        student_flags=("--distill_weight=0.5",),
    ),
    "afqmc": _as_in_results("afqmc", False),
    "chnsenticorp": _as_in_results("chnsenticorp", True),
    "csl": _as_in_results("csl", False),
    "wsc": _as_in_results("wsc", False),
    "topics_sample": _as_in_results("topics_sample", True),
}
for _name in ("tnews", "iflytek"):  # the same, with students that also use FGM
    _plain = EXPERIMENTS[_name]
    EXPERIMENTS[_name + "_fgm"] = _plain._replace(student_flags=_plain.student_flags + FGM)
_WITHOUT_TEST_LABELS = ("afqmc", "tnews", "tnews_fgm")


def define_flags():
    """Defines the flags."""
    flags.DEFINE_string("data_dir", None, "Folder with a folder for each data set.")
    flags.DEFINE_string("output_dir", "distillation_output", "Folder for the runs.")
    flags.DEFINE_list("experiments", list(EXPERIMENTS), "Experiments to run.")
    flags.DEFINE_list("seeds", ["1", "2", "3"], "Seeds of the students.")
    flags.DEFINE_list("teacher_seeds", ["11", "12"], "Seeds of the teachers.")
    flags.DEFINE_list("unlabelled_file", [], "Additional texts without labels.")
    flags.DEFINE_string("precision", "bfloat16", "Precision, see run_classifier.py.")
    flags.DEFINE_integer("num_threads", 0, "Number of threads; 0 for all cores.")


class Runs:
    """The runs of one experiment."""

    def __init__(self, name):
        """`name`: key of `EXPERIMENTS`."""
        self._experiment = EXPERIMENTS[name]
        self.folder = os.path.join(FLAGS.output_dir, name)
        self._unlabelled = list(FLAGS.unlabelled_file)
        self._data = self._prepared()

    def _prepared(self):
        """The folder of the data, or a copy of the parts of files that are used."""
        experiment = self._experiment
        if not experiment.folder:
            return os.path.join(ROOT, "data", "pairs_hard_sample")
        source = os.path.join(FLAGS.data_dir or "", experiment.folder)
        if not os.path.isdir(source):
            raise UserError("--data_dir: %s: no such folder" % source)
        if not experiment.files:
            return source
        target = os.path.join(self.folder, "data")
        for split, (file, part) in experiment.files.items():
            _write(os.path.join(target, split + ".txt"), self._lines(source, file)[part])
        if experiment.unlabelled:
            file, part = experiment.unlabelled
            rows = [line.rsplit("\t", 1)[0] for line in self._lines(source, file)[part]]
            self._unlabelled.append(os.path.join(self.folder, "unlabelled.txt"))
            _write(self._unlabelled[-1], rows)
        return target

    def _lines(self, source, file):
        """The lines of a file, in the order in which they are split."""
        lines = files.read_lines(os.path.join(source, file))
        return results.in_order_of_chance(lines) if self._experiment.task == "lcqmc" else lines

    def teachers(self):
        """Trains the missing teachers; returns their names for --teachers."""
        paths = ["linear"] if self._experiment.has_linear else []
        for seed in FLAGS.teacher_seeds:
            name = "teacher_" + seed
            self.train(name, seed, list(self._experiment.teacher_flags))
            paths.append(os.path.join(self.folder, name, "best"))
        return paths

    def train(self, name, seed, further, script="run_classifier.py"):
        """Executes a run unless it is done; returns the accuracies in its report."""
        folder, experiment = os.path.join(self.folder, name), self._experiment
        path = os.path.join(folder, "report.json")
        arguments = [
            "--task_name=" + experiment.task,
            "--data_dir=" + self._data,
            "--bert_config_file=" + os.path.join(STARTER, "albert_config_tiny.json"),
            "--vocab_file=" + os.path.join(STARTER, "vocab.txt"),
            "--init_checkpoint=" + STARTER,
            "--max_seq_length=%d" % experiment.length,
            "--num_train_epochs=%g" % experiment.epochs,
            "--train_batch_size=%d" % experiment.batch,
            "--learning_rate=%g" % experiment.rate,
            "--seed=" + seed,
            "--precision=" + FLAGS.precision,
            "--num_threads=%d" % FLAGS.num_threads,
            "--do_train=true",
            "--do_eval=true",
            "--do_predict=%s" % (experiment.task not in _WITHOUT_TEST_LABELS),
            "--output_dir=" + folder,
        ]
        if not os.path.exists(path):
            call(script, arguments + further)
        report = files.read_json(path)
        return {s: 100 * report[s]["accuracy"] for s in ("dev", "test") if s in report}

    def compare(self):
        """Yields (kind of student, list of accuracies): plain and distilled students."""
        teachers = self.teachers()
        learning = ["--teachers=" + ",".join(teachers), "--teacher_weights=auto"]
        learning.append("--teacher_cache=" + os.path.join(self.folder, "targets"))
        if self._unlabelled:
            learning.append("--unlabelled_file=" + ",".join(self._unlabelled))
        learning += self._experiment.student_flags
        students = [self.train("student_" + s, s, learning) for s in FLAGS.seeds]
        path = os.path.join(self.folder, "student_" + FLAGS.seeds[0], "eval_results.json")
        steps = files.read_json(path)["evaluations"][-1]["global_step"]
        same = ["--train_step=%d" % steps]
        yield "plain, as many steps", [self.train("plain_" + s, s, same) for s in FLAGS.seeds]
        yield "student", students


def _write(path, lines):
    with output_files.atomic_write(path) as stream:
        stream.writelines(line + "\n" for line in lines)


def call(script, arguments):
    """Runs a command of the toolkit.

    Raises:
        UserError: if it fails.
    """
    status = subprocess.call([sys.executable, os.path.join(ROOT, script)] + arguments)
    if status:
        raise UserError("%s ended with status %d" % (script, status))


def main():
    """Executes the missing runs and prints a line for each kind of student."""
    unknown = sorted(set(FLAGS.experiments) - set(EXPERIMENTS))
    if unknown:
        raise UserError("--experiments: unknown %s" % unknown[0])
    for name in FLAGS.experiments:
        for what, runs in Runs(name).compare():
            for split in runs[0]:
                scores = [run[split] for run in runs]
                deviation = np.std(scores, ddof=1) if len(scores) > 1 else 0.0
                row = (name, what, split, np.mean(scores), deviation, len(scores))
                print("%s, %s: %s %.2f ± %.2f (%d seeds)" % row)


if __name__ == "__main__":
    define_flags()
    run_command(main)
