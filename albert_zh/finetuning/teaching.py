"""Distillation from teachers: prepares targets and reports teacher scores before training."""

from typing import TYPE_CHECKING, Dict

from albert_zh.common.errors import UserError
from albert_zh.common.messages import say
from albert_zh.distillation import linear_model, linear_teacher, mixtures, soft_targets, unlabelled
from albert_zh.distillation.teacher_files import TeacherFile
from albert_zh.distillation.teachers import Student, open_teacher
from albert_zh.tasks import reader

if TYPE_CHECKING:
    from albert_zh.finetuning.setup import Setup
    from albert_zh.tasks.input_examples import Split
    from albert_zh.tasks.scorer import Scorer

_SHOWN_LABELS = 12
_CHECKED = {
    "teacher_weights": mixtures.checked_weights,
    "teacher_temperatures": mixtures.checked_temperatures,
}
_MOST_TRAIN_ROWS = 10000  # maximum number of training rows that are scored


class Teaching:
    """The checked teachers of a run, with the targets of all its rows.

    Attributes:
        examples: training rows, labelled rows first.
        soft: `soft_targets.SoftTargets`.
        fingerprint: {name: JSON value} of the settings that distinguish this run from other runs.
    """

    def __init__(self, setup: "Setup", train: "Split") -> None:
        """Prepares the targets and reports the scores of the teachers.

        Args:
            setup: setup of the run, with data and settings.
            train: the training rows.

        Raises:
            UserError: if a teacher does not fit the task or the data.
        """
        self._read_rows(setup, train)
        self._labelled = {name: _labelled(setup, name, train) for name in ("dev", "train")}
        self._scores = {}
        self._teachers = [self._opened(path, train) for path in self._options.teachers]
        if self._labelled["train"] and not self._labelled["dev"]:
            why = "no labelled dev rows" if self._options.do_eval else "without --do_eval=true"
            say("note: %s: teachers are scored on training rows", why)
        self._know_dev = [self._warns_of_known_dev(teacher) for teacher in self._teachers]
        self._check_before_computing()
        of_teachers = [self._scored(teacher) for teacher in self._teachers]
        for teacher in self._learnt_from():
            teacher.prepare(self.examples)
        self.soft = soft_targets.SoftTargets(self._student, self._mixture(of_teachers))
        self.fingerprint = dict(
            self.soft.fingerprint,
            unlabelled=self._others.sha256 if self._others else None,
            distill_weight=self._options.distill_weight,
        )

    def _read_rows(self, setup, train):
        """Collects the training rows; rows without labels come last."""
        self._options, self._setup = setup.options, setup
        is_symmetric = bool(getattr(setup.options, "swap_pairs", False))
        self._student = Student(setup.kind, setup.in_use({}), setup.settings, is_symmetric)
        self._others = self._unlabelled(train)
        self.examples = train.examples + (self._others.examples if self._others else [])

    def _opened(self, path, train):
        folder = self._options.teacher_cache
        if path == linear_model.NAME:
            return linear_teacher.LinearTeacher(self._student, train.examples, folder)
        return open_teacher(path, self._student, folder)

    def _unlabelled(self, train):
        if not self._options.unlabelled_file:
            return None
        splits = self._setup.splits
        held_out = [e for name in splits if name != "train" for e in splits[name].examples]
        read = unlabelled.read_unlabelled(
            self._options.unlabelled_file,
            self._setup.kind,
            self._setup.task,
            self._options.encoding,
            train.examples,
            held_out,
            is_symmetric=self._student.is_symmetric,
        )
        for line in read.lines:
            say(line)
        return reader.in_both_orders(read) if self._student.is_symmetric else read

    def _learnt_from(self):
        """The teachers to learn from; teachers with an explicit weight of 0 are only scored."""
        given = mixtures.checked_weights(self._options.teacher_weights, len(self._teachers))
        weights = given or [None] * len(self._teachers)
        return [teacher for teacher, weight in zip(self._teachers, weights) if weight != 0]

    def _split_of(self, teachers):
        """The name of the split that teachers are scored on; None if no row has a label.

        Teachers that are files without texts only have outputs for the rows of train.
        """
        with_texts = all(teacher.has_texts for teacher in teachers)
        name = "dev" if with_texts and self._labelled["dev"] else "train"
        return name if self._labelled[name] else None

    def _scores_on(self, split):
        if split not in self._scores:
            self._scores[split] = soft_targets.TeacherScores(
                self._student, self._options, self._labelled[split]
            )
        return self._scores[split]

    def _check_before_computing(self):
        """Finds errors in files and flags before a model computes its targets."""
        for teacher in self._teachers:
            if not teacher.has_texts:
                self._check_order_is_known(teacher)
            if isinstance(teacher, TeacherFile):
                teacher.prepare(self.examples)
        for name in ("teacher_weights", "teacher_temperatures"):
            given, check = self._options[name].value, _CHECKED[name]
            if given and check(given, len(self._teachers)) is None:
                self._require_dev(name)

    def _scored(self, teacher):
        """Computes a teacher's targets for the scored rows first, to find a bad teacher early.

        Returns:
            text that shows its score.
        """
        split = self._split_of([teacher])
        if split is None:
            return "not scored"
        if teacher.has_texts:
            teacher.prepare(self._labelled[split])
        return self._checked_score(teacher, split)

    def _check_order_is_known(self, teacher):
        """Raises `UserError` for outputs without texts if a seed determines the dev rows."""
        if "dev_seed" in self._setup.data.fingerprint("train"):
            raise UserError(
                "--teachers=%s: has numbers but no texts, while rows of the training file are set "
                "aside as dev by a seed: expected a file with the texts (predictions.tsv), or a "
                "dev file in --data_dir" % teacher.name
            )

    def _checked_score(self, teacher, split):
        """Text that shows its score; raises `UserError` if nothing can be learnt from it."""
        metric = self._setup.kind.usual_metrics[0]
        score, constant = self._scores_on(split).of(mixtures.single(teacher))
        least, what = constant or (0.0, "nothing")
        if score < least or not score > 0:
            raise UserError(
                "--teachers=%s: %s %s %.4f, predicting %s for every row has %.4f: is it trained "
                "for this task%s? leave it out"
                % (teacher.name, split, metric, score, what, least, self._order_of_labels(teacher))
            )
        if score == least:
            say(
                "warning: --teachers=%s: %s %s %.4f is the score of predicting %s for every row: "
                "was the teacher trained long enough? Look at its report, or leave it out",
                *(teacher.name, split, metric, score, what),
            )
        if self._setup.kind.distillation.learns_values:
            self._check_scale(teacher, split)
        return "%s %s %.4f" % (split, metric, score)

    def _order_of_labels(self, teacher):
        """A question to the user about lists of numbers, which have no label names."""
        if not isinstance(teacher, TeacherFile) or not self._setup.kind.rules.has_classes:
            return ""
        labels = ", ".join(self._setup.task.labels[:_SHOWN_LABELS])
        return ", and are lists of numbers in the order of the labels (%s)" % labels

    def _check_scale(self, teacher, split):
        """Reports values that are too far from the labels to be on the same scale.

        If values have the mean and variance of the labels and any positive correlation with them,
        their mean squared error is below twice the variance.
        """
        error, of_mean = self._scores_on(split).squared_errors(teacher)
        if error > 2 * of_mean:
            say(
                "warning: --teachers=%s: mean squared error of its values on %s %.4g, of the "
                "labels' mean %.4g: are they on the labels' scale? The student learns them "
                "unchanged: rescale them",
                *(teacher.name, split, error, of_mean),
            )

    def _warns_of_known_dev(self, teacher):
        """Whether a teacher was trained with other dev rows, so it may have seen these; warns."""
        here = self._setup.data.fingerprint("dev")
        for name, value in teacher.set_aside.items():
            if here.get(name, value) != value:
                say(
                    "warning: --teachers=%s: its %s was %s, here it is %s: if it was trained on "
                    "these data, it was trained on rows that are dev here and its scores on them "
                    "are too high: add a dev file, or train all with one --dev_seed, or with "
                    "--seeds",
                    *(teacher.name, name, value, here[name]),
                )
                return True
        return False

    def _mixture(self, of_teachers):
        """The teachers with weights and temperatures; prints them and the scores."""
        temperatures = self._temperatures()
        mixture = mixtures.Mixture(self._teachers, self._weights(temperatures), temperatures)
        for number, (shown, teacher, weight, temperature) in enumerate(
            zip(of_teachers, *mixture), start=1
        ):
            made = "%d targets computed, " % teacher.num_computed if teacher.num_computed else ""
            say(
                "teacher %d: %s, %sweight %.3f, temperature %.3g: %s",
                *(number, shown, made, weight, temperature, teacher.name),
            )
        split = self._split_of(self._teachers)
        if split:
            averaged = self._scores_on(split).of(mixture)[0]
            metric = self._setup.kind.usual_metrics[0]
            say("teachers, averaged: %s %s %.4f", split, metric, averaged)
        return mixture

    def _temperatures(self):
        """The temperatures of the teachers: from the flag, or fitted on dev."""
        given = self._options.teacher_temperatures
        temperatures = mixtures.checked_temperatures(given, len(self._teachers))
        if temperatures is not None:
            return temperatures
        can_be_fitted = (
            self._setup.kind.distillation.logit_columns
            and self._split_of(self._teachers) == "dev"
            and len(self._teachers) > 1
            and not any(self._know_dev)
        )
        if given:
            self._require_dev("teacher_temperatures")
        elif not can_be_fitted:
            return [1.0] * len(self._teachers)
        return [self._scores_on("dev").fitted_temperature(teacher) for teacher in self._teachers]

    def _weights(self, temperatures):
        """The weights of the teachers: from the flag, or fitted on dev."""
        weights = mixtures.checked_weights(self._options.teacher_weights, len(self._teachers))
        if weights is not None:
            return weights
        self._require_dev("teacher_weights")
        return self._scores_on("dev").fitted_weights(self._teachers, temperatures)

    def _require_dev(self, name):
        """Raises `UserError` if a flag cannot be fitted: a teacher has no (unseen) dev rows."""
        unscored = [t.name for t in self._teachers if self._split_of([t]) != "dev"]
        if unscored:
            raise UserError(
                "--%s=auto: %s has no dev rows to fit it on: give numbers" % (name, unscored[0])
            )
        if any(self._know_dev):
            raise UserError(
                "--%s=auto: a teacher may have been trained on the dev rows that it is fitted on "
                "(see the warning above): give numbers" % name
            )

    def likeness(self, scorer: "Scorer") -> Dict[str, float]:
        """{name: figure} that measure the agreement of student and teachers on dev.

        Args:
            scorer: the kind's scorer with the student's outputs for dev.
        """
        if self._split_of(self._teachers) != "dev" or len(scorer) != len(self._labelled["dev"]):
            return {}
        averaged = self._scores_on("dev").scorer_of(self.soft.mixture)
        metric = self._setup.kind.usual_metrics[0]
        figures = self._setup.kind.distillation.likeness(scorer, averaged)
        return dict({"teacher_" + metric: averaged.values([metric])[metric]}, **figures)


def _labelled(setup, name, train):
    """The labelled rows of a split for scoring teachers; of train, a sample of them."""
    split = train if name == "train" else setup.splits.get(name)
    rows = [example for example in split.examples if example.label is not None] if split else []
    return rows[:: 1 + len(rows) // _MOST_TRAIN_ROWS] if name == "train" else rows


class WithoutTeachers(Teaching):
    """Stands in for `Teaching` before the teachers exist: it only reads the rows.

    Attributes:
        examples: as in `Teaching`.
        soft, fingerprint: None and {}.
    """

    def __init__(self, setup: "Setup", train: "Split") -> None:
        """Reads the rows; arguments as in `Teaching`."""
        self._read_rows(setup, train)
        self.soft = None  # type: ignore[assignment] # only `likeness` needs it, after training
        self.fingerprint = {}
