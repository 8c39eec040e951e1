"""Effect of dictionary slots on a classifier with few rows: SMP 2017, ablations, wrong entries.

    python benchmarks/slots.py --data_dir=DATA --model_dir=albert_starter_zh
    python benchmarks/slots.py --data_dir=DATA --sizes=tenth --models=plain,all -- --pooling=mean

Creates a data set of SMP 2017's utterances (smp2017, 31 classes), with all training rows and with a
tenth of each class, and dictionaries of THUOCL's lists (thuocl) and SMP 2019's lists (smp2019),
which are independent of these rows. It trains `run_classifier.py` without slots and with each
additional part, with 30 % of all entries moved to a wrong dictionary, and with a dictionary whose
entry occurs in no text (the effect of templates without slots). Prints accuracy and macro-F1 on
test over the seeds. Finished runs are not repeated: the same command resumes where it was stopped.
Words after -- are passed to run_classifier.py.
"""

import collections
import glob
import os
import random
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
SPLITS = {"train": "train", "dev": "develop", "test": "test"}
SIZES = collections.OrderedDict(
    [
        ("tenth", "--train_batch_size=16 --learning_rate=4e-4 --num_train_epochs=20".split()),
        ("full", "--train_batch_size=32 --learning_rate=2e-4 --num_train_epochs=8".split()),
    ]
)
SHARE = {"tenth": 0.1, "full": 1.0}
NOISE = 0.3  # share of the entries that are in a wrong dictionary
CLEAN, WRONG, NOTHING = "dictionaries", "dictionaries_30_wrong", "dictionaries_of_nothing"
IN_NO_TEXT = {"nothing": ["\ue000\ue001"]}  # characters for private use
NO_TEMPLATES = ["--slot_templates=false"]
NO_PARTS = ["--slot_attention=false", "--slot_gate=false", "--slot_context=false", *NO_TEMPLATES]
# {name: (dictionaries or None, additional flags)}
MODELS = collections.OrderedDict(
    [
        ("plain", (None, [])),
        ("all", (CLEAN, [])),
        ("all 30 % wrong", (WRONG, [])),
        ("all without a match", (NOTHING, [])),
        ("no templates", (CLEAN, NO_TEMPLATES)),
        ("no templates 30 % wrong", (WRONG, NO_TEMPLATES)),
        ("labels added", (CLEAN, NO_PARTS)),
        ("and attention", (CLEAN, NO_PARTS[1:])),
        ("and gate", (CLEAN, NO_PARTS[2:])),
        ("all but gate 30 % wrong", (WRONG, NO_PARTS[1:2] + NO_TEMPLATES)),
    ]
)
SHOWN = ("accuracy", "macro_f1")


def define_flags():
    """Defines the command's flags."""
    flags.DEFINE_string("data_dir", None, "Folder with smp2017, smp2019 and thuocl.")
    flags.DEFINE_string("model_dir", os.path.join(ROOT, "albert_starter_zh"), "The model.")
    flags.DEFINE_string("output_dir", "slots_output", "Folder for data, runs and results.")
    flags.DEFINE_list("sizes", list(SIZES), "Training sets to use.")
    flags.DEFINE_list("models", None, "Models to train; all by default.")
    flags.DEFINE_list("seeds", ["1", "2", "3", "4", "5"], "Seeds of the runs.")


def main(arguments=()):
    """Trains the missing models and prints a line for each training set and model.

    Args:
        arguments: further arguments of `run_classifier.py`.
    """
    if not FLAGS.data_dir:
        raise UserError("--data_dir is required (%s)" % FLAGS["data_dir"].help.rstrip("."))
    unknown = sorted(set(FLAGS.sizes) - set(SIZES))
    if unknown:
        raise UserError("--sizes: unknown %s, expected some of %s" % (unknown, list(SIZES)))
    write_data()
    print("%-6s %-26s %-16s %-16s %s" % ("rows", "model", "accuracy", "macro-F1", "seeds"))
    for name, (dictionaries, parts) in MODELS.items():
        if FLAGS.models and name not in FLAGS.models:
            continue
        for size in FLAGS.sizes:
            further = list(parts)
            if dictionaries:
                folder = os.path.join(FLAGS.output_dir, dictionaries)
                further += ["--slots=true", "--dictionaries=" + folder]
            scores = scores_of(size, name, further + list(arguments))
            _show(size, name, scores)


def _show(size, name, scores):
    cells = []
    for metric in SHOWN:
        percent = [100 * score[metric] for score in scores]
        spread = statistics.stdev(percent) if len(percent) > 1 else 0.0
        cells.append("%.2f ± %.2f" % (statistics.mean(percent), spread))
    print("%-6s %-26s %-16s %-16s %d" % (size, name, cells[0], cells[1], len(scores)), flush=True)


# Data


