"""Spearman of trained sentence vectors on public pairs, vs. TF-IDF and untrained pooling.

    python benchmarks/embedding_results.py --data_dir=DATA
    python benchmarks/embedding_results.py --data_dir=DATA --experiments=bq_search

`DATA` has a folder for each data set of `SOURCES`. `sts`, `lcqmc` and `bq` train and test on the
same data set (BQ: train on a random half of its dev file, test on the other; LCQMC: train on its
dev file, test on its test file); `sts_transfer`, `lcqmc_transfer` and `bq_transfer` train only on
the other data sets. Test pairs that also occur in the training data (by letters and digits) are
removed from the training data. Only the last checkpoint is evaluated, so that the test data do not
select it; with several seeds, so is the mean of their weights (`average_models.py`). Runs are saved
in --output_dir: a killed command resumes when it is run again. Prints a Markdown table.
"""

import collections
import csv
import json
import os
import random
import subprocess
import sys
import unicodedata

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from absl import flags
import numpy as np

from albert_zh.common import files, output_files
from albert_zh.common.errors import UserError, run_command
from albert_zh.tasks.tables import text_groups

FLAGS = flags.FLAGS
ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
_ENTAILMENT = {"contradiction": 0.0, "neutral": 0.5, "entailment": 1.0}

Experiment = collections.namedtuple("Experiment", "train test epochs is_search", defaults=(False,))
Experiment.__doc__ = """The data that a model is trained and tested on.

Fields:
    train: names in `SOURCES`.
    test: one such name.
    epochs: epochs over the training data.
    is_search: whether texts of the test set are searched for, instead of pairs scored.
"""
_SEARCH = ("--pooling=first_last_mean", "--fgm_epsilon=0.5")  # flags of search experiments
QUERIES, SEARCHED_LINES, PARTNERS = 300, 3000, 3
_SCORED = 0.2  # per point of STS-B's scores, 0 to 5


def _tab_rows(path, score):
    """Yields (text, text, score) of lines `text TAB text TAB label` whose label has a score."""
    for line in files.read_lines(path):
        cells = line.split("\t")
        if len(cells) == 3:
            try:
                yield cells[0], cells[1], score(cells[2])
            except (KeyError, ValueError):
                continue  # a header, or a label that annotators did not agree on


def _csv_rows(path, score):
    with open(path, encoding="utf-8-sig", newline="") as stream:
        for row in list(csv.reader(stream))[1:]:
            yield row[0], row[1], score(row[2])


def _triplet_rows(path, score):
    for line in files.read_lines(path):
        row = json.loads(line)
        yield row["origin"], row["entailment"], score("1")
        yield row["origin"], row["contradiction"], score("0")


def _of_scores(text):
    return _SCORED * float(text)


# name: (reader, scores of its labels, files, maximum number of rows or None)
SOURCES = {
    "sts_train": (_tab_rows, _of_scores, ["embedding_sts_b_zh/train.txt"], None),
    "sts_dev": (_tab_rows, _of_scores, ["embedding_sts_b_zh/dev.txt"], None),
    "lcqmc_dev": (_tab_rows, float, ["lcqmc/dev.txt"], None),
    "lcqmc_test": (_tab_rows, float, ["lcqmc/test.txt"], None),
    "bq": (_csv_rows, float, ["embedding_bq_dev/dev.csv"], None),
    "bq_half_1": (_csv_rows, float, ["embedding_bq_dev/dev.csv"], None),
    "bq_half_2": (_csv_rows, float, ["embedding_bq_dev/dev.csv"], None),
    "oppo": (_tab_rows, float, ["embedding_oppo_xiaobu_dev/dev.txt"], None),
    "afqmc": (_tab_rows, float, ["afqmc/train.txt"], 16000),
    "afqmc_all": (_tab_rows, float, ["afqmc/train.txt"], None),
    "atec": (
        _tab_rows,
        float,
        [
            "embedding_atec_train/%s" % name
            for name in ("ATEC.valid.data", "train_without_test.txt")
        ],
        None,
    ),
    "cmnli": (_tab_rows, _ENTAILMENT.__getitem__, ["embedding_cmnli_dev_pairs/dev.txt"], 8000),
    "snli": (
        _triplet_rows,
        float,
        ["embedding_snli_zh_triplets_sample/%s.txt" % split for split in ("dev", "test")],
        None,
    ),
}
EXPERIMENTS = {
    "sts": Experiment(["sts_train"], "sts_dev", 6),
    "sts_transfer": Experiment(["snli", "lcqmc_dev", "oppo", "cmnli"], "sts_dev", 2),
    "lcqmc": Experiment(["lcqmc_dev"], "lcqmc_test", 4),
    "lcqmc_transfer": Experiment(["bq", "oppo", "sts_train", "afqmc"], "lcqmc_test", 2),
    "bq": Experiment(["bq_half_1"], "bq_half_2", 4),
    "bq_transfer": Experiment(["lcqmc_dev", "oppo", "afqmc"], "bq_half_2", 2),
    "bq_search": Experiment(["lcqmc_dev", "oppo", "afqmc_all", "atec"], "bq", 4, is_search=True),
}


