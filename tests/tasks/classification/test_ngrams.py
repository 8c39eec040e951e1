"""A classifier with a table of n-grams: trained, resumed, used, exported."""

import json
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
from albert_zh.finetuning import flags as finetuning_flags
from albert_zh.inference import predictor
from albert_zh.model import ngram_table, slot_fusion
from albert_zh.model.checkpoints import (
    checkpoint_files,
    checkpoint_names,
    checkpoint_values,
    label_map,
)
from albert_zh.tasks import registry
import small_models
import whole_runs
from workspace import assert_same_weights

pytestmark = pytest.mark.newest

LETTERS = "甲乙丙丁戊己庚辛"
NUM_ROWS = 1024


def row_of(draw):
    """Returns (text, label): the label is whether 甲乙 occurs, in this order and side by side."""
    letters = [draw.choice(LETTERS[2:]) for _ in range(draw.randint(2, 6))]
    is_there = draw.random() < 0.5
    letters.insert(draw.randint(0, len(letters)), "甲乙" if is_there else "乙甲")
    return "".join(letters), "yes" if is_there else "no"


def settings_of(folder, **changes):
    for split, count in (("train", 96), ("dev", 16), ("test", 16)):
        draw = random.Random(split)
        lines = ["%s\t%s" % row_of(draw) for _ in range(count)]
        text = "text_a\tlabel\n" + "\n".join(lines) + "\n"
        (folder / (split + ".tsv")).write_text(text, encoding="utf-8")
    settings = {"family": "single_label", "task_name": "multiclass", "ngram_rows": NUM_ROWS}
    return whole_runs.settings_of(folder, LETTERS, 12, **dict(settings, **changes))


@pytest.fixture(name="finished", scope="module")
def finished_fixture(tmp_path_factory):
    """Fixture: (settings, return value of the run, its output folder)."""
    folder = tmp_path_factory.mktemp("ngrams")
    settings = settings_of(folder)
    return settings, finetuning.run(**settings), folder / "out"


def test_the_table_learns_what_pairs_say(finished):
    """Its pair 甲乙 differs from 乙甲 in favour of the label that 甲乙 has in the data."""
    settings, reached, output = finished
    assert reached["test"]["rows"] == 16
    notes = json.loads((output / "best" / "fine_tuning.json").read_text(encoding="utf-8"))
    assert notes["head"] == {"ngram_rows": NUM_ROWS, "ngram_length": 3}
    prefix = checkpoint_files.find_checkpoint(str(output / "best"))
    table = tf.train.load_checkpoint(prefix).get_tensor("ngrams/table")
    assert table.shape == (NUM_ROWS, 2)
    with open(settings["vocab_file"], encoding="utf-8") as handle:
        ids = {token: number for number, token in enumerate(handle.read().split())}

    def weights_of(first, second):
        return table[len(ids) + (ids[first] * 40499 + ids[second]) % (NUM_ROWS - len(ids))]

    labels = label_map.notes_of_model([str(output / "best")])[0]
    yes, no = labels.index("yes"), labels.index("no")
    difference = weights_of("甲", "乙") - weights_of("乙", "甲")
    assert difference[yes] > 0.05 and difference[no] < -0.05


