"""Baseline of text classification: a bag of character n-grams on a folder of labelled texts.

    python benchmarks/topics_baseline.py --data_dir=data/topics_sample

Trains a linear SVM on TF-IDF weights of character n-grams (no pre-training, no word order beyond
three characters) on train.csv and prints its accuracy on dev.csv and test.csv. The files are CSV
files with a header that names the columns text_a and label. Needs scikit-learn
(`pip install scikit-learn`).
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from absl import flags

from albert_zh.common.errors import UserError, run_command
from albert_zh.distillation.linear_model import text_model
from albert_zh.tasks.tables.rows import Row, Table

FLAGS = flags.FLAGS

SAMPLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "topics_sample")


def define_flags():
    flags.DEFINE_string(
        "data_dir",
        os.path.normpath(SAMPLE),
        "Folder with train.csv, dev.csv and test.csv, columns text_a and label.",
    )


def read_labelled_texts(path):
    """Reads the columns text_a and label of a CSV file.

    Args:
        path: the file; its first line names the columns.

    Returns:
        (texts, labels), two lists of str of the same length.

    Raises:
        UserError: if a column is missing, a row does not match the header, or there are no rows.
    """
    rows = Table(path)
    header = next(rows, Row(1, [], None)).cells
    if not {"text_a", "label"} <= set(header):
        raise UserError(
            "%s, line 1: found the columns %s, expected text_a and label among them"
            % (path, ",".join(header))
        )
    texts, labels = [], []
    for row in rows:
        if row.problem or len(row.cells) != len(header):
            problem = row.problem or "found %d cells, expected %d" % (len(row.cells), len(header))
            raise UserError("%s, line %d: %s: mend the line" % (path, row.line, problem))
        texts.append(row.cells[header.index("text_a")])
        labels.append(row.cells[header.index("label")])
    if not texts:
        raise UserError("%s: holds no rows: is it the right file?" % path)
    return texts, labels


def baseline_accuracies(data_dir):
    """Trains on train.csv.

    Args:
        data_dir: folder with train.csv, dev.csv and test.csv.

    Returns:
        dict: accuracy by split, "dev" and "test".
    """
    splits = {
        name: read_labelled_texts(os.path.join(data_dir, name + ".csv"))
        for name in ("train", "dev", "test")
    }
    model = text_model()
    model.fit(*splits["train"])
    return {name: float(model.score(*splits[name])) for name in ("dev", "test")}


def main():
    try:
        import sklearn  # noqa: F401  (fails early if it is missing)
    except ImportError as error:
        raise UserError("scikit-learn is not installed: pip install scikit-learn") from error
    for name, accuracy in baseline_accuracies(FLAGS.data_dir).items():
        print("topics baseline, %s accuracy: %.1f%%" % (name, 100 * accuracy))


if __name__ == "__main__":
    define_flags()
    run_command(main)
