"""Tests every path flag of every command with a bucket that refuses every request (403).

The command must end with a line that names the path and with exit status 2, and must not create a
folder called `gs:`.
"""

import glob
import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from albert_zh.common import path_rules, transfer
from command_flags import path_flags
import object_store
import pretraining_workspace
import small_models
import tiny_tasks
from workspace import CONFIG, ROOT, Workspace

pytestmark = [
    pytest.mark.newest,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl for a certificate"),
    pytest.mark.skipif(sys.version_info < (3, 8), reason="TensorFlow 1.15 takes no certificate"),
]
TRAINED = " --do_train=true --do_eval=true --output_dir={out} --train_batch_size=4"
MODEL = " --bert_config_file={model}/albert_config.json --vocab_file={model}/vocab.txt"
PAIRS = "--task_name=lcqmc --data_dir={data} --max_seq_length=24 --train_step=1" + TRAINED + MODEL
LABELS = PAIRS.replace("lcqmc", "ner").replace("{data}", "{root}/sequence_labelling")
QUESTION_FILES = (
    "--train_file={root}/reading_comprehension/train.json "
    "--dev_file={root}/reading_comprehension/dev.json "
    "--predict_file={root}/reading_comprehension/test.json "
)
QUESTIONS = QUESTION_FILES + "--max_seq_length=24 --train_step=1 --max_query_length=6 "
QUESTIONS += "--do_predict=true" + TRAINED + MODEL
SENTENCE_FILES = "--train_file={root}/scored.tsv --dev_file={root}/scored.tsv "
SENTENCES = SENTENCE_FILES + "--max_seq_length=24 --train_step=1" + TRAINED + MODEL
TITLES = PAIRS.replace("--task_name=lcqmc ", "").replace("{data}", "{root}/generation")
RECORDS = "--input_file={root}/a.tfrecord --max_seq_length=16 --max_predictions_per_seq=3 "
RECORDS += "--num_train_steps=1 --num_warmup_steps=0 --eval_batch_size=4" + TRAINED + MODEL
GOOGLE = RECORDS.replace("--bert_config_file", "--albert_config_file")
TEXT = "--input_file={texts} --output_file={root}/new.tfrecord --vocab_file={model}/vocab.txt "
TEXT += "--max_seq_length=16 --max_predictions_per_seq=3 --segmenter=none"
# By command: valid arguments without a bucket. `INSTEAD` lists the arguments that a flag replaces,
# `BESIDE` those that it requires.
WORDS = {
    "ask": "--model_dir={model} --question=吃 --context={texts}",
    "average_models": "--model_dirs={embedding},{other_embedding} --output_dir={root}/mean",
    "build_vocab": "--corpus={texts} --output={root}/new.txt --min_count=1",
    "classify": "--model_dir={model} --input_file={texts}",
    "cmrc2018_evaluate": "{root}/reading_comprehension/dev.json {root}/answers.json",
    "convert_albert_pytorch_checkpoint_to_tf": "--pytorch_model_path={torch} "
    "--tf_dump_path={root}/tf",
    "convert_albert_tf_checkpoint_to_pytorch": "--tf_checkpoint_path={model} "
    "--pytorch_dump_path={root}/new",
    "create_pretraining_data": TEXT,
    "create_pretraining_data_google": TEXT,
    "create_teacher_targets": "",
    "data_augmentation": "",
    "drcd_evaluate": "{root}/reading_comprehension/dev.json {root}/answers.json",
    "export_model": "--model_dir={model} --format=frozen --output={root}/new.pb",
    "extend_positions": "--model_dir={starter} --output_dir={root}/longer --trained_length=128",
    "extract_features": "--model_dir={model} --input_file={texts} --output_file={root}/new.npy",
    "fill_mask": "--model_dir={model} 今[MASK]",
    "freeze_graph": "--input_checkpoint={model}/albert_model.ckpt --output_graph={root}/new.pb "
    "--output_node_names=probabilities",
    "general_distill": RECORDS + " --teacher_model={model}",
    "generate": "--model_dir={generator} --input_file={texts}",
    "inspect_checkpoint": "{model} --drop_optimizer --output_dir={root}/new_weights",
    "inspect_tfrecord": "{root}/a.tfrecord",
    "label": "--model_dir={labeller} --input_file={texts}",
    "run_classifier": PAIRS,
    "run_classifier_clue": PAIRS,
    "run_classifier_multiclass": PAIRS,
    "run_classifier_ner": LABELS,
    "run_classifier_sp_google": PAIRS.replace("--bert_config_file", "--albert_config_file"),
    "run_pretraining": RECORDS,
    "run_pretraining_google": GOOGLE,
    "run_pretraining_google_fast": GOOGLE.replace("{model}/albert_config", "{root}/fast"),
    "run_reading_comprehension": QUESTIONS,
    "run_sentence_embedding": SENTENCES,
    "run_seq2seq": TITLES + " --max_target_length=12",
    "run_seq_labelling": LABELS,
    "run_squad": QUESTIONS,
    "serve": "--model_dir={pair_model} --port=0",
    "similarity": "--model_dir={pair_model} --pairs={root}/pairs.tsv",
    "squad_evaluate": "{root}/reading_comprehension/dev.json {root}/answers.json",
    "task_distill": "",
    "test_changes": "",
}
INSTEAD = {  # the arguments that a flag replaces
    ("ask", "documents"): "--context={texts}",
    ("build_vocab", "report"): WORDS["build_vocab"],
    ("build_vocab", "vocab_file"): WORDS["build_vocab"],
    ("extract_features", "init_checkpoint"): "--model_dir={model} ",
    ("similarity", "corpus"): "--pairs={root}/pairs.tsv",
    ("similarity", "encoder_dir"): "--pairs={root}/pairs.tsv",
    ("similarity", "queries"): "--pairs={root}/pairs.tsv",
    ("similarity", "dev_file"): "--pairs={root}/pairs.tsv",
    ("run_reading_comprehension", "data_dir"): QUESTION_FILES,
    ("run_sentence_embedding", "data_dir"): SENTENCE_FILES,
    ("run_squad", "data_dir"): QUESTION_FILES,
    ("serve", "embedding_dir"): "--model_dir={pair_model}",
    ("serve", "generator_dir"): "--model_dir={pair_model}",
}
BESIDE = {  # the arguments that a flag requires
    ("build_vocab", "report"): "--vocab_file={model}/vocab.txt",
    ("build_vocab", "vocab_file"): "--report={texts}",
    ("serve", "corpus"): "--embedding_dir={embedding}",
    ("similarity", "corpus"): "--query=吃饭",
    ("similarity", "encoder_dir"): "--corpus={texts} --query=吃饭",
    ("similarity", "queries"): "--corpus={texts}",
    ("similarity", "dev_file"): "--corpus={texts}",
}
WITH_TEACHERS = ("teacher_cache", "unlabelled_file")
OF_PAIRS = {command for command in WORDS if command.startswith("run_classifier")} - {
    "run_classifier_ner"
}
BESIDE.update(
    ((command, flag), "--teachers={pair_model}") for command in OF_PAIRS for flag in WITH_TEACHERS
)
ENDINGS = {path_rules.FILES: "/x.txt", path_rules.OUTPUT: "/x", path_rules.DATA: "/x"}
ALONE = {  # commands that take paths as positional arguments
    "cmrc2018_evaluate": "{remote} {root}/answers.json",
    "drcd_evaluate": "{root}/reading_comprehension/dev.json {remote}",
    "inspect_checkpoint": "{remote}",
    "inspect_tfrecord": "{remote}",
    "squad_evaluate": "{remote} {root}/answers.json",
}


