"""Models, compared with the original's golden values; configs, heads, dropout, recomputation."""

import itertools
import json
import re

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from tensorflow.python.client import timeline

from albert_zh.common.errors import UserError
from albert_zh.model import gradient_checkpointing, modeling
from crossed_cases import with_slow
import golden_cases

pytestmark = pytest.mark.rewritten_graphs

SMALL = {
    "vocab_size": 50,
    "hidden_size": 12,
    "embedding_size": 6,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 24,
    "max_position_embeddings": 16,
    "type_vocab_size": 2,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


CASES = golden_cases.case_names()


@pytest.mark.parametrize(
    "name, ways",
    [(name, {}) for name in CASES]
    # A training graph computes some values twice; without dropout its outputs are the same.
    + [(name, {"is_training": True}) for name in CASES if "_cls_" not in name]
    + [
        pytest.param(
            name, ways, marks=[pytest.mark.reference] + [pytest.mark.slow] * (index % 4 > 0)
        )
        for ways in (
            {"plain": True},
            {"leaves_out": True},
            {"in_halves": True, "leaves_out": True},
        )
        for index, name in enumerate(CASES)
    ],
)
def test_outputs_losses_and_gradients_equal_the_originals(name, ways):
    golden_cases.check_case(name, **ways)


def test_checkpoint_of_the_original_restores():
    config, _, arrays, values = golden_cases.load_case("bm_small_postln")
    with tf.Graph().as_default(), tf.Session() as session:
        tensors = golden_cases.build(config, arrays)
        prefix = "%s/bm_small_postln.ckpt" % golden_cases.BUNDLED
        tf.train.Saver(tf.trainable_variables()).restore(session, prefix)
        for name, found in session.run({v.op.name: v for v in tf.trainable_variables()}).items():
            np.testing.assert_array_equal(found, values[name])
        golden_cases.assert_close(session.run(tensors["total_loss"]), arrays["out/total_loss"])


@pytest.mark.parametrize(
    "extra, layout",
    [
        ({}, "brightmart"),
        ({"ln_type": None}, "brightmart"),
        ({"num_hidden_groups": 1, "inner_group_num": 1}, "google"),
        ({"num_hidden_groups": 1, "ffn_groups": 4}, "google_fast"),
        ({"embedding_size": None}, "bert"),
    ],
)
def test_layout_follows_from_the_config(extra, layout):
    assert modeling.AlbertConfig.from_dict(dict(SMALL, **extra)).layout == layout


def test_plain_bert_shares_no_layer():
    settings = {key: value for key, value in SMALL.items() if key != "embedding_size"}
    with tf.Graph().as_default():
        modeling.AlbertModel(
            modeling.AlbertConfig.from_dict(settings), False, tf.zeros([1, 4], tf.int32)
        )
        shapes = {v.op.name: v.shape.as_list() for v in tf.trainable_variables()}
    assert shapes["bert/embeddings/word_embeddings"] == [50, 12]
    assert shapes["bert/encoder/layer_1/intermediate/dense/kernel"] == [12, 24]
    assert len(shapes) == 5 + 2 * 16 + 2


def test_groups_and_inner_groups_follow_the_layer_number():
    settings = dict(SMALL, num_hidden_layers=4, num_hidden_groups=2, inner_group_num=2)
    with tf.Graph().as_default():
        modeling.AlbertModel(
            modeling.AlbertConfig.from_dict(settings), False, tf.zeros([1, 4], tf.int32)
        )
        kernels = [v.op.name for v in tf.trainable_variables() if "query/kernel" in v.op.name]
    scope = "bert/encoder/transformer/group_%d/inner_group_%d/attention_1/self/query/kernel"
    assert kernels == [scope % place for place in [(0, 0), (0, 1), (1, 0), (1, 1)]]


def outputs_of_groups(pattern, number, **settings):
    """Returns (outputs of blocks, of layers) with `rule_value` weights after renaming groups."""
    ids = np.random.RandomState(1).randint(0, 50, [2, 7]).astype(np.int32)
    with tf.Graph().as_default(), tf.Session() as session:
        config = modeling.AlbertConfig.from_dict(dict(SMALL, **settings))
        model = modeling.AlbertModel(config, False, tf.constant(ids))
        values = {}
        for variable in tf.trainable_variables():
            name = re.sub(pattern, number, variable.op.name)
            shape = variable.shape.as_list()
            values[variable.op.name] = golden_cases.rule_value(name, shape, True)
        golden_cases.set_variables(session, values)
        return session.run([model.get_all_encoder_layers(), model.get_hidden_states()[1:]])


def layers_of_groups(num_layers, num_groups, values_of):
    """Returns the layers' outputs; group g has the values of the rule for group values_of[g]."""
    return outputs_of_groups(
        r"(?<=/group_)\d+",
        lambda match: str(values_of[int(match.group())]),
        num_hidden_layers=num_layers,
        num_hidden_groups=num_groups,
    )[0]


def test_all_encoder_layers_are_those_of_each_block_as_in_the_original():
    """Two layers of two blocks each are compared with four layers in groups of one block."""
    blocks = r"group_(\d+)/inner_group_(\d+)"
    found, last_of_layers = outputs_of_groups(
        blocks, r"\1 \2", num_hidden_layers=2, num_hidden_groups=2, inner_group_num=2
    )
    expected, _ = outputs_of_groups(
        blocks,
        lambda match: "%d %d" % divmod(int(match.group(1)), 2),
        num_hidden_layers=4,
        num_hidden_groups=4,
    )
    assert len(found) == 4
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(last_of_layers, expected[1::2], atol=1e-6)


@pytest.mark.parametrize(
    "num_layers, num_groups, group_of_layer",
    [(3, 2, [0, 0, 1]), (5, 3, [0, 0, 1, 1, 2]), (2, 3, [0, 1]), (4, 12, [0, 3, 6, 9])],
)
def test_groups_need_not_be_of_one_size(num_layers, num_groups, group_of_layer):
    """A layer's group is the original's int(layer / layers * groups)."""
    apart = layers_of_groups(num_layers, num_layers, group_of_layer)
    found = layers_of_groups(num_layers, num_groups, range(num_groups))
    np.testing.assert_allclose(found, apart, atol=1e-6)


@pytest.mark.parametrize(
    "change, named",
    [
        ({"num_attention_heads": 5}, "num_attention_heads"),
        ({"num_hidden_groups": 1, "ffn_groups": 5}, "ffn_groups"),
        ({"ffn_groups": 2}, "ffn_groups"),
        ({"hidden_size": -12}, "hidden_size"),
        ({"vocab_size": 0}, "vocab_size"),
        ({"hidden_act": "geluu"}, "geluu"),
        ({"hidden_act": ["gelu"]}, "hidden_act"),
        ({"num_hidden_groups": 1, "ln_type": "preln"}, "postln"),
        ({"ln_type": "midln"}, "ln_type"),
        ({"hidden_dropout_prob": 1.5}, "hidden_dropout_prob"),
        ({"num_hidden_layers": "4"}, "num_hidden_layers"),
        ({"initializer_range": None}, "initializer_range"),
    ],
)
def test_senseless_configs_are_one_line(change, named):
    with pytest.raises(UserError) as caught:
        modeling.AlbertConfig.from_dict(dict(SMALL, **change))
    assert named in str(caught.value) and "\n" not in str(caught.value)


def test_config_json_round_trip_keeps_unknown_keys_and_warns(tmp_path):
    path = tmp_path / "config.json"
    settings = dict(SMALL, directionality="bidi", colour="red")
    path.write_text(json.dumps(settings), encoding="utf-8")
    with pytest.warns(UserWarning, match="colour") as caught:
        config = modeling.AlbertConfig.from_json_file(str(path))
    assert "directionality" not in str(caught[0].message)
    assert json.loads(config.to_json_string()) == settings
    assert config.to_dict() == settings


@pytest.mark.parametrize(
    "text, named", [("{'a': 1}", "not valid JSON"), ('{"a": 1}', "vocab_size"), ("[]", "object")]
)
def test_broken_config_file_is_named(tmp_path, text, named):
    path = tmp_path / "config.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        modeling.AlbertConfig.from_json_file(str(path))
    assert str(path) in str(caught.value) and named in str(caught.value)


def test_odd_keys_shadow_nothing():
    odd = {"self": 1, "_check": 2, "to_dict": 3, "saves_memory": True}
    with pytest.warns(UserWarning, match="_check, saves_memory, self, to_dict"):
        config = modeling.AlbertConfig.from_dict(dict(SMALL, **odd))
    assert config.to_dict() == dict(SMALL, **odd) and not config.saves_memory


def test_a_key_self_reaches_no_init_of_a_subclass():
    class Config(modeling.AlbertConfig):
        def __init__(self, vocab_size, depth=1, **others):
            super().__init__(vocab_size, **others)
            self.depth = depth

    settings = dict(SMALL, self=1, depth=3)
    with pytest.warns(UserWarning, match="self"):
        config = Config.from_dict(settings)
    assert config.depth == 3 and config.to_dict() == settings


def test_old_names_are_the_same_classes():
    assert modeling.BertConfig is modeling.AlbertConfig
    assert modeling.BertModel is modeling.AlbertModel


def test_longer_input_than_positions_is_an_error():
    with tf.Graph().as_default(), pytest.raises(UserError) as caught:
        modeling.AlbertModel(
            modeling.AlbertConfig.from_dict(SMALL), False, tf.zeros([1, 17], tf.int32)
        )
    assert "17" in str(caught.value) and "16" in str(caught.value)


def test_padding_and_one_hot_lookup_change_nothing():
    config = modeling.AlbertConfig.from_dict(SMALL)
    ids = np.array([[3, 4, 5, 6]], np.int32)
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(1)
        short = modeling.AlbertModel(config, False, tf.constant(ids))
        with tf.variable_scope("", reuse=True):
            padded = modeling.AlbertModel(
                config,
                False,
                tf.constant(np.pad(ids, [(0, 0), (0, 5)])),
                tf.constant([[1] * 4 + [0] * 5]),
                use_one_hot_embeddings=True,
                scope="bert",
            )
        session.run(tf.global_variables_initializer())
        a, b = session.run([short.get_sequence_output(), padded.get_sequence_output()])
    np.testing.assert_allclose(a, b[:, :4], atol=1e-6)


def test_start_values_depend_on_seed_and_name_only():
    def start_values(seed, build_something_else):
        with tf.Graph().as_default(), tf.Session() as session:
            tf.set_random_seed(seed)
            if build_something_else:
                tf.get_variable("other", [3], initializer=tf.random_normal_initializer())
            modeling.AlbertModel(
                modeling.AlbertConfig.from_dict(SMALL), False, tf.zeros([1, 4], tf.int32)
            )
            session.run(tf.global_variables_initializer())
            kernels = {v.op.name: v for v in tf.trainable_variables()}
            return session.run(kernels["bert/pooler/dense/kernel"])

    first = start_values(7, False)
    np.testing.assert_array_equal(first, start_values(7, True))
    assert np.abs(first - start_values(8, False)).max() > 1e-3
    assert 0.01 < first.std() < 0.03 and np.abs(first).max() <= 0.04


def test_dropout_is_a_function_of_seed_and_step():
    def masks(steps):
        with tf.Graph().as_default(), tf.Session() as session:
            tf.set_random_seed(5)
            step = tf.train.get_or_create_global_step()
            first = modeling.dropout(tf.ones([100, 100]), 0.1)
            second = modeling.dropout(tf.ones([100, 100]), 0.1)
            results = []
            for value in steps:
                step.load(value, session)
                results.append(session.run([first, second]))
            return np.array(results)

    straight = masks([0, 1, 2])
    np.testing.assert_array_equal(straight[2], masks([2])[0])
    assert (straight[0] != straight[1]).any() and (straight[0][0] != straight[0][1]).any()
    assert abs((straight == 0).mean() - 0.1) < 0.01
    np.testing.assert_allclose(straight.max(), 1 / 0.9, rtol=1e-6)


def test_recomputed_dropout_has_the_gradient_of_the_kept_one():
    """The mask of the second computation has to be the mask of the first."""
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.random.uniform([50, 50])
        seed = modeling.dropout_seed()

        def dropped(x):
            return modeling.dropout(tf.square(x), 0.5, seed)

        y = gradient_checkpointing.recomputed(dropped, [x])
        (slope,) = tf.gradients(y, x)
        for _ in range(2):
            values = session.run([x, y, slope])
            np.testing.assert_array_equal(values[1] == 0, values[2] == 0)
            np.testing.assert_allclose(values[2], 4 * values[0] * (values[1] > 0), rtol=1e-5)
            assert 0.4 < (values[1] == 0).mean() < 0.6


def test_classification_head_drops_out_in_training_only_and_predicts_without_labels():
    config = modeling.AlbertConfig.from_dict(SMALL)
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(3)
        pooled = tf.ones([4, 12])
        with tf.variable_scope("a"):
            head = modeling.classification_head(config, pooled, None, 3, is_training=False)
        with tf.variable_scope("b"):
            trained = modeling.classification_head(
                config, pooled, [0, 1, 2, 0], 3, is_training=True
            )
        session.run(tf.global_variables_initializer())
        assert head.loss is None and head.per_example_loss is None
        rows = session.run(head.probabilities)
        np.testing.assert_allclose(rows.sum(axis=1), 1, rtol=1e-6)
        assert session.run(trained.logits).std(axis=0).max() > 0


def test_assignment_map_names_what_both_sides_have():
    prefix = "%s/bm_small_postln.ckpt" % golden_cases.BUNDLED
    with tf.Graph().as_default():
        names = ["bert/pooler/dense/kernel", "output_weights"]
        variables = [tf.get_variable(name, [24, 24]) for name in names]
        assignment, initialized = modeling.get_assignment_map_from_checkpoint(variables, prefix)
    assert dict(assignment) == {names[0]: names[0]}
    assert initialized == {names[0]: 1, names[0] + ":0": 1}


LAYOUT_SETTINGS = {
    "postln": {},
    "preln": {"ln_type": "preln"},
    "google": {"num_hidden_groups": 2, "inner_group_num": 2},
    "google_fast": {"num_hidden_groups": 1, "ffn_groups": 4},
    "bert": {"embedding_size": None},
}


def training_step(settings, recompute, batch=4, trace=None, **ways):
    """Returns [loss, gradients...] of an encoder in training; the loss includes the first layer."""
    config = modeling.AlbertConfig.from_dict(settings)
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(3)
        tf.train.get_or_create_global_step()
        ids = np.arange(batch * 8).reshape(batch, 8) % config.vocab_size
        arrays = {name: way for name, way in ways.items() if isinstance(way, np.ndarray)}
        ways.update((name, tf.constant(array)) for name, array in arrays.items())
        model = modeling.AlbertModel(config, True, tf.constant(ids), recompute=recompute, **ways)
        loss = tf.reduce_sum(model.get_pooled_output() ** 2)
        loss += tf.reduce_mean(model.get_all_encoder_layers()[0] ** 2)
        gradients = tf.gradients(loss, tf.trainable_variables())
        session.run(tf.global_variables_initializer())
        options = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE) if trace else None
        return session.run(
            [loss] + [tf.convert_to_tensor(g) for g in gradients],
            options=options,
            run_metadata=trace,
        )


