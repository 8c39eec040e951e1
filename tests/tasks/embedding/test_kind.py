"""Sentence embeddings are trained, resumed and measured like every kind of task."""

import json
import os
import random
import shutil

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh import finetuning
from albert_zh.common.errors import UserError
from albert_zh.finetuning import flags as finetuning_flags
from albert_zh.inference.text_encoder import TextEncoder
from albert_zh.model import sentence_vectors
from albert_zh.model.checkpoints import checkpoint_values
from albert_zh.tasks import datasets, registry
from albert_zh.tasks.embedding import losses, objectives, text_files
from albert_zh.tasks.embedding.flags import OBJECTIVES
from albert_zh.text import tokenization
from crossed_cases import with_slow
from workspace import CONFIG, VOCABULARY

FAMILY = "sentence_embedding"
WORDS = VOCABULARY[5:25]


def faq_rows(count, seed):
    """Yields questions and entries that share two characters."""
    generator = random.Random(seed)
    for _ in range(count):
        shared = generator.sample(WORDS, 2)
        yield ["".join(shared + generator.sample(WORDS, 2)) for _ in "ab"]


@pytest.fixture(name="folder", scope="module")
def folder_fixture(tmp_path_factory):
    folder = tmp_path_factory.mktemp("embedding")
    for name, count in (("train", 64), ("dev", 16)):
        rows = list(faq_rows(count, name))
        (folder / (name + ".tsv")).write_text("".join("%s\t%s\n" % tuple(row) for row in rows))
        scored = ["%s\t%s\t%d\n" % (a, b, number % 3) for number, (a, b) in enumerate(rows)]
        (folder / ("scored_%s.tsv" % name)).write_text("".join(scored))
        (folder / (name + "_texts.txt")).write_text("".join(a + "\n" for a, _ in rows))
    (folder / "faq.txt").write_text("今天天气\n")
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    config = dict(CONFIG, initializer_range=0.2, hidden_dropout_prob=0.0)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(name="settings")
def settings_fixture(folder, tmp_path):
    return {
        "family": FAMILY,
        "task_name": "sentences",
        "objective": "infonce",
        "data_dir": str(folder),
        "bert_config_file": str(folder / "config.json"),
        "vocab_file": str(folder / "vocab.txt"),
        "output_dir": str(tmp_path / "out"),
        "max_seq_length": 16,
        "train_batch_size": 16,
        "train_step": 4,
        "save_checkpoints_steps": 2,
        "learning_rate": 1e-3,
        "do_train": True,
        "do_eval": True,
    }


def scored(folder):
    return {
        "train_file": str(folder / "scored_train.tsv"),
        "dev_file": str(folder / "scored_dev.tsv"),
    }


def weights(folder, step):
    return checkpoint_values.read_weights(os.path.join(folder, "model.ckpt-%d" % step))


@pytest.mark.slow
def test_a_killed_run_goes_on_bit_by_bit_and_its_vectors_are_those_of_its_folder(settings):
    """The run computes its batches in chunks, with dropout."""
    settings = dict(settings, batch_in_memory=6, dropout=0.1, matryoshka="16,4")
    settings.update(keep_checkpoint_max=5, do_eval=False)
    finetuning.run(**settings)
    out = settings["output_dir"]
    whole = weights(out, 4)
    for name in os.listdir(out):
        if name.startswith("model.ckpt-4"):
            os.remove(os.path.join(out, name))
    with open(os.path.join(out, "checkpoint"), "w") as stream:
        stream.write('model_checkpoint_path: "model.ckpt-2"\n')
    finetuning.run(**settings)
    resumed = weights(out, 4)
    assert all(np.array_equal(whole[name], resumed[name]) for name in whole)
    shutil.rmtree(out)
    finetuning.run(**dict(settings, do_eval=True))
    best = os.path.join(out, "best")
    notes = sentence_vectors.read_notes(best)
    assert notes == sentence_vectors.SentenceNotes("mean", True, 16, 16, (16, 4))
    with TextEncoder(best) as encoder:
        vectors = encoder.encode(["今天", "天气"])
    assert vectors.shape == (2, 16)