def root_commands():
    paths = glob.glob(os.path.join(ROOT, "albert_zh", "commands", "*.py"))
    return {os.path.basename(path)[:-3] for path in paths} - {"__init__"}


def test_every_command_has_words():
    assert set(WORDS) == root_commands()


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Returns {name: path}: local input files and folders that are valid for every command."""
    folder = tmp_path_factory.mktemp("inputs")
    workspace = Workspace(folder, num_train=8, num_dev=4, num_test=4)
    for family in tiny_tasks.KINDS:
        tiny_tasks.write(workspace, family)
    records = pretraining_workspace.Workspace(folder / "records")
    shutil.copy(
        records.write_records("a.tfrecord", pretraining_workspace.masked_records(8)), str(folder)
    )
    pairs = {"columns": ["text_a", "text_b", "label"], "task": "lcqmc"}
    small_models.write_model(folder / "used", settings={"columns": ["text_a", "label"]})
    small_models.write_model(folder / "pair_model", settings=pairs)
    for name in ("embedding", "other_embedding"):
        small_models.write_embedding_model(folder / name)
    small_models.write_generator(folder / "generator")
    labels = {"columns": ["text_a", "label"], "objective": "sequence_labelling"}
    labels["head"] = {"form": "softmax"}
    small_models.write_model(folder / "labeller", ("O", "B-x", "I-x"), settings=labels)
    fast = dict(CONFIG, num_hidden_groups=1, ffn_groups=16)
    workspace.write("fast.json", json.dumps(fast))
    workspace.write("texts.txt", "今天气很好\n我们去吃饭吧\n\n什么时候开门\n怎么办理银行卡\n" * 5)
    workspace.write("pairs.tsv", "今天\t明天\n")
    workspace.write("scored.tsv", "".join("今天%d\t吃饭\t%d\n" % (n, n % 3) for n in range(8)))
    workspace.write("answers.json", json.dumps({"Q0": "123"}))
    for name in ("train", "dev", "test"):
        workspace.write("generation/%s.tsv" % name, "今天气很好\t吃饭\n" * 8)
    return {
        "root": str(folder),
        "data": workspace.data,
        "model": str(folder / "used"),
        "pair_model": str(folder / "pair_model"),
        "embedding": str(folder / "embedding"),
        "other_embedding": str(folder / "other_embedding"),
        "generator": str(folder / "generator"),
        "labeller": str(folder / "labeller"),
        "starter": os.path.join(ROOT, "albert_starter_zh"),
        "torch": str(folder / "torch"),
        "texts": str(folder / "texts.txt"),
    }


def _name_of(flag, text):
    """Returns how a command's arguments spell a flag, which may be by an alias."""
    spelled = {"bert_config_file": ("--albert_config_file=", "--bert_config_file=")}
    names = spelled.get(flag, ("--%s=" % flag,))
    return next((name for name in names if name in text), names[-1])


