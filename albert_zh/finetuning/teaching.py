"""Learning from teachers: what is prepared and shown before the first step."""

from albert_zh.common.errors import UserError
from albert_zh.common.messages import say
from albert_zh.distillation import soft_targets, teacher_weights, unlabelled
from albert_zh.distillation.teachers import Student, open_teacher


class Teaching:
    """The teachers of a run, checked, with the targets of all its rows.

    Attributes:
        examples: training rows, labelled ones first.
        soft: `soft_targets.SoftTargets`.
        fingerprint: {name: JSON value} of what makes the run another one.
    """

    def __init__(self, setup, train):
        """Prepares the targets and shows how good the teachers are.

        Args:
            setup: `setup.Setup`, with data and settings.
            train: `input_examples.Split` of the rows that are trained on.

        Raises:
            UserError: for teachers that do not fit.
        """
        self._options, self._setup = setup.options, setup
        is_symmetric = bool(getattr(setup.options, "swap_pairs", False))
        self._student = Student(setup.kind, setup.in_use({}), setup.settings, is_symmetric)
        others = self._unlabelled(train)
        self.examples = train.examples + (others.examples if others else [])
        dev = setup.splits["dev"].examples if "dev" in setup.splits else []
        dev = [example for example in dev if example.label is not None]
        folder = self._options.teacher_cache
        self._teachers = [
            open_teacher(path, self._student, folder) for path in self._options.teachers
        ]
        scores = None
        if dev:
            scores = soft_targets.DevScores(self._student, self._options, dev)
        else:
            say("note: no labelled dev rows: the teachers are not scored")
        of_teachers = [self._prepare(teacher, dev, scores) for teacher in self._teachers]
        weights = self._weights(scores, of_teachers)
        self.soft = soft_targets.SoftTargets(self._student, self._teachers, weights)
        self.fingerprint = dict(
            self.soft.fingerprint,
            unlabelled=others.sha256 if others else None,
            distill_weight=self._options.distill_weight,
        )

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
        )
        for line in read.lines:
            say(line)
        return read

    def _prepare(self, teacher, dev, scores):
        """Makes a teacher's targets; those of dev first, so that a bad one is found soon.

        Returns:
            its score on dev; None where it has none.
        """
        score = None
        if scores is not None and teacher.has_texts:
            teacher.prepare(dev)
            score, constant = scores.of([teacher], [1.0])
            self._check_score(teacher, score, constant)
        teacher.prepare(self.examples)
        return score

    def _check_score(self, teacher, score, constant):
        """Raises `UserError` for a teacher of which nothing can be learnt."""
        metric = self._setup.kind.usual_metrics[0]
        least, what = constant or (0.0, "nothing")
        if score < least or not score > 0:
            raise UserError(
                "--teachers=%s: dev %s %.4f, predicting %s for every row has %.4f: is it trained "
                "for this task? leave it out" % (teacher.name, metric, score, what, least)
            )

    def _weights(self, scores, of_teachers):
        """The teachers' weights; shows them, and the scores on dev."""
        weights = teacher_weights.checked_weights(
            self._options.teacher_weights, len(self._teachers)
        )
        if weights is None:
            unscored = [t.name for t, s in zip(self._teachers, of_teachers) if s is None]
            if unscored:
                raise UserError(
                    "--teacher_weights=auto: %s has no rows of dev to fit it on: give numbers"
                    % unscored[0]
                )
            weights = scores.fitted_weights(self._teachers)
        metric = self._setup.kind.usual_metrics[0]
        for number, (teacher, score, weight) in enumerate(
            zip(self._teachers, of_teachers, weights), start=1
        ):
            shown = "not scored on dev" if score is None else "dev %s %.4f" % (metric, score)
            made = "%d targets computed, " % teacher.num_computed if teacher.num_computed else ""
            say("teacher %d: %s, %sweight %.3f: %s", number, shown, made, weight, teacher.name)
        if scores is not None and None not in of_teachers:
            averaged = scores.of(self._teachers, weights)[0]
            say("teachers, averaged: dev %s %.4f", metric, averaged)
        return weights
