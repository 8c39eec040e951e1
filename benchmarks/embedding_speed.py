"""How fast sentence embeddings are trained, beside a classifier of the same pairs.

    python benchmarks/embedding_speed.py
    python benchmarks/embedding_speed.py --pairs lcqmc/dev.txt --rounds 5

Both commands train the bundled model on the same pairs, in turns, each a few and many steps: the
difference has no start-up in it. Tokens are those of the texts with [CLS] and [SEP], without
padding. "processor time" is that of all cores, which other programs on the machine change less; the
ratio is the median over the rounds of the classifier's processor time of a token by the
embedding's: above 1 the embedding is faster. How fast models encode: benchmarks/encoding.py.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

MODEL = os.path.join(ROOT, "albert_starter_zh")
PAIRS = os.path.join(ROOT, "data", "pairs_sample", "train.txt")
LENGTH, SPECIAL = 64, {"run_classifier.py": 3, "run_sentence_embedding.py": 4}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", default=PAIRS, help="text_a<tab>text_b<tab>label of 0 and 1")
    parser.add_argument("--steps", type=int, nargs=2, default=(20, 120))
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--objective", default="cosent")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def data_folder(arguments, root):
    """A folder whose training file has as many pairs as the longest run needs, each once."""
    from albert_zh.common import files

    rows = [line.split("\t") for line in files.read_lines(arguments.pairs)]
    rows = [row[:3] for row in rows if len(row) >= 3 and row[2] in ("0", "1")]
    wanted = max(arguments.steps) * arguments.batch_size
    rows = list(map(list, dict.fromkeys(map(tuple, rows))))[:wanted]
    for name, some in (("train", rows), ("dev", rows[:8]), ("test", rows[:8])):
        with open(os.path.join(root, name + ".txt"), "w", encoding="utf-8") as stream:
            stream.write("".join("\t".join(row) + "\n" for row in some))
    return rows


def tokens_of(rows):
    """Tokens of the texts of a pair, on average, without [CLS] and [SEP]."""
    from albert_zh.text import tokenization

    tokenizer = tokenization.FullTokenizer(os.path.join(MODEL, "vocab.txt"))
    sample = rows[:2000]
    counts = [len(tokenizer.tokenize(text)) for row in sample for text in row[:2]]
    return sum(counts) / len(sample)


def run(command, arguments, root, steps):
    """(processor time, time) of a training."""
    output = os.path.join(root, "output")
    shutil.rmtree(output, ignore_errors=True)
    words = [sys.executable, os.path.join(ROOT, command), "--do_train=true"]
    words += [
        "--bert_config_file=" + os.path.join(MODEL, "albert_config_tiny.json"),
        "--vocab_file=" + os.path.join(MODEL, "vocab.txt"),
        "--init_checkpoint=" + MODEL,
        "--max_seq_length=%d" % LENGTH,
        "--train_batch_size=%d" % arguments.batch_size,
        "--train_step=%d" % steps,
        "--save_checkpoints_steps=1000000",
        "--precision=" + arguments.precision,
        "--output_dir=" + output,
    ]
    train = os.path.join(root, "train.txt")
    if command == "run_classifier.py":
        words += ["--task_name=lcqmc", "--data_dir=" + root]
    else:
        words += ["--train_file=" + train, "--objective=" + arguments.objective]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.time()
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        sys.exit("%s failed:\n%s" % (command, done.stdout.decode("utf-8")[-2000:]))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, time.time() - start


def seconds_of_a_token(command, arguments, root, mean_tokens):
    """(processor time, time) of a token in training."""
    few, many = [run(command, arguments, root, steps) for steps in arguments.steps]
    pairs = (arguments.steps[1] - arguments.steps[0]) * arguments.batch_size
    tokens = pairs * (mean_tokens + SPECIAL[command])
    return [(b - a) / tokens for a, b in zip(few, many)]


def main():
    arguments = parse_arguments()
    found = {command: [] for command in SPECIAL}
    with tempfile.TemporaryDirectory() as root:
        mean_tokens = tokens_of(data_folder(arguments, root))
        for _ in range(arguments.rounds):
            for command, rounds in found.items():
                rounds.append(seconds_of_a_token(command, arguments, root, mean_tokens))
    print("| | tokens/s | processor time of a token |\n|---|---:|---:|")
    for command, rounds in found.items():
        busy, waited = [statistics.median(column) for column in zip(*rounds)]
        print("| %s | %.0f | %.1f us |" % (command, 1 / waited, 1e6 * busy))
    ratios = [a[0] / b[0] for a, b in zip(*found.values())]
    print("embedding / classifier, tokens by processor time: %.2f" % statistics.median(ratios))
    print("%d cores, load %.1f" % (os.cpu_count(), os.getloadavg()[0]), file=sys.stderr)


if __name__ == "__main__":
    main()
