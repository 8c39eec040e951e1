"""Scores of `--multi_label` with its defaults, compared with a linear SVM per label.

    python benchmarks/multi_label.py --data_dir=DATA --model_dir=albert_starter_zh
    python benchmarks/multi_label.py --data_dir=DATA --sets=entities -- --learning_rate=5e-5

Creates four sets of texts with one to three labels each from public data below --data_dir:

    entities  sentences of CLUENER (ner_cluener), labelled by the kinds of entities in them: 10
    requests  utterances of SMP 2019 (smp2019), each labelled by its domain and by its intent: 38
    joined    one to three of THUCNews's headlines and SMP 2017's utterances in a text, labelled by
              the classes of all of them (thucnews10, smp2017): 41, some of them rare
    slots     utterances of CAIS (cais), each labelled by its intent and the slots in it: 32

Trains with `run_classifier_multiclass.py --multi_label` and its default settings (words after --
are passed to it), trains scikit-learn's one-vs-rest linear SVM on TF-IDF weights of character
n-grams, and prints micro- and macro-F1 on test. It also prints the scores of predicting the most
frequent labels for every row, with the number of labels that scores best.
"""

import collections
import csv
import glob
import json
import os
import random
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from absl import flags
import measuring
import numpy as np
import topics_baseline

from albert_zh.common import files, output_files
from albert_zh.common.errors import UserError, run_command
from albert_zh.tasks import metrics as task_metrics

FLAGS = flags.FLAGS
ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
SEPARATOR = "|"
SPLITS = ("train", "dev", "test")
RAREST = 10  # minimum training rows of a label in requests and slots; rarer labels are dropped
JOINED_ROWS = {"train": 12000, "dev": 1500, "test": 1500}
PIECES_OF_TEXT = (1, 1, 1, 1, 1, 1, 1, 2, 2, 3)  # sampled from these: most texts are one headline
SHOWN = ("micro_f1", "macro_f1")


def define_flags():
    """Defines the command's flags."""
    flags.DEFINE_string("data_dir", None, "Folder with a folder for each public data set.")
    flags.DEFINE_string("model_dir", os.path.join(ROOT, "albert_starter_zh"), "The model.")
    flags.DEFINE_string("output_dir", "multi_label_output", "Folder for sets, runs and results.")
    flags.DEFINE_list("sets", sorted(SETS), "Sets to run.")
    flags.DEFINE_boolean("baseline", True, "Whether to also score the baselines.")


def main(arguments=()):
    """Prints a table of micro- and macro-F1 on test, a line for each set and model.

    Args:
        arguments: further arguments of `run_classifier_multiclass.py`.
    """
    if not FLAGS.data_dir:
        raise UserError("--data_dir is required (%s)" % FLAGS["data_dir"].help.rstrip("."))
    unknown = sorted(set(FLAGS.sets) - set(SETS))
    if unknown:
        raise UserError("--sets: unknown %s, expected some of %s" % (unknown, sorted(SETS)))
    print("%-10s %-14s %8s %8s" % ("set", "model", "micro-F1", "macro-F1"))
    for name in FLAGS.sets:
        folder = os.path.join(FLAGS.output_dir, name)
        write_set(folder, SETS[name]())
        if FLAGS.baseline:
            for model, metrics in baseline_scores(folder).items():
                _show(name, model, metrics)
        _show(name, "starter model", fine_tuned_scores(folder, arguments))


def _show(name, model, metrics):
    values = tuple(100 * metrics[metric] for metric in SHOWN)
    print("%-10s %-14s %8.2f %8.2f" % ((name, model) + values), flush=True)


# The sets: {split: [(text, labels)]}


def entities():
    """CLUENER's sentences; test is its file test.json, dev is the last tenth of train."""
    rows = {
        name: [(row["text"], sorted(row["label"])) for row in _json_lines("ner_cluener", name)]
        for name in ("train", "test")
    }
    rows = {name: [row for row in rows[name] if row[1]] for name in rows}
    num_dev = len(rows["train"]) // 10
    return {
        "train": rows["train"][:-num_dev],
        "dev": rows["train"][-num_dev:],
        "test": rows["test"],
    }


def requests():
    """SMP 2019's utterances in random order; one tenth is dev, another tenth is test."""
    utterances = files.read_json(os.path.join(FLAGS.data_dir, "smp2019", "train.json"))
    rows = [(u["text"], [u["domain"], "intent " + str(u["intent"])]) for u in utterances]
    random.Random(1).shuffle(rows)
    by_split = collections.defaultdict(list)
    for number, row in enumerate(rows):
        by_split[{0: "dev", 1: "test"}.get(number % 10, "train")].append(row)
    return _without_rare_labels(by_split)


def _without_rare_labels(splits):
    counts = collections.Counter(label for _, labels in splits["train"] for label in labels)
    return {
        split: [
            (text, [name for name in labels if counts[name] >= RAREST])
            for text, labels in splits[split]
        ]
        for split in SPLITS
    }


def joined():
    """Concatenated headlines and utterances; the n-th class is drawn with a weight of 1 / n."""
    pieces = {split: collections.defaultdict(list) for split in SPLITS}
    for split, label, text in _pieces():
        pieces[split][label].append(text)
    generator = random.Random(2)
    labels = sorted(set.intersection(*(set(pieces[split]) for split in SPLITS)))
    generator.shuffle(labels)
    weights = [1.0 / (rank + 1) for rank in range(len(labels))]
    return {
        split: [
            _joined_row(generator, pieces[split], labels, weights)
            for _ in range(JOINED_ROWS[split])
        ]
        for split in SPLITS
    }


