r"""Ablation of `--warm_start`: the effect of each part of its initial weights.

    python benchmarks/warm_start.py --records='data/train_*.tfrecord' --held_out=held_out.tfrecord

Trains the same model on the same batches with run_pretraining.py, from initial weights that lack
one part or all parts, and prints the scores of each on held-out text. The records must be created
with --masking=dynamic and the starter model's vocabulary. Finished runs are not repeated.
"""

import argparse
import collections
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

import measuring
import numpy as np

from albert_zh.common import (
    files,
    path_rules,
)
from albert_zh.common.errors import UserError, run_program
from albert_zh.corpus import reader as corpus_reader
from albert_zh.model import modeling, structured_initialization
from albert_zh.model.checkpoints import checkpoint_values, expected_variables
from albert_zh.pretraining import record_files

CONFIG = os.path.join(ROOT, "albert_starter_zh", "albert_config_tiny.json")
PREDICTIONS = 20
SEED = 12345
NOT_OF_RUNS = {"output_dir", "parts"}
EMBEDDINGS = "bert/embeddings/"
ATTENTION = "bert/encoder/layer_shared/attention/self/"


def main():
    """Runs the ablation that the arguments select."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--records", required=True, help="training records, files or patterns of them"
    )
    parser.add_argument("--held_out", required=True, help="records of held-out text")
    parser.add_argument("--output_dir", default="warm_start_ablation", help="folder for the runs")
    parser.add_argument(
        "--max_seq_length", type=int, default=128, help="maximum number of tokens per record"
    )
    parser.add_argument("--steps", type=int, default=1000, help="training steps of each run")
    parser.add_argument("--batch_size", type=int, default=64, help="sequences per step")
    parser.add_argument(
        "--learning_rate", type=float, default=0.0005, help="peak learning rate of each run"
    )
    parser.add_argument("--precision", default="float32", help="precision, see run_pretraining.py")
    parser.add_argument(
        "--parts", default=",".join(PARTS), help="rows of the table, separated by commas"
    )
    arguments = parser.parse_args()
    path_rules.check_arguments(arguments)
    try:
        settings = {name: vars(arguments)[name] for name in set(vars(arguments)) - NOT_OF_RUNS}
        measuring.check_settings(arguments.output_dir, settings)
        show_parts(arguments)
    except UserError as error:
        parser.error(str(error))


def show_parts(arguments):
    """Executes the missing runs and prints the table."""
    values = start_values(arguments)
    print(
        "%-46s %12s %10s"
        % ("held-out masked LM after %d steps" % arguments.steps, "accuracy", "loss")
    )
    for name in arguments.parts.split(","):
        results = train(name, values, arguments)
        accuracy, loss = (results["masked_lm_" + metric] for metric in ("accuracy", "loss"))
        print("%-46s %12.3f %10.2f" % (PARTS[name].title, accuracy, loss), flush=True)


def start_values(arguments):
    """(initial weights of a warm start, usual random weights), {variable name: array} each."""
    config = modeling.AlbertConfig.from_json_file(CONFIG)
    shapes = expected_variables.expected_shapes_by_part(config)
    del shapes["classification"]
    shapes = {name: shape for part in shapes.values() for name, shape in part.items()}
    records = corpus_reader.input_files(arguments.records, "records")
    counts = record_files.piece_counts(
        records, arguments.max_seq_length, PREDICTIONS, config.vocab_size
    )
    warm = structured_initialization.start_values(config, shapes, counts, SEED)
    return warm, structured_initialization.usual_values(config, shapes, SEED)


def train(name, values, arguments):
    """Trains from initial weights without a part; returns {metric: value} on held-out text."""
    folder = os.path.join(arguments.output_dir, name)
    results = os.path.join(folder, "eval_results.txt")
    if not os.path.exists(results):
        start = os.path.join(folder, "start", "albert_model.ckpt")
        os.makedirs(os.path.dirname(start), exist_ok=True)
        checkpoint_values.write_checkpoint(start, PARTS[name].change(*values))
        flags = {
            "bert_config_file": CONFIG,
            "input_file": arguments.records,
            "eval_file": arguments.held_out,
            "output_dir": folder,
            "init_checkpoint": start,
            "do_train": True,
            "do_eval": True,
            "max_seq_length": arguments.max_seq_length,
            "max_predictions_per_seq": PREDICTIONS,
            "train_batch_size": arguments.batch_size,
            "eval_batch_size": arguments.batch_size,
            "optimizer": "adamw",
            "learning_rate": arguments.learning_rate,
            "num_train_steps": arguments.steps,
            "num_warmup_steps": arguments.steps // 2,
            "save_checkpoints_steps": arguments.steps,
            "precision": arguments.precision,
        }
        command = [sys.executable, os.path.join(ROOT, "run_pretraining.py")]
        measuring.run_step(command + ["--%s=%s" % flag for flag in flags.items()])
    lines = dict(line.split(" = ") for line in files.read_lines(results))
    return {metric: float(value) for metric, value in lines.items()}


# The parts


def without(*names):
    """A change that resets some variables to their usual random values."""
    return lambda warm, usual: dict(warm, **{name: usual[name] for name in names})


def without_heads(first, end):
    """A change that resets queries and keys of some heads; `first`, `end`: shares of all heads."""

    def change(warm, usual):
        values = dict(warm)
        for name in (ATTENTION + "query/kernel", ATTENTION + "key/kernel"):
            width = warm[name].shape[1]
            columns = slice(int(first * width), int(end * width))
            values[name] = np.array(warm[name])
            values[name][:, columns] = usual[name][:, columns]
        return values

    return change


Part = collections.namedtuple("Part", "title change")  # change: (warm, usual) -> initial weights
PARTS = collections.OrderedDict(
    [
        ("all", Part("with all parts", without())),
        (
            "neighbours",
            Part("without heads that look at neighbours", without_heads(0, 0.5)),
        ),
        (
            "same_piece",
            Part("without heads that look for the same piece", without_heads(0.5, 0.75)),
        ),
        (
            "positions",
            Part("without sinusoids as positions", without(EMBEDDINGS + "position_embeddings")),
        ),
        ("words", Part("without the wider word table", without(EMBEDDINGS + "word_embeddings"))),
        (
            "projection",
            Part("without the orthogonal projection", without(EMBEDDINGS + "word_embeddings_2")),
        ),
        (
            "bias",
            Part("without frequencies as output bias", without("cls/predictions/output_bias")),
        ),
        ("none", Part("with none (usual random values)", lambda warm, usual: usual)),
    ]
)


if __name__ == "__main__":
    run_program(main)
