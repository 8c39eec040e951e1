"""How often a search in a corpus finds the right line, and how its time and memory grow.

    python benchmarks/search.py
    python benchmarks/search.py --model_dir=lcqmc_output/best --data questions bq_dev.csv
    python benchmarks/search.py --lines 10000 30000 100000 --compare_only 1000000

Without --lines: recall of each ranking. "questions": the intents of data/pairs_hard_sample, of each
the first wording a line; queries are the other wordings of intents that its training pairs have
nothing of. "easy_questions": the same of data/pairs_sample. A file of labelled pairs (text_a,
text_b, label; tabs or, in .csv, commas between): --queries first texts of pairs with label 1, whose
second texts are to be found among --corpus_lines texts of the file. "TF-IDF" is scikit-learn's of
characters and pairs of them, for comparison. A model without a classifier shows the rankings that
need none.

With --lines, a model of albert_tiny's size with random weights; lines made of pieces of
data/pairs_sample, about 14 characters each. "vectors": computing and writing them and the index,
once per corpus; "query": its nearest 50 lines, by numpy, and their order by all three similarities.
With --compare_only the vectors are random numbers: only the comparison is measured. Each size runs
in a process of its own, whose peak memory (with the mapped part of the vectors' file) is shown.
"""

import argparse
import collections
import contextlib
import csv
import os
import random
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [ROOT, os.path.join(ROOT, "benchmarks")]

import measuring
import prediction

from albert_zh.common import (
    files,
)
from albert_zh.inference import (
    backends,
    predictor,
    search,
    text_encoder,
)

QUERIES = 10
WIDTH = prediction.TINY["hidden_size"]


QUESTIONS = {"questions": "pairs_hard_sample", "easy_questions": "pairs_sample"}  # their folders
CUTOFFS = (1, 5, 50)
THRESHOLDS = (0.3, 0.4, 0.5, 0.6, 0.7)
WAYS = {  # what the table calls it: ranking, whether the classifier takes part
    "characters (lexical)": ("lexical", False),
    "cosine": ("cosine", False),
    "cosine, then the classifier": ("classifier", True),
    "mixed, no classifier": ("mixed", False),
    "mixed": ("mixed", True),
}

Questions = collections.namedtuple("Questions", ["lines", "queries", "answers"])
Questions.__doc__ = (
    """Lines (list of str), queries, and for each of those the set of right lines."""
)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model_dir", default=os.path.join(ROOT, "albert_starter_zh"))
    parser.add_argument(
        "--data",
        nargs="+",
        default=["questions"],
        help="%s, or files of pairs" % ", ".join(QUESTIONS),
    )
    parser.add_argument("--queries", type=int, default=300, help="of a file of pairs")
    parser.add_argument("--corpus_lines", type=int, default=3000, help="of a file of pairs")
    parser.add_argument(
        "--fill",
        metavar="FILE",
        help="pairs whose texts fill the questions up to --corpus_lines",
    )
    parser.add_argument("--weights", type=float, nargs=3, default=list(search.WEIGHTS))
    parser.add_argument("--lines", type=int, nargs="+", default=[])
    parser.add_argument("--compare_only", type=int, nargs="*", default=[])
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def bundled_questions(folder):
    """The intents of a folder below data/: first wordings, and other ones of untrained intents."""
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
    with open(path, encoding="utf-8-sig", newline="") as rows:
        cells = csv.reader(rows) if path.endswith(".csv") else (line.split("\t") for line in rows)
        return [tuple(cell.strip() for cell in row[:3]) for row in cells if len(row) >= 3]


def questions_of_pairs(path, num_queries, num_lines):
    """Pairs of label 1 as queries and lines; the further lines are other texts of the file."""
    rows, generator = read_pairs(path), random.Random(1)
    same = collections.defaultdict(set)
    for text_a, text_b, label in rows:
        if label == "1":
            same[text_a].add(text_b)
            same[text_b].add(text_a)
    pairs = [(text_a, text_b) for text_a, text_b, label in rows if label == "1"]
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
    """Lines and, up to a number of them, other texts of the rows of a file."""
    others = sorted({text for row in rows for text in row[:2]} - set(taken) - set(lines) - {""})
    random.Random(2).shuffle(others)
    return lines + others[: max(0, num_lines - len(lines))]


def recalls(found, answers):
    """The share of queries with a right line among the first 1, 5, 50."""
    return [
        np.mean([bool(right & set(rows[:cutoff])) for rows, right in zip(found, answers)])
        for cutoff in CUTOFFS
    ]


def print_recalls(ranking, found, answers):
    cells = " | ".join("%.3f" % share for share in recalls(found, answers))
    print("| %s | %s |" % (ranking, cells), flush=True)


