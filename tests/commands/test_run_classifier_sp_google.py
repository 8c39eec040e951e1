"""Tests of run_classifier_sp_google.py: Google's flags, SentencePiece, mean pooling."""

import json
import os
import random

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.inference import predictor
from albert_zh.model import classifier_output, modeling
from albert_zh.text import tokenization
import golden_cases
from sentencepiece_models import train_sentencepiece
from workspace import CONFIG, Workspace, run_process

WORDS = ["cheap", "tickets", "paris", "hotel", "price", "today", "train", "2019,"]
VOCABULARY_SIZE = 80
INPUTS = ("input_ids", "input_mask", "segment_ids")
GOOGLE_CONFIG = dict(
    CONFIG,
    vocab_size=VOCABULARY_SIZE,
    max_position_embeddings=512,
    num_hidden_groups=1,
    inner_group_num=1,
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """Creates a SentencePiece model, a google config for it, and a run trained with both."""
    workspace = Workspace(tmp_path_factory.mktemp("sp_google"))
    draw = random.Random(1)
    texts = [_text(draw, 8) for _ in range(300)]
    workspace.model = train_sentencepiece(workspace.folder, texts, VOCABULARY_SIZE)
    for name, count in (("train", 64), ("dev", 16), ("test", 16)):
        rows = [_text(draw, 4) + "\t" + _text(draw, 4) + "\t%d" % (i % 2) for i in range(count)]
        workspace.write("data/%s.txt" % name, "\n".join(rows))
    workspace.config = workspace.write("albert_config.json", json.dumps(GOOGLE_CONFIG))
    result = run(workspace, use_pooled_output=False)
    assert result.returncode == 0, result.stderr
    return workspace


def _text(draw, num_words):
    return " ".join(draw.choice(WORDS) for _ in range(num_words))


def run(workspace, **changes):
    """Runs run_classifier_sp_google.py; returns the `CompletedProcess`."""
    words = workspace.arguments(
        albert_config_file=workspace.config,
        spm_model_file=workspace.model,
        bert_config_file=None,
        vocab_file=None,
        max_seq_length=None,
        num_train_epochs=1,
        **changes,
    )
    return run_process(words, "run_classifier_sp_google.py")


@pytest.mark.slow
def test_best_model_predicts_by_itself_what_the_run_predicted(workspace):
    best = os.path.join(workspace.output, "best")
    assert os.path.exists(os.path.join(best, tokenization.SENTENCEPIECE_FILE))
    with open(os.path.join(best, "fine_tuning.json")) as handle:
        notes = json.load(handle)
    assert (notes["pooling"], notes["max_seq_length"]) == ("mean", 512)
    with open(os.path.join(workspace.data, "test.txt")) as handle:
        pairs = [tuple(line.split("\t")[:2]) for line in handle]
    with predictor.Predictor(best) as loaded:
        _, actual = loaded.predict(pairs)
    expected = np.loadtxt(os.path.join(workspace.output, "test_results.tsv"))
    np.testing.assert_allclose(actual, expected, atol=1e-5)


@pytest.mark.slow
def test_model_of_the_mean_is_refused_as_one_of_the_pooled_vector(workspace):
    result = run(workspace, use_pooled_output=True, do_train=False, do_predict=False)
    assert result.returncode == 2
    assert "trained with pooling mean, the flags ask for cls" in result.stderr


def test_mean_over_tokens_leaves_padding_out():
    config, _, arrays, values = golden_cases.load_case("google_small")
    with tf.Graph().as_default(), tf.Session() as session:
        inputs = [tf.constant(arrays["in/" + name]) for name in INPUTS]
        model = modeling.AlbertModel(config, False, *inputs)
        pooled = classifier_output.pooled_output(model, inputs[1], "mean")
        encoder = {v.op.name: values[v.op.name] for v in tf.trainable_variables()}
        golden_cases.set_variables(session, encoder)
        actual = session.run(pooled)
    mask = arrays["in/input_mask"][:, :, None]
    expected = (arrays["out/sequence_output"] * mask).sum(axis=1) / mask.sum(axis=1)
    golden_cases.assert_close(actual, expected)
