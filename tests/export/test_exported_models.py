"""A model folder and its exported forms give the same results in Python, the shell and HTTP."""

import itertools
import json
import logging
import os
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.commands import export_model, similarity
from albert_zh.common import cores
from albert_zh.common.errors import UserError
from albert_zh.inference import predictor
from crossed_cases import with_slow
import small_models
from workspace import CHARACTERS, ROOT, VOCABULARY

FORMS = {
    "SavedModel": ["--format=saved_model"],
    "TFLite, any length": ["--format=tflite", "--seq_length=dynamic"],
    "TFLite, 48 tokens": ["--format=tflite", "--seq_length=48"],
    "ONNX": ["--format=onnx"],
    "ONNX, 48 tokens": ["--format=onnx", "--seq_length=48"],
}
of_former = pytest.mark.skipif(
    not tf.__version__.startswith(("1.", "2.15.")), reason="TensorFlow's own interpreter goes away"
)
OF_METADATA = ["--format=tflite", "--seq_length=48", "--metadata"]


def export(folder, path, arguments):
    if "--format=tflite" in arguments and tf.__version__.startswith("1."):
        pytest.skip("TFLite files are made by TensorFlow 2")
    if "--format=onnx" in arguments:
        pytest.importorskip("tf2onnx", reason="needs requirements-export.txt")
    small_models.run_command(
        export_model, ["--model_dir=" + folder, "--output=" + path] + arguments
    )
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "topics"
    return small_models.write_model(path, labels=("体育", "财经", "娱乐"))


@pytest.fixture(scope="module")
def texts():
    random = np.random.RandomState(5)

    def text():
        return "".join(random.choice(list(CHARACTERS), random.randint(0, 60)))

    return [(text(), text()) if random.rand() < 0.5 else text() for _ in range(40)]


@pytest.fixture(scope="module")
def expected(folder, texts):
    with predictor.Predictor(folder) as model:
        return model.predict(texts)


def check(path, texts, expected):
    with predictor.Predictor(path) as model:
        assert model.labels == ["体育", "财经", "娱乐"] and model.max_seq_length == 48
        labels, probabilities = model.predict(texts)
        np.testing.assert_allclose(probabilities, expected[1], atol=1e-5)
        assert labels == expected[0]
        np.testing.assert_allclose(model.predict(texts[:1])[1], expected[1][:1], atol=1e-5)


@pytest.mark.parametrize("form", with_slow(sorted(FORMS), ["ONNX", "TFLite, any length"]))
def test_exported_forms_predict_the_same(form, folder, texts, expected, tmp_path):
    name = "model.onnx" if form.startswith("ONNX") else "model.tflite"
    path = export(folder, str(tmp_path / "exported" / name), FORMS[form])
    check(path, texts, expected)


@pytest.mark.reference
@pytest.mark.slow
@pytest.mark.parametrize("kind", ["saved_model", "tflite", "onnx"])
def test_an_export_goes_into_the_folder_of_its_model_by_default(kind, tmp_path):
    if kind == "tflite" and tf.__version__.startswith("1."):
        pytest.skip("TFLite files are made by TensorFlow 2")
    if kind == "onnx":
        pytest.importorskip("tf2onnx", reason="needs requirements-export.txt")
    folder = small_models.write_model(tmp_path / "model")
    before = set(os.listdir(folder))
    for _ in range(2):  # the second export replaces the first
        small_models.run_command(export_model, ["--model_dir=" + folder, "--format=" + kind])
    made = set(os.listdir(folder)) - before - {"tokenizer.json"}
    names = {
        "saved_model": "saved_model",
        "tflite": "albert_classifier_48.tflite",
    }  # 48 is the length in fine_tuning.json
    assert made == {names.get(kind, "albert_classifier.onnx")}
    with predictor.Predictor(folder) as model, predictor.Predictor(
        os.path.join(folder, *made)
    ) as exported:
        np.testing.assert_allclose(
            exported.predict(["今天"])[1], model.predict(["今天"])[1], atol=1e-5
        )


