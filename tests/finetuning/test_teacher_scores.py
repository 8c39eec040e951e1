"""Scores of teachers before the first step (on dev, else train), and which ones are refused."""

import json
import os
import types

from absl import flags
import numpy as np
import pytest

from albert_zh.common.errors import UserError
from albert_zh.distillation import teachers
from albert_zh.distillation.teacher_files import TeacherFile
from albert_zh.finetuning.teaching import Teaching
from albert_zh.tasks import kind_interface, registry, settings, task_forms
from albert_zh.tasks.input_examples import InputExample, Split
from albert_zh.text.tokenization import FullTokenizer
import small_models
from workspace import Workspace, flags_of

LABELS = "0110100101"  # labels of the rows, five of each
SURE = {"0": (0.9123, 0.0877), "1": (0.0877, 0.9123)}


def examples(name, labels):
    texts = ["今天气很好我们去吃饭"[: row + 1] for row in range(len(labels))]
    rows = enumerate(zip(texts, labels))
    return [InputExample("%s-%d" % (name, n), text, name, label) for n, (text, label) in rows]


class Lesson:
    """The setup of a run with train and dev rows, and files of teachers that know the labels."""

    def __init__(self, folder):
        self.space = Workspace(folder)
        tokenizer = FullTokenizer(self.space.vocab)
        task = task_forms.Task({}, ("text_a", "text_b", "label"), ("0", "1"))
        self.setup = types.SimpleNamespace(
            kind=registry.get("single_label"), task=task, settings=settings.Settings()
        )
        use = kind_interface.ModelInUse(task, {}, tokenizer, 16)
        self.setup.in_use = lambda notes: use
        self.setup.data = types.SimpleNamespace(fingerprint=lambda name: {})
        rows = {"train": LABELS, "dev": LABELS[:4]}
        self.setup.splits = {
            name: Split(name, name, examples(name, labels), True, ())
            for name, labels in rows.items()
        }

    def numbers(self, answers, name="numbers.tsv"):
        """Writes a file of probabilities for these labels, in the order of the training rows."""
        return self.space.write(name, "".join("%g\t%g\n" % SURE[label] for label in answers))

    def texts(self):
        """Writes a file with the texts and probabilities of all rows."""
        rows = [row for split in self.setup.splits.values() for row in split.examples]
        lines = [
            {"text_a": r.text_a, "text_b": r.text_b, "probabilities": SURE[r.label]} for r in rows
        ]
        return self.space.write("texts.jsonl", "\n".join(map(json.dumps, lines)))

    def teach(self, *teachers, **changes):
        with flags_of(self.space.arguments(teachers=",".join(teachers), **changes)):
            self.setup.options = flags.FLAGS
            return Teaching(self.setup, self.setup.splits["train"])


@pytest.fixture(name="lesson")
def lesson_fixture(tmp_path):
    return Lesson(tmp_path)


def test_numbers_without_texts_are_scored_on_train(lesson, capsys):
    path = lesson.numbers("0" + LABELS[1:8] + "11")  # one of ten is wrong
    lesson.teach(path, lesson.texts())
    shown = capsys.readouterr().out.splitlines()
    assert "teacher 1: train accuracy 0.9000, weight 0.500, temperature 1: %s" % path in shown
    assert any(line.startswith("teacher 2: dev accuracy 1.0000") for line in shown)
    assert any(line.startswith("teachers, averaged: train accuracy") for line in shown)


def test_teachers_with_texts_are_averaged_on_dev(lesson, capsys):
    lesson.teach(lesson.texts(), lesson.texts())
    assert "teachers, averaged: dev accuracy 1.0000" in capsys.readouterr().out


def test_columns_in_the_wrong_order_are_refused(lesson):
    path = lesson.numbers("".join("10"[int(label)] for label in LABELS))
    message = (
        'train accuracy 0.0000, predicting the label "." for every row has 0.5000: is it trained '
    )
    message += (
        "for this task, and are lists of numbers in the order of the labels .0, 1.. leave it out"
    )
    with pytest.raises(UserError, match=message) as caught:
        lesson.teach(path)
    assert "\n" not in str(caught.value) and "--teachers=%s:" % path in str(caught.value)


def test_numbers_without_texts_are_scored_where_there_is_no_dev(lesson, capsys):
    del lesson.setup.splits["dev"]
    lesson.teach(lesson.numbers(LABELS), lesson.texts())
    shown = capsys.readouterr().out
    assert "note: no labelled dev rows" in shown and "teacher 1: train accuracy 1.0000" in shown
    assert "teacher 2: train accuracy 1.0000" in shown


def test_teachers_of_texts_without_labels_are_not_scored(lesson, capsys):
    """Regression: the output claimed that such teachers were scored on training rows."""
    path = lesson.texts()
    del lesson.setup.splits["dev"]
    train = lesson.setup.splits["train"]
    unlabelled = [example._replace(label=None) for example in train.examples]
    lesson.setup.splits["train"] = train._replace(examples=unlabelled, has_labels=False)
    lesson.teach(path)
    shown = capsys.readouterr().out
    assert "teacher 1: not scored" in shown and "scored on training rows" not in shown


