"""Effect of auxiliary tasks on a reply generator: masked words, removed positions, both.

    python benchmarks/dialogue_tasks.py --text='corpus/community_qa.txt.gz,corpus/med_qa.txt.gz'

Mines pairs from documents of questions and answers (one sentence per line, blank lines between
documents): the first and the second line, if the first one is a question and both are short. It
trains `run_seq2seq.py` from the same model with prefix LM only and with each additional task.
On held-out pairs it prints the perplexity of the replies, and distinct-1/2 and ROUGE-L of replies
that are decoded greedily. Finished runs are not repeated: the same command resumes where it was
stopped. Words after -- are passed to run_seq2seq.py.
"""

import collections
import glob
import gzip
import os
import re
import statistics
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from absl import flags
import measuring

from albert_zh.common import files, output_files
from albert_zh.common.errors import UserError, run_command

FLAGS = flags.FLAGS
ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
TASKS = collections.OrderedDict(
    [
        ("prefix LM", "prefix_lm"),
        ("and masked LM", "prefix_lm,masked_lm:0.5"),
        ("and removed positions", "prefix_lm,removed_positions:0.5"),
        ("all", "prefix_lm,masked_lm:0.5,removed_positions:0.5"),
    ]
)
SHOWN = ("perplexity", "distinct_1", "distinct_2", "rouge_l")
_SETTINGS_OF_RUNS = ("text", "model_dir", "rows", "dev_rows", "epochs")
LONGEST = 40  # characters of a question or a reply
_ASKS = re.compile("[？?吗呢]|什么|怎么|如何|为什么|哪")


def define_flags():
    """Defines the command's flags."""
    flags.DEFINE_list("text", None, "Files of documents (.txt or .txt.gz), or patterns of them.")
    flags.DEFINE_string("model_dir", os.path.join(ROOT, "albert_starter_zh"), "The model.")
    flags.DEFINE_string("output_dir", "dialogue_output", "Folder for data, runs and results.")
    flags.DEFINE_integer("rows", 4000, "Number of training pairs.")
    flags.DEFINE_integer("dev_rows", 400, "Number of held-out pairs.")
    flags.DEFINE_float("epochs", 4.0, "Epochs over the training pairs.")
    flags.DEFINE_list("tasks", list(TASKS), "Rows of the table to compute.")
    flags.DEFINE_list("seeds", ["1"], "Seeds of the runs.")


def main(arguments=()):
    """Trains the missing models and prints a line for each combination of tasks.

    Args:
        arguments: further arguments of `run_seq2seq.py`.
    """
    if not FLAGS.text:
        raise UserError("--text is required (%s)" % FLAGS["text"].help.rstrip("."))
    unknown = sorted(set(FLAGS.tasks) - set(TASKS))
    if unknown:
        raise UserError("--tasks: unknown %s, expected some of %s" % (unknown, list(TASKS)))
    write_data(list(arguments))
    print("%-22s %s" % ("tasks", "  ".join("%12s" % name for name in SHOWN)))
    for name in FLAGS.tasks:
        results = [_result(name, seed, list(arguments)) for seed in FLAGS.seeds]
        means = [statistics.mean(result[metric] for result in results) for metric in SHOWN]
        scales = [1 if metric == "perplexity" else 100 for metric in SHOWN]
        print("%-22s %s" % (name, "  ".join("%12.2f" % (s * m) for s, m in zip(scales, means))))


# Data


def _check_settings(arguments):
    """Raises `UserError` if the folder has runs with other flags, else records the flags there."""
    path = os.path.join(FLAGS.output_dir, "settings.json")
    settings = {name: FLAGS[name].value for name in _SETTINGS_OF_RUNS}
    settings["arguments"] = arguments
    if os.path.exists(path) and files.read_json(path) != settings:
        raise UserError(
            "--output_dir=%s holds runs of other flags (settings.json has them): name another "
            "folder, or remove it" % FLAGS.output_dir
        )
    os.makedirs(FLAGS.output_dir, exist_ok=True)
    output_files.write_json(path, settings)