@pytest.mark.parametrize(
    "layout, is_plain",
    with_slow(
        [(layout, False) for layout in sorted(LAYOUT_SETTINGS)] + [("google", True)],
        [("preln", False)],
    ),
)
@pytest.mark.reference
def test_recomputed_layers_have_the_same_gradients(layout, is_plain):
    """With dropout, the second computation has to drop the same values as the first one."""
    settings = dict(
        SMALL,
        hidden_dropout_prob=0.2,
        attention_probs_dropout_prob=0.3,
        initializer_range=0.2,
    )
    settings.update(LAYOUT_SETTINGS[layout])
    kept, again = (
        training_step(settings, recompute, plain=is_plain) for recompute in (False, True)
    )
    assert len(kept) == len(again)
    for expected, actual in zip(kept, again):
        golden_cases.assert_close(actual, expected)
        assert np.abs(expected).max() > 0


@pytest.mark.reference
@pytest.mark.parametrize(
    "layout, batch",
    with_slow(
        list(itertools.product(sorted(LAYOUT_SETTINGS) + ["nezha", "recomputed"], [1, 3, 4])),
        [("recomputed", 4)],
    ),
)
def test_halves_of_a_batch_have_the_gradients_of_the_whole(layout, batch):
    """In an odd batch, one row is computed twice, but counts once."""
    settings = dict(SMALL, initializer_range=0.2, **LAYOUT_SETTINGS.get(layout, {}))
    if layout == "nezha":
        settings["use_relative_position"] = True
    is_recomputed = layout == "recomputed"
    whole, halves = (
        training_step(settings, is_recomputed, batch, in_halves=in_halves)
        for in_halves in (False, True)
    )
    assert len(whole) == len(halves)
    for expected, actual in zip(whole, halves):
        golden_cases.assert_close(actual, expected)
        assert np.abs(expected).max() > 0


