r"""Peak memory and time of training steps with and without --recompute.

    python benchmarks/recompute.py --config=albert_config/albert_config_xlarge.json \
        --batch_size=32 --max_seq_length=128
    python benchmarks/recompute.py --config=albert_config/albert_config_base.json \
        --batch_size=8 --max_seq_length=512

Each setting trains a classifier from random weights in a separate process, with the memory settings
of the training commands. Steps are timed after a first step, which prepares the graph. The peak is
the memory of the whole process, including TensorFlow, weights and optimizer state.
"""

import argparse
import json
import os
import subprocess
import sys
import time

import measuring

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from albert_zh.common.errors import UserError, run_program

NUM_LABELS = 2
LEARNING_RATE = 1e-4


def main():
    """Measures both settings and prints them with their ratios."""
    arguments = parsed_arguments()
    if arguments.measure:
        print(json.dumps(measured(arguments, arguments.measure == "recompute")))
        return
    print(
        "%s, batch %d, S %d, %d steps"
        % (arguments.config, arguments.batch_size, arguments.max_seq_length, arguments.steps)
    )
    print("%-14s %12s %12s %12s" % ("", "peak MiB", "s per step", "loss"))
    plain, saving = (measured_alone(setting) for setting in ("plain", "recompute"))
    print(
        "recompute: %.2f times less memory, %.2f times the time"
        % (
            plain["peak_mib"] / saving["peak_mib"],
            saving["seconds"] / plain["seconds"],
        )
    )


def parsed_arguments():
    """The arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--config",
        default="albert_config/albert_config_xlarge.json",
        help="config JSON of the model",
    )
    parser.add_argument("--batch_size", type=int, default=32, help="examples per step")
    parser.add_argument("--max_seq_length", type=int, default=128, help="tokens per example")
    parser.add_argument("--steps", type=int, default=1, help="number of steps to time")
    parser.add_argument("--measure", choices=("plain", "recompute"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    for name in ("batch_size", "max_seq_length", "steps"):
        if getattr(arguments, name) < 1:
            raise UserError("--%s=%d: expected at least 1" % (name, getattr(arguments, name)))
    return arguments


def measured_alone(setting):
    """Calls `measured` in a separate process, prints a row and returns the result."""
    command = [sys.executable, os.path.abspath(__file__)] + sys.argv[1:]
    command.append("--measure=" + setting)
    quiet = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3")
    output = measuring.run_step(command, env=quiet, stdout=subprocess.PIPE)
    result = json.loads(output.decode("utf-8").splitlines()[-1])
    print(
        "%-14s %12.0f %12.2f %12.6f"
        % (setting, result["peak_mib"], result["seconds"], result["loss"])
    )
    return result


def measured(arguments, recompute):
    """Peak memory of this process, time per training step, and the loss in the last step."""
    import numpy as np
    import tensorflow.compat.v1 as tf

    from albert_zh.model import modeling, optimization
    from albert_zh.training import allocator

    allocator.choose_allocator(plain=False)
    config = modeling.AlbertConfig.from_json_file(arguments.config)
    shape = (arguments.batch_size, arguments.max_seq_length)
    generator = np.random.RandomState(1)
    with tf.Graph().as_default():
        tf.set_random_seed(1)
        tf.train.get_or_create_global_step()
        model = modeling.AlbertModel(
            config,
            is_training=True,
            input_ids=tf.constant(generator.randint(0, config.vocab_size, shape), tf.int32),
            recompute=recompute,
        )
        labels = tf.constant(generator.randint(0, NUM_LABELS, shape[:1]), tf.int32)
        head = modeling.classification_head(
            config, model.get_pooled_output(), labels, NUM_LABELS, is_training=True
        )
        train_op = optimization.create_adamw_optimizer(
            head.loss, LEARNING_RATE, 100, 10, use_tpu=False
        )
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            step = session.make_callable([head.loss, train_op])
            step()
            begin = time.time()
            for _ in range(arguments.steps):
                loss, _ = step()
            seconds = (time.time() - begin) / arguments.steps
    return {"peak_mib": measuring.peak_memory(), "seconds": seconds, "loss": float(loss)}


if __name__ == "__main__":
    run_program(main)
