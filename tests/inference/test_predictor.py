"""Tests of the resident classifier."""

import glob
import json
import os
import pathlib
import pickle
import re
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.common import cores
from albert_zh.common.errors import UserError
from albert_zh.inference import input_rows, predictor
import small_models
from workspace import CHARACTERS, ROOT, Workspace, run_here


class Table:
    """Like pandas' DataFrame: iterating over it yields the names of its columns."""

    columns = ("title",)

    def __iter__(self):
        return iter(self.columns)


@pytest.fixture(scope="module")
def fine_tuned(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("fine_tuned"))
    run_here(workspace.arguments(do_eval=True))
    return workspace


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_models.write_model(tmp_path_factory.mktemp("models") / "random")


@pytest.fixture(scope="module")
def model(folder):
    with predictor.Predictor(folder) as resident_model:
        yield resident_model


def random_texts(count, seed=0):
    random = np.random.RandomState(seed)

    def text():
        return "".join(random.choice(list(CHARACTERS + "，ab1 "), random.randint(0, 40)))

    return [(text(), text()) if random.rand() < 0.7 else text() for _ in range(count)]


def test_equals_the_predictions_of_run_classifier_in_any_order(fine_tuned):
    table = [line.split("\t") for line in fine_tuned.read("predictions.tsv").splitlines()[1:]]
    expected = np.loadtxt(os.path.join(fine_tuned.output, "test_results.tsv"))
    pairs = [(row[0], row[1]) for row in table] + [("今天", "好" * 100)]
    with predictor.Predictor(os.path.join(fine_tuned.output, "best")) as resident_model:
        assert resident_model.max_seq_length == 24  # as in training
        labels, probabilities = resident_model.predict(pairs)
        np.testing.assert_allclose(probabilities[:-1], expected, atol=1e-5)
        assert labels[:-1] == [row[3] for row in table]
        np.testing.assert_allclose(
            resident_model.similarities(pairs), probabilities[:, 1], atol=1e-6
        )


def test_each_answer_is_that_of_its_text_alone(model):
    """Neither other texts in the batch nor their lengths change the prediction."""
    texts = random_texts(300)
    labels, probabilities = model.predict(texts)
    assert probabilities.shape == (300, 2) and len(set(labels)) == 2
    assert probabilities[:, 1].std() > 0.05, "the random model should tell texts apart"
    alone = np.concatenate([model.predict([text])[1] for text in texts[:40]])
    np.testing.assert_allclose(probabilities[:40], alone, atol=1e-5)
    backwards = model.predict(texts[::-1])[1]
    np.testing.assert_allclose(backwards[::-1], probabilities, atol=1e-5)
    assert model.predict([])[1].shape == (0, 2)


def test_batches_hold_every_row_once_and_few_tokens():
    lengths = np.random.RandomState(1).randint(2, 513, 2000).tolist()
    batches = list(input_rows.batches_by_length(lengths))
    assert sorted(index for batch in batches for index in batch) == list(range(2000))
    for batch in batches:
        longest = max(lengths[index] for index in batch)
        assert len(batch) * longest <= input_rows.TOKENS_PER_BATCH
    padding = sum(max(lengths[i] for i in b) * len(b) for b in batches) / float(sum(lengths))
    assert padding < 1.02


@pytest.mark.parametrize(
    "lengths, num_shares, batches",
    [
        ([100, 150, 200, 120], 2, [[0, 3], [1, 2]]),  # the shorter rows, the longer rows
        ([100, 150, 200, 120], 3, [[0, 3], [1, 2]]),
        ([100, 150, 200, 120], 1, [[0, 3, 1, 2]]),
        ([30] * 9, 4, [[0, 1, 2, 3, 4], [5, 6, 7, 8]]),  # 67 tokens per share would be too few
        ([20] * 6, 4, [[0, 1, 2, 3, 4, 5]]),
        ([300, 300], 2, [[0], [1]]),
        ([300], 2, [[0]]),
        ([], 2, []),
    ],
)
def test_rows_are_divided_into_shares(lengths, num_shares, batches):
    assert list(input_rows.batches_by_length(lengths, num_shares)) == batches


