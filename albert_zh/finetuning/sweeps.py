"""Several runs of one command: over seeds (`--seeds`), over learning rates (`--search`).

Each run has a separate folder in OUTPUT_DIR; a command that was killed resumes with the run that
it had reached. `runs.md` and `runs.json` hold the table. If there is no dev file, the first seed
determines the rows that are set aside as dev, so that all runs are evaluated on the same rows.
"""

import itertools
import os
import re
from typing import Any, Callable, Dict, List, Optional, Sequence

import numpy as np

from albert_zh.common import output_files
from albert_zh.common.errors import UserError
from albert_zh.common.messages import exact_number, say
from albert_zh.finetuning import flags as finetuning_flags
from albert_zh.finetuning import output_folder, teaching_flags
from albert_zh.tasks import report
from albert_zh.training import flag_checks, run_folder
from albert_zh.training.training_errors import Diverged

TABLE = "runs.md"
MACHINE_TABLE = "runs.json"
_RATE_OF_NAME = re.compile(r"rate_([0-9.]+(?:e[+-]?[0-9]+)?)(?:_|$)")  # see `_name`


def run(
    options: Any, run_once: Callable[[Any], Optional[Dict[str, Any]]], of_kind: Sequence[str] = ()
) -> None:
    """Executes the runs that `--seeds` and `--search` request.

    Args:
        options: the flags.
        run_once: function (flags) that executes one run and returns {"dev": metrics or None,
            "test": metrics or None, "metric": name, "is_higher_better": bool, "checkpoint": prefix
            or None}; None in a process that only helps another worker.
        of_kind: names of the kind's flags that a resumed run must keep.

    Raises:
        UserError: if seeds are not numbers, or there are no dev data to compare by.
    """
    seeds = _seeds(options)
    rates = _searched_rates(options) if options.search else [_rate(options, seeds)]
    if options.search and not options.do_eval:
        raise UserError("--search compares on dev: add --do_eval=true")
    if options.seeds and options["seed"].present:
        say("note: --seed=%d has no effect together with --seeds", options.seed)
    summaries, diverged = [], {}
    runs = [_options_of_run(options, *run) for run in itertools.product(rates, seeds)]
    if options.do_train:
        _check_folders(runs, finetuning_flags.FIXED + list(of_kind))
    for number, of_run in enumerate(runs, start=1):
        rate, seed, folder = of_run.learning_rate, of_run.seed, of_run.output_dir
        print("run %d of %d: %s" % (number, len(runs), folder))
        try:
            summary = run_once(of_run)
        except Diverged as error:
            diverged[rate] = error
            say("learning rate %s, seed %d: the training diverged", exact_number(rate), seed)
            continue
        if summary is not None:
            summaries.append(dict(summary, rate=rate, seed=seed, folder=folder))
    compared = [summary for summary in summaries if summary["rate"] not in diverged]
    if diverged and not compared:
        raise next(iter(diverged.values()))
    if compared:
        _write(options.output_dir, compared, [_row(rate, compared) for rate in rates])


def _options_of_run(options, rate, seed):
    folder = os.path.join(options.output_dir, _name(options, rate, seed))
    return finetuning_flags.with_values(options, learning_rate=rate, seed=seed, output_dir=folder)


def _check_folders(runs, fixed):
    """Raises `UserError` for a folder that a run cannot use, before any run is trained.

    `fixed`: names of the flags that a resumed run must keep.
    """
    for options in runs:
        teaching_flags.check_teachers_are_kept(options)
        given = {name: options[name].value for name in fixed}
        if options.seeds:  # all runs use the dev rows of the first
            first = int(options.seeds[0])
            given["dev_seed"] = first if options.dev_seed is None else options.dev_seed
        run_folder.check_same_run(options.output_dir, given)


def _searched_rates(options):
    """The rates of --search; without training the rates of the models in the folder."""
    names = map(os.path.basename, output_folder.folders_of_runs(options.output_dir))
    matches = [_RATE_OF_NAME.match(name) for name in names]
    trained = sorted({float(match.group(1)) for match in matches if match})
    if options.do_train or options.search_rates or not trained:
        return finetuning_flags.searched_rates(options)
    return trained


def _rate(options, seeds):
    """The learning rate without --search; without training the rate of the trained models."""
    folder = os.path.join(options.output_dir, _name(options, None, seeds[0]))
    former = {} if options.do_train else run_folder.former_settings(folder)["fixed"]
    return former.get("learning_rate", options.learning_rate)


def _seeds(options):
    try:
        seeds = [int(seed) for seed in options.seeds or [options.seed]]
    except ValueError:
        raise UserError(
            "--seeds=%s: expected integers separated by commas" % ",".join(options.seeds)
        ) from None
    for seed in seeds:
        flag_checks.check_seed(seed)
    if len(set(seeds)) < len(seeds):
        raise UserError("--seeds=%s: a seed is given twice" % ",".join(options.seeds))
    return seeds


