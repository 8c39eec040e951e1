"""A classifier with slots from its files to its predictions: trained, resumed, used, exported."""

import json
import os
import random
import shutil

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh import finetuning
from albert_zh.commands import export_model
from albert_zh.common.errors import UserError
from albert_zh.conversion import to_pytorch
from albert_zh.export import common as export_common
from albert_zh.export import exported_model
from albert_zh.inference import predictor
from albert_zh.model.checkpoints import checkpoint_files, checkpoint_values
from albert_zh.tasks.slots import dictionaries
import saved_models
import small_models
import whole_runs
from workspace import assert_same_weights

pytestmark = pytest.mark.newest

LETTERS = "甲乙丙丁戊己庚辛"
WORDS = {"city": ["京沪", "津渝"], "singer": ["赵钱孙", "李周"]}
LABELS = {"city": "travel", "singer": "music"}


def row_of(draw):
    """Returns (text, label, position of the word): the word's dictionary determines the label."""
    name = draw.choice(sorted(WORDS))
    filler = ["".join(draw.choice(LETTERS) for _ in range(draw.randint(1, 3))) for _ in range(2)]
    return filler[0] + draw.choice(WORDS[name]) + filler[1], LABELS[name], len(filler[0])


def write_data(folder):
    for split, count in (("train", 96), ("dev", 16), ("test", 16)):
        draw = random.Random(split)
        rows = [row_of(draw) for _ in range(count)]
        lines = ["%s\t%s\t%d-%d:odd" % (text, label, at, at + 1) for text, label, at in rows]
        text = "text_a\tlabel\tslots\n" + "\n".join(lines) + "\n"
        (folder / (split + ".tsv")).write_text(text, encoding="utf-8")
    (folder / "words").mkdir()
    for name, words in WORDS.items():
        (folder / "words" / (name + ".txt")).write_text("\n".join(words), encoding="utf-8")


def settings_of(folder, **changes):
    tokens = LETTERS + "".join(word for words in WORDS.values() for word in words)
    settings = {
        "family": "single_label",
        "task_name": "multiclass",
        "slots": True,
        "dictionaries": str(folder / "words"),
    }
    return whole_runs.settings_of(folder, tokens, 12, **dict(settings, **changes))


@pytest.fixture(name="finished", scope="module")
def finished_fixture(tmp_path_factory):
    """Fixture: (settings, return value of the run, its output folder)."""
    folder = tmp_path_factory.mktemp("slots")
    write_data(folder)
    settings = settings_of(folder)
    return settings, finetuning.run(**settings), folder / "out"


@pytest.mark.slow
def test_a_resumed_run_ends_with_the_same_weights(tmp_path):
    write_data(tmp_path)
    settings = settings_of(tmp_path, rdrop_alpha=1.0, fgm_epsilon=0.1)
    finetuning.run(**settings)
    whole, again = whole_runs.resumed_weights(settings, tmp_path / "again")
    assert any(name.startswith("slots/gate/") for name in whole)
    assert_same_weights(whole, again)


def test_the_folder_has_its_dictionaries(finished):
    _, reached, output = finished
    assert reached["test"]["rows"] == 16
    for folder in (output, output / "best"):
        content = (folder / dictionaries.FILE_NAME).read_bytes()
        assert dictionaries.unpacked(content) == {n: set(words) for n, words in WORDS.items()}
    notes = json.loads((output / "best" / "fine_tuning.json").read_text(encoding="utf-8"))
    assert notes["head"]["slots"]["names"] == ["city", "odd", "singer"]


def test_the_model_has_templates_and_they_learn(finished):
    prefix = checkpoint_files.find_checkpoint(str(finished[2] / "best"))
    table = tf.train.load_checkpoint(prefix).get_tensor("slot_templates/table")
    assert table.shape == (65536, 2)
    # Only rows of templates of a few letters and two names are trained, in steps of about 0.01.
    assert 20 < np.count_nonzero(np.abs(table).max(axis=1) > 0.01) < 2000


def test_a_model_of_earlier_versions_has_no_templates(finished, tmp_path):
    """The notes of such a model do not name templates, and its checkpoint has no table."""
    old = tmp_path / "old"
    shutil.copytree(str(finished[2] / "best"), str(old))
    prefix = checkpoint_files.find_checkpoint(str(old))
    reader = tf.train.load_checkpoint(prefix)
    names = reader.get_variable_to_shape_map()
    kept = {name: reader.get_tensor(name) for name in names if "slot_templates" not in name}
    assert len(kept) < len(names)
    checkpoint_values.write_checkpoint(prefix, kept)
    path = old / "fine_tuning.json"
    notes = json.loads(path.read_text(encoding="utf-8"))
    assert notes["head"]["slots"].pop("templates") is True
    path.write_text(json.dumps(notes), encoding="utf-8")
    with predictor.Predictor(str(finished[2] / "best")) as model:
        new = model.predict(["甲京沪乙"])[1]
    with predictor.Predictor(str(old)) as model:
        assert np.abs(model.predict(["甲京沪乙"])[1] - new).max() > 1e-3


