"""Tests of the command that is printed after training, run as if it were pasted into a shell."""

import importlib
import json
import os
import shlex

from absl import flags as absl_flags
import pytest

from albert_zh.commands import run_seq2seq
from albert_zh.common import package_files
from albert_zh.finetuning import flags as finetuning_flags
from albert_zh.finetuning import start_files, summary
from albert_zh.tasks import registry, task_forms
import small_models
from workspace import ROOT

FLAGS = absl_flags.FLAGS
ENTITIES = ("O", "B-loc", "I-loc")
LABELLER = {"objective": "sequence_labelling", "columns": ["text_a", "label"]}


def parts_of(model, kind, **task):
    """Returns (program name, flags, other arguments) of the command for a model of a kind."""
    columns = task.pop("columns", ("text_a", "label"))
    of_kind = task_forms.Task({}, columns, task.pop("labels", ()), objective=kind, **task)
    python, program, *arguments = shlex.split(summary.next_command(model, of_kind))
    assert os.path.exists(python) and os.path.dirname(os.path.abspath(program)) == ROOT
    flags = [argument for argument in arguments if argument.startswith("--")]
    words = [argument for argument in arguments if not argument.startswith("--")]
    return os.path.basename(program)[: -len(".py")], flags, words


def run(capsys, parts):
    """Runs the command; returns what it prints."""
    name, flags, words = parts
    small_models.run_command(importlib.import_module("albert_zh.commands." + name), flags, words)
    return capsys.readouterr().out


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Runs every test in a folder that contains no data of the clone."""
    monkeypatch.chdir(tmp_path)


def test_vectors_search_the_bundled_entries_from_any_folder(tmp_path, capsys):
    model = small_models.write_embedding_model(tmp_path / "vectors")
    os.remove(os.path.join(model, "label_map.json"))
    for kind in ("sentence_embedding", "sentence_retrieval"):
        name, flags, words = parts_of(model, kind)
        assert name == "similarity" and words == []
        corpus = flags[1].partition("=")[2]
        assert os.path.samefile(corpus, os.path.join(ROOT, "data", "faq_sample", "faq.txt"))
    with open(corpus, encoding="utf-8") as source, open("faq.txt", "w", encoding="utf-8") as copy:
        copy.writelines(source.readlines()[:20])
    flags = [flags[0], "--corpus=faq.txt"] + flags[2:]
    assert len(run(capsys, (name, flags, words)).splitlines()) == 5


def test_labellers_readers_and_generators_answer(tmp_path, capsys):
    head = {"head": {"form": "softmax"}}
    model = small_models.write_model(tmp_path / "ner", ENTITIES, settings=dict(LABELLER, **head))
    parts = parts_of(model, "sequence_labelling", labels=ENTITIES)
    assert parts[0] == "label" and json.loads(run(capsys, parts))["text"] == parts[2][0]
    model = small_models.write_reader(tmp_path / "reader")
    parts = parts_of(model, "reading_comprehension")
    assert parts[0] == "ask"
    small_models.run_command(importlib.import_module("albert_zh.commands.ask"), parts[1])
    assert "小米是谁创立的？" in capsys.readouterr().out
    model = small_models.write_generator(tmp_path / "generator")
    parts = parts_of(model, "generation", head={"damage": None})
    assert parts[0] == "generate" and json.loads(run(capsys, parts))["text"] == parts[2][0]


@pytest.mark.parametrize("way", ["mass", "bart"])
def test_models_of_damaged_texts_are_trained_on_pairs_next(way, tmp_path):
    model = small_models.write_generator(tmp_path / "generator")
    name, flags, words = parts_of(model, "generation", head={"damage": {"way": way}})
    assert (name, words) == ("run_seq2seq", []) and flags[0] == "--init_checkpoint=" + model
    with small_models.command_flags(run_seq2seq, flags):
        start_files.take(FLAGS)
        finetuning_flags.check_flags(FLAGS, "generation")
        assert FLAGS.bert_config_file == os.path.join(model, "albert_config.json")
        assert FLAGS.vocab_file == os.path.join(model, "vocab.txt")
        assert os.path.isfile(os.path.join(FLAGS.data_dir, "train.tsv"))
    assert registry.command_without_head({"objective": "generation"}) == "generate.py"


def test_paths_of_the_package_are_shown_for_the_current_folder(monkeypatch):
    path = os.path.join("data", "faq_sample", "faq.txt")
    assert package_files.shown(path) == os.path.join(ROOT, path)
    monkeypatch.chdir(ROOT)
    assert package_files.shown(path) == path
