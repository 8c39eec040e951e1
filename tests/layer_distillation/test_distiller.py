"""A student and its teacher in one graph, compared with TinyBERT's programs end to end."""

import json
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.common.errors import UserError
from albert_zh.layer_distillation import distiller
from albert_zh.layer_distillation import intermediate_losses as losses
from albert_zh.layer_distillation.distiller import DistillationSettings, Distiller
from albert_zh.layer_distillation.teacher import Teacher
from albert_zh.model import distillation_losses
from albert_zh.model.checkpoints import (
    checkpoint_matching,
    checkpoint_values,
    model_folder,
    model_writer,
)
from albert_zh.model.config import AlbertConfig
from albert_zh.model.encoder import AlbertModel
from albert_zh.model.relative_positions import relative_table
from albert_zh.text.tokenization import FullTokenizer
from golden_distillation import GOLDEN, PREDICTIONS
import small_models

pytestmark = pytest.mark.rewritten_graphs

ORIGINAL = DistillationSettings(is_original=True)
_SIZES = {
    "e2e_teacher": {"num_hidden_layers": 6, "hidden_size": 24, "intermediate_size": 48},
    "e2e_student": {"num_hidden_layers": 3, "hidden_size": 12, "intermediate_size": 32},
}
_COMMON = {
    "vocab_size": 50,
    "num_attention_heads": 4,
    "hidden_act": "relu",
    "max_position_embeddings": 16,
    "type_vocab_size": 2,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
_INPUTS = ("input_ids", "input_mask", "segment_ids")
_PIECES = (
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    + list("abcdefghijklmnopqrstuvwxyz")
    + ["a%s" % letter for letter in "abcdefghijklmnopqrs"]
)


def tf_name(name):
    """Returns TensorFlow's form of a PyTorch name, and whether its matrix is transposed."""
    name = name.replace(".", "/").replace("encoder/layer/", "encoder/layer_")
    is_norm, is_kernel = "LayerNorm" in name, name.endswith("/weight") and "embeddings" not in name
    if is_norm:
        return name.replace("/weight", "/gamma").replace("/bias", "/beta"), False
    if is_kernel:
        return name.replace("/weight", "/kernel"), True
    return name.replace("_embeddings/weight", "_embeddings"), False


def golden_weights(prefix):
    weights = {}
    for key, array in GOLDEN.items():
        if key.startswith(prefix + "/"):
            name, is_turned = tf_name(key[len(prefix) + 1 :])
            if name.startswith("fit_dense"):
                name = "distillation/" + name
            weights[name] = (array.T if is_turned else array).astype(np.float32)
    return weights


def write_golden_model(folder, prefix):
    os.makedirs(str(folder))
    config = dict(_COMMON, **_SIZES[prefix])
    (folder / "bert_config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").write_text("\n".join(_PIECES) + "\n")
    model_writer.write_model_checkpoint(str(folder), golden_weights(prefix))
    return str(folder)


def golden_features():
    return {name: tf.constant(GOLDEN["e2e_" + name], tf.int32) for name in _INPUTS}


def student_of(config, features, scope="bert"):
    return AlbertModel(
        config, False, *[features[n] for n in _INPUTS], scope=scope, keeps_attention=True
    )


def distiller_of(teacher_folder, student_folder, settings):
    opened = model_folder.open_folder(student_folder)
    tokenizer = FullTokenizer(os.path.join(student_folder, "vocab.txt"))
    return Distiller(Teacher(teacher_folder), opened.config, tokenizer, settings)


@pytest.fixture(scope="module")
def golden_folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("golden")
    return [
        write_golden_model(folder / name, prefix)
        for name, prefix in (("teacher", "e2e_teacher"), ("student", "e2e_student"))
    ]


def test_original_losses_and_gradients_end_to_end(golden_folders):
    distiller = distiller_of(*golden_folders, ORIGINAL)
    assert distiller.pairs == [(0, 0), (1, 2), (2, 4), (3, 6)]
    weights = golden_weights("e2e_student")
    with tf.Graph().as_default(), tf.Session() as session:
        features = golden_features()
        config = model_folder.open_folder(golden_folders[1]).config
        by_kind = distiller.losses(student_of(config, features), features)
        variables = {v.op.name: v for v in tf.trainable_variables()}
        expected = {
            tf_name(key.split("/", 1)[1]): array
            for key, array in GOLDEN.items()
            if key.startswith("e2e_intermediate_grad/")
        }
        total = by_kind["attention"] + by_kind["hidden"]
        names = ["distillation/" * name.startswith("fit") + name for name, _ in expected]
        gradients = tf.gradients(total, [variables[name] for name in names])
        session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
        for name, variable in variables.items():
            variable.load(weights[name], session)
        attention, hidden, gradients = session.run(
            [by_kind["attention"], by_kind["hidden"], [tf.convert_to_tensor(g) for g in gradients]]
        )
    np.testing.assert_allclose(attention, GOLDEN["e2e_attention_losses"].sum(), rtol=1e-6)
    np.testing.assert_allclose(hidden, GOLDEN["e2e_hidden_losses"].sum(), rtol=1e-6)
    np.testing.assert_allclose(attention + hidden, GOLDEN["e2e_intermediate_loss"], rtol=1e-6)
    assert len(expected) > 8
    for ((name, is_turned), array), gradient in zip(expected.items(), gradients):
        array = array.T if is_turned else array
        if name.endswith("word_embeddings"):  # PyTorch gives the row of padding no gradient
            array, gradient = array[1:], gradient[1:]
        np.testing.assert_allclose(gradient, array, rtol=1e-4, atol=1e-6 * np.abs(array).max())


@pytest.mark.parametrize(
    "kind, layers, states",
    [("attention", (), slice(None)), ("hidden", (), slice(None)), ("hidden", ("0:0",), slice(1))],
)
def test_each_original_loss_alone(golden_folders, kind, layers, states):
    """Attention needs no projection between widths; the pair of layers 0:0 needs no attention."""
    settings = ORIGINAL._replace(kinds=(kind,), layers=layers)
    weights = golden_weights("e2e_student")
    with tf.Graph().as_default(), tf.Session() as session:
        features = golden_features()
        config = model_folder.open_folder(golden_folders[1]).config
        by_kind = distiller_of(*golden_folders, settings).losses(
            student_of(config, features), features
        )
        session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
        for variable in tf.trainable_variables():
            variable.load(weights[variable.op.name], session)
        found = session.run(by_kind)
    expected = GOLDEN["e2e_%s_losses" % kind][states].sum()
    assert found == {kind: pytest.approx(expected, rel=1e-6)}


def test_original_losses_of_parts_add_up_to_those_of_the_batch(golden_folders):
    """With --gradient_accumulation_steps, each part is weighted by its share of the rows."""
    original = distiller_of(*golden_folders, ORIGINAL)
    random = np.random.RandomState(1)

    def insides(depth, width, rows):
        hidden = [tf.constant(random.rand(4, 5, width), tf.float32)[rows] for _ in range(depth + 1)]
        heads = tf.constant(random.rand(4, 2, 5, 3), tf.float32)[rows]
        return distiller._Insides(hidden, [[heads * i, heads, heads] for i in range(depth)], None)

    def of_rows(rows, counts=None):
        random.seed(1)
        mask = tf.constant([[1, 1, 1, 1, 0]] * 4)[rows]
        with tf.variable_scope("", reuse=tf.AUTO_REUSE):
            kernel = tf.get_variable("distillation/fit_dense/kernel", [12, 24])
            by_kind = original._original_losses(
                insides(3, 12, rows), insides(6, 24, rows), mask, counts
            )
        return [*by_kind.values(), tf.gradients(by_kind["hidden"], kernel)[0]]

    with tf.Graph().as_default(), tf.Session() as session:
        counts = losses.counts_of(tf.ones([4, 5], tf.int32))
        fetches = [of_rows(slice(None))]
        fetches += [of_rows(rows, counts) for rows in (slice(None), slice(1), slice(1, None))]
        session.run(tf.global_variables_initializer())
        alone, whole, *parts = session.run(fetches)
    for expected, at_once, first, rest in zip(alone, whole, *parts):
        assert np.abs(expected).max() > 0
        np.testing.assert_allclose(at_once, expected, rtol=1e-6)
        np.testing.assert_allclose(first + rest, expected, rtol=1e-4, atol=1e-6)


def test_original_loss_and_gradients_of_predictions_end_to_end(golden_folders):
    """After layer distillation: soft cross-entropy of logits, averaged over rows and classes."""
    prefix = "e2e_prediction_grad/"
    arrays = {
        key[len(prefix) :]: array for key, array in PREDICTIONS.items() if key.startswith(prefix)
    }
    head = [PREDICTIONS["e2e_student/classifier." + name] for name in ("weight", "bias")]
    weights = golden_weights("e2e_student")
    with tf.Graph().as_default(), tf.Session() as session:
        config = model_folder.open_folder(golden_folders[1]).config
        pooled = student_of(config, golden_features()).get_pooled_output()
        kernel, bias = (tf.Variable(array.T, dtype=tf.float32) for array in head)
        logits = tf.matmul(tf.nn.relu(pooled), kernel) + bias  # TinyBERT's head
        answers = tf.constant(PREDICTIONS["e2e_teacher_logits"], tf.float32)
        loss = tf.reduce_mean(distillation_losses.mean_soft_cross_entropy(logits, answers))
        variables = {v.op.name: v for v in tf.trainable_variables()}
        variables.update({"classifier/kernel": kernel, "classifier/bias": bias})
        wanted = [variables[tf_name(name)[0]] for name in arrays]
        gradients = [tf.convert_to_tensor(g) for g in tf.gradients(loss, wanted)]
        session.run(tf.global_variables_initializer())
        for name in set(variables) & set(weights):
            variables[name].load(weights[name], session)
        found, loss, gradients = session.run([logits, loss, gradients])
    np.testing.assert_allclose(found, PREDICTIONS["e2e_student_logits_with_relu"], rtol=1e-5)
    np.testing.assert_allclose(loss, PREDICTIONS["e2e_prediction_loss_T1"], rtol=1e-6)
    assert len(arrays) == 8
    for (name, array), gradient in zip(arrays.items(), gradients):
        array = array.T if tf_name(name)[1] else array
        np.testing.assert_allclose(gradient, array, rtol=1e-4, atol=1e-6 * np.abs(array).max())


@pytest.mark.slow
def test_teacher_is_neither_trained_nor_saved(golden_folders, tmp_path):
    distiller = distiller_of(*golden_folders, DistillationSettings())
    with tf.Graph().as_default(), tf.Session() as session:
        features = golden_features()
        config = model_folder.open_folder(golden_folders[1]).config
        distiller.losses(student_of(config, features), features)
        assert all(not v.op.name.startswith("teacher") for v in tf.trainable_variables())
        session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
        tf.train.Saver().save(session, str(tmp_path / "model.ckpt"))
        read = session.run({v.op.name: v for v in tf.local_variables() if "teacher" in v.op.name})
    saved = checkpoint_values.read_shapes(str(tmp_path / "model.ckpt"))
    assert saved and not [name for name in saved if "teacher" in name]
    weights = golden_weights("e2e_teacher")
    weights = {name: array for name, array in weights.items() if name.startswith("bert/")}
    assert {name[len("teacher/") :] for name in read} == set(weights)
    for name, array in read.items():
        np.testing.assert_array_equal(array, weights[name[len("teacher/") :]])


@pytest.fixture(scope="module")
def albert_folders(tmp_path_factory):
    """Folder with models: a teacher, students with and without a shared layer, a wider teacher."""
    folder = tmp_path_factory.mktemp("alberts")
    small_models.write_model(folder / "teacher", num_hidden_layers=6, seed=1)
    small_models.write_model(folder / "student", num_hidden_layers=3, seed=2)
    small_models.write_model(
        folder / "unshared", num_hidden_layers=3, num_hidden_groups=3, inner_group_num=1
    )
    small_models.write_model(
        folder / "shared", num_hidden_layers=3, num_hidden_groups=1, inner_group_num=1
    )
    small_models.write_model(
        folder / "wide", num_hidden_layers=6, hidden_size=24, num_attention_heads=3, seed=3
    )
    return folder


def albert_features():
    ids = np.array([[2, 5, 6, 7, 8, 3], [2, 9, 10, 3, 0, 0]])
    return {
        "input_ids": tf.constant(ids, tf.int32),
        "input_mask": tf.constant((ids > 0).astype(np.int32)),
        "segment_ids": tf.zeros([2, 6], tf.int32),
    }


def losses_of(folder, teacher, student, settings, fetch=None):
    """Returns the losses of the student in a folder, and {name: gradient} of their sum."""
    distiller = distiller_of(str(folder / teacher), str(folder / student), settings)
    opened = model_folder.open_folder(str(folder / student))
    with tf.Graph().as_default(), tf.Session() as session:
        tf.set_random_seed(5)
        features = albert_features()
        by_kind = distiller.losses(student_of(opened.config, features), features)
        variables = tf.trainable_variables()
        checkpoint_matching.initialize_from(opened.prefix, variables)
        gradients = tf.gradients(tf.add_n(list(by_kind.values())), variables)
        gradients = {
            v.op.name: tf.convert_to_tensor(g)
            for v, g in zip(variables, gradients)
            if g is not None
        }
        session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
        return session.run([by_kind, gradients])


@pytest.mark.slow
@pytest.mark.newest
def test_every_depth_of_a_shared_layer_counts(albert_folders):
    """A shared layer's gradient is the sum of the gradients of separate layers of equal weights."""
    settings = DistillationSettings(("attention", "hidden", "relations"))
    weights = checkpoint_values.read_weights(str(albert_folders / "shared" / "albert_model.ckpt"))
    unshared = {
        name.replace("/group_0/", "/group_%d/" % group): array
        for name, array in weights.items()
        for group in range(3)
    }
    model_writer.write_model_checkpoint(str(albert_folders / "unshared"), unshared)
    shared = losses_of(albert_folders, "teacher", "shared", settings)
    separate = losses_of(albert_folders, "teacher", "unshared", settings)
    for kind in shared[0]:
        np.testing.assert_allclose(shared[0][kind], separate[0][kind], rtol=1e-6)
    for name, gradient in shared[1].items():
        names = {name.replace("/group_0/", "/group_%d/" % group) for group in range(3)}
        total = sum(separate[1][other] for other in names)
        scale = np.abs(total).max()
        np.testing.assert_allclose(gradient, total, rtol=1e-4, atol=1e-5 * scale + 1e-9)
    layer = [name for name in shared[1] if "/group_0/" in name]
    assert layer and all(
        np.abs(separate[1][name.replace("/group_0/", "/group_%d/" % g)]).max() > 0
        for name in layer
        for g in (0, 1)
        if "query/kernel" in name
    )


@pytest.mark.slow
def test_a_model_is_no_distance_from_itself(albert_folders):
    settings = DistillationSettings(("attention", "hidden", "relations"))
    by_kind, _ = losses_of(albert_folders, "student", "student", settings)
    assert {
        kind: float(loss) for kind, loss in by_kind.items() if not loss < 1e-8
    } == {}  # apart from rounding


@pytest.mark.slow
@pytest.mark.reference
def test_inputs_of_the_first_layer_have_no_attention(albert_folders):
    settings = DistillationSettings(("attention", "hidden"), ("0:0",))
    with pytest.raises(
        UserError, match="--layers=0:0: depth 0 .* has no attention: add other depths"
    ):
        losses_of(albert_folders, "student", "student", settings)


@pytest.mark.reference
def test_other_widths_and_heads_by_projections_and_relations(albert_folders, capsys):
    by_kind, gradients = losses_of(albert_folders, "wide", "student", DistillationSettings())
    assert set(by_kind) == {"hidden", "relations"}
    assert "the student has 2 heads, the teacher 3" in capsys.readouterr().out
    fits = {name for name in gradients if name.startswith("distillation/")}
    assert fits == {
        "distillation/fit_%d/%s" % (depth, name)
        for depth in range(4)
        for name in ("kernel", "bias")
    }
    tied = DistillationSettings(("hidden",), ("0:0", "3:6"), tie_projections=True)
    _, gradients = losses_of(albert_folders, "wide", "student", tied)
    assert {n for n in gradients if n.startswith("distillation/")} == {
        "distillation/fit_dense/kernel",
        "distillation/fit_dense/bias",
    }
    assert "no effect" not in capsys.readouterr().out


@pytest.mark.reference
def test_tied_projections_where_there_are_none(albert_folders, capsys):
    of_scores = DistillationSettings(("attention",), tie_projections=True)
    for teacher, settings in (
        ("wide", of_scores),
        ("teacher", DistillationSettings(tie_projections=True)),
    ):
        distiller_of(*(str(albert_folders / name) for name in (teacher, "student")), settings)
        assert "note: --tie_projections has no effect" in capsys.readouterr().out


@pytest.mark.reference
def test_padding_counts_for_nothing(albert_folders):
    """Changing the padding changes no loss."""

    def loss_with(padding, settings):
        distiller = distiller_of(
            str(albert_folders / "teacher"), str(albert_folders / "student"), settings
        )
        opened = model_folder.open_folder(str(albert_folders / "student"))
        with tf.Graph().as_default(), tf.Session() as session:
            features = albert_features()
            hidden = tf.constant(padding) * (1 - features["input_mask"])
            features["input_ids"] += hidden
            tf.set_random_seed(1)
            by_kind = distiller.losses(student_of(opened.config, features), features)
            checkpoint_matching.initialize_from(opened.prefix, tf.trainable_variables())
            session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
            return sum(session.run(by_kind).values())

    settings = DistillationSettings(("attention", "hidden", "relations"))
    np.testing.assert_allclose(loss_with(0, settings), loss_with(11, settings), rtol=1e-6)


@pytest.mark.parametrize(
    "teacher, settings, message",
    [
        ("wide", ORIGINAL, "--compatible: the teacher has 3 heads, the student 2: leave it out"),
        ("teacher", DistillationSettings(layers=("9:9",)), "--layers=9:9: the student has 3"),
        ("teacher", ORIGINAL._replace(kinds=("relations",)), "TinyBERT has no --losses=relations"),
    ],
)
def test_what_cannot_be_compared(albert_folders, teacher, settings, message):
    with pytest.raises(UserError, match=message):
        distiller_of(str(albert_folders / teacher), str(albert_folders / "student"), settings)


def test_a_teacher_without_vocabulary(albert_folders, tmp_path):
    folder = small_models.write_model(tmp_path / "model")
    os.remove(os.path.join(folder, "vocab.txt"))
    with pytest.raises(UserError, match="--teacher_model=.* has no vocabulary"):
        Teacher(folder)


def test_config_of_tests_is_read():
    assert AlbertConfig.from_dict(dict(_COMMON, **_SIZES["e2e_teacher"])).layout == "bert"


@pytest.mark.parametrize("places", [None, [[0, 4, 2], [1, 1, 5]]])
def test_scores_of_attention_have_the_relative_positions(places):
    """NEZHA's formula is (q_i . k_j + q_i . R_ij) / sqrt(D), here for all or some tokens."""
    config = AlbertConfig(
        30, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        use_relative_position=True, max_relative_position=3, embedding_size=8,
    )  # fmt: skip
    ids = np.random.RandomState(1).randint(1, 30, [2, 6]).astype(np.int32)
    with tf.Graph().as_default(), tf.Session() as session:
        model = AlbertModel(config, False, tf.constant(ids), keeps_attention=True)
        given = None if places is None else tf.constant(places)
        insides = distiller._insides_of(model, config, given)
        session.run(tf.global_variables_initializer())
        query, key, _ = model.get_attention_inputs()[1]
        found, query, key = session.run([insides.scores(2), query, key])
    rows = np.tile(np.arange(6), [2, 1]) if places is None else np.array(places)
    table = relative_table(4, 3)
    for row, chosen in enumerate(rows):
        steps = np.clip(chosen[None, :] - chosen[:, None], -3, 3) + 3
        q, k = query[row][:, chosen], key[row][:, chosen]
        expected = (q @ k.transpose(0, 2, 1) + np.einsum("nid,ijd->nij", q, table[steps])) / 2
        np.testing.assert_allclose(found[row], expected, atol=1e-5)
