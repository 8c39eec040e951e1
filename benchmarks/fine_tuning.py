r"""Speed of training and evaluating a classifier, compared with --plain and with other programs.

    python benchmarks/fine_tuning.py
    python benchmarks/fine_tuning.py --ablation
    python benchmarks/fine_tuning.py --growth --chart=docs/images/fine_tuning.png
    python benchmarks/fine_tuning.py --peer_python=torch_env/bin/python

Rows are as long as LCQMC's pairs: 28 tokens on average, 40 at the 95th percentile. "plain" is
`run_classifier.py --plain=true`: rows padded to 128, float32, nothing joined, compiled or pruned.
Every variant runs in a separate process, with the input functions and the graph of the command; the
processes take turns, and medians are reported. Peers are PyTorch programs (peers_fine_tuning.py) in
an environment with requirements-convert.txt.
"""

import argparse
import collections
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path.insert(0, ROOT)

from albert_zh.common import lean_import

lean_import.install()  # as commands do, before anything imports TensorFlow

import kernels
import measuring
import numpy as np

from albert_zh.common import cores, path_rules
from albert_zh.common.errors import run_program
from albert_zh.model import classifier_output

MEDIAN_LENGTH, SPREAD, SHORTEST = 27.0, 0.24, 8  # log-normal lengths: mean 28, 95 % up to 40
SPECIAL_IDS = 106  # smaller ids are not words
TINY = "albert_config/albert_config_tiny.json"
BASE = "albert_config/albert_config_base.json"
PLAIN_STEPS = 4  # steps per turn: all steps are alike
MOST_STEPS = 64  # maximum number of steps per turn: a window of batches
SHOWN_TYPES = 16
EVALUATED_TOGETHER = 128  # rows per evaluation batch, the command's default at S 128
GROWTH_BATCHES = (8, 16, 32, 64, 128, 256, 512)
GROWTH_LENGTHS = (16, 32, 64, 128, 256, 512)
GROWTH_ROWS = (1024, 16384, 131072, 1048576)
GROWTH_MODELS = ("tiny", "small_google", "base", "large")
PEERS = ("eager float32", "sdpa float32", "eager bfloat16", "sdpa bfloat16", "hand-tuned bfloat16")

# A variant to measure. `job`: train or evaluate; `without`: a key of `ABLATIONS`; `length`: the
# length of all rows, 0 for LCQMC's lengths.
Way = collections.namedtuple("Way", "job precision plain without config batch length rows")
Way.__new__.__defaults__ = ("train", "float32", False, "", TINY, 64, 0, 2048)
WAYS = collections.OrderedDict(
    ("%s, %s" % (kind, name), Way(job, **settings))
    for kind, job in (("training", "train"), ("evaluation", "evaluate"))
    for name, settings in (
        ("plain", {"plain": True}),
        ("float32", {}),
        ("bfloat16", {"precision": "bfloat16"}),
    )
)
# base on full rows, where nearly all of the work is matrix products.
BASE_NAME = "training, base, batch 16, S 128, float32"
BASE_WAY = Way(config=BASE, batch=16, length=128, rows=64)
KEPT_MEMORY = "memory kept for later tensors"
HALVES = "half of a batch for each of two threads"
ABLATIONS = (
    "batches by length",
    "cut-off padding",
    "one product for query, key and value",
    "only [CLS] in the last layer",
    "gradients written out",
    "passes compiled by XLA",
    HALVES,
    KEPT_MEMORY,
)