def found_by_tf_idf(questions):
    """Numbers of the most similar lines for each query, by scikit-learn."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, 2))
    lines = vectorizer.fit_transform(questions.lines)
    similarities = (vectorizer.transform(questions.queries) @ lines.T).toarray()
    return np.argsort(-similarities, axis=1, kind="stable")[:, : max(CUTOFFS)].tolist()


def measure_recall(questions, name, model_dir, weights):
    """Prints the rows of the table for a set of questions."""
    print("\n%s: %d queries, %d lines\n" % (name, len(questions.queries), len(questions.lines)))
    print("| ranking | recall@1 | recall@5 | recall@50 |\n|---|---:|---:|---:|")
    print_recalls("TF-IDF", found_by_tf_idf(questions), questions.answers)
    has_classifier = backends.has_classifier(model_dir)
    with tempfile.TemporaryDirectory() as root, contextlib.ExitStack() as stack:
        path = os.path.join(root, "lines.txt")
        with open(path, "w", encoding="utf-8") as handle:
            handle.write("\n".join(questions.lines) + "\n")
        encoder = stack.enter_context(text_encoder.TextEncoder(model_dir))
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
    """Numbers, from 0, of the lines that were found for each query."""
    return [[hit.line - 1 for hit in best] for best in hits]


def print_precision(hits, answers):
    """What a score of the mixed ranking, which is the last of the table, says of the first line."""
    print("\n| score of the first line | queries | right |\n|---|---:|---:|")
    scores = np.array([best[0].score for best in hits])
    is_right = np.array([best[0].line - 1 in right for best, right in zip(hits, answers)])
    for threshold in THRESHOLDS:
        chosen = scores >= threshold
        right = "%.3f" % is_right[chosen].mean() if chosen.any() else "–"
        print("| at least %.1f | %.3f | %s |" % (threshold, chosen.mean(), right))


def write_corpus(path, count):
    """Lines made of the halves of two sentences each."""
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


def measure_corpus(root, count):
    """A line of the table: everything."""
    folder, path = os.path.join(root, "model"), os.path.join(root, "corpus.txt")
    prediction.write_random_model(folder)
    write_corpus(path, count)
    queries = [pair[0] for pair in prediction.read_pairs(prediction.PAIRS, QUERIES)]
    with text_encoder.TextEncoder(folder) as encoder, predictor.Predictor(folder) as model:
        seconds, corpus = seconds_of(lambda: search.Corpus(path, encoder))
        again, corpus = seconds_of(lambda: search.Corpus(path, encoder))
        corpus.search(queries[:1], model)
        waited, _ = seconds_of(lambda: [corpus.search([query], model) for query in queries])
    size = os.path.getsize(os.path.join(path + ".vectors", "vectors.npy")) / 1e6
    return "%.1f s | %.2f s | %.1f ms | %.0f MB" % (seconds, again, 1000 * waited / QUERIES, size)


def measure_comparison(root, count):
    """A line of the table: nearest vectors only."""
    path = os.path.join(root, "vectors.npy")
    generator = np.random.RandomState(0)
    vectors = np.lib.format.open_memmap(path, "w+", np.float32, (count, WIDTH))
    for start in range(0, count, search.VECTORS_AT_ONCE):
        block = vectors[start : start + search.VECTORS_AT_ONCE]
        block[:] = generator.standard_normal(block.shape)
        block /= np.linalg.norm(block, axis=1, keepdims=True)
    vectors.flush()
    vectors = np.load(path, mmap_mode="r")
    queries = np.array(vectors[:QUERIES])
    search.nearest_by_numpy(vectors, queries[:1], search.CANDIDATES)
    waited, _ = seconds_of(
        lambda: [search.nearest_by_numpy(vectors, q[None], search.CANDIDATES) for q in queries]
    )
    return "– | – | %.1f ms | %.0f MB" % (1000 * waited / QUERIES, os.path.getsize(path) / 1e6)


MEASURES = {"search": measure_corpus, "comparison": measure_comparison}


def work(kind, count):
    """Measures one size in this process."""
    with tempfile.TemporaryDirectory() as root:
        cells = MEASURES[kind](root, count)
    peak = measuring.peak_memory()
    print("| %s, %d lines | %s | %.0f MB |" % (kind, count, cells, peak), flush=True)


def main():
    arguments = parse_arguments()
    if arguments.work:
        work(arguments.work[0], int(arguments.work[1]))
    elif arguments.lines or arguments.compare_only:
        measure_sizes(arguments)
    else:
        for name in arguments.data:
            questions = questions_of(name, arguments)
            measure_recall(questions, name, arguments.model_dir, arguments.weights)


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
    """Prints a row for each size of a corpus, measured in a process of its own."""
    print("| | vectors | again, from the cache | query | file of vectors | peak memory |")
    print("|---|---:|---:|---:|---:|---:|", flush=True)
    sizes = [("search", count) for count in arguments.lines]
    sizes += [("comparison", count) for count in arguments.compare_only]
    for kind, count in sizes:
        command = [sys.executable, os.path.abspath(__file__), "--work", kind, str(count)]
        subprocess.run(command, check=True)
    print("%d cores, load %.1f" % (os.cpu_count(), os.getloadavg()[0]), file=sys.stderr)


if __name__ == "__main__":
    main()
