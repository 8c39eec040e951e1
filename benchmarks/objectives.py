r"""Compares pre-training objectives at equal compute by their scores after fine-tuning.

    python benchmarks/objectives.py --text='corpus/*.txt' --held_out_text=held_out.txt \
        --data_dir=DATA --chart=docs/images/objectives.png
    python benchmarks/objectives.py --text=news.txt --held_out_text=b.txt --tokens=20000 --seeds=1 \
        --tasks= --cost_steps=2

Creates records of the text, measures the cost of a step of each objective (processor time) and
pre-trains each objective from random weights for the same processor time, so that the most
expensive one sees --tokens and the others at least as many. Then it fine-tunes each model on TNEWS
(one epoch), LCQMC (10,000 rows of its test file, evaluated on 2,500 of its dev file), CMRC 2018
(the questions of its 700 shortest texts, evaluated on its trial file) and CLUENER. Prints the
masked-LM scores on held-out text and the scores of the tasks, means over the fine-tuning seeds.
All finished parts are saved in --output_dir: the same command resumes where it was stopped, so it
can run in parts. `DATA` has the folders tnews, lcqmc, cmrc2018 and ner_cluener.

With --hand_over the command stops before pre-training, which takes only minutes on a GPU
(objectives_on_gpu.py, with the same number of sequences in larger batches); without the flag it
continues with the models trained there.
"""

import collections
import glob
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from absl import flags
import objectives_hand_over
import objectives_results

from albert_zh.common import files, output_files
from albert_zh.common.errors import UserError, run_command
from albert_zh.model.config import AlbertConfig
from albert_zh.text import tokenization

FLAGS = flags.FLAGS
ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
LENGTH, BATCH, PREDICTIONS = 128, 64, 20
GPU_BATCH = 256
MASKED_LM = "masked LM"

Objective = collections.namedtuple("Objective", "format flags config")
Objective.__doc__ = """A pre-training objective.

Fields:
    format: format of its records, a value of create_pretraining_data.py's flag.
    flags: {flag of run_pretraining.py: value}.
    config: {key: value} that override the config.
"""
_PAIRS = "segment_pair"
OBJECTIVES = collections.OrderedDict(
    [
        ("MLM + SOP", Objective(_PAIRS, {"warm_start": True}, {})),
        (
            "MLM + SOP + spans + SBO",
            Objective(
                _PAIRS,
                {
                    "warm_start": True,
                    "span": True,
                    "do_whole_word_mask": True,
                    "span_boundary_weight": 1.0,
                },
                {},
            ),
        ),
        (
            "ELECTRA",  # at a rate of 1e-3 its detector does not learn
            Objective(
                _PAIRS, {"warm_start": True, "objective": "electra", "learning_rate": 5e-4}, {}
            ),
        ),
        (
            "DOC-SENTENCES",
            Objective("doc_sentences", {"warm_start": True, "sentence_task": False}, {}),
        ),
        ("MLM + SOP without warm start", Objective(_PAIRS, {}, {})),
        ("relative positions", Objective(_PAIRS, {}, {"use_relative_position": True})),
    ]
)

Task = collections.namedtuple("Task", "script flags result")
Task.__doc__ = """A task to fine-tune on.

Fields:
    script: its command.
    flags: {flag: value}; {data} is --data_dir and {made} the data derived from it.
    result: (file in the output folder, keys of the score in that file).
"""
_BEST = "eval_results.json"
TASKS = collections.OrderedDict(
    [
        (
            "tnews",
            Task(
                "run_classifier.py",
                {"task_name": "tnews", "data_dir": "{data}/tnews", "num_train_epochs": 1},
                (_BEST, ("best", "eval_accuracy")),
            ),
        ),
        (
            "lcqmc",
            Task(
                "run_classifier.py",
                {"task_name": "lcqmc", "data_dir": "{made}/lcqmc", "num_train_epochs": 3},
                (_BEST, ("best", "eval_accuracy")),
            ),
        ),
        (
            "cmrc2018",
            Task(
                "run_reading_comprehension.py",
                {
                    "train_file": "{made}/cmrc2018/train.json",
                    "dev_file": "{data}/cmrc2018/data_cmrc2018_trial.json",
                    "max_seq_length": 256,
                    "train_batch_size": 8,  # larger batches leave too few steps to learn
                    "num_train_epochs": 2,
                },
                (_BEST, ("best", "eval_f1")),
            ),
        ),
        (
            "cluener",
            Task(
                "run_seq_labelling.py",
                {
                    "task_name": "ner",
                    "data_dir": "{data}/ner_cluener",
                    "do_predict": True,
                    "overlaps": "longest",
                    "num_train_epochs": 4,
                },
                ("report.json", ("test", "f1")),
            ),
        ),
    ]
)
LCQMC_ROWS = {"train": ("test.txt", 10000), "dev": ("dev.txt", 2500)}
CMRC_CONTEXTS = 700


