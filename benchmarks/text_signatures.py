"""Cost of tokenization in a SavedModel's graph: time vs. the tokenizer in Python, and file size.

    python benchmarks/text_signatures.py
    python benchmarks/text_signatures.py --texts lcqmc/dev.txt --model_dir lcqmc_output/best

A sentence-pair model (by default the bundled one as an encoder, on data/pairs_sample) is exported.
Its signatures take turns in one process: one on pairs of texts, the other on ids that the tokenizer
in Python creates from the same pairs. Times are processor times of all cores, medians over the
turns. The Python tokenizer has cached the pieces of known words, as in a service that has run for a
while.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import measuring

from albert_zh.common import files
from albert_zh.common.errors import UserError, run_program
from albert_zh.inference import input_rows

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PAIRS = os.path.join(ROOT, "data", "pairs_sample", "train.txt")
LENGTH = 128


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--model_dir", default=os.path.join(ROOT, "albert_starter_zh"), help="folder of the model"
    )
    parser.add_argument("--texts", default=PAIRS, help="TSV whose first two columns are sentences")
    parser.add_argument("--num_pairs", type=int, default=2000, help="pairs per turn")
    parser.add_argument("--rounds", type=int, default=9, help="measured turns of each variant")
    return parser.parse_args()


def read_pairs(path, count):
    """`count` pairs of a TSV file with a header, which are repeated if there are fewer."""
    rows = [line.split("\t") for line in files.stream_lines(path)][1:]
    if not rows or min(map(len, rows)) < 2:
        raise UserError(
            "--texts=%s: expected a header, and text_a<tab>text_b in each line behind it" % path
        )
    return [tuple(rows[index % len(rows)][:2]) for index in range(count)]


class Served:
    """A SavedModel's signatures as TF Serving runs them, and the tokenizer in Python."""

    def __init__(self, model_dir, path):
        import tensorflow.compat.v1 as tf

        from albert_zh.inference import loaded_model
        from albert_zh.inference.runtimes import checkpoint_session

        self._rows_of, self._padded = input_rows.rows_of, input_rows.padded
        self._tokenizer = loaded_model.open_folder(model_dir).tokenizer
        self._session = tf.Session(graph=tf.Graph())
        with self._session.graph.as_default():
            folder = os.path.join(path, "1")
            signatures = tf.saved_model.loader.load(self._session, ["serve"], folder).signature_def
        of_texts, of_ids = signatures["encode_pairs"], signatures["encode"]
        texts = self._tensors(of_texts.inputs, ("text_a", "text_b"))
        ids = self._tensors(of_ids.inputs, checkpoint_session.INPUT_NAMES)
        make_callable = self._session.make_callable
        self._tokens = make_callable(ids, texts)
        self._texts = make_callable(self._tensors(of_texts.outputs, ["pooled_output"]), texts)
        self._ids = make_callable(self._tensors(of_ids.outputs, ["pooled_output"]), ids)

    def _tensors(self, named, names):
        return [self._session.graph.get_tensor_by_name(named[name].name) for name in names]

    def in_graph(self, pairs):
        """The encoder's inputs, computed in the graph."""
        return self._tokens(*encoded(pairs))

    def in_python(self, pairs):
        """The encoder's inputs, computed in Python."""
        return self._padded(self._rows_of(pairs, self._tokenizer, LENGTH))

    def outputs_of_texts(self, pairs):
        """The encoder's output for texts."""
        return self._texts(*encoded(pairs))

    def outputs_of_ids(self, pairs):
        """The encoder's output for ids that were computed in Python."""
        return self._ids(*self.in_python(pairs))


def encoded(pairs):
    return [[text.encode("utf-8") for text in texts] for texts in zip(*pairs)]


def milliseconds_of_a_batch(function, pairs, size):
    """Processor time per batch of pairs, in milliseconds."""
    batches = [pairs[start : start + size] for start in range(0, len(pairs), size)]
    start = time.process_time()
    for batch in batches:
        function(batch)
    return 1000 * (time.process_time() - start) / len(batches)


def export(model_dir, path):
    command = [sys.executable, os.path.join(ROOT, "export_model.py"), "--model_dir=" + model_dir]
    command += ["--format=saved_model", "--task=encoder", "--output=" + path]
    measuring.run_step(command, stdout=subprocess.DEVNULL)


def main():
    arguments = parse_arguments()
    pairs = read_pairs(arguments.texts, arguments.num_pairs)
    with tempfile.TemporaryDirectory() as root:
        path = os.path.join(root, "served")
        export(arguments.model_dir, path)
        served = Served(arguments.model_dir, path)
        graph_size = os.path.getsize(os.path.join(path, "1", "saved_model.pb"))
    names = ("in_graph", "in_python", "outputs_of_texts", "outputs_of_ids")
    print("graph %.2f MB\n| batch | %s |" % (graph_size / 1e6, " | ".join(names)))
    for size in (1, 64):
        some = pairs if size > 1 else pairs[: len(pairs) // 8]
        turns = {name: [] for name in names}
        for number in range(arguments.rounds + 1):
            for name in names:
                taken = milliseconds_of_a_batch(getattr(served, name), some, size)
                if number:  # the first turn prepares shapes
                    turns[name].append(taken)
        medians = [statistics.median(turns[name]) for name in names]
        print("| %d | %s |" % (size, " | ".join("%.2f ms" % median for median in medians)))


if __name__ == "__main__":
    run_program(main)