def main():
    """Prints the measurements that the arguments select."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=5, help="measured turns of each process")
    parser.add_argument("--num_threads", type=int, default=0, help="threads; 0: all cores")
    parser.add_argument("--ablation", action="store_true", help="disable each optimization in turn")
    parser.add_argument("--profile", action="store_true", help="time by type of operation")
    parser.add_argument("--growth", action="store_true", help="vary batch, length, model, rows")
    parser.add_argument("--chart", help="PNG to write the growth to")
    parser.add_argument("--peer_python", help="Python of an environment with PyTorch, for peers")
    parser.add_argument("--worker", help="one measurement, as JSON (internal)")
    arguments = parser.parse_args()
    path_rules.check_arguments(arguments)
    cores.give_sessions_their_threads()
    if arguments.worker:
        work(Way(**json.loads(arguments.worker)), arguments.num_threads)
    elif arguments.ablation:
        show_ablation(arguments)
    elif arguments.profile:
        show_profile(arguments)
    elif arguments.growth:
        show_growth(arguments)
    else:
        show_ways(arguments)


# Output


def show_ways(arguments):
    """Prints the table of all variants, and of the peers if there are any."""
    measuring.check_python(arguments.peer_python)
    lengths = row_lengths(Way())
    print(
        "tiny, batch 64, %d rows of %.1f tokens on average, 95 %% up to %d; %d cores, %s threads"
        % (
            len(lengths),
            lengths.mean(),
            np.percentile(lengths, 95),
            measuring.num_cores(),
            arguments.num_threads or "all",
        )
    )
    ways = dict(WAYS, **{BASE_NAME: BASE_WAY})
    commands = {name: worker_command(way, arguments) for name, way in ways.items()}
    if arguments.peer_python:
        script = os.path.join(HERE, "peers_fine_tuning.py")
        for peer in PEERS:
            commands["training, PyTorch, " + peer] = [arguments.peer_python, script, peer]
    commands = measuring.in_fast_precisions(commands)
    results = measuring.take_turns(commands, arguments.rounds)
    peaks = measuring.matrix_peaks(arguments.num_threads)
    print(
        "matrix products here: "
        + ", ".join("%s %.0f GFLOPS" % (p, v / 1e9) for p, v in peaks.items())
    )
    show_base(results.pop(BASE_NAME)[0], peaks["float32"])
    needed = {job: flops_of_row(Way(job=job), lengths) for job in ("train", "evaluate")}
    titles = ("", "pairs/s", "x plain", "tokens/s", "of peak", "MiB", "input")
    print("%-40s %9s %9s %10s %9s %9s %7s" % titles)
    for name, (seconds, memory, wait) in results.items():
        job = "train" if name.startswith("training") else "evaluate"
        plain = results["%s, plain" % name.split(",")[0]][0]
        peak = peaks["bfloat16" if "bfloat16" in name else "float32"]
        columns = (1 / seconds, plain / seconds, lengths.mean() / seconds)
        share = 100 * needed[job] / seconds / peak
        columns += (share, memory, 100 * wait)
        print("%-40s %9.0f %9.2f %10.0f %8.0f%% %9.0f %6.1f%%" % ((name,) + columns))
    print("TensorFlow alone: %.0f MiB" % memory_of_tensorflow())


def show_base(seconds, peak):
    """Prints a line about `BASE_WAY`.

    Args:
        seconds: seconds per row.
        peak: operations per second of the machine.
    """
    lengths = row_lengths(BASE_WAY)
    share = flops_of_row(BASE_WAY, lengths) / seconds / peak
    print(
        "%s: %.2f rows/s, %.0f tokens/s, %.0f%% of peak"
        % (BASE_NAME, 1 / seconds, lengths.mean() / seconds, 100 * share)
    )


def show_ablation(arguments):
    """Prints the speed of the fast variant without each optimization."""
    ways = collections.OrderedDict([("all", Way())])
    ways.update(("without " + gain, Way(without=gain)) for gain in ABLATIONS)
    ways["plain"] = Way(plain=True)
    commands = {name: worker_command(way, arguments) for name, way in ways.items()}
    results = measuring.take_turns(commands, arguments.rounds)
    fast = results["all"][0]
    print("%-52s %10s %14s %8s" % ("training, float32", "pairs/s", "time of all", "MiB"))
    for name, (seconds, memory, _) in results.items():
        print("%-52s %10.0f %13.2fx %8.0f" % (name, 1 / seconds, seconds / fast, memory))


def show_profile(arguments):
    """Prints the time of each type of operation in a step, and its lower bound."""
    num_threads = arguments.num_threads or measuring.num_cores()
    peaks = measuring.matrix_peaks(arguments.num_threads)
    rate = kernels.bandwidth(num_threads)
    print("passes over memory: %.1f GB/s; " % (rate / 1e9), end="")
    print("; ".join("products, %s: %.0f GFLOPS" % (p, v / 1e9) for p, v in peaks.items()))
    for name, way in measuring.in_fast_precisions(WAYS).items():
        with session_of(way, arguments.num_threads) as (session, fetches):
            num_steps = PLAIN_STEPS if way.plain else way.rows // way.batch
            for _ in range(num_steps):
                session.run(fetches)  # compiles all lengths
            begin = time.time()
            for _ in range(num_steps):
                session.run(fetches)
            taken = (time.time() - begin) / num_steps
            side_by_side = num_threads if runs_in_halves(way, arguments.num_threads) else 1
            machine = kernels.Machine(
                {precision: peak / side_by_side for precision, peak in peaks.items()},
                rate / side_by_side,
            )
            found = kernels.kernels_of(session, fetches, num_steps, machine)
        print("%s: %.1f ms a step, %d operations side by side" % (name, 1e3 * taken, side_by_side))
        show_kernels(found)


def show_kernels(found):
    """Prints the table of a variant's `Kernel`s: the longest ones, and the sum of all."""
    total = kernels.Kernel(*map(sum, zip(*found.values())))
    print("    %6s %6s %8s %8s %8s %8s  %s" % tuple("share calls ms MB GFLOP floor type".split()))
    for kind, kernel in list(found.items())[:SHOWN_TYPES] + [("all", total)]:
        columns = (100 * kernel.seconds / total.seconds, kernel.calls, 1e3 * kernel.seconds)
        columns += (kernel.moved / 1e6, kernel.operations / 1e9, 1e3 * kernel.floor, kind)
        print("    %5.1f%% %6.0f %8.2f %8.1f %8.2f %8.2f  %s" % columns)


