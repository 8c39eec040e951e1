"""Several runs of one command: over seeds (`--seeds`), over learning rates (`--search`).

Each run has a folder of its own in OUTPUT_DIR; a command that was killed goes on with the run it
was at. `runs.md` and `runs.json` hold the table.
"""

import itertools
import os

from absl import flags
import numpy as np

from errors import UserError
import files
from fine_tuning_flags import SEARCHED_RATES
import scores
import training

FLAGS = flags.FLAGS
TABLE = "runs.md"
MACHINE_TABLE = "runs.json"


def run(run_once):
    """Does the runs that `--seeds` and `--search` ask for.

    Args:
        run_once: function without arguments that does one run of the flags and returns
            {"dev": metrics or None, "test": metrics or None, "metric": name}.

    Raises:
        UserError: for seeds that are no numbers, and without dev data to compare by.
    """
    seeds = _seeds()
    rates = SEARCHED_RATES if FLAGS.search else (FLAGS.learning_rate,)
    if FLAGS.search and not FLAGS.do_eval:
        raise UserError("--search compares on dev: add --do_eval=true")
    folder = FLAGS.output_dir
    results = []
    try:
        for number, (rate, seed) in enumerate(itertools.product(rates, seeds), start=1):
            FLAGS.learning_rate, FLAGS.seed = rate, seed
            FLAGS.output_dir = os.path.join(folder, _name(rate, seed))
            print("run %d of %d: %s" % (number, len(rates) * len(seeds), FLAGS.output_dir))
            results.append(dict(run_once(), rate=rate, seed=seed, folder=FLAGS.output_dir))
    finally:
        FLAGS.output_dir = folder
    rows = [_row(rate, [r for r in results if r["rate"] == rate]) for rate in rates]
    _write(folder, results, rows)


def _seeds():
    try:
        seeds = [int(seed) for seed in FLAGS.seeds or [FLAGS.seed]]
    except ValueError:
        raise UserError(
            "--seeds=%s: expected whole numbers with commas between" % ",".join(FLAGS.seeds)
        ) from None
    for seed in seeds:
        training.check_seed(seed)
    if len(set(seeds)) < len(seeds):
        raise UserError("--seeds=%s: a seed stands there twice" % ",".join(FLAGS.seeds))
    return seeds


def _name(rate, seed):
    parts = ["rate_%g" % rate] if FLAGS.search else []
    return "_".join(parts + (["seed_%d" % seed] if FLAGS.seeds else []))


def _row(rate, results):
    """Mean and deviation over the seeds of a rate."""
    row = {"rate": rate, "seeds": [result["seed"] for result in results]}
    for split in ("dev", "test"):
        values = [_value(result, split) for result in results]
        if None not in values:
            row[split] = mean_and_deviation(values)
    return row


def mean_and_deviation(values):
    """[mean, standard deviation of a sample (0 for a single value)]."""
    return [float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0]


def _value(result, split):
    metrics, metric = result[split], result["metric"]
    return metrics and metrics.get("eval_" + metric, metrics.get(metric))


def _write(folder, results, rows):
    metric = results[0]["metric"]
    sign = 1 if scores.METRICS[metric].is_higher_better else -1
    best = max(rows, key=lambda row: sign * row["dev"][0]) if "dev" in rows[0] else None
    files.write_json(
        os.path.join(folder, MACHINE_TABLE),
        {"metric": metric, "runs": results, "rows": rows, "best": best},
    )
    lines = ["| learning rate | seeds | dev %s | test %s |" % (metric, metric), "|---|---|---|---|"]
    for row in rows:
        seeds = ", ".join(map(str, row["seeds"]))
        cells = ["%g" % row["rate"], seeds] + [_cell(row.get(name)) for name in ("dev", "test")]
        lines.append("| %s |" % " | ".join(cells))
    path = os.path.join(folder, TABLE)
    with files.atomic_write(path) as handle:
        handle.write("\n".join(lines) + "\n")
    for line in lines:
        training.say(line)
    training.say("%-17s %s", "results", ", ".join([path, os.path.join(folder, MACHINE_TABLE)]))
    if best and len(rows) > 1:
        training.say(
            "%-17s learning rate %g: %s mean dev %s, %.4f",
            "best",
            best["rate"],
            "highest" if sign > 0 else "lowest",
            metric,
            best["dev"][0],
        )


def _cell(mean_and_deviation):
    return "%.4f ± %.4f" % tuple(mean_and_deviation) if mean_and_deviation else "-"
