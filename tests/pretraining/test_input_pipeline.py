"""The input pipeline of pre-training: order, masking for each epoch, packing, resuming."""

import functools
import shutil
import types

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.common.errors import UserError
from albert_zh.corpus import masking
from albert_zh.pretraining import dynamic_masking, input_lanes, record_sources
from albert_zh.pretraining import flags as pretraining_flags
from albert_zh.pretraining import input_pipeline as pretraining_input
from albert_zh.pretraining import runner as pretraining_runner
from albert_zh.training import length_bucketing
from crossed_cases import with_slow
from isolated_flags import flags_of
import pretraining_workspace as small
from record_generator import RecordGenerator
import translated_functions

FILES = [(24, 0), (16, 24)]  # (number of records, number of the first record)
NUM_RECORDS = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small.Workspace(tmp_path_factory.mktemp("input"))


@pytest.fixture(scope="module")
def sources(folder):
    """Fixture: sources of unmasked and of masked records, in two files each."""
    unmasked = [folder.write_records("u%d" % n, small.unmasked_records(n, at)) for n, at in FILES]
    masked = [folder.write_records("m%d" % n, small.masked_records(n, at)) for n, at in FILES]
    choice = masking.MaskingChoice(0.2, small.PREDICTIONS, masking.WHOLE_WORDS, True, False)
    common = {
        "num_records": NUM_RECORDS,
        "record_bytes": 100,
        "max_seq_length": small.SEQUENCE,
        "max_predictions": small.PREDICTIONS,
        "mask_id": small.MASK,
        "vocab_size": small.CONFIG["vocab_size"],
        "is_static": False,
    }
    return {
        "unmasked": pretraining_input.RecordSource(files=unmasked, masking=choice, **common),
        "masked": pretraining_input.RecordSource(files=masked, masking=None, **common),
    }


@pytest.mark.parametrize(
    "num_segments, flags, is_warned_of",
    [(1, [], True), (1, ["--sentence_task=false"], False), (2, [], False)],
)
def test_an_order_of_one_segment_is_warned_of(folder, capsys, num_segments, flags, is_warned_of):
    records = small.masked_records(4)
    records["segment_ids"] *= num_segments - 1
    path = folder.write_records("of_%d_segments" % num_segments, records)
    arguments = folder.arguments(input_file=path) + flags
    with flags_of(arguments, pretraining_flags.define_flags):
        config = types.SimpleNamespace(vocab_size=small.CONFIG["vocab_size"])
        source = record_sources.record_source(pretraining_flags.FLAGS, "input_file", config, None)
    assert source.num_records == 4
    said = capsys.readouterr().out
    expected = "warning: the records of --input_file have one segment each"
    assert (expected in said) == is_warned_of


def test_an_order_of_one_segment_that_is_asked_for_is_refused(folder):
    records = small.masked_records(4)
    records["segment_ids"] *= 0
    path = folder.write_records("asked_for", records)
    arguments = folder.arguments(input_file=path, sentence_task=True)
    with flags_of(arguments, pretraining_flags.define_flags):
        config = types.SimpleNamespace(vocab_size=small.CONFIG["vocab_size"])
        with pytest.raises(UserError, match="--sentence_task=true: the records of --input_file"):
            record_sources.record_source(pretraining_flags.FLAGS, "input_file", config, None)


def test_an_output_folder_among_the_records_has_none(folder, tmp_path):
    """The flags are --input_file=my --output_dir=my/run, as for a resumed run."""
    records = tmp_path / "my"
    (records / "run").mkdir(parents=True)
    (records / "run" / "train.log").write_text("no records")
    shutil.copy(folder.write_records("named", small.masked_records(4)), str(records / "records"))
    arguments = folder.arguments(input_file=records, output_dir=records / "run")
    with flags_of(arguments, pretraining_flags.define_flags):
        config = types.SimpleNamespace(vocab_size=small.CONFIG["vocab_size"])
        source = record_sources.record_source(pretraining_flags.FLAGS, "input_file", config, None)
    assert source.files == [str(records / "records")]