@pytest.mark.slow
@pytest.mark.newest
def test_chunks_train_as_the_whole_batch_does(settings):
    found = []
    for in_memory in (4, 16):
        shutil.rmtree(settings["output_dir"], ignore_errors=True)
        more = {"batch_in_memory": in_memory, "do_eval": False, "train_step": 2, "dropout": 0.0}
        finetuning.run(**dict(settings, **more))
        found.append(weights(settings["output_dir"], 2))
    for name in found[0]:
        # AdamW divides by the root of the squares, which amplifies rounding of tiny gradients;
        # an update is 5e-3. The gradients are compared in test_losses.py.
        np.testing.assert_allclose(found[0][name], found[1][name], atol=3e-4)


@pytest.mark.slow
@pytest.mark.reference
@pytest.mark.parametrize("objective", with_slow(["cosent", "softmax", "cosine"], ["cosent"]))
def test_scored_pairs_are_trained_by_every_loss(settings, folder, objective):
    settings.update(scored(folder), objective=objective, train_step=2)
    settings.update(save_checkpoints_steps=1, keep_checkpoint_max=5)
    found = finetuning.run(**settings)
    assert found["metric"] == "spearman" and abs(found["dev"]["eval_spearman"]) <= 1  # not NaN
    weights = [
        checkpoint_values.read_weights("%s/model.ckpt-%d" % (settings["output_dir"], step))
        for step in (1, 2)
    ]
    changes = {name: np.abs(weights[1][name] - weights[0][name]).max() for name in weights[0]}
    assert changes["bert/embeddings/word_embeddings"] > 1e-4


@pytest.mark.parametrize("objective", ["simcse", "esimcse"])
@pytest.mark.slow
def test_texts_alone_are_trained_and_measured_by_pairs(settings, folder, objective):
    settings.update(scored(folder), objective=objective, train_step=2)
    settings["train_file"] = str(folder / "train_texts.txt")
    assert finetuning.run(**settings)["metric"] == "spearman"


@pytest.mark.reference
def test_a_teachers_vectors_are_learnt(settings, folder):
    teacher = str(folder / "teacher.npy")
    np.save(teacher, np.random.RandomState(1).normal(size=(64, 5)))
    settings.update(objective="vectors", teacher_vectors=teacher, do_eval=False, train_step=2)
    settings["train_file"] = str(folder / "train_texts.txt")
    with pytest.raises(
        UserError, match="vectors of width 5, the model's have 16: add --projection"
    ):
        finetuning.run(**dict(settings, output_dir=settings["output_dir"] + "_2", width=16))
    finetuning.run(**dict(settings, projection_width=5))
    kernel = weights(settings["output_dir"], 2)["sentence_projection/kernel"]
    assert kernel.shape == (16, 5)
    np.save(teacher, np.random.RandomState(2).normal(size=(64, 5)))
    with pytest.raises(
        UserError, match="contains a run with another teacher_vectors: name another"
    ):
        finetuning.run(**dict(settings, projection_width=5, train_step=3))


def test_another_further_file_does_not_go_on_with_a_run(settings, folder, tmp_path):
    more = tmp_path / "more.tsv"
    more.write_text("今天去哪\t天气很好\n", encoding="utf-8")
    settings.update(more_train="%s:1" % more, do_eval=False, train_step=1)
    finetuning.run(**settings)
    more.write_text("今天去哪\t银行开门\n", encoding="utf-8")
    with pytest.raises(UserError, match="contains a run with another more_train .*more.tsv"):
        finetuning.run(**dict(settings, train_step=2))


