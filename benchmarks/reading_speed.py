r"""Training speed of reading comprehension, compared with transformers on the same windows.

    python benchmarks/reading_speed.py --train_file=cmrc2018_train.json --max_seq_length=512
    python benchmarks/reading_speed.py --peer_python=torch_env/bin/python

The windows are created from the file as the command does. "plain" is `--plain=true`: rows padded to
--max_seq_length, nothing compiled. The peers are steps of transformers' question-answering program:
`AlbertForQuestionAnswering` of the same sizes, AdamW, clipped gradients, windows in random order,
padded to --max_seq_length (that program's default) or to the longest window of a batch. Every
variant is a separate process; they take turns in one run, and medians are reported.
"""

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path.insert(0, ROOT)

import measuring
import numpy as np

from albert_zh.common.errors import run_program

STARTER = os.path.join(ROOT, "albert_starter_zh")
CONFIG = os.path.join(STARTER, "albert_config_tiny.json")
SAMPLE = os.path.join(ROOT, "data", "questions_sample", "train.json")
WINDOWS = "windows.npz"  # in the folder that the processes share: the input of the peers
OURS = {
    "plain": {"plain": True},
    "float32": {},
    "bfloat16": {"precision": "bfloat16"},
}
PADDED, LONGEST = "padded to max_seq_length", "padded to the longest"
PEERS = {"transformers, " + padding: padding for padding in (PADDED, LONGEST)}
LEARNING_RATE, NUM_STEPS = 2e-4, 100000


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--train_file", default=SAMPLE, help="questions, as for run_squad.py")
    parser.add_argument(
        "--max_seq_length", type=int, default=256, help="maximum number of tokens per window"
    )
    parser.add_argument(
        "--doc_stride", type=int, default=128, help="tokens between the starts of two windows"
    )
    parser.add_argument("--train_batch_size", type=int, default=16, help="windows per step")
    parser.add_argument("--steps", type=int, default=16, help="steps per turn")
    parser.add_argument("--rounds", type=int, default=3, help="measured turns of each process")
    parser.add_argument("--peer_python", default=sys.executable, help="has torch and transformers")
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    """Prints the table, or serves turns as one of its processes."""
    arguments = parse_arguments()
    if arguments.work in OURS:
        serve_ours(arguments)
    elif arguments.work:
        serve_peer(arguments)
    else:
        with tempfile.TemporaryDirectory() as arguments.folder:
            print_rates(arguments)


def print_rates(arguments):
    """Runs all variants and prints windows per second."""
    measuring.check_python(arguments.peer_python)
    lengths = write_windows(arguments)
    shown = (arguments.train_batch_size, len(lengths), lengths.mean(), measuring.num_cores())
    print("tiny, batch %d, %d windows of %.0f tokens on average, %d cores" % shown)
    commands = {name: command_of(name, sys.executable, arguments) for name in OURS}
    commands = measuring.in_fast_precisions(commands)
    commands.update({name: command_of(name, arguments.peer_python, arguments) for name in PEERS})
    results = measuring.take_turns(commands, arguments.rounds)
    fastest_peer = min(results[name][0] for name in PEERS)
    print("%-40s %10s %24s %6s" % ("training", "windows/s", "x transformers' fastest", "MiB"))
    for name, (seconds, memory, _) in results.items():
        print(
            "%-40s %10.1f %24.2f %6.0f" % (name, 1 / seconds, fastest_peer / seconds, memory),
            flush=True,
        )


def command_of(name, python, arguments):
    """The command line of a process that takes turns."""
    given = {key: value for key, value in vars(arguments).items() if key != "peer_python"}
    words = ["--%s=%s" % item for item in dict(given, work=name).items()]
    return [python, os.path.abspath(__file__)] + words


# The toolkit


def setup_of(arguments, output, **changes):
    """`Setup` of the command's run."""
    from albert_zh.finetuning import flags as finetuning_flags
    from albert_zh.finetuning import runner, setup

    kind = "reading_comprehension"
    options = finetuning_flags.of_settings(
        kind,
        task_name="questions",
        train_file=arguments.train_file,
        max_seq_length=arguments.max_seq_length,
        doc_stride=arguments.doc_stride,
        train_batch_size=arguments.train_batch_size,
        bert_config_file=CONFIG,
        vocab_file=os.path.join(STARTER, "vocab.txt"),
        cached_dir=os.path.join(arguments.folder, "features"),
        output_dir=os.path.join(arguments.folder, output),
        do_train=True,
        **changes,
    )
    finetuning_flags.check_flags(options, kind)
    with contextlib.redirect_stdout(sys.stderr):
        return setup.Setup(options, kind, runner.PARTS)