def test_predictor_annotates_as_training_does(finished, tmp_path):
    settings, _, output = finished
    again = dict(settings, do_train=False, do_eval=False)
    again.pop("dictionaries"), again.pop("slots")
    with open(os.path.join(settings["data_dir"], "test.tsv"), encoding="utf-8") as handle:
        rows = [line.rstrip("\n").split("\t") for line in handle][1:]
    (tmp_path / "test.tsv").write_text(
        "text_a\tlabel\n" + "".join("%s\t%s\n" % tuple(row[:2]) for row in rows), encoding="utf-8"
    )
    shutil.copytree(str(output / "best"), str(tmp_path / "out" / "best"))
    finetuning.run(**dict(again, data_dir=str(tmp_path), output_dir=str(tmp_path / "out")))
    predicted = np.loadtxt(str(tmp_path / "out" / "test_results.tsv"), delimiter="\t")
    with predictor.Predictor(str(output / "best")) as model:
        probabilities = model.predict([row[0] for row in rows])[1]
    np.testing.assert_allclose(probabilities, predicted, atol=1e-5)


def test_slots_of_the_caller_are_taken(finished):
    """Slots may be given by hand, even for a text in which the dictionaries find nothing."""
    text, same = "甲乙丙", {"text": "甲京沪", "slots": {"city": "京沪"}}
    given = [{"begin": 1, "end": 3, "name": "singer"}]
    with predictor.Predictor(str(finished[2] / "best")) as model:
        plain = model.predict([text, "甲京沪"])[1]
        forms = [{"text": text, "slots": given}, {"text_a": text, "slots": "1-3:singer"}, same]
        slots = model.predict(forms)[1]
        of_generator = model.predict(form for form in forms)[1]
        other = model.predict([{"text": text}, {"text": text, "slots": []}])[1]
        for record, message in (
            ({"text": text, "slots": "1-4:singer"}, "text 0: slots: 1-4:singer is not a range"),
            ({"text": text, "slots": "0-1:food"}, "knows no food, expected some of city, odd, s"),
            ({"text": text, "slot": []}, "text 0: slot: expected the keys text, text_a"),
            ({"text": text, "text_a": text}, "text 0: found both text and text_a"),
            ({"text": 3}, 'text 0: expected {"text": str'),
        ):
            with pytest.raises(UserError, match=message):
                model.checked([record])
    assert np.abs(slots[0] - plain[0]).max() > 1e-3
    np.testing.assert_allclose(of_generator, slots, atol=1e-6)
    np.testing.assert_allclose(slots[0], slots[1], atol=1e-6)
    np.testing.assert_allclose(slots[2], plain[1], atol=1e-6)  # the dictionary finds it, too
    np.testing.assert_allclose(other, [plain[0]] * 2, atol=1e-6)


def test_the_service_takes_slots(finished):
    pytest.importorskip("fastapi")
    from albert_zh.inference.serving import http_service
    import http_requests

    body = {"texts": ["甲乙丙", {"text": "甲乙丙", "slots": {"singer": "乙丙"}}]}
    with predictor.Predictor(str(finished[2] / "best")) as model:
        expected = model.predict(body["texts"])[1]
        with http_requests.running(http_service.create_app(model)) as port:
            status, _, answer = http_requests.post(port, "/predict", body)
            assert status == 200
            np.testing.assert_allclose(answer["probabilities"], expected, atol=1e-5)
            body["texts"][1]["slots"] = {"singer": "丁"}
            status, _, answer = http_requests.post(port, "/predict", body)
            assert status == 400 and "singer: the text has no '丁'" in str(answer)


def test_without_its_dictionaries_a_model_is_refused(finished, tmp_path):
    shutil.copytree(str(finished[2] / "best"), str(tmp_path / "best"))
    (tmp_path / "best" / dictionaries.FILE_NAME).unlink()
    with pytest.raises(UserError, match="slot_dictionaries.tsv is missing: copy"):
        predictor.Predictor(str(tmp_path / "best"))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"slots": False}, "--dictionaries has no effect without --slots"),
        ({"dictionaries": "nowhere"}, "--dictionaries=nowhere: no such folder"),
        ({"slot_dropout": 1.0}, "--slot_dropout=1.0: expected a share"),
        ({"do_train": False}, "a trained model has its dictionaries"),
        ({"slot_templates": True, "teachers": "x"}, "--slot_templates and --teachers: templates"),
    ],
)
def test_bad_flags(finished, tmp_path, changes, message):
    settings = dict(finished[0], output_dir=str(tmp_path / "out"), **changes)
    with pytest.raises(UserError, match=message) as raised:
        finetuning.run(**settings)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "slots, message",
    [
        ("3-9:odd", "line 2: slots: 3-9:odd is not a range of the text's 2 characters"),
        ("", "the training rows have no slots"),
    ],
)
def test_bad_rows(finished, tmp_path, slots, message):
    text = "text_a\tlabel\tslots\n甲乙\tmusic\t%s\n丙丁\ttravel\t\n" % slots
    (tmp_path / "train.tsv").write_text(text, encoding="utf-8")
    settings = dict(finished[0], data_dir=str(tmp_path), output_dir=str(tmp_path / "out"))
    settings.pop("dictionaries")
    with pytest.raises(UserError, match=message):
        finetuning.run(**dict(settings, do_eval=False, do_predict=False))