@pytest.mark.parametrize(
    "change, message",
    [
        ({"train_batch_size": 1}, "--train_batch_size=1: infonce compares rows of a batch"),
        ({"width": 99}, "--width: a width of 99, expected at most 16"),
        ({"matryoshka": "99,4"}, "--matryoshka: a width of 99, expected at most 16"),
        (
            {"objective": "simcse", "dropout": 0},
            "--dropout=0: simcse creates the two views of a text",
        ),
        ({"cosine_temperature": 0}, "--cosine_temperature=0.0: expected at least"),
        ({"objective": "triplet"}, "needs a negative in the third column"),
        ({"rdrop_alpha": 1}, "--rdrop_alpha is for predictions of classes"),
        ({"objective": "vectors", "do_eval": False}, "add --teacher_vectors"),
        (
            {
                "objective": "vectors",
                "do_eval": False,
                "teacher_vectors": __file__,
                "more_train": "a.txt:1",
            },
            "--more_train: its rows have no vectors of --teacher_vectors",
        ),
    ],
)
def test_flags_that_make_no_sense_are_refused(settings, change, message):
    with pytest.raises(UserError, match=message) as error:
        finetuning.run(**dict(settings, **change))
    assert "\n" not in str(error.value)


IN_VAIN = {
    "symmetric": (True, ["infonce", "simcse", "esimcse"]),
    "own_negative_weight": (0.5, ["infonce"]),
    "triplet_distance": ("euclidean", ["triplet"]),
    "margin": (0.2, ["infonce", "triplet", "contrastive", "simcse", "esimcse"]),
    "cosine_temperature": (
        0.1,
        ["cosent", "infonce", "four_blocks", "simbert", "simcse", "esimcse"],
    ),
}


@pytest.mark.parametrize("name", IN_VAIN)
def test_flags_that_an_objective_ignores_are_refused(folder, name):
    value, objectives_of_it = IN_VAIN[name]
    given = {"bert_config_file": str(folder / "config.json"), name: value}
    given.update(teacher_vectors=str(folder / "vocab.txt"), max_seq_length=16)
    found = []
    for objective in OBJECTIVES:
        options = finetuning_flags.of_settings(
            FAMILY, do_train=True, do_eval=False, objective=objective, **given
        )
        check = registry.get(FAMILY).flags.check
        try:
            check(options)
            found.append(objective)
        except UserError as error:
            message = "--%s=%s has no effect with --objective=%s" % (name, value, objective)
            assert str(error).startswith(message)
        options.do_train = False  # a trained model has the settings of its losses
        check(options)
    assert sorted(found) == sorted(objectives_of_it)


def test_a_corpus_that_is_not_searched_is_refused(folder):
    given = {"bert_config_file": str(folder / "config.json"), "do_train": True, "do_eval": True}
    given.update(corpus_file=str(folder / "faq.txt"), max_seq_length=16)
    check = registry.get(FAMILY).flags.check
    check(finetuning_flags.of_settings(FAMILY, objective="infonce", **given))
    with pytest.raises(UserError, match="--corpus_file=.*faq.txt has no effect: dev and test have"):
        check(finetuning_flags.of_settings(FAMILY, objective="cosent", **given))
    given.update(objective="infonce", dev_format="scored")
    with pytest.raises(UserError, match="has no effect: .* --dev_format=positives$"):
        check(finetuning_flags.of_settings(FAMILY, **given))
    check(finetuning_flags.of_settings(FAMILY, mine_negatives="lexical", **given))


@pytest.mark.parametrize(
    "rows, message",
    [
        ("甲\t乙\t1\n甲\t丙\t1\n", "have the label 1, from which nothing can be learned"),
        ("甲\t乙\tgut\n", "the score 'gut' is not a number"),
        ("\n\n", "is empty"),
    ],
)
def test_files_that_nothing_is_learnt_of_are_refused(settings, folder, tmp_path, rows, message):
    path = tmp_path / "train.tsv"
    path.write_text(rows)
    settings.update(scored(folder), train_file=str(path), objective="cosent")
    with pytest.raises(UserError, match=message) as error:
        finetuning.run(**settings)
    assert "\n" not in str(error.value)


