"""Distillation of labelling: CRF marginals, divergence from a CRF, differently split pieces."""

import itertools
import types

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.distillation import unlabelled
from albert_zh.tasks import registry, task_forms
from albert_zh.tasks.labelling import crf
from albert_zh.tasks.labelling import distillation as labelling_distillation
from albert_zh.tasks.labelling import splits as labelled_splits

TAGS = ("B-X", "I-X", "O")


def _paths(unaries, transitions):
    """Returns {path: probability} for all paths of a CRF."""
    steps, num_tags = unaries.shape
    scores = {
        path: sum(unaries[range(steps), path])
        + sum(transitions[a, b] for a, b in zip(path, path[1:]))
        for path in itertools.product(range(num_tags), repeat=steps)
    }
    total = np.log(np.sum(np.exp(list(scores.values()))))
    return {path: np.exp(score - total) for path, score in scores.items()}


@pytest.fixture
def field():
    draws = np.random.RandomState(5)
    return draws.randn(4, 3), draws.randn(3, 3)


def test_marginals_are_sums_over_all_paths(field):
    expected = np.zeros([4, 3])
    for path, probability in _paths(*field).items():
        expected[range(4), path] += probability
    np.testing.assert_allclose(np.exp(crf.log_marginals(*field)), expected, rtol=1e-9)


def _divergence(unaries, target_logs, lengths, transitions):
    with tf.Graph().as_default(), tf.Session() as session:
        tensors = [tf.constant(array) for array in (unaries, target_logs, lengths, transitions)]
        return session.run(crf.soft_divergence(*tensors))


def test_divergence_is_that_of_all_paths(field):
    unaries, transitions = field
    targets = np.random.RandomState(6).dirichlet(np.ones(3), 4)
    expected = 0.0
    for path, probability in _paths(unaries, transitions).items():
        of_target = np.prod(targets[range(4), path])
        expected += of_target * (np.log(of_target) - np.log(probability))
    batch = [np.stack([rows, np.zeros_like(rows)]) for rows in (unaries, np.log(targets))]
    got = _divergence(*batch, [4, 0], transitions)
    assert got == pytest.approx([expected, 0.0], rel=1e-9)


def test_divergence_from_sure_tags_is_the_loss_of_labels(field):
    unaries, transitions = field
    path = np.array([0, 1, 2, 2])
    sure = np.where(np.eye(3)[path] > 0, 0.0, -1e4)
    likelihood = np.log(_paths(unaries, transitions)[tuple(path)])
    got = _divergence(unaries[None], sure[None], [4], transitions)
    assert got[0] == pytest.approx(-likelihood, rel=1e-9)


@pytest.mark.parametrize(
    "teacher, student",
    [  # (start, end, tag) of each piece, for words such as 2019 and 年2019
        ([(0, 4, "S")], [(0, 2, "B"), (2, 4, "E")]),
        ([(0, 4, "S")], [(0, 1, "B"), (1, 3, "M"), (3, 4, "E")]),
        ([(0, 1, "B"), (1, 5, "E")], [(0, 1, "B"), (1, 3, "M"), (3, 5, "E")]),
        ([(0, 2, "B"), (2, 4, "E")], [(0, 4, "S")]),
        ([(0, 1, "B"), (1, 3, "M"), (3, 5, "E")], [(0, 1, "B"), (1, 5, "E")]),
        ([(0, 1, "S"), (1, 2, "S")], [(0, 2, "S")]),
        ([(0, 2, "B"), (2, 4, "E")], [(0, 1, "B"), (1, 4, "E")]),
    ],
)
def test_words_of_pieces_that_are_cut_otherwise(teacher, student):
    tags = "BMES"
    sure = np.log(np.full([4, 4], 1e-9) + np.eye(4) * (1 - 4e-9))
    rows = np.array([[begin, end, *sure[tags.index(tag)]] for begin, end, tag in teacher])
    offsets = [(begin, end) for begin, end, _ in student]
    logits, mask = labelling_distillation._of_pieces(rows, offsets, tuple(tags))
    assert [tags[number] for number in logits.argmax(1)] == [tag for _, _, tag in student]
    assert mask.tolist() == [1] * len(student)