@pytest.mark.parametrize("length", [256, 257])
def test_a_long_text_alone_has_the_answer_that_it_has_among_others(tmp_path, length, monkeypatch):
    monkeypatch.setattr(cores, "num_usable", lambda: 2)
    folder = small_models.write_model(tmp_path / "long", max_position_embeddings=300)
    texts = [("今天天气很好" * 50)[: length - 2], "好" * length, "今天", "很好" * 120]
    with predictor.Predictor(folder, 300) as resident_model:
        alone = np.concatenate([resident_model.predict([text])[1] for text in texts])
        np.testing.assert_allclose(alone, resident_model.predict(texts)[1], atol=1e-6)
    assert alone[:, 0].std() > 0.01


WEIRD_TEXTS = {
    "empty": "",
    "blank": " \t\n　",
    "100,000 characters": "天" * 100000,
    "a word of 100,000 characters": "a" * 100000,
    "control characters": "\x00今\x07天\x1b[31m\u202e\u200b",
    "beyond the basic plane": "𠀀😀👨‍👩‍👧",
    "markers": "[CLS] [SEP] [MASK]",
}


@pytest.mark.parametrize("name", sorted(WEIRD_TEXTS))
def test_any_text_is_classified(model, name):
    text = WEIRD_TEXTS[name]
    labels, probabilities = model.predict([text, (text, "今天"), ("今天", text), (text, text)])
    assert len(labels) == 4
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_control_characters_change_nothing(model):
    plain, with_nul = model.predict(["今天天气", "今\x00天天\x07气"])[1]
    np.testing.assert_allclose(plain, with_nul, atol=1e-6)


@pytest.mark.parametrize(
    "texts, message",
    [
        ("今天", "put it into a list"),
        (b"abc", "put it into a list"),
        (None, "expected a list of texts, found None"),
        (3, "expected a list of texts, found 3"),
        (["a", None], "text 1 is None, expected a str or a pair of str"),
        ([3.5], "text 0 is 3.5"),
        ([b"bytes"], "text 0 is b'bytes'"),
        ([("a", None)], "text 0 is .'a', None."),
        ([("a", "b", "c")], "text 0 is .'a', 'b', 'c'."),
        ([("a", 1)], "text 0 is .'a', 1."),
        ([["a", ["b"]]], "text 0 is"),
        ([{"text": "a"}], "text 0 is"),
        (["今天", ("好", "今\udce4")], r"text 1: character 2 is \\udce4, a surrogate .a byte"),
        (["\ud800今天"], r"text 0: character 1 is \\ud800"),
        ([("x" * 1000, None)], r"text 0 is \('x{38}\.\.\.,"),
        (Table(), "found a table: give one of its columns, or pairs as zip"),
    ],
)
def test_what_is_no_text_is_refused(model, texts, message):
    with pytest.raises(UserError, match=message):
        model.predict(texts)


def test_similarities_need_pairs_and_two_classes(model, tmp_path):
    with pytest.raises(UserError, match="text 1 is a single text"):
        model.similarities([("a", "b"), "c"])
    topics = small_models.write_model(tmp_path / "topics", labels=("体育", "财经", "娱乐"))
    with predictor.Predictor(topics) as other:
        with pytest.raises(UserError, match="has 3 classes"):
            other.similarities([("a", "b")])
        text = random_texts(5)
        assert set(other.predict(text)[0]) <= {"体育", "财经", "娱乐"}
        assert model.predict(text)[1].shape == (5, 2), "two models live in one process"


@pytest.mark.parametrize(
    "labels, column",
    [(("0", "1"), 1), (("duplicate", "not_duplicate"), 0), (("不同", "相同"), 1)],
)
def test_similarity_is_of_the_label_that_says_so(labels, column, tmp_path):
    with predictor.Predictor(small_models.write_model(tmp_path / "m", labels=labels)) as model:
        pairs = [("今天", "明天")]
        expected = model.predict(pairs)[1][:, column]
        np.testing.assert_array_equal(model.similarities(pairs), expected)