def test_numbers_without_texts_need_a_dev_file(lesson):
    """If dev is split from train, the seed decides to which rows the numbers belong."""
    lesson.setup.data.fingerprint = lambda name: {"dev_share": 0.1, "dev_seed": 2}
    with pytest.raises(
        UserError, match="has numbers but no texts, .* expected a file with the tex"
    ):
        lesson.teach(lesson.numbers(LABELS))
    lesson.teach(lesson.texts())


def test_a_teacher_that_is_as_good_as_a_constant_is_reported(lesson, capsys):
    lesson.teach(lesson.numbers("0" * len(LABELS)))
    shown = capsys.readouterr().out
    assert (
        "train accuracy 0.5000 is the score of predicting" in shown and "teacher 1: train" in shown
    )
    lesson.teach(lesson.numbers("0" * 4 + LABELS[4:], "better.tsv"))  # two of ten are wrong
    assert "is the score of predicting" not in capsys.readouterr().out


def test_weights_are_not_fitted_to_training_rows(lesson):
    with pytest.raises(UserError, match="=auto: .*numbers.tsv has no dev rows to fit it on"):
        lesson.teach(lesson.numbers(LABELS), lesson.texts(), teacher_weights="auto")


class Asked:
    """Wraps a teacher, which then is no `TeacherFile`; records how many rows it is prepared for."""

    def __init__(self, teacher):
        self._teacher, self.num_rows = teacher, []

    def __getattr__(self, name):
        return getattr(self._teacher, name)

    def prepare(self, examples):
        self.num_rows.append(len(examples))
        self._teacher.prepare(examples)


def test_a_teacher_of_weight_0_is_scored_alone(lesson, monkeypatch, capsys):
    asked = []

    def opened(*arguments):
        asked.append(Asked(teachers.open_teacher(*arguments)))
        return asked[-1]

    monkeypatch.setattr("albert_zh.finetuning.teaching.open_teacher", opened)
    path = lesson.texts()
    taught = lesson.teach(path, path, teacher_weights="0,1")
    assert [teacher.num_rows for teacher in asked] == [[4], [4, len(LABELS)]]  # dev; dev and train
    assert "teacher 1: dev accuracy 1.0000, weight 0.000" in capsys.readouterr().out
    assert taught.soft.mixture.weights == [0.0, 1.0]
    asked.clear()
    lesson.teach(path, path)
    assert [teacher.num_rows for teacher in asked] == [[4, len(LABELS)]] * 2


def test_temperatures_are_fitted_to_dev_where_several_teachers_have_it(lesson):
    wrong = "1" + LABELS[1:4]  # of 4 dev rows 3 are right: the best probability is 3/4
    rows = [
        {"text_a": r.text_a, "text_b": r.text_b, "probabilities": SURE[label]}
        for split, labels in (("train", LABELS), ("dev", wrong))
        for r, label in zip(lesson.setup.splits[split].examples, labels)
    ]
    path = lesson.space.write("unsure.jsonl", "\n".join(map(json.dumps, rows)))
    mixture = lesson.teach(path, lesson.texts()).soft.mixture
    odds = SURE["0"][0] / SURE["0"][1]
    assert mixture.temperatures[0] == pytest.approx(np.log(odds) / np.log(3), rel=1e-3)
    assert mixture.temperatures[1] == pytest.approx(0.5, rel=1e-3)  # right on all: the lower bound
    alone = lesson.teach(path).soft
    assert alone.mixture.temperatures == [1.0]
    assert "temperatures" not in alone.fingerprint  # so that runs of earlier versions resume
    fitted = lesson.teach(path, teacher_temperatures="auto").soft.mixture.temperatures
    assert fitted == pytest.approx(mixture.temperatures[:1])
    given = lesson.teach(path, path, teacher_temperatures="2,3").soft
    assert given.mixture.temperatures == given.fingerprint["temperatures"] == [2.0, 3.0]
    record = {}
    given.add_to(lesson.setup.splits["dev"].examples[1], [record])
    logits = np.log(SURE[LABELS[1]])
    softened = [np.exp(logits / t) / np.exp(logits / t).sum() for t in (2, 3)]
    found = np.exp(record["teacher_logits"])
    np.testing.assert_allclose(found / found.sum(), np.mean(softened, axis=0), rtol=1e-5)