def test_pieces_that_are_cut_otherwise_continue_a_tag():
    teacher = np.array(
        [
            [0, 3, np.log(0.7), np.log(0.1), np.log(0.2)],
            [4, 5, np.log(0.1), np.log(0.1), np.log(0.8)],
        ]
    )
    logits, mask = labelling_distillation._of_pieces(
        teacher, [(0, 1), (1, 3), (3, 4), (4, 5)], TAGS
    )
    assert mask.tolist() == [1, 1, 0, 1]
    np.testing.assert_allclose(np.exp(logits[0]), [0.7, 0.1, 0.2], rtol=1e-6)
    np.testing.assert_allclose(np.exp(logits[1]), [0, 0.8, 0.2], atol=1e-6)
    np.testing.assert_allclose(np.exp(logits[3]), [0.1, 0.1, 0.8], rtol=1e-6)


@pytest.mark.parametrize("named", [None, "conll"])
@pytest.mark.parametrize(
    "name, content",
    [
        ("tagged.txt", "王 B-PER\n明 I-PER\n\n去 O\n北 B-PLACE\n京 I-PLACE\n"),
        ("characters.txt", "王\n明\n\n去\n北\n京\n"),
        ("plain.txt", "王明\n\n去北京\n"),
    ],
    ids=["tagged", "characters", "plain"],
)
def test_unlabelled_texts_of_any_form(tmp_path, named, name, content):
    """The tags of the file, whatever they are, are ignored: the examples have no labels."""
    (tmp_path / name).write_text(content, encoding="utf-8")
    task = task_forms.Task({}, ("text_a", "label"), TAGS, head={"file_format": named})
    kind = registry.get("sequence_labelling")
    path = str(tmp_path / name)
    found = list(kind.distillation.open_unlabelled(kind, task, path, "utf-8"))
    assert [(e.text_a, e.label, problem) for e, problem in found] == [
        ("王明", None, None),
        ("去北京", None, None),
    ]


@pytest.mark.parametrize(
    "head, expected",
    [
        ({}, [None]),
        ({"granularities": ["fine", "coarse"]}, ["fine", "coarse"]),
        ({"granularities": ["fine", "coarse"], "granularity": "coarse"}, ["coarse"]),
    ],
)
def test_unlabelled_texts_are_learnt_in_every_granularity(tmp_path, head, expected):
    """Regression: unlabelled texts were once used in the first granularity only."""
    (tmp_path / "plain.txt").write_text("去北京\n王明\n去北京\n", encoding="utf-8")
    task = task_forms.Task({}, ("text_a", "label"), TAGS, head=head)
    kind = registry.get("sequence_labelling")
    labelled = [labelled_splits.Example("train-1", "王明", None, [], None, expected[0])]
    path = str(tmp_path / "plain.txt")
    read = unlabelled.read_unlabelled([path], kind, task, "utf-8", labelled, ())
    found = [(example.text_a, example.granularity) for example in read.examples]
    assert found == [("去北京", name) for name in expected] + [("王明", n) for n in expected[1:]]
    assert {example.label for example in read.examples} == {None}


def test_a_teacher_of_other_granularities_has_no_targets():
    """Regression: a token that the teacher lacks was looked up, or its first one silently used."""
    with_two, without = (
        types.SimpleNamespace(head=head) for head in ({"granularities": ["fine", "coarse"]}, {})
    )
    tags = registry.get("sequence_labelling").distillation
    assert tags.misfit(with_two, with_two) is None and tags.misfit(without, without) is None
    text = "its granularities are fine, coarse, the student's none"
    assert tags.misfit(with_two, without) == text
    assert tags.misfit(without, with_two) is not None