def test_another_loss_does_not_go_on_with_a_run(settings, folder, capsys):
    """Regression: the kind's name was recorded as the loss, so that --seeds runs did not resume."""
    settings.update(scored(folder), objective="cosent", do_eval=False, train_step=1)
    settings.update(data_dir="", seeds=[1])
    finetuning.run(**settings)
    capsys.readouterr()
    finetuning.run(**settings)
    assert "nothing to train" in capsys.readouterr().out
    message = r"seed_1 contains a run with another loss \(cosent, now cosine\)"
    with pytest.raises(UserError, match=message):
        finetuning.run(**dict(settings, objective="cosine", train_step=2))


def test_too_few_rows_are_explained_by_those_that_occur_twice(settings, folder, tmp_path):
    (tmp_path / "texts.txt").write_text("今天天气\n" * 20)
    settings.update(objective="simcse", do_eval=False, train_file=str(tmp_path / "texts.txt"))
    message = r"more than the 1 training row of .*texts.txt \(19 rows occur twice"
    with pytest.raises(UserError, match=message):
        finetuning.run(**settings)


def test_records_say_for_which_rows_negatives_are_right(folder, tmp_path):
    path = tmp_path / "train.tsv"
    path.write_text("今天\t天气\t银行\t明天\n明天\t再说\t天气！\n", encoding="utf-8")
    split = text_files.read_split(str(path), "train", "positives")
    kind = registry.get("sentence_retrieval")
    task = datasets.get_task("sentences")._replace(objective=kind.name, head={"loss": "infonce"})
    tokenizer = tokenization.FullTokenizer(str(folder / "vocab.txt"))

    def found(task):
        records = [kind.features(task, example, tokenizer, 16)[0][0] for example in split.examples]
        return [(record["group"], record["negative_groups"]) for record in records]

    task = kind.with_labels(task, split)
    assert kind.columns(task)["negative_groups"].shape == (1,)
    assert found(task) == [(0, [-1]), (1, [0])]
    assert found(task._replace(head=dict(task.head, num_negatives=2))) == [
        (0, [-1, 1]),
        (1, [0, -1]),
    ]


@pytest.mark.parametrize(
    "loss, scores, expected",
    [
        ("softmax", ["-1", "1", "1e9"], [0, 1, 2]),
        ("softmax", ["neutral", "5", "3"], [0, 2, 1]),
        ("cosine", ["-1", "1", "3"], [0, 0.5, 1]),
        ("margin_mse", ["银行\t-0.5", "银行\t1.5"], [-0.5, 1.5]),
    ],
)
def test_scores_of_records(folder, tmp_path, loss, scores, expected):
    path = tmp_path / "train.tsv"
    path.write_text("".join("今天\t天气\t%s\n" % score for score in scores), encoding="utf-8")
    split = text_files.read_split(str(path), "train", OBJECTIVES[loss].data_format)
    kind = registry.get("sentence_embedding")
    task = datasets.get_task("sentences")._replace(objective=kind.name, head={"loss": loss})
    task = kind.with_labels(task, split)
    tokenizer = tokenization.FullTokenizer(str(folder / "vocab.txt"))
    records = [kind.features(task, example, tokenizer, 16)[0][0] for example in split.examples]
    assert [record["score"] for record in records] == expected


def test_metrics_of_another_file_are_refused(settings):
    with pytest.raises(UserError, match="unknown metric 'spearman', expected one of mrr_at_10"):
        finetuning.run(**dict(settings, best_metric="spearman"))
    options = finetuning_flags.of_settings(FAMILY, dev_format="positives", objective="cosent")
    assert options.dev_format == "positives"


def loss_of_flags(arrays, groups, **given):
    """Returns the loss of a batch with the head settings created from flags."""
    options = finetuning_flags.of_settings(FAMILY, **given)
    head = registry.get("sentence_retrieval").flags.head(options)
    with tf.Graph().as_default(), tf.Session() as session:
        features = {"score": tf.ones([4]), "group": tf.constant(groups)}
        vectors = tf.stack([tf.constant(array) for array in arrays], axis=1)
        return session.run(objectives.batch_loss(vectors, features, head))


