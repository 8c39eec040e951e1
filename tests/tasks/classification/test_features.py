"""Features of classifiers: truncation, pairs and single texts, cached files; float16 gradients."""

import json
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.common import output_files
from albert_zh.model import heads, modeling, optimization
from albert_zh.model.checkpoints import checkpoint_files, model_folder
from albert_zh.tasks import (
    datasets,
    feature_files,
    input_examples,
    input_pipeline,
    model_fn,
    task_forms,
)
from albert_zh.tasks import reader as task_reader
from albert_zh.tasks import settings as task_settings
from albert_zh.tasks.classification import features as classification
from albert_zh.tasks.classification import losses as class_losses
from albert_zh.text import encoding, tokenization
from albert_zh.training.model_spec import ModeKeys
from classification_batches import batches_of
from workspace import ROOT, VOCABULARY, Workspace

LCQMC = datasets.TASKS["lcqmc"]


@pytest.mark.parametrize(
    "a, b, room, expected",
    [
        ("abcd", "xy", 6, ("abcd", "xy")),
        ("abcd", "xy", 5, ("abc", "xy")),
        ("abcd", "xyz", 3, ("ab", "x")),
        ("ab", "xy", 3, ("ab", "x")),
        ("a", "wxyz", 2, ("a", "w")),
    ],
)
def test_the_longer_text_loses_its_end_and_b_on_a_tie(a, b, room, expected):
    a, b = list(a), list(b)
    was_cut = encoding.truncate_pair(a, b, room)
    assert ("".join(a), "".join(b)) == expected
    assert was_cut == (room < 6)


def small_tokenizer(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(VOCABULARY), encoding="utf-8")
    return tokenization.FullTokenizer(str(path))


def test_features_of_pairs_and_single_texts(tmp_path):
    tokenizer = small_tokenizer(tmp_path)
    example = input_examples.InputExample("train-1", "今天", "好", "1")
    features = classification.convert_single_example(0, example, ["0", "1"], 8, tokenizer)
    ids = [VOCABULARY.index(token) for token in ["[CLS]", "今", "天", "[SEP]", "好", "[SEP]"]]
    assert features.input_ids == ids + [0, 0]
    assert features.input_mask == [1] * 6 + [0, 0]
    assert features.segment_ids == [0, 0, 0, 0, 1, 1, 0, 0]
    assert features.label_id == 1 and features.is_real_example is True
    single = encoding.encode(tokenizer, "今天天气很好我们去", None, 6)
    assert len(single[0]) == 6 and single[1] == [0] * 6 and single[2]


def test_a_text_of_a_million_characters_is_cut(tmp_path):
    ids, segments, was_cut = encoding.encode(
        small_tokenizer(tmp_path), "今" * 1000000, "天\U0001f600\U00020000", 16
    )
    unknown = VOCABULARY.index("[UNK]")
    assert len(ids) == 16 and was_cut and ids[-4:-1] == [VOCABULARY.index("天"), unknown, unknown]
    assert segments == [0] * 12 + [1] * 4


def test_features_equal_the_originals(shared):
    folder = os.path.join(shared, "golden", "classifier")
    model = os.path.join(shared, "data", "ckpt_index_only", "MarsRoger_albert_tiny")
    split = task_reader.read_split(LCQMC, folder, "dev")
    with open(os.path.join(folder, "dev_examples.json"), encoding="utf-8") as handle:
        expected = json.load(handle)
    rows = [(e.text_a, e.text_b, e.label) for e in split.examples]
    assert rows == [(e["a"], e["b"], e["label"]) for e in expected]
    tokenizer = tokenization.FullTokenizer(os.path.join(model, "vocab.txt"))
    features = [
        classification.convert_single_example(i, e, LCQMC.labels, 128, tokenizer)
        for i, e in enumerate(split.examples)
    ]
    arrays = np.load(os.path.join(folder, "dev_features_128.npz"))
    for key, name in (("label_ids", "label_id"),) + tuple(
        (name, name) for name in ("input_ids", "input_mask", "segment_ids", "is_real_example")
    ):
        np.testing.assert_array_equal([getattr(f, name) for f in features], arrays[key])


def test_cached_features_are_reused_and_rebuilt(tmp_path, capsys):
    workspace = Workspace(tmp_path)
    os.makedirs(workspace.output)
    tokenizer = tokenization.FullTokenizer(workspace.vocab)

    def build(length=24, **settings):
        split = task_reader.read_split(LCQMC, workspace.data, "train")
        result = feature_files.feature_file(
            split, LCQMC, tokenizer, length, workspace.output, settings
        )
        return os.stat(result.path).st_mtime_ns, result, capsys.readouterr().out

    first, result, _ = build()
    assert result.num_examples == 96 and result.num_cut == 0
    assert build()[0] == first
    changed, result, said = build(length=8)
    assert changed != first and result.num_cut == 96 and "max_seq_length" in said
    assert "vocabulary" in build(length=8, vocabulary="x")[2]
    workspace.write("data/train.txt", "今天\t今天\t1\n")
    assert "data" in build(length=8, vocabulary="x")[2]
    with open(result.path, "ab") as handle:
        handle.write(b"half")
    assert "unfinished" in build(length=8, vocabulary="x")[2]
    os.remove(result.path + ".json")
    assert "unfinished" in build(length=8, vocabulary="x")[2]