def define_flags():
    """Defines the flags."""
    flags.DEFINE_string("data_dir", None, "Folder with a folder for each data set.")
    flags.DEFINE_string("output_dir", "embedding_runs", "Folder for the runs.")
    flags.DEFINE_list("experiments", list(EXPERIMENTS), "Experiments to run.")
    flags.DEFINE_list("seeds", ["1", "2", "3"], "Seeds of the runs.")
    flags.DEFINE_float("learning_rate", 1e-4, "Peak learning rate.")
    flags.DEFINE_string("precision", "bfloat16", "Precision, see run_sentence_embedding.py.")
    flags.DEFINE_integer("num_threads", 0, "Number of threads; 0 for all cores.")


def rows_of(source):
    """The rows of a source, [(text, text, score from 0 to 1)]."""
    reader, score, paths, most = SOURCES[source]
    rows = []
    for path in paths:
        rows += reader(os.path.join(FLAGS.data_dir, path), score)
    if source.startswith("bq_half"):
        random.Random(1).shuffle(rows)
        middle = len(rows) // 2
        rows = rows[:middle] if source == "bq_half_1" else rows[middle:]
    return random.Random(7).sample(rows, most) if most and most < len(rows) else rows


def compared_form(text):
    """The letters and digits of a text, to compare the pairs of two files."""
    text = unicodedata.normalize("NFKC", text).lower()
    return "".join(char for char in text if unicodedata.category(char)[0] in "LN")


def write_data(experiment, folder):
    """Writes train.tsv and dev.tsv (the test pairs, which are removed from the training data)."""

    def pair(row):
        return frozenset(map(compared_form, row[:2]))

    test = rows_of(experiment.test)
    tested = {pair(row) for row in test}
    train = [row for source in experiment.train for row in rows_of(source)]
    _write_rows(os.path.join(folder, "train.tsv"), [r for r in train if pair(r) not in tested])
    _write_rows(os.path.join(folder, "dev.tsv"), test)


