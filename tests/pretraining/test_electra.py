"""ELECTRA's generator and discriminator, compared with the numbers of the original."""

import json
import os
import types

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.common.errors import UserError
from albert_zh.model.activations import gelu_erf
from albert_zh.model.checkpoints import (
    checkpoint_matching,
    checkpoint_names,
    checkpoint_values,
    expected_variables,
)
from albert_zh.model.config import AlbertConfig
from albert_zh.pretraining import initial_weights, objective_flags
from albert_zh.pretraining import model_fn as pretraining_model_fn
from albert_zh.pretraining.objectives import (
    electra,
    electra_masks,
    generator_settings,
    replaced_tokens,
)
from albert_zh.pretraining.objectives.terms import total_loss
from crossed_cases import crossed, with_slow
import golden_cases
from pretraining_steps import SETTINGS, features_of, trained
import pretraining_workspace as small

CASES = golden_cases.case_names("electra")
ELECTRA = {"model_type": "electra"}
HPARAMS = {"temperature": "generator_temperature"}  # the original's name: ours


def load(name):
    """Returns (config, `Settings`, description, arrays) of a case."""
    folder = golden_cases.folder("electra")
    with open(os.path.join(folder, name + ".json")) as handle:
        description = json.load(handle)
    hparams = description["hparams"]
    sizes = dict(description["discriminator_config"], **ELECTRA)
    if hparams["embedding_size"] not in (None, sizes["hidden_size"]):
        sizes["embedding_size"] = hparams["embedding_size"]
    names = {HPARAMS.get(name, name): value for name, value in hparams.items()}
    fields = [name for name in generator_settings.Settings._fields if name in names]
    settings = generator_settings.Settings(**{name: names[name] for name in fields})
    if not hparams["electra_objective"]:  # masked words alone
        settings = settings._replace(disc_weight=0, untied_generator=False)
    arrays = dict(np.load(os.path.join(folder, name + ".npz")))
    return AlbertConfig.from_dict(sizes), settings, description, arrays


def inputs_of(arrays):
    """Returns the features of a case, with the original's masks instead of ours."""
    inputs = {key[3:]: value for key, value in arrays.items() if key.startswith("in/")}
    features = dict(inputs, input_ids=inputs["masked_input_ids"])
    features["next_sentence_labels"] = np.zeros([len(features["input_ids"]), 1], np.int32)
    return {
        name: tf.constant(value, tf.float32 if "weights" in name else tf.int32)
        for name, value in features.items()
    }


@pytest.fixture
def drawn(monkeypatch):
    """Fixture: list of the words to use instead of random draws; the logits are appended to it."""
    seen = []

    def draw(logits, label_ids, settings):
        seen.extend([electra.sampling_logits(logits, label_ids, settings), logits])
        return tf.constant(seen[0])

    monkeypatch.setattr(electra, "drawn_words", draw)
    return seen


def tensors_of(terms, drawn):
    """Returns {name as in the case's `out/`: tensor} of the losses of a batch."""
    masked, tensors = terms[0], {"total_loss": total_loss(terms)}
    tensors.update(mlm_loss=masked.loss, mlm_example_loss=masked.losses)
    if len(terms) == 1:
        return tensors
    detected = terms[1]
    losses, weights = (tf.reshape(x, [4, -1]) for x in (detected.losses, detected.weights))
    return dict(
        tensors,
        sampling_logits=drawn[1],
        mlm_logits=drawn[2],
        disc_labels=detected.labels,
        disc_probs=detected.scores,
        disc_preds=detected.predicted,
        disc_loss=detected.loss,
        disc_example_loss=tf.reduce_sum(losses * weights, 1) / tf.reduce_sum(weights, 1),
    )