def test_the_prediction_is_the_mean_of_encoder_and_table(finished, tmp_path):
    """Without its table a model of the same weights has another head, and other logits."""
    best = finished[2] / "best"
    prefix = checkpoint_files.find_checkpoint(str(best))
    values = checkpoint_values.read_weights(prefix)
    with predictor.Predictor(str(best)) as model:
        text = "丙甲乙丁"
        both = np.log(model.predict([text])[1][0])
        vocab = model.use.tokenizer.vocab
    ids = [vocab[token] for token in ["[CLS]", *text, "[SEP]"]]
    notes = json.loads((best / "fine_tuning.json").read_text(encoding="utf-8"))
    encoder = tmp_path / "encoder"
    encoder.mkdir()
    for path in best.iterdir():
        (encoder / path.name).write_bytes(path.read_bytes())
    kept = {name: value for name, value in values.items() if not name.startswith("ngrams/")}
    assert len(kept) == len(values) - 2
    checkpoint_values.write_checkpoint(str(encoder / prefix.rsplit("/", 1)[-1]), kept)
    without = {name: value for name, value in notes.items() if name != "head"}
    (encoder / "fine_tuning.json").write_text(json.dumps(without), encoding="utf-8")
    with predictor.Predictor(str(encoder)) as model:
        alone = np.log(model.predict([text])[1][0])

    def expected(singles, length):
        """The difference of the logits of the two classes, which a softmax keeps."""
        longer = [a * 40499 + b for a, b in zip(ids, ids[1:])]
        if length == 3:
            longer += [pair % 32749 * 40499 + c for pair, c in zip(longer, ids[2:])]
        places = [token % singles for token in ids[1:]]
        places += [singles + number % (NUM_ROWS - singles) for number in longer]
        rows, bias = values["ngrams/table"][places], values["ngrams/bias"]
        of_table = bias + 4 * rows.sum(axis=0) / np.sqrt(len(places))
        return 0.5 * ((alone[0] - alone[1]) + (of_table[0] - of_table[1]))

    assert abs(both[0] - both[1] - expected(len(vocab), 3)) < 1e-4
    first_version = tmp_path / "first_version"  # its notes state no length: pairs
    shutil.copytree(str(best), str(first_version))
    text_of_notes = json.dumps(dict(notes, head={"ngram_rows": NUM_ROWS}))
    (first_version / "fine_tuning.json").write_text(text_of_notes, encoding="utf-8")
    with predictor.Predictor(str(first_version)) as model:
        both = np.log(model.predict([text])[1][0])
    assert abs(both[0] - both[1] - expected(NUM_ROWS // 4, 2)) < 1e-4
    assert abs(expected(NUM_ROWS // 4, 2) - expected(len(vocab), 3)) > 1e-3


def test_names_of_a_classifiers_parts_are_their_scopes():
    scopes = {slot_fusion.SCOPE, ngram_table.SCOPE}
    assert set(checkpoint_names.CLASSIFIER_PARTS) == scopes == set(to_pytorch.PARTS_NOT_CONVERTED)


@pytest.mark.parametrize("rate, factor", [(5e-3, 0.9), (1e-4, 45.0)])
def test_the_tables_learning_rate_does_not_depend_on_the_encoders(rate, factor):
    given = {"task_name": "multiclass", "ngram_rows": NUM_ROWS, "learning_rate": rate}
    options = finetuning_flags.of_settings(**given)
    settings = registry.get("single_label").settings(options, {})
    assert settings.scope_rate_factors == {"ngrams": pytest.approx(factor)}
    options = finetuning_flags.of_settings(**dict(given, ngram_rows=0))
    assert not registry.get("single_label").settings(options, {}).scope_rate_factors


@pytest.mark.slow
def test_a_resumed_run_ends_with_the_same_weights(tmp_path):
    settings = settings_of(tmp_path, rdrop_alpha=1.0, fgm_epsilon=0.1)
    finetuning.run(**settings)
    whole, again = whole_runs.resumed_weights(settings, tmp_path / "again")
    assert np.abs(whole["ngrams/table"]).max() > 0.01
    assert_same_weights(whole, again)


@pytest.mark.parametrize(
    "file_format, seq_length",
    [
        pytest.param("saved_model", "dynamic", marks=pytest.mark.slow),
        ("onnx", "dynamic"),
        ("tflite", "dynamic"),
        pytest.param("tflite", "16", marks=pytest.mark.slow),
    ],
)
def test_exported_files_predict_the_same(finished, tmp_path, file_format, seq_length):
    names = {"saved_model": "saved", "tflite": "model.tflite", "onnx": "model.onnx"}
    path = str(tmp_path / names[file_format])
    best = str(finished[2] / "best")
    small_models.run_command(
        export_model,
        ["--model_dir=" + best, "--format=" + file_format, "--output=" + path]
        + ["--seq_length=" + seq_length],
    )
    texts = ["丙甲乙丁", "乙甲戊", "甲乙"]
    with predictor.Predictor(best) as model, predictor.Predictor(path) as exported:
        expected = model.predict(texts)[1]
        np.testing.assert_allclose(exported.predict(texts)[1], expected, atol=1e-4)


def test_a_conversion_to_pytorch_is_refused_by_name(finished, tmp_path):
    prefix = checkpoint_files.find_checkpoint(str(finished[2] / "best"))
    with pytest.raises(UserError, match="its classifier has a table of n-grams.*--encoder_only"):
        to_pytorch.convert(prefix, str(tmp_path / "pytorch"))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"ngram_rows": 3}, "--ngram_rows=3: expected 0, or 1024 to 16777216"),
        ({"ngram_rows": -1}, "--ngram_rows=-1: expected 0"),
        ({"slots": True}, "--ngram_rows and --slots: .*: leave one of them out"),
        ({"teachers": "linear"}, "--ngram_rows and --teachers"),
        ({"optimizer": "lamb"}, "--ngram_rows and --optimizer=lamb: LAMB would change"),
    ],
)
def test_bad_flags(finished, tmp_path, changes, message):
    settings = dict(finished[0], output_dir=str(tmp_path / "out"), **changes)
    with pytest.raises(UserError, match=message) as raised:
        finetuning.run(**settings)
    assert "\n" not in str(raised.value)


