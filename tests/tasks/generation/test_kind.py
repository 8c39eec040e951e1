"""A generator is trained, resumed, evaluated and used for predictions like other kinds of tasks."""

import json
import os
import random
import types

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh import finetuning
from albert_zh.common.errors import UserError
from albert_zh.export import common as export_common
from albert_zh.finetuning import flags as finetuning_flags
from albert_zh.finetuning import setup
from albert_zh.inference import generator, predictor
from albert_zh.tasks import registry
from albert_zh.tasks.generation import flags as generation_flags
import memory_storage
import small_models
import whole_runs

CHARACTERS = "甲乙丙丁戊己庚辛"
STEPS = 160


def rows_of(count, seed):
    """Yields lines of a repeated character and its target, that character and the previous one."""
    draw = random.Random(seed)
    for _ in range(count):
        index = draw.randrange(len(CHARACTERS))
        text = CHARACTERS[index] * draw.randint(2, 6)
        yield "%s\t%s\n" % (text, CHARACTERS[index] + CHARACTERS[index - 1])


@pytest.fixture(name="settings", scope="module")
def settings_fixture(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generation")
    for name, count in (("train", 200), ("dev", 40), ("test", 10)):
        (folder / (name + ".tsv")).write_text("".join(rows_of(count, name)), encoding="utf-8")
    changes = {
        "family": "generation",
        "task_name": "seq2seq",
        "max_target_length": 5,
        "label_smoothing": 0.0,
        "train_batch_size": 32,
    }
    return whole_runs.settings_of(folder, CHARACTERS, STEPS, **changes)


@pytest.fixture(name="reached", scope="module")
def reached_fixture(settings):
    return finetuning.run(**settings)


@pytest.mark.slow
@pytest.mark.newest
def test_it_learns_to_write(settings, reached):
    """Random texts would score far lower: a target has only 2 of the 8 characters."""
    assert reached["metric"] == "rouge_l"
    assert reached["test"]["rouge_l"] > 0.5
    assert reached["dev"]["eval_perplexity"] < 4.0
    with open(os.path.join(settings["output_dir"], "predictions.jsonl")) as lines:
        predicted = [json.loads(line) for line in lines]
    assert len(predicted) == 10 and all(row["prediction"] for row in predicted)
    with open(os.path.join(settings["output_dir"], "best", "fine_tuning.json")) as stream:
        notes = json.load(stream)
    assert notes["objective"] == "generation" and notes["head"]["token_ids"]["sep"] == 3


def test_a_classifier_beside_a_generator_is_not_its_head(tmp_path):
    folder = small_models.write_generator(tmp_path / "best")  # has a classifier as well
    with pytest.raises(UserError, match="best/.* has no head to predict with: use generate.py"):
        predictor.Predictor(folder)
    with pytest.raises(UserError, match="best/.* has no head to export: use it with generate.py"):
        export_common.read_model(folder, "classifier")
    assert export_common.read_model(folder, "pretraining").folder == folder


@pytest.mark.slow
def test_what_needs_a_head_names_the_command_that_writes(settings, reached):
    best = os.path.join(settings["output_dir"], "best")
    with pytest.raises(UserError, match="best/.* has no head to predict with: use generate.py"):
        predictor.Predictor(best)
    with pytest.raises(UserError, match="best/.* has no head to export: use it with generate.py"):
        export_common.read_model(best, "classifier")


@pytest.mark.slow
def test_a_stopped_run_of_all_tasks_resumes_bit_by_bit(settings, tmp_path):
    settings = dict(
        settings,
        tasks="prefix_lm,masked_lm:0.5,removed_positions:0.5",
        target_mask_prob=0.2,
        train_step=8,
        save_checkpoints_steps=4,
        output_dir=str(tmp_path / "whole"),
    )
    finetuning.run(**settings)
    whole, resumed = whole_runs.resumed_weights(settings, tmp_path)
    assert "removed_positions/kernel" in whole
    assert all(np.array_equal(whole[name], resumed[name]) for name in whole)


def corpus_of(folder):
    """Writes documents of two sentences, each of one repeated character."""
    for name, count in (("train", 60), ("dev", 12)):
        draw = random.Random(name)
        lines = ""
        for _ in range(count):
            pair = draw.sample(CHARACTERS, 2)
            lines += "".join(c * draw.randint(2, 3) + "。" for c in pair) + "\n\n"
        (folder / (name + ".txt")).write_text(lines, encoding="utf-8")


@pytest.mark.slow
@pytest.mark.newest
@pytest.mark.parametrize(
    "changes",
    [
        {"damage": "bart", "damage_copies": 2},
        {"damage": "mass"},
        {"damage": "bart", "tasks": "masked_targets"},
        {"damage": "mass", "tasks": "masked_targets"},
    ],
)
def test_raw_text_is_learnt_and_a_stopped_run_resumes_bit_by_bit(tmp_path, changes):
    corpus_of(tmp_path)
    settings = whole_runs.settings_of(
        tmp_path, CHARACTERS + "。", 8, family="generation", task_name="seq2seq",
        max_seq_length=20, max_target_length=9, do_predict=False,
        train_file=str(tmp_path / "train.txt"), dev_file=str(tmp_path / "dev.txt"),
    )  # fmt: skip
    settings.update(changes)
    settings.pop("data_dir")
    reached = finetuning.run(**settings)
    assert 1.0 < reached["dev"]["eval_perplexity"] < 14.0
    whole, resumed = whole_runs.resumed_weights(settings, tmp_path / "copy")
    assert all(np.array_equal(whole[name], resumed[name]) for name in whole)
    with pytest.raises(UserError, match="contains a run with another damage"):
        finetuning.run(**dict(settings, damage={"bart": "mass", "mass": "bart"}[changes["damage"]]))


@pytest.mark.newest
def test_a_generator_writes_as_it_was_trained(settings, tmp_path):
    """With masked targets, the run's predictions of the test file equal the generator's texts."""
    changed = dict(settings, tasks="masked_targets", train_step=80, save_checkpoints_steps=80)
    reached = finetuning.run(**dict(changed, output_dir=str(tmp_path / "out")))
    assert reached["dev"]["eval_perplexity"] < 8.0
    with open(str(tmp_path / "out" / "predictions.jsonl"), encoding="utf-8") as lines:
        predicted = [json.loads(line)["prediction"] for line in lines]
    with open(os.path.join(settings["data_dir"], "test.tsv"), encoding="utf-8") as lines:
        sources = [line.split("\t")[0] for line in lines]
    with generator.Generator(str(tmp_path / "out" / "best")) as writer:
        assert [one.text for one in writer.generate(sources, min_length=0)] == predicted
        beams = writer.generate(sources[:2], num_beams=3, min_length=0, length_penalty=0.0)
        one = writer.generate(sources[:2], min_length=0, length_penalty=0.0)
    assert all(best.score >= greedy.score - 1e-5 for best, greedy in zip(beams, one))
    with open(str(tmp_path / "out" / "best" / "fine_tuning.json"), encoding="utf-8") as stream:
        assert json.load(stream)["head"]["target_mask_prob"] == 0.7


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"tasks": "masked_lm"}, "exactly one of prefix_lm and masked_targets among them"),
        ({"tasks": "prefix_lm,prefix_lm:2"}, "--tasks: prefix_lm is named twice"),
        (
            {"tasks": "prefix_lm,masked_targets"},
            "exactly one of prefix_lm and masked_targets among",
        ),
        ({"damage": "noise"}, "--damage=noise: expected one of bart, mass"),
        ({"damage_copies": 2}, "--damage_copies requires --damage"),
        ({"damage": "bart", "damage_copies": 0}, "--damage_copies=0: expected 1 or more"),
        (
            {"damage": "bart", "tasks": "prefix_lm,masked_lm"},
            "the source is already a corrupted text",
        ),
        ({"damage": "bart", "text_column": "1"}, "--text_column: raw text"),
        ({"text_b_column": "2"}, "--text_b_column: rows have a source .--text_column. and a targ"),
        ({"tasks": "prefix_lm,other"}, "'other', expected NAME or NAME:WEIGHT"),
        ({"max_target_length": 12}, "expected 2 to 8, half of --max_seq_length=16"),
        ({"label_smoothing": 1.0}, "--label_smoothing=1: expected"),
        ({"rdrop_alpha": 1.0}, "--rdrop_alpha"),
        ({"best_metric": "accuracy"}, "unknown metric 'accuracy'"),
    ],
)
def test_flags_that_make_no_sense_are_errors_of_a_line(settings, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        finetuning.run(**dict(settings, output_dir=str(tmp_path), **changes))


@pytest.mark.newest
@pytest.mark.skipif(tf.__version__.startswith("1"), reason="TensorFlow 1.15 has no ram://")
def test_files_in_a_bucket_are_found(tmp_path, monkeypatch):
    with memory_storage.bucket(tmp_path, monkeypatch) as bucket:
        options = finetuning_flags.of_settings("generation", train_file=bucket + "/train.tsv")
        with pytest.raises(UserError, match="--train_file=ram://.*: no such file"):
            generation_flags.GenerationFlags().check(options)
        with tf.gfile.GFile(bucket + "/train.tsv", "w") as handle:
            handle.write("source\ttarget\n")
        generation_flags.GenerationFlags().check(options)


def test_weights_of_tasks():
    given = ["prefix_lm", "masked_lm:0.5"]
    assert generation_flags.task_weights(given) == {"prefix_lm": 1.0, "masked_lm": 0.5}


def test_what_cut_rows_are_too_long_for_is_named():
    values = {"max_seq_length": 64, "max_target_length": 5, "max_query_length": 32}
    options = {name: types.SimpleNamespace(value=value) for name, value in values.items()}
    words = {
        name: setup._too_long_in_words(registry.get(name), options)
        for name in ("generation", "reading_comprehension")
    }
    assert words == {
        "generation": "have a source of over 59 tokens (--max_seq_length=64 less "
        "--max_target_length=5) or a target of over 4",
        "reading_comprehension": "are longer than --max_query_length=32 tokens",
    }


def test_a_length_of_training_is_no_matter_of_prediction():
    """Regression: with --max_seq_length alone, the default of --max_target_length was refused."""
    check = registry.get("generation").flags.check
    check(finetuning_flags.of_settings("generation", max_seq_length=48))
    with pytest.raises(UserError, match="--max_target_length=.*: expected 2 to 24, half of --max"):
        check(finetuning_flags.of_settings("generation", max_seq_length=48, do_train=True))
