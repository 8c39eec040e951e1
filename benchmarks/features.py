"""Time to convert texts to features, the cached file that training reads.

    python benchmarks/features.py --data_dir=LCQMC

Repeats the pairs of test.txt up to 240,000, about the size of LCQMC's training file, and writes
their features as run_classifier.py does before its first step: in one process, without a cache of
earlier runs.
"""

import argparse
import itertools
import os
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from albert_zh.common.errors import run_program
from albert_zh.tasks import datasets, feature_files
from albert_zh.tasks import reader as task_reader
from albert_zh.text import tokenization

SAMPLE = os.path.join(ROOT, "data", "pairs_sample")
VOCABULARY = os.path.join(ROOT, "albert_starter_zh", "vocab.txt")


def main():
    """Prints seconds and rows per second."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data_dir", default=SAMPLE, help="folder in LCQMC's format")
    parser.add_argument("--vocab_file", default=VOCABULARY, help="vocabulary of the tokenizer")
    parser.add_argument("--num_pairs", type=int, default=240000, help="pairs to convert")
    arguments = parser.parse_args()
    task = datasets.get_task("lcqmc")
    split = task_reader.read_split(task, arguments.data_dir, "test")
    num_different = len(split.examples)
    examples = list(itertools.islice(itertools.cycle(split.examples), arguments.num_pairs))
    split = split._replace(examples=examples)
    with tempfile.TemporaryDirectory() as folder:
        begin, of_process = time.time(), time.process_time()
        tokenizer = tokenization.FullTokenizer(arguments.vocab_file)
        feature_files.feature_file(split, task, tokenizer, 128, folder, {})
        seconds, of_process = time.time() - begin, time.process_time() - of_process
    print(
        "%d pairs (%d different): %.1f s, %.1f s of one core; %.0f pairs/s"
        % (len(examples), num_different, seconds, of_process, len(examples) / seconds)
    )


if __name__ == "__main__":
    run_program(main)
