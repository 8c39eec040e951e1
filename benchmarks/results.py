"""Results of fine-tuning on public data and of simple baselines: the tables of docs/results.md.

    python benchmarks/results.py --data_dir=DATA --model_dir=albert_starter_zh
    python benchmarks/results.py --data_dir=DATA --datasets=wsc --epochs=1 --max_rows=100

Trains on every data set from the model's weights and from random weights, with each way of training
on some sets, and runs scikit-learn's baselines, for every seed. Each run has a folder below
--output_dir; finished runs are not repeated, and a run that was killed is resumed by the same
command (the time of such a run is unknown and not included in the mean). With
--write=docs/results.md,docs/results_zh.md the rows of all runs so far are written to the tables
there, in Chinese in files named *_zh.md.
"""

import collections
import itertools
import os
import random
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from absl import flags
import measuring
import numpy as np
import overlap_baseline
import results_pages
import topics_baseline

from albert_zh.common import files, output_files, validation
from albert_zh.common.errors import UserError, run_command
from albert_zh.finetuning import sweeps
from albert_zh.model.checkpoints import checkpoint_files, checkpoint_values, model_folder
from albert_zh.tasks import datasets, task_forms
from albert_zh.tasks import reader as task_reader
from albert_zh.tasks.tables import own_labels, split_files, text_groups

FLAGS = flags.FLAGS
ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
_SAMPLE = os.path.join(ROOT, "data", "%s_sample")  # bundled, not in --data_dir
# Settings that all runs in a folder share.
_SETTINGS = ("model_dir", "precision", "learning_rate", "epochs", "max_rows", "train_rows")
_METRIC = validation.or_none(validation.NUMBER_OR_NAN)
RESULT = validation.record(
    {"dev": _METRIC, "test": _METRIC, "seconds": _METRIC}, ["dev", "test", "seconds"]
)
REPORT = validation.record({"dev": validation.record(), "test": validation.record()})

