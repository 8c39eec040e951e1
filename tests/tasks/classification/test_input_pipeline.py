"""Batches of a classifier: grouped by length, each example once per epoch, order restored."""

import collections
import contextlib
import itertools
import os
import tracemalloc
import types

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.common import files
from albert_zh.model import modeling
from albert_zh.tasks import (
    datasets,
    feature_files,
    feature_records,
    input_pipeline,
    outputs_graph,
    record_stream,
    registry,
    run_data,
)
from albert_zh.tasks import reader as task_reader
from albert_zh.tasks import settings as task_settings
from albert_zh.text import tokenization
from albert_zh.training import length_bucketing
from classification_batches import batches_of, pair_record
import translated_functions
from workspace import CONFIG, ROOT

TASK = datasets.TASKS["lcqmc"]
NUM_ROWS = 100
BATCH = 8


@pytest.fixture(name="features")
def features_fixture(tmp_path):
    """Fixture: a file of rows of 4 to 60 tokens; the second token is the row's number + 1."""
    path = str(tmp_path / "train.tf_record")
    lengths = np.random.RandomState(3).randint(4, 61, NUM_ROWS)
    with tf.python_io.TFRecordWriter(path) as writer:
        for number, length in enumerate(lengths):
            ids = [2, number + 1] + [3] * (length - 2)
            writer.write(pair_record(ids, number % 2))
    return feature_records.FeatureFile(path, NUM_ROWS, 0, TASK)


def numbers(batches):
    return [int(row[1]) - 1 for batch in batches for row in batch["input_ids"]]


def training(features, num_steps=50, first_step=0, seed=7, **settings):
    input_fn = input_pipeline.train_input_fn(
        features, 64, BATCH, num_steps, seed, first_step, **settings
    )
    return list(itertools.islice(batches_of(input_fn, BATCH), num_steps - first_step))


def shares_of_padding(batches):
    return np.mean([1 - batch["input_mask"].mean() for batch in batches])


def test_every_example_comes_once_an_epoch_in_an_order_of_its_own(features):
    rows = numbers(training(features))
    assert len(rows) == 400 and set(collections.Counter(rows).values()) == {4}
    assert len(set(rows[:96])) == 96 and set(collections.Counter(rows[:200]).values()) == {2}
    assert rows[:96] != rows[200:296]
    assert numbers(training(features, seed=8)) != rows


def test_the_last_window_ends_with_the_training(features):
    counts = collections.Counter(numbers(training(features, num_steps=25)))
    assert set(counts.values()) == {2}


def test_batches_are_of_like_length(features):
    packed, plain = training(features), training(features, plain=True)
    assert {batch["input_ids"].shape[1] for batch in plain} == {64}
    assert shares_of_padding(packed) < 0.15 < 0.4 < shares_of_padding(plain)
    for batch in packed:
        length = batch["input_ids"].shape[1]
        assert length % 4 == 0 and length - batch["input_mask"].sum(axis=1).max() < 4
        np.testing.assert_array_equal(batch["input_mask"], batch["input_ids"] > 0)
    widths = [batch["input_ids"].shape[1] for batch in packed[:12]]
    assert widths != sorted(widths)


def test_no_batch_has_an_example_twice(features):
    for batch in training(features):
        assert len(set(numbers([batch]))) == BATCH


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("first_step", [1, 12, 13, 27, 49])
def test_resumed_input_goes_on_where_the_run_stopped(features, first_step, plain):
    straight = training(features, plain=plain)
    resumed = training(features, first_step=first_step, plain=plain)
    assert numbers(resumed) == numbers(straight[first_step:])


