"""Speed of encoding sentences as vectors: in bulk, one at a time, and with 8-bit integers.

    python benchmarks/encoding.py
    python benchmarks/encoding.py --texts lcqmc/test.txt --peer_python PYTHON

The model is the bundled one with mean pooling and normalization. The texts are the sentences of a
file of pairs, by default of data/pairs_sample. "in bulk" is the rate in sentences per second when
all are encoded in one call, with results in input order; "one" is the median time of encoding a
single text, in milliseconds. "processor time" is summed over all cores, because other programs
affect it less. All times include tokenization. With --peer_python (a Python that has
sentence-transformers), the same model, written by export_model.py --format=sentence_transformers,
takes turns with ours; --threads applies to both.
"""

import argparse
import json
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
MODEL = os.path.join(ROOT, "albert_starter_zh")
PAIRS = os.path.join(ROOT, "data", "pairs_sample", "test.txt")
LENGTH = 64
COLUMNS = ("sentences/s in bulk", "processor time of each", "one sentence", "its processor time")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model_dir", default=MODEL, help="folder of the model")
    parser.add_argument("--texts", default=PAIRS, help="TSV whose first two columns are sentences")
    parser.add_argument("--num_texts", type=int, default=4000, help="sentences per turn")
    parser.add_argument("--num_single", type=int, default=200, help="single sentences per turn")
    parser.add_argument("--rounds", type=int, default=5, help="measured turns of each variant")
    parser.add_argument("--threads", type=int, help="threads per operation; all cores by default")
    parser.add_argument("--peer_python", help="Python with sentence-transformers")
    parser.add_argument("--work_as_peer", help=argparse.SUPPRESS)
    return parser.parse_args()


def read_texts(path, count):
    """`count` sentences of a TSV file, which are repeated if there are fewer."""
    rows = [line.split("\t") for line in files.stream_lines(path)]
    texts = [cell for row in rows for cell in row[:2] if len(row) >= 2]
    if not texts:
        raise UserError("--texts=%s: no pairs in it, expected text_a<tab>text_b" % path)
    return [texts[index % len(texts)] for index in range(count)]