def test_other_dictionaries_are_another_run(finished, tmp_path):
    words = tmp_path / "words"
    shutil.copytree(finished[0]["dictionaries"], str(words))
    (words / "city.txt").write_text("京沪\n", encoding="utf-8")
    with pytest.raises(UserError, match="slot_dictionaries.tsv"):
        finetuning.run(**dict(finished[0], dictionaries=str(words)))


TEXTS = ["甲京沪乙", "丙李周丁", "甲乙"]


def exported(finished, tmp_path, file_format, *arguments):
    """Exports the best model in another format; returns the path."""
    name = {"saved_model": "saved", "tflite": "model.tflite", "onnx": "model.onnx"}
    path = str(tmp_path / name.get(file_format, "model.pb"))
    small_models.run_command(
        export_model,
        ["--model_dir=%s" % (finished[2] / "best"), "--format=" + file_format, "--output=" + path]
        + list(arguments),
    )
    return path


def probabilities_of(path):
    with predictor.Predictor(str(path)) as model:
        return model.predict(TEXTS)[1]


@pytest.mark.parametrize(
    "file_format, seq_length",
    [
        pytest.param("saved_model", "dynamic", marks=pytest.mark.slow),
        pytest.param("onnx", "dynamic", marks=pytest.mark.newest),
        pytest.param("tflite", "16", marks=[pytest.mark.newest, pytest.mark.slow]),
        pytest.param("tflite", "dynamic", marks=[pytest.mark.newest, pytest.mark.slow]),
    ],
)
def test_exported_files_annotate_too(finished, tmp_path, file_format, seq_length):
    path = exported(finished, tmp_path, file_format, "--seq_length=" + seq_length)
    expected = probabilities_of(finished[2] / "best")
    np.testing.assert_allclose(probabilities_of(path), expected, atol=1e-4)
    if file_format == "saved_model":  # a text alone does not contain its slots
        names = saved_models.signatures_of(path)
        assert "encode_texts" in names and "classify_texts" not in names


def test_every_second_text_of_a_comparison_has_slots(finished):
    """Regression: integer exports and comparisons once saw no slots in texts without entries."""
    model = export_common.read_model(str(finished[2] / "best"), "classifier")
    rows = [
        exported_model.encoded(model, (LETTERS, None), number, 12, ["classification"])["slots"]
        for number in range(20)
    ]
    assert rows[0].shape == (1, len(LETTERS) + 2, 3)
    assert [bool(row.any()) for row in rows] == [False, True] * 10
    assert np.sum(rows, axis=0).any(axis=1).all()  # every slot name occurs


@pytest.mark.slow
def test_frozen_graph_takes_slots(finished, tmp_path):
    path = exported(finished, tmp_path, "frozen")
    graph_def = tf.GraphDef()
    with open(path, "rb") as handle:
        graph_def.ParseFromString(handle.read())
    inputs = {node.name for node in graph_def.node if node.op == "Placeholder"}
    assert inputs == {"input_ids", "input_mask", "segment_ids", "slots"}
    assert (tmp_path / dictionaries.FILE_NAME).exists()


@pytest.mark.newest  # TensorFlow 1.15 writes no .tflite files here
def test_what_has_no_slots_is_refused_by_name(finished, tmp_path):
    with pytest.raises(UserError, match="also takes slots: leave it out"):
        exported(finished, tmp_path, "tflite", "--metadata=true")
    prefix = checkpoint_files.find_checkpoint(str(finished[2] / "best"))
    with pytest.raises(UserError, match="its classifier takes slots"):
        to_pytorch.convert(prefix, str(tmp_path / "pytorch"))


@pytest.mark.slow
def test_columns_of_characters_and_tags_are_data(tmp_path):
    """In the form of CAIS, the data contain the slots that a dictionary would find."""
    for split, count in (("train", 64), ("dev", 16)):
        draw = random.Random(split)
        rows = [row_of(draw) for _ in range(count)]
        lines = ""
        for text, label, at in rows:
            name = {kind: slot for slot, kind in LABELS.items()}[label]
            tags = ["O"] * at + ["B-" + name]
            tags += ["I-" + name if c in "".join(WORDS[name]) else "O" for c in text[at + 1 :]]
            lines += "".join("%s %s\n" % pair for pair in zip(text, tags)) + "\n"
        (tmp_path / (split + ".txt")).write_text(lines, encoding="utf-8")
        classes = "".join(label + "\n" for _, label, _ in rows)
        (tmp_path / (split + ".txt.intent")).write_text(classes, encoding="utf-8")
    settings = settings_of(tmp_path, do_predict=False)
    settings.pop("dictionaries")
    reached = finetuning.run(**settings)
    assert reached["dev"]["eval_accuracy"] > 0.8