@pytest.mark.slow
@pytest.mark.reference
@pytest.mark.parametrize("batch, recompute", [(3, False), (4, False), (3, True), (4, True)])
def test_halves_have_their_rows_of_masks_and_positions(batch, recompute):
    random = np.random.RandomState(6)
    mask = np.maximum(random.randint(0, 2, [batch, 8, 8]), np.eye(8, dtype=int))
    positions = np.array([[0, 3, row] for row in range(batch)], np.int32)
    settings = dict(SMALL, initializer_range=0.2)
    whole, halves = (
        training_step(
            settings,
            recompute,
            batch,
            attention_mask=mask,
            output_positions=positions,
            in_halves=in_halves,
        )
        for in_halves in (False, True)
    )
    for expected, actual in zip(whole, halves):
        golden_cases.assert_close(actual, expected)


def test_halves_do_not_go_with_what_is_kept_of_attention():
    config = modeling.AlbertConfig.from_dict(SMALL)
    with tf.Graph().as_default(), pytest.raises(ValueError, match="keeps_attention"):
        ids = tf.zeros([4, 8], tf.int32)
        modeling.AlbertModel(config, True, ids, in_halves=True, keeps_attention=True)


def test_halves_wait_for_nothing_of_each_other():
    """No operation of a half's layers depends on an operation of the other half's."""
    config = modeling.AlbertConfig.from_dict(SMALL)
    with tf.Graph().as_default():
        model = modeling.AlbertModel(config, True, tf.zeros([4, 8], tf.int32), in_halves=True)
        joined = model.get_sequence_output().op.inputs[0].op
    assert joined.type == "ConcatV2"
    of_halves = [_operations_before(half.op) for half in joined.inputs[:2]]
    shared = {op.type for op in of_halves[0] & of_halves[1]}
    assert "Softmax" in {op.type for op in of_halves[0] - of_halves[1]}
    assert "Softmax" not in shared


