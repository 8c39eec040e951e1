"""Gain of TinyBERT's phases for a student with half of its teacher's layers and few labels.

    python benchmarks/layer_distillation.py --data_dir=DATA --corpus_file='texts/*.txt'

The data are the 2,000 labelled rows of distillation.py's `few_labels`; the teacher is the starter
model, fine-tuned on them. The students have two of its four layers and start from random weights,
from the teacher's weights before fine-tuning, or from weights that general_distill.py trains on raw
text. From each start, one student is trained on labels, one on the teacher's outputs, and one in
both phases of task_distill.py, with the same number of epochs. Runs are saved in --output_dir: a
killed command resumes when it is run again.
"""

import glob
import json
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from absl import flags
import distillation
import numpy as np

from albert_zh.common import files, output_files
from albert_zh.common.errors import UserError, run_command

FLAGS = flags.FLAGS
NUM_LAYERS = 2
_FIRST_PASSES, _SECOND_PASSES = 10, 6
_CONFIG = "albert_config_tiny.json"
_STARTS = {
    "random": "random weights",
    "own": "the teacher's own weights",
    "general": "general distillation",
}
_WAYS = ("labels", "answers", "phases")


def define_flags():
    """Defines the flags."""
    distillation.define_flags()
    flags.DEFINE_string("corpus_file", None, "Raw text for general distillation.")
    flags.DEFINE_integer("general_steps", 2000, "Steps of general distillation, of 32 rows each.")


class Students(distillation.Runs):
    """The runs of students with half of the teacher's layers."""

    def __init__(self):
        super().__init__("few_labels")
        self._teacher = os.path.join(self.folder, "teacher_11", "best")

    def make_starts(self):
        """Creates the model folders that the students start from."""
        self._write("random")
        self._write("own", "checkpoint", "albert_model.ckpt.*")
        if not os.path.isdir(self._start("general")):
            self._distil_in_general()

    def _start(self, name):
        below = ("general", "student") if name == "general" else (name,)
        return os.path.join(self.folder, *below)

    def _write(self, name, *weights):
        """Writes a folder with the student's config, the starter's vocabulary and weight files."""
        folder = self._start(name)
        os.makedirs(folder, exist_ok=True)
        for pattern in ("vocab.txt",) + weights:
            for path in glob.glob(os.path.join(distillation.STARTER, pattern)):
                shutil.copy(path, folder)
        config = files.read_json(os.path.join(distillation.STARTER, _CONFIG))
        with output_files.atomic_write(os.path.join(folder, _CONFIG)) as stream:
            json.dump(dict(config, num_hidden_layers=NUM_LAYERS), stream, indent=2)

    def _distil_in_general(self):
        arguments = [
            "--teacher_model=" + distillation.STARTER,
            "--student_model=" + self._start("random"),
            "--corpus_file=" + FLAGS.corpus_file,
            "--max_seq_length=64",
            "--train_batch_size=32",
            "--num_train_steps=%d" % FLAGS.general_steps,
            "--num_warmup_steps=%d" % (FLAGS.general_steps // 10),
            "--learning_rate=5e-4",
            "--precision=" + FLAGS.precision,
            "--num_threads=%d" % FLAGS.num_threads,
            "--output_dir=" + os.path.dirname(self._start("general")),
        ]
        distillation.call("general_distill.py", arguments)

    def train_teacher(self):
        """Fine-tunes the starter; returns its accuracies, {split: percent}."""
        return self.train("teacher_11", "11", [*distillation.FGM, "--num_train_epochs=4"])

    def train_student(self, start, way, seed):
        """Trains a student; returns its accuracies, {split: percent}."""
        folder = self._start(start)
        given = [
            "--bert_config_file=" + os.path.join(folder, _CONFIG),
            "--init_checkpoint=" + ("" if start == "random" else folder),
            "--num_train_epochs=%d" % (_FIRST_PASSES + _SECOND_PASSES),
        ]
        script = "run_classifier.py"
        if way == "answers":
            given.append("--teachers=" + self._teacher)
        if way == "phases":
            script = "task_distill.py"
            given += ["--teacher_model=" + self._teacher, "--student_model=" + folder]
            given += ["--both_phases", "--intermediate_epochs=%d" % _FIRST_PASSES]
            given.append("--num_train_epochs=%d" % _SECOND_PASSES)
        return self.train("_".join((start, way, seed)), seed, given, script)


def main():
    """Executes the missing runs and prints a line for each start and way of training."""
    if not FLAGS.corpus_file:
        raise UserError("--corpus_file is missing: raw text, a sentence a line")
    students = Students()
    students.make_starts()
    _print_row("teacher, 4 layers", [students.train_teacher()])
    for start, name in _STARTS.items():
        for way in _WAYS:
            if (start, way) != ("random", "phases"):  # task_distill.py's student has weights
                runs = [students.train_student(start, way, seed) for seed in FLAGS.seeds]
                _print_row("%s, %s" % (name, way), runs)


def _print_row(what, runs):
    for split in ("dev", "test"):
        scores = [run[split] for run in runs]
        deviation = np.std(scores, ddof=1) if len(scores) > 1 else 0.0
        print(
            "%s: %s %.2f ± %.2f (%d seeds)" % (what, split, np.mean(scores), deviation, len(scores))
        )


if __name__ == "__main__":
    define_flags()
    run_command(main)
