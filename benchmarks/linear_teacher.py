r"""A linear model as a teacher: its probabilities of a task's rows, as a file for --teachers.

    python benchmarks/linear_teacher.py --task_name=tnews --data_dir=DATA/tnews \
        --unlabelled_file='titles/*.txt' --out=linear.jsonl
    python run_classifier.py ... --teachers=linear.jsonl --unlabelled_file='titles/*.txt'

Trains a linear SVM on TF-IDF weights of character n-grams (`topics_baseline`). A row of train has
the probabilities of a model that was trained without its fifth of the rows: those of its own model
would be 0 and 1. Probabilities are the softmax of the margins, times the factor that makes the
labels of those rows most probable. Needs scikit-learn (`pip install scikit-learn`).
"""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from absl import flags
import numpy as np
from topics_baseline import text_model

from albert_zh.common import output_files
from albert_zh.common.errors import UserError, run_command
from albert_zh.distillation.unlabelled import read_unlabelled
from albert_zh.tasks import datasets, own_labels, reader, registry, task_forms
from albert_zh.tasks.distillation import log_softmax

FLAGS = flags.FLAGS
FOLDS = 5
FACTORS = np.exp(np.linspace(np.log(0.5), np.log(20), 60))


def define_flags():
    """Defines the flags."""
    flags.DEFINE_string("task_name", datasets.OWN_DATA, "As of run_classifier.py: single texts.")
    flags.DEFINE_string("data_dir", None, "As of run_classifier.py.")
    flags.DEFINE_list("unlabelled_file", None, "As of run_classifier.py.")
    flags.DEFINE_string("out", None, "The file to write, JSON lines.")
    flags.DEFINE_string("encoding", "utf-8", "As of run_classifier.py.")
    flags.DEFINE_integer("least_texts", 1, "Leave out n-grams that fewer texts have.")


def probabilities_of(train_texts, labels, other_texts, least_texts=1):
    """Probabilities of a linear model.

    Args:
        train_texts: list of str.
        labels: int [n], their classes.
        other_texts: list of str.
        least_texts: see the flag.

    Returns:
        (of the training texts, out of fold [n, C]; of the others [m, C]; factor of the margins).

    Raises:
        UserError: for too few texts.
    """
    texts, labels = np.array(train_texts, object), np.array(labels)
    folds = np.random.RandomState(0).permutation(len(texts)) % FOLDS
    margins = np.zeros([len(texts), labels.max() + 1])
    for fold in range(FOLDS):
        if len(set(labels[folds != fold])) < 2:
            raise UserError(
                "--data_dir: %d different texts in train, and without each fifth of them those of "
                "one label are left: expected more texts, of two labels at least" % len(texts)
            )
        model = text_model(least_texts=least_texts).fit(texts[folds != fold], labels[folds != fold])
        margins[folds == fold] = _margins(model, texts[folds == fold], margins.shape[1])
    losses = [
        -log_softmax(factor * margins)[np.arange(len(labels)), labels].mean() for factor in FACTORS
    ]
    factor = FACTORS[int(np.argmin(losses))]
    model = text_model(least_texts=least_texts).fit(texts, labels)
    others = _margins(model, other_texts, margins.shape[1]) if len(other_texts) else margins[:0]
    return np.exp(log_softmax(factor * margins)), np.exp(log_softmax(factor * others)), factor


def _margins(model, texts, num_classes):
    """Margins of all classes, float [n, C]; very low for those that the model has not seen."""
    found = model.decision_function(texts)
    found = np.stack([-found, found], axis=1) if found.ndim == 1 else found
    margins = np.full([len(found), num_classes], -3.0)
    margins[:, model.classes_] = found
    return margins


def main():
    """Trains, reports the accuracies and writes the file."""
    for name in ("data_dir", "out"):
        if not FLAGS[name].value:
            raise UserError("--%s is missing" % name)
    task = datasets.get_task(FLAGS.task_name)
    kind = registry.type_of(task)
    train = reader.read_split(task, FLAGS.data_dir, "train", FLAGS.encoding)
    task = task if task.labels else own_labels.with_columns_and_labels(task, train)
    if task.objective != "single_label" or task_forms.is_pair(task):
        raise UserError(
            "--task_name=%s: a linear model is a teacher of single texts with one label each: use "
            "another teacher for pairs, several labels or values" % FLAGS.task_name
        )
    dev = reader.read_split(task, FLAGS.data_dir, "dev", FLAGS.encoding)
    others = list(dev.examples)
    if FLAGS.unlabelled_file:
        read = read_unlabelled(
            FLAGS.unlabelled_file, kind, task, FLAGS.encoding, train.examples, dev.examples
        )
        others += read.examples
    unique = list({example.text_a: example for example in train.examples}.values())
    known = {example.text_a for example in unique}
    others = list({e.text_a: e for e in others if e.text_a not in known}.values())
    labels = [task.labels.index(example.label) for example in unique]
    texts = [[example.text_a for example in examples] for examples in (unique, others)]
    of_train, of_others, factor = probabilities_of(texts[0], labels, texts[1], FLAGS.least_texts)
    print("margins times %.3g" % factor)
    print("train, out of fold: %.2f%%" % (100 * np.mean(of_train.argmax(1) == labels)))
    rows = list(zip(unique, of_train)) + list(zip(others, of_others))
    best = {e.text_a: task.labels[row.argmax()] for e, row in rows}
    hits = [best[example.text_a] == example.label for example in dev.examples]
    print("dev: %.2f%%" % (100 * np.mean(hits)))
    with output_files.atomic_write(FLAGS.out) as stream:
        for example, row in rows:
            of_labels = {label: float("%.6g" % p) for label, p in zip(task.labels, row)}
            content = {"text_a": example.text_a, "probabilities": of_labels}
            stream.write(json.dumps(content, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    define_flags()
    run_command(main)
