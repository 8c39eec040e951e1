r"""Speed and memory of a pre-training step, compared with a plain implementation.

    python benchmarks/pretraining.py
    python benchmarks/pretraining.py --tf1_python=.venv-tf1/bin/python
    python benchmarks/pretraining.py --growth --chart=docs/images/pretraining_speed.png

"plain" is the step as written in albert_zh, on the installed TensorFlow: every sequence padded to
S, all P predictions, one-hot labels [B * P, V], float32, nothing recomputed, compiled or split into
parts. The other rows are the step of run_pretraining.py: batches by length, only the used
predictions, and in the last layer only their positions. With --tf1_python, "tf 1.15" is the plain
step on TensorFlow 1.15, the version that albert_zh runs on. Each variant runs in a separate
process; the processes take turns, and medians are reported. "input" is the share of a step in which
it waits for its batch.
"""

import argparse
import collections
import os
import statistics
import sys
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

import measuring
import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.common import (
    path_rules,
    plotting,
)
from albert_zh.common.errors import run_program
from albert_zh.corpus import (
    masking,
    tfrecords,
)
from albert_zh.model import (
    modeling,
    optimization,
)
from albert_zh.pretraining import input_pipeline as pretraining_input
from albert_zh.pretraining import model_fn as pretraining_model_fn
from albert_zh.pretraining import model_settings, record_files
from albert_zh.training import allocator
from albert_zh.training.hooks import PROGRESS_TENSORS
from albert_zh.training.model_spec import ModeKeys

LEARNING_RATE = 1e-4
MASK_ID = 103
SPECIAL_IDS = 106  # smaller ids are not words
SHOWN_TYPES = 12
GROWTH_BATCHES = (8, 16, 32, 64, 128, 256)
GROWTH_LENGTHS = (64, 128, 256, 512)
GROWTH_CONFIGS = ("tiny", "small_google", "base", "large")
GROWTH_STEPS = 4  # steps per turn; all sequences are full, so all steps are alike
GROWTH_TURNS = 3

Setting = collections.namedtuple("Setting", "config batch_size max_seq_length max_predictions")
Step = collections.namedtuple("Step", "session fetches per_turn")  # steps per turn