def test_flags_choose_the_losses_of_positives(folder):
    """Expected values come from NumPy; the vectors are not of unit length."""
    arrays = np.random.RandomState(1).normal(size=(3, 4, 16)).astype(np.float32)
    given = {"bert_config_file": str(folder / "config.json"), "objective": "triplet"}
    a, p, n = arrays
    cosines = [
        np.sum(a * b, axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
        for b in (p, n)
    ]
    apart = [np.linalg.norm(a - b, axis=1) for b in (p, n)]
    for more, expected in (
        ({}, np.maximum(0, cosines[1] - cosines[0] + 0.5)),
        ({"triplet_distance": "euclidean"}, np.maximum(0, apart[0] - apart[1] + 5)),
        (
            {"triplet_distance": "euclidean", "margin": 0.25},
            np.maximum(0, apart[0] - apart[1] + 0.25),
        ),
    ):
        found = loss_of_flags(arrays, [0, 1, 2, 3], **dict(given, **more))
        assert found == pytest.approx(expected.mean(), abs=1e-5)
    given["objective"] = "margin_mse"
    expected = np.square(cosines[0] - cosines[1] - 1).mean()  # all margins are 1
    assert loss_of_flags(arrays, [0, 1, 2, 3], **given) == pytest.approx(expected, abs=1e-5)
    given.update(objective="simbert", cosine_temperature=0.5)
    texts = np.concatenate([a, p]) / np.linalg.norm(np.concatenate([a, p]), axis=1)[:, None]
    logits = np.exp(texts @ texts.T / 0.5)
    logits[np.equal.outer([0, 1, 0, 2] * 2, [0, 1, 0, 2] * 2)] = 0
    partners = np.exp(np.sum(texts * np.roll(texts, 4, axis=0), axis=1) / 0.5)
    expected = np.mean(np.log(logits.sum(axis=1) + partners) - np.log(partners))
    assert loss_of_flags(arrays, [0, 1, 0, 2], **given) == pytest.approx(expected, abs=1e-5)


def test_replicas_gather_vectors_with_their_gradients():
    """Each of two replicas has the loss of the whole batch and twice the gradients of its rows."""
    arrays = np.random.RandomState(1).normal(size=(3, 4, 3)).astype(np.float32)
    groups, of_negatives = np.array([0, 1, 0, 2]), np.array([[2], [-1], [1], [0]])
    with tf.Graph().as_default(), tf.Session() as session:
        whole = [tf.constant(array) for array in arrays]
        loss = losses.infonce(whole[0], whole[1], whole[2:], ids=groups, negative_ids=of_negatives)
        expected = session.run(tf.gradients(loss, whole))
    head = {"loss": "infonce", "cosine_temperature": 0.05, "margin": 0.0, "symmetric": False}
    head.update(own_negative_weight=0.0, widths=[], width=3)
    with tf.Graph().as_default():
        strategy = tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])

        def of_replica():
            number = tf.distribute.get_replica_context().replica_id_in_sync_group

            def share(array):
                return tf.gather(tf.reshape(array, (2, 2) + np.shape(array)[1:]), number)

            own = [share(array) for array in arrays]
            features = {"score": share(np.ones(4, np.float32)), "group": share(groups)}
            features["negative_groups"] = share(of_negatives)
            loss = objectives.batch_loss(tf.stack(own, axis=1), features, head)
            return [loss] + tf.gradients(loss, own)

        run = getattr(strategy, "run", None) or strategy.experimental_run_v2
        outputs = run(of_replica)
        local = [strategy.experimental_local_results(output) for output in outputs]
        config = tf.ConfigProto(device_count={"CPU": 2})
        with tf.Session(config=config) as session:
            found = session.run(local)
    assert found[0][0] == pytest.approx(found[0][1])
    for gradients, wanted in zip(found[1:], expected):
        np.testing.assert_allclose(np.concatenate(gradients) / 2, wanted, atol=1e-6)
