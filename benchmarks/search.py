"""Recall of a search in a corpus, and the growth of its time and memory.

    python benchmarks/search.py
    python benchmarks/search.py --model_dir=lcqmc_output/best --data questions bq_dev.csv
    python benchmarks/search.py --model_dir=MODEL_DIR --encoder_dir=albert_starter_zh/embedding
    python benchmarks/search.py --lines 10000 100000
    python benchmarks/search.py --lines 1000000 --made_vectors --vectors float32 int8 binary

Without --lines, it measures the recall of each ranking. "questions" are the intents of
data/pairs_hard_sample: the corpus has the first wording of each intent, and the queries are other
wordings of intents that do not occur in its training pairs. "easy_questions" is the same for
data/pairs_sample. A file of labelled pairs (text_a, text_b, label; separated by tabs or, in .csv,
by commas) provides --queries first texts of pairs with label 1; their second texts must be found
among --corpus_lines texts of the file. "TF-IDF" is scikit-learn's, on characters and character
pairs, for comparison. For a model without a classifier, only rankings without one are shown.

With --lines, the model has albert_tiny's size and random weights, and the lines consist of pieces
of data/pairs_sample, about 14 characters each. "vectors" is the time to compute and write vectors
and indexes, once per corpus; "query" is the time to find candidates by vectors and wording and to
rank them, with and without the pair classifier. With --made_vectors the vectors of the lines are
not computed by the model (which takes longest) but are sums of random numbers drawn for the
characters of the line; everything else is the same. In brackets: processor time of all cores, which
other programs on the machine affect less. "a line more" is the time to reread the file after one
line was added and another one deleted. "of the exact" is the share of the exact 50 nearest lines
(by comparison with each vector) that are among the candidates. Each size runs in a separate
process, whose peak memory (including the mapped part of the vectors' file) is shown.
"""

import argparse
import collections
import contextlib
import csv
import os
import random
import sys
import tempfile
import time

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [ROOT, os.path.join(ROOT, "benchmarks")]

import measuring
import prediction

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from albert_zh.common import (
    files,
)
from albert_zh.common.errors import UserError, run_program
from albert_zh.inference import predictor, text_encoder
from albert_zh.inference.retrieval import search, vector_index
from albert_zh.inference.runtimes import backends

QUERIES = 10
WIDTH = prediction.TINY["hidden_size"]


QUESTIONS = {"questions": "pairs_hard_sample", "easy_questions": "pairs_sample"}  # their folders
CUTOFFS = (1, 5, 50)
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
WAYS = {  # name in the table: (ranking, whether it uses the classifier)
    "characters (lexical)": ("lexical", False),
    "cosine": ("cosine", False),
    "cosine, then the classifier": ("classifier", True),
    "reciprocal ranks, no classifier": ("reciprocal_rank", False),
    "reciprocal ranks": ("reciprocal_rank", True),
    "mixed, no classifier": ("mixed", False),
    "mixed": ("mixed", True),
}