def write_data():
    """Writes the data sets of `SIZES` and the folders of dictionaries."""
    for size in FLAGS.sizes:
        folder = os.path.join(FLAGS.output_dir, size)
        os.makedirs(folder, exist_ok=True)
        for split in SPLITS:
            rows = list(utterances(split))
            if split == "train":
                rows = share_of_classes(rows, SHARE[size])
            with output_files.atomic_write(os.path.join(folder, split + ".tsv")) as handle:
                handle.write("text_a\tlabel\n")
                handle.writelines("%s\t%s\n" % row for row in rows)
    entries = lists_of_entries()
    write_dictionaries(CLEAN, entries)
    write_dictionaries(WRONG, with_wrong_entries(entries, NOISE))
    write_dictionaries(NOTHING, IN_NO_TEXT)


def utterances(split):
    """Yields (text, class) of a split of SMP 2017."""
    folder = SPLITS[split]
    pattern = os.path.join(FLAGS.data_dir, "smp2017", "Task1data", folder, "*.txt")
    paths = sorted(glob.glob(pattern))
    if not paths:
        raise UserError("%s: no such files: expected SMP 2017's, SPLIT_CLASS.txt" % pattern)
    for path in paths:
        label = os.path.basename(path)[len(folder) + 1 : -len(".txt")]
        for line in files.read_lines(path):
            text = " ".join(line.split())
            if text:
                yield text, label


def share_of_classes(rows, share):
    """A share of the rows of each class, at least one row, drawn with a fixed seed."""
    by_class = collections.OrderedDict()
    for row in rows:
        by_class.setdefault(row[1], []).append(row)
    draw = random.Random(12345)
    chosen = []
    for of_class in by_class.values():
        chosen += draw.sample(of_class, max(1, round(share * len(of_class))))
    return chosen


def lists_of_entries():
    """{name: sorted entries} from the lists of THUOCL and SMP 2019."""
    patterns = (("thuocl", "data", "THUOCL_*.txt"), ("smp2019", "dic", "*.txt"))
    entries = {}
    for pattern in patterns:
        for path in sorted(glob.glob(os.path.join(FLAGS.data_dir, *pattern))):
            name = os.path.basename(path)[: -len(".txt")].replace("THUOCL_", "")
            lines = re.split("\r\n|\r|\n", files.read_text(path))
            words = {line.split("\t")[0].strip() for line in lines}
            entries[name] = sorted(word for word in words if len(word) > 1)
    return entries


def with_wrong_entries(entries, share):
    """The lists, with a share of the entries moved to another list (with a fixed seed)."""
    names, draw = sorted(entries), random.Random(1)
    moved = {name: [] for name in names}
    for name in names:
        others = [other for other in names if other != name]
        for entry in entries[name]:
            moved[draw.choice(others) if draw.random() < share else name].append(entry)
    return moved


def write_dictionaries(name, entries):
    """Writes a folder of dictionaries."""
    folder = os.path.join(FLAGS.output_dir, name)
    os.makedirs(folder, exist_ok=True)
    for slot, words in entries.items():
        with output_files.atomic_write(os.path.join(folder, slot + ".txt")) as handle:
            handle.writelines(word + "\n" for word in words)


# Runs


def scores_of(size, name, arguments):
    """[{metric: value} on test] for each seed of a model; trains missing runs."""
    folder = os.path.join(FLAGS.output_dir, "runs", size, re.sub(r"\W+", "_", name))
    results = {seed: os.path.join(folder, seed + ".json") for seed in FLAGS.seeds}
    for seed, path in results.items():
        if not os.path.exists(path):
            output_files.write_json(path, _trained(size, folder, seed, arguments))
    return [files.read_json(path) for path in results.values()]


def _trained(size, folder, seed, arguments):
    """Metrics on test of one run."""
    output = os.path.join(folder, "seed_" + seed)
    os.makedirs(output, exist_ok=True)
    (config,) = glob.glob(os.path.join(FLAGS.model_dir, "albert_config*.json"))
    command = [sys.executable, os.path.join(ROOT, "run_classifier.py"), "--task_name=multiclass"]
    command += ["--do_train=true", "--do_eval=true", "--do_predict=true", "--max_seq_length=64"]
    command += ["--data_dir=" + os.path.join(FLAGS.output_dir, size), "--output_dir=" + output]
    command += ["--vocab_file=" + os.path.join(FLAGS.model_dir, "vocab.txt")]
    command += ["--bert_config_file=" + config, "--init_checkpoint=" + FLAGS.model_dir]
    command += ["--seed=" + seed, "--save_checkpoints_steps=10000", *SIZES[size], *arguments]
    with open(os.path.join(folder, "run.log"), "a", encoding="utf-8") as log:
        measuring.run_step(command, stdout=log, stderr=subprocess.STDOUT)
    return files.read_json(os.path.join(output, "eval_results.json"))["test"]


if __name__ == "__main__":
    define_flags()
    run_command(main, takes_words=True)