def write_windows(arguments):
    """Writes the features, and the windows for the peers; returns tokens per window, int [n]."""
    import tensorflow.compat.v1 as tf

    features = setup_of(arguments, "windows").features["train"]
    ids, segments, places = [], [], []
    for record in tf.python_io.tf_record_iterator(features.path):
        columns = tf.train.Example.FromString(record).features.feature
        ids.append(list(columns["input_ids"].int64_list.value))
        segments.append(list(columns["segment_ids"].int64_list.value))
        places.append([columns[n + "_positions"].int64_list.value[0] for n in ("start", "end")])
    lengths = np.array([len(row) for row in ids])
    np.savez(
        os.path.join(arguments.folder, WINDOWS),
        lengths=lengths,
        ids=np.concatenate(ids),
        segments=np.concatenate(segments),
        places=np.array(places),
    )
    return lengths


def parts_of_ours(arguments, setup):
    """(input function, model function) of the command, for a `Setup`."""
    from albert_zh.tasks import input_pipeline, model_fn

    input_fn = input_pipeline.train_input_fn(
        setup.features["train"],
        arguments.max_seq_length,
        arguments.train_batch_size,
        NUM_STEPS,
        seed=1,
        plain=setup.options.plain,
    )
    build = model_fn.model_fn_builder(
        setup.config,
        setup.num_outputs(),
        None,
        LEARNING_RATE,
        NUM_STEPS,
        100,
        False,
        False,
        settings=setup.settings,
        precision=setup.options.precision,
        plain=setup.options.plain,
    )
    return input_fn, build


def serve_ours(arguments):
    """Answers turns with the seconds per window in the graph of the command."""
    import tensorflow.compat.v1 as tf

    from albert_zh.training import allocator
    from albert_zh.training.model_spec import ModeKeys

    changes = OURS[arguments.work]
    allocator.choose_allocator(changes.get("plain", False))
    input_fn, build = parts_of_ours(arguments, setup_of(arguments, arguments.work, **changes))
    with tf.Graph().as_default(), tf.Session() as session:
        batch = tf.data.make_one_shot_iterator(input_fn({})).get_next()
        tf.train.get_or_create_global_step()
        fetches = [build(batch, None, ModeKeys.TRAIN, {}).train_op, batch["input_ids"]]
        session.run(tf.global_variables_initializer())

        def turn():
            begin, num_windows = time.time(), 0
            for _ in range(arguments.steps):
                num_windows += len(session.run(fetches)[-1])
            return (time.time() - begin) / num_windows

        measuring.serve_turns(turn, lambda: measuring.input_wait(session, fetches))


# transformers


def serve_peer(arguments):
    """Answers turns with the seconds per window in transformers."""
    import torch

    step, rows = transformers_step(), batches_of_peer(arguments)
    torch.set_num_threads(measuring.num_cores())

    def turn():
        begin = time.time()
        for _ in range(arguments.steps):
            step(*map(torch.from_numpy, next(rows)))
        return (time.time() - begin) / (arguments.steps * arguments.train_batch_size)

    measuring.serve_turns(turn)


def batches_of_peer(arguments):
    """Yields (ids, mask, segments [B, F], starts, ends [B]) of windows in random order, int64."""
    windows = np.load(os.path.join(arguments.folder, WINDOWS))
    lengths, ends = windows["lengths"], np.cumsum(windows["lengths"])
    draws = np.random.RandomState(1)
    while True:
        rows = draws.choice(len(lengths), arguments.train_batch_size, replace=False)
        is_padded = PEERS[arguments.work] == PADDED
        width = arguments.max_seq_length if is_padded else lengths[rows].max()
        ids, segments = (np.zeros([len(rows), width], np.int64) for _ in range(2))  # [B, F]
        for number, row in enumerate(rows):
            of_row = slice(ends[row] - lengths[row], ends[row])
            ids[number, : lengths[row]] = windows["ids"][of_row]
            segments[number, : lengths[row]] = windows["segments"][of_row]
        mask = (np.arange(width) < lengths[rows][:, None]).astype(np.int64)  # [B, F]
        yield (ids, mask, segments) + tuple(windows["places"][rows].astype(np.int64).T)


def transformers_step():
    """The function that trains transformers' ALBERT on a batch."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    with open(CONFIG, encoding="utf-8") as stream:
        sizes = json.load(stream)
    sizes.update(hidden_act="gelu_new", attn_implementation="sdpa")
    config = transformers.AlbertConfig(**sizes)
    model = transformers.AlbertForQuestionAnswering(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01)

    def step(ids, mask, segments, starts, ends):
        places = {"start_positions": starts, "end_positions": ends}
        model(ids, mask, segments, **places).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


if __name__ == "__main__":
    run_program(main)
