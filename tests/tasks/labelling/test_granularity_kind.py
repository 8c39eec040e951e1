"""A segmenter with two granularities: training, scores, prediction, export, inference."""

import json
import random

import pytest

from albert_zh import finetuning
from albert_zh.commands import label
from albert_zh.common.errors import UserError
from albert_zh.inference import predictor
from albert_zh.model.checkpoints import checkpoint_files, checkpoint_values
from albert_zh.tasks import datasets
from albert_zh.tasks.labelling import granularity_names
from crossed_cases import with_slow
import small_models
import whole_runs

pytestmark = pytest.mark.newest

LETTERS = {"fillers": "甲乙丙丁", "surnames": "赵钱孙李", "places": "京津沪渝"}
TEXT = "京赵甲津李乙丙"
WORDS = {"fine": ["京赵", "甲", "津李", "乙", "丙"], "coarse": ["京赵甲", "津李乙", "丙"]}


def words_of_line(generator, granularity):
    """Returns the words of a line: place + surname, in coarse texts with the filler after them."""
    words = []
    for _ in range(generator.randint(2, 4)):
        pair = generator.choice(LETTERS["places"]) + generator.choice(LETTERS["surnames"])
        filler = generator.choice(LETTERS["fillers"])
        words += [pair, filler] if granularity == "fine" else [pair + filler]
        if generator.random() < 0.5:
            words.append(generator.choice(LETTERS["fillers"]))
    return words


def write_data(folder):
    for granularity in WORDS:
        for name, count in (("train", 150), ("dev", 30), ("test", 20)):
            generator = random.Random(name)
            lines = [" ".join(words_of_line(generator, granularity)) for _ in range(count)]
            path = folder / ("%s.%s.txt" % (name, granularity))
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture(name="finished", scope="module")
def finished_fixture(tmp_path_factory):
    """Returns (settings, the run's result, its output folder)."""
    folder = tmp_path_factory.mktemp("granularities")
    write_data(folder)
    settings = whole_runs.settings_of(
        folder,
        ["[unused1]", "[unused2]"] + list("".join(LETTERS.values())),
        60,
        family="sequence_labelling",
        task_name="cws",
        granularities=["fine", "coarse"],
        head_learning_rate=1.0,
        max_seq_length=24,
        save_checkpoints_steps=60,
    )
    return settings, finetuning.run(**settings), folder / "out"


@pytest.mark.slow
def test_scores_and_files_of_each_granularity(finished):
    settings, reached, output = finished
    assert reached["test"]["f1"] > 0.95
    scores = json.loads((output / "report.json").read_text(encoding="utf-8"))["test"]
    assert set(scores["granularities"]) == {"fine", "coarse"}
    assert min(row["f1"] for row in scores["granularities"].values()) > 0.95
    for name in WORDS:
        gold = (output.parent / ("test.%s.txt" % name)).read_text(encoding="utf-8").split("\n")
        predicted = (output / ("predictions.%s.txt" % name)).read_text(encoding="utf-8")
        lines = predicted.split("\n")
        assert len(lines) == len(gold)
        assert sum(a.split() == b.split() for a, b in zip(lines, gold)) > 15
    head = json.loads((output / "best" / "fine_tuning.json").read_text())["head"]
    assert head["granularity_tokens"] == {"fine": "[unused1]", "coarse": "[unused2]"}


@pytest.mark.parametrize("name", [None, "fine", "coarse"])
def test_words_of_the_granularity_asked_for(finished, name, capsys):
    arguments = ["--granularity=" + name] if name else []
    best = str(finished[2] / "best")
    small_models.run_command(label, ["--model_dir=" + best] + arguments, [TEXT])
    assert json.loads(capsys.readouterr().out)["words"] == WORDS[name or "fine"]


def test_a_granularity_that_is_not_there(finished):
    with pytest.raises(UserError, match="--granularity=pku: the model has only fine, coarse"):
        predictor.Predictor(str(finished[2] / "best"), granularity="pku")


