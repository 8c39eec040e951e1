"""Speed, size and accuracy of exported .tflite files, compared with the original's recipe.

    python benchmarks/tflite.py                               # albert_tiny with random weights
    python benchmarks/tflite.py --quick                       # fewer lengths and rounds
    python benchmarks/tflite.py --models=AFQMC=afqmc_output/best,THUCNews=topics_output/best \\
        --data_dirs=DATA/afqmc,DATA/thucnews --chart=docs/images/tflite.png
    python benchmarks/tflite.py --bulk --busy_processes=2     # int8 through Predictor, pairs/s

LiteRT (ai-edge-litert) is skipped if it is not installed; with TensorFlow 2.15 TensorFlow's
interpreter is measured as well. Every file is loaded by a separate process; rounds go through all
files in turn, so that ratios come from one run. "recipe" is the pre-training graph that
freeze_graph and tflite_convert write, as in albert_zh's README; "tiny" is albert_tiny with random
weights, if no model is given. With --data_dirs (one task folder per model) the accuracy of each
file is measured on 2,000 rows of the dev file, for the task that the model's fine_tuning.json
names.

--bulk measures something else: predictions of the pairs of data/pairs_sample with `Predictor`,
including tokenization, in turns with LiteRT's interpreter alone (one thread, tokens already
computed, each pair at its own length, shortest first). With --busy_processes every round is
repeated while that many processes keep the cores busy.
"""

import argparse
import collections
import multiprocessing
import os
import random
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

import export_accuracy
from export_accuracy import run_quietly
import measuring
import numpy as np
import tflite_bulk

from albert_zh.common import path_rules, plotting
from albert_zh.common.errors import run_program
from albert_zh.model.checkpoints import model_writer

INPUTS = "input_ids,input_mask,segment_ids,masked_lm_positions,masked_lm_ids,masked_lm_weights"
RECIPE_SHAPES = "1,128:1,128:128:1,128:1,128:1,128"
QUANTIZATIONS = ("none", "float16", "dynamic", "int8")
LENGTHS = ("32", "64", "128", "dynamic")
TOKENS_OF_DYNAMIC = 28
TINY = {
    "vocab_size": 21128,
    "hidden_size": 312,
    "embedding_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 12,
    "intermediate_size": 1248,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
}
INVOCATIONS, ROUNDS = 10, 15  # invocations per round; rounds
MAX_DEV_ROWS = 2000
Result = collections.namedtuple("Result", "model name runtime threads tokens megabytes ms memory")
RUNTIMES = ("LiteRT", "TensorFlow")


def parsed_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", help="NAME=FOLDER,... of fine-tuned classifiers")
    parser.add_argument("--data_dirs", help="task folder of each model, to measure accuracy")
    parser.add_argument("--chart", help="PNG file to draw size, latency and accuracy to")
    parser.add_argument("--quick", action="store_true", help="length 128 and dynamic, 3 rounds")
    parser.add_argument("--bulk", action="store_true", help="pairs/s of int8 through Predictor")
    parser.add_argument("--busy_processes", type=int, default=0, help="with --bulk: to load cores")
    arguments = parser.parse_args()
    path_rules.check_arguments(arguments)
    if arguments.busy_processes and not arguments.bulk:
        parser.error("--busy_processes: it goes with --bulk")
    return arguments


def main():
    arguments = parsed_arguments()
    with tempfile.TemporaryDirectory() as work:
        models = export_accuracy.given_models(arguments.models)
        if arguments.bulk:
            phases = [0] + [arguments.busy_processes] * (arguments.busy_processes > 0)
            rounds = 3 if arguments.quick else ROUNDS
            folder = next(iter(models.values()), None)
            tflite_bulk.print_bulk(work, folder, phases, rounds, available_runtimes())
        else:
            print_all(work, models, arguments)


