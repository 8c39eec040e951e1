r"""Speed of create_pretraining_data.py; checks that files do not depend on the number of workers.

    python benchmarks/pretraining_data.py --input_file='novels/*.txt' --vocab_file=vocab.txt
    python benchmarks/pretraining_data.py --input_file='novels/*.txt' --vocab_file=vocab.txt \
        --segmenters=jieba,rjieba --workers=1,2,4 --rounds=3

The text is first split into sentences, 50 per document. The command runs as users run it, including
the start of Python and the reading of dictionaries; the best of several rounds is reported, which
other work on the machine disturbs least. Ratios are relative to one worker in the same mode,
measured in the same run, and to 970 records per second, the rate of albert_zh on the same text with
two cores (jieba, S 128, dupe_factor 10; measured on another day).
"""

import argparse
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from albert_zh.common import storage
from albert_zh.common.errors import run_program
from albert_zh.corpus import reader as corpus_reader

SENTENCES = 50  # sentences per document
ORIGINAL = 970  # records per second of albert_zh's script


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--input_file", required=True, help="text files or patterns of them")
    parser.add_argument("--vocab_file", required=True, help="vocabulary of the tokenizer")
    parser.add_argument(
        "--max_seq_length", default=128, type=int, help="maximum number of tokens per record"
    )
    parser.add_argument(
        "--dupe_factor", default=10, type=int, help="passes over the text with different masks"
    )
    parser.add_argument(
        "--segmenters", default="jieba", help="word segmenters, separated by commas"
    )
    parser.add_argument(
        "--workers", default="1,2", help="numbers of worker processes, separated by commas"
    )
    parser.add_argument("--modes", default="default,original", help="default, original, dynamic")
    parser.add_argument(
        "--rounds", default=3, type=int, help="runs of each variant, of which the fastest counts"
    )
    arguments = parser.parse_args()
    print("%d cores" % os.cpu_count())
    with tempfile.TemporaryDirectory() as folder:
        with multiprocessing.Pool(1) as pool:  # else this process's memory would count, too
            arguments.input_file = pool.apply(prepared_text, (arguments.input_file, folder))
        for segmenter in arguments.segmenters.split(","):
            for mode in arguments.modes.split(","):
                compare_workers(arguments, segmenter, mode, os.path.join(folder, "records"))


def prepared_text(patterns, folder):
    """The path of a file with the text, one sentence per line, a blank line after every 50."""
    path = os.path.join(folder, "text.txt")
    sentences = []
    text_format = corpus_reader.TextFormat(split_sentences=True)
    for shard in corpus_reader.read_shards(corpus_reader.input_files(patterns), text_format):
        sentences += [sentence for document in shard.documents for sentence in document]
    with open(path, "w", encoding="utf-8") as handle:
        for first in range(0, len(sentences), SENTENCES):
            handle.write("\n".join(sentences[first : first + SENTENCES]) + "\n\n")
    return path


def compare_workers(arguments, segmenter, mode, output):
    """Measures a mode with each number of workers and prints a line for each."""
    rates, digests, peaks = {}, set(), []
    for workers in map(int, arguments.workers.split(",")):
        runs = [run(arguments, segmenter, mode, workers, output) for _ in range(arguments.rounds)]
        digests.add(storage.sha256_of_file(output))
        records = runs[0][0]
        seconds = min(seconds for _, seconds, _ in runs)
        peaks += [peak for _, _, peak in runs]
        rates[workers] = records / seconds
        first = next(iter(rates.values()))
        print(
            "%-8s %-6s %2d workers: %7.0f records/s, %5.2f x one worker, %5.1f x albert_zh "
            "(%d records in %.1f s)"
            % (
                mode,
                segmenter,
                workers,
                rates[workers],
                rates[workers] / first,
                rates[workers] / ORIGINAL,
                records,
                seconds,
            ),
            flush=True,
        )
    print(
        "%-8s %-6s files of all numbers of workers %s; the largest process had %d MB"
        % (
            mode,
            segmenter,
            "are equal" if len(digests) == 1 else "DIFFER",
            max(peaks),
        )
    )


def run(arguments, segmenter, mode, workers, output):
    """(records, seconds, MiB of the largest process) of one run of the command."""
    command = [sys.executable, os.path.join(ROOT, "create_pretraining_data.py")]
    flags = {
        "input_file": arguments.input_file,
        "output_file": output,
        "vocab_file": arguments.vocab_file,
        "max_seq_length": arguments.max_seq_length,
        "dupe_factor": arguments.dupe_factor,
        "do_whole_word_mask": True,
        "segmenter": segmenter,
        "num_workers": workers,
        "original_masking": mode == "original",
        "masking": "dynamic" if mode == "dynamic" else "static",
    }
    command += ["--%s=%s" % item for item in flags.items()]
    start = time.time()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        shown = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)  # only of this run and its workers
        process.returncode = status
    seconds = time.time() - start
    if status:
        sys.exit("%s: it ended, its error stands above" % " ".join(command))
    records = int(re.search(r"^records +(\d+)$", shown, re.MULTILINE).group(1))
    return records, seconds, usage.ru_maxrss >> 10


if __name__ == "__main__":
    run_program(main)
