"""How time and memory of searching a corpus grow with its lines.

    python benchmarks/search.py
    python benchmarks/search.py --lines 10000 30000 100000 --compare_only 1000000

A model of albert_tiny's size with random weights; lines made of pieces of data/pairs_sample, about
14 characters each. "vectors": computing and writing them, once per corpus; "query": a query's
nearest 50 lines, by numpy, and their order by pairs. With --compare_only the vectors are random
numbers: only the comparison is measured. Each size runs in a process of its own, whose peak memory
(with the part of the vectors' file that is mapped) is shown.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [ROOT, os.path.join(ROOT, "benchmarks")]

import measuring  # noqa: E402
import prediction  # noqa: E402

import errors  # noqa: E402, F401  (quietens TensorFlow)
import predictor  # noqa: E402
import search  # noqa: E402
import text_encoder  # noqa: E402

QUERIES = 10
WIDTH = prediction.TINY["hidden_size"]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--lines", type=int, nargs="+", default=[10000, 30000, 100000])
    parser.add_argument("--compare_only", type=int, nargs="*", default=[100000, 1000000])
    parser.add_argument("--work", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


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
        return
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
