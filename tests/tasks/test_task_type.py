"""A kind of task from outside the package is trained, resumed, predicted, exported and served."""

import json
import os
import random
import urllib.request

import numpy as np
import pytest

from albert_zh import finetuning
from albert_zh.common.errors import UserError
from albert_zh.inference import predictor
from albert_zh.tasks import registry
from crossed_cases import with_slow
import digits_task
import small_models
import whole_runs
from workspace import assert_same_weights

CHARACTERS = "甲乙丙丁戊0123456789"
STEPS = 60


def rows_of(count, seed):
    """Returns lines of a text and a string that marks each of its characters: 1 for digits."""
    generator = random.Random(seed)
    texts = [
        "".join(generator.choices(CHARACTERS, k=generator.randint(3, 9))) for _ in range(count)
    ]
    marks = ["".join(str(int(char.isdigit())) for char in text) for text in texts]
    return "".join("%s\t%s\n" % pair for pair in zip(texts, marks))


@pytest.fixture(name="settings", scope="module")
def settings_fixture(tmp_path_factory):
    """Fixture: writes the data files of a run and returns its settings."""
    folder = tmp_path_factory.mktemp("digits")
    for name, count in (("train", 200), ("dev", 60), ("test", 20)):
        (folder / (name + ".tsv")).write_text(rows_of(count, name), encoding="utf-8")
    changes = {"family": "digits", "task_name": "multiclass"}
    return whole_runs.settings_of(folder, CHARACTERS, STEPS, **changes)


@pytest.fixture(name="finished", scope="module")
def finished_fixture(settings):
    """Fixture: (settings, return value of the finished run)."""
    return settings, finetuning.run(**settings)


def expected_positions(text):
    return [place for place, char in enumerate(text) if char.isdigit()]


def test_it_learns_and_predicts(finished):
    settings, reached = finished
    assert reached["metric"] == "accuracy" and reached["test"]["accuracy"] > 0.9
    with open(os.path.join(settings["output_dir"], "predictions.jsonl")) as lines:
        predicted = [json.loads(line) for line in lines]
    assert len(predicted) == 20
    right = [line["prediction"] == expected_positions(line["text"]) for line in predicted]
    assert np.mean(right) > 0.8
    with open(os.path.join(settings["output_dir"], "report.md")) as report:
        assert "accuracy" in report.read()


def test_it_resumes_to_the_same_weights(finished, tmp_path):
    whole, again = whole_runs.resumed_weights(finished[0], tmp_path)
    assert_same_weights(whole, again)


def test_it_is_used_and_served(finished):
    pytest.importorskip("uvicorn")
    from albert_zh.inference.serving import http_service
    from http_requests import running

    texts = ["甲12乙", "丙丁", "0甲"]
    with predictor.Predictor(os.path.join(finished[0]["output_dir"], "best")) as model:
        decoded, outputs = model.predict(texts)
        assert decoded == [expected_positions(text) for text in texts] and outputs is None
        with running(http_service.create_app(model)) as port:
            request = urllib.request.Request(
                "http://127.0.0.1:%d/predict" % port,
                json.dumps({"texts": texts}).encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request) as answer:
                assert json.load(answer) == {"predictions": decoded}


@pytest.mark.newest
@pytest.mark.parametrize("output_format", with_slow(["saved_model", "tflite"], ["tflite"]))
def test_it_is_exported(finished, output_format, tmp_path):
    from albert_zh.commands import export_model

    path = str(tmp_path / ("model.tflite" if output_format == "tflite" else "model"))
    best = os.path.join(finished[0]["output_dir"], "best")
    arguments = ["--model_dir=" + best, "--format=" + output_format, "--output=" + path]
    small_models.run_command(export_model, arguments)
    texts = ["甲12乙", "丙丁戊甲乙丙", "0甲"]
    with predictor.Predictor(path) as model:
        assert model.predict(texts)[0] == [expected_positions(text) for text in texts]


def test_its_module_is_short():
    with open(digits_task.__file__, encoding="utf-8") as source:
        lines = [line for line in source if line.strip() and not line.startswith(("from", "imp"))]
    assert len(lines) < 60


def test_unknown_kinds_are_named():
    with pytest.raises(UserError, match="'other', expected a kind of task, one of .*multi_label"):
        registry.get("other")
