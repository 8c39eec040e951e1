"""The bundled model: its files agree, it predicts common words, and its card is complete."""

import os
import re

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.commands import convert_albert_pytorch_checkpoint_to_tf as to_tf
from albert_zh.commands import convert_albert_tf_checkpoint_to_pytorch as to_pytorch
from albert_zh.commands import fill_mask
from albert_zh.conversion import pytorch_files
from albert_zh.inference import text_encoder
from albert_zh.model import modeling
from albert_zh.model.checkpoints import (
    checkpoint_files,
    checkpoint_values,
    expected_variables,
    model_folder,
)
from workspace import ROOT

FOLDER = os.path.join(ROOT, "albert_starter_zh")
PREFIX = os.path.join(FOLDER, checkpoint_files.CHECKPOINT_NAME)
LARGEST_BYTES = 11e6
TRAINING, SCORES, TEXTS = "训练 / Training", "得分 / Scores", "训练文本 / Training text"
TITLES = (TRAINING, SCORES, TEXTS, "命令 / Commands")


@pytest.fixture(scope="module")
def config():
    return modeling.AlbertConfig.from_json_file(model_folder.config_in_folder(FOLDER))


@pytest.fixture(scope="module")
def card():
    with open(os.path.join(FOLDER, "README.md"), encoding="utf-8") as handle:
        return handle.read()


