"""Prediction speed of a loaded sentence-pair classifier: one pair at a time, and in bulk.

    python benchmarks/prediction.py
    python benchmarks/prediction.py --transformers_python=PYTHON   # has torch and transformers

The model has albert_tiny's size and random weights; the texts are the pairs of data/pairs_sample.
`Predictor` is compared with "plain graph", the same weights used as in albert_zh (input order,
batches of 64, each row padded to 128), and "transformers", an `AlbertForSequenceClassification` of
the same size (input order, batches of 64, padded to the longest row). Times include tokenization.
All take turns in one run; medians are reported.
"""

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

import measuring

from albert_zh.common import files
from albert_zh.common.errors import UserError, run_program
from albert_zh.inference import input_rows
from albert_zh.model.checkpoints import model_writer
from albert_zh.tasks import outputs_graph

PAIRS = os.path.join(ROOT, "data", "pairs_sample", "test.txt")
VOCABULARY = os.path.join(ROOT, "albert_starter_zh", "vocab.txt")
TINY = {
    "hidden_size": 312,
    "embedding_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 12,
    "intermediate_size": 1248,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
}
PLAIN_LENGTH, PLAIN_BATCH = 128, 64


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model_dir", help="fine-tuned model, instead of the random one")
    parser.add_argument("--pairs", default=PAIRS, help="TSV of pairs")
    parser.add_argument("--num_pairs", type=int, default=1600, help="pairs per round")
    parser.add_argument("--rounds", type=int, default=5, help="measured turns of each variant")
    parser.add_argument("--num_single", type=int, default=100, help="single pairs per round")
    parser.add_argument("--transformers_python", help="Python with torch and transformers")
    parser.add_argument("--work_as_peer", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.model_dir and arguments.transformers_python:
        parser.error("--transformers_python: it has the random model's sizes, not --model_dir's")
    return arguments


def read_pairs(path, count):
    """`count` pairs of a TSV file with a header, which are repeated if there are fewer."""
    rows = [line.split("\t")[:2] for line in files.stream_lines(path)][1:]
    if not rows or len(rows[0]) < 2:
        raise UserError(
            "%s: expected a header, and text_a<tab>text_b in each line behind it" % path
        )
    return [tuple(rows[number % len(rows)]) for number in range(count)]


def timed(predict, pairs):
    """Seconds that one call of `predict` takes."""
    start = time.perf_counter()
    predict(pairs)
    return time.perf_counter() - start


def measure(predict, pairs, num_single):
    """(pairs per second in bulk, milliseconds for a single pair)."""
    seconds = timed(predict, pairs)
    single = statistics.median(timed(predict, [pair]) for pair in pairs[:num_single])
    return len(pairs) / seconds, 1000 * single


# In this process: TensorFlow


def write_random_model(folder):
    """A model folder of albert_tiny's size with random weights."""
    import numpy as np

    from albert_zh.model import modeling
    from albert_zh.model.checkpoints import expected_variables

    with open(VOCABULARY, encoding="utf-8", newline="\n") as handle:
        vocabulary = handle.read()
    config = dict(TINY, vocab_size=vocabulary.count("\n"))
    os.makedirs(folder)
    for name, content in (
        ("vocab.txt", vocabulary),
        ("albert_config.json", json.dumps(config)),
        ("label_map.json", json.dumps({"0": 0, "1": 1})),
    ):
        with open(os.path.join(folder, name), "w", encoding="utf-8", newline="\n") as handle:
            handle.write(content)
    shapes = expected_variables.expected_shapes(
        modeling.AlbertConfig.from_dict(config), num_labels=2
    )
    random = np.random.RandomState(0)
    weights = {
        name: (0.05 * random.standard_normal(shape) + name.endswith("gamma")).astype(np.float32)
        for name, shape in shapes.items()
    }
    model_writer.write_model_checkpoint(folder, weights)


def plain_prediction(folder):
    """The function that predicts as albert_zh does, except that the graph is built only once."""
    import numpy as np

    from albert_zh.inference import loaded_model
    from albert_zh.inference.runtimes import checkpoint_session
    from albert_zh.tasks.settings import Settings

    found = loaded_model.open_folder(folder)

    def build(features):
        outputs = outputs_graph.outputs_builder(found.config, features, 2, Settings(), False)()
        return outputs["probabilities"], []

    session = checkpoint_session.CheckpointSession(found.prefix, build, "a classifier")

    def predict(pairs):
        rows = input_rows.rows_of(input_rows.checked_texts(pairs), found.tokenizer, PLAIN_LENGTH)
        batches = [rows[start : start + PLAIN_BATCH] for start in range(0, len(rows), PLAIN_BATCH)]
        return np.concatenate(
            [session.run(*input_rows.padded(batch, PLAIN_LENGTH)) for batch in batches]
        )

    return predict


def write_int8(folder, path):
    """Exports the model with 8-bit integers, for any length, in the format of the path's suffix."""
    form = os.path.splitext(path)[1][1:]
    command = [sys.executable, os.path.join(ROOT, "export_model.py"), "--model_dir=" + folder]
    command += ["--format=" + form, "--quantize=int8", "--output=" + path]
    command += ["--seq_length=dynamic"] if form == "tflite" else []
    command += ["--representative_texts=" + PAIRS, "--tolerance=1", "--min_equal_labels=0"]
    measuring.run_step(command, stdout=subprocess.DEVNULL)


def predictions_of_tensorflow(folder, exported):
    """{name: function (pairs)}; files are written to the folder `exported`."""
    from albert_zh.inference import predictor

    forms = {"TFLite": "int8.tflite", "ONNX": "int8.onnx"}
    paths = {form: os.path.join(exported, name) for form, name in forms.items()}
    precisions = {"Predictor, float32": "float32", "Predictor, bfloat16": "bfloat16"}
    predictions = {
        name: predictor.Predictor(folder, precision=precision).predict
        for name, precision in measuring.in_fast_precisions(precisions).items()
    }
    for form, path in paths.items():
        write_int8(folder, path)
        predictions["Predictor, int8 %s" % form] = predictor.Predictor(path).predict
    predictions["plain graph"] = plain_prediction(folder)
    return predictions


# In a separate process: transformers


def work_as_peer(arguments):
    """Measures transformers once per line of standard input."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    import torch
    import transformers

    with open(VOCABULARY, encoding="utf-8", newline="\n") as handle:
        size = handle.read().count("\n")
    model = transformers.AlbertForSequenceClassification(
        transformers.AlbertConfig(vocab_size=size, hidden_act="gelu_new", num_labels=2, **TINY)
    ).eval()
    tokenizer = transformers.BertTokenizerFast(VOCABULARY)

    def predict(pairs):
        with torch.inference_mode():
            for start in range(0, len(pairs), PLAIN_BATCH):
                firsts, seconds = zip(*pairs[start : start + PLAIN_BATCH])
                settings = {"padding": True, "truncation": True, "max_length": PLAIN_LENGTH}
                inputs = tokenizer(list(firsts), list(seconds), return_tensors="pt", **settings)
                model(**inputs).logits.softmax(-1).numpy()

    pairs = read_pairs(arguments.pairs, arguments.num_pairs)
    predict(pairs[:200])
    print("ready", flush=True)
    for _ in sys.stdin:
        print("%r %r" % measure(predict, pairs, arguments.num_single), flush=True)


class Peer:
    """transformers in another process, measured on request."""

    def __init__(self, python, arguments):
        command = [python, os.path.abspath(__file__), "--work_as_peer", "--pairs", arguments.pairs]
        command += ["--num_pairs", str(arguments.num_pairs)]
        command += ["--num_single", str(arguments.num_single)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._process = subprocess.Popen(command, universal_newlines=True, **pipes)
        if self._process.stdout.readline().strip() != "ready":
            raise SystemExit("%s has no torch and transformers" % python)

    def measure(self):
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return tuple(float(number) for number in self._process.stdout.readline().split())

    def close(self):
        self._process.stdin.close()
        self._process.wait()


def main(arguments):
    from albert_zh.common import cores, errors  # noqa: F401  (quietens TensorFlow)

    cores.give_sessions_their_threads()
    pairs = read_pairs(arguments.pairs, arguments.num_pairs)
    with tempfile.TemporaryDirectory() as root:
        folder = arguments.model_dir or os.path.join(root, "model")
        if not arguments.model_dir:
            write_random_model(folder)
        predictions = predictions_of_tensorflow(folder, os.path.join(root, "exported"))
    measures = {
        name: lambda predict=predict: measure(predict, pairs, arguments.num_single)
        for name, predict in predictions.items()
    }
    for predict in predictions.values():
        predict(pairs[:200])  # the first calls take longer
    peer = None
    if arguments.transformers_python:
        peer = Peer(arguments.transformers_python, arguments)
        measures["transformers"] = peer.measure
    results = {name: [] for name in measures}
    for _ in range(arguments.rounds):
        for name, once in measures.items():
            results[name].append(once())
    if peer:
        peer.close()
    print_table(results)


def print_table(results):
    """Prints medians, and ratios to the plain graph in the same run."""
    medians = {
        name: [statistics.median(column) for column in zip(*rows)] for name, rows in results.items()
    }
    plain = medians["plain graph"]
    print("| | pairs/s in bulk | times plain | one pair, ms | times plain |")
    print("|---|---:|---:|---:|---:|")
    for name, (rate, latency) in medians.items():
        times = (rate / plain[0], plain[1] / latency)
        print("| %s | %.0f | %.1f | %.2f | %.1f |" % (name, rate, times[0], latency, times[1]))
    print("%d cores, load %.1f" % (os.cpu_count(), os.getloadavg()[0]), file=sys.stderr)


if __name__ == "__main__":
    given = parse_arguments()
    if given.work_as_peer:
        work_as_peer(given)
    else:
        run_program(functools.partial(main, given))