@pytest.mark.parametrize(
    "labels, settings, message",
    [
        (("0", "1"), {"columns": ["label", "text_a"]}, "to compare two sentences .labels 0, 1."),
        (
            ("0", "1"),
            {"columns": ["text_a", "text_b", "label"], "compares_sentences": False},
            "to compare two sentences",
        ),
        (("甲", "乙"), {"columns": ["text_a", "text_b", "label"]}, "which of the labels 甲 and 乙"),
    ],
)
def test_what_is_no_similarity_is_refused(labels, settings, message, tmp_path):
    folder = small_models.write_model(tmp_path / "m", labels=labels, settings=settings)
    with predictor.Predictor(folder) as model, pytest.raises(UserError, match=message):
        model.similarities([("今天", "明天")])


def test_pairs_may_come_from_a_generator(model):
    expected = model.similarities([("a", "b"), ("b", "c")])
    assert model.similarities(zip(["a", "b"], ["b", "c"])).tolist() == expected.tolist()


def test_a_path_may_be_any_but_must_be_one(folder):
    with predictor.Predictor(pathlib.Path(folder)) as loaded:
        assert loaded.path == folder
    with pytest.raises(UserError, match="expected the path of a file or folder, found None"):
        predictor.Predictor(None)


def test_a_model_that_was_cut_off_is_explained(folder, tmp_path):
    copy = str(tmp_path / "copy")
    shutil.copytree(folder, copy)
    (data,) = glob.glob(os.path.join(copy, "*.data-*"))
    os.truncate(data, os.path.getsize(data) // 2)
    with pytest.raises(UserError, match="damaged or was truncated"):
        predictor.Predictor(copy)


def test_multi_label_and_regression(tmp_path):
    settings = {"objective": "multi_label", "pooling": "mean", "thresholds": [0.5, 0.0]}
    several = small_models.write_model(tmp_path / "several", settings=settings)
    with predictor.Predictor(several) as model:
        labels, probabilities = model.predict(random_texts(30))
    assert abs(probabilities.sum(axis=1) - 1).max() > 0.1
    assert all("1" in chosen for chosen in labels)
    assert [("0" in chosen) for chosen in labels] == list(probabilities[:, 0] >= 0.5)
    settings = {"objective": "regression"}
    value = small_models.write_model(tmp_path / "value", labels=("0",), settings=settings)
    with predictor.Predictor(value) as model:
        values, column = model.predict(random_texts(30))
        with pytest.raises(UserError, match="expected a model of sentence pairs"):
            model.similarities([("a", "b")])
    assert values == column[:, 0].tolist() and np.ptp(column) > 0.1


@pytest.mark.parametrize(
    "columns, right, wrong, message",
    [
        (
            ["text_a", "text_b", "label"],
            ("今天", "明天"),
            "今天",
            r"text 1 is a single text, but the model was trained on pairs: give \(text_a, text_b\)",
        ),
        (
            ["label", "text_a"],
            "今天",
            ("今天", "明天"),
            "text 1 is a pair, but the model was trained on single texts: give one text",
        ),
    ],
)
def test_texts_have_the_form_of_training(columns, right, wrong, message, tmp_path):
    folder = small_models.write_model(tmp_path / "m", settings={"columns": columns})
    with predictor.Predictor(folder) as model:
        assert model.takes_pairs == ("text_b" in columns)
        expected = model.predict([right])[1]
        with pytest.raises(UserError, match=message + ", or switch check_text_form off"):
            model.predict([right, wrong])
    with predictor.Predictor(folder, check_text_form=False) as model:
        probabilities = model.predict([right, wrong])[1]
        np.testing.assert_allclose(probabilities[:1], expected, atol=1e-6)


def test_a_folder_without_a_note_of_the_form_takes_both(model):
    assert model.takes_pairs is None
    assert model.predict(["今天", ("今天", "明天")])[1].shape == (2, 2)


def test_a_model_that_is_sent_to_another_process_is_refused(folder):
    """joblib, multiprocessing and Spark pickle the objects that their functions use."""
    with predictor.Predictor(folder) as model:
        with pytest.raises(
            UserError, match="^this Predictor cannot be pickled .*: create one there"
        ):
            pickle.dumps({"model": model})
        assert model.predict(["今天"])[0]


_FORKED = """
import os, sys, time
sys.path[:0] = sys.argv[1].split(os.pathsep)
import predictor, text_encoder
folder = sys.argv[2]
with predictor.Predictor(folder) as model, text_encoder.TextEncoder(folder) as encoder:
    expected = model.predict(["今天"])[1].tolist()
    child = os.fork()
    if child == 0:
        for use in (
            lambda: model.predict(["今天"]),
            lambda: encoder.encode(["今天"]),
            lambda: predictor.Predictor(folder),
        ):
            try:
                use()
            except ValueError as error:
                print(error, flush=True)
        model.close()
        os._exit(0)
    os.waitpid(child, 0)
    assert model.predict(["今天"])[1].tolist() == expected
"""


@pytest.mark.slow
@pytest.mark.reference
def test_a_forked_child_is_told_instead_of_waiting_forever(folder):
    command = [sys.executable, "-c", _FORKED, os.pathsep.join(sys.path), folder]
    shown = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, timeout=120, check=True
    ).stdout.splitlines()
    messages = [
        r"this Predictor was loaded in process \d+, this is its forked child \d+: start child",
        r"this TextEncoder was loaded in process \d+, this is its forked child \d+: start child",
        r"no model can be loaded in this process: it was forked from a process that had loaded or",
    ]
    assert len(shown) == len(messages)
    for line, message in zip(shown, messages):
        assert re.match(message, line) and "get_context('spawn')" in line


