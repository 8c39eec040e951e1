"""The linear model as teacher: its predictions for training rows are out-of-fold."""

import sys

import numpy as np
import pytest

from albert_zh.common.errors import UserError
from albert_zh.distillation import linear_model, linear_teacher
from albert_zh.distillation.teachers import Student
from albert_zh.tasks import kind_interface, registry, task_forms
from albert_zh.tasks import settings as task_settings
from albert_zh.tasks.input_examples import InputExample

TOPICS = {"体育": "足球比赛进球", "财经": "股票市场下跌"}


def example(text, label=None):
    return InputExample("train-1", text, None, label)


def student(columns=("text_a", "label"), objective="single_label"):
    task = task_forms.Task({}, columns, tuple(TOPICS), objective=objective)
    use = kind_interface.ModelInUse(task, {}, None, 0)
    return Student(registry.get(objective), use, task_settings.Settings(), False)


def teacher_of(rows, folder):
    return linear_teacher.LinearTeacher(student(), rows, str(folder))


def rows_by_chance():
    """Returns texts of random characters, with labels that do not depend on them."""
    randomness = np.random.RandomState(1)
    texts = ["".join(chr(0x4E00 + c) for c in randomness.randint(0, 3000, 8)) for _ in range(200)]
    return [example(text, str(label)) for text, label in zip(texts, randomness.randint(0, 2, 200))]


def right(teacher, rows):
    labels = list(TOPICS)
    return np.mean([labels[teacher.target(row).argmax()] == row.label for row in rows])


def test_rows_are_not_judged_by_a_model_that_has_learnt_them(tmp_path):
    """Random labels can be memorized but not predicted, so the accuracy is that of chance."""
    labels = list(TOPICS)
    rows = [row._replace(label=labels[int(row.label)]) for row in rows_by_chance()]
    texts, classes = [row.text_a for row in rows], [labels.index(row.label) for row in rows]
    assert (linear_model.text_model().fit(texts, classes).predict(texts) == classes).all()
    teacher = teacher_of(rows, tmp_path)
    teacher.prepare(rows)
    assert 0.3 < right(teacher, rows) < 0.65
    probabilities = np.exp([teacher.target(row) for row in rows])
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-6)
    # Since nothing can be predicted, no probability is far from the labels' shares.
    assert np.abs(probabilities - 0.5).max() < 0.3


def test_rows_are_not_judged_by_a_model_that_has_learnt_them_written_otherwise(tmp_path):
    """Texts that only differ in punctuation, spaces or character width are in the same fold."""
    labels = list(TOPICS)
    rows = [row._replace(label=labels[int(row.label)]) for row in rows_by_chance()]
    forms = ["%s", "%s。", " %s　！"]
    written = [row._replace(text_a=form % row.text_a) for row in rows for form in forms]
    teacher = teacher_of(written, tmp_path)
    teacher.prepare(written)
    assert teacher.num_computed == 600 and 0.3 < right(teacher, written) < 0.65
    # The key keeps targets that were cached with other folds from being used.
    assert set(teacher.about) - set(teacher_of(rows, tmp_path).about) == {"folds"}


def test_topics_are_learnt_and_read_from_disk_the_next_time(tmp_path, monkeypatch):
    rows = [example("%s%d" % (t, i), label) for i in range(10) for label, t in TOPICS.items()]
    others = [example("昨天的足球"), example("今天的股票")]
    teacher = teacher_of(rows, tmp_path)
    teacher.prepare(others)
    teacher.prepare(rows + others)
    assert teacher.num_computed == len(rows) + len(others)
    assert right(teacher, rows) == 1
    assert [teacher.target(row).argmax() for row in others] == [0, 1]
    monkeypatch.setattr(linear_model, "text_model", None)
    again = teacher_of(rows, tmp_path)
    again.prepare(rows + others)
    assert again.num_computed == 0
    np.testing.assert_array_equal(again.target(rows[3]), teacher.target(rows[3]))
    with pytest.raises(TypeError):  # with other rows it is another teacher
        teacher_of(rows[1:], tmp_path).prepare(rows[:1])


def test_a_text_with_several_labels_has_the_most_frequent_one(tmp_path):
    rows = [example("%s%d" % (t, i), label) for i in range(10) for label, t in TOPICS.items()]
    further = [example("一句话", "财经"), example("一句话", "体育"), example("一句话", "财经")]
    assert (
        teacher_of(rows + further, tmp_path).about == teacher_of(rows + further[:1], tmp_path).about
    )


@pytest.mark.parametrize(
    "of_student",
    [student(columns=task_forms.PAIR), student(objective="multi_label")],
)
def test_other_tasks_are_refused(tmp_path, of_student):
    with pytest.raises(
        UserError, match="--teachers=linear: supports only single texts with one label"
    ):
        linear_teacher.LinearTeacher(of_student, [], str(tmp_path))


@pytest.mark.parametrize(
    "rows",
    [["进球 体育", "上市 财经"], ["进球 体育", "上市 财经", "射门 体育", "股票 财经"]]
    + [["上市 财经", "进球 体育", "射门 体育", "足球 体育", "比赛 体育"]],
)
def test_too_few_texts_are_refused(tmp_path, rows):
    """Four texts leave a fold empty; in the last case, removing one text leaves a single label."""
    rows, number = [example(*row.split()) for row in rows], len(rows)
    message = (
        "--teachers=linear: %d different texts in train: expected at least 5, with two or more "
        "labels left when any fifth of them is held out: add texts, or leave this teacher out"
        % number
    )
    with pytest.raises(UserError) as caught:
        teacher_of(rows, tmp_path).prepare(rows)
    assert str(caught.value) == message


def test_it_needs_scikit_learn(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(UserError, match="scikit-learn is not installed: pip install scikit-learn"):
        teacher_of([], tmp_path)