@pytest.mark.reference
@pytest.mark.parametrize("name, is_training", crossed(CASES, [True, False]))
def test_losses_labels_and_gradients_equal_the_originals(name, is_training, drawn):
    config, of_electra, description, arrays = load(name)
    drawn.append(arrays.get("in/sampled_ids"))
    settings = SETTINGS._replace(electra=of_electra, sentence_task=False)
    values = {
        variable: golden_cases.rule_value(variable, shape, True)
        for variable, shape in description["variables"].items()
    }
    with tf.Graph().as_default(), tf.Session() as session:
        features = inputs_of(arrays)
        terms = pretraining_model_fn.losses_of(config, features, is_training, settings)
        names = [variable.op.name for variable in tf.trainable_variables()]
        assert names == description["trainable_order"]
        golden_cases.set_variables(session, values)
        tensors = tensors_of(terms, drawn)
        actual = session.run(tensors)
        for key in actual.keys() & {name[4:] for name in arrays}:
            expected = arrays["out/" + key]
            golden_cases.assert_close(actual[key].reshape(expected.shape), expected, key)
        golden_cases._check_gradients(session, tensors["total_loss"], arrays)


@pytest.mark.parametrize("name", [name for name in CASES if name != "electra_mlm_only"])
@pytest.mark.parametrize("fill", [replaced_tokens, electra_masks])
def test_drawn_words_make_the_text_of_the_original(name, fill):
    _, _, _, arrays = load(name)
    with tf.Graph().as_default(), tf.Session() as session:
        filled = session.run(fill.filled_with(inputs_of(arrays), arrays["in/sampled_ids"]))
    np.testing.assert_array_equal(filled.input_ids, arrays["out/corrupted_input_ids"])
    np.testing.assert_array_equal(filled.is_replaced, arrays["out/disc_labels"])


@pytest.mark.reference
@pytest.mark.parametrize("is_training", [True, False])
def test_without_detection_the_model_learns_masked_words_alone(is_training):
    """The losses of masked words equal those of the case with a tied generator."""
    config, of_electra, _, arrays = load("electra_tied_generator")
    settings = SETTINGS._replace(
        electra=of_electra._replace(disc_weight=0, gen_weight=2), sentence_task=False
    )
    with tf.Graph().as_default(), tf.Session() as session:
        features = inputs_of(arrays)
        terms = pretraining_model_fn.losses_of(config, features, is_training, settings)
        shapes = {v.op.name: v.shape.as_list() for v in tf.trainable_variables()}
        assert {name.split("/")[0] for name in shapes} == {"electra", "generator_predictions"}
        golden_cases.set_variables(
            session,
            {name: golden_cases.rule_value(name, shape, True) for name, shape in shapes.items()},
        )
        loss, losses = session.run([total_loss(terms), terms[0].losses])
    golden_cases.assert_close(losses, arrays["out/mlm_example_loss"].ravel())
    golden_cases.assert_close(loss, 2 * arrays["out/mlm_loss"])


def test_released_names_load_for_fine_tuning(tmp_path):
    """A checkpoint written by Google's program fits the config of its discriminator."""
    config, _, description, _ = load("electra_small_like")
    prefix = str(tmp_path / "electra_small")
    values = {
        name: golden_cases.rule_value(name, shape, True)
        for name, shape in description["variables"].items()
    }
    checkpoint_values.write_checkpoint(prefix, values)
    shapes = expected_variables.expected_shapes(config, num_labels=3)
    assignment = checkpoint_matching.assign(shapes, prefix)
    assert assignment.new == ["output_weights", "output_bias"]
    assert not [name for name in shapes if "pooler" in name]
    assert checkpoint_names.layout_of(values) == "electra"
    without_type = dict(config.to_dict(), model_type=None)
    shapes = expected_variables.expected_shapes(AlbertConfig.from_dict(without_type))
    with pytest.raises(UserError, match='electra layout.*"model_type": "electra" added'):
        checkpoint_matching.assign(shapes, prefix)