def write_search_data(experiment, folder):
    """Writes positive training pairs, the questions as dev.tsv and the lines as corpus.txt."""
    rows = rows_of(experiment.test)
    groups = groups_of(rows)
    random.Random(1).shuffle(groups)
    trained, tested = groups[len(groups) // 2 :], groups[: len(groups) // 2]
    train = [pair for group in trained for pair in pairs_of_group(group)]
    for source in experiment.train:
        train += [row for row in rows_of(source) if row[2]]
    known = {text for group in groups for text in group}
    rest = [t for t in dict.fromkeys(t for row in rows for t in row[:2]) if t not in known]
    random.Random(2).shuffle(rest)
    lines = ([text for group in tested for text in group] + rest)[:SEARCHED_LINES]
    seen = set(map(compared_form, lines))
    train = [row for row in train if not seen & set(map(compared_form, row[:2]))]
    queries = [(text, group) for group in tested for text in group]
    random.Random(3).shuffle(queries)
    test = [
        (text, other, 1) for text, group in queries[:QUERIES] for other in group if other != text
    ]
    _write_rows(os.path.join(folder, "train.tsv"), train)
    _write_rows(os.path.join(folder, "dev.tsv"), test)
    with output_files.atomic_write(os.path.join(folder, "corpus.txt")) as stream:
        stream.write("".join(" ".join(line.split()) + "\n" for line in lines))


def pairs_of_group(group):
    """Pairs each text of a group with up to `PARTNERS` other texts of the group."""
    shuffled = random.Random(group[0]).sample(group, len(group))
    steps = range(1, min(PARTNERS, len(group) // 2) + 1)
    rows = [
        (text, shuffled[(n + step) % len(group)], 1)
        for n, text in enumerate(shuffled)
        for step in steps
    ]
    return [row for row in rows if row[0] != row[1]]


def groups_of(rows):
    """Groups of equivalent texts, connected by rows of label 1: sorted lists."""
    pairs = [row[:2] for row in rows if row[2]]
    groups = text_groups.groups_of_rows([tuple(map(text_groups.normalized, p)) for p in pairs])
    return sorted(sorted({text for index in group for text in pairs[index]}) for group in groups)


def _write_rows(path, rows):
    with output_files.atomic_write(path) as stream:
        for text_a, text_b, score in rows:
            stream.write(
                "%s\t%s\t%g\n" % (" ".join(text_a.split()), " ".join(text_b.split()), score)
            )


def scores_of(name, seed):
    """Trains unless the run is finished; returns {"character TF-IDF" ...: metric x 100}."""
    experiment = EXPERIMENTS[name]
    folder = os.path.join(FLAGS.output_dir, name, "seed_" + seed)
    data = os.path.join(FLAGS.output_dir, name, "data")
    if not os.path.exists(os.path.join(folder, "comparison.json")):
        (write_search_data if experiment.is_search else write_data)(experiment, data)
        arguments = ["--data_dir=" + data, "--seed=" + seed, "--output_dir=" + folder]
        _call("run_sentence_embedding.py", arguments + arguments_of(experiment))
    return _measures(experiment, folder)


def score_of_mean(name):
    """The metric x 100 of the model with the mean of all seeds' weights."""
    folder = os.path.join(FLAGS.output_dir, name)
    seeds = "_".join(FLAGS.seeds)
    mean, evaluated = (os.path.join(folder, what + seeds) for what in ("mean_", "of_mean_"))
    if not os.path.exists(os.path.join(evaluated, "comparison.json")):
        models = [os.path.join(folder, "seed_" + seed, "best") for seed in FLAGS.seeds]
        arguments = ["--model_dirs=" + ",".join(models), "--output_dir=" + mean]
        _call("average_models.py", arguments)
        arguments = ["--data_dir=" + os.path.join(folder, "data"), "--do_eval=true"]
        arguments += _model_flags(mean) + ["--output_dir=" + evaluated]
        _call("run_sentence_embedding.py", arguments)
    return _measures(EXPERIMENTS[name], evaluated)["trained"]


def _call(script, arguments):
    command = [sys.executable, os.path.join(ROOT, script)] + arguments
    if subprocess.call(command, stdout=sys.stderr):
        raise UserError("%s failed, see above: %s" % (script, " ".join(arguments)))


def _measures(experiment, folder):
    scores = files.read_json(os.path.join(folder, "comparison.json"))["scores"]
    measure = "recall_at_50" if experiment.is_search else "spearman"
    return {what: 100 * of_what[measure] for what, of_what in scores.items()}


def _model_flags(folder):
    """Flags that name the model in a folder, and the flags that all runs share."""
    return [
        "--bert_config_file=" + os.path.join(folder, "albert_config_tiny.json"),
        "--vocab_file=" + os.path.join(folder, "vocab.txt"),
        "--init_checkpoint=" + folder,
        "--precision=" + FLAGS.precision,
        "--num_threads=%d" % FLAGS.num_threads,
    ]


def arguments_of(experiment):
    """The arguments of all runs of an experiment."""
    return _model_flags(os.path.join(ROOT, "albert_starter_zh")) + [
        "--do_train=true",
        "--do_eval=true",
        "--objective=" + ("infonce" if experiment.is_search else "cosent"),
        "--train_batch_size=%d" % (128 if experiment.is_search else 32),
        "--num_train_epochs=%d" % experiment.epochs,
        "--learning_rate=%g" % (FLAGS.learning_rate * (1 + experiment.is_search)),
        "--save_checkpoints_steps=1000000",  # only the last one
        *(_SEARCH if experiment.is_search else ()),
    ]


def main():
    """Executes the missing runs and prints a row for each experiment."""
    unknown = sorted(set(FLAGS.experiments) - set(EXPERIMENTS))
    if unknown:
        raise UserError("--experiments: unknown %s" % unknown[0])
    if not FLAGS.data_dir:
        raise UserError("--data_dir is needed: the folder with a folder for each data set")
    print("| experiment | TF-IDF | untrained | trained | mean of the seeds' weights |")
    print("|---|---:|---:|---:|---:|")
    for name in FLAGS.experiments:
        runs = [scores_of(name, seed) for seed in FLAGS.seeds]
        trained, has_several = [run["trained"] for run in runs], len(runs) > 1
        deviation = " ± %.2f" % np.std(trained, ddof=1) if has_several else ""
        cells = [
            name,
            "%.2f" % runs[0]["character TF-IDF"],
            "%.2f" % runs[0]["untrained"],
            "%.2f" % np.mean(trained) + deviation,
            "%.2f" % score_of_mean(name) if has_several else "",
        ]
        print("| %s |" % " | ".join(cells), flush=True)


if __name__ == "__main__":
    define_flags()
    run_command(main)
