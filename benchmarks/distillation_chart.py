r"""Draws the accuracy over latency of teachers, their average, a student and its int8 export.

    python benchmarks/distillation_chart.py --test_file=test.txt --chart=chart.png \
        --model="teacher=seed_11/best" --model="two teachers, averaged=seed_11/best+seed_12/best" \
        --model="student=student/best" --model="student, int8=student_int8.tflite"

Each model is NAME=PATH, or NAME=PATH+PATH for the average of several models. The test file has
lines text<TAB>label. Accuracy is computed over all lines; latency is the median time of a single
text on one thread, measured in turns so that other jobs slow down all models alike.
"""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from absl import flags
import numpy as np

from albert_zh.common import files, plotting
from albert_zh.common.errors import UserError, run_command
from albert_zh.inference.predictor import Predictor

FLAGS = flags.FLAGS


def define_flags():
    """Defines the flags."""
    flags.DEFINE_string("test_file", None, "File with lines text<TAB>label.")
    flags.DEFINE_multi_string("model", [], "A model, NAME=PATH, or several, NAME=PATH+PATH.")
    flags.DEFINE_string("chart", None, "PNG file to write.")
    flags.DEFINE_integer("timed_texts", 100, "Number of texts to time.")


def accuracy(predictors, texts, labels):
    """The accuracy in percent of the average of predictors."""
    total = sum(predictor.predict(texts)[1] for predictor in predictors)
    names = [predictors[0].labels[number] for number in total.argmax(axis=1)]
    return 100 * float(np.mean([name == label for name, label in zip(names, labels)]))


def latencies(models, texts):
    """Median milliseconds for a single text, {name: milliseconds}."""
    times = {name: [] for name in models}
    for text in texts:
        for name, predictors in models.items():
            begin = time.perf_counter()
            for predictor in predictors:
                predictor.predict([text])
            times[name].append(1000 * (time.perf_counter() - begin))
    return {name: float(np.median(of_model)) for name, of_model in times.items()}


def draw(rows, path):
    """Draws the chart of (name, accuracy, milliseconds)."""
    figure, axes = plotting.subplots(figsize=(7, 4.5))
    longest = max(row[2] for row in rows)
    for name, percent, milliseconds in rows:
        axes.scatter([milliseconds], [percent], s=60)
        side = "right" if milliseconds > longest / 2 else "left"
        axes.annotate(name, (milliseconds, percent), (0, 8), textcoords="offset points", ha=side)
    axes.set_xlabel("time of a text alone, one thread (ms)")
    axes.set_ylabel("test accuracy (%)")
    axes.margins(0.25)
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    plotting.save(figure, path)


def main():
    """Measures the models, prints the results and draws the chart."""
    if not (FLAGS.test_file and FLAGS.model and FLAGS.chart):
        raise UserError("--test_file, --model and --chart are needed")
    rows = [line.split("\t") for line in files.read_lines(FLAGS.test_file)]
    texts, labels = [row[0] for row in rows], [row[1] for row in rows]
    named = [argument.split("=", 1) for argument in FLAGS.model]
    opened = {path: Predictor(path, num_threads=1) for _, p in named for path in p.split("+")}
    models = {name: [opened[path] for path in paths.split("+")] for name, paths in named}
    times = latencies(models, texts[: FLAGS.timed_texts])
    results = [(name, accuracy(models[name], texts, labels), times[name]) for name in models]
    for row in results:
        print("%-30s %6.2f %%  %6.2f ms" % row)
    draw(results, FLAGS.chart)


if __name__ == "__main__":
    define_flags()
    run_command(main)
