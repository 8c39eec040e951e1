r"""Estimates hours and price of pre-training from operations, parsing rate and storage bandwidth.

    python benchmarks/training_costs.py
    python benchmarks/training_costs.py --steps=500000 --length=128 --predictions=20 \
        --prices=v3-8=8,8xA100=24

No machine is measured. A step takes as long as the slowest of three parts: the operations at
--usage of the peak, parsing by --parsing_cores of each host, and reading from the bucket. If
--record_bytes and --records_of_core are not set, they are scaled to --length. --prices are per hour
of a whole machine, in any currency.
"""

import argparse
import collections
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from albert_zh.common import files
from albert_zh.common.errors import UserError, run_program

CONFIGS = "tiny,small_google,base,large,xlarge"
MACHINES = "v3-8,v3-32,v3-128,v3-256,8xA100"
PASSES = 3  # one forward pass, and twice as much backward
CORES_OF_HOST = 8  # TPU cores per host
OPERATIONS_OF_PRODUCT = 2  # a multiplication and an addition
LENGTH = 512  # tokens of the records that were measured

# (name, default, help) of the numeric arguments.
_NUMBERS = (
    ("steps", 125000, "training steps"),
    ("batch", 4096, "sequences per step"),
    ("length", LENGTH, "tokens per sequence"),
    ("predictions", 77, "masked positions per sequence"),
    ("tpu_tflops", 52.5, "peak of a TPU core, 10^12 operations per second; 52.5 for v3"),
    ("gpu_tflops", 312.0, "peak of a GPU; 312 for A100 in bfloat16"),
    ("usage", 0.4, "share of the peak that training reaches"),
    ("record_bytes", 2754.0, "bytes per record; the default is for %d tokens" % LENGTH),
    (
        "records_of_core",
        9962.0,
        "records per second that a core reads, parses and masks; the default likewise",
    ),
    ("parsing_cores", 8, "cores per host that parse"),
    ("megabytes_of_host", 200.0, "megabytes per second that a host reads from the bucket"),
)

Machine = collections.namedtuple("Machine", "name hosts operations")
Machine.__doc__ = """A machine.

Fields:
    name: name such as v3-32.
    hosts: number of hosts that feed it.
    operations: operations per second.
"""
Times = collections.namedtuple("Times", "computing parsing reading")
Times.__doc__ = """Seconds of a run if it were limited by only one of the three parts."""


def operations_per_token(config, length, predictions):
    """Operations of a step per token of its sequences.

    Args:
        config: dict, a config JSON.
        length: tokens of a sequence.
        predictions: masked positions of a sequence.
    """
    hidden, embedding = config["hidden_size"], config["embedding_size"]
    vocabulary, inner = config["vocab_size"], config["intermediate_size"]
    layer = 4 * hidden * hidden + 2 * hidden * inner + 2 * length * hidden
    lookup = vocabulary * embedding + embedding * hidden  # one-hot, as on a TPU
    logits = (hidden * embedding + vocabulary * embedding) * predictions / length
    products = config["num_hidden_layers"] * layer + lookup + logits
    return PASSES * OPERATIONS_OF_PRODUCT * products


def machine_of(name, numbers):
    """The `Machine` with a name such as v3-32 (TPU cores) or 8xA100 (GPUs of a host).

    Raises:
        UserError: for other names.
    """
    generation, _, cores = name.partition("-")
    if generation.startswith("v") and cores.isdecimal() and int(cores) >= CORES_OF_HOST:
        count, hosts, peak = int(cores), int(cores) // CORES_OF_HOST, numbers.tpu_tflops
    elif name.partition("x")[0].isdecimal() and int(name.partition("x")[0]):
        count, hosts, peak = int(name.partition("x")[0]), 1, numbers.gpu_tflops
    else:
        raise UserError("--machines: %s: expected names such as v3-32 or 8xA100" % name)
    return Machine(name, hosts, count * peak * 1e12 * numbers.usage)


def times_of(config, machine, numbers):
    """The `Times` of a run."""
    records = numbers.steps * numbers.batch
    tokens = records * numbers.length
    operations = operations_per_token(config, numbers.length, numbers.predictions)
    of_host = records / machine.hosts
    return Times(
        computing=tokens * operations / machine.operations,
        parsing=of_host / (numbers.records_of_core * numbers.parsing_cores),
        reading=of_host * numbers.record_bytes / (numbers.megabytes_of_host * 1e6),
    )


def row_of(name, config, machines, prices, numbers):
    """The cells of a config's row."""
    cells = [
        name,
        "%.2e" % operations_per_token(config, numbers.length, numbers.predictions),
    ]
    for machine in machines:
        times = times_of(config, machine, numbers)
        hours = max(times) / 3600
        cell = _rounded(hours) + ("" if max(times) == times.computing else " (input)")
        if machine.name in prices:
            cell += " = " + _rounded(hours * prices[machine.name])
        cells.append(cell)
    slowest = [numbers.steps * numbers.batch / max(times_of(config, m, numbers)) for m in machines]
    of_hosts = [rate / machine.hosts for rate, machine in zip(slowest, machines)]
    return cells + [f"{rate:,.0f}" for rate in (min(of_hosts), max(of_hosts))]


def _rounded(number):
    """A number rounded to three significant digits."""
    return f"{number:,.0f}" if number >= 100 else f"{number:,.1f}"


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--configs", default=CONFIGS, help="names of configs in albert_config/, separated by commas"
    )
    parser.add_argument(
        "--machines", default=MACHINES, help="machines such as v3-32 or 8xA100, separated by commas"
    )
    parser.add_argument("--prices", default="", help="MACHINE=PRICE, separated by commas")
    for name, default, text in _NUMBERS:
        parser.add_argument("--" + name, type=type(default), default=default, help=text)
    as_long = (parser.parse_args().length or LENGTH) / LENGTH  # 0 is an error below
    parser.set_defaults(
        record_bytes=parser.get_default("record_bytes") * as_long,
        records_of_core=parser.get_default("records_of_core") / as_long,
    )
    arguments = parser.parse_args()
    for name, _, _ in _NUMBERS:
        if not getattr(arguments, name) > 0:
            raise UserError("--%s=%s: expected more than 0" % (name, getattr(arguments, name)))
    return arguments


def _prices(text):
    """{machine: price}."""
    pairs = [pair.partition("=") for pair in text.split(",") if pair]
    try:
        return {name: float(price) for name, _, price in pairs}
    except ValueError as error:
        raise UserError("--prices=%s: expected MACHINE=PRICE, as in v3-8=8" % text) from error


def main():
    """Prints a table of hours, and of prices if they are given."""
    numbers = _arguments()
    machines = [machine_of(name, numbers) for name in numbers.machines.split(",")]
    prices = _prices(numbers.prices)
    head = ["config", "operations per token"] + [machine.name for machine in machines]
    head += ["records/s of a host: least", "most"]
    print("| %s |\n|%s" % (" | ".join(head), "---|" * len(head)))
    for name in numbers.configs.split(","):
        path = os.path.join(ROOT, "albert_config", "albert_config_%s.json" % name)
        config = files.read_json(path)
        print("| %s |" % " | ".join(row_of(name, config, machines, prices, numbers)), flush=True)


if __name__ == "__main__":
    run_program(main)
