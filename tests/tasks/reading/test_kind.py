"""Reading comprehension as a kind of task: training, resuming, prediction, export, ask.py."""

import io
import json
import os
import random
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh import finetuning
from albert_zh.commands import ask, cmrc2018_evaluate
from albert_zh.common.errors import UserError
from albert_zh.finetuning import flags as finetuning_flags
from albert_zh.inference import predictor, reader
from albert_zh.model.checkpoints import checkpoint_values
from albert_zh.tasks import datasets, kind_interface, registry
from albert_zh.tasks.reading import flags as reading_flags
from albert_zh.tasks.reading import records
from albert_zh.text import tokenization
from albert_zh.training import flags as run_flags
from crossed_cases import with_slow
import small_models
import whole_runs
from workspace import ROOT, assert_same_weights

pytestmark = pytest.mark.rewritten_graphs

LETTERS, DIGITS = "甲乙丙丁戊", "0123456789"
QUESTION = "数？"
STEPS = 160
FAMILY = "reading_comprehension"


def answer_of(context):
    """Returns the only run of digits in a context, "" if there is none."""
    return "".join(char for char in context if char in DIGITS)


def contexts_of(count, seed):
    """Yields texts of letters, most of which contain a run of digits."""
    generator = random.Random(seed)
    for number in range(count):
        before, after = (generator.choices(LETTERS, k=generator.randint(2, 9)) for _ in "ab")
        digits = generator.choices(DIGITS, k=0 if number % 5 == 0 else generator.randint(1, 3))
        yield "".join(before + digits + after)


def document_of(contexts):
    """Returns contexts, each with the question for its digits, in SQuAD's layout."""
    paragraphs = []
    for number, context in enumerate(contexts):
        text = answer_of(context)
        answers = [{"text": text, "answer_start": context.index(text)}] if text else []
        question = {"id": "Q%d" % number, "question": QUESTION, "answers": answers}
        paragraphs.append({"context": context, "qas": [dict(question, is_impossible=not text)]})
    return {"data": [{"paragraphs": paragraphs}]}


@pytest.fixture(name="settings", scope="module")
def settings_fixture(tmp_path_factory):
    """Returns the settings of a run whose contexts need up to three windows."""
    folder = tmp_path_factory.mktemp("questions")
    for name, count in (("train", 200), ("dev", 60), ("test", 40)):
        document = document_of(contexts_of(count, name))
        (folder / (name + ".json")).write_text(json.dumps(document), encoding="utf-8")
    tokens = ["？", "数"] + list(LETTERS + DIGITS) + ["##" + digit for digit in DIGITS]
    changes = {
        "family": FAMILY,
        "task_name": "questions",
        "max_seq_length": 16,
        "max_query_length": 2,
        "doc_stride": 6,
    }
    return whole_runs.settings_of(folder, tokens, STEPS, **changes)


@pytest.fixture(name="finished", scope="module")
def finished_fixture(settings):
    """Returns (settings, result of the finished run)."""
    return settings, finetuning.run(**settings)


def read_json(settings, name):
    with open(os.path.join(settings["output_dir"], name), encoding="utf-8") as handle:
        return json.load(handle)


def test_it_learns_and_answers(finished):
    settings, reached = finished
    assert reached["metric"] == "f1" and reached["test"]["f1"] > 0.8
    predictions = read_json(settings, "dev_predictions.json")
    contexts = list(contexts_of(40, "test"))
    right = [predictions["Q%d" % at] == answer_of(text) for at, text in enumerate(contexts)]
    assert len(predictions) == 40 and np.mean(right) == pytest.approx(
        reached["test"]["exact_match"]
    )
    assert any(predictions["Q%d" % at] == "" == answer_of(t) for at, t in enumerate(contexts))
    for at, entries in read_json(settings, "dev_nbest_predictions.json").items():
        context = contexts[int(at[1:])]
        assert entries[0]["text"] == predictions[at]
        assert all(context[entry["start"] : entry["end"]] == entry["text"] for entry in entries)
    assert set(read_json(settings, "null_odds.json")) == set(predictions)