def _name(options, rate, seed):
    components = ["rate_" + exact_number(rate)] if options.search else []
    return "_".join(components + (["seed_%d" % seed] if options.seeds else []))


def _row(rate, summaries):
    """Mean and deviation over the seeds of a rate; no seeds if its training diverged."""
    of_rate = [summary for summary in summaries if summary["rate"] == rate]
    row = {"rate": rate, "seeds": [summary["seed"] for summary in of_rate]}
    for split in ("dev", "test"):
        scores = [_score(summary, split) for summary in of_rate]
        if scores and None not in scores:
            row[split] = mean_and_deviation(scores)
    return row


def mean_and_deviation(values: Sequence[float]) -> List[float]:
    """[mean, standard deviation of a sample (0 for a single value)]."""
    return [float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0]


def _score(summary, split):
    metrics, metric = summary[split], _metric(summary, split)
    return metrics and metrics.get("eval_" + metric, metrics.get(metric))


def _metric(summary, split):
    """The metric to compare a split by; test has no loss: there the first other metric counts."""
    metrics, metric = summary[split], summary["metric"]
    if split == "dev" or not metrics or metric in metrics:
        return metric
    return next(name for name in metrics if name != report.ROWS)


def _write(folder, summaries, rows):
    metric = summaries[0]["metric"]
    sign = 1 if summaries[0]["is_higher_better"] else -1
    measured = [row for row in rows if "dev" in row]
    best = max(measured, key=lambda row: sign * row["dev"][0]) if measured else None
    best_run = best and max(
        (summary for summary in summaries if summary["rate"] == best["rate"]),
        key=lambda summary: sign * _score(summary, "dev"),
    )
    output_files.write_json(
        os.path.join(folder, MACHINE_TABLE),
        {
            "metric": metric,
            "runs": summaries,
            "rows": rows,
            "best": best,
            "best_run": best_run and best_run["folder"],
        },
    )
    lines = list(_table(rows, [_metric(summaries[0], split) for split in ("dev", "test")]))
    path = os.path.join(folder, TABLE)
    with output_files.atomic_write(path) as stream:
        stream.write("\n".join(lines) + "\n")
    for line in lines:
        say(line)
    say("%-17s %s", "results", ", ".join([path, os.path.join(folder, MACHINE_TABLE)]))
    for title, text in _last_lines(summaries, rows, best, best_run):
        say("%-17s %s", title, text)


def _table(rows, metrics):
    """Yields the lines of runs.md; metrics: names of the metrics of dev and of test."""
    yield "| learning rate | seeds | dev %s | test %s |" % tuple(metrics)
    yield "|---|---|---|---|"
    for row in rows:
        seeds = ", ".join(map(str, row["seeds"])) or "diverged"
        cells = [_cell(row.get(name), len(row["seeds"])) for name in ("dev", "test")]
        yield "| %s |" % " | ".join([exact_number(row["rate"]), seeds] + cells)


def _last_lines(summaries, rows, best, best_run):
    """Yields (title, text): the best rate, the best run of it with its checkpoint, and why."""
    if best is None:
        folders = ", ".join(summary["folder"] for summary in summaries)
        yield "models", "%s: not compared, as --do_eval=true was not given" % folders
        return
    metric = summaries[0]["metric"]
    extreme = "highest" if summaries[0]["is_higher_better"] else "lowest"
    among = len(best["seeds"])
    if len(rows) > 1:
        text = "learning rate %s: %s mean dev %s, %.4f, of %d rates"
        yield (
            "best rate",
            text % (exact_number(best["rate"]), extreme, metric, best["dev"][0], len(rows)),
        )
        further = _further_rates(best["rate"], [row["rate"] for row in rows if row["seeds"]])
        if further:
            yield "next", further
    why = "%s dev %s, %.4f, of %d" % (extreme, metric, _score(best_run, "dev"), among)
    why += " with that rate" if len(rows) > 1 else " runs"
    yield "best", "%s: %s: %s" % (best_run["folder"], best_run["checkpoint"], why)


def _further_rates(best, rates):
    """Advice if the best rate is the lowest or the highest one; otherwise None."""
    if min(rates) < best < max(rates):
        return None
    end, factors = ("highest", (2, 4)) if best == max(rates) else ("lowest", (0.25, 0.5))
    further = [
        exact_number(rate) for rate in sorted({*rates, *(factor * best for factor in factors)})
    ]
    return "it is the %s of them: try --search_rates=%s" % (end, ",".join(further))


def _cell(mean_and_deviation, num_seeds):
    if not mean_and_deviation:
        return "-"
    return ("%.4f ± %.4f" if num_seeds > 1 else "%.4f") % tuple(mean_and_deviation[:num_seeds])