def test_features_of_a_file_that_is_replaced_after_reading_are_the_old_files(tmp_path):
    data, output = tmp_path / "train.txt", str(tmp_path / "out")
    tokenizer = small_tokenizer(tmp_path)

    def build(replaced_by=None):
        split = task_reader.read_split(LCQMC, str(tmp_path), "train")
        if replaced_by:
            data.write_text(replaced_by, encoding="utf-8")
        path = feature_files.feature_file(split, LCQMC, tokenizer, 8, output, {}).path
        records = map(tf.train.Example.FromString, tf.python_io.tf_record_iterator(path))
        return [record.features.feature["label_ids"].int64_list.value[0] for record in records]

    data.write_text("今天\t天气\t1\n", encoding="utf-8")
    assert build(replaced_by="今天\t天气\t0\n") == [1]
    assert build() == [0]  # the cached features are those of the first file


def test_features_without_a_fingerprint_of_their_own_are_made_anew(tmp_path, monkeypatch):
    task = LCQMC._replace(labels=("0", "1"))
    (tmp_path / "train.txt").write_text("今天\t天气\t1\n", encoding="utf-8")
    split = task_reader.read_split(task, str(tmp_path), "train")
    tokenizer = small_tokenizer(tmp_path)

    def build(labels):
        features = feature_files.feature_file(
            split, task._replace(labels=labels), tokenizer, 8, str(tmp_path / "out"), {}
        )
        records = tf.python_io.tf_record_iterator(features.path)
        return [tf.train.Example.FromString(record) for record in records]

    class KilledError(Exception):
        pass

    def killed(path, value):
        raise KilledError

    right = build(("0", "1"))
    assert right[0].features.feature["label_ids"].int64_list.value == [1]
    with monkeypatch.context() as patch:  # other labels, same size; killed after the records
        patch.setattr(output_files, "write_json", killed)
        with pytest.raises(KilledError):
            build(("1", "0"))
    assert build(("0", "1")) == right


def test_a_task_of_single_texts_is_a_table_row(tmp_path):
    task = task_forms.Task(
        files={"train": "train.tsv"}, columns=("label", "text_a"), labels=("sports", "food")
    )
    rows = "label\ttext\nfood\t今天\nsports\t天气\n"
    (tmp_path / "train.tsv").write_text(rows, encoding="utf-8")
    split = task_reader.read_split(task, str(tmp_path), "train")
    assert [(e.text_a, e.text_b) for e in split.examples] == [("今天", None), ("天气", None)]
    tokenizer = small_tokenizer(tmp_path)
    features = feature_files.feature_file(split, task, tokenizer, 8, str(tmp_path / "out"), {})
    batch = next(batches_of(input_pipeline.eval_input_fn(features, 8, 2, plain=True)))
    assert list(batch["label_ids"]) == [1, 0]
    assert batch["segment_ids"].sum() == 0 and batch["input_ids"].shape == (2, 8)


@pytest.fixture
def first_gradients(monkeypatch):
    """Fixture: (precision, labels, settings) -> {name: gradient, "change": FGM's perturbation}."""
    monkeypatch.setattr(heads, "CLASSIFIER_DROPOUT", 0.0)
    folder = os.path.join(ROOT, "albert_starter_zh")
    config = modeling.AlbertConfig.from_json_file(model_folder.config_in_folder(folder))
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    config.num_hidden_layers = 1
    rows = {
        "input_ids": np.random.RandomState(0).randint(200, 6000, (64, 4)),
        "input_mask": np.ones([64, 4], int),
        "segment_ids": np.zeros([64, 4], int),
    }
    found = {}
    adversarial_change = model_fn.adversarial_change

    def keep(self, grads_and_vars, **settings):
        for gradient, variable in grads_and_vars:
            found[modeling.variable_name(variable)] = tf.convert_to_tensor(gradient)
        return tf.no_op()

    def keep_change(*given):
        found["change"] = adversarial_change(*given)
        return found["change"]

    monkeypatch.setattr(optimization.AdamWeightDecayOptimizer, "apply_gradients", keep)
    monkeypatch.setattr(model_fn, "adversarial_change", keep_change)

    def gradients(precision, labels, settings):
        found.clear()
        num_labels = 1 if settings.objective == "regression" else 2
        with tf.Graph().as_default(), tf.Session() as session:
            tf.set_random_seed(1)
            start = checkpoint_files.find_checkpoint(folder)
            train = model_fn.model_fn_builder(
                config, num_labels, start, 1e-4, 10, 1, False, False, settings, precision=precision
            )
            features = {name: tf.constant(values, tf.int32) for name, values in rows.items()}
            features["label_ids"] = tf.constant(labels)
            train(features, None, ModeKeys.TRAIN, {})
            session.run(tf.global_variables_initializer())
            return session.run(found)

    return gradients


@pytest.mark.slow
@pytest.mark.newest
def test_float16_gradients_are_near_those_of_float32(first_gradients, monkeypatch):
    """The loss is scaled by 0.01, as late in training: most gradients would underflow float16."""
    losses = class_losses.per_example_loss
    monkeypatch.setattr(class_losses, "per_example_loss", lambda *given: 0.01 * losses(*given))
    labels = np.random.RandomState(1).randint(0, 2, 64).astype(np.int32)
    settings = task_settings.Settings()._replace(fgm_epsilon=0.5)
    exact, coarse = (
        first_gradients(precision, labels, settings) for precision in ("float32", "mixed_float16")
    )
    sizes = {name: np.linalg.norm(value) for name, value in exact.items()}
    errors = {n: np.linalg.norm(coarse[n] - exact[n]) / sizes[n] for n in sizes if sizes[n] > 1e-6}
    assert len(errors) > 15 and 0 < np.median(list(errors.values())) < 0.02
    assert 0 < errors["change"] < 0.05


@pytest.mark.reference
def test_float16_gradients_of_large_values_are_finite(first_gradients):
    labels = np.random.RandomState(1).uniform(0, 3000, 64).astype(np.float32)
    settings = task_settings.Settings(objective="regression")
    for gradient in first_gradients("mixed_float16", labels, settings).values():
        assert np.isfinite(gradient).all()