def _operations_before(operation):
    """Returns an operation and all operations that it depends on."""
    found, to_see = set(), [operation]
    while to_see:
        seen = to_see.pop()
        if seen not in found:
            found.add(seen)
            to_see += [tensor.op for tensor in seen.inputs] + list(seen.control_inputs)
    return found


@pytest.mark.slow
@pytest.mark.reference
def test_recomputed_layers_need_less_memory():
    """Compares the peak memory of a training step with many layers."""

    def peak(recompute):
        trace = tf.RunMetadata()
        settings = dict(SMALL, num_hidden_layers=8, num_attention_heads=1)
        training_step(settings, recompute, batch=1000, trace=trace)
        analysis = timeline.Timeline(trace.step_stats).analyze_step_stats()
        return max(most.num_bytes for most in analysis.allocator_maximums.values())

    assert peak(recompute=False) > 2 * peak(recompute=True)


@pytest.mark.parametrize("count", [1, 7, 8])
def test_a_sum_by_parts_has_the_values_and_gradients_of_the_whole(count):
    random = np.random.RandomState(4)
    rows, table = random.standard_normal([count, 3]), random.standard_normal([5, 3])
    labels = np.arange(count) % 5

    def losses_of(rows, labels, table):
        losses, predicted = modeling.cross_entropy(labels, tf.matmul(rows, table, transpose_b=True))
        return tf.reduce_sum(losses), losses, predicted

    with tf.Graph().as_default(), tf.Session() as session:
        rows = tf.placeholder_with_default(rows.astype(np.float32), [None, 3])
        labels, table = tf.constant(labels), tf.constant(table.astype(np.float32))
        whole = losses_of(rows, labels, table)
        parts = gradient_checkpointing.summed_by_parts(losses_of, rows, [labels], [table], 4)
        slopes = [tf.gradients(0.5 * results[0], [rows, table]) for results in (whole, parts)]
        expected, actual = session.run([list(whole) + slopes[0], list(parts) + slopes[1]])
    for one, other in zip(expected, actual):
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-6)
    assert np.abs(expected[3]).max() > 0.1 and np.abs(expected[4]).max() > 0.1


