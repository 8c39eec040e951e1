"""Pairs per second of an int8 .tflite file through `Predictor`: `tflite.py --bulk`.

print_bulk(work_folder, model_folder, [0, 2], 15, ["LiteRT", "TensorFlow"])
"""

import collections
import contextlib
import multiprocessing
import os
import subprocess
import sys
import time

import measuring
import numpy as np
import prediction

from albert_zh.inference import input_rows

Way = collections.namedtuple("Way", "name takes_texts runtime threads")  # threads None: the default
PAIRS_OF_CALL = {"LiteRT": 400, "TensorFlow": 40}
SECONDS_OF_TURN = 0.7
TITLES = {"LiteRT": "Predictor", "TensorFlow": "Predictor without LiteRT"}


def print_bulk(work, folder, phases, rounds, runtimes):
    """Prints pairs per second of an int8 file of dynamic length, with and without busy processes.

    Args:
        work: folder for files.
        folder: model folder, or None for a random one of albert_tiny's size.
        phases: numbers of busy processes.
        rounds: number of rounds.
        runtimes: names of the installed interpreters.
    """
    if folder is None:
        folder = os.path.join(work, "tiny")
        prediction.write_random_model(folder)
    path = os.path.join(work, "exported", "int8.tflite")
    prediction.write_int8(folder, path)
    ways = bulk_ways(runtimes)
    rates = bulk_rates(path, ways, phases, rounds)
    names = ["busy processes: %d, pairs/s | times the interpreter alone" % n for n in phases]
    print("| | %s |\n|---|%s" % (" | ".join(names), "---:|---:|" * len(phases)))
    for way in ways:
        cells = []
        for phase in phases:
            one, alone = np.array(rates[way, phase]), np.array(rates[ways[0], phase])
            cells.append("%.0f | %.2f" % (np.median(one), np.median(one / alone)))
        print("| %s | %s |" % (way.name, " | ".join(cells)))


def bulk_ways(runtimes):
    """The variants that take turns; the first is the reference of the others."""
    cores = measuring.num_cores()
    ways = [Way("LiteRT's interpreter alone, one thread", False, "LiteRT", 1)]
    for runtime in runtimes:
        title = TITLES[runtime]
        ways.append(Way(title, True, runtime, None))
        ways.append(Way("%s, num_threads=%d" % (title, cores), True, runtime, cores))
    return ways


def bulk_rates(path, ways, phases, rounds):
    """{(way, phase): pairs per second of each round}; a phase is a number of busy processes."""
    context = multiprocessing.get_context("spawn")
    pipes = {}
    for way in ways:
        pipes[way], theirs = context.Pipe()
        context.Process(target=serve_bulk, args=(theirs, path, way)).start()
        pipes[way].recv()
    rates = collections.defaultdict(list)
    for _ in range(rounds):
        for phase in phases:
            with busy(phase):
                for way, pipe in pipes.items():
                    pipe.send("turn")
                    rates[way, phase].append(pipe.recv())
    for pipe in pipes.values():
        pipe.send("end")
    return rates


@contextlib.contextmanager
def busy(count):
    """Runs `count` processes that keep cores busy."""
    command = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def serve_bulk(pipe, path, way):
    """The process of a variant: a turn makes calls for some time and sends their pairs/s."""
    if way.runtime != "LiteRT":
        sys.modules["ai_edge_litert"] = None  # as if it were not installed
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # notes of the C++ part
    pairs = prediction.read_pairs(prediction.PAIRS, PAIRS_OF_CALL[way.runtime])
    call = (call_of_predictor if way.takes_texts else call_of_interpreter)(path, way, pairs)
    call()
    pipe.send("ready")
    for _ in iter(pipe.recv, "end"):
        start, count = time.perf_counter(), 0
        while time.perf_counter() < start + SECONDS_OF_TURN:
            call()
            count += len(pairs)
        pipe.send(count / (time.perf_counter() - start))


def call_of_predictor(path, way, pairs):
    """A function that predicts the pairs."""
    from albert_zh.inference import predictor

    model = predictor.Predictor(path, num_threads=way.threads)
    return lambda: model.predict(pairs)


def call_of_interpreter(path, way, pairs):
    """A function that runs LiteRT's interpreter on the pairs' tokens."""
    from ai_edge_litert.interpreter import Interpreter

    from albert_zh.common import errors  # noqa: F401 (quietens TensorFlow)
    from albert_zh.text import tokenization

    vocabulary = os.path.join(os.path.dirname(path), "vocab.txt")
    rows = input_rows.rows_of(
        pairs, tokenization.FullTokenizer(vocabulary), input_rows.DEFAULT_LENGTH
    )
    inputs = [dict(zip(("ids", "mask", "segment_ids"), input_rows.padded([row]))) for row in rows]
    inputs.sort(key=lambda row: row["ids"].shape)
    interpreter = Interpreter(model_path=path, num_threads=way.threads)
    places = {info["name"]: info["index"] for info in interpreter.get_input_details()}

    def call():
        shape = None
        for row in inputs:
            if row["ids"].shape != shape:
                shape = row["ids"].shape
                for place in places.values():
                    interpreter.resize_tensor_input(place, shape)
                interpreter.allocate_tensors()
            for name, place in places.items():
                interpreter.set_tensor(place, row[name])
            interpreter.invoke()

    return call