Questions = collections.namedtuple("Questions", ["lines", "queries", "answers"])
Questions.__doc__ = """Lines (list of str), queries, and the set of correct lines of each query."""


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--model_dir", default=os.path.join(ROOT, "albert_starter_zh"), help="folder of the model"
    )
    parser.add_argument(
        "--encoder_dir",
        help="folder of the model that encodes the texts; by default --model_dir, whose classifier "
        "ranks them",
    )
    parser.add_argument(
        "--data",
        nargs="+",
        default=["questions"],
        help="%s, or files of pairs" % ", ".join(QUESTIONS),
    )
    parser.add_argument("--queries", type=int, default=300, help="queries from a file of pairs")
    parser.add_argument("--corpus_lines", type=int, default=3000, help="lines from a file of pairs")
    parser.add_argument(
        "--fill",
        metavar="FILE",
        help="pairs whose texts are added to the questions, up to --corpus_lines",
    )
    parser.add_argument(
        "--weights",
        type=float,
        nargs=3,
        help="weights of wording, cosine and classifier in the mixed ranking",
    )
    parser.add_argument(
        "--lines",
        type=int,
        nargs="+",
        default=[],
        help="corpus sizes to measure time and memory for, instead of recall",
    )
    add_arguments_of_vectors(parser)
    parser.add_argument("--work", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


def add_arguments_of_vectors(parser):
    parser.add_argument(
        "--vectors",
        nargs="+",
        default=["float32"],
        help="formats of the stored vectors: float32, int8 or binary",
    )
    parser.add_argument(
        "--made_vectors",
        action="store_true",
        help="draw the vectors of the lines instead of computing them with the model",
    )


def bundled_questions(folder):
    """Lines: first wordings of a folder's intents; queries: others, of intents not in train."""
    path = os.path.join(ROOT, "data", folder, "intents.txt")
    rows = read_pairs(os.path.join(os.path.dirname(path), "train.txt"))
    trained = {text for row in rows for text in row[:2]}
    intents = []
    for line in files.read_lines(path):
        if line.startswith("# "):
            intents.append([])
        elif line.strip() and not line.startswith("#"):
            intents[-1].append(line.strip())
    queries, answers = [], []
    for number, wordings in enumerate(intents):
        if not trained & set(wordings):
            queries += wordings[1:]
            answers += [{number}] * (len(wordings) - 1)
    return Questions([wordings[0] for wordings in intents], queries, answers)


def read_pairs(path):
    """[(text_a, text_b, label)] of a file."""
    rows = (line + "\n" for line in files.stream_lines(path))
    cells = csv.reader(rows) if path.endswith(".csv") else (line.split("\t") for line in rows)
    return [tuple(cell.strip() for cell in row[:3]) for row in cells if len(row) >= 3]


def questions_of_pairs(path, num_queries, num_lines):
    """Queries and lines from pairs with label 1; further lines are other texts of the file."""
    rows, generator = read_pairs(path), random.Random(1)
    same = collections.defaultdict(set)
    for text_a, text_b, label in rows:
        if label == "1":
            same[text_a].add(text_b)
            same[text_b].add(text_a)
    pairs = [(text_a, text_b) for text_a, text_b, label in rows if label == "1"]
    if not pairs:
        raise UserError("%s: no pair of label 1: expected text_a<tab>text_b<tab>label" % path)
    generator.shuffle(pairs)
    taken, queries, lines = set(), [], []
    for text_a, text_b in pairs:
        if len(queries) < num_queries and text_a != text_b and not {text_a, text_b} & taken:
            taken |= {text_a, text_b}
            queries.append(text_a)
            lines.append(text_b)
    lines = filled(lines, rows, num_lines, taken)
    numbers = {line: number for number, line in enumerate(lines)}
    answers = []
    for query in queries:
        meant = same[query].union(*[same[text] for text in same[query]])
        answers.append({numbers[text] for text in meant if text in numbers})
    return Questions(lines, queries, answers)


def filled(lines, rows, num_lines, taken=()):
    """Lines, filled up to a number with other texts of a file."""
    others = sorted({text for row in rows for text in row[:2]} - set(taken) - set(lines) - {""})
    random.Random(2).shuffle(others)
    return lines + others[: max(0, num_lines - len(lines))]


def recalls(found, answers):
    """Recall: the share of queries with a correct line among the first 1, 5 and 50."""
    return [
        np.mean([bool(right & set(rows[:cutoff])) for rows, right in zip(found, answers)])
        for cutoff in CUTOFFS
    ]


def print_recalls(ranking, found, answers):
    cells = " | ".join("%.3f" % share for share in recalls(found, answers))
    print("| %s | %s |" % (ranking, cells), flush=True)


def found_by_tf_idf(questions):
    """Numbers of the most similar lines for each query, by scikit-learn's TF-IDF."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, 2))
    lines = vectorizer.fit_transform(questions.lines)
    similarities = (vectorizer.transform(questions.queries) @ lines.T).toarray()
    return np.argsort(-similarities, axis=1, kind="stable")[:, : max(CUTOFFS)].tolist()


def measure_recall(questions, name, model_dir, weights, encoder_dir=None):
    """Prints the rows of the table for a set of questions.

    Args:
        questions: `Questions`.
        name: title of the table.
        model_dir: model folder, whose classifier ranks the lines if it has one.
        weights: weights of the mixed ranking; None: the usual ones.
        encoder_dir: model folder of the vectors; by default `model_dir`.
    """
    print("\n%s: %d queries, %d lines\n" % (name, len(questions.queries), len(questions.lines)))
    print("| ranking | recall@1 | recall@5 | recall@50 |\n|---|---:|---:|---:|")
    print_recalls("TF-IDF", found_by_tf_idf(questions), questions.answers)
    has_classifier = backends.has_classifier(model_dir)
    with tempfile.TemporaryDirectory() as root, contextlib.ExitStack() as stack:
        path = os.path.join(root, "lines.txt")
        with open(path, "w", encoding="utf-8") as handle:
            handle.write("\n".join(questions.lines) + "\n")
        encoder = stack.enter_context(text_encoder.TextEncoder(encoder_dir or model_dir))
        corpus = search.Corpus(path, encoder)
        model = None
        if has_classifier:
            model = stack.enter_context(predictor.Predictor(model_dir))
        for way, (ranking, is_classified) in WAYS.items():
            if has_classifier or not is_classified:
                hits = corpus.search(
                    questions.queries,
                    model if is_classified else None,
                    max(CUTOFFS),
                    ranking=ranking,
                    weights=weights,
                )
                print_recalls(way, lines_of(hits), questions.answers)
    print_precision(hits, questions.answers)


def lines_of(hits):
    """Numbers, counted from 0, of the lines that were found for each query."""
    return [[hit.line - 1 for hit in best] for best in hits]


def print_precision(hits, answers):
    """Prints the precision of the first line by its score in the mixed (last) ranking."""
    print("\n| score of the first line | queries | right |\n|---|---:|---:|")
    scores = np.array([best[0].score for best in hits])
    is_right = np.array([best[0].line - 1 in right for best, right in zip(hits, answers)])
    for threshold in THRESHOLDS:
        chosen = scores >= threshold
        right = "%.3f" % is_right[chosen].mean() if chosen.any() else "–"
        print("| at least %.1f | %.3f | %s |" % (threshold, chosen.mean(), right))


def write_corpus(path, count):
    """Writes lines that combine halves of two sentences each."""
    generator = random.Random(1)
    sentences = [text for pair in prediction.read_pairs(prediction.PAIRS, 1600) for text in pair]
    with open(path, "w", encoding="utf-8") as handle:
        for number in range(count):
            one, two = generator.choice(sentences), generator.choice(sentences)
            handle.write("%s%s%d\n" % (one[: len(one) // 2], two[len(two) // 2 :], number))


def seconds_of(function):
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


class MadeVectors:
    """Sums random vectors of a text's characters; has the interface of `TextEncoder`."""

    width = WIDTH

    def __init__(self):
        self._drawn = np.random.RandomState(0).standard_normal([1 << 16, WIDTH]).astype(np.float32)

    def fingerprint_of(self):
        return "made"

    def encode(self, texts, normalize=True):
        vectors = np.zeros([len(texts), WIDTH], np.float32)
        for row, text in enumerate(texts):
            vectors[row] = self._drawn[[ord(char) % len(self._drawn) for char in text]].sum(axis=0)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def measure_corpus(root, count, storage, is_made):
    """Measures one corpus; returns a row of the table."""
    folder, path = os.path.join(root, "model"), os.path.join(root, "corpus.txt")
    prediction.write_random_model(folder)
    write_corpus(path, count)
    queries = [pair[0] for pair in prediction.read_pairs(prediction.PAIRS, QUERIES)]
    with text_encoder.TextEncoder(folder) as encoder, predictor.Predictor(folder) as model:
        chosen = MadeVectors() if is_made else encoder
        seconds, corpus = seconds_of(lambda: search.Corpus(path, chosen, storage=storage))
        again, corpus = seconds_of(lambda: search.Corpus(path, chosen, storage=storage))
        waits = []
        for each in (None, model):
            corpus.search(queries[:1], each)
            encoder.encode(queries[:1])

            def searched(of=each):
                for query in queries:
                    if is_made:  # the model must encode the query in any case
                        encoder.encode([query])
                    corpus.search([query], of)

            start = time.process_time()
            waits += [seconds_of(searched)[0], time.process_time() - start]
        share = share_of_exact(corpus, chosen, queries)
        replace_line(path)
        changed, _ = seconds_of(corpus.refresh)
    size = sum(entry.stat().st_size for entry in os.scandir(path + ".vectors")) / 1e6
    cells = (seconds, again, changed, *[1000 * wait / QUERIES for wait in waits], share, size)
    return "%.1f s | %.2f s | %.1f s | %.0f (%.0f) ms | %.0f (%.0f) ms | %.3f | %.0f MB" % cells


def share_of_exact(corpus, encoder, queries):
    """The share of the exact 50 nearest lines (by brute force) that are among the candidates."""
    contents = corpus._contents
    vectors = encoder.encode(queries, normalize=True)
    exact = vector_index.nearest_by_numpy(contents.cache.vectors, vectors, search.CANDIDATES)[0]
    found = corpus._nearest(contents, vectors, search.CANDIDATES)
    shares = [len(set(a) & set(b)) / len(a) for a, b in zip(exact.tolist(), found)]
    return np.mean(shares)


def replace_line(path):
    """Deletes the first line of a file and appends another."""
    with open(path, encoding="utf-8") as handle:
        lines = handle.readlines()
    with open(path, "w", encoding="utf-8") as handle:
        handle.writelines(lines[1:] + ["新的一行\n"])


def work(count, storage, is_made):
    """Measures one size in this process."""
    with tempfile.TemporaryDirectory() as root:
        cells = measure_corpus(root, count, storage, is_made)
    peak = measuring.peak_memory()
    print("| %d lines, %s | %s | %.0f MB |" % (count, storage, cells, peak), flush=True)


def main():
    arguments = parse_arguments()
    if arguments.work:
        work(int(arguments.work[0]), arguments.work[1], arguments.work[2] == "True")
    elif arguments.lines:
        measure_sizes(arguments)
    else:
        for name in arguments.data:
            questions = questions_of(name, arguments)
            measure_recall(
                questions, name, arguments.model_dir, arguments.weights, arguments.encoder_dir
            )


def questions_of(name, arguments):
    """The `Questions` of an argument of --data."""
    if name not in QUESTIONS:
        return questions_of_pairs(name, arguments.queries, arguments.corpus_lines)
    questions = bundled_questions(QUESTIONS[name])
    if not arguments.fill:
        return questions
    lines = filled(questions.lines, read_pairs(arguments.fill), arguments.corpus_lines)
    return questions._replace(lines=lines)


def measure_sizes(arguments):
    """Prints a row for each corpus size, measured in a separate process."""
    print(
        "| | vectors | again, from the cache | a line more | query | query, 50 lines reranked "
        "| of the exact | files | peak memory |"
    )
    print("|---|" + "---:|" * 8, flush=True)
    for count in arguments.lines:
        for storage in arguments.vectors:
            command = [sys.executable, os.path.abspath(__file__), "--work", str(count), storage]
            measuring.run_step(command + [str(arguments.made_vectors)])
    print("%d cores, load %.1f" % (os.cpu_count(), os.getloadavg()[0]), file=sys.stderr)


if __name__ == "__main__":
    run_program(main)