def test_its_report_and_the_evaluator_agree(finished, tmp_path):
    settings, reached = finished
    report = read_json(settings, "report.json")
    assert report["test"]["f1"] == reached["test"]["f1"]
    assert {row["group"] for row in report["test"]["by_answer_length"]} >= {"无答案", "1-2"}
    answerable = [text for text in contexts_of(40, "test") if answer_of(text)]
    ids = {"Q%d" % at: text for at, text in enumerate(contexts_of(40, "test"))}
    predictions = read_json(settings, "dev_predictions.json")
    kept = [at for at, text in ids.items() if text in answerable]
    document = document_of(answerable)
    for at, paragraph in zip(kept, document["data"][0]["paragraphs"]):
        paragraph["qas"][0]["id"] = at
    for name, content in (("data.json", document), ("predicted.json", predictions)):
        (tmp_path / name).write_text(json.dumps(content), encoding="utf-8")
    line = json.loads(
        cmrc2018_evaluate.metric_line(str(tmp_path / "data.json"), str(tmp_path / "predicted.json"))
    )
    assert float(line["F1"]) == pytest.approx(100 * report["test"]["f1_of_answerable"], abs=1e-3)


def test_its_model_notes_how_it_reads(finished):
    notes = read_json(finished[0], "best/fine_tuning.json")
    head = notes["head"]
    assert (head["doc_stride"], head["max_query_length"]) == (6, 2)
    assert head["max_answer_length"] == 3 and head["version_2_with_negative"] is True
    assert isinstance(notes["null_score_diff_threshold"], float)
    assert 0 <= notes["length_penalty"] <= 1.5


@pytest.mark.slow
@pytest.mark.newest
def test_it_resumes_to_the_same_weights(finished, tmp_path):
    whole, again = whole_runs.resumed_weights(finished[0], tmp_path)
    assert_same_weights(whole, again)