def show_growth(arguments):
    """Prints and draws the speed by batch, length, rows and model."""
    ways = collections.OrderedDict()
    for batch in GROWTH_BATCHES:
        ways["batch", batch] = Way(batch=batch)
    for length in GROWTH_LENGTHS:
        ways["length", length] = Way(length=length, rows=max(256, 65536 // length))
    for rows in GROWTH_ROWS:
        ways["rows", rows] = Way(rows=rows)
    for model in GROWTH_MODELS:
        config = "albert_config/albert_config_%s.json" % model
        ways["model", model] = Way(config=config, batch=8, rows=64)
    rates = {}
    print("%-10s %14s %12s %12s" % ("", "", "pairs/s", "tokens/s"))
    for (kind, value), way in ways.items():
        seconds = measuring.take_turns(
            {"": worker_command(way, arguments)}, min(3, arguments.rounds)
        )[""][0]
        tokens = row_lengths(way).mean() / seconds
        rates[kind, value] = (1 / seconds, tokens)
        print("%-10s %14s %12.1f %12.0f" % (kind, value, 1 / seconds, tokens), flush=True)
    if arguments.chart:
        draw_growth(arguments.chart, rates)


def draw_growth(path, rates):
    """Draws the tables as a PNG."""
    from albert_zh.common import plotting

    figure, axes = plotting.subplots(1, 4, figsize=(15, 3.6))
    labels = {"batch": "batch", "length": "length of all rows", "rows": "rows", "model": "model"}
    for axis, (kind, label) in zip(axes, labels.items()):
        values = [value for found, value in rates if found == kind]
        pairs = [rates[kind, value][0] for value in values]
        axis.plot(values, pairs, "o-")
        if kind != "model":
            axis.set_xscale("log", base=10 if kind == "rows" else 2)
        if kind in ("length", "model"):
            axis.set_yscale("log")
        else:
            axis.set_ylim(0, 1.1 * max(pairs))
        axis.set_xlabel(label)
        axis.set_ylabel("pairs/s")
        axis.grid(True, alpha=0.3)
    figure.tight_layout()
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    plotting.save(figure, path)
    print("chart: " + path)


# Processes that take turns


def worker_command(way, arguments):
    """The command line of a process that measures a variant."""
    settings = json.dumps(way._asdict())
    script = os.path.abspath(__file__)
    return [
        sys.executable,
        script,
        "--worker",
        settings,
        "--num_threads=%d" % arguments.num_threads,
    ]


def memory_of_tensorflow():
    """Peak memory, in MiB, of a process that has only imported TensorFlow, as commands do."""
    code = (
        "import sys, measuring; sys.path.append(%r); from albert_zh.common import lean_import; "
        "lean_import.install(); import tensorflow; print(measuring.peak_memory())" % ROOT
    )
    output = subprocess.run(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=HERE, check=True
    )
    return float(output.stdout)


# What a process computes


def work(way, num_threads):
    """Answers turns with the seconds per row of a variant."""
    leave_out(way.without)
    with session_of(way, num_threads) as (session, fetches):
        num_steps = PLAIN_STEPS if way.plain else min(MOST_STEPS, -(-way.rows // way.batch))

        def turn():
            begin, num_rows = time.time(), 0
            for _ in range(num_steps):
                num_rows += len(session.run(fetches)[-1])
            return (time.time() - begin) / num_rows

        measuring.serve_turns(turn, lambda: measuring.input_wait(session, fetches))


@contextlib.contextmanager
def session_of(way, num_threads):
    """A session with the graph of a variant, and the fetches of a step."""
    import tensorflow.compat.v1 as tf

    from albert_zh.model import modeling
    from albert_zh.training import allocator, engine

    allocator.choose_allocator(way.plain or way.without == KEPT_MEMORY)
    tf.logging.set_verbosity(tf.logging.ERROR)
    tf.disable_eager_execution()
    config = modeling.AlbertConfig.from_json_file(os.path.join(ROOT, way.config))
    in_halves = takes_halves(way, config, num_threads)
    settings = engine.session_settings(num_threads, in_halves)
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(tf.Graph().as_default())
        session = stack.enter_context(tf.Session(config=settings))
        features = write_rows(way, config.vocab_size, folder)
        fetches = build(way, config, features, in_halves)
        session.run(tf.global_variables_initializer())
        yield session, fetches


def runs_in_halves(way, num_threads):
    """`takes_halves` for the model of a variant."""
    from albert_zh.model import modeling

    config = modeling.AlbertConfig.from_json_file(os.path.join(ROOT, way.config))
    return takes_halves(way, config, num_threads)


def takes_halves(way, config, num_threads):
    """Whether each of two threads computes half of a batch, as in the command."""
    from albert_zh.training import engine

    return way.without != HALVES and engine.takes_halves(
        argparse.Namespace(
            num_threads=num_threads, plain=way.plain, use_tpu=False, distribution="none"
        ),
        config,
    )


def row_lengths(way):
    """int [rows], the number of tokens of each row."""
    if way.length:
        return np.full(way.rows, way.length)
    drawn = np.random.RandomState(1).lognormal(np.log(MEDIAN_LENGTH), SPREAD, way.rows)
    return np.clip(np.round(drawn), SHORTEST, 128).astype(int)


def write_rows(way, vocab_size, folder):
    """Writes features of rows of random words; returns a `FeatureFile`."""
    import tensorflow.compat.v1 as tf

    from albert_zh.tasks import datasets, feature_records, registry

    task = datasets.TASKS["lcqmc"]
    columns = registry.type_of(task).columns(task)
    path = os.path.join(folder, "rows.tf_record")
    generator = np.random.RandomState(2)
    with tf.python_io.TFRecordWriter(path) as writer:
        for length in row_lengths(way):
            ids = generator.randint(SPECIAL_IDS, vocab_size, length)
            segments = [0] * (length // 2) + [1] * (length - length // 2)
            label = int(generator.randint(2))
            record = {"input_ids": ids, "segment_ids": segments, "label_ids": label}
            writer.write(feature_records.serialized(record, columns))
    return feature_records.FeatureFile(path, way.rows, 0, task)


def build(way, config, features, in_halves):
    """The fetches of a step: train op or probabilities, and a tensor with one entry per row."""
    import tensorflow.compat.v1 as tf

    from albert_zh.tasks import input_pipeline, model_fn
    from albert_zh.training.model_spec import ModeKeys

    longest = max(128, way.length)
    pads = way.plain or way.without == "cut-off padding"
    if way.job == "train":
        num_steps = 1 << 20
        input_fn = input_pipeline.train_input_fn(
            features, longest, way.batch, num_steps, seed=1, plain=pads
        )
    else:
        batch = way.batch if pads else max(way.batch, EVALUATED_TOGETHER)
        input_fn = input_pipeline.eval_input_fn(features, longest, batch, plain=pads)
    dataset = input_fn({}) if way.job == "train" else input_fn({}).repeat()
    batch = tf.data.make_one_shot_iterator(dataset).get_next()
    tf.train.get_or_create_global_step()
    function = model_fn.model_fn_builder(
        config,
        2,
        None,
        1e-4,
        1 << 20,
        100,
        False,
        False,
        precision=way.precision,
        plain=way.plain,
        in_halves=in_halves,
    )
    mode = ModeKeys.TRAIN if way.job == "train" else ModeKeys.PREDICT
    spec = function(batch, None, mode, {})
    result = spec.train_op if way.job == "train" else spec.predictions["probabilities"]
    return [result, batch["is_real_example"]]


def leave_out(gain):
    """Replaces an optimization, a key of `ABLATIONS`, by the plain implementation."""
    import tensorflow.compat.v1 as tf

    from albert_zh.model import (
        attention,
        embeddings,
        encoder,
        feed_forward,
        layers,
        written_gradients,
        xla,
    )
    from albert_zh.training import length_bucketing

    if gain == "batches by length":
        length_bucketing.window_starts = lambda rows, batch, steps: np.arange(steps)
    elif gain == "one product for query, key and value":
        attention.joint_dense = lambda x, width, config, scopes: tf.concat(
            [layers.dense(x, width, config, scope) for scope in scopes], axis=1
        )
    elif gain == "only [CLS] in the last layer":
        classifier_output.output_positions = lambda pooling: None
    elif gain == "gradients written out":
        encoder.normalized = embeddings.normalized = layers.plainly_normalized
        feed_forward.activated_product = lambda x, bias, kernel, activation, multiply: multiply(
            activation(tf.nn.bias_add(x, tf.cast(bias, x.dtype))), kernel
        )
    elif gain == "passes compiled by XLA":
        xla.one_pass = written_gradients.one_pass = lambda function: function


# Limits of the machine


def flops_of_row(way, lengths):
    """The minimum number of operations of a row's matrix products, without padding.

    In the last layer these are the keys and values of all tokens, and the rest for [CLS] only.
    Training takes three times the operations of the forward pass.
    """
    from albert_zh.model import modeling

    config = modeling.AlbertConfig.from_json_file(os.path.join(ROOT, way.config))
    hidden, inner = config.hidden_size, config.intermediate_size
    tokens, squares = lengths.mean(), (lengths.astype(float) ** 2).mean()
    whole = tokens * (4 * hidden * hidden + 2 * hidden * inner) + 2 * squares * hidden
    last = tokens * 2 * hidden * hidden + 2 * hidden * (hidden + inner) + 2 * tokens * hidden
    projection = tokens * config.word_width * hidden
    products = (config.num_hidden_layers - 1) * whole + last + projection
    return 2 * products * (3 if way.job == "train" else 1)


if __name__ == "__main__":
    run_program(main)
