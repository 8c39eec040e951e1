"""A linear teacher (TF-IDF of character n-grams, linear SVM), trained on the run's own rows.

teacher = LinearTeacher(student, train.examples, "out/teacher_targets")
teacher.prepare(examples)
teacher.target(example)           # float32 [C], logarithms of probabilities

On its own training rows, a linear model just repeats the labels. The targets of training rows are
therefore out-of-fold predictions: each comes from a model that was trained without that text, and
without texts that differ from it only in character width, case, blanks or punctuation.
"""

import collections
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from albert_zh.common.errors import UserError
from albert_zh.common.progress import progress_bar
from albert_zh.distillation import linear_model, target_cache
from albert_zh.tasks.distillation import log_softmax
from albert_zh.tasks.tables import text_groups

VERSION = 1  # of the contents of targets; changing it makes cached targets stale
FOLDS = 5
# Candidates for the factor that turns margins into logits.
FACTORS = np.exp(np.linspace(np.log(0.5), np.log(20), 60))
ROWS_PER_CHUNK = 8192


class LinearTeacher:
    """A linear model that is trained on a run's training rows.

    Attributes:
        name: "linear".
        about: {name: JSON value} that its targets depend on.
        num_computed: number of texts whose targets were not cached on disk.
        has_texts: True; see `TeacherFile`.
        set_aside: {}, since it is never trained on dev rows; see `ModelTeacher`.
    """

    name = linear_model.NAME
    has_texts = True
    set_aside: Dict[str, Any] = {}

    def __init__(self, student: Any, examples: Sequence[Any], folder: str) -> None:
        """Opens the cached targets; the model is only trained if a target is missing.

        Args:
            student: `teachers.Student`.
            examples: the training rows.
            folder: folder in which targets are cached.

        Raises:
            UserError: if a linear model cannot learn the task, the rows have no labels, or
                scikit-learn is missing.
        """
        _check_task(student)
        if all(example.label is None for example in examples):
            raise UserError(
                "--teachers=%s: it is trained on the training rows, which have no labels: leave it "
                "out" % linear_model.NAME
            )
        labels = list(student.use.task.labels)
        self._texts, self._classes = _unique_texts(examples, labels)
        self._margins = np.zeros([0, len(labels)])  # out-of-fold margins [n, C]
        self._model, self._factor, self.num_computed = None, 1.0, 0
        rows = list(zip(self._texts, self._classes.tolist()))
        self.about = {
            "version": VERSION,
            "linear": target_cache.digest_of({"rows": rows}),
            "labels": labels,
        }
        self._groups = _groups_of(self._texts)
        if len(set(self._groups)) < len(self._texts):  # otherwise as in earlier versions
            self.about["folds"] = "of texts that differ in more than their writing"
        self._cache = target_cache.TargetCache(folder, self.about)

    def prepare(self, examples: Sequence[Any]) -> None:
        """Computes the targets that are not cached on disk.

        Args:
            examples: examples as `TaskType.read_split` returns them.
        """
        by_texts = {target_cache.texts_of(example): example.text_a for example in examples}
        missing = self._cache.missing(list(by_texts))
        self.num_computed += len(missing)
        if missing and self._model is None:
            self._train()
        for start in range(0, len(missing), ROWS_PER_CHUNK):
            rows = missing[start : start + ROWS_PER_CHUNK]
            targets = self._logits([by_texts[row] for row in rows])
            self._cache.add(rows, list(targets.astype(np.float32)))

    def target(self, example: Any) -> np.ndarray:
        """Returns the target of an example that `prepare` has seen."""
        return self._cache.get(*target_cache.texts_of(example))

    def _train(self):
        """Trains one model per fold for its held-out texts, and one on all texts for new texts."""
        texts, num_classes = np.array(self._texts, object), self._margins.shape[1]
        num_groups = max(self._groups) + 1
        folds = (np.random.RandomState(0).permutation(num_groups) % FOLDS)[self._groups]
        self._check_can_be_parted(folds, num_groups)
        margins = np.zeros([len(texts), num_classes])
        with progress_bar("linear model", FOLDS + 1, "fit", leave=False) as bar:
            for fold in range(FOLDS):
                rest = folds != fold
                model = linear_model.text_model().fit(texts[rest], self._classes[rest])
                margins[~rest] = linear_model.margins_of(model, texts[~rest], num_classes)
                bar.update(1)
            self._model = linear_model.text_model().fit(texts, self._classes)
            bar.update(1)
        self._margins, self._factor = margins, fitted_factor(margins, self._classes)

    def _check_can_be_parted(self, folds, num_groups):
        """Raises `UserError` for too few texts, or if the rest of a fold has only one label."""
        rests = [np.unique(self._classes[folds != fold]) for fold in range(FOLDS)]
        if num_groups < FOLDS or min(map(len, rests)) < 2:
            raise UserError(
                "--teachers=%s: %d different texts in train: expected at least %d, with two or "
                "more labels left when any fifth of them is held out: add texts, or leave this "
                "teacher out" % (linear_model.NAME, num_groups, FOLDS)
            )

    def _logits(self, texts):
        """Log-probabilities [n, C] of texts; those of training texts are out-of-fold."""
        places = {text: place for place, text in enumerate(self._texts)}
        known = [place for place, text in enumerate(texts) if text in places]
        others = [place for place, text in enumerate(texts) if text not in places]
        margins = np.zeros([len(texts), self._margins.shape[1]])
        margins[known] = self._margins[[places[texts[place]] for place in known]]
        if others:
            new = np.array([texts[place] for place in others], object)
            margins[others] = linear_model.margins_of(self._model, new, margins.shape[1])
        return log_softmax(self._factor * margins)


def fitted_factor(margins: np.ndarray, classes: np.ndarray) -> float:
    """Finds the factor at which margins, used as logits, make the gold classes most probable.

    Args:
        margins: float [n, C].
        classes: gold classes, int [n].
    """
    rows = np.arange(len(classes))
    losses = [-log_softmax(factor * margins)[rows, classes].mean() for factor in FACTORS]
    return float(FACTORS[int(np.argmin(losses))])


def _check_task(student):
    """Raises `UserError` if a linear model cannot learn the task, or scikit-learn is missing."""
    rules = student.kind.rules
    has_one_label = rules.has_classes and not rules.has_several_labels
    is_classification = student.kind.is_classification and has_one_label
    if not is_classification or "text_b" in student.use.task.columns:
        raise UserError(
            "--teachers=%s: supports only single texts with one label each, but this task has "
            "others: leave it out" % linear_model.NAME
        )
    try:
        import sklearn  # noqa: F401  (reports early that it is missing)
    except ImportError as error:
        raise UserError(
            "--teachers=%s: scikit-learn is not installed: pip install scikit-learn"
            % linear_model.NAME
        ) from error


def _unique_texts(examples, labels) -> Tuple[List[str], np.ndarray]:
    """Returns the distinct texts, and the index of each one's most frequent label."""
    counts: Dict[str, Any] = collections.OrderedDict()
    for example in examples:
        counts.setdefault(example.text_a, collections.Counter())[example.label] += 1
    numbers = {label: number for number, label in enumerate(labels)}
    classes = [numbers[of_text.most_common(1)[0][0]] for of_text in counts.values()]
    return list(counts), np.array(classes)


def _groups_of(texts) -> List[int]:
    """Returns a group number per text; texts that differ only in their writing share a group."""
    numbers: Dict[str, int] = {}
    return [numbers.setdefault(text_groups.normalized(text), len(numbers)) for text in texts]
