"""F1 of sequence labelling on public data, compared with the feature CRF and random weights.

    python benchmarks/labelling_results.py --data_dir=DATA
    python benchmarks/labelling_results.py --data_dir=DATA --sets=resume --seeds=1

`DATA` has a folder per data set: `ner_cluener` (its dev file as test.json), `ner_resume`,
`cws_sxu`, `ner_msra` and `cws_two_granularity`. Each run is a run of `run_seq_labelling.py`; its
command line is in `command.txt` in its folder. Interrupted runs are resumed, and complete runs are
not repeated. Prints a Markdown table. The feature CRF needs python-crfsuite.
"""

import argparse
import collections
import json
import os
import statistics
import subprocess
import sys

PROJECT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path.insert(0, PROJECT)

import measuring

from albert_zh.common.errors import UserError, run_program

TWO = "cws_two_granularity"

DataSet = collections.namedtuple("DataSet", ["folder", "measured", "files", "flags", "starts"])
DataSet.__new__.__defaults__ = (("starter",),)
DataSet.__doc__ = """A data set and how it is trained on.

Fields:
    folder: its folder in DATA.
    measured: the split whose F1 counts, "dev" or "test".
    files: (training file, measured file) for the feature CRF; None to skip the CRF.
    flags: {flag: value} in addition to the usual flags.
    starts: keys of `STARTS` that the data set is trained with.
"""

STARTS = {
    "starter": "starter model",
    "fgm": "starter model, --fgm_epsilon=0.5",
    "random": "random weights",
}

SETS = {
    "cluener": DataSet(
        "ner_cluener",
        "test",
        ("train.json", "test.json"),
        {"task_name": "ner", "max_seq_length": 54, "num_train_epochs": 6, "overlaps": "longest"},
        ("starter", "fgm", "random"),
    ),
    "resume": DataSet(
        "ner_resume",
        "test",
        ("train.char.bmes", "test.char.bmes"),
        {"task_name": "ner", "max_seq_length": 128, "num_train_epochs": 6},
        ("starter", "random"),
    ),
    "sxu": DataSet(
        "cws_sxu",
        "test",
        ("train.txt", "test.txt"),
        {"task_name": "cws", "max_seq_length": 128, "num_train_epochs": 4},
        ("starter", "fgm", "random"),
    ),
    "sxu, bigrams": DataSet(
        "cws_sxu",
        "test",
        None,
        {"task_name": "cws", "max_seq_length": 128, "granularities": "sxu", "dev_seed": 1},
        ("fgm",),
    ),
    "msra": DataSet(
        "ner_msra",
        "dev",
        ("train.txt", "dev.txt"),
        {"task_name": "ner", "max_seq_length": 104, "num_train_epochs": 3},
        ("starter", "fgm", "random"),
    ),
}
_WORDS = {"task_name": "cws", "max_seq_length": 128, "num_train_epochs": 5}
for _names in ("fine", "coarse", "fine,coarse"):
    _files = None if "," in _names else tuple("%s.%s.txt" % (s, _names) for s in ("train", "test"))
    _starts = ("starter", "random") if _files else ("starter",)
    SETS["two: " + _names] = DataSet(
        TWO, "test", _files, dict(_WORDS, granularities=_names), _starts
    )
for _name, _value in (("bigrams", "false"), ("attention", "false"), ("loss", "0")):
    _flags = dict(_WORDS, granularities="fine,coarse", **{"granularity_" + _name: _value})
    SETS["two: fine,coarse without %s" % _name] = DataSet(TWO, "test", None, _flags)

FLAGS_OF_START = {"fgm": {"fgm_epsilon": 0.5, "num_train_epochs": 5}}


def data_folder(arguments, data_set):
    """The folder that training reads; for one granularity of a corpus it consists of links."""
    folder = os.path.abspath(os.path.join(arguments.data_dir, data_set.folder))
    granularity = data_set.flags.get("granularities", "").split(",")[0]
    if not granularity or os.path.exists(os.path.join(folder, "train.%s.txt" % granularity)):
        return folder
    linked = os.path.join(arguments.output_dir, "data_" + granularity)
    os.makedirs(linked, exist_ok=True)
    for split in ("train", "test"):
        path = os.path.join(linked, "%s.%s.txt" % (split, granularity))
        if os.path.lexists(path):  # it may belong to another --data_dir
            os.remove(path)
        os.symlink(os.path.join(folder, split + ".txt"), path)
    return linked


