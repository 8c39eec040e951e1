"""Cost of relative positions (NEZHA) compared with absolute ones: time and memory of a step.

    python benchmarks/relative_positions.py
    python benchmarks/relative_positions.py --lengths=128 --rounds=2

A step computes the encoder and its gradient on full rows, with --tokens per batch, for a model with
the sizes of the config and random weights. Each variant runs in a separate process; they take
turns, and medians of the processor time are reported.
"""

import argparse
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

import measuring
import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.common.errors import run_program
from albert_zh.model import modeling

VARIANTS = ("absolute", "relative")


def main():
    """Prints a line for each length and variant."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--config", default="albert_config/albert_config_tiny.json", help="config JSON of the model"
    )
    parser.add_argument(
        "--lengths", default="128,512,1024", help="tokens per row, separated by commas"
    )
    parser.add_argument("--tokens", type=int, default=4096, help="tokens per batch")
    parser.add_argument("--rounds", type=int, default=3, help="measured turns of each variant")
    parser.add_argument(
        "--variants",
        default=",".join(VARIANTS),
        help="variants to compare, separated by commas; the first one is the reference",
    )
    parser.add_argument("--turns_of", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.turns_of:
        variant, length = arguments.turns_of.split(",")
        measuring.serve_turns(turn_of(arguments, variant, int(length)))
        return
    print("%6s %-10s %10s %8s %8s" % ("length", "positions", "seconds", "x", "MiB"))
    for length in arguments.lengths.split(","):
        names = arguments.variants.split(",")
        commands = {
            name: [sys.executable, os.path.abspath(__file__), "--config=" + arguments.config,
                   "--tokens=%d" % arguments.tokens, "--turns_of=%s,%s" % (name, length)]
            for name in names
        }  # fmt: skip
        results = measuring.take_turns(commands, arguments.rounds)
        for name in names:
            seconds, memory = results[name][:2]
            ratio = seconds / results[names[0]][0]
            print("%6s %-10s %10.2f %8.2f %8.0f" % (length, name, seconds, ratio, memory))


def turn_of(arguments, variant, length):
    """A function that runs a step and returns its processor time in seconds."""
    config = modeling.AlbertConfig.from_json_file(os.path.join(ROOT, arguments.config))
    config.max_position_embeddings = max(length, config.max_position_embeddings)
    config.use_relative_position = variant != "absolute"
    generator = np.random.RandomState(1)
    shape = [arguments.tokens // length, length]
    ids = tf.constant(generator.randint(200, config.vocab_size, shape), tf.int32)
    tf.train.get_or_create_global_step()
    model = modeling.AlbertModel(config, True, ids, tf.ones_like(ids))
    loss = tf.reduce_sum(tf.square(model.get_sequence_output()))
    gradients = [g for g in tf.gradients(loss, tf.trainable_variables()) if g is not None]
    # TensorFlow would skip computations whose result is not fetched.
    step = tf.add_n([tf.reduce_sum(tf.convert_to_tensor(gradient)) for gradient in gradients])
    session = tf.Session(
        config=tf.ConfigProto(intra_op_parallelism_threads=1, inter_op_parallelism_threads=1)
    )
    session.run(tf.global_variables_initializer())

    def turn():
        start = time.process_time()
        session.run(step)
        return time.process_time() - start

    return turn


if __name__ == "__main__":
    tf.disable_eager_execution()
    run_program(main)