@pytest.mark.parametrize(
    "flags, named",
    [
        (
            ["--span", "--masked_lm_prob=0.3"],
            "--masked_lm_prob, --span have no effect: the records",
        ),
        ([], None),
        (["--original_masks", "--masked_lm_prob=0.3"], None),
    ],
)
def test_flags_of_masking_for_masked_records_are_named(folder, capsys, flags, named):
    path = folder.write_records("with_masks", small.masked_records(4))
    arguments = folder.arguments(input_file=path) + flags
    with flags_of(arguments, pretraining_flags.define_flags):
        config = types.SimpleNamespace(vocab_size=small.CONFIG["vocab_size"])
        record_sources.record_source(pretraining_flags.FLAGS, "input_file", config, None)
    said = capsys.readouterr().out
    assert ("no effect" in said) == bool(named) and (named or "") in said


@pytest.mark.parametrize(
    "flags, is_warned_of",
    [
        ([], False),
        (["--span_boundary_weight=1"], True),
        (["--span_boundary_weight=1", "--span"], False),
    ],
)
def test_ends_of_single_pieces_are_warned_of(folder, capsys, flags, is_warned_of):
    path = folder.write_records("without_masks", small.unmasked_records(4))
    vocab_file = folder.write("with_a_mask.txt", "[PAD]\n[SEP]\n[MASK]\n")
    arguments = folder.arguments(input_file=path) + flags
    with flags_of(arguments, pretraining_flags.define_flags):
        config = types.SimpleNamespace(vocab_size=small.CONFIG["vocab_size"])
        record_sources.record_source(pretraining_flags.FLAGS, "input_file", config, vocab_file)
    assert ("warning: --span_boundary_weight" in capsys.readouterr().out) == is_warned_of


def batches(
    source,
    count,
    batch_size=8,
    first_step=0,
    packed=False,
    seed=1,
    share=length_bucketing.ALONE,
    lanes=1,
):
    """Returns the first batches for training, each as {name: array}."""
    with tf.Graph().as_default(), tf.Session() as session:
        dataset = pretraining_input.training_batches(
            source, batch_size, seed, first_step, packed, share, lanes
        )
        features = tf.data.make_one_shot_iterator(dataset).get_next()
        return [session.run(features) for _ in range(count)]


def texts(batch):
    """Returns the sequences of a batch with their masked pieces restored, as tuples."""
    ids = batch["input_ids"].copy()
    rows = np.arange(len(ids))[:, None]
    used = batch["masked_lm_weights"] > 0
    labels = np.where(used, batch["masked_lm_ids"], ids[rows, batch["masked_lm_positions"]])
    np.put_along_axis(ids, np.where(used, batch["masked_lm_positions"], 0), 0, axis=1)
    ids[:, 0] = small.CLS
    for row in range(len(ids)):
        ids[row, batch["masked_lm_positions"][row][used[row]]] = labels[row][used[row]]
    return [tuple(row[row > 0]) for row in ids]


def of_file(features):
    """Returns the sequences of unmasked records in their order, as tuples."""
    mask = features["input_mask"] == 1
    return [tuple(row[used]) for row, used in zip(features["input_ids"], mask)]


@pytest.mark.parametrize("packed", [False, True])
def test_an_epoch_has_every_record_once(sources, monkeypatch, packed):
    monkeypatch.setattr(pretraining_input, "WINDOW", NUM_RECORDS)
    found = batches(sources["unmasked"], 10, packed=packed)
    for epoch in found[:5], found[5:]:
        seen = sorted(text for batch in epoch for text in texts(batch))
        assert seen == sorted(of_file(small.unmasked_records(NUM_RECORDS)))
    assert texts(found[0]) != texts(found[5])