def define_flags():
    """Defines the command's flags."""
    flags.DEFINE_list("text", None, "Text files to pre-train on, or patterns of such files.")
    flags.DEFINE_string("held_out_text", None, "Text file to evaluate masked LM on.")
    flags.DEFINE_string("data_dir", None, "Folder with the tasks' folders.")
    flags.DEFINE_string("model_dir", os.path.join(ROOT, "albert_starter_zh"), "Config, vocabulary.")
    flags.DEFINE_string("output_dir", "objectives_output", "Folder for all files.")
    flags.DEFINE_integer("tokens", 20000000, "Minimum number of tokens that each objective sees.")
    flags.DEFINE_list("seeds", ["1", "2"], "Seeds of fine-tuning.")
    flags.DEFINE_list("objectives", list(OBJECTIVES), "Objectives to compare.")
    flags.DEFINE_list("tasks", list(TASKS), "Tasks to fine-tune on.")
    flags.DEFINE_integer("cost_steps", 60, "Steps to measure the cost of an objective by.")
    flags.DEFINE_string("precision", "float32", "Precision of matrix products in training.")
    flags.DEFINE_boolean("hand_over", False, "Whether to leave pre-training to a GPU; see above.")
    flags.DEFINE_string("chart", None, "PNG to draw the results to.")


def main():
    """Executes the missing parts and prints the table."""
    _check()
    write_data()
    plan = planned_steps()
    if FLAGS.hand_over:
        hand_over(plan)
        return
    rows = collections.OrderedDict()
    for name in FLAGS.objectives:
        rows[name] = scores_of(name, plan[name])
    for line in objectives_results.table(rows, plan):
        print(line)
    if FLAGS.chart:
        titles = {name: name.upper() for name in TASKS}
        objectives_results.draw(rows, titles, FLAGS.chart)


def _check():
    for name in ("text", "held_out_text") + (("data_dir",) if FLAGS.tasks else ()):
        if not FLAGS[name].value:
            raise UserError("--%s is required (%s)" % (name, FLAGS[name].help.rstrip(".")))
    for name, known in (("objectives", OBJECTIVES), ("tasks", TASKS)):
        unknown = sorted(set(FLAGS[name].value) - set(known))
        if unknown:
            raise UserError("--%s: unknown %s, expected some of %s" % (name, unknown, list(known)))


def path_of(*parts):
    """A path in the output folder."""
    return os.path.join(FLAGS.output_dir, *parts)


def run_script(script, settings, log):
    """Runs a command of the project; returns the seconds of processor time."""
    command = [sys.executable, os.path.join(ROOT, script)]
    command += ["--%s=%s" % pair for pair in settings.items()]
    os.makedirs(os.path.dirname(log), exist_ok=True)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with open(log, "a", encoding="utf-8") as stream:
        stream.write(" ".join(command) + "\n")
        stream.flush()
        done = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise UserError("%s failed: see %s" % (script, log))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


# Data


def write_data():
    """Writes records, configs and the split of LCQMC, unless they exist."""
    chosen = [OBJECTIVES[name] for name in FLAGS.objectives]
    for text_format in sorted({objective.format for objective in chosen}):
        _make_records(text_format + ".tfrecord", ",".join(FLAGS.text), text_format, "dynamic")
    _make_records("held_out.tfrecord", FLAGS.held_out_text, "doc_sentences", "static")
    (config,) = glob.glob(os.path.join(FLAGS.model_dir, "albert_config*.json"))
    for name in FLAGS.objectives:
        settings = dict(files.read_json(config), **OBJECTIVES[name].config)
        os.makedirs(path_of("configs"), exist_ok=True)
        output_files.write_json(config_of(name), settings)
    if "lcqmc" in FLAGS.tasks:
        _write_lcqmc()
    if "cmrc2018" in FLAGS.tasks:
        _write_cmrc()


def _make_records(name, text, text_format, masking):
    if os.path.exists(path_of(name + ".done")):
        return
    settings = {
        "input_file": text,
        "output_file": path_of(name),
        "vocab_file": os.path.join(FLAGS.model_dir, "vocab.txt"),
        "max_seq_length": LENGTH,
        "max_predictions_per_seq": PREDICTIONS,
        "format": text_format,
        "masking": masking,
        "dupe_factor": 1,
    }
    run_script("create_pretraining_data.py", settings, path_of("logs", name + ".log"))
    output_files.write_json(path_of(name + ".done"), settings)


