"""Accuracy of exported classifiers on the dev file, compared with their checkpoints.

    python benchmarks/export_accuracy.py --models=LCQMC=lcqmc_output/best,AFQMC=afqmc_output/best \\
        --data_dirs=DATA/lcqmc,DATA/afqmc

Exports each model (for the task that its fine_tuning.json names) in every format that `Predictor`
reads, and prints a row for each file: its size, its accuracy on all rows of the dev file, and the
difference from the checkpoint's accuracy in percentage points. Texts of the training file
calibrate int8.
"""

import argparse
import collections
import os
import random
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

import numpy as np

from albert_zh.common import files, validation
from albert_zh.common.errors import UserError, run_program
from albert_zh.model.checkpoints import fine_tuning_notes

NUM_TEXTS = 300  # calibration texts of int8
ANY_LABELS = "--min_equal_labels=0"  # the accuracy of int8 is measured, whatever it is
# {name: (file name, flags of export_model.py)}
EXPORTS = collections.OrderedDict(
    [
        ("SavedModel", ("saved_model", ("--format=saved_model",))),
        ("ONNX", ("none.onnx", ("--format=onnx",))),
        ("ONNX float16", ("float16.onnx", ("--format=onnx", "--quantize=float16"))),
        ("ONNX int8", ("int8.onnx", ("--format=onnx", "--quantize=int8"))),
    ]
)
for _quantize in ("none", "float16", "dynamic", "int8"):
    EXPORTS["TFLite " + _quantize if _quantize != "none" else "TFLite"] = (
        _quantize + ".tflite",
        ("--format=tflite", "--quantize=" + _quantize, "--seq_length=dynamic"),
    )


def given_models(text):
    """{name: folder} of --models=NAME=FOLDER,..."""
    pairs = [pair.partition("=") for pair in (text or "").split(",") if pair]
    if not all(name and folder for name, _, folder in pairs):
        raise UserError("--models=%s: expected NAME=FOLDER,..." % text)
    return collections.OrderedDict((name, folder) for name, _, folder in pairs)


def write_texts(path, folder, data_dir):
    """Writes calibration texts for int8, drawn from the task's training file."""
    examples = sampled(folder, data_dir, "train", NUM_TEXTS)
    with open(path, "w", encoding="utf-8") as handle:
        handle.writelines("\t".join(texts) + "\n" for texts in texts_of(examples))


def sampled(folder, data_dir, split, most=None):
    """A random sample of examples of the task that a model was fine-tuned for; by default all."""
    from albert_zh.tasks import datasets
    from albert_zh.tasks import reader as task_reader
    from albert_zh.tasks.tables import own_labels

    notes_file = os.path.join(folder, fine_tuning_notes.FINE_TUNING_FILE)
    kind = validation.record({"task": validation.TEXT}, ["task"])
    task = datasets.get_task(files.read_json(notes_file, kind, "name a fine-tuned model")["task"])
    train = task_reader.read_split(task, data_dir, "train")
    if task.labels is None:
        task = own_labels.with_columns_and_labels(task, train)
    wanted = train if split == "train" else task_reader.read_split(task, data_dir, split)
    count = len(wanted.examples)
    return random.Random(1).sample(wanted.examples, min(most or count, count))


def texts_of(examples):
    """Each example's texts, a tuple of one or two."""
    return [(e.text_a,) if e.text_b is None else (e.text_a, e.text_b) for e in examples]


def run_quietly(*command):
    """Runs a command; shows its output only if it failed."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        print(done.stdout.decode("utf-8", "replace"), file=sys.stderr)
        raise UserError("failed with status %d: %s" % (done.returncode, " ".join(command)))


def measured_accuracies(folder, paths, data_dir, most=None):
    """{name: accuracy of a file on dev rows}; "checkpoint" is the checkpoint of the folder.

    Args:
        folder: model folder.
        paths: {name: exported file or SavedModel}.
        data_dir: folder of the task's files.
        most: maximum number of rows; None for all.
    """
    from albert_zh.inference import predictor

    examples = sampled(folder, data_dir, "dev", most)
    texts = [t if len(t) == 2 else t[0] for t in texts_of(examples)]
    accuracies = collections.OrderedDict()
    for name, path in [("checkpoint", folder)] + list(paths.items()):
        with predictor.Predictor(path) as model:
            labels = model.predict(texts)[0]
        right = [label == example.label for label, example in zip(labels, examples)]
        accuracies[name] = float(np.mean(right))
    return accuracies


def _exported(folder, target, texts):
    """Exports a model in all formats of `EXPORTS`; returns {name: path}."""
    paths, of_texts = collections.OrderedDict(), "--representative_texts=" + texts
    for name, (file_name, flags) in EXPORTS.items():
        paths[name] = os.path.join(target, file_name)
        print("exporting %s" % paths[name], file=sys.stderr, flush=True)
        run_quietly(
            sys.executable,
            os.path.join(ROOT, "export_model.py"),
            "--model_dir=" + folder,
            "--task=classifier",
            "--output=" + paths[name],
            *((of_texts, ANY_LABELS) if "--quantize=int8" in flags else ()),
            *flags,
        )
    return paths


def _megabytes(path):
    """Size of a file, or of all files of a folder."""
    if os.path.isfile(path):
        return os.path.getsize(path) / 1e6
    return sum(_megabytes(entry.path) for entry in os.scandir(path))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", required=True, help="NAME=FOLDER,... of fine-tuned classifiers")
    parser.add_argument("--data_dirs", required=True, help="task folder of each model")
    arguments = parser.parse_args()
    models, data_dirs = given_models(arguments.models), arguments.data_dirs.split(",")
    if len(data_dirs) != len(models):
        raise UserError("--data_dirs: expected %d folders, one for each model" % len(models))
    print("| model | export | MB | dev accuracy | difference |\n|---|---|---:|---:|---:|")
    for (model, folder), data_dir in zip(models.items(), data_dirs):
        with tempfile.TemporaryDirectory() as work:
            texts = os.path.join(work, "texts.txt")
            write_texts(texts, folder, data_dir)
            paths = _exported(folder, work, texts)
            accuracies = measured_accuracies(folder, paths, data_dir)
            for name, accuracy in accuracies.items():
                size = "%.1f" % _megabytes(paths[name]) if name in paths else ""
                points = 100 * (accuracy - accuracies["checkpoint"])
                row = (model, name, size, 100 * accuracy, points)
                print("| %s | %s | %s | %.2f | %+.2f |" % row, flush=True)


if __name__ == "__main__":
    run_program(main)