def print_all(work, models, arguments):
    """Prints latencies, ratios and accuracies of all exports of all models; draws the chart.

    Args:
        work: folder for files.
        models: {name: folder}.
        arguments: arguments of the command line.
    """
    data_dirs = (arguments.data_dirs or "").split(",") if arguments.data_dirs else []
    data_dirs = dict(zip(models, data_dirs))
    if "tiny" not in models:
        models["tiny"] = random_model(os.path.join(work, "tiny"))
    lengths = LENGTHS[2:] if arguments.quick else LENGTHS
    exported, results = {}, []
    for model, folder in models.items():
        texts = os.path.join(work, model + ".txt")
        write_texts(texts, folder, data_dirs.get(model))
        target = os.path.join(work, "exported", model)
        exported[model] = export_all(folder, target, lengths, texts)
    recipe = {"recipe": recipe_file(os.path.join(work, "recipe"))}
    for runtime in available_runtimes():
        for threads in (1, 2):
            sets = dict(exported, albert_zh=recipe)
            rounds = 3 if arguments.quick else ROUNDS
            results += measured(sets, runtime, threads, rounds)
    print_table(results)
    print_ratios(results, next(iter(models)))
    accuracies = {
        model: export_accuracy.measured_accuracies(
            models[model], exported[model], data_dir, MAX_DEV_ROWS
        )
        for model, data_dir in data_dirs.items()
    }
    if accuracies:
        print_accuracies(accuracies)
    if arguments.chart:
        draw(results, accuracies, arguments.chart)


# Files


def random_model(folder):
    """A model folder of albert_tiny's size with a classifier of 10 classes; returns its path."""
    write_random_model(folder, ("classification",), 10)
    return folder


def write_random_model(folder, heads, num_labels=None):
    """Writes config, random weights and a vocabulary of single characters."""
    import tensorflow.compat.v1 as tf

    from albert_zh.common import (
        errors,  # noqa: F401 (quietens TensorFlow)
        output_files,
    )
    from albert_zh.model import inference_graph, modeling

    os.makedirs(folder)
    output_files.write_json(os.path.join(folder, "albert_config.json"), TINY)
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokens += [chr(0x4E00 + number) for number in range(TINY["vocab_size"] - len(tokens))]
    with output_files.atomic_write(os.path.join(folder, "vocab.txt")) as handle:
        handle.write("\n".join(tokens) + "\n")
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(1)
        inference_graph.build(modeling.AlbertConfig.from_dict(TINY), heads, num_labels)
        session.run(tf.global_variables_initializer())
        values = session.run({v.op.name: v for v in tf.trainable_variables()})
    model_writer.write_model_checkpoint(folder, values)


def export_all(folder, target, lengths, texts):
    """Exports a model in all ways; returns {name: path} with names such as "int8 128"."""
    os.makedirs(target)
    paths = collections.OrderedDict()
    for quantize in QUANTIZATIONS:
        for length in lengths:
            path = os.path.join(target, "%s_%s.tflite" % (quantize, length))
            run_quietly(
                sys.executable,
                os.path.join(ROOT, "export_model.py"),
                "--model_dir=" + folder,
                "--format=tflite",
                "--quantize=" + quantize,
                "--seq_length=" + length,
                "--output=" + path,
                "--representative_texts=" + texts,
            )
            paths["%s %s" % (quantize, length)] = path
            print("exported %s" % path, file=sys.stderr, flush=True)
    return paths


def write_texts(path, folder, data_dir):
    """Writes calibration texts for int8: from the task's training file, or random characters."""
    if data_dir:
        export_accuracy.write_texts(path, folder, data_dir)
        return
    generator = random.Random(1)
    with open(path, "w", encoding="utf-8") as handle:
        for _ in range(export_accuracy.NUM_TEXTS):
            length = generator.randint(10, 40)
            text = "".join(chr(generator.randint(0x4E00, 0x8FFF)) for _ in range(length))
            handle.write(text + "\n")