def _write_lcqmc():
    os.makedirs(path_of("lcqmc"), exist_ok=True)
    for split, (source, count) in LCQMC_ROWS.items():
        lines = files.read_lines(os.path.join(FLAGS.data_dir, "lcqmc", source))[:count]
        random.Random(5).shuffle(lines)
        with output_files.atomic_write(path_of("lcqmc", split + ".txt")) as handle:
            handle.writelines(line + "\n" for line in lines)


def _write_cmrc():
    source = os.path.join(FLAGS.data_dir, "cmrc2018", "cmrc2018_train.json")
    content = files.read_json(source)
    os.makedirs(path_of("cmrc2018"), exist_ok=True)
    target = path_of("cmrc2018", "train.json")
    shortest = sorted(content["data"], key=_num_characters)[:CMRC_CONTEXTS]
    output_files.write_json(target, dict(content, data=shortest))


def _num_characters(article):
    return sum(len(paragraph["context"]) for paragraph in article["paragraphs"])


def config_of(name):
    """Path of an objective's config."""
    return path_of("configs", folder_of(name) + ".json")


def folder_of(name):
    """The folder name of an objective."""
    return "_".join(name.replace("+", " ").replace(",", " ").lower().split())


def tokens_of_step():
    """Tokens per batch, from the mean of the first records of segment pairs."""
    import tensorflow.compat.v1 as tf

    tf.logging.set_verbosity(tf.logging.ERROR)
    lengths = []
    text_format = OBJECTIVES[FLAGS.objectives[0]].format
    for record in tf.python_io.tf_record_iterator(path_of(text_format + ".tfrecord")):
        features = tf.train.Example.FromString(record).features.feature
        lengths.append(sum(features["input_mask"].int64_list.value))
        if len(lengths) == 2000:
            break
    return BATCH * statistics.mean(lengths)


# Pre-training


def planned_steps():
    """{objective: steps} of equal processor time; measured once and saved."""
    path = path_of("plan.json")
    plan = files.read_json(path) if os.path.exists(path) else {}
    costs = plan.setdefault("seconds_of_step", {})
    for name in FLAGS.objectives:
        if name not in costs:
            costs[name] = _cost_of_step(name)
            output_files.write_json(path, plan)
    if plan.setdefault("tokens", FLAGS.tokens) != FLAGS.tokens:
        raise UserError(
            "--tokens=%d: %s was made for %d: name another --output_dir"
            % (FLAGS.tokens, FLAGS.output_dir, plan["tokens"])
        )
    if not set(FLAGS.objectives) <= set(plan.setdefault("steps", {})):
        fewest = FLAGS.tokens / tokens_of_step()
        dearest = max(costs.values())
        plan["steps"] = {
            name: max(2, round(fewest * dearest / seconds)) for name, seconds in costs.items()
        }
    output_files.write_json(path, plan)
    return plan["steps"]


def _cost_of_step(name):
    """Processor seconds per step, from the difference of a longer and a shorter run."""
    seconds = []
    for steps in (2, 2 + FLAGS.cost_steps):
        folder = path_of("costs", folder_of(name), str(steps))
        shutil.rmtree(folder, ignore_errors=True)  # a killed command's run would be resumed
        settings = pretraining_settings(name, steps, folder)
        settings.update(do_eval=False)
        seconds.append(run_script("run_pretraining.py", settings, path_of("logs", "costs.log")))
    return max(seconds[1] - seconds[0], 1e-3) / FLAGS.cost_steps