def test_a_model_whose_notes_lack_the_table_is_refused(finished, tmp_path):
    """Otherwise the table would be left out, and the probabilities be wrong."""
    folder = tmp_path / "best"
    shutil.copytree(str(finished[2] / "best"), str(folder))
    notes = json.loads((folder / "fine_tuning.json").read_text(encoding="utf-8"))
    del notes["head"]
    (folder / "fine_tuning.json").write_text(json.dumps(notes), encoding="utf-8")
    message = "its classifier has ngrams .*fine_tuning.json.* restore that file"
    with pytest.raises(UserError, match=message):
        predictor.Predictor(str(folder))
    with pytest.raises(UserError, match=message):
        export_common.read_model(str(folder), "classifier")
    given = dict(finished[0], output_dir=str(tmp_path / "out"), init_checkpoint=str(folder))
    with pytest.raises(UserError, match=message):
        finetuning.run(**dict(given, do_train=False, ngram_rows=0))


def test_a_run_says_that_it_leaves_out_the_table_of_its_start(finished, tmp_path, capsys):
    given = dict(finished[0], output_dir=str(tmp_path), init_checkpoint=str(finished[2] / "best"))
    given.update(do_eval=False, do_predict=False, train_step=2, save_checkpoints_steps=2)
    finetuning.run(**dict(given, ngram_rows=0))
    assert "has ngrams, which are left out" in capsys.readouterr().out


def test_another_table_is_another_run(finished, tmp_path):
    with pytest.raises(UserError, match="ngram_rows"):
        finetuning.run(**dict(finished[0], ngram_rows=2048))
    first_version = tmp_path / "out"  # its table has pairs, and it does not state so
    shutil.copytree(str(finished[2]), str(first_version))
    recorded = json.loads((first_version / "run_settings.json").read_text(encoding="utf-8"))
    del recorded["fixed"]["ngram_length"]
    (first_version / "run_settings.json").write_text(json.dumps(recorded), encoding="utf-8")
    with pytest.raises(UserError, match=r"another length of n-grams \(2, now 3\): name another"):
        finetuning.run(**dict(finished[0], output_dir=str(first_version)))


def test_a_table_of_the_first_version_is_not_continued(finished, tmp_path, capsys):
    """The rows of that table are for other n-grams than those of a new one."""
    start = tmp_path / "start"
    shutil.copytree(str(finished[2] / "best"), str(start))
    notes = json.loads((start / "fine_tuning.json").read_text(encoding="utf-8"))
    notes["head"] = {"ngram_rows": NUM_ROWS}
    (start / "fine_tuning.json").write_text(json.dumps(notes), encoding="utf-8")
    given = dict(finished[0], output_dir=str(tmp_path / "out"), init_checkpoint=str(start))
    given.update(do_eval=False, do_predict=False, train_step=1, save_checkpoints_steps=1)
    with pytest.raises(UserError, match="of an earlier version, without triples: start from an"):
        finetuning.run(**given)
    finetuning.run(**dict(given, ngram_rows=0))  # the way out
    assert "has ngrams, which are left out" in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags, labels",
    [({"multi_label": True}, ("yes|left", "no")), ({"regression": True}, ("1.0", "0.0"))],
)
def test_other_kinds_have_a_table_too(tmp_path, flags, labels):
    settings = settings_of(tmp_path, do_predict=False, train_step=6, save_checkpoints_steps=6)
    for split in ("train", "dev"):
        path = tmp_path / (split + ".tsv")
        text = path.read_text(encoding="utf-8")
        text = text.replace("\tyes", "\t" + labels[0]).replace("\tno", "\t" + labels[1])
        path.write_text(text, encoding="utf-8")
    kind = next(iter(flags))
    finetuning.run(**dict(settings, family="single_label", **flags))
    prefix = checkpoint_files.find_checkpoint(str(tmp_path / "out" / "best"))
    table = tf.train.load_checkpoint(prefix).get_tensor("ngrams/table")
    assert table.shape == (NUM_ROWS, 3 if kind == "multi_label" else 1)
    assert np.abs(table).max() > 0.01