# Folder of a set below --data_dir, training settings, and {split: (file, its lines)} if the names
# are not the task's usual names or the files are split differently.
DataSet = collections.namedtuple("DataSet", "folder task title length batch rate epochs files")
_THUCNEWS_FILES = {
    "train": ("train_45k_subset.txt", None),
    "dev": ("dev.txt", None),
    "test": ("test.txt", None),
}
# LCQMC's training file is not public: its test file is shuffled with a fixed seed and split.
LCQMC_FILES = {
    "train": ("test.txt", slice(None, 10000)),
    "dev": ("dev.txt", slice(None, 2500)),
    "test": ("test.txt", slice(-2500, None)),
}
_LCQMC_ORDER = 5
DATASETS = collections.OrderedDict(
    [
        ("afqmc", DataSet("afqmc", "afqmc", "AFQMC", 128, 32, 1e-4, 3, None)),
        ("tnews", DataSet("tnews", "tnews", "TNEWS", 128, 32, 3e-4, 3, None)),
        (
            "thucnews",
            DataSet("thucnews10", "multiclass", "THUCNews, 10", 64, 32, 3e-4, 3, _THUCNEWS_FILES),
        ),
        (
            "chnsenticorp",
            DataSet("chnsenticorp", "chnsenticorp", "ChnSentiCorp", 128, 32, 1e-4, 5, None),
        ),
        (
            "iflytek",
            DataSet("fewclue_iflytek", "iflytek", "FewCLUE IFLYTEK", 128, 32, 4e-4, 20, None),
        ),
        ("csl", DataSet("fewclue_csl", "csl", "FewCLUE CSL", 256, 16, 5e-5, 10, None)),
        ("wsc", DataSet("fewclue_cluewsc", "wsc", "FewCLUE WSC", 128, 16, 5e-5, 10, None)),
        ("lcqmc", DataSet("lcqmc", "lcqmc", "LCQMC", 64, 32, 1e-4, 4, LCQMC_FILES)),
        (
            "pairs_sample",
            DataSet(_SAMPLE % "pairs", "lcqmc", "data/pairs_sample", 64, 32, 1e-4, 5, None),
        ),
        (
            "pairs_hard_sample",
            DataSet(
                _SAMPLE % "pairs_hard", "lcqmc", "data/pairs_hard_sample", 64, 32, 1e-4, 5, None
            ),
        ),
        (
            "topics_sample",
            DataSet(_SAMPLE % "topics", "multiclass", "data/topics_sample", 64, 32, 1e-4, 10, None),
        ),
    ]
)
RANDOM = "random weights"
PLAIN = "plain"
BASELINE = "baseline"
FGM = "FGM, epsilon 0.5"
SWAPPED = "pairs both ways"
LONGER = "256 tokens"  # a third of ChnSentiCorp's reviews are longer than its 128
NGRAMS = "n-grams"
NGRAMS_WITH_FGM = "n-grams and FGM"
# The starts of runs in the main table, and their names there.
STARTS = collections.OrderedDict(
    [
        (BASELINE, "baseline"),
        (PLAIN, "starter model"),
        (FGM, "starter model, --fgm_epsilon=0.5"),
        (SWAPPED, "starter model, --swap_pairs"),
        (LONGER, "starter model, --max_seq_length=256"),
        (NGRAMS, "starter model, --ngram_rows=131072"),
        (NGRAMS_WITH_FGM, "starter model, --ngram_rows=131072 --fgm_epsilon=0.5"),
        (RANDOM, "random weights"),
    ]
)
# Ways of training, each applied alone.
OPTIONS = collections.OrderedDict(
    [
        (PLAIN, {}),
        ("layer-wise rate decay 0.8", {"layer_decay": 0.8}),
        (FGM, {"fgm_epsilon": 0.5}),
        ("label smoothing 0.1", {"label_smoothing": 0.1}),
        ("focal loss, gamma 2", {"focal_gamma": 2}),
        ("R-Drop, alpha 4", {"rdrop_alpha": 4}),
        ("balanced class weights", {"class_weights": "balanced"}),
        ("pooling: mean", {"pooling": "mean"}),
        ("pooling: max", {"pooling": "max"}),
        ("pooling: last4", {"pooling": "last4"}),
        ("pooling: second_to_last", {"pooling": "second_to_last"}),
        ("frozen encoder, rate 1e-3", {"freeze_encoder": True, "learning_rate": 1e-3}),
    ]
)
# Further values of --ways: ways for some sets only, and ways that compute the same results.
FURTHER_WAYS = collections.OrderedDict(
    [
        (SWAPPED, {"swap_pairs": True}),
        (LONGER, {"max_seq_length": 256}),
        (NGRAMS, {"ngram_rows": 2**17}),
        (NGRAMS_WITH_FGM, {"ngram_rows": 2**17, "fgm_epsilon": 0.5}),
        ("--plain=true", {"plain": True}),
        ("--precision=bfloat16", {"precision": "bfloat16"}),
    ]
)
ALL_WAYS = collections.OrderedDict(list(OPTIONS.items()) + list(FURTHER_WAYS.items()))


# Words of the tables on Chinese pages; flags and names of data sets are not translated.
CHINESE = {
    "data set": "数据集",
    "start": "起点",
    "way of training": "训练方法",
    "dev, unseen rows": "dev，未见过的行",
    "test, unseen rows": "test，未见过的行",
    "seeds": "种子数",
    "time of a run": "每次用时",
    STARTS[BASELINE]: "基线",
    STARTS[PLAIN]: "自带模型",
    STARTS[FGM]: "自带模型，--fgm_epsilon=0.5",
    STARTS[SWAPPED]: "自带模型，--swap_pairs",
    STARTS[LONGER]: "自带模型，--max_seq_length=256",
    STARTS[NGRAMS]: "自带模型，--ngram_rows=131072",
    STARTS[NGRAMS_WITH_FGM]: "自带模型，--ngram_rows=131072 --fgm_epsilon=0.5",
    STARTS[RANDOM]: "随机权重",
    PLAIN: "不加选项",
    "layer-wise rate decay 0.8": "逐层学习率衰减 0.8",
    FGM: "FGM，epsilon 0.5",
    "label smoothing 0.1": "标签平滑 0.1",
    "focal loss, gamma 2": "focal loss，gamma 2",
    "R-Drop, alpha 4": "R-Drop，alpha 4",
    "balanced class weights": "平衡的类别权重",
    "pooling: mean": "池化：mean",
    "pooling: max": "池化：max",
    "pooling: last4": "池化：last4",
    "pooling: second_to_last": "池化：second_to_last",
    "frozen encoder, rate 1e-3": "冻结编码器，学习率 1e-3",
    SWAPPED: "句对正反两个方向",
    LONGER: "256 个词元",
    NGRAMS: "n-gram 表",
    NGRAMS_WITH_FGM: "n-gram 表加 FGM",
}