def recipe_file(folder):
    """Writes the original's .tflite with the two old commands: the pre-training graph with loss."""
    write_random_model(folder, ("masked_lm", "sentence_order"))
    prefix = os.path.join(folder, "albert_model.ckpt")
    frozen, path = (os.path.join(folder, name) for name in ("albert.pb", "albert.tflite"))
    run_quietly(
        sys.executable,
        os.path.join(ROOT, "freeze_graph.py"),
        "--input_checkpoint=" + prefix,
        "--output_graph=" + frozen,
        "--output_node_names=cls/predictions/truediv",
        "--checkpoint_version=1",
        "--input_meta_graph=%s.meta" % prefix,
        "--input_binary=true",
    )
    run_quietly(
        os.path.join(os.path.dirname(sys.executable), "tflite_convert"),
        "--enable_v1_converter",
        "--graph_def_file=" + frozen,
        "--input_arrays=" + INPUTS,
        "--input_shapes=" + RECIPE_SHAPES,
        "--output_arrays=cls/predictions/truediv",
        "--output_file=" + path,
    )
    return path


# Latency and memory


def available_runtimes():
    """LiteRT if it is installed, TensorFlow's interpreter in versions that do not remove it."""
    import tensorflow.compat.v1 as tf

    of_tensorflow = RUNTIMES[1:] if tf.__version__.startswith("2.15.") else ()
    try:
        import ai_edge_litert  # noqa: F401
    except ImportError:
        print("LiteRT (ai-edge-litert) is not installed: left out", file=sys.stderr)
        return of_tensorflow
    return RUNTIMES[:1] + of_tensorflow


def measured(sets, runtime, threads, rounds):
    """Measures files in turn.

    Args:
        sets: {model: {name: path}}.
        runtime: one of `RUNTIMES`.
        threads: int.
        rounds: int.

    Returns:
        list of `Result`: median latency in milliseconds, growth of memory in megabytes.
    """
    context = multiprocessing.get_context("spawn")
    workers = []
    for model, paths in sets.items():
        for name, path in paths.items():
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs, path, runtime, threads))
            process.start()
            workers.append((model, name, path, ours, process, []))
            tokens = ours.recv()
            workers[-1] += (tokens,)
    for _ in range(rounds):
        for _, _, _, pipe, _, seconds, _ in workers:
            pipe.send(INVOCATIONS)
            seconds += pipe.recv()
    results = []
    for model, name, path, pipe, process, seconds, tokens in workers:
        pipe.send(0)
        memory = pipe.recv()
        process.join()
        ms = 1000 * float(np.median(seconds))
        megabytes = os.path.getsize(path) / 1e6
        results.append(Result(model, name, runtime, threads, tokens, megabytes, ms, memory))
    print("measured %s, threads %d" % (runtime, threads), file=sys.stderr, flush=True)
    return results