def run_of(arguments, name, seed, start):
    """Trains unless the run is finished; returns the report's scores of the measured split."""
    data_set = SETS[name]
    folder = os.path.join(
        arguments.output_dir, name.replace(": ", "_").replace(", ", "_").replace(" ", "_")
    )
    folder = os.path.join(folder, "%s_seed_%d" % (start, seed))
    os.makedirs(folder, exist_ok=True)
    flags = {
        "do_train": "true",
        "do_eval": "true",
        "do_predict": str(data_set.measured == "test").lower(),
        "data_dir": data_folder(arguments, data_set),
        "bert_config_file": os.path.join(arguments.model_dir, "albert_config_tiny.json"),
        "vocab_file": os.path.join(arguments.model_dir, "vocab.txt"),
        "train_batch_size": 32,
        "learning_rate": arguments.learning_rate,
        "precision": arguments.precision,
        "seed": seed,
        "output_dir": folder,
    }
    if start != "random":
        flags["init_checkpoint"] = arguments.model_dir
    flags.update(data_set.flags)
    flags.update(FLAGS_OF_START.get(start, {}))
    command = [sys.executable, os.path.join(PROJECT, "run_seq_labelling.py")]
    command += ["--%s=%s" % pair for pair in sorted(flags.items())]
    with open(os.path.join(folder, "command.txt"), "w", encoding="utf-8") as handle:
        handle.write(" ".join(command[1:]) + "\n")
    report = os.path.join(folder, "report.json")
    if not os.path.exists(report):
        print("%s, %s, seed %d" % (name, start, seed), file=sys.stderr, flush=True)
        with open(os.path.join(folder, "run.log"), "a", encoding="utf-8") as log:
            measuring.run_step(command, stdout=log, stderr=subprocess.STDOUT)
    with open(report, encoding="utf-8") as handle:
        return json.load(handle)[data_set.measured]


def scores_of(report):
    """{part: F1} of a report: for the whole split, and for each granularity."""
    scores = {name: row["f1"] for name, row in report.get("granularities", {}).items()}
    return scores or {"": report["f1"]}


def baseline(arguments, name):
    """F1 of the feature CRF, in percent."""
    data_set = SETS[name]
    folder = os.path.join(arguments.data_dir, data_set.folder)
    train, test = (os.path.join(folder, file) for file in data_set.files)
    command = [sys.executable, os.path.join(PROJECT, "benchmarks", "labelling_baseline.py")]
    command += ["--train_file=" + train, "--test_file=" + test]
    printed = measuring.run_step(command, stdout=subprocess.PIPE, text=True)
    return float(printed.rsplit("F1: ", 1)[1].split(" ", 1)[0])


def rows_of(arguments, name):
    """Yields (data set, start, F1) of a table."""
    if SETS[name].files:
        yield name, "feature CRF", "%.2f" % baseline(arguments, name)
    for start in SETS[name].starts:
        seeds = arguments.seeds[:1] if start == "random" else arguments.seeds
        scores = collections.defaultdict(list)
        for seed in seeds:
            for what, f1 in scores_of(run_of(arguments, name, seed, start)).items():
                scores[what].append(100 * f1)
        for what, of_seeds in scores.items():
            deviation = " ± %.2f" % statistics.stdev(of_seeds) if len(of_seeds) > 1 else ""
            yield (
                name + (", F1 of " + what if what else ""),
                STARTS[start],
                ("%.2f%s" % (statistics.mean(of_seeds), deviation)),
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data_dir", required=True, help="folder of the data sets")
    parser.add_argument(
        "--model_dir",
        default=os.path.join(PROJECT, "albert_starter_zh"),
        help="folder of the model",
    )
    parser.add_argument("--output_dir", default="labelling_runs", help="folder for the runs")
    parser.add_argument("--sets", default=";".join(SETS), help="names, separated by semicolons")
    parser.add_argument("--seeds", default="1,2,3", help="seeds, separated by commas")
    parser.add_argument("--learning_rate", default="2e-4", help="peak learning rate of all runs")
    parser.add_argument(
        "--precision",
        default="float32",
        choices=("float32", "bfloat16"),
        help="precision of all runs",
    )
    arguments = parser.parse_args()
    if not all(seed.isdecimal() for seed in arguments.seeds.split(",")):
        raise UserError("--seeds=%s: expected numbers with commas between" % arguments.seeds)
    arguments.seeds = [int(seed) for seed in arguments.seeds.split(",")]
    unknown = [name for name in arguments.sets.split(";") if name not in SETS]
    if unknown:
        raise UserError("--sets: unknown %r, expected some of %s" % (unknown[0], "; ".join(SETS)))
    print("| data | start | F1 |\n|---|---|---:|")
    for name in arguments.sets.split(";"):
        for row in rows_of(arguments, name):
            print("| %s |" % " | ".join(row), flush=True)


if __name__ == "__main__":
    run_program(main)
