"""Shared code of benchmarks: processes that take turns, memory, the peak rate of the machine."""

import collections
import os
import shutil
import statistics
import subprocess
import sys
import time

KIBIBYTES = 1024.0  # in a MiB
_MATRIX_SIZE = 2048


def take_turns(commands, rounds):
    """Runs processes turn by turn.

    Args:
        commands: {name: command line}; each process must call `serve_turns`.
        rounds: turns of each process.

    Returns:
        {name: (median seconds per row, peak MiB, share of time waiting for input)}.
    """
    processes = {
        name: subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name, command in commands.items()
    }

    def answer(process, request):
        process.stdin.write(request + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            sys.exit("%s: it ended, its error stands above" % " ".join(process.args))
        return float(line)

    seconds = {name: [] for name in processes}
    for number in range(rounds + 1):
        for name, process in processes.items():
            taken = answer(process, "turn")
            if number:  # the first turn builds and compiles
                seconds[name].append(taken)
    results = {}
    for name, process in processes.items():
        others = [answer(process, request) for request in ("memory", "input wait")]
        results[name] = [statistics.median(seconds[name])] + others
        process.stdin.close()
        process.wait()
    return results


def serve_turns(turn, wait=lambda: float("nan")):
    """Serves a process that takes turns: answers one request per input line until the input ends.

    Args:
        turn: function that does the work of a turn and returns the seconds per row.
        wait: function that returns the share of a step that is spent waiting for input.
    """
    answers = {"turn": turn, "memory": peak_memory, "input wait": wait}
    for request in sys.stdin:
        print(answers[request.strip()](), flush=True)


def run_step(command, stdout=None, **settings):
    """Runs a program to completion.

    Args:
        command: list of str.
        stdout, **settings: arguments of `subprocess.run`.

    Returns:
        its output, if `stdout` is a pipe.

    Raises:
        UserError: if it fails.
    """
    from albert_zh.common.errors import UserError  # as in `check_settings`

    done = subprocess.run(command, stdout=stdout, **settings)
    if done.returncode:
        where = getattr(stdout, "name", "the lines above")
        name = os.path.basename(command[1])
        raise UserError("%s ended with status %d: see %s" % (name, done.returncode, where))
    return done.stdout


def check_python(path):
    """Raises `UserError` if --peer_python is not a program; None: the flag is not given."""
    from albert_zh.common.errors import UserError  # as in `check_settings`

    if path is not None and not shutil.which(path):
        raise UserError(
            "--peer_python=%s: no such program, expected the Python of another environment" % path
        )


def check_settings(folder, settings):
    """Ensures that all runs in a folder of results have the same settings.

    Args:
        folder: path of the folder, created if missing.
        settings: {name: value}, of JSON's types.

    Raises:
        UserError: if the folder has runs with other settings.
    """
    from albert_zh.common import files, output_files, validation
    from albert_zh.common.errors import (
        UserError,  # not at the top: peers import this file in other environments
    )

    path = os.path.join(folder, "settings.json")
    former = settings
    if os.path.exists(path):
        former = files.read_json(path, validation.record(), "remove the folder")
    for name, value in settings.items():
        if former.get(name, value) != value:  # earlier versions recorded fewer
            raise UserError(
                "--output_dir=%s holds runs of other %s (%s, now %s): name another folder for these"
                % (folder, name, former[name], value)
            )
    output_files.write_json(path, settings)


def peak_memory():
    """Peak memory in MiB. getrusage would also count the memory of the parent process."""
    with open("/proc/self/status", encoding="utf-8") as lines:
        return next(int(line.split()[1]) for line in lines if "VmHWM" in line) / KIBIBYTES


def num_cores():
    """The number of cores that this process may run on."""
    return len(os.sched_getaffinity(0))


def in_fast_precisions(ways):
    """Skips variants whose precision the processor has no instructions for, and says so.

    Args:
        ways: {name: anything}; names of variants in bfloat16 contain "bfloat16".

    Returns:
        dict, a subset of `ways`.
    """
    from albert_zh.common import cpu_precision

    if cpu_precision.has_instructions("bfloat16"):
        return ways
    left_out = [name for name in ways if "bfloat16" in name]
    if left_out:
        print("this processor has no bfloat16, left out: %s" % "; ".join(left_out))
    return {name: way for name, way in ways.items() if name not in left_out}


def matrix_peaks(num_threads=0):
    """{precision: operations per second} of a product of two large matrices, best of several."""
    import tensorflow.compat.v1 as tf

    from albert_zh.common import cpu_precision

    peaks = {}
    tf.disable_eager_execution()
    settings = tf.ConfigProto(intra_op_parallelism_threads=num_threads)
    for name in filter(cpu_precision.has_instructions, ("float32", "bfloat16")):
        with tf.Graph().as_default(), tf.Session(config=settings) as session:
            one = tf.get_variable(
                "one", [_MATRIX_SIZE, _MATRIX_SIZE], tf.as_dtype(name), use_resource=True
            )
            product = tf.matmul(one, one + 1.0)
            session.run(tf.global_variables_initializer())
            seconds = []
            for _ in range(8):
                begin = time.time()
                session.run(product.op)
                seconds.append(time.time() - begin)
        peaks[name] = 2.0 * _MATRIX_SIZE**3 / min(seconds)
    return peaks


def input_wait(session, fetches, num_steps=8):
    """The share of a step in which a session waits for its input.

    Args:
        session: `tf.Session` whose graph reads from a one-shot iterator.
        fetches: fetches of a step.
        num_steps: number of steps to trace.

    Returns:
        float, 0 to 1.
    """
    begin = time.time()
    seconds = seconds_by_operation(session, fetches, num_steps)
    return seconds["IteratorGetNext"] / (time.time() - begin)


def seconds_by_operation(session, fetches, num_steps=8):
    """Seconds that each type of operation takes in some steps.

    Args:
        session: `tf.Session`.
        fetches: fetches of a step.
        num_steps: number of steps to trace.

    Returns:
        `Counter` {type, with fused operations: seconds}.
    """
    seconds = collections.Counter()
    for trace in traces(session, fetches, num_steps):
        types = {
            node.name: type_of(node) for graph in trace.partition_graphs for node in graph.node
        }
        for device in trace.step_stats.dev_stats:
            for node in device.node_stats:
                seconds[types.get(node.node_name, node.node_name)] += seconds_of(node)
    return seconds


def traces(session, fetches, num_steps):
    """Yields the `RunMetadata` of one step after another: graphs, times and shapes."""
    import tensorflow.compat.v1 as tf

    options = tf.RunOptions(trace_level=tf.RunOptions.SOFTWARE_TRACE, output_partition_graphs=True)
    for _ in range(num_steps):
        trace = tf.RunMetadata()
        session.run(fetches, options=options, run_metadata=trace)
        yield trace


def seconds_of(stats):
    """Seconds of an operation in a trace."""
    return (stats.op_end_rel_micros - stats.op_start_rel_micros) / 1e6


def type_of(node):
    """The type of a graph's node, with the operations fused into it."""
    merged = node.attr["fused_ops"].list.s if "fused_ops" in node.attr else ()
    return " + ".join([node.op] + [name.decode() for name in merged])
