"""How well `--multi_label` does at its defaults, beside a linear SVM for each label.

    python benchmarks/multi_label.py --data_dir=DATA --model_dir=albert_starter_zh
    python benchmarks/multi_label.py --data_dir=DATA --sets=entities --epochs=3

Makes three sets of texts with one to three labels each from public data below --data_dir:

    entities  sentences of CLUENER (ner_cluener), labelled by the kinds of entities in them: 10
    requests  utterances of SMP 2019 (smp2019), each labelled by its domain and by its intent: 38
    joined    one to three of THUCNews's headlines and SMP 2017's utterances in a text, labelled by
              the classes of all of them (thucnews10, smp2017): 41, some of them rare

trains `run_classifier_multiclass.py --multi_label` as `run_classifier_multiclass.sh` does (further
words of the command line are its arguments), trains scikit-learn's one-vs-rest linear SVM on TF-IDF
weights of character n-grams, and prints micro- and macro-F1 on test.
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
import numpy as np
import topics_baseline

from errors import UserError, run_command
import files
import scores

FLAGS = flags.FLAGS
ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
SEPARATOR = "|"
SPLITS = ("train", "dev", "test")
RAREST = 10  # rows of a label in requests; labels of fewer are left out
JOINED_ROWS = {"train": 12000, "dev": 1500, "test": 1500}
PIECES_OF_TEXT = (1, 1, 1, 1, 1, 1, 1, 2, 2, 3)  # drawn from: most texts are one headline
RESULT = "result.json"


def define_flags():
    """The command's flags."""
    flags.DEFINE_string("data_dir", None, "Folder with a folder for each public data set.")
    flags.DEFINE_string("model_dir", os.path.join(ROOT, "albert_starter_zh"), "The model.")
    flags.DEFINE_string("output_dir", "multi_label_output", "Folder for sets, runs and results.")
    flags.DEFINE_list("sets", sorted(SETS), "Which of the sets.")
    flags.DEFINE_integer("epochs", 10, "Passes over the training rows.")
    flags.DEFINE_boolean("baseline", True, "Whether to train the linear SVM, too.")


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
            _show(name, "linear SVM", svm_scores(folder))
        _show(name, "starter model", fine_tuned_scores(folder, arguments))


def _show(name, model, metrics):
    values = tuple(100 * metrics[metric] for metric in ("micro_f1", "macro_f1"))
    print("%-10s %-14s %8.2f %8.2f" % ((name, model) + values), flush=True)


# The sets: {split: [(text, labels)]}


def entities():
    """CLUENER's sentences; its file test.json is the test, the last tenth of train dev."""
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
    """SMP 2019's utterances, in an order of chance; every tenth is dev, every other tenth test."""
    utterances = files.read_json(os.path.join(FLAGS.data_dir, "smp2019", "train.json"))
    named = [(u["text"], [u["domain"], "intent " + str(u["intent"])]) for u in utterances]
    counts = collections.Counter(label for _, labels in named for label in labels)
    rows = [
        (text, [label for label in labels if counts[label] >= RAREST]) for text, labels in named
    ]
    random.Random(1).shuffle(rows)
    by_split = collections.defaultdict(list)
    for number, row in enumerate(rows):
        by_split[{0: "dev", 1: "test"}.get(number % 10, "train")].append(row)
    return dict(by_split)


def joined():
    """Headlines and utterances one after another; some classes are a hundred times rarer."""
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


SETS = {"entities": entities, "requests": requests, "joined": joined}


def write_set(folder, splits):
    """Writes train.csv, dev.csv and test.csv of {split: [(text, labels)]}."""
    os.makedirs(folder, exist_ok=True)
    for split in SPLITS:
        with files.atomic_write(os.path.join(folder, split + ".csv")) as handle:
            writer = csv.writer(handle, lineterminator="\n")
            writer.writerow(["text_a", "label"])
            writer.writerows((text, SEPARATOR.join(labels)) for text, labels in splits[split])


# The models


def svm_scores(folder):
    """Micro- and macro-F1 on test of a linear SVM for each label."""
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.preprocessing import MultiLabelBinarizer

    texts, gold = {}, {}
    for split in ("train", "test"):
        texts[split], labels = topics_baseline.read_labelled_texts(
            os.path.join(folder, split + ".csv")
        )
        gold[split] = [set(filter(None, label.split(SEPARATOR))) for label in labels]
    binarizer = MultiLabelBinarizer().fit(gold["train"])
    grams, svm = (step for _, step in topics_baseline.text_model().steps)
    svm.set_params(C=1.0)
    features = grams.fit_transform(texts["train"])
    model = OneVsRestClassifier(svm).fit(features, binarizer.transform(gold["train"]))
    decided = np.asarray(model.predict(grams.transform(texts["test"])))
    return {
        name: scores.METRICS[name].value(binarizer.transform(gold["test"]), decided)
        for name in ("micro_f1", "macro_f1")
    }


def fine_tuned_scores(folder, arguments):
    """The same of the model fine-tuned with the settings of `run_classifier_multiclass.sh`."""
    output = os.path.join(folder, "run")
    (config,) = glob.glob(os.path.join(FLAGS.model_dir, "albert_config*.json"))
    command = [sys.executable, os.path.join(ROOT, "run_classifier_multiclass.py")]
    command += ["--do_train=true", "--do_eval=true", "--do_predict=true", "--multi_label=true"]
    command += ["--data_dir=" + folder, "--output_dir=" + output, "--bert_config_file=" + config]
    command += ["--vocab_file=" + os.path.join(FLAGS.model_dir, "vocab.txt")]
    command += ["--init_checkpoint=" + FLAGS.model_dir, "--max_seq_length=128"]
    command += ["--train_batch_size=32", "--learning_rate=1e-4"]
    command += ["--num_train_epochs=%d" % FLAGS.epochs] + list(arguments)
    with open(os.path.join(folder, "run.log"), "a", encoding="utf-8") as log:
        subprocess.run(command, check=True, stdout=log, stderr=subprocess.STDOUT)
    return files.read_json(os.path.join(output, "eval_results.json"))["test"]


if __name__ == "__main__":
    define_flags()
    run_command(main, takes_words=True)
