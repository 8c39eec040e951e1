"""Baseline of sentence pairs: a classifier that only sees which characters two texts share.

    python benchmarks/overlap_baseline.py --data_dir=data/pairs_sample

Trains a logistic regression on features of character overlap (no words, no meaning) on train.txt
and prints its accuracy on dev.txt and test.txt. A useful model must score well above it.
The files are in LCQMC's format, `text_a<TAB>text_b<TAB>label`, with or without a header line.
Needs scikit-learn 1.2 or later.
"""

import collections
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from absl import flags
import numpy as np
from tqdm import tqdm

from albert_zh.common.errors import UserError, run_command
from albert_zh.common.files import read_lines

FLAGS = flags.FLAGS

SAMPLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "pairs_sample")


def define_flags():
    flags.DEFINE_string(
        "data_dir",
        os.path.normpath(SAMPLE),
        "Folder with train.txt, dev.txt and test.txt in LCQMC's format.",
    )


def read_pairs(path):
    """Reads a file in LCQMC's format; a first line whose label is not 0 or 1 is a header.

    Args:
        path: the file.

    Returns:
        list of (text_a, text_b, label), label 0 or 1.

    Raises:
        UserError: if a line does not have three columns or its label is not 0 or 1; names it.
    """
    pairs = []
    for number, line in enumerate(read_lines(path), start=1):
        columns = line.split("\t")
        if len(columns) != 3:
            raise UserError(
                "%s, line %d: found %d columns, expected text_a<TAB>text_b<TAB>label"
                % (path, number, len(columns))
            )
        if columns[2] in ("0", "1"):
            pairs.append((columns[0], columns[1], int(columns[2])))
        elif number > 1:
            raise UserError(
                "%s, line %d: label %r, expected 0 or 1: mend the line" % (path, number, columns[2])
            )
    if len({label for _, _, label in pairs}) < 2:
        raise UserError("%s: holds no pairs of both labels, 0 and 1: is it the right file?" % path)
    return pairs


def overlap_features(text_a, text_b):
    """Features that measure how similar two texts look.

    Args:
        text_a: str.
        text_b: str.

    Returns:
        list of float: for characters, bigrams and trigrams the Jaccard, Dice, cosine and
        containment similarity; lengths; longest common substring, subsequence, prefix, suffix;
        edit distance.
    """
    shorter, longer = sorted((len(text_a), len(text_b)))
    longer = max(longer, 1)
    prefix = _common_prefix_length(text_a, text_b)
    suffix = _common_prefix_length(text_a[::-1], text_b[::-1])
    substring, subsequence, distance = _alignment_lengths(text_a, text_b)
    features = [longer - shorter, shorter / longer, longer + shorter, float(text_a == text_b)]
    for length in (prefix, suffix, substring, subsequence, distance):
        features += [length, length / longer]
    for size in (1, 2, 3):
        features += _ngram_similarities(text_a, text_b, size)
    return features


def _ngram_similarities(text_a, text_b, size):
    """Jaccard, Dice, cosine and containment of the n-gram counts of two texts."""
    count_a, count_b = (
        collections.Counter(text[i : i + size] for i in range(len(text) - size + 1))
        for text in (text_a, text_b)
    )
    total_a, total_b = sum(count_a.values()), sum(count_b.values())
    if not total_a or not total_b:
        return [0.0] * 4
    shared = sum((count_a & count_b).values())
    product = sum(count * count_b[gram] for gram, count in count_a.items())
    norms = [sum(count**2 for count in counts.values()) ** 0.5 for counts in (count_a, count_b)]
    return [
        shared / (total_a + total_b - shared),
        2 * shared / (total_a + total_b),
        product / (norms[0] * norms[1]),
        shared / min(total_a, total_b),
    ]


def _common_prefix_length(text_a, text_b):
    return len(os.path.commonprefix([text_a, text_b]))


def _alignment_lengths(text_a, text_b):
    """(longest common substring, longest common subsequence, edit distance) of two texts."""
    width = len(text_b) + 1
    run, common, edits = [0] * width, [0] * width, list(range(width))
    longest_run = 0
    for i, char in enumerate(text_a, start=1):
        last_run, last_common, last_edits = run, common, edits
        run, common, edits = [0] * width, [0] * width, [i] * width
        for j in range(1, width):
            same = char == text_b[j - 1]
            if same:
                run[j] = last_run[j - 1] + 1
                longest_run = max(longest_run, run[j])
                common[j] = last_common[j - 1] + 1
            else:
                common[j] = max(last_common[j], common[j - 1])
            edits[j] = min(last_edits[j] + 1, edits[j - 1] + 1, last_edits[j - 1] + (not same))
    return longest_run, common[-1], edits[-1]


def feature_matrix(pairs, name):
    """Features and labels of the pairs, each an array with one row per pair; shows progress."""
    progress = tqdm(pairs, desc=name, unit=" pairs", disable=None, leave=False)
    features = [overlap_features(text_a, text_b) for text_a, text_b, _ in progress]
    return np.array(features, dtype=np.float64), np.array([label for _, _, label in pairs])


def baseline_accuracies(data_dir):
    """Trains on train.txt.

    Args:
        data_dir: folder with train.txt, dev.txt and test.txt.

    Returns:
        dict: accuracy by split, "train", "dev" and "test".
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    splits = {
        name: feature_matrix(read_pairs(os.path.join(data_dir, name + ".txt")), name)
        for name in ("train", "dev", "test")
    }
    # The default solver stops before the optimum, at a point that differs between releases.
    regression = LogisticRegression(solver="newton-cholesky", tol=1e-8, max_iter=1000)
    model = make_pipeline(StandardScaler(), regression)
    model.fit(*splits["train"])
    return {name: float(model.score(*split)) for name, split in splits.items()}


def main():
    try:
        import sklearn  # noqa: F401  (fails early if it is missing)
    except ImportError as error:
        raise UserError("scikit-learn is not installed: pip install scikit-learn") from error
    for name, accuracy in baseline_accuracies(FLAGS.data_dir).items():
        print("overlap baseline, %s accuracy: %.1f%%" % (name, 100 * accuracy))


if __name__ == "__main__":
    define_flags()
    run_command(main)