def test_gelu_is_the_exact_form():
    path = os.path.join(golden_cases.folder("electra"), "helpers.npz")
    arrays = np.load(path)
    with tf.Session() as session:
        found = session.run(gelu_erf(tf.constant(arrays["gelu/x"])))
    np.testing.assert_allclose(found, arrays["gelu/y"], atol=1e-6)
    assert AlbertConfig(100, hidden_act="gelu", **ELECTRA).hidden_act == "gelu_erf"


@pytest.mark.parametrize(
    "sizes, settings, expected",
    [
        ((256, 12), {}, (64, 12, 256, 1)),
        ((768, 12), {"generator_hidden_size": 0.33333}, (256, 12, 1024, 4)),
        ((312, 4), {"generator_hidden_size": 0.5, "generator_layers": 0.5}, (156, 2, 624, 2)),
        ((800, 4), {"generator_hidden_size": 0.25}, (200, 4, 800, 2)),  # 3 does not divide it
    ],
)
def test_sizes_of_a_generator(sizes, settings, expected):
    config = AlbertConfig(100, hidden_size=sizes[0], num_hidden_layers=sizes[1],
                          num_attention_heads=4, **ELECTRA)  # fmt: skip
    found = generator_settings.generator_config(config, generator_settings.Settings(**settings))
    names = "hidden_size num_hidden_layers intermediate_size num_attention_heads".split()
    assert tuple(getattr(found, name) for name in names) == expected


def test_a_generator_that_no_model_can_be():
    config = AlbertConfig(
        100, hidden_size=32, num_attention_heads=4, num_hidden_groups=1, ffn_groups=16,
        intermediate_size=64, embedding_size=8,
    )  # fmt: skip
    with pytest.raises(UserError, match="--generator_hidden_size=0.25.*hidden_size 8.*ffn_groups"):
        generator_settings.generator_config(config, generator_settings.Settings())


@pytest.mark.parametrize("may_be_right", [True, False])
def test_words_are_drawn_as_often_as_they_are_probable(may_be_right):
    count = 4000
    logits = np.log(np.tile([0.1, 0.2, 0.7], [count, 1])).astype(np.float32)
    settings = generator_settings.Settings(
        disallow_correct=not may_be_right, generator_temperature=2.0
    )
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(1)
        tf.train.get_or_create_global_step()
        labels = tf.fill([count, 1], 2)
        words = electra.drawn_words(tf.constant(logits), labels, settings)
        session.run(tf.global_variables_initializer())
        shares = np.bincount(session.run(words).ravel(), minlength=3) / count
    expected = np.sqrt([0.1, 0.2, 0.7 if may_be_right else 0.0])
    np.testing.assert_allclose(shares, expected / expected.sum(), atol=0.03)


LAYOUTS = [
    {},
    {"num_hidden_groups": 1},
    {"embedding_size": None},
    {"embedding_size": None, "use_relative_position": True},
    dict(ELECTRA),
]


@pytest.mark.reference
@pytest.mark.newest
@pytest.mark.parametrize("layout", with_slow(LAYOUTS, [LAYOUTS[1]]))
def test_every_layout_learns_to_detect(layout):
    changes = {
        "electra": generator_settings.Settings(generator_hidden_size=0.5),
        "sentence_task": False,
    }
    losses, values = trained(12, config=layout, learning_rate=3e-3, optimizer="adamw", **changes)
    assert losses[0] == pytest.approx(np.log(small.CONFIG["vocab_size"]) + 50 * np.log(2), rel=0.1)
    assert losses[-1] < losses[0] - 3
    of_generator = [name for name in values if name.startswith("generator/encoder/")]
    assert of_generator and all(
        checkpoint_values.is_of_objective(name) != name.endswith(("/adam_m", "/adam_v"))
        for name in of_generator
    )


def begun(config, settings, init_checkpoint):
    """Returns {name: value} of the variables with which a training run on one batch begins."""
    with tf.Graph().as_default(), tf.Session() as session:
        tf.train.get_or_create_global_step()
        pretraining_model_fn.losses_of(config, features_of(1), True, settings)
        checkpoint_matching.initialize_from(init_checkpoint, tf.trainable_variables())
        session.run(tf.global_variables_initializer())
        return {
            variable.op.name: value
            for variable, value in zip(
                tf.trainable_variables(), session.run(tf.trainable_variables())
            )
        }