def cases_of(command, places):
    """Returns {argument that names the bucket: arguments of the command}."""
    cases = {}
    for flag in path_flags(command):
        if flag in WITH_TEACHERS and command.startswith("run_") and command not in OF_PAIRS:
            continue  # the same code as in OF_PAIRS, but it would need a teacher of this kind
        remote = "gs://closed/%s%s" % (flag, ENDINGS.get(path_rules.PATH_FLAGS[flag], ""))
        text = WORDS[command].replace(INSTEAD.get((command, flag), " "), " ")
        given = _name_of(flag, text) + remote
        kept = [word for word in text.split() if not word.startswith(given.split("=")[0] + "=")]
        kept += BESIDE.get((command, flag), "").split() + [given]
        cases[given] = [word.format(remote=remote, out="{out}", **places) for word in kept]
    if command in ALONE:
        remote = "gs://closed/words/x.json"
        words = ALONE[command].split()
        cases[remote] = [word.format(remote=remote, **places) for word in words]
    return cases


def outcomes(cases, folder):
    """Runs commands in a folder, which must stay empty; returns [(exit status, standard error)]."""
    (folder / "tls").mkdir()
    (folder / "here").mkdir()
    lines = [
        [word.replace("{out}", str(folder / ("out%d" % number))) for word in words]
        for number, words in enumerate(cases)
    ]
    with object_store.running(folder / "tls") as store:
        store.always += [(method, "", 403) for method in ("GET", "POST", "PUT", "DELETE", "HEAD")]
        settings = dict(os.environ, **store.environment)
        settings[transfer.SCRATCH_VARIABLE] = str(folder / "scratch")
        done = subprocess.run(
            [sys.executable, os.path.join(ROOT, "tests", "support", "forked_commands.py")],
            input=json.dumps(lines), env=settings, cwd=str(folder / "here"),
            stdout=subprocess.PIPE, text=True, timeout=1800,
        )  # fmt: skip
    assert done.returncode == 0 and os.listdir(str(folder / "here")) == []
    return [json.loads(line) for line in done.stdout.strip().split("\n")]


def faults(outcome, flag, remote):
    """Returns a description of what is wrong with how a command ended, "" if nothing is."""
    status, shown = outcome
    errors = [line for line in shown.split("\n") if ": error: " in line]
    if status != 2 or "Traceback" in shown or len(errors) != 1:
        return "status %s: %s" % (status, shown[-1500:])
    names = [os.path.dirname(remote), "%s:" % flag]  # the folder of the path, or the refused flag
    if not any(name in errors[0] for name in names) or shown.strip().split("\n")[-1] != errors[0]:
        return "last line: " + shown[-600:]
    return ""


# Commands that only check flags and open models and texts; the others train, export or convert.
FAST = set(
    "ask classify cmrc2018_evaluate create_teacher_targets data_augmentation drcd_evaluate "
    "inspect_checkpoint inspect_tfrecord squad_evaluate task_distill test_changes".split()
)


@pytest.mark.slow
@pytest.mark.parametrize(
    "commands", [sorted(FAST), sorted(set(WORDS) - FAST)], ids=["fast", "others"]
)
def test_a_closed_bucket_is_named_in_a_line(commands, places, tmp_path):
    if "convert_albert_pytorch_checkpoint_to_tf" in commands:
        from albert_zh.commands import convert_albert_tf_checkpoint_to_pytorch as to_torch

        to_torch.convert(os.path.join(places["model"], "albert_model.ckpt"), places["torch"])
    cases = [
        ("%s %s" % (command, given), [command] + words)
        for command in commands
        for given, words in cases_of(command, places).items()
    ]
    found = outcomes([words for _, words in cases], tmp_path)
    wrong = {}
    for (name, _), ended in zip(cases, found):
        flag, remote = re.fullmatch("[a-z_0-9]+ (--[a-z_-]+)?=?(gs://.*)", name).groups()
        wrong[name] = faults(ended, flag, remote)
    assert not any(wrong.values()), "\n".join("%s: %s" % row for row in wrong.items() if row[1])