def test_a_sum_by_parts_holds_one_part_at_a_time():
    def peak(parts):
        trace = tf.RunMetadata()
        with tf.Graph().as_default(), tf.Session() as session:
            rows, table = tf.random.uniform([1000, 4]), tf.random.uniform([1000, 4])

            def squares(rows, table):
                return (tf.reduce_sum(tf.square(tf.matmul(rows, table, transpose_b=True))),)

            (total,) = gradient_checkpointing.summed_by_parts(squares, rows, [], [table], parts)
            options = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)
            session.run(tf.gradients(total, [rows, table]), options=options, run_metadata=trace)
        analysis = timeline.Timeline(trace.step_stats).analyze_step_stats()
        return max(most.num_bytes for most in analysis.allocator_maximums.values())

    assert peak(parts=1) > 4 * peak(parts=8)


def test_cross_entropy_is_tensorflows_also_where_probabilities_vanish():
    logits = np.random.RandomState(3).standard_normal([5, 40]).astype(np.float32)
    logits[1] *= 1000.0
    logits[2, 7], logits[3, 7] = 1e4, -1e4
    labels, weights = np.array([3, 4, 8, 7, 39]), np.float32([1.0, 0.5, 0.0, 2.0, -1.0])
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.constant(logits)
        expected = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=x)
        losses, predicted = modeling.cross_entropy(tf.constant(labels), x)
        slopes = [tf.gradients(loss * weights, x)[0] for loss in (expected, losses)]
        expected, losses, predicted, slopes = session.run([expected, losses, predicted, slopes])
    np.testing.assert_allclose(losses, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(slopes[1], slopes[0], atol=1e-6)
    np.testing.assert_array_equal(predicted, logits.argmax(axis=1))


@pytest.mark.reference
@pytest.mark.parametrize("layout", with_slow(sorted(LAYOUT_SETTINGS), ["preln"]))
def test_the_first_token_alone_is_that_of_all(layout):
    settings = dict(SMALL, initializer_range=0.2, **LAYOUT_SETTINGS[layout])
    config = modeling.AlbertConfig.from_dict(settings)
    ids = np.random.RandomState(2).randint(1, config.vocab_size, [3, 11])
    results = []
    for output_positions in (None, modeling.FIRST_TOKEN, np.zeros([3, 1], np.int32)):
        with tf.Graph().as_default(), tf.Session() as session:
            tf.set_random_seed(5)
            model = modeling.AlbertModel(
                config,
                True,
                tf.constant(ids),
                tf.constant((ids > 5).astype(np.int32)),
                output_positions=output_positions,
            )
            loss = tf.reduce_sum(model.get_pooled_output() ** 2)
            variables = tf.trainable_variables()
            gradients = tf.gradients(loss, variables)
            session.run(tf.global_variables_initializer())
            gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
            results.append(session.run([model.get_pooled_output()] + gradients))
    for whole, first, gathered in zip(*results):
        np.testing.assert_allclose(first, whole, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(gathered, whole, rtol=1e-4, atol=1e-6)


# Calls in the form of programs written for BERT and albert_zh.


def test_layer_norm_needs_no_scope():
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.constant(np.float32([[1, 2, 6], [4, 0, 2]]))
        outputs = [modeling.layer_norm(x), modeling.layer_norm(input_tensor=x)]
        with tf.variable_scope("head"):
            outputs.append(modeling.layer_norm(x, name="norm"))
        names = [v.op.name for v in tf.trainable_variables()]
        session.run(tf.global_variables_initializer())
        for values in session.run(outputs):
            centered = [[-2, -1, 3], [2, -2, 0]] / np.sqrt([[14 / 3], [8 / 3]])
            np.testing.assert_allclose(values, centered, rtol=1e-6)
    assert names == [
        "%s/%s" % (scope, name)
        for scope in ("LayerNorm", "LayerNorm_1", "head/norm")
        for name in ("beta", "gamma")
    ]


def test_dropout_takes_the_originals_arguments():
    with tf.Graph().as_default(), tf.Session() as session:
        x = tf.ones([1000])
        kept = modeling.dropout(input_tensor=x, dropout_prob=0.25)
        assert modeling.dropout(x, None) is x
        assert modeling.dropout(x, 0.0) is x
        values = session.run(kept)
    assert set(np.unique(values)) == {np.float32(0), np.float32(1 / 0.75)}
    assert 0.2 < np.mean(values == 0) < 0.3


def test_get_shape_list_takes_several_ranks_and_a_name():
    with tf.Graph().as_default():
        x = tf.placeholder(tf.float32, [None, 3])
        rows, width = modeling.get_shape_list(x, expected_rank=[2, 3], name="rows")
        assert width == 3 and isinstance(rows, tf.Tensor)
        with pytest.raises(ValueError, match=r"rows has rank 2, expected rank 3 or 4"):
            modeling.get_shape_list(x, [3, 4], "rows")


def test_an_activation_may_be_a_function():
    assert modeling.get_activation(modeling.gelu) is modeling.gelu
    assert modeling.get_activation("GELU") is modeling.gelu
