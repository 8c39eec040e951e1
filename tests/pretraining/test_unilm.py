"""UniLM's mix of patterns: their assignment to rows, what each one sees, and the metrics."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.model import modeling
from albert_zh.pretraining import model_fn as pretraining_model_fn
from albert_zh.pretraining.objectives import masked_lm, reading_patterns, terms, unilm
from crossed_cases import with_slow
from pretraining_steps import SETTINGS, features_of, trained
import pretraining_workspace as small

LAYOUTS = {
    "brightmart": {},
    "pre_norm": {"ln_type": "preln"},
    "google": {"num_hidden_groups": 1},
    "bert": {"embedding_size": None},
    "nezha": {"embedding_size": None, "use_relative_position": True},
    "electra": {"model_type": "electra"},
}
PLACES = [1, 3, 5]  # of the masks in `small.masked_records`


def patterns_of(records, is_training=False, step=0):
    with tf.Graph().as_default(), tf.Session() as session:
        counter = tf.train.get_or_create_global_step()
        features = {name: tf.constant(values.astype(np.int32)) for name, values in records.items()}
        found = unilm.with_patterns(features, is_training)
        counter.load(step, session)
        names = (reading_patterns.PATTERNS, "segment_ids")
        return session.run([found[name] for name in names])


def test_a_third_a_sixth_a_sixth_and_a_third():
    generator = np.random.RandomState(0)
    records = small.masked_records(4000)
    records["input_ids"] = generator.randint(5, 8000, records["input_ids"].shape)
    patterns, _ = patterns_of(records)
    shares = np.bincount(patterns, minlength=4) / 4000
    np.testing.assert_allclose(shares, [1 / 3, 1 / 6, 1 / 6, 1 / 3], atol=0.025)


def patterns_by_step(records, steps):
    """Returns the patterns of rows, int [steps, B], computed in one graph."""
    with tf.Graph().as_default(), tf.Session() as session:
        counter = tf.train.get_or_create_global_step()
        features = {name: tf.constant(values.astype(np.int32)) for name, values in records.items()}
        found = unilm.with_patterns(features, True)[reading_patterns.PATTERNS]
        rows = []
        for step in steps:
            counter.load(step, session)
            rows.append(session.run(found))
        return np.array(rows)


@pytest.mark.parametrize("epoch", [1, 6, 36, 1000])
def test_a_row_is_read_in_every_way_whatever_an_epoch_has_steps(epoch):
    by_epoch = patterns_by_step(small.masked_records(8), range(0, 400 * epoch, epoch))
    for row in by_epoch.T:
        shares = np.bincount(row, minlength=4) / 400
        np.testing.assert_allclose(shares, [1 / 3, 1 / 6, 1 / 6, 1 / 3], atol=0.1)


def test_how_a_row_is_read_is_decided_by_its_tokens_and_the_step_alone():
    records = small.masked_records(8)
    by_step = np.array([patterns_of(records, True, step)[0] for step in range(3)])
    halves = [{name: values[part] for name, values in records.items()}
              for part in (slice(0, 4), slice(4, 8))]  # fmt: skip
    parts = np.concatenate([patterns_of(half, True, 2)[0] for half in halves])
    assert (parts == by_step[2]).all()
    assert (patterns_of(records, False, 3)[0] == by_step[0]).all()  # constant in evaluation


def test_rows_of_one_segment_have_their_first_half_as_source():
    records = small.masked_records(12)
    before = records["segment_ids"].copy()
    records["segment_ids"][::2] = 0
    patterns, segments = patterns_of(records)
    is_divided = (patterns == reading_patterns.SEQUENCE_TO_SEQUENCE) & (np.arange(12) % 2 == 0)
    assert is_divided.any()
    for row, lengths in enumerate(records["input_mask"].sum(axis=1)):
        expected = before[row] if row % 2 else 0 * before[row]
        if is_divided[row]:
            expected = (np.arange(16) >= lengths // 2) & (np.arange(16) < lengths)
        assert (segments[row] == expected).all()


def losses_of(session, config, records, pattern, build):
    """Returns losses [B, P] of masked words if all rows have `pattern`; `build` caches tensors."""
    if not build:
        inputs = {
            name: tf.placeholder(tf.float32 if values.dtype.kind == "f" else tf.int32, values.shape)
            for name, values in dict(
                records, **{reading_patterns.PATTERNS: np.zeros(4, int)}
            ).items()
        }
        settings = SETTINGS._replace(unilm=True)
        found = pretraining_model_fn.losses_of(config, inputs, False, settings)
        build += [inputs, found[0].losses]
        generator = np.random.RandomState(1)
        for variable in tf.global_variables():
            noise = 0.4 * generator.standard_normal(variable.shape.as_list())
            variable.load(noise + variable.op.name.endswith("gamma"), session)
    inputs, losses = build
    values = dict(records, **{reading_patterns.PATTERNS: np.full(4, pattern)})
    return session.run(losses, {inputs[name]: values[name] for name in inputs}).reshape([4, 3])


@pytest.mark.newest
@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_what_is_not_seen_changes_nothing(layout):
    """Replacing a piece changes only the losses of the masks that see it."""
    config = modeling.AlbertConfig.from_dict(dict(small.CONFIG, **LAYOUTS[layout]))
    records = small.masked_records(4)
    records["segment_ids"][:] = np.arange(16) >= 4
    records["segment_ids"] *= records["input_mask"]
    sees = {  # {pattern: {place that changes: places that see it}}
        reading_patterns.BIDIRECTIONAL: {2: [1, 3, 5], 6: [1, 3, 5]},
        reading_patterns.LEFT_TO_RIGHT: {2: [3, 5], 6: []},
        reading_patterns.RIGHT_TO_LEFT: {2: [1], 6: [1, 3, 5]},
        reading_patterns.SEQUENCE_TO_SEQUENCE: {2: [1, 3, 5], 4: [5], 6: []},
    }
    build = []
    with tf.Graph().as_default(), tf.Session() as session:
        for pattern, by_place in sees.items():
            before = losses_of(session, config, records, pattern, build)
            for place, expected in by_place.items():
                changed = dict(records, input_ids=records["input_ids"].copy())
                changed["input_ids"][:, place] = 30
                after = losses_of(session, config, changed, pattern, build)
                is_changed = np.abs(after - before).max(axis=0) > 1e-4
                assert [p for p, other in zip(PLACES, is_changed) if other] == expected, place
                np.testing.assert_allclose(after[:, ~is_changed], before[:, ~is_changed], atol=1e-5)


def test_the_loss_is_over_all_words_and_order_over_rows_seen_from_both_sides():
    config = modeling.AlbertConfig.from_dict(small.CONFIG)
    settings = SETTINGS._replace(unilm=True)
    with tf.Graph().as_default(), tf.Session() as session:
        features = pretraining_model_fn.prepared(features_of(12), False, settings)
        found = pretraining_model_fn.losses_of(config, features, False, settings)
        session.run(tf.global_variables_initializer())
        patterns = session.run(features[reading_patterns.PATTERNS])
        by_name = {
            term.name: session.run({"losses": term.losses, "weights": term.weights})
            for term in found
        }
        losses = {term.name: session.run(term.loss) for term in found if term.loss is not None}
        total = session.run(terms.total_loss(found))
    assert set(losses) == {"masked_lm", "next_sentence"}
    assert total == pytest.approx(sum(losses.values()))
    assert losses["masked_lm"] == pytest.approx(by_name["masked_lm"]["losses"].mean(), rel=1e-5)
    is_both = patterns == reading_patterns.BIDIRECTIONAL
    assert 0 < is_both.sum() < 12
    assert (by_name["next_sentence"]["weights"] == is_both).all()
    expected = by_name["next_sentence"]["losses"][is_both].mean()
    assert losses["next_sentence"] == pytest.approx(expected, rel=1e-5)
    for number, name in enumerate(("bidirectional", "left_to_right", "right_to_left")):
        assert (by_name[name]["weights"].reshape([12, 3])[:, 0] == (patterns == number)).all()


@pytest.mark.slow
@pytest.mark.newest
@pytest.mark.parametrize(
    "changes",
    with_slow(
        [{}, {"gradient_accumulation_steps": 2}, {"plain": True}],
        [{"gradient_accumulation_steps": 2}],
    ),
)
def test_a_model_learns_it_however_its_batch_is_divided(changes):
    losses, values = trained(6, unilm=True, **changes)
    straight, expected = trained(6, unilm=True)
    assert losses == pytest.approx(straight, abs=1e-4) and losses[-1] < losses[0]
    for name in values:
        np.testing.assert_allclose(values[name], expected[name], atol=1e-4, err_msg=name)
    plain, _ = trained(1)
    assert losses[0] != pytest.approx(plain[0], abs=1e-6)


def test_other_objectives_see_all():
    with tf.Graph().as_default():
        features = features_of(4)
        assert unilm.attention_mask(features) is None
        denominators = masked_lm.denominators_of(features)
        with tf.Session() as session:
            assert session.run(denominators.sentences) == 4