def parse_arguments():
    """Returns the arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--config", default="albert_config/albert_config_tiny.json", help="config JSON of the model"
    )
    parser.add_argument("--batch_size", type=int, default=32, help="sequences per step")
    parser.add_argument(
        "--max_seq_length", type=int, default=128, help="maximum number of tokens per sequence (S)"
    )
    parser.add_argument(
        "--max_predictions",
        type=int,
        default=20,
        help="maximum number of masked tokens per sequence (P)",
    )
    parser.add_argument("--mean_length", type=float, default=0.75, help="mean length as share of S")
    parser.add_argument(
        "--records", help="a --masking=dynamic file to train on, instead of random words"
    )
    parser.add_argument("--rounds", type=int, default=5, help="measured turns of each process")
    parser.add_argument("--growth", action="store_true", help="vary batch, length, model instead")
    parser.add_argument("--chart", help="PNG to write the growth to")
    parser.add_argument("--profile", action="store_true", help="also print the time of operations")
    parser.add_argument("--tf1_python", help="an interpreter that has TensorFlow 1.15")
    parser.add_argument("--turns_of", help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    """Prints the measurements that the arguments select."""
    arguments = parse_arguments()
    path_rules.check_arguments(arguments)
    setting = Setting(
        modeling.AlbertConfig.from_json_file(os.path.join(ROOT, arguments.config)),
        arguments.batch_size,
        arguments.max_seq_length,
        arguments.max_predictions,
    )
    with tempfile.TemporaryDirectory() as folder:
        if arguments.turns_of:
            step = build_step(setting, arguments.turns_of, records_of(arguments, setting, folder))
            measuring.serve_turns(
                lambda: seconds_of(step),
                lambda: measuring.input_wait(step.session, step.fetches, step.per_turn),
            )
            return
        show = show_growth if arguments.growth else compare_steps
        show(setting, arguments, folder)


def compare_steps(setting, arguments, folder):
    """Prints steps per second, ratios and memory of each variant."""
    ways = measuring.in_fast_precisions(dict.fromkeys(("plain", "float32", "bfloat16")))
    if arguments.profile:
        records = records_of(arguments, setting, folder)
        show_profile({way: build_step(setting, way, records) for way in ways})
    print(
        "%s, batch %d, S %d, P %d, sequences of %s of S on average, %d cores"
        % (
            arguments.config,
            setting.batch_size,
            setting.max_seq_length,
            setting.max_predictions,
            "their own share" if arguments.records else "%d%%" % (100 * arguments.mean_length),
            os.cpu_count(),
        )
    )
    own = [os.path.abspath(__file__)] + sys.argv[1:]
    commands = {way: [sys.executable] + own + ["--turns_of=" + way] for way in ways}
    if arguments.tf1_python:
        commands["tf 1.15"] = [arguments.tf1_python] + own + ["--turns_of=plain"]
    results = measuring.take_turns(commands, arguments.rounds)
    print("%-10s %12s %14s %12s %8s" % ("", "steps/s", "times plain", "peak MiB", "input"))
    for name, (seconds, memory, wait) in results.items():
        columns = (1 / seconds, results["plain"][0] / seconds, memory, 100 * wait)
        print("%-10s %12.2f %14.2f %12.0f %7.1f%%" % ((name,) + columns))


def show_profile(steps):
    """Prints the types of operations that take most of the time of a step."""
    for way, step in steps.items():
        seconds = measuring.seconds_by_operation(step.session, step.fetches, step.per_turn)
        for kind, taken in seconds.most_common(SHOWN_TYPES):
            share = 100 * taken / sum(seconds.values())
            print("%-10s %5.1f%% %8.2f ms  %s" % (way, share, 1e3 * taken / step.per_turn, kind))


def records_of(arguments, setting, folder):
    """The `RecordSource` of the file in the arguments, or of a file of random words."""
    if not arguments.records:
        return write_records(setting, arguments.mean_length, folder)
    about = record_files.inspected(
        [arguments.records], setting.max_seq_length, setting.max_predictions, "records"
    )
    return source_of(about.files, sum(about.counts), setting)


def write_records(setting, mean_length, folder):
    """Writes unmasked records of random words, with lengths uniform around the mean."""
    generator = np.random.RandomState(1)
    count, length = max(2048, 4 * setting.batch_size), setting.max_seq_length
    spread = min(mean_length, 1 - mean_length)
    shares = generator.uniform(mean_length - spread, mean_length + spread, count)
    lengths = np.maximum(8, (shares * length).astype(np.int64))[:, None]
    place = np.arange(length)
    mask = (place < lengths).astype(np.int64)
    ids = generator.randint(SPECIAL_IDS, setting.config.vocab_size, (count, length)) * mask
    features = {
        "input_ids": ids,
        "input_mask": mask,
        "segment_ids": mask * (place > lengths // 2),
        "token_boundary": mask,
        "next_sentence_labels": generator.randint(0, 2, (count, 1)),
    }
    path = os.path.join(folder, "records_%d.tfrecord" % length)
    with open(path, "wb") as handle:
        handle.writelines(tfrecords.frame_records(tfrecords.encode_examples(features)))
    return source_of([path], count, setting)


def source_of(paths, num_records, setting):
    """The `RecordSource` of files of unmasked records."""
    return pretraining_input.RecordSource(
        files=paths,
        num_records=num_records,
        record_bytes=0,
        max_seq_length=setting.max_seq_length,
        max_predictions=setting.max_predictions,
        masking=masking.MaskingChoice(
            0.15, setting.max_predictions, masking.WHOLE_WORDS, False, False
        ),
        mask_id=MASK_ID,
        vocab_size=setting.config.vocab_size,
        is_static=False,
    )


def build_step(setting, way, records):
    """A training step in a separate session, which has already run once."""
    is_plain = way == "plain"
    allocator.choose_allocator(is_plain)
    with tf.Graph().as_default():
        source = records._replace(is_static=is_plain)
        dataset = pretraining_input.training_batches(
            source, setting.batch_size, 1, 0, pack_by_length=not is_plain
        )
        features = tf.data.make_one_shot_iterator(dataset).get_next()
        tf.train.get_or_create_global_step()
        train_op = (plain_step if is_plain else our_step)(setting.config, features, way)
        shown = tf.get_collection(PROGRESS_TENSORS)  # a real run fetches these in each step
        session = tf.Session()
        session.run(tf.global_variables_initializer())
    # Batches by length differ from each other, so a turn has as many as a window.
    per_turn = 2 if is_plain else max(1, pretraining_input.WINDOW // setting.batch_size)
    step = Step(session, [train_op, features["input_mask"], shown], per_turn)
    session.run(step.fetches)
    return step


def our_step(config, features, precision):
    """The train op of run_pretraining.py."""
    settings = model_settings.ModelSettings(
        learning_rate=LEARNING_RATE,
        num_train_steps=1000,
        num_warmup_steps=10,
        optimizer="lamb",
        poly_power=1.0,
        start_warmup_step=0,
        gradient_accumulation_steps=1,
        precision=precision,
        recompute=False,
        plain=False,
        skip_nan_steps=False,
        use_tpu=False,
        replaced_token_weight=0.0,
        sentence_name="next_sentence",
    )
    model_fn = pretraining_model_fn.model_fn_builder(config, settings, None)
    return model_fn(features, None, ModeKeys.TRAIN, {}).train_op


def plain_step(config, features, way):
    """The train op as written in albert_zh: one-hot labels, no optimizations."""
    del way
    model = modeling.AlbertModel(
        config,
        True,
        features["input_ids"],
        features["input_mask"],
        features["segment_ids"],
        scope=config.scope,
        plain=True,
    )
    head = modeling.masked_lm_head(
        config,
        model,
        features["masked_lm_positions"],
        features["masked_lm_ids"],
        features["masked_lm_weights"],
    )
    labels = tf.one_hot(tf.reshape(features["masked_lm_ids"], [-1]), config.vocab_size)
    losses = -tf.reduce_sum(labels * head.log_probs, axis=-1)
    weights = tf.reshape(features["masked_lm_weights"], [-1])
    masked_lm_loss = tf.reduce_sum(weights * losses) / (tf.reduce_sum(weights) + 1e-5)
    order = modeling.sentence_order_head(
        config, model.get_pooled_output(), features["next_sentence_labels"]
    )
    return optimization.create_optimizer(
        masked_lm_loss + order.loss, LEARNING_RATE, 1000, 10, False, "lamb"
    )


def seconds_of(step):
    """Seconds per step, averaged over a turn."""
    begin = time.time()
    for _ in range(step.per_turn):
        step.session.run(step.fetches)
    return (time.time() - begin) / step.per_turn


def show_growth(setting, arguments, folder):
    """Prints and draws examples per second by batch and length, and the cost of models."""
    tiny = setting.config
    by_batch = show_rates(
        "batch", {batch: Setting(tiny, batch, 128, 20) for batch in GROWTH_BATCHES}, folder
    )
    by_length = show_rates(
        "S",
        {length: Setting(tiny, 32, length, length * 20 // 128) for length in GROWTH_LENGTHS},
        folder,
    )
    peak = measuring.matrix_peaks()["float32"]
    print("\nmatrix products on this machine: %.0f GFLOPS in float32" % (peak / 1e9))
    print("%-14s %12s %14s %16s" % ("model", "parameters", "tokens/s", "share of peak"))
    models = {}
    for name in GROWTH_CONFIGS:
        path = os.path.join(ROOT, "albert_config", "albert_config_%s.json" % name)
        config = modeling.AlbertConfig.from_json_file(path)
        rate, parameters = rate_of(Setting(config, 8, 128, 20), folder)
        share = rate * flops_of_step(config, 8, 128, 20) / peak
        models[name] = (parameters, rate * 8 * 128, share)
        columns = (name,) + models[name][:2] + (100 * share,)
        print("%-14s %12d %14.0f %15.0f%%" % columns, flush=True)
    if arguments.chart:
        draw_growth(arguments.chart, by_batch, by_length, models)


def show_rates(title, settings, folder):
    """Prints and returns {value: examples per second} of {value: setting}."""
    print("\n%-8s %16s" % (title, "examples/s"))
    rates = {}
    for value, setting in settings.items():
        rates[value] = setting.batch_size * rate_of(setting, folder)[0]
        print("%-8d %16.1f" % (value, rates[value]), flush=True)
    return rates


def rate_of(setting, folder):
    """(steps/s, parameters) of the float32 step of run_pretraining.py on full sequences."""
    step = build_step(setting, "float32", write_records(setting, 1.0, folder))
    with step.session.graph.as_default():
        parameters = modeling.count_parameters(tf.trainable_variables())
    step = step._replace(per_turn=GROWTH_STEPS)
    seconds = statistics.median(seconds_of(step) for _ in range(GROWTH_TURNS))
    step.session.close()
    return 1 / seconds, parameters


def flops_of_step(config, batch_size, length, predictions):
    """Floating-point operations of a step's matrix products: three times the forward pass.

    In the last block, keys and values are needed for all tokens, the rest only for the tokens from
    which words are predicted.
    """
    tokens, kept = batch_size * length, batch_size * (1 + predictions)
    hidden, inner, width = config.hidden_size, config.intermediate_size, config.word_width
    layer = 2 * (4 * hidden * hidden + 2 * hidden * inner / config.ffn_groups)
    attention = 4 * length * hidden
    blocks = config.num_hidden_layers * config.inner_group_num
    keys_and_values = 4 * hidden * hidden
    encoder = tokens * ((blocks - 1) * (layer + attention) + keys_and_values + 2 * width * hidden)
    encoder += kept * (layer - keys_and_values + attention)
    head = batch_size * predictions * 2 * (hidden * hidden + width * hidden)
    head += batch_size * predictions * 2 * width * config.vocab_size
    return 3 * (encoder + head)


def draw_growth(path, by_batch, by_length, models):
    """Draws the three tables as a PNG."""
    figure, axes = plotting.subplots(1, 3, figsize=(13, 4))
    for axis, values, label in ((axes[0], by_batch, "batch"), (axes[1], by_length, "S")):
        axis.plot(list(values), list(values.values()), "o-")
        axis.set_xscale("log", base=2)
        axis.set_xticks(list(values), [str(value) for value in values])
        axis.set_xlabel(label)
        axis.set_ylabel("examples/s (tiny)")
        axis.set_ylim(bottom=0)
    labels = ["%s\n%.1f M" % (name, models[name][0] / 1e6) for name in models]
    bars = axes[2].bar(labels, [tokens for _, tokens, _ in models.values()])
    axes[2].bar_label(bars, ["%.0f%% of peak" % (100 * share) for _, _, share in models.values()])
    axes[2].set_yscale("log")
    axes[2].margins(y=0.1)
    axes[2].set_xlabel("parameters")
    axes[2].set_ylabel("tokens/s")
    figure.tight_layout()
    plotting.save(figure, path)


if __name__ == "__main__":
    run_program(main)