def said_at_the_start(config, settings, prefix, tmp_path, capsys):
    options = types.SimpleNamespace(
        output_dir=str(tmp_path / "out"), init_checkpoint=prefix, objective="electra",
        do_train=True, warm_start=False, init_from_group0=False, sentence_task=None,
    )  # fmt: skip
    chosen = initial_weights.InitialWeights(
        options,
        config,
        None,
        lambda: pretraining_model_fn.shapes_of_objective(config, settings),
    )
    assert chosen.checkpoint() == prefix
    return capsys.readouterr().out.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS[:1] + LAYOUTS[-1:])
def test_generator_and_heads_go_on_from_a_checkpoint(layout, tmp_path, capsys):
    config = AlbertConfig.from_dict(dict(small.CONFIG, **layout))
    settings = SETTINGS._replace(
        electra=generator_settings.Settings(generator_hidden_size=0.5), sentence_task=False
    )
    shapes = expected_variables.expected_shapes_by_part(config, parts=["encoder"])["encoder"]
    of_objective = pretraining_model_fn.shapes_of_objective(config, settings)
    values = {
        name: golden_cases.rule_value(name, shape, True)
        for name, shape in dict(shapes, **of_objective).items()
    }
    prefix = str(tmp_path / "model.ckpt-4")
    checkpoint_values.write_checkpoint(prefix, values)
    found = begun(config, settings, prefix)
    assert any(name.startswith("generator/encoder/") for name in found)
    assert {"generator_predictions/output_bias", "discriminator_predictions/dense/bias"} < set(
        found
    )
    for name, value in found.items():
        np.testing.assert_array_equal(value, values[name], err_msg=name)
    said = said_at_the_start(config, settings, prefix, tmp_path, capsys)
    assert said == ["%d variables start from %s" % (len(values), prefix)]
    assert sorted(checkpoint_values.read_shapes(prefix)) == sorted(shapes)

    checkpoint_values.write_checkpoint(prefix, {name: values[name] for name in shapes})
    said = said_at_the_start(config, settings, prefix, tmp_path, capsys)
    assert said[0] == "%d variables start from %s" % (len(shapes), prefix)
    assert said[1:] == ["new, with random start values: " + ", ".join(of_objective)]


# UPDATED is what google-research/electra's scatter_update returns for TEXT, WORDS and POSITIONS.
TEXT = [
    [73, 30, 11, 80, 97, 45, 61, 74],
    [79, 39, 34, 65, 79, 77, 43, 71],
    [97, 13, 53, 86, 58, 49, 98, 83],
]
POSITIONS = [[1, 3, 3, 0], [0, 0, 0, 0], [7, 2, 5, 2]]
WORDS = [[50, 60, 60, 99], [1, 2, 3, 4], [11, 20, 33, 41]]
UPDATED = [
    [73, 50, 11, 60, 97, 45, 61, 74],
    [79, 39, 34, 65, 79, 77, 43, 71],
    [97, 13, 30, 86, 58, 33, 98, 11],
]


def test_repeated_positions_get_the_mean_as_in_the_original():
    with tf.Graph().as_default(), tf.Session() as session:
        inputs = (tf.constant(array) for array in (TEXT, WORDS, POSITIONS))
        assert session.run(electra_masks.averaged_update(*inputs)).tolist() == UPDATED