@pytest.mark.parametrize("kind, packed", [("unmasked", True), ("masked", False)])
@pytest.mark.parametrize("first_step", with_slow([1, 7, 12], [7]))
def test_a_run_goes_on_with_the_batches_it_would_have_had(
    sources, monkeypatch, kind, packed, first_step
):
    monkeypatch.setattr(pretraining_input, "WINDOW", 32)  # 4 steps
    straight = batches(sources[kind], 15, packed=packed)[first_step:]
    resumed = batches(sources[kind], 15 - first_step, packed=packed, first_step=first_step)
    for one, other in zip(straight, resumed):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.reference
def test_masks_are_others_in_each_epoch_and_depend_on_the_record_alone(sources):
    found = batches(sources["unmasked"], 10)
    by_text = [{}, {}]
    for number, batch in enumerate(found):
        for text, positions in zip(texts(batch), batch["masked_lm_positions"]):
            by_text[number // 5][text] = tuple(positions)
    assert sum(by_text[0][text] != by_text[1][text] for text in by_text[0]) > NUM_RECORDS / 2
    again = batches(sources["unmasked"], 5, batch_size=4)  # other batches, the same records
    for batch in again:
        for text, positions in zip(texts(batch), batch["masked_lm_positions"]):
            width = len(positions)
            assert by_text[0][text][:width] == tuple(positions)
    other_seed = batches(sources["unmasked"], 5, seed=2)
    assert any(
        by_text[0][text] != tuple(positions)
        for batch in other_seed
        for text, positions in zip(texts(batch), batch["masked_lm_positions"])
    )


def test_masking_anew_has_the_statistics_of_masking_once(monkeypatch):
    features = small.unmasked_records(4000)
    choice = masking.MaskingChoice(0.15, 4, masking.WHOLE_WORDS, True, False)
    keys = np.stack([np.zeros(4000, int), np.zeros(4000, int), np.arange(4000)], axis=1)
    generators = RecordGenerator(7, keys), np.random.RandomState(7)
    shares = []
    for generator in generators:
        masked = masking.masked_features(
            features, choice, small.MASK, small.CONFIG["vocab_size"], generator
        )
        used = masked["masked_lm_weights"] > 0
        rows = np.nonzero(used)[0]
        shown = masked["input_ids"][rows, masked["masked_lm_positions"][used]]
        labels = masked["masked_lm_ids"][used]
        place = masked["masked_lm_positions"][used]
        shares.append(
            [
                used.mean(),
                (shown == small.MASK).mean(),
                (shown == labels).mean(),
                (place < 5).mean(),
                (place % 2).mean(),
            ]
        )
    np.testing.assert_allclose(shares[0], shares[1], atol=0.02)
    assert shares[0][1] == pytest.approx(0.8, abs=0.02)


def test_record_generator_is_uniform_and_independent_between_records():
    keys = np.arange(3000).reshape(-1, 1)
    generator = RecordGenerator(1, keys)
    first, second = generator.random_sample((3000, 4)), generator.random_sample((3000, 4))
    assert first.min() >= 0 and first.max() < 1
    for numbers in (first, second):
        assert np.abs(np.histogram(numbers, 10, (0, 1))[0] / 12000.0 - 0.1).max() < 0.012
    columns = np.concatenate([first, second], axis=1).T
    correlations = np.corrcoef(columns) - np.eye(8)
    assert np.abs(correlations).max() < 0.07
    assert abs(np.corrcoef(first[:-1, 0], first[1:, 0])[0, 1]) < 0.07
    np.testing.assert_array_equal(
        RecordGenerator(1, keys[5:6]).random_sample((1, 9))[0, :4], first[5]
    )


@pytest.mark.parametrize("weights", [masking.WHOLE_WORDS, masking.span_weights()])
@pytest.mark.parametrize("whole_words", [True, False])
@pytest.mark.parametrize("by_span, sep_id", [(False, None), (True, small.SEP)])
def test_the_graph_masks_as_numpy_does(weights, whole_words, by_span, sep_id):
    """All numbers are equal, even if words are longer than the number of pieces left to choose."""
    generator = np.random.RandomState(1)
    features = small.unmasked_records(300)
    features["token_boundary"] &= generator.random_sample((300, small.SEQUENCE)) < 0.5
    keys = generator.randint(0, 1 << 40, (300, 3))
    if sep_id is not None:  # one segment with a [SEP] in it
        features["segment_ids"][:] = 0
    choice = masking.MaskingChoice(0.3, small.PREDICTIONS, weights, whole_words, False, by_span)
    expected = masking.masked_features(
        features, choice, small.MASK, 30, RecordGenerator(2**63 + 5, keys), sep_id
    )
    masked_ids = expected["masked_lm_ids"][expected["masked_lm_weights"] > 0]
    assert sep_id is None or not (masked_ids == sep_id).any()
    with tf.Graph().as_default(), tf.Session() as session:
        tensors = {name: tf.constant(values, tf.int64) for name, values in features.items()}
        masked = dynamic_masking.masked_features(
            tensors, choice, small.MASK, 30, 2**63 + 5, tf.constant(keys), sep_id
        )
        found = session.run(masked)
        operations = {operation.type for operation in tf.get_default_graph().get_operations()}
    del expected["token_boundary"]
    assert sorted(found) == sorted(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
    assert not {kind for kind in operations if "PyFunc" in kind}


@pytest.fixture(scope="module")
def of_one_host(sources):
    """Fixture: function that returns nine batches of a single-host run, cached for all tests."""
    return functools.lru_cache(maxsize=None)(
        lambda kind, packed, is_counted, lanes: batches(
            with_counts(sources[kind], is_counted), 9, batch_size=12, packed=packed, lanes=lanes
        )
    )


def with_counts(source, is_counted):
    counts = [count for count, _ in FILES] if is_counted else None
    return source._replace(counts=counts, num_records=NUM_RECORDS if is_counted else None)


# Without --slow only masked records are used: masking takes most of the time, and the choice of
# the records of a step does not depend on it.
HOSTS = [("masked", True, True, 4, 2)]
MORE_HOSTS = [
    pytest.param(kind, packed, is_counted, lanes, hosts, marks=pytest.mark.slow)
    for kind in ("masked", "unmasked")
    for packed in (True, False)
    for is_counted in (True, False)
    for lanes, hosts in ((4, 2), (2, 4), (4, 4), (3, 1), (1, 2))
    if (kind, packed, is_counted, lanes, hosts) not in HOSTS
]


@pytest.mark.newest
@pytest.mark.parametrize("kind, packed, is_counted, lanes, hosts", HOSTS + MORE_HOSTS)
def test_hosts_have_the_rows_of_one_host(
    sources, of_one_host, monkeypatch, kind, packed, is_counted, lanes, hosts
):
    monkeypatch.setattr(pretraining_input, "WINDOW", 24)
    straight = of_one_host(kind, packed, is_counted, lanes)[3:]
    shares = [length_bucketing.Share(hosts, hosts, host) for host in range(hosts)]
    source = with_counts(sources[kind], is_counted)
    common = {"batch_size": 12, "packed": packed, "lanes": lanes, "first_step": 3}
    of_hosts = [batches(source, 6, share=share, **common) for share in shares]
    for step in range(6):
        joined = [text for host in of_hosts for text in texts(host[step])]
        assert joined == texts(straight[step])


@pytest.mark.slow
@pytest.mark.newest
@pytest.mark.parametrize("lanes", [2, 4, 5])
def test_lanes_have_every_record_once(sources, monkeypatch, lanes):
    monkeypatch.setattr(pretraining_input, "WINDOW", 20)
    source = sources["unmasked"]._replace(counts=[count for count, _ in FILES])
    found = batches(source, 4, batch_size=20, lanes=lanes)
    expected = sorted(of_file(small.unmasked_records(NUM_RECORDS)))
    for epoch in found[:2], found[2:]:
        assert sorted(text for batch in epoch for text in texts(batch)) == expected


def test_a_host_reads_its_share_of_the_files_alone():
    ranges, count = input_lanes.ranges_of_lane([10, 20, 10, 0, 8], 5, lane=1, num_lanes=2)
    assert count == 24
    assert ranges == [
        input_lanes.Range(1, 14, 6, 1, 0),
        input_lanes.Range(2, 0, 10, 1, 0),
        input_lanes.Range(4, 0, 8, 1, 0),
    ]
    ranges, count = input_lanes.ranges_of_lane(None, 5, lane=1, num_lanes=2)
    assert [chosen.file for chosen in ranges] == [1, 3] and count is None
    with pytest.raises(
        UserError, match="began on 4 hosts and cannot be continued exactly on 3: use"
    ):
        input_lanes.shares_of_host(4, 3, 0)


@pytest.mark.reference
def test_packed_batches_have_sequences_of_like_length(sources):
    def padding(packed):
        found = batches(sources["masked"], 5, packed=packed)
        return np.mean([1 - batch["input_mask"].mean() for batch in found])

    assert padding(True) < padding(False)


@pytest.mark.reference
def test_batches_are_as_wide_as_their_records_need(sources):
    for batch in batches(sources["unmasked"], 5):
        longest = batch["input_mask"].sum(axis=1).max()
        multiple = pretraining_input.LENGTH_MULTIPLE
        assert batch["input_ids"].shape[1] == -(-longest // multiple) * multiple
        assert batch["masked_lm_ids"].shape[1] == (batch["masked_lm_weights"] > 0).sum(1).max()
    static = sources["unmasked"]._replace(is_static=True)
    for batch in batches(static, 3):
        assert batch["input_ids"].shape == (8, small.SEQUENCE)
        assert batch["masked_lm_ids"].shape == (8, small.PREDICTIONS)


def test_replicas_get_their_parts_of_a_batch(sources):
    whole = batches(sources["masked"], 3)
    parts = batches(sources["masked"], 6, share=length_bucketing.Share(2, 1, 0))
    for number, batch in enumerate(whole):
        joined = texts(parts[2 * number]) + texts(parts[2 * number + 1])
        assert joined == texts(batch)


def test_evaluation_takes_the_files_records_in_turn(sources):
    with tf.Graph().as_default(), tf.Session() as session:
        dataset = pretraining_input.evaluation_batches(sources["masked"], 16, seed=1)
        features = tf.data.make_one_shot_iterator(dataset).get_next()
        found = [session.run(features) for _ in range(3)]
        with pytest.raises(tf.errors.OutOfRangeError):
            session.run(features)
    assert [len(batch["input_ids"]) for batch in found] == [16, 16, 8]
    longer, shorter = (of_file(small.unmasked_records(*part)) for part in FILES)
    in_turn = [text for pair in zip(longer, shorter) for text in pair] + longer[len(shorter) :]
    assert [text for batch in found for text in texts(batch)] == in_turn


@pytest.mark.parametrize("name", ["_train_input_fn", "_eval_input_fn"])
def test_on_tpu_an_input_is_a_cores_part_of_a_step(sources, folder, name):
    context = types.SimpleNamespace(num_replicas=4, num_hosts=1, current_host=0)
    source = sources["masked"]._replace(is_static=True)
    flags = folder.arguments(use_tpu=True, train_batch_size=8, eval_batch_size=8)
    with small.flags_of(flags, pretraining_flags.define_flags), tf.Graph().as_default():
        job = object.__new__(pretraining_runner.Pretraining)
        job._options = pretraining_flags.FLAGS
        job._train_source = job._eval_source = source
        job._first_step, job._num_lanes, job._distiller = 0, 1, None
        dataset = getattr(job, name)({"batch_size": 2, "context": context})
        shapes = tf.data.get_output_shapes(dataset)
    assert shapes["input_ids"].as_list() == [2, small.SEQUENCE]


@pytest.mark.parametrize("kind", ["unmasked", "masked"])
def test_nothing_is_translated(sources, kind):
    """Translating the functions (AutoGraph) takes seconds and changes nothing."""
    with translated_functions.of_parsers() as found:
        batches(sources[kind], 1, packed=True)
        with tf.Graph().as_default():
            pretraining_input.evaluation_batches(sources[kind], 8, seed=1)
    assert len(found) >= 2 and not any(found)