def pretraining_settings(name, steps, folder):
    """{flag: value} of a run of run_pretraining.py."""
    objective = OBJECTIVES[name]
    settings = {
        "do_train": True,
        "do_eval": True,
        "input_file": path_of(objective.format + ".tfrecord"),
        "eval_file": path_of("held_out.tfrecord"),
        "output_dir": folder,
        "bert_config_file": config_of(name),
        "vocab_file": os.path.join(FLAGS.model_dir, "vocab.txt"),
        "max_seq_length": LENGTH,
        "max_predictions_per_seq": PREDICTIONS,
        "train_batch_size": BATCH,
        "num_train_steps": steps,
        "num_warmup_steps": min(steps // 10, 1000),
        "save_checkpoints_steps": max(1, min(500, steps)),
        "keep_checkpoint_max": 2,
        "optimizer": "adamw",
        "learning_rate": 1e-3,
        "precision": FLAGS.precision,
        "seed": 1,
    }
    return dict(settings, **objective.flags)


def hand_over(plan):
    """Writes the inputs of objectives_on_gpu.py to the folder `gpu`.

    Args:
        plan: {objective: steps}.
    """
    os.makedirs(path_of("gpu"), exist_ok=True)
    tokens = tokenization.FullTokenizer(os.path.join(FLAGS.model_dir, "vocab.txt"))
    special = {name[1:-1].lower(): tokens.vocab[name] for name in ("[MASK]", "[SEP]")}
    trainings = {}
    for name in FLAGS.objectives:
        run = path_of("models", folder_of(name), "run")
        steps = max(1, plan[name] * BATCH // GPU_BATCH)
        settings = pretraining_settings(name, 2, run)
        settings.update(num_warmup_steps=1, save_checkpoints_steps=1, do_eval=False)
        if not os.path.exists(os.path.join(run, "model.ckpt-2.index")):
            run_script("run_pretraining.py", settings, path_of("logs", "start.log"))
        start = path_of("gpu", folder_of(name) + "_start.npz")
        prefix = os.path.join(run, "model.ckpt-1")  # initial weights: the first step's rate is 0
        objectives_hand_over.write_start(prefix, start)
        trainings[folder_of(name)] = objectives_hand_over.training_settings(
            OBJECTIVES[name],
            AlbertConfig.from_json_file(config_of(name)),
            steps=steps,
            batch_size=GPU_BATCH,
            learning_rate=settings["learning_rate"],
            num_warmup_steps=min(steps // 10, 1000),
        )
    for text_format in sorted({training["format"] for training in trainings.values()}):
        objectives_hand_over.write_records(
            path_of(text_format + ".tfrecord"), path_of("gpu", "records_%s.npz" % text_format)
        )
    output_files.write_json(
        path_of("gpu", "plan.json"),
        {"special": dict(special, vocab_size=len(tokens.vocab)), "objectives": trainings},
    )


def _take_back(name, run, steps):
    """Copies weights trained on a GPU to the folder of the run, which is then complete."""
    trained = path_of("gpu", folder_of(name) + "_trained.npz")
    if os.path.exists(trained):
        objectives_hand_over.take_back(trained, run, steps)


def scores_of(name, steps):
    """{column: scores} of an objective: one for held-out masked LM, one per seed for each task."""
    folder = path_of("models", folder_of(name))
    model, log = os.path.join(folder, "model"), os.path.join(folder, "pretraining.log")
    if not os.path.exists(os.path.join(model, "done")):
        run = os.path.join(folder, "run")
        _take_back(name, run, steps)
        settings = pretraining_settings(name, steps, run)
        run_script("run_pretraining.py", dict(settings, export_dir=model), log)
        open(os.path.join(model, "done"), "w").close()
    results = files.read_lines(os.path.join(folder, "run", "eval_results.txt"))
    measured = dict(line.split(" = ") for line in results)
    is_plain = OBJECTIVES[name].flags.get("objective") is None
    accuracy = float(measured["masked_lm_accuracy"]) if is_plain else float("nan")
    scores = collections.OrderedDict([(MASKED_LM, [100 * accuracy])])
    for task in FLAGS.tasks:
        folders = {seed: os.path.join(folder, task, "seed_" + seed) for seed in FLAGS.seeds}
        scores[task] = [100 * _tuned(task, *pair, model) for pair in folders.items()]
    return scores


def _tuned(name, seed, folder, model):
    """The score of a model that is fine-tuned on a task."""
    task = TASKS[name]
    file_name, keys = task.result
    path = os.path.join(folder, file_name)
    if not os.path.exists(path):
        (config,) = glob.glob(os.path.join(model, "*config*.json"))
        settings = {
            "do_train": True,
            "do_eval": True,
            "bert_config_file": config,
            "vocab_file": os.path.join(model, "vocab.txt"),
            "init_checkpoint": model,
            "output_dir": folder,
            "max_seq_length": LENGTH,
            "train_batch_size": 32,
            "learning_rate": 2e-4,
            "precision": FLAGS.precision,
            "seed": seed,
        }
        for flag, value in task.flags.items():
            is_text = isinstance(value, str)
            made = value.format(data=FLAGS.data_dir, made=FLAGS.output_dir) if is_text else value
            settings[flag] = made
        run_script(task.script, settings, os.path.join(folder, "command.log"))
    score = files.read_json(path)
    for key in keys:
        score = score[key]
    return score


if __name__ == "__main__":
    define_flags()
    run_command(main)