def test_masks_of_the_original():
    """30 % of the pieces are drawn in each step, with replacement; 85 % of them show [MASK]."""
    masks = electra_masks.OriginalMasks(
        0.3, small.SEQUENCE, small.MASK, (small.CLS, small.SEP, small.MASK)
    )
    records, text = small.masked_records(200), small.unmasked_records(200)["input_ids"]
    with tf.Graph().as_default(), tf.Session() as session:
        step = tf.train.get_or_create_global_step()
        features = {name: tf.constant(values.astype("int32")) for name, values in records.items()}
        made = electra_masks.masked_again(features, masks)
        filled = electra_masks.filled_with(made, tf.fill([200 * 4, 1], small.FIRST_WORD))
        found = []
        for number in (0, 1):
            step.load(number, session)
            found.append(session.run(dict(made, filled=filled.input_ids)))
    one, other = found
    assert (one["masked_lm_positions"] != other["masked_lm_positions"]).any()
    assert one["masked_lm_positions"].shape == (200, 4)  # int(0.305 * 16)
    lengths = records["input_mask"].sum(axis=1)
    counts = np.minimum(4, np.round(np.float32(lengths) * 0.3))
    assert (one["masked_lm_weights"].sum(axis=1) == counts).all()
    is_used = one["masked_lm_weights"] > 0
    rows = np.arange(200)[:, None]
    labels = text[rows, one["masked_lm_positions"]]
    assert (one["masked_lm_ids"] == labels)[is_used].all()
    assert not np.isin(labels[is_used], (small.CLS, small.SEP, small.MASK, 0)).any()
    is_masked = one["input_ids"] == small.MASK
    assert (one["input_ids"] == text)[~is_masked].all()
    shown = is_masked[rows, one["masked_lm_positions"]][is_used]
    assert shown.mean() == pytest.approx(0.86, abs=0.04)  # above 0.85: some are drawn twice
    hits = np.zeros_like(text, bool)
    np.logical_or.at(
        hits,
        (np.broadcast_to(rows, is_used.shape)[is_used], one["masked_lm_positions"][is_used]),
        True,
    )
    assert hits.sum() < is_used.sum()  # with replacement
    assert (one["filled"] == np.where(hits, small.FIRST_WORD, text)).all()


@pytest.mark.reference
@pytest.mark.slow
@pytest.mark.newest
def test_a_model_learns_by_the_originals_masks():
    masks = electra_masks.OriginalMasks(
        0.3, small.SEQUENCE, small.MASK, (small.CLS, small.SEP, small.MASK)
    )
    of_electra = generator_settings.Settings(generator_hidden_size=0.5, original_masks=masks)
    losses, _ = trained(
        12, learning_rate=3e-3, optimizer="adamw", electra=of_electra, sentence_task=False
    )
    assert losses[-1] < losses[0] - 3


def test_an_own_word_counts_as_the_texts():
    records = small.masked_records(4)
    with tf.Graph().as_default(), tf.Session() as session:
        features = {name: tf.constant(values) for name, values in records.items()}
        filled = replaced_tokens.filled_with(features, tf.constant(records["masked_lm_ids"]))
        assert not session.run(filled.is_replaced).any()


@pytest.mark.slow
@pytest.mark.reference
@pytest.mark.newest
def test_shares_of_a_batch_give_the_weights_of_the_whole():
    changes = {
        "electra": generator_settings.Settings(disallow_correct=True, generator_hidden_size=0.5),
        "sentence_task": False,
        "features": features_of,
    }
    whole, parts = (
        trained(1, gradient_accumulation_steps=steps, **changes)[0][0] for steps in (1, 2)
    )
    assert whole == pytest.approx(parts, rel=0.02)  # random draws differ


@pytest.mark.parametrize("budget, share", [(0.0, 0.2), (0.4, 0.4)])
def test_a_run_of_original_masks_keeps_their_share(budget, share):
    values = {"objective": "electra", "sentence_task": None, "replaced_token_weight": 0.0}
    values.update(generator_settings.Settings(original_masks=True)._asdict())
    values.update(span_boundary_weight=0.0, masked_lm_prob=0.2, masked_lm_budget=budget)
    options = types.SimpleNamespace(**values)
    assert objective_flags.run_settings(options)["masked_lm_prob"] == share
    options.original_masks = False
    assert "masked_lm_prob" not in objective_flags.run_settings(options)