def define_flags():
    flags.DEFINE_string("data_dir", None, "Folder with a folder for each data set.")
    flags.DEFINE_string("model_dir", os.path.join(ROOT, "albert_starter_zh"), "Model folder.")
    flags.DEFINE_string("output_dir", "results_output", "Folder for the runs.")
    flags.DEFINE_list("datasets", list(DATASETS), "Data sets of the main table.")
    flags.DEFINE_list("starts", [BASELINE, PLAIN, RANDOM], "Starts of runs in the main table.")
    flags.DEFINE_list("option_datasets", ["lcqmc", "thucnews"], "Data sets of the table of ways.")
    flags.DEFINE_list("ways", list(OPTIONS), "Ways of training in that table.")
    flags.DEFINE_list("seeds", ["1", "2", "3"], "Seeds.")
    flags.DEFINE_float("learning_rate", None, "Overrides the rate of each set.")
    flags.DEFINE_float("epochs", None, "Overrides the number of epochs of each set.")
    flags.DEFINE_string("precision", "float32", "Precision, see run_classifier.py.")
    flags.DEFINE_integer("max_rows", None, "Use only the first rows of each file; default: all.")
    flags.DEFINE_integer("train_rows", None, "The same for training files; default: --max_rows.")
    flags.DEFINE_boolean("run", True, "Whether to execute missing runs; if false, only tables.")
    flags.DEFINE_list("write", [], "Markdown files whose tables to update; *_zh.md in Chinese.")


def main():
    """Executes the missing runs, then writes the tables."""
    if not FLAGS.data_dir or not os.path.isdir(FLAGS.data_dir):
        raise UserError(
            "--data_dir: expected the folder of the data sets, found %s" % FLAGS.data_dir
        )
    _check_names("datasets", DATASETS)
    _check_names("starts", STARTS)
    _check_names("option_datasets", DATASETS)
    _check_names("ways", ALL_WAYS)
    settings = {name: FLAGS[name].value for name in _SETTINGS}
    settings["data_dir"] = os.path.abspath(FLAGS.data_dir)
    settings["model_dir"] = os.path.abspath(FLAGS.model_dir)
    settings["weights"] = _weights()
    measuring.check_settings(FLAGS.output_dir, settings)
    plan = list(_plan())
    for number, (name, way, seed) in enumerate(plan if FLAGS.run else [], start=1):
        print("%d of %d: %s, %s, seed %s" % (number, len(plan), name, way, seed), flush=True)
        _run(name, way, seed)
    tables = [table for table in _tables(_done(plan)) if table.rows]
    for table in tables:
        print("\n".join(results_pages.lines_of(table)))
    for path in FLAGS.write:
        is_chinese = path.endswith("_zh.md")
        results_pages.write_tables(
            path, [_in_chinese(table) if is_chinese else table for table in tables]
        )


def _weights():
    """An identifier of the weights of --model_dir; None if it has no weights."""
    if not _has_weights():
        return None
    return checkpoint_values.fingerprint(checkpoint_files.find_checkpoint(FLAGS.model_dir))[:12]


def _check_names(flag, known):
    unknown = sorted(set(FLAGS[flag].value) - set(known))
    if unknown:
        raise UserError("--%s: unknown %s; known: %s" % (flag, unknown[0], ", ".join(known)))


def _plan():
    """Yields (data set, way, seed), beginning with the main table."""
    starts = [start for start in FLAGS.starts if _has_weights() or start in (BASELINE, RANDOM)]
    for name, way, seed in itertools.product(FLAGS.datasets, starts, FLAGS.seeds):
        yield name, way, seed
    if not _has_weights():
        print("%s has no weights: only random ones are tried" % FLAGS.model_dir)
        return
    for name, way, seed in itertools.product(FLAGS.option_datasets, FLAGS.ways, FLAGS.seeds):
        if way not in starts or name not in FLAGS.datasets:
            yield name, way, seed


def _folder(name, way, seed):
    words = re.sub(r"[^\w.]+", "_", way)
    return os.path.join(FLAGS.output_dir, name, words, "seed_" + seed)