def test_one_granularity_of_a_file_is_predicted(finished, tmp_path):
    settings, _, output = finished
    (tmp_path / "texts.txt").write_text(TEXT + "\n", encoding="utf-8")
    given = dict(settings, do_train=False, do_eval=False, data_dir=str(tmp_path / "texts.txt"))
    given.update(init_checkpoint=str(output / "best"), output_dir=str(tmp_path / "out"))
    del given["granularities"]
    finetuning.run(**dict(given, granularity="coarse"))
    predicted = (tmp_path / "out" / "predictions.txt").read_text(encoding="utf-8")
    assert predicted.split() == WORDS["coarse"]


@pytest.mark.slow
def test_unlabelled_texts_teach_every_granularity(finished, tmp_path, capsys):
    """The labelled rows are too few: both granularities are learned from the unlabelled texts."""
    settings, _, output = finished
    write_data(tmp_path)
    for name in WORDS:
        path = tmp_path / ("train.%s.txt" % name)
        lines = path.read_text(encoding="utf-8").splitlines()
        path.write_text("\n".join(lines[:4]) + "\n", encoding="utf-8")
        texts = [line.replace(" ", "") for line in lines[4:]]
    (tmp_path / "texts.txt").write_text("\n".join(texts) + "\n", encoding="utf-8")
    given = dict(settings, data_dir=str(tmp_path), output_dir=str(tmp_path / "out"))
    given.update(teachers=str(output / "best"), unlabelled_file=str(tmp_path / "texts.txt"))
    finetuning.run(**given)
    out = capsys.readouterr().out
    assert "unlabelled: %d rows of 1 file" % (2 * len(set(texts))) in out
    scores = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))["test"]
    assert min(row["f1"] for row in scores["granularities"].values()) > 0.9


ENDINGS = {"saved_model": "", "tflite": ".tflite", "onnx": ".onnx"}


@pytest.mark.newest
@pytest.mark.parametrize("output_format", with_slow(sorted(ENDINGS), ["onnx"]))
def test_exported_models_have_both(finished, output_format, tmp_path):
    from albert_zh.commands import export_model

    path = str(tmp_path / ("model" + ENDINGS[output_format]))
    best = str(finished[2] / "best")
    arguments = ["--model_dir=" + best, "--format=" + output_format, "--output=" + path]
    small_models.run_command(export_model, arguments)
    for name, words in WORDS.items():
        with predictor.Predictor(path, granularity=name) as model:
            decoded = model.predict([TEXT])[0][0]
        assert [span["text"] for span in decoded] == words


@pytest.mark.slow
def test_parts_that_are_left_out_have_no_variables(finished, tmp_path):
    given = dict(finished[0], output_dir=str(tmp_path / "out"), train_step=1, do_predict=False)
    given.update(granularity_bigrams=False, granularity_attention=False, granularity_loss=0.0)
    finetuning.run(**given)
    best = checkpoint_files.find_checkpoint(str(tmp_path / "out" / "best"))
    weights = checkpoint_values.read_weights(best)
    assert not any(name.startswith("granularity/") for name in weights)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"granularities": ["fine", "pku"]}, "train.pku.txt: no such file, nor train.pku"),
        ({"granularities": ["fine", "fine"]}, "expected different names"),
        ({"granularity": "fine"}, "--granularity=fine chooses what a trained model predicts"),
        ({"head": "global_pointer"}, "--granularities segments into words: use --head=crf"),
        ({"granularity_loss": -1.0}, "--granularity_loss=-1.0: expected a number, 0 or more"),
        (
            {"granularities": None, "granularity_bigrams": False},
            "--granularity_bigrams has no effect without --granularities",
        ),
    ],
)
def test_flags_that_make_no_sense(finished, tmp_path, changes, message):
    given = dict(finished[0], output_dir=str(tmp_path / "out"), **changes)
    if changes.get("granularities", ()) is None:
        del given["granularities"]
    with pytest.raises(UserError, match=message):
        finetuning.run(**given)


def test_files_of_the_granularity_asked_for():
    task = datasets.get_task("cws")
    head = {"granularities": ["fine", "coarse"]}
    files = granularity_names.files_of(head, task.files)
    assert files["dev"][0] == files["dev.fine"][0] == "dev.fine.txt"
    assert files["train.coarse"][2] == "train.coarse.jsonl"
    files = granularity_names.files_of(dict(head, granularity="coarse"), task.files)
    assert files["test"][0] == "test.coarse.txt" and "test.txt" in files["test"]