def write_data(arguments):
    """Writes the pairs of the files as train.tsv and dev.tsv, unless these exist."""
    _check_settings(arguments)
    if os.path.exists(os.path.join(FLAGS.output_dir, "dev.tsv")):
        return
    paths = [path for pattern in FLAGS.text for path in sorted(glob.glob(pattern))]
    if not paths:
        raise UserError("--text=%s: no such files" % ",".join(FLAGS.text))
    wanted = FLAGS.rows + FLAGS.dev_rows
    pairs = spread([list(pairs_of(path)) for path in paths], wanted)
    if len(pairs) < wanted:
        raise UserError(
            "--text: %d pairs were found, expected %d: lower --rows or name more files"
            % (len(pairs), wanted)
        )
    os.makedirs(FLAGS.output_dir, exist_ok=True)
    step = wanted // FLAGS.dev_rows
    held_out = pairs[::step][: FLAGS.dev_rows]
    chosen = set(held_out)
    for name, rows in (("train", [p for p in pairs if p not in chosen]), ("dev", held_out)):
        with output_files.atomic_write(os.path.join(FLAGS.output_dir, name + ".tsv")) as handle:
            handle.writelines("%s\t%s\n" % pair for pair in rows)


def pairs_of(path):
    """Yields (question, reply) of a file's documents, each question once."""
    seen, document = set(), []
    with (gzip.open if path.endswith(".gz") else open)(path, "rt", encoding="utf-8") as handle:
        lines = handle.read().split("\n") + [""]
    for line in lines:
        if line.strip():
            document.append(" ".join(line.split()))
            continue
        pair, document = tuple(document[:2]), []
        is_short = len(pair) == 2 and all(2 <= len(text) <= LONGEST for text in pair)
        if is_short and _ASKS.search(pair[0]) and pair[0] not in seen:
            seen.add(pair[0])
            yield pair


def spread(lists, count):
    """Takes `count` members from the lists, evenly from each list and over its length."""
    chosen = []
    for number, members in enumerate(lists):
        share = (count - len(chosen)) // (len(lists) - number)
        step = max(1, len(members) // max(share, 1))
        chosen += members[::step][:share]
    return list(dict.fromkeys(chosen))


# Runs


def _result(name, seed, arguments):
    """{metric: value} on the held-out pairs of one run."""
    output = os.path.join(FLAGS.output_dir, "runs", re.sub(r"\W+", "_", name), "seed_" + seed)
    path = os.path.join(output, "eval_results.json")
    if not os.path.exists(path):
        os.makedirs(output, exist_ok=True)
        with open(output + ".log", "a", encoding="utf-8") as log:
            command = command_of(TASKS[name], seed, output) + arguments
            measuring.run_step(command, stdout=log, stderr=subprocess.STDOUT)
    measured = files.read_json(os.path.join(output, "report.json"))["dev"]
    return {metric: measured[metric] for metric in SHOWN}


def command_of(tasks, seed, output):
    """The command line of a run."""
    (config,) = glob.glob(os.path.join(FLAGS.model_dir, "albert_config*.json"))
    named = {
        "do_train": True,
        "do_eval": True,
        "train_file": os.path.join(FLAGS.output_dir, "train.tsv"),
        "dev_file": os.path.join(FLAGS.output_dir, "dev.tsv"),
        "bert_config_file": config,
        "vocab_file": os.path.join(FLAGS.model_dir, "vocab.txt"),
        "init_checkpoint": FLAGS.model_dir,
        "output_dir": output,
        "tasks": tasks,
        "seed": seed,
        "max_seq_length": 88,
        "max_target_length": 42,
        "train_batch_size": 32,
        "learning_rate": 1e-3,
        "num_train_epochs": FLAGS.epochs,
        "best_metric": "perplexity",
        "save_checkpoints_steps": 100000,
    }
    script = os.path.join(ROOT, "run_seq2seq.py")
    return [sys.executable, script] + ["--%s=%s" % pair for pair in named.items()]


if __name__ == "__main__":
    define_flags()
    run_command(main, takes_words=True)