def serve(pipe, path, runtime, threads):
    """The process of a file: runs it as often as requested; 0 requests its memory and ends it."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # notes of the C++ part
    if runtime == "LiteRT":
        from ai_edge_litert.interpreter import Interpreter
    else:
        import tensorflow as tf

        Interpreter = tf.lite.Interpreter  # noqa: N806
    before = measuring.peak_memory()
    interpreter = Interpreter(model_path=path, num_threads=threads)
    generator = np.random.RandomState(1)
    tokens = None
    for info in interpreter.get_input_details():
        shape = [TOKENS_OF_DYNAMIC if size < 0 else size for size in info["shape_signature"]]
        interpreter.resize_tensor_input(info["index"], shape)
        tokens = tokens or shape[-1]
    interpreter.allocate_tensors()
    for info in interpreter.get_input_details():
        high = {"ids": 8000, "input_ids": 8000, "masked_lm_ids": 8000}.get(info["name"], 1)
        values = generator.randint(0, high, info["shape"]) + ("mask" in info["name"])
        interpreter.set_tensor(info["index"], values.astype(info["dtype"]))
    for _ in range(3):
        interpreter.invoke()
    pipe.send(tokens)
    for count in iter(pipe.recv, 0):
        seconds = []
        for _ in range(count):
            start = time.perf_counter()
            interpreter.invoke()
            seconds.append(time.perf_counter() - start)
        pipe.send(seconds)
    pipe.send(measuring.peak_memory() - before)


def print_table(results):
    """Prints a row for each file, with its latencies in columns."""
    columns = [(runtime, threads) for runtime in RUNTIMES for threads in (1, 2)]
    by_file = collections.OrderedDict()
    for result in results:
        key = (result.model, result.name, result.tokens, result.megabytes)
        by_file.setdefault(key, {})[result.runtime, result.threads] = result
    titles = ["%s, %d thread%s" % (r, t, "s" * (t > 1)) for r, t in columns]
    print("\n| model | quantization, length | tokens | MB | %s | memory MB |" % " | ".join(titles))
    print("|---|---|---:|---:|%s---:|" % ("---:|" * len(columns)))
    for (model, name, tokens, megabytes), cells in by_file.items():
        shown = ["%.2f ms" % cells[c].ms if c in cells else "-" for c in columns]
        memory = max(cells[c].memory for c in columns if c in cells and c[0] == _first(results))
        row = (model, name, tokens, megabytes, " | ".join(shown), memory)
        print("| %s | %s | %d | %.2f | %s | %.0f |" % row)


def _first(results):
    return results[0].runtime


def print_ratios(results, model):
    """Prints the ratios that the documentation claims, for the first model."""
    ms = {(r.model, r.name, r.runtime, r.threads): r.ms for r in results}
    claims = (
        ("int8 / float32, 128 tokens", (model, "int8 128"), (model, "none 128"), 0.4),
        ("int8 / albert_zh's recipe", (model, "int8 128"), ("albert_zh", "recipe"), 0.12),
        ("float32, 28 tokens / fixed 128", (model, "none dynamic"), (model, "none 128"), 0.3),
        ("int8, 28 tokens / fixed 128", (model, "int8 dynamic"), (model, "int8 128"), 0.3),
    )
    print("\n| ratio | runtime | threads | measured | at most |\n|---|---|---:|---:|---:|")
    for title, one, other, limit in claims:
        for runtime in RUNTIMES:
            for threads in (1, 2):
                pair = [ms.get(key + (runtime, threads)) for key in (one, other)]
                if None not in pair:
                    row = (title, runtime, threads, pair[0] / pair[1], limit)
                    print("| %s | %s | %d | %.3f | %.2f |" % row)


# Accuracy


def print_accuracies(accuracies):
    """Prints a row for each file: accuracy, and the difference from the checkpoint."""
    print("\n| model | quantization, length | dev accuracy | against the checkpoint |")
    print("|---|---|---:|---:|")
    for model, of_files in accuracies.items():
        for name, accuracy in of_files.items():
            points = 100 * (accuracy - of_files["checkpoint"])
            print("| %s | %s | %.2f %% | %+.2f |" % (model, name, 100 * accuracy, points))


def draw(results, accuracies, path):
    """Draws bars of size, latency (128 tokens, one thread) and accuracy for each file."""
    first = _first(results)
    shown = [r for r in results if (r.runtime, r.threads, r.tokens) == (first, 1, 128)]
    panels = {
        "size, MB": [r.megabytes for r in shown],
        "latency of 128 tokens, one thread, ms (%s)" % first: [r.ms for r in shown],
        "dev accuracy, %": [
            100 * accuracies.get(r.model, {}).get(r.name, float("nan")) for r in shown
        ],
    }
    names = ["%s, %s" % (r.model, r.name.split()[0]) for r in shown]
    models = list(dict.fromkeys(r.model for r in shown))
    colors = ["C%d" % models.index(r.model) for r in shown]
    figure, axes = plotting.subplots(1, len(panels), figsize=(12, 5), dpi=120, sharey=True)
    for axis, (title, values) in zip(axes, panels.items()):
        bars = axis.barh(names, values, color=colors)
        axis.bar_label(bars, ["" if np.isnan(v) else "%.1f" % v for v in values], padding=2, size=8)
        axis.set_xlabel(title)
        axis.margins(x=0.15)
    axes[0].invert_yaxis()
    figure.tight_layout()
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    plotting.save(figure, path)
    print("chart: " + path)


if __name__ == "__main__":
    run_program(main)