def _run(name, way, seed):
    """Executes one run, unless its result exists."""
    folder = _folder(name, way, seed)
    path = os.path.join(folder, "result.json")
    if os.path.exists(path):
        return
    data = DATASETS[name]
    data_dir = _prepared_data(name, data)
    goes_on = os.path.isdir(folder) and bool(os.listdir(folder))
    begin = time.time()
    if way == BASELINE:
        result = _baseline(data, data_dir, int(seed))
    else:
        result = _fine_tuned(data, data_dir, folder, way, seed)
    output_files.write_json(path, dict(result, seconds=None if goes_on else time.time() - begin))


def _prepared_data(name, data):
    """The set's folder, or a copy if files must be renamed for the task or have fewer rows."""
    source = os.path.join(FLAGS.data_dir, data.folder)
    if not (data.files or FLAGS.max_rows or FLAGS.train_rows):
        return source
    folder = os.path.join(FLAGS.output_dir, name, "data")
    task = datasets.get_task(data.task)
    for split in ("train", "dev", "test"):
        part = None
        if data.files:
            name_of_split, part = data.files[split]
            path = os.path.join(source, name_of_split)
            usual = task.files[split]
            target = usual if isinstance(usual, str) else split + ".tsv"
        else:
            path = split_files.split_path(task, source, split)[0]
            target = os.path.basename(path) if path else None
        if path:
            lines = files.read_lines(path)
            if part:
                lines = in_order_of_chance(lines)[part]
            lines = lines[: _rows_of(split) and _rows_of(split) + 1]  # plus one: a header
            with output_files.atomic_write(os.path.join(folder, target)) as handle:
                handle.writelines(line + "\n" for line in lines)
    return folder


def _rows_of(split):
    """The number of rows of a split to use; None: all."""
    return FLAGS.train_rows if split == "train" and FLAGS.train_rows else FLAGS.max_rows


def in_order_of_chance(lines):
    """Shuffles the lines of a file of pairs, without the header and empty lines."""
    rows = [line for line in lines if line.rsplit("\t", 1)[-1] in ("0", "1")]
    random.Random(_LCQMC_ORDER).shuffle(rows)
    return rows


def _has_labelled_test(data, data_dir):
    task = datasets.get_task(data.task)
    path = split_files.split_path(task, data_dir, "test")[0]
    return path is not None and task_reader.read_split(task, data_dir, "test").has_labels


def _fine_tuned(data, data_dir, folder, way, seed):
    """Trains with run_classifier.py; {"dev": accuracy, "test": accuracy or None, ...}."""
    options = {
        "task_name": data.task,
        "data_dir": data_dir,
        "output_dir": folder,
        "bert_config_file": model_folder.config_in_folder(FLAGS.model_dir),
        "vocab_file": os.path.join(FLAGS.model_dir, "vocab.txt"),
        "max_seq_length": data.length,
        "train_batch_size": data.batch,
        "eval_batch_size": 64,
        "predict_batch_size": 64,
        "learning_rate": FLAGS.learning_rate or data.rate,
        "num_train_epochs": FLAGS.epochs or data.epochs,
        "seed": seed,
        "precision": FLAGS.precision,
        "do_train": True,
        "do_eval": True,
        "do_predict": _has_labelled_test(data, data_dir),
    }
    if way != RANDOM:
        options["init_checkpoint"] = FLAGS.model_dir
    options.update(ALL_WAYS.get(way, {}))
    command = [sys.executable, os.path.join(ROOT, "run_classifier.py")]
    command += ["--%s=%s" % item for item in sorted(options.items())]
    os.makedirs(FLAGS.output_dir, exist_ok=True)
    with open(os.path.join(FLAGS.output_dir, "runs.log"), "a", encoding="utf-8") as log:
        print(" ".join(command), file=log, flush=True)
        status = subprocess.call(command, stdout=log, stderr=log)
    if status:
        raise UserError("a run failed (status %d): see %s" % (status, log.name))
    report = files.read_json(os.path.join(folder, "report.json"), REPORT)
    names = ("accuracy", "accuracy_of_unseen_rows")
    result = {split: report.get(split, {}).get(names[0]) for split in ("dev", "test")}
    for split in ("dev", "test"):
        result[split + "_unseen"] = report.get(split, {}).get(names[1])
    return dict(result, command=command[1:])