class Listener(logging.Handler):
    """Collects the messages of TensorFlow's loggers."""

    def __init__(self, monkeypatch, caplog):
        super().__init__()
        self.messages = []
        for name in ("absl", "tensorflow"):
            caplog.set_level(logging.INFO, logger=name)
            monkeypatch.setattr(logging.getLogger(name), "handlers", [self])
            logging.getLogger(name).info("heard " + name)

    def emit(self, record):
        self.messages.append(record.getMessage())


def test_making_a_tflite_file_logs_nothing(folder, tmp_path, monkeypatch, caplog):
    listener = Listener(monkeypatch, caplog)
    export(folder, str(tmp_path / "model.tflite"), FORMS["TFLite, 48 tokens"])
    assert listener.messages == ["heard absl", "heard tensorflow"]


@pytest.mark.slow
def test_loading_a_saved_model_logs_nothing(folder, tmp_path, monkeypatch, caplog):
    path = export(folder, str(tmp_path / "exported"), FORMS["SavedModel"])
    listener = Listener(monkeypatch, caplog)
    with predictor.Predictor(path) as model:
        assert len(model.predict(["今天"])[0]) == 1
    assert listener.messages == ["heard absl", "heard tensorflow"]


@pytest.mark.slow
def test_a_saved_model_takes_what_the_model_takes(tmp_path):
    folder = small_models.write_model(tmp_path / "single", type_vocab_size=1)
    path = export(folder, str(tmp_path / "exported"), FORMS["SavedModel"])
    for form in (folder, path):
        with predictor.Predictor(form, max_seq_length=100) as model:
            assert model.max_seq_length == 64
            model.predict(["今" * 70])
            with pytest.raises(UserError, match="takes single texts"):
                model.predict([("今天", "明天")])
    vocabulary = os.path.join(path, "1", "assets.extra", "vocab.txt")
    with open(vocabulary, "a", encoding="utf-8") as handle:
        handle.write("甲\n")
    with pytest.raises(UserError, match="vocabulary has [0-9]+ entries"):
        predictor.Predictor(path)


@pytest.mark.parametrize("ending", ["tflite", "onnx"])
def test_a_file_with_metadata_needs_nothing_beside_it(ending, folder, texts, expected, tmp_path):
    arguments = OF_METADATA if ending == "tflite" else FORMS["ONNX"]
    path = export(folder, str(tmp_path / "exported" / ("model." + ending)), arguments)
    alone = str(tmp_path / ("alone." + ending))
    os.rename(path, alone)
    check(alone, texts, expected)
    labels = {"of another model %d" % number: number for number in range(expected[1].shape[1])}
    (tmp_path / "label_map.json").write_text(json.dumps(labels), encoding="utf-8")
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n", encoding="utf-8")
    check(alone, texts, expected)