@pytest.mark.slow
def test_a_killed_process_resumes_to_the_same_weights(finished, tmp_path):
    settings, _ = finished
    killed = str(tmp_path / "out")
    given = dict(settings, output_dir=killed)
    names = sorted(set(given) - {"family"})
    command = [sys.executable, os.path.join(ROOT, "run_reading_comprehension.py")]
    command += ["--%s=%s" % (name, given[name]) for name in names]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    saved = os.path.join(killed, "model.ckpt-%d.index" % (STEPS // 2))
    while process.poll() is None and not os.path.exists(saved):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not os.path.exists(os.path.join(killed, "dev_predictions.json"))
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    whole, again = (
        checkpoint_values.read_weights(os.path.join(folder, "model.ckpt-%d" % STEPS))
        for folder in (settings["output_dir"], killed)
    )
    assert_same_weights(whole, again)
    for name in ("dev_predictions.json", "dev_nbest_predictions.json"):
        assert read_json(given, name) == read_json(settings, name)


def test_a_run_that_only_predicts_writes_the_same_files(finished, tmp_path):
    settings, _ = finished
    again = dict(settings, do_train=False, do_eval=False, output_dir=str(tmp_path / "out"))
    again["init_checkpoint"] = os.path.join(settings["output_dir"], "best")
    del again["data_dir"]
    again["predict_file"] = os.path.join(settings["data_dir"], "test.json")
    finetuning.run(**again)
    for name in ("dev_predictions.json", "null_odds.json"):
        assert read_json(again, name) == pytest.approx(read_json(settings, name), abs=1e-4)


def test_predictor_answers_as_the_run(finished):
    settings, _ = finished
    predictions = read_json(settings, "dev_predictions.json")
    contexts = list(contexts_of(40, "test"))
    with predictor.Predictor(os.path.join(settings["output_dir"], "best")) as model:
        decoded, _ = model.predict([(QUESTION, context) for context in contexts])
    assert [entries[0]["text"] for entries in decoded] == list(predictions.values())
    for context, entries in zip(contexts, decoded):
        assert all(context[e["begin"] : e["end"]] == e["text"] for e in entries)


@pytest.mark.newest
@pytest.mark.parametrize(
    "output_format", with_slow(["saved_model", "tflite", "onnx"], ["tflite", "onnx"])
)
def test_exported_files_answer_the_same(finished, output_format, tmp_path):
    from albert_zh.commands import export_model

    endings = {"saved_model": "", "tflite": ".tflite", "onnx": ".onnx"}
    path = str(tmp_path / ("model" + endings[output_format]))
    best = os.path.join(finished[0]["output_dir"], "best")
    arguments = ["--model_dir=" + best, "--format=" + output_format, "--output=" + path]
    small_models.run_command(export_model, arguments)
    pairs = [(QUESTION, context) for context in list(contexts_of(20, "test"))]
    with predictor.Predictor(best) as model:
        expected = model.predict(pairs)[0]
    with predictor.Predictor(path) as exported:
        decoded = exported.predict(pairs)[0]
    for entries, others in zip(expected, decoded):
        assert [entry["text"] for entry in entries] == [entry["text"] for entry in others]
        shares = [entry["probability"] for entry in entries]
        assert shares == pytest.approx([entry["probability"] for entry in others], abs=1e-4)


def test_losses_are_those_of_numpy():
    kind = registry.get(FAMILY)
    generator = np.random.RandomState(3)
    logits = {name: generator.normal(size=(2, 6)) for name in ("start_logits", "end_logits")}
    features = {
        "span_mask": [[1, 0, 1, 1, 1, 0], [1, 0, 1, 1, 0, 0]],
        "start_positions": [2, 0],
        "end_positions": [4, 0],
    }
    with tf.Graph().as_default(), tf.Session() as session:
        outputs = {name: tf.constant(array, tf.float32) for name, array in logits.items()}
        tensors = {name: tf.constant(column) for name, column in features.items()}
        losses = session.run(kind.losses(outputs, tensors, None))
        same = session.run(kind.divergence(outputs, outputs, tensors, None))
    for row in range(2):
        total = 0.0
        for name, gold in (("start_logits", "start_positions"), ("end_logits", "end_positions")):
            chosen = logits[name][row][np.array(features["span_mask"][row], bool)]
            total += np.log(np.exp(chosen).sum()) - logits[name][row][features[gold][row]]
        assert losses[row] == pytest.approx(total / 2, abs=1e-5)
        record = {name: column[row] for name, column in features.items()}
        of_row = {name: array[row] for name, array in logits.items()}
        assert records.row_losses(record, of_row) == pytest.approx(total / 2, abs=1e-6)
    assert same == pytest.approx([0.0, 0.0], abs=1e-6)


def test_an_empty_context_has_one_row_and_no_answer(settings):
    tokenizer = tokenization.FullTokenizer(settings["vocab_file"])
    kind = registry.get(FAMILY)
    task = datasets.get_task("questions")._replace(head={"max_query_length": 2})
    example = predictor.InputExample("text-0", QUESTION, " ", None)
    rows, was_cut = kind.features(task, example, tokenizer, 16)
    assert len(rows) == 1 and not was_cut
    assert rows[0]["span_mask"] == [1, 0, 0, 0, 0] and rows[0]["segment_ids"] == [0, 0, 0, 0, 1]
    use = kind_interface.ModelInUse(task, {"head": task.head}, tokenizer, 16)
    logits = {"start_logits": np.zeros(5), "end_logits": np.zeros(5)}
    assert kind.decode([example], [[logits]], use) == [[]]


def run_of(settings, tmp_path, document, **more):
    path = tmp_path / "train.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    changed = dict(settings, output_dir=str(tmp_path / "out"), train_file=str(path), **more)
    changed["predict_file"] = str(path)
    finetuning.run(**changed)


BAD_SETTINGS = {
    "max_seq_length=9: expected more than --max_query_length=6": {
        "max_seq_length": 9,
        "max_query_length": 6,
    },
    "doc_stride=0: expected 1 or more": {"doc_stride": 0},
    "train_file=none.json: no such file, expected one of questions": {
        "train_file": "none.json",
        "predict_file": "none.json",
    },
    "train_file is required in addition to the other files": {"predict_file": "none.json"},
    "n_best_size=0: expected 1 or more": {"n_best_size": 0},
    "version_2_with_negative: with --original_features every question is answered": {
        "version_2_with_negative": True,
        "original_features": True,
    },
    "null_score_diff_threshold: with --original_features every question is answered": {
        "null_score_diff_threshold": 0.0,
        "original_features": True,
    },
    "length_penalty: with --original_features every question is answered, by scores only": {
        "length_penalty": 0.5,
        "original_features": True,
    },
    "length_penalty=-0.5: expected a number, 0 or more": {"length_penalty": -0.5},
    "train.json: 40 of its 200 questions have no answer, which --original_features never "
    "predicts": {
        "original_features": True,
    },
    "label_column: columns of questions have fixed names": {"label_column": "x"},
    "a data set of the kind single_label, but this run is for reading": {"task_name": "lcqmc"},
    "unknown metric 'accuracy', expected one of f1, exact_match": {"best_metric": "accuracy"},
}


@pytest.mark.parametrize("message", BAD_SETTINGS)
def test_flags_that_make_no_sense(settings, tmp_path, message):
    with pytest.raises(UserError, match=message) as caught:
        finetuning.run(**dict(settings, **dict(BAD_SETTINGS[message], output_dir=str(tmp_path))))
    assert "\n" not in str(caught.value)


def test_data_without_a_located_answer_is_refused(settings, tmp_path):
    document = document_of(["甲1"])
    document["data"][0]["paragraphs"][0]["context"] = "甲乙"
    with pytest.raises(UserError, match="none of its 1 questions has an answer") as caught:
        run_of(settings, tmp_path, document)
    assert "\n" not in str(caught.value)


def test_questions_without_an_answer_are_left_out_where_the_flag_says_so(settings):
    kind = registry.get(FAMILY)
    split = kind.read_split(
        datasets.get_task("questions"), settings["data_dir"], "train", "utf-8", False
    )
    options = finetuning_flags.of_settings(FAMILY, version_2_with_negative=False)
    assert len(split.examples) == 200
    assert len(kind.training_split(split, options)[0].examples) == 160
    options = finetuning_flags.of_settings(FAMILY)
    assert len(kind.training_split(split, options)[0].examples) == 200


def test_a_test_file_that_chooses_the_model_is_named(settings):
    """This happens with --do_train --do_eval --do_predict --predict_file and no --dev_file."""
    kind, task = registry.get(FAMILY), datasets.get_task("questions")
    path = os.path.join(settings["data_dir"], "test.json")
    train_path = os.path.join(settings["data_dir"], "train.json")
    options = finetuning_flags.of_settings(FAMILY, train_file=train_path, predict_file=path)
    task = task._replace(files=kind.flags.files(options))
    splits = {
        name: kind.read_split(task, os.curdir, name, "utf-8", False)
        for name in ("train", "dev", "test")
    }
    *lines, note = kind.about_data(task, splits)[0]
    assert lines == ["%s: 200 questions" % train_path] + ["%s: 40 questions" % path] * 2
    assert note.startswith("note: %s chooses the best checkpoint" % path) and "--dev_file" in note
    assert kind.about_data(task, {name: splits[name] for name in ("dev", "test")})[0] == lines[1:]
    options = finetuning_flags.of_settings(
        FAMILY, train_file=train_path, predict_file=path, dev_file=train_path
    )
    splits["dev"] = kind.read_split(
        task._replace(files=kind.flags.files(options)), os.curdir, "dev", "utf-8", False
    )
    assert len(kind.about_data(task, splits)[0]) == 3


def test_every_head_flag_is_defined():
    options = finetuning_flags.of_settings(FAMILY)
    assert set(reading_flags.HEAD) <= set(options)
    assert reading_flags.given_head(options) == {} == reading_flags.given_head(None)


# Flags of google-research/bert's run_squad.py, with the defaults that affect the model.
FLAGS_OF_BERT = (
    "bert_config_file vocab_file output_dir train_file predict_file init_checkpoint do_lower_case "
    "max_seq_length=384 doc_stride=128 max_query_length=64 do_train do_predict train_batch_size=32 "
    "predict_batch_size=8 learning_rate num_train_epochs=3 warmup_proportion=0.1 "
    "save_checkpoints_steps=1000 iterations_per_loop=1000 n_best_size=20 max_answer_length use_tpu "
    "tpu_name tpu_zone gcp_project master num_tpu_cores=8 verbose_logging version_2_with_negative "
    "null_score_diff_threshold"
)


def test_every_flag_of_bert_s_run_squad_is_accepted(capsys):
    options = finetuning_flags.of_settings(FAMILY, verbose_logging=True)
    for flag in FLAGS_OF_BERT.split():
        name, _, default = flag.partition("=")
        assert name in options, name
        assert not default or options[name].value == float(default), name
    run_flags.say_what_has_no_effect(options, registry.get(FAMILY).flags.without_effect)
    assert "note: --verbose_logging has no effect" in capsys.readouterr().out


# Reader, ask.py


@pytest.fixture(name="best", scope="module")
def best_fixture(finished):
    return os.path.join(finished[0]["output_dir"], "best")


def test_reader_answers_with_ranges(finished, best):
    predictions = read_json(finished[0], "dev_predictions.json")
    contexts = list(contexts_of(40, "test"))
    with reader.Reader(best) as model:
        answers = model.answers([(QUESTION, context) for context in contexts], top_k=2)
        assert [entries[0].text for entries in answers] == list(predictions.values())
        assert all(len(entries) == 2 for entries in answers)
        for context, entries in zip(contexts, answers):
            assert all(context[entry.begin : entry.end] == entry.text for entry in entries)
        long_context = "甲乙丙" * 300 + "7" + "丁" * 300
        assert model.answer(QUESTION, long_context, top_k=1)[0].text == "7"
        with pytest.raises(UserError, match="expected a question and its context"):
            model.answers(["甲"])
        with pytest.raises(UserError, match="expected a question and its context"):
            model.answer(" ", "甲")


@pytest.mark.parametrize(
    "pairs, message",
    [
        (None, "pairs: expected a list of (question, context), found None"),
        (5, "pairs: expected a list of (question, context), found 5"),
        ([None], "text 0: expected a question and its context, found None"),
        ([(QUESTION, "甲"), 5], "text 1: expected a question and its context, found 5"),
        ([(QUESTION, None)], "text 0: expected a question and its context, found ('数？', None)"),
        ([(QUESTION, "甲", "乙")], "text 0: expected a question and its context, found ('数？'"),
        ("甲乙", "text 0: expected a question and its context, found '甲'"),
    ],
)
def test_what_a_reader_cannot_answer_is_named(pairs, message):
    with pytest.raises(UserError) as caught:
        reader.checked_pairs(pairs)
    assert str(caught.value).startswith(message)


def test_a_reader_takes_pairs_of_any_sequence():
    pairs = ([QUESTION, "甲"], np.array([QUESTION, "乙"]))
    assert reader.checked_pairs(iter(pairs)) == [(QUESTION, "甲"), (QUESTION, "乙")]


def test_reader_refuses_models_of_other_kinds(tmp_path):
    other = small_models.write_model(tmp_path / "other", settings={"objective": "single_label"})
    with pytest.raises(UserError, match="of the kind single_label, expected reading_compr"):
        reader.Reader(other)


def test_documents_are_searched(best, tmp_path):
    paths = [str(tmp_path / name) for name in ("a.txt", "b.txt")]
    for path, lines in zip(paths, (["甲甲乙", "", "数丙丙8丁"], ["丁丁丁"] * 30)):
        with open(path, "w", encoding="utf-8") as handle:
            handle.write("\n".join(lines) + "\n")
    documents = reader.Documents(paths)
    assert len(documents) == 32
    with reader.Reader(best) as model:
        (entry,) = documents.answer(model, QUESTION, top_k=1)
    assert (entry.path, entry.line, entry.answer.text) == (paths[0], 3, "8")
    assert entry.paragraph[entry.answer.begin : entry.answer.end] == "8"


def test_paragraphs_are_cut_at_sentences():
    assert reader.cut_paragraph("甲乙。丙丁！戊", 5) == ["甲乙。", "丙丁！戊"]
    assert reader.cut_paragraph("甲乙丙丁戊", 2) == ["甲乙", "丙丁", "戊"]
    assert reader.cut_paragraph("") == []


def test_ask_prints_answers(best, tmp_path, capsys):
    context = tmp_path / "context.txt"
    context.write_text("甲乙42丙\n", encoding="utf-8")
    common = ["--model_dir=" + best, "--question=" + QUESTION]
    for source in ("--text=甲乙42丙", "--context=%s" % context):
        small_models.run_command(ask, common + [source])
        cells = capsys.readouterr().out.rstrip("\n").split("\t")
        assert cells[:2] == [QUESTION, "42"] and cells[3] == "2-4"
    small_models.run_command(ask, common + ["--text=甲乙42丙", "--top_k=99"])
    assert re.search(r"note: --top_k=99: the model keeps \d+ answers", capsys.readouterr().err)
    small_models.run_command(ask, common + ["--documents=%s/*.txt" % tmp_path])
    cells = capsys.readouterr().out.rstrip("\n").split("\t")
    assert (cells[1], cells[3]) == ("42", "%s:1" % context)


class Lines(io.TextIOWrapper):
    """Standard input with the given text, from a terminal or from a pipe."""

    def __init__(self, text, is_terminal):
        super().__init__(io.BytesIO(text.encode("utf-8")))
        self.is_terminal = is_terminal

    def isatty(self):
        return self.is_terminal


@pytest.mark.parametrize(
    "is_terminal, asked", [(False, ["数？", "几？"]), (True, ["数？"])], ids=["pipe", "terminal"]
)
def test_ask_skips_blank_lines_and_ends_at_one_that_is_typed(is_terminal, asked, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Lines("数？\n \n\n几？\n", is_terminal))
    with small_models.command_flags(ask, ["--text=甲乙42丙"]):
        assert list(ask._questions()) == asked


def test_a_question_with_tabs_is_one_cell():
    assert ask._lines("数\t几\n？", [("42", "0.5", "2-4")]) == ["数 几 ？\t42\t0.5\t2-4"]


BAD_QUESTIONS = {
    "expected one of --context=FILE, --text=TEXT and --documents=PATTERN, found none": [],
    "found --context and --text": ["--context=a", "--text=b"],
    "--text: the text is empty": ["--text= "],
    "no such file, expected text files": ["--documents=nothing/*.txt"],
    r"=/: a folder, expected files: pass --documents='/\*.txt'": ["--documents=/"],
}


@pytest.mark.parametrize("message", BAD_QUESTIONS)
def test_questions_that_cannot_be_answered(message):
    with pytest.raises(UserError, match=message):
        small_models.run_command(ask, ["--model_dir=none"] + BAD_QUESTIONS[message])


def test_lengths_of_a_model_that_is_used_are_not_compared_with_defaults():
    """The default of --max_query_length does not apply to a model with shorter questions."""
    check = registry.get(FAMILY).flags.check
    lengths = {"max_seq_length": 64, "max_query_length": 64}
    message = "--max_seq_length=64: expected more than --max_query_length=64"
    for settings in ({"max_seq_length": 64, "do_train": True}, lengths):
        with pytest.raises(UserError, match=message):
            check(finetuning_flags.of_settings(FAMILY, **settings))
    for name, length in (("max_seq_length", 64), ("max_query_length", 500)):
        check(finetuning_flags.of_settings(FAMILY, **{name: length}))
    with pytest.raises(UserError, match="--doc_stride=0: expected 1 or more"):
        check(finetuning_flags.of_settings(FAMILY, doc_stride=0))
