"""Load test of serve.py on this machine: requests/s, latencies, correct answers, memory.

    python benchmarks/serving.py                    # 32 clients, with and without micro-batching
    python benchmarks/serving.py --minutes=10       # one steady run, with memory by minute

Needs requirements-serve.txt. Clients are threads of this process, on the same cores as the service;
each sends one sentence pair after the other over a persistent connection. Every answer is compared
with the offline prediction.
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [ROOT, os.path.join(ROOT, "benchmarks")]

import prediction

from albert_zh.common.errors import run_program
from albert_zh.inference import predictor

TOLERANCE = 1e-4
MODES = {"micro-batching": 256, "one request at a time": 1}  # --max_batch_size


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model_dir", help="fine-tuned model, instead of a random one")
    parser.add_argument("--pairs", default=prediction.PAIRS, help="TSV of pairs")
    parser.add_argument(
        "--clients",
        type=int,
        default=32,
        help="number of clients that send requests at the same time",
    )
    parser.add_argument("--seconds", type=float, default=20, help="time per mode")
    parser.add_argument("--minutes", type=int, help="time of a steady run with micro-batching")
    return parser.parse_args()


class Service:
    """serve.py in a separate process."""

    def __init__(self, folder, max_batch_size):
        command = [sys.executable, os.path.join(ROOT, "serve.py"), "--model_dir=" + folder]
        command += ["--port=0", "--max_batch_size=%d" % max_batch_size]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, universal_newlines=True)
        lines = [self.process.stderr.readline() for _ in range(2)]
        if "http://" not in lines[1]:
            raise SystemExit("".join(lines).strip())
        self.port = int(lines[1].split("/")[2].split(":")[1])

    def megabytes(self):
        """Resident memory in MB."""
        with open("/proc/%d/status" % self.process.pid) as handle:
            line = next(line for line in handle if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024.0

    def close(self):
        self.process.terminate()
        self.process.wait()


class Client(threading.Thread):
    """Requests the prediction of one pair after the other until the end time."""

    def __init__(self, port, pairs, expected, first, end):
        super().__init__(daemon=True)
        self._port, self._pairs, self._expected = port, pairs, expected
        self._first, self._end = first, end
        self.seconds, self.num_wrong, self.num_lost = [], 0, 0

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        index = self._first
        while time.time() < self._end:
            start = time.perf_counter()
            try:
                similarity = self._ask(connection, self._pairs[index])
            except (OSError, http.client.HTTPException, ValueError, KeyError):
                self.num_lost += 1
                connection.close()
            else:
                self.seconds.append(time.perf_counter() - start)
                self.num_wrong += not abs(similarity - self._expected[index]) < TOLERANCE
            index = (index + 1) % len(self._pairs)
        connection.close()

    def _ask(self, connection, pair):
        body = json.dumps({"pairs": [pair]}).encode("utf-8")
        connection.request("POST", "/similarity", body, {"Content-Type": "application/json"})
        return json.loads(connection.getresponse().read().decode())["similarities"][0]


def load(service, pairs, expected, num_clients, seconds):
    """Runs the clients; returns (sorted latencies in seconds, wrong, lost, requests/s)."""
    start = time.time()
    clients = [
        Client(service.port, pairs, expected, number * 37 % len(pairs), start + seconds)
        for number in range(num_clients)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    waited = np.sort(np.concatenate([client.seconds for client in clients]))
    wrong = sum(client.num_wrong for client in clients)
    lost = sum(client.num_lost for client in clients)
    return waited, wrong, lost, len(waited) / (time.time() - start)


def row_of(name, outcome):
    """A row of the table."""
    waited, wrong, lost, rate = outcome
    percentiles = tuple(1000 * np.percentile(waited, share) for share in (50, 95, 99))
    return "| %s | %.0f | %.1f | %.1f | %.1f | %d | %d |" % (
        (name, rate) + percentiles + (wrong, lost)
    )


def compare_modes(arguments, folder, pairs, expected):
    """Prints a line per mode."""
    for name, size in MODES.items():
        service = Service(folder, size)
        try:
            load(service, pairs, expected, arguments.clients, 2)  # the first calls take longer
            outcome = load(service, pairs, expected, arguments.clients, arguments.seconds)
            print(row_of(name, outcome), flush=True)
        finally:
            service.close()


def run_steadily(arguments, folder, pairs, expected):
    """Prints a line for each minute, with the memory at its end.

    Memory grows at first, because TensorFlow caches prepared state for each batch shape, up to some
    number of shapes.
    """
    service = Service(folder, MODES["micro-batching"])
    try:
        for minute in range(1, arguments.minutes + 1):
            outcome = load(service, pairs, expected, arguments.clients, 60)
            name = "minute %d, then %.0f MB" % (minute, service.megabytes())
            print(row_of(name, outcome), flush=True)
    finally:
        service.close()


def main():
    arguments = parse_arguments()
    pairs = prediction.read_pairs(arguments.pairs, 1600)
    with tempfile.TemporaryDirectory() as root:
        folder = arguments.model_dir or os.path.join(root, "model")
        if not arguments.model_dir:
            prediction.write_random_model(folder)
        with predictor.Predictor(folder) as model:
            expected = model.similarities(pairs)
        print(
            "| %d clients | requests/s | p50 ms | p95 ms | p99 ms | wrong | lost |"
            % arguments.clients
        )
        print("|---|---:|---:|---:|---:|---:|---:|")
        run = run_steadily if arguments.minutes else compare_modes
        run(arguments, folder, pairs, expected)
    print("%d cores, load %.1f" % (os.cpu_count(), os.getloadavg()[0]), file=sys.stderr)


if __name__ == "__main__":
    run_program(main)