def test_replicas_share_the_steps_of_one_device(features):
    context = tf.distribute.InputContext(1, 0, 2)
    input_fn = input_pipeline.train_input_fn(features, 64, BATCH, 10, seed=7)
    parts = list(itertools.islice(batches_of(input_fn, input_context=context), 20))
    assert [len(part["label_ids"]) for part in parts] == [BATCH // 2] * 20
    assert numbers(parts) == numbers(training(features, num_steps=10))


@pytest.mark.parametrize("batch_size", [1, 8, 256])
def test_rows_of_an_evaluation_come_back_in_order(features, batch_size, monkeypatch):
    monkeypatch.setattr(length_bucketing, "WINDOW", 30)
    input_fn = input_pipeline.eval_input_fn(features, 64, batch_size)
    batches = list(batches_of(input_fn))
    assert numbers(batches) != list(range(NUM_ROWS))
    rows = list(input_pipeline.in_order(batches))
    assert [int(row["input_ids"][1]) - 1 for row in rows] == list(range(NUM_ROWS))


def test_files_share_a_graph(features, tmp_path):
    """The path is requested each time the input begins; file names need not be ASCII."""
    other = str(tmp_path / "测试.tf_record")
    with tf.python_io.TFRecordWriter(other) as writer:
        writer.write(pair_record([2, 60 + 1, 3], 1))
    read = [features.path]
    input_fn = input_pipeline.eval_input_fn(features, 64, 32, path=lambda: read[-1])
    with tf.Graph().as_default(), tf.Session() as session:
        iterator = tf.data.make_initializable_iterator(input_fn(params={}))
        batch = iterator.get_next()

        def found():
            session.run(iterator.initializer)
            batches = []
            with contextlib.suppress(tf.errors.OutOfRangeError):
                while True:
                    batches.append(session.run(batch))
            return sorted(numbers(batches))

        assert found() == list(range(NUM_ROWS))
        read.append(other)
        assert found() == [60]
        read.append(features.path)
        assert found() == list(range(NUM_ROWS))


def test_streamed_rows_come_back_in_order_too():
    records = (
        {
            "input_ids": [2, number + 1] + [3] * (number % 7),
            "segment_ids": [0] * (2 + number % 7),
            "label_ids": 0,
        }
        for number in range(300)
    )
    input_fn = input_pipeline.stream_input_fn(records, TASK, 16, batch_size=8)
    rows = list(input_pipeline.in_order(batches_of(input_fn)))
    assert [int(row["input_ids"][1]) - 1 for row in rows] == list(range(300))


@pytest.mark.reference
def test_a_stream_keeps_no_more_rows_of_a_longer_file(tmp_path, monkeypatch):
    monkeypatch.setattr(length_bucketing, "WINDOW", 16)
    monkeypatch.setattr(task_reader, "LOOKED_AHEAD", 10)
    task = datasets.get_task("multiclass")._replace(labels=("a", "b"))
    tokenizer = tokenization.FullTokenizer(os.path.join(ROOT, "albert_starter_zh", "vocab.txt"))

    def peak(num_rows):
        """Returns Python's peak memory, in bytes, while a file of `num_rows` rows is predicted."""
        path = tmp_path / ("%d.tsv" % num_rows)
        path.write_text("".join("%d %s\n" % (row, "长" * 500) for row in range(num_rows)))
        stream = record_stream.RecordStream(task, str(path), "utf-8")
        input_fn = input_pipeline.stream_input_fn(
            stream.rows(tokenizer, 16), task, 16, batch_size=8
        )
        tracemalloc.start()
        for row, _ in enumerate(input_pipeline.in_order(batches_of(input_fn))):
            example, num_rows_of_it = stream.next_example()
            assert num_rows_of_it == 1 and example.text_a.startswith("%d " % row)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert row == num_rows - 1
        return most

    peak(50)  # warm-up: creates objects that are cached
    assert peak(600) < peak(200) + 2.5e5  # bytes; the texts of 400 more rows take 4 x 10^5


@pytest.mark.reference
@pytest.mark.parametrize("job", ["training", "evaluation"])
def test_losses_of_examples_do_not_depend_on_their_batches(features, job):
    packed, padded = (losses_by_number(features, job, plain) for plain in (False, True))
    assert sorted(packed) == sorted(padded) == list(range(NUM_ROWS))
    for number, loss in padded.items():
        assert abs(packed[number] - loss) < 1e-5, number
    assert np.std(list(padded.values())) > 0.1


def losses_by_number(features, job, plain):
    """Returns {number of a row: its loss}, computed in batches of training or evaluation."""
    config = modeling.AlbertConfig.from_dict(dict(CONFIG, vocab_size=200, initializer_range=0.4))
    if job == "training":
        input_fn = input_pipeline.train_input_fn(
            features, 64, 10, num_steps=10, seed=7, plain=plain
        )
    else:
        input_fn = input_pipeline.eval_input_fn(features, 64, 10, plain=plain)
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(3)
        batch = tf.data.make_one_shot_iterator(input_fn({})).get_next()
        settings = task_settings.Settings()
        outputs = outputs_graph.outputs_builder(
            config, batch, 2, settings, is_training=False, plain=plain
        )()
        losses = registry.type_of(TASK).losses(outputs, batch, settings)
        session.run(tf.global_variables_initializer())
        found = {}
        while len(found) < NUM_ROWS:
            ids, values = session.run([batch["input_ids"], losses])
            found.update(zip((int(row[1]) - 1 for row in ids), values))
        return found


def test_tpu_batches_are_static_and_the_last_is_filled_up(features):
    evaluation = input_pipeline.eval_input_fn(features, 64, 40, use_tpu=True)
    with tf.Graph().as_default():
        shapes = tf.data.get_output_shapes(evaluation({"batch_size": 40}))
    assert all(shape.is_fully_defined() for shape in shapes.values())
    batches = list(batches_of(evaluation, 40))
    assert [int(batch["is_real_example"].sum()) for batch in batches] == [40, 40, 20]
    assert numbers(batches)[:NUM_ROWS] == list(range(NUM_ROWS))
    assert {batch["input_ids"].shape for batch in training(features, use_tpu=True)[:3]} == {(8, 64)}


def of_hosts(input_fn, size):
    """Returns the batches of two hosts with two cores each, in the order of the cores of a step."""
    hosts = []
    for host in range(2):
        context = types.SimpleNamespace(num_replicas=4, num_hosts=2, current_host=host)
        batches = batches_of(input_fn, size, tpu_context=context)
        hosts.append(list(itertools.islice(batches, 20)))
    return [batch for pair in zip(*hosts) for batch in pair]


def test_cores_of_all_hosts_share_a_step(features):
    input_fn = input_pipeline.train_input_fn(
        features, 64, BATCH, 10, seed=7, first_step=3, use_tpu=True
    )
    parts = of_hosts(input_fn, BATCH // 4)[: 4 * 7]
    assert {len(part["label_ids"]) for part in parts} == {BATCH // 4}
    whole = training(features, num_steps=10, plain=True)
    assert numbers(parts) == numbers(whole[3:])


def test_cores_of_all_hosts_share_an_evaluation(features):
    parts = of_hosts(input_pipeline.eval_input_fn(features, 64, 24, use_tpu=True), 6)
    assert len(parts) % 4 == 0
    real = [part["is_real_example"] > 0 for part in parts]
    assert np.concatenate(real).sum() == NUM_ROWS
    assert numbers(parts)[:NUM_ROWS] == list(range(NUM_ROWS))


def test_windows_keep_to_epochs():
    starts = length_bucketing.window_starts(num_examples=100, batch_size=8, num_steps=30, window=32)
    # Rows 96 to 103 are of two epochs and so form a separate window; step 25 begins with row 200.
    assert list(starts) == [0, 4, 8, 12, 13, 17, 21, 25, 29]
    assert list(length_bucketing.window_starts(5, 8, 3)) == [0, 1, 2]
    assert list(length_bucketing.window_starts(1000, 10, 3)) == [0]


def test_features_are_made_anew_where_the_code_that_reads_has_changed(monkeypatch):
    read, read_bytes = [], files.read_bytes
    monkeypatch.setattr(
        files, "read_bytes", lambda path: read.append(os.path.basename(path)) or read_bytes(path)
    )
    feature_files._code_version.cache_clear()
    feature_files._code_version(registry.get("single_label"))
    expected = (
        "annotations cells column_choice column_files columns datasets dev_split dictionaries "
        "encoding feature_files feature_records files header_columns input_examples kinds "
        "label_checks label_rules "
        "named_columns offsets own_labels position_columns reader registry rows "
        "sentencepiece_models split_files task_forms task_type "
        "text_encodings text_groups tokenization unicode_text "
        "vocabulary_files word_memory"
    )
    assert sorted(read) == [name + ".py" for name in expected.split()]


@pytest.mark.parametrize("use_tpu", [False, True])
def test_a_tpu_predicts_in_batches_of_one_shape(tmp_path, use_tpu):
    (tmp_path / "test.txt").write_text("text_a\ttext_b\n甲\t乙\n", encoding="utf-8")
    given = {"task_name": "lcqmc", "data_dir": str(tmp_path), "do_predict": True}
    given.update(dict.fromkeys(["do_train", "do_eval", "skip_bad_rows"], False))
    given["chosen_columns"] = {}
    flags = types.SimpleNamespace(label_separator="|", encoding="utf-8", use_tpu=use_tpu, **given)
    data = run_data.TaskData(flags, "single_label", (None, {}))
    assert (data.streamed_test is None) == use_tpu == ("test" in data.splits)


@pytest.mark.parametrize("plain", [False, True])
def test_nothing_is_translated(features, plain):
    """AutoGraph is not used: it would take most of a second and find nothing to translate."""
    evaluation = input_pipeline.eval_input_fn(features, 64, 40, plain=plain)
    with translated_functions.of_parsers() as found, tf.Graph().as_default():
        training(features, num_steps=1, plain=plain)
        evaluation({})
    assert len(found) >= 2 and not any(found)