def rows_below(card, title):
    """Cells of the table under a title of the card, without its header and the rule below."""
    part = card.split("\n## " + title, 1)[1].split("\n## ", 1)[0]
    lines = [line for line in part.split("\n") if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


# The weights


def test_the_checkpoint_has_what_the_config_asks_for_and_nothing_else(config):
    expected = {}
    for part, shapes in expected_variables.expected_shapes_by_part(config).items():
        if part != "classification":
            expected.update(shapes)
    found = {name: list(shape) for name, shape in tf.train.list_variables(PREFIX)}
    assert found == expected  # no optimizer slots
    assert config.layout == "brightmart"
    assert sum(np.prod(shape, dtype=int) for name, shape in found.items() if shape) == 2601674
    for name, value in checkpoint_values.read_weights(PREFIX).items():
        assert np.isfinite(value).all(), name


def test_the_weights_are_small():
    names = [
        name for name in os.listdir(FOLDER) if name.startswith(checkpoint_files.CHECKPOINT_NAME)
    ]
    assert sum(os.path.getsize(os.path.join(FOLDER, name)) for name in names) < LARGEST_BYTES


# Text -> the masked word.
EASY = {
    "中国的首都是北[MASK]。": "京",
    "谢[MASK]你的帮助。": "谢",
    "我想去医[MASK]看病。": "院",
}


def test_it_fills_in_common_words():
    with fill_mask.MaskFiller(FOLDER) as filler:
        for text, expected in EASY.items():
            (words,) = filler.fill(text, top_k=10000)
            probabilities = [probability for _, probability in words]
            assert len(words) == 8000 and np.isfinite(probabilities).all()
            assert min(probabilities) >= 0 and abs(sum(probabilities) - 1) < 1e-4
            assert expected in [word for word, _ in words[:5]], text


def test_it_goes_to_pytorch_and_back(tmp_path):
    hf, back = str(tmp_path / "hf"), str(tmp_path / "back")
    to_pytorch.convert(PREFIX, hf)
    to_tf.convert(pytorch_files.find_weights(hf), back)
    values = checkpoint_values.read_weights(checkpoint_files.find_checkpoint(back))
    expected = checkpoint_values.read_weights(PREFIX)
    expected.pop("global_step", None)
    assert sorted(values) == sorted(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(values[name], value, err_msg=name)


def test_its_vectors_tell_texts_apart():
    texts = ["我想去医院看病", "我要到医院看病", "这家酒店的早餐不错"]
    with text_encoder.TextEncoder(FOLDER) as encoder:
        near, other, far = encoder.encode(texts, normalize=True)
    assert near.shape == (312,)
    assert near @ other > near @ far


# The card


# Language -> words that its part of the card must contain.
SUBJECTS = {
    "中文": "大小 来源 许可 设置 步数 词元数 用时 准确率 得分 不适合 学习曲线 "
    "不含评测集 albert_tiny",
    "English": "Size source licence Settings steps tokens hours accuracies scores not_good_for "
    "learning_curve evaluation_sets albert_tiny",
}


@pytest.mark.parametrize("language", sorted(SUBJECTS))
def test_the_card_tells_in_both_languages_what_a_user_has_to_know(card, language):
    part = card.split("\n## %s\n" % language)[1].split("\n## ")[0]
    for subject in SUBJECTS[language].split():
        assert subject in part or subject.replace("_", " ") in part, subject


def test_the_card_has_commands_curve_and_a_row_for_each_task(card):
    for title in TITLES:
        assert "\n## %s\n" % title in card
    assert "](learning_curve.png)" in card
    tasks = " ".join(row[0] for row in rows_below(card, SCORES))
    for name in RESULTS:
        assert name in tasks


def test_the_cards_list_of_texts_adds_up(card):
    rows = rows_below(card, TEXTS)
    total = [number for number, row in enumerate(rows) if row[0].startswith("**")][0]
    corpus = rows[:total]
    assert len(corpus) == 27 == int(rows[total][0].strip("*"))
    for column, slack in ((1, 1.4), (2, 0), (3, 0.14)):  # rounded to the last digit shown
        values = [float(row[column].replace(",", "")) for row in corpus]
        assert abs(sum(values) - float(rows[total][column].replace(",", ""))) <= slack
    assert all(": " in row[4] for row in corpus)


def test_the_card_gives_sources_and_licences_as_the_corpus_does(card, shared):
    path = os.path.join(shared, "corpus", "SOURCES.md")
    if not os.path.exists(path):
        pytest.skip("needs ../shared/corpus")
    with open(path, encoding="utf-8") as handle:
        sources = handle.read()
    named = {row[0] for row in rows_below(card, TEXTS)}
    assert set(re.findall(r"^\| (\w+)\.txt\.gz", sources, re.M)) <= named
    licences = re.findall(r"^\| (\S+/\S+) \| [0-9a-f]{40} \| (.+?) \|", sources, re.M)
    assert len(licences) > 40
    for repository, licence in licences:
        assert "%s: %s" % (repository, licence) in card


# Task of the card -> (data set of docs/results.md, split).
RESULTS = {
    "THUCNews10": ("THUCNews, 10", "test"),
    "ChnSentiCorp": ("ChnSentiCorp", "test"),
    "TNEWS": ("TNEWS", "dev"),
    "AFQMC": ("AFQMC", "dev"),
    "LCQMC": ("LCQMC", "test"),
    "`data/pairs_sample`": ("data/pairs_sample", "test"),
    "`data/pairs_hard_sample`": ("data/pairs_hard_sample", "test"),
    "`data/topics_sample`": ("data/topics_sample", "test"),
}
STARTS = ("baseline", "random weights", "starter model")


def test_the_cards_scores_are_those_of_the_page_of_results(card):
    with open(os.path.join(ROOT, "docs", "results.md"), encoding="utf-8") as handle:
        table = handle.read().split("<!-- start -->")[1].split("<!-- end of start -->")[0]
    results = {}
    for line in table.strip().split("\n")[2:]:
        name, start, dev, test = [cell.strip() for cell in line.strip("|").split("|")][:4]
        results[name, start] = {"dev": dev, "test": test}
    rows = rows_below(card, SCORES)
    assert len(rows) == len(RESULTS)
    for task, *cells in rows:
        name, split = RESULTS[re.split("[ ,]", task)[0]]
        for start, cell in zip(STARTS, cells):
            found = results.get((name, start), {split: "-"})[split]
            assert rounded(found, cell) == cell, (task, start)


def rounded(found, like):
    """A cell of docs/results.md to one decimal, without its deviation if `like` has none."""
    numbers = ["%.1f" % float(number) for number in re.findall(r"[\d.]+", found)]
    return " ± ".join(numbers if "±" in like else numbers[:1]) or "-"


def test_the_cards_parts_have_the_tokens_of_their_steps(card):
    parts = [row for row in rows_below(card, TRAINING) if row[1][0].isdigit() and len(row) == 6]
    assert len(parts) == 4
    for _, steps, tokens, *_ in parts:
        number, of_a_step = (float(cell.replace(",", "")) for cell in steps.split(" × "))
        assert number * of_a_step / 1e6 == pytest.approx(float(tokens.split()[0]), rel=0.01)
    for name in re.findall(r"\]\((\w+\.png)\)", card):
        assert os.path.exists(os.path.join(FOLDER, name)), name