@pytest.mark.slow
def test_a_child_that_was_forked_before_the_first_model_loads_its_own(folder):
    program = _FORKED.split("with predictor")[0] + (
        "child = os.fork()\n"
        "with predictor.Predictor(folder) as model:\n"
        "    model.predict(['今天'])\n"
        "if child == 0: os._exit(7)\n"
        "assert os.waitpid(child, 0)[1] == 7 << 8\n"
    )
    command = [sys.executable, "-c", program, os.pathsep.join(sys.path), folder]
    assert subprocess.run(command, timeout=120).returncode == 0


def test_a_model_of_one_segment_takes_no_pairs(tmp_path):
    single = small_models.write_model(tmp_path / "single", type_vocab_size=1)
    with predictor.Predictor(single) as model:
        assert len(model.predict(["今天"])[0]) == 1
        with pytest.raises(UserError, match="takes single texts"):
            model.predict([("今天", "明天")])


def test_closing_waits_for_those_who_predict(folder):
    """Two threads predict while a third closes: correct results, then a clear error, no crash."""
    texts = random_texts(64)
    model = predictor.Predictor(folder)
    expected = model.predict(texts)[1]
    answered, errors = [], []

    def predict_until_closed():
        try:
            while True:
                answered.append(model.predict(texts)[1])
        except UserError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=predict_until_closed) for _ in range(2)]
    for thread in threads:
        thread.start()
    while len(answered) < 4:
        assert threads[0].is_alive() and threads[1].is_alive()
    model.close()
    for thread in threads:
        thread.join(60)
    assert errors == ["this Predictor is closed: create a new one"] * 2
    for probabilities in answered:
        np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    model.close()


def test_model_folder_may_vanish(folder, tmp_path):
    copied = str(tmp_path / "copied")
    shutil.copytree(folder, copied)
    texts = random_texts(20)
    with predictor.Predictor(copied) as model:
        shutil.rmtree(copied)
        first = model.predict(texts)[1]
        np.testing.assert_allclose(model.predict(texts)[1], first, atol=1e-6)


def test_bfloat16_is_near(model, folder):
    with predictor.Predictor(folder, precision="bfloat16") as other:
        texts = random_texts(50)
        difference = abs(other.predict(texts)[1] - model.predict(texts)[1])
    assert 0 < difference.max() < 0.1
    with pytest.raises(UserError, match="unknown 'int8', expected one of bfloat16, float32"):
        predictor.Predictor(folder, precision="int8")


@pytest.mark.parametrize("numbers", [[0, "1"], [0, 0], [1, 2], [0, [1]]])
def test_what_is_no_label_map_is_told(numbers, folder, tmp_path):
    other = str(tmp_path / "other")
    shutil.copytree(folder, other)
    with open(os.path.join(other, "label_map.json"), "w") as handle:
        json.dump(dict(zip("ab", numbers)), handle)
    with pytest.raises(UserError, match="label_map.json: expected a JSON object {label: number}"):
        predictor.Predictor(other)