@pytest.mark.parametrize(
    "of_teacher, is_warned",
    [({}, False), ({"dev_seed": 3}, False)]
    + [({"dev_seed": 1}, True), ({"dev_share": "0: on all rows"}, True)],
)
def test_teachers_that_may_have_learnt_dev_rows(lesson, capsys, monkeypatch, of_teacher, is_warned):
    here = {"dev_share": "0.1, by groups of shared texts", "dev_seed": 3}
    lesson.setup.data = types.SimpleNamespace(fingerprint=lambda name: here)
    monkeypatch.setattr(TeacherFile, "set_aside", of_teacher)
    temperatures = lesson.teach(lesson.texts(), lesson.texts()).soft.mixture.temperatures
    assert ("it was trained on rows that are dev here" in capsys.readouterr().out) == is_warned
    assert temperatures == ([1.0, 1.0] if is_warned else pytest.approx([0.5, 0.5], rel=1e-3))


def test_what_a_models_notes_say_of_dev_rows(tmp_path):
    notes = {"objective": "single_label", "dev_share": "0.1", "dev_seed": 2}
    folder = small_models.write_model(tmp_path / "model", settings=notes)
    assert teachers._set_aside(folder) == {"dev_share": "0.1", "dev_seed": 2}
    assert teachers._set_aside(os.path.join(folder, "vocab.txt")) == {}


def test_temperatures_are_not_fitted_to_training_rows(lesson):
    mixture = lesson.teach(lesson.numbers(LABELS), lesson.texts()).soft.mixture
    assert mixture.temperatures == [1.0, 1.0]
    with pytest.raises(
        UserError, match="--teacher_temperatures=auto: .*numbers.tsv has no dev rows"
    ):
        lesson.teach(lesson.numbers(LABELS), lesson.texts(), teacher_temperatures="auto")


def test_few_of_many_training_rows_are_scored(lesson, capsys, monkeypatch):
    monkeypatch.setattr("albert_zh.finetuning.teaching._MOST_TRAIN_ROWS", 4)
    other = {"0": "1", "1": "0"}
    answers = [other[label] if row % 3 else label for row, label in enumerate(LABELS)]
    lesson.teach(lesson.numbers(answers))  # only every third row is right, and scored
    assert "teacher 1: train accuracy 1.0000" in capsys.readouterr().out


def test_values_on_another_scale_are_reported(lesson, capsys):
    """A correlation does not reveal that values are 1 to 5 for labels of 0 and 1."""
    use = lesson.setup.in_use({})
    task = use.task._replace(labels=("score",), objective="regression")
    lesson.setup.in_use = lambda notes: use._replace(task=task)
    lesson.setup.kind, lesson.setup.task = registry.get("regression"), task
    scales = {"same.tsv": (1.0, 0.1), "other.tsv": (4.0, 1.0)}
    for name, (factor, offset) in scales.items():
        values = "".join("%g\n" % (factor * int(label) + offset) for label in LABELS)
        lesson.teach(lesson.space.write(name, values))
        shown = capsys.readouterr().out
        assert "teacher 1: train pearson 1.0000" in shown
        message = "mean squared error of its values on train 8.5, of the labels' mean 0.25: are"
        assert (message in shown) == (name == "other.tsv")


def test_how_alike_student_and_teachers_are(lesson):
    """The labels of dev are 0 1 1 0, and the teacher's probabilities are those in SURE."""
    teaching = lesson.teach(lesson.texts(), lesson.texts(), teacher_temperatures="1")
    setup = lesson.setup
    with flags_of(lesson.space.arguments()):
        scorer = setup.kind.scorer(setup.in_use({}), setup.settings, setup.options)
        for example, probability in zip(
            setup.splits["dev"].examples, (0.9123, 0.0877, 0.5001, 0.6)
        ):
            logits = np.log([probability, 1 - probability])
            scorer.add(example, [{"logits": logits}])
        found = teaching.likeness(scorer)
    p = 0.9123
    third, fourth = ((1 - p, 0.5001), (p, 0.6))
    expected = sum(
        a * np.log(a / b) + (1 - a) * np.log((1 - a) / (1 - b)) for a, b in (third, fourth)
    )
    assert found["teacher_accuracy"] == 1.0 and found["teacher_agreement"] == 0.75
    np.testing.assert_allclose(found["teacher_divergence"], expected / 4, rtol=1e-6)
    assert lesson.teach(lesson.numbers(LABELS)).likeness(scorer) == {}  # no dev rows


def test_divergence_of_labels_and_distance_of_values():
    p, q = np.array([[0.8, 0.3], [0.5, 0.5]]), np.array([[0.5, 0.3], [0.5, 0.9]])
    student, teachers = (
        types.SimpleNamespace(probabilities=x, decided=lambda x=x: (x >= 0.5).astype(int))
        for x in (q, p)
    )
    found = registry.get("multi_label").distillation.likeness(student, teachers)
    expected = 0.8 * np.log(1.6) + 0.2 * np.log(0.4) + 0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(5)
    assert found["teacher_agreement"] == 1.0
    np.testing.assert_allclose(found["teacher_divergence"], expected / 2, rtol=1e-6)
    values = registry.get("regression").distillation.likeness(
        *(types.SimpleNamespace(decided=lambda x=x: np.array(x)) for x in ([1.0, 2.0], [1.0, 4.0]))
    )
    assert values == {"teacher_squared_distance": 2.0}