def _has_weights():
    return any(name.endswith(".index") for name in os.listdir(FLAGS.model_dir))


def _baseline(data, data_dir, seed):
    """Accuracies of the scikit-learn model that is best on dev, of one or several candidates."""
    task = datasets.get_task(data.task)
    splits = {"train": task_reader.read_split(task, data_dir, "train")}
    if task.labels is None:
        task = own_labels.with_columns_and_labels(task, splits["train"])
    for name in ("dev", "test"):
        if name == "dev" or _has_labelled_test(data, data_dir):
            splits[name] = task_reader.read_split(task, data_dir, name)
    results = []
    for model in _models_of_scikit_learn(task_forms.is_pair(task), seed):
        train = splits["train"].examples
        model.fit(_inputs(task, train), [example.label for example in train])
        result = {"dev": None, "test": None}
        for name in sorted(set(splits) - {"train"}):
            result.update(_accuracies(name, task, model, splits[name].examples, train))
        results.append(result)
    return max(results, key=lambda result: result["dev"])


def _accuracies(name, task, model, examples, train):
    """{"dev": accuracy, "dev_unseen": accuracy on rows whose texts are not in train}; also test."""
    is_right = model.predict(_inputs(task, examples)) == [example.label for example in examples]
    seen = {text_groups.text_key(example) for example in train}
    is_unseen = [text_groups.text_key(example) not in seen for example in examples]
    has_both = any(is_unseen) and not all(is_unseen)
    unseen = float(np.mean(is_right[is_unseen])) if has_both else None
    return {name: float(np.mean(is_right)), name + "_unseen": unseen}


def _models_of_scikit_learn(is_pair, seed):
    if is_pair:
        return [_pair_model(seed)]
    return [topics_baseline.text_model(seed, least_texts) for least_texts in (1, 2)]


def _inputs(task, examples):
    if not task_forms.is_pair(task):
        return [example.text_a for example in examples]
    return np.array([overlap_baseline.overlap_features(e.text_a, e.text_b) for e in examples])


def _pair_model(seed):
    """Gradient boosting on features of character overlap."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(random_state=seed)


def _done(plan):
    """{(data set, way): list of results}."""
    results = collections.defaultdict(list)
    for name, way, seed in plan:
        path = os.path.join(_folder(name, way, seed), "result.json")
        if os.path.exists(path):
            results[name, way].append(files.read_json(path, RESULT, "remove it: it runs again"))
    return results


def _tables(results):
    """The two tables; only runs that were executed have rows."""
    yield _table("start", itertools.product(FLAGS.datasets, FLAGS.starts), results, STARTS)
    ways = {way: way for way in ALL_WAYS}
    pairs = itertools.product(FLAGS.option_datasets, FLAGS.ways)
    yield _table("way of training", pairs, results, ways)


def _table(what, pairs, results, titles):
    splits = "dev | test | dev, unseen rows | test, unseen rows"
    header = "| data set | %s | %s | seeds | time of a run |" % (what, splits)
    lines = [
        _row([DATASETS[name].title, titles[way]], results[name, way])
        for name, way in pairs
        if results[name, way]
    ]
    return results_pages.Table(what, header, results_pages.by_keys(lines))


def _in_chinese(table):
    rows = results_pages.by_keys([_translated(row) for row in table.rows.values()])
    return table._replace(header=_translated(table.header), rows=rows)


def _translated(row):
    cells = [CHINESE.get(cell, cell) for cell in row[2:-2].split(" | ")]
    return "| %s |" % " | ".join(cells)


def _row(cells, results):
    for split in ("dev", "test", "dev_unseen", "test_unseen"):
        cells.append(_mean_cell([result.get(split) for result in results]))
    cells.append("%d" % len(results))
    seconds = [result["seconds"] for result in results if result["seconds"] is not None]
    cells.append("%.0f s" % np.mean(seconds) if seconds else "-")
    return "| %s |" % " | ".join(cells)


def _mean_cell(values):
    if None in values:
        return "-"
    if len(values) == 1:
        return "%.2f" % (100 * values[0])
    mean, deviation = sweeps.mean_and_deviation([100 * value for value in values])
    return "%.2f ± %.2f" % (mean, deviation)


if __name__ == "__main__":
    define_flags()
    run_command(main)