def seconds_of(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def turn_of(encode, texts, num_single):
    """Measures a function (list of texts) -> vectors; returns the values of `COLUMNS`."""
    start = time.process_time()
    bulk = len(texts) / seconds_of(lambda: encode(texts))
    busy = 1000 * (time.process_time() - start) / len(texts)
    start = time.process_time()
    single = [seconds_of(lambda text=text: encode([text])) for text in texts[:num_single]]
    busy_alone = 1000 * (time.process_time() - start) / num_single
    return bulk, busy, 1000 * statistics.median(single), busy_alone


def work_as_peer(arguments):
    """Answers each input line with a turn of sentence-transformers."""
    import sentence_transformers
    import torch

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    model = sentence_transformers.SentenceTransformer(
        arguments.work_as_peer, device="cpu", trust_remote_code=True
    )
    texts = read_texts(arguments.texts, arguments.num_texts)

    def encode(some):
        return model.encode(some, batch_size=32 if len(some) > 1 else 1, show_progress_bar=False)

    encode(texts[:200])
    for _ in sys.stdin:
        print(json.dumps(turn_of(encode, texts, arguments.num_single)), flush=True)


class Peer:
    """sentence-transformers, running in a process of another environment."""

    def __init__(self, arguments, folder):
        command = [arguments.peer_python, os.path.abspath(__file__), "--work_as_peer", folder]
        command += ["--texts", os.path.abspath(arguments.texts)]
        for name in ("num_texts", "num_single") + ("threads",) * bool(arguments.threads):
            command += ["--" + name, str(getattr(arguments, name))]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    def turn(self):
        self._process.stdin.write("turn\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            sys.exit("sentence-transformers ended, its error stands above")
        return json.loads(line)

    def close(self):
        self._process.stdin.close()
        self._process.wait()


def export(model_dir, *flags):
    """Runs export_model.py."""
    command = [sys.executable, os.path.join(ROOT, "export_model.py"), "--model_dir=" + model_dir]
    measuring.run_step(command + list(flags), stdout=subprocess.DEVNULL)


def embedding_folder(model_dir, root):
    """A model folder with sentence-vector settings: the original if it has them, else a copy."""
    import shutil

    from albert_zh.model import config, sentence_vectors
    from albert_zh.model.checkpoints import model_folder

    if sentence_vectors.read_notes(model_dir):
        return model_dir
    folder = os.path.join(root, "model")
    shutil.copytree(model_dir, folder)
    settings = config.AlbertConfig.from_json_file(model_folder.config_in_folder(folder))
    notes = sentence_vectors.SentenceNotes("mean", True, settings.hidden_size, LENGTH)
    sentence_vectors.write_notes(folder, notes)
    return folder


def integers_turn(folder, root, texts_file, threads):
    """A function (list of texts) -> vectors that runs a .tflite file of 8-bit integers."""
    from albert_zh.common import files
    from albert_zh.inference import loaded_model
    from albert_zh.inference.runtimes import litert

    path = os.path.join(root, "int8.tflite")
    export(
        folder,
        "--format=tflite",
        "--task=embedding",
        "--quantize=int8",
        "--seq_length=dynamic",
        "--representative_texts=" + texts_file,
        "--output=" + path,
    )
    interpreter = litert.interpreter(files.read_bytes(path), num_threads=threads or 1)
    tokenizer = loaded_model.open_folder(folder).tokenizer
    inputs = {detail["name"]: detail["index"] for detail in interpreter.get_input_details()}
    lengths = []

    def encode(texts):
        for text in texts:
            rows = input_rows.rows_of([(text, None)], tokenizer, LENGTH)
            arrays = input_rows.padded(rows, -(-len(rows[0][0]) // 8) * 8)
            if lengths[-1:] != [arrays.shape[2]]:
                lengths.append(arrays.shape[2])
                for index in inputs.values():
                    interpreter.resize_tensor_input(index, arrays.shape[1:])
                interpreter.allocate_tensors()
            for name, array in zip(("ids", "mask", "segment_ids"), arrays):
                interpreter.set_tensor(inputs[name], array)
            interpreter.invoke()
            interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    return encode


def measured(arguments, root):
    """{name: list of turns} of all variants, measured in turns."""
    sys.path.insert(0, ROOT)
    from albert_zh.inference import text_encoder

    texts = read_texts(arguments.texts, arguments.num_texts)
    folder = embedding_folder(arguments.model_dir, root)
    measuring.check_python(arguments.peer_python)
    peer = None
    if arguments.peer_python:
        converted = os.path.join(root, "converted")
        export(folder, "--format=sentence_transformers", "--output=" + converted)
        peer = Peer(arguments, converted)
    encoders = {
        precision: text_encoder.TextEncoder(
            folder, precision=precision, num_threads=arguments.threads
        )
        for precision in ("float32", "bfloat16")
    }
    turns = {
        "TextEncoder, " + name: lambda of=encoder: turn_of(of.encode, texts, arguments.num_single)
        for name, encoder in encoders.items()
    }
    integers = integers_turn(folder, root, write_texts(root, texts), arguments.threads)
    few = texts[: max(arguments.num_single, len(texts) // 10)]
    turns["TFLite, int8"] = lambda: turn_of(integers, few, arguments.num_single)
    if peer:
        turns["sentence-transformers"] = peer.turn
    results = {name: [] for name in turns}
    for number in range(arguments.rounds + 1):
        for name, turn in turns.items():
            result = turn()
            if number:  # the first turn prepares shapes
                results[name].append(result)
    for model in list(encoders.values()) + [peer] * bool(peer):
        model.close()
    return results


def write_texts(root, texts):
    path = os.path.join(root, "texts.txt")
    with open(path, "w", encoding="utf-8") as handle:
        handle.write("\n".join(texts[:400]) + "\n")
    return path


def main():
    arguments = parse_arguments()
    if arguments.work_as_peer:
        work_as_peer(arguments)
        return
    with tempfile.TemporaryDirectory() as root:
        results = measured(arguments, root)
    print("| | %s |\n|---|%s" % (" | ".join(COLUMNS), "---:|" * len(COLUMNS)))
    for name, turns in results.items():
        medians = tuple(statistics.median(column) for column in zip(*turns))
        print("| %s | %.0f | %.2f ms | %.2f ms | %.2f ms |" % ((name,) + medians))
    print("%d cores, load %.1f" % (os.cpu_count(), os.getloadavg()[0]), file=sys.stderr)


if __name__ == "__main__":
    run_program(main)