def test_what_does_not_belong_together_is_refused(folder, tmp_path):
    other = str(tmp_path / "other")
    shutil.copytree(folder, other)
    with open(os.path.join(other, "label_map.json"), "w") as handle:
        json.dump({"a": 0, "b": 1, "c": 2}, handle)
    with pytest.raises(UserError, match="3 labels, but the model next to it has 2"):
        predictor.Predictor(other)
    with open(os.path.join(other, "vocab.txt"), "a") as handle:
        handle.write("more\n")
    os.remove(os.path.join(other, "label_map.json"))
    with pytest.raises(UserError, match="use the vocabulary that came with the model"):
        predictor.Predictor(other)
    os.remove(os.path.join(other, "vocab.txt"))
    with pytest.raises(UserError, match="contains no vocabulary"):
        predictor.Predictor(other)
    with predictor.Predictor(other, vocab_file=os.path.join(folder, "vocab.txt")) as model:
        assert model.labels == ["0", "1"]
    with pytest.raises(UserError, match="max_seq_length: 4 is too short"):
        predictor.Predictor(folder, max_seq_length=4)


def test_missing_and_unreadable_models_are_explained(tmp_path):
    with pytest.raises(UserError, match="no such model folder"):
        predictor.Predictor(str(tmp_path / "none"))
    (tmp_path / "albert_tiny.zip").write_bytes(b"")
    with pytest.raises(UserError, match="albert_tiny.zip is an archive, expected a model folder"):
        predictor.Predictor(str(tmp_path / "albert_tiny.zip"))
    with pytest.raises(UserError, match="cannot be read"):
        predictor.Predictor(str(tmp_path / "none.tflite"))
    with pytest.raises(UserError, match="run_classifier_lcqmc.sh"):
        predictor.newest_best_folder([str(tmp_path)])
    (tmp_path / "bad.tflite").write_bytes(b"nothing of that kind")
    with pytest.raises(UserError, match="not a readable TFLite model"):
        predictor.Predictor(str(tmp_path / "bad.tflite"))
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "saved_model.pb").write_bytes(b"nothing of that kind")
    with pytest.raises(UserError, match="not a readable SavedModel"):
        predictor.Predictor(str(tmp_path / "bad"))


@pytest.mark.parametrize(
    "notes",
    [
        '{"columns": ["text_a", "label"]}',
        '{"columns": ["text_a", "text_b", "label"], "compares_sentences": false}',
    ],
)
def test_newest_fine_tuned_model_is_taken(notes, tmp_path):
    older, newer = (str(tmp_path / name / "best") for name in ("1/a_output", "2/b_output"))
    folders = [str(tmp_path / "2"), str(tmp_path / "1")]
    for number, folder in enumerate((older, newer)):
        os.makedirs(folder)
        os.utime(folder, (number, number))
    assert predictor.newest_best_folder(folders) == newer
    with open(os.path.join(newer, "fine_tuning.json"), "w") as settings:
        settings.write(notes)
    os.utime(newer, (2, 2))
    assert predictor.newest_best_folder(folders, of_pairs=True) == older


IMPORTED_ELSEWHERE = """
import sys, threading
from predictor import Predictor
from absl import flags
assert not flags.FLAGS.is_parsed()
assert threading.active_count() == 1, threading.enumerate()
with Predictor(sys.argv[1]) as model:
    print(model.predict(["今天", ("今天", "明天")])[0])
"""


@pytest.mark.reference
def test_importing_has_no_side_effects(model, folder, tmp_path):
    """Importing from any folder parses no flags, prints no log lines and starts no threads."""
    result = subprocess.run(
        [sys.executable, "-c", IMPORTED_ELSEWHERE, folder],
        cwd=str(tmp_path),
        env=dict(os.environ, PYTHONPATH=ROOT, PYTHONIOENCODING="utf-8"),
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "%s\n" % model.predict(["今天", ("今天", "明天")])[0]
    assert result.stderr == "" or tf.__version__.startswith("1.")