ASKS_FOR_THREADS = """
import os, sys
import predictor
if sys.argv[1] == "without LiteRT":
    sys.modules["ai_edge_litert"] = None
before = len(os.listdir("/proc/self/task"))
for num_threads in (None, 3):
    with predictor.Predictor(sys.argv[2], num_threads=num_threads) as model:
        model.predict(["甲乙"])
        print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="threads are counted in /proc")
@pytest.mark.parametrize(
    "way",
    ["with LiteRT", pytest.param("without LiteRT", marks=[of_former, pytest.mark.slow])],
)
def test_a_tflite_file_takes_one_thread_unless_more_are_asked_for(folder, tmp_path, way):
    if way == "with LiteRT":
        pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert (requirements.txt)")
    path = export(folder, str(tmp_path / "exported" / "model.tflite"), FORMS["TFLite, 48 tokens"])
    done = subprocess.run(
        [sys.executable, "-c", ASKS_FOR_THREADS, way, path],
        env=dict(os.environ, PYTHONPATH=ROOT),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout.split()) == (0, ["0", "2"])  # additional threads
    # TensorFlow 2.21 also warns about its interpreter.
    notes = [line for line in done.stderr.splitlines() if line.startswith("note: LiteRT")]
    assert len(notes) == (way == "without LiteRT")
    assert all("pip install ai-edge-litert" in note for note in notes)


@pytest.mark.reference
@pytest.mark.parametrize("form", with_slow(["TFLite, any length", "ONNX"], ["ONNX"]))
def test_batches_of_a_file_are_run_by_several_threads(form, folder, tmp_path, monkeypatch):
    """Each core takes a batch; outputs are in the order of the texts."""
    name = "model.onnx" if form == "ONNX" else "model.tflite"
    path = export(folder, str(tmp_path / "exported" / name), FORMS[form])
    monkeypatch.setattr(cores, "num_usable", lambda: 3)
    texts = [("今天天气" * (1 + number % 7))[: 1 + number] for number in range(600)]
    with predictor.Predictor(folder) as model:
        _, expected = model.predict(texts)
    with predictor.Predictor(path) as model:
        run, threads = model._backend.run, set()
        together = threading.Barrier(3, timeout=60)  # fails unless three threads run at once

        def counting(*arrays):
            if threading.current_thread() not in threads:
                threads.add(threading.current_thread())
                together.wait()
            return run(*arrays)

        monkeypatch.setattr(model._backend, "run", counting)
        _, probabilities = model.predict(texts)
    assert len(threads) == 3
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)


def test_an_onnx_file_that_is_none_is_named(folder, tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime", reason="needs requirements-export.txt")
    path = tmp_path / "model.onnx"
    path.write_bytes(b"nothing of that kind")
    with pytest.raises(UserError, match="model.onnx: not a readable ONNX model: "):
        predictor.Predictor(str(path))
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match="onnxruntime, which .* is not installed .*export"):
        predictor.Predictor(str(path))


@pytest.mark.reference
@pytest.mark.parametrize("ending", ["tflite", "onnx"])
def test_a_file_with_metadata_carries_the_settings_of_its_model(ending, tmp_path):
    settings = {
        "objective": "multi_label",
        "thresholds": [0.0, 1.0, 0.0],
        "label_separator": "+",
        "columns": ["label", "text_a"],
        "max_seq_length": 20,
    }
    folder = small_models.write_model(
        tmp_path / "several", labels=("甲", "乙", "丙"), settings=settings
    )
    arguments = OF_METADATA if ending == "tflite" else FORMS["ONNX"]
    path = export(folder, str(tmp_path / "exported" / ("model." + ending)), arguments)
    alone = str(tmp_path / ("alone." + ending))
    os.rename(path, alone)
    others = dict(settings, thresholds=[1.0, 0.0, 1.0])  # of another model, exported later
    (tmp_path / "fine_tuning.json").write_text(json.dumps(others), encoding="utf-8")
    with predictor.Predictor(alone) as model:
        assert model.predict(["今天天气"])[0] == [["甲", "丙"]]
        assert {name: model.notes[name] for name in settings} == settings
        with pytest.raises(UserError, match="trained on single texts"):
            model.predict([("今天", "明天")])


@pytest.mark.slow
@pytest.mark.parametrize(
    "form, positions",
    list(itertools.product(["TFLite, any length", "ONNX"], [16, 600])),
)
def test_an_exported_file_knows_its_positions(form, positions, tmp_path):
    folder = small_models.write_model(
        tmp_path / "model", max_position_embeddings=positions, settings={"max_seq_length": 8}
    )
    name = "model.onnx" if form == "ONNX" else "model.tflite"
    outputs = [str(tmp_path / "exported" / name), os.path.join(folder, name)]  # next to a config
    paths = [export(folder, path, FORMS[form]) for path in outputs]
    text = "今天天气" * 150
    with predictor.Predictor(folder, max_seq_length=1000) as model:
        _, expected = model.predict([text])
    for path in paths:
        with predictor.Predictor(path, max_seq_length=1000) as model:
            assert model.max_seq_length == positions
            np.testing.assert_allclose(model.predict([text])[1], expected, atol=1e-5)


@pytest.mark.slow
def test_ids_of_a_file_are_those_of_a_vocabulary_with_an_entry_twice(tmp_path):
    entries = list(VOCABULARY)
    entries[7] = entries[6]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = small_models.write_model(tmp_path / "model", vocabulary=entries)
        path = export(folder, str(tmp_path / "exported" / "model.onnx"), FORMS["ONNX"])
        texts = ["".join(entries[8:20]), entries[-1]]
        with predictor.Predictor(folder) as model:
            _, expected = model.predict(texts)
        with predictor.Predictor(path) as model:
            np.testing.assert_allclose(model.predict(texts)[1], expected, atol=1e-5)


def test_texts_of_a_batch_do_not_change_one_another_in_integers(folder, tmp_path):
    """Activations are quantized at run time, which must not depend on the other texts."""
    path = export(
        folder, str(tmp_path / "exported" / "model.onnx"), FORMS["ONNX"] + ["--quantize=int8"]
    )
    texts = ["今", "今天天气" * 9, "很好" * 3, "ab12" * 8]
    with predictor.Predictor(path) as model:
        alone = np.concatenate([model.predict([text])[1] for text in texts])
        np.testing.assert_array_equal(model.predict(texts)[1], alone)


@pytest.mark.reference
def test_an_onnx_file_of_another_task_is_named(folder, tmp_path):
    arguments = ["--format=onnx", "--task=encoder"]
    path = export(folder, str(tmp_path / "exported" / "encoder.onnx"), arguments)
    with pytest.raises(UserError, match="outputs probabilities, found inputs .*: export a fine"):
        predictor.Predictor(path)


def test_newer_tensorflow_runs_tflite_files_by_litert_alone(folder, tmp_path, monkeypatch):
    path = export(folder, str(tmp_path / "model.tflite"), FORMS["TFLite, 48 tokens"])
    monkeypatch.setattr(tf, "__version__", "2.21.0")
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(UserError, match="^LiteRT, which .* is not installed .*pip install ai-edge"):
        predictor.Predictor(path)


def test_making_and_running_integers_needs_no_interpreter_of_tensorflow(folder, tmp_path):
    pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert (requirements.txt)")

    def refuse(*_arguments, **_settings):
        raise AssertionError("TensorFlow's interpreter is asked for")

    texts = tmp_path / "texts.txt"
    texts.write_text("".join("今天天气%d\n" % number for number in range(20)), encoding="utf-8")
    arguments = FORMS["TFLite, 48 tokens"] + ["--quantize=int8", "--min_equal_labels=0"]
    arguments += ["--tolerance=1", "--representative_texts=%s" % texts]
    from tensorflow.lite.python import interpreter

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(interpreter.Interpreter, "__init__", refuse)
        path = export(folder, str(tmp_path / "model.tflite"), arguments)
        with predictor.Predictor(path) as model:
            assert set(model.predict(["今天"])[0]) <= {"体育", "财经", "娱乐"}


def test_1000_real_pairs_are_the_same_everywhere(shared, tmp_path, capsys):
    """Compares Python, the command line, HTTP and TFLite."""
    pytest.importorskip("fastapi", reason="needs requirements-serve.txt")
    from albert_zh.inference.serving import http_service
    from http_requests import post, running

    folder = small_models.write_model(
        tmp_path / "pairs", vocabulary=small_models.starter_vocabulary()
    )
    source = os.path.join(shared, "data", "lcqmc", "dev.txt")
    with open(source, encoding="utf-8") as handle:
        pairs = [tuple(line.split("\t")[:2]) for line, _ in zip(handle, range(1000))]
    with predictor.Predictor(folder) as model:
        expected = model.similarities(pairs)
        with running(http_service.create_app(model)) as port:
            status, _, answer = post(port, "/similarity", {"pairs": pairs})
    assert status == 200 and expected.std() > 0.05
    np.testing.assert_allclose(answer["similarities"], expected, atol=1e-5)
    (tmp_path / "pairs.tsv").write_text("".join("%s\t%s\n" % p for p in pairs), encoding="utf-8")
    small_models.run_command(
        similarity, ["--model_dir=" + folder, "--pairs=%s" % (tmp_path / "pairs.tsv")], []
    )
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [tuple(row[:2]) for row in rows] == pairs
    np.testing.assert_allclose([float(row[2]) for row in rows], expected, atol=6e-5)
    path = export(folder, str(tmp_path / "model.tflite"), FORMS["TFLite, any length"])
    with predictor.Predictor(path) as model:
        np.testing.assert_allclose(model.similarities(pairs), expected, atol=1e-4)