def _joined_row(generator, pieces, labels, weights):
    chosen = generator.choices(labels, weights, k=generator.choice(PIECES_OF_TEXT))
    return "，".join(generator.choice(pieces[label]) for label in chosen), sorted(set(chosen))


def _pieces():
    """Yields (split, label, text) of both sets of single texts."""
    thucnews = {"train": "train_45k_subset.txt", "dev": "dev.txt", "test": "test.txt"}
    for split in SPLITS:
        for text, label in _columns("thucnews10", thucnews[split]):
            yield split, "thucnews " + label, text
        folder = {"dev": "develop"}.get(split, split)
        pattern = os.path.join(FLAGS.data_dir, "smp2017", "Task1data", folder, "*_*.txt")
        for path in sorted(glob.glob(pattern)):
            label = os.path.basename(path)[:-4].split("_", 1)[1]
            for text in filter(None, map(str.strip, files.read_lines(path))):
                yield split, "smp " + label, text


def _columns(folder, name):
    lines = files.read_lines(os.path.join(FLAGS.data_dir, folder, name))
    return [tuple(line.strip().split("\t")) for line in lines if line.strip()]


def _json_lines(folder, name):
    lines = files.read_lines(os.path.join(FLAGS.data_dir, folder, name + ".json"))
    return [json.loads(line) for line in lines if line.strip()]


def slots():
    """CAIS's utterances: one character and its slot per line, intents in a separate file."""
    names = {
        "train": ("train", "ch.train"),
        "dev": ("valid", "ch.valid"),
        "test": ("test", "ch.test"),
    }
    return _without_rare_labels({split: list(_utterances(*names[split])) for split in SPLITS})


def _utterances(folder, name):
    path = os.path.join(FLAGS.data_dir, "cais", "CAIS", folder, name)
    intents = [line.strip() for line in files.read_lines(path + ".intent") if line.strip()]
    blocks = "\n".join(line.strip() for line in files.read_lines(path)).strip().split("\n\n")
    for intent, block in zip(intents, blocks):
        tags = [line.split() for line in block.split("\n")]
        tags = [tag for tag in tags if len(tag) == 2]
        found = {tag.split("-", 1)[1] for _, tag in tags if "-" in tag}
        yield "".join(character for character, _ in tags), sorted(found | {"intent " + intent})


SETS = {"entities": entities, "requests": requests, "joined": joined, "slots": slots}


def write_set(folder, splits):
    """Writes train.csv, dev.csv and test.csv of {split: [(text, labels)]}."""
    os.makedirs(folder, exist_ok=True)
    for split in SPLITS:
        with output_files.atomic_write(os.path.join(folder, split + ".csv")) as handle:
            writer = csv.writer(handle, lineterminator="\n")
            writer.writerow(["text_a", "label"])
            writer.writerows((text, SEPARATOR.join(labels)) for text, labels in splits[split])


# The models


def baseline_scores(folder):
    """{model: micro- and macro-F1 on test} of the baselines, which are not neural networks."""
    from sklearn.preprocessing import MultiLabelBinarizer

    texts, gold = {}, {}
    for split in ("train", "test"):
        texts[split], labels = topics_baseline.read_labelled_texts(
            os.path.join(folder, split + ".csv")
        )
        gold[split] = [set(filter(None, label.split(SEPARATOR))) for label in labels]
    binarizer = MultiLabelBinarizer().fit(gold["train"])
    gold = {split: binarizer.transform(gold[split]) for split in gold}
    _, frequent = task_metrics.constant_prediction("multi_label", gold["train"], "micro_f1")
    decided = {
        "most frequent": np.tile(
            np.isin(range(len(binarizer.classes_)), frequent), (len(gold["test"]), 1)
        ),
        "linear SVM": svm_decisions(texts, gold["train"]),
    }
    return {
        model: {name: task_metrics.METRICS[name].value(gold["test"], rows) for name in SHOWN}
        for model, rows in decided.items()
    }


def svm_decisions(texts, gold):
    """Decisions of a linear SVM per label for the test texts.

    Args:
        texts: {"train", "test": list of str}.
        gold: int [n, C], labels of train.

    Returns:
        int [m, C].
    """
    from sklearn.multiclass import OneVsRestClassifier

    grams, svm = (step for _, step in topics_baseline.text_model().steps)
    svm.set_params(C=1.0)
    model = OneVsRestClassifier(svm).fit(grams.fit_transform(texts["train"]), gold)
    return np.asarray(model.predict(grams.transform(texts["test"])))


def fine_tuned_scores(folder, arguments):
    """Micro- and macro-F1 of the model, fine-tuned with the command's default settings."""
    output = os.path.join(folder, "run")
    (config,) = glob.glob(os.path.join(FLAGS.model_dir, "albert_config*.json"))
    command = [sys.executable, os.path.join(ROOT, "run_classifier_multiclass.py")]
    command += ["--do_train=true", "--do_eval=true", "--do_predict=true", "--multi_label=true"]
    command += ["--data_dir=" + folder, "--output_dir=" + output, "--bert_config_file=" + config]
    command += ["--vocab_file=" + os.path.join(FLAGS.model_dir, "vocab.txt")]
    command += ["--init_checkpoint=" + FLAGS.model_dir] + list(arguments)
    with open(os.path.join(folder, "run.log"), "a", encoding="utf-8") as log:
        measuring.run_step(command, stdout=log, stderr=subprocess.STDOUT)
    return files.read_json(os.path.join(output, "eval_results.json"))["test"]


if __name__ == "__main__":
    define_flags()
    run_command(main, takes_words=True)
