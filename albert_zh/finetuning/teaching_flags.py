"""The flags for distillation from teachers in fine-tuning."""

import os
from typing import Any

from absl import flags as absl_flags

from albert_zh.common import storage
from albert_zh.common.errors import UserError
from albert_zh.distillation import linear_model, mixtures, unlabelled
from albert_zh.model.distillation_losses import DISTILL_LOSSES, DIVERGENCE, SQUARED
from albert_zh.tasks.distillation import LOGITS, PROBABILITIES, TEACHER_AVERAGES

TARGETS_FOLDER = "teacher_targets"
_USUAL_WEIGHT, _USUAL_TEMPERATURE = 0.9, 2.0
_TABLE = (
    (
        "list",
        "teachers",
        None,
        "Teachers to distil from: fine-tuned model folders of any layout, size and vocabulary, "
        "SavedModels, .tflite files, Hugging Face folders, files of logits or probabilities, or "
        "the word linear: a linear model of character n-grams that is trained on the run's own "
        "rows (docs/distillation.md).",
    ),
    (
        "list",
        "teacher_weights",
        None,
        "Weights of the teachers in their average, or auto: fitted on dev; equal by default.",
    ),
    (
        "list",
        "teacher_temperatures",
        None,
        "Each teacher's temperature, by which its logits are divided first, or auto: fitted on dev "
        "(the default if several teachers all have outputs for dev); 1 does not change them.",
    ),
    (
        "enum",
        "teacher_average",
        PROBABILITIES,
        "How several teachers are averaged: by their probabilities at --temperature, or by their "
        "logits, as with --distill_loss=mse.",
    ),
    (
        "list",
        "unlabelled_file",
        None,
        "With --teachers: files (or patterns) of texts without labels, in the form of the test "
        "file; the student learns them from the teachers only.",
    ),
    (
        "float",
        "distill_weight",
        _USUAL_WEIGHT,
        "With --teachers: weight of the distillation loss; the rest is the labels' loss.",
    ),
    (
        "float",
        "temperature",
        _USUAL_TEMPERATURE,
        "With --teachers: temperature that divides all logits in the distillation loss.",
    ),
    (
        "enum",
        "distill_loss",
        DIVERGENCE,
        "With --teachers: the distillation loss: Kullback-Leibler divergence, squared distance of "
        "logits, or TinyBERT's cross-entropy, a mean over classes.",
    ),
    (
        "string",
        "teacher_cache",
        None,
        "Folder to cache the teachers' outputs, which runs can share; default: OUTPUT_DIR/%s."
        % TARGETS_FOLDER,
    ),
)
_LISTS = tuple(name for kind, name, _, _ in _TABLE if kind == "list")
_CHOICES = {"distill_loss": DISTILL_LOSSES, "teacher_average": TEACHER_AVERAGES}
HIGHEST_TEMPERATURE = 1000.0  # its square is a factor of a float32 loss
_NEED_TEACHERS = ("teacher_weights", "teacher_temperatures", "unlabelled_file", "teacher_cache")
_FOLDERS_OF_RUN = ("best", "seed_1", "rate_1e-05", TARGETS_FOLDER)  # in the output folder
OF_LABELS = ("class_weights", "label_smoothing", "focal_gamma")  # parts of the labels' loss
NEED_TEACHERS_IF_GIVEN = ("teacher_average", "distill_weight", "temperature", "distill_loss")


def define_flags(options: absl_flags.FlagValues) -> None:
    """Defines the flags.

    Args:
        options: flags object to define them in.
    """
    for kind, name, default, help_text in _TABLE:
        choices = [_CHOICES[name]] if kind == "enum" else []
        define = getattr(absl_flags, "DEFINE_" + kind)
        define(name, default, *choices, help_text, flag_values=options)


def check_flags(options: absl_flags.FlagValues, kind: Any) -> None:
    """Raises `UserError` for invalid flags.

    Args:
        options: the flags.
        kind: the kind of task.
    """
    _check_lists(options)
    if not options.teachers:
        given = [name for name in _NEED_TEACHERS if options[name].value]
        given += [name for name in NEED_TEACHERS_IF_GIVEN if options[name].present]
        if given:
            raise UserError("--%s requires --teachers: add it" % given[0])
        return
    if not options.do_train:
        raise UserError("--teachers: nothing is trained: add --do_train=true, or leave it out")
    _check_ranges(options)
    if kind.distillation is None:
        raise UserError("--teachers: a task of the kind %s cannot be distilled" % kind.name)
    if options.distill_loss not in kind.distillation.loss_names:
        raise UserError(
            "--distill_loss=%s: a task of the kind %s has %s"
            % (options.distill_loss, kind.name, ", ".join(kind.distillation.loss_names))
        )
    is_contradictory = options.distill_loss == SQUARED and options.teacher_average != LOGITS
    if options["teacher_average"].present and is_contradictory:
        raise UserError(
            "--teacher_average=probabilities: --distill_loss=mse averages logits: leave one of "
            "them out"
        )
    _check_have_effect(options, kind)
    if options.teacher_temperatures and not kind.distillation.logit_columns:
        raise UserError(
            "--teacher_temperatures: a task of the kind %s has values, which no temperature "
            "divides: leave it out" % kind.name
        )
    check_teachers_are_kept(options)
    _check_unlabelled_is_no_output(options)
    _check_numbers(options)


def _check_ranges(options):
    """Raises `UserError` for an invalid temperature or weight."""
    if not 0 < options.temperature <= HIGHEST_TEMPERATURE:
        raise UserError(
            "--temperature=%g: expected more than 0 and at most %g"
            % (options.temperature, HIGHEST_TEMPERATURE)
        )
    if not 0 < options.distill_weight <= 1:
        raise UserError(
            "--distill_weight=%s: expected more than 0 and at most 1" % options.distill_weight
        )


def _check_have_effect(options, kind):
    """Raises `UserError` for flags of a loss that the student is not trained with."""
    is_of_labels = [name for name in OF_LABELS if name in options and options[name].value]
    if is_of_labels and options.distill_weight == 1:
        raise UserError(
            "--%s is for the labels' loss, which --distill_weight=1 disables: lower that, or "
            "leave the flag out" % is_of_labels[0]
        )
    has_none = options.distill_loss == SQUARED or kind.distillation.learns_values
    if has_none and options["temperature"].present and options.temperature != 1:
        what = "values" if kind.distillation.learns_values else "the logits of --distill_loss=mse"
        raise UserError(
            "--temperature=%g: %s are learned unscaled: leave it out" % (options.temperature, what)
        )
    _check_average(options, kind)


def _check_average(options, kind):
    """Raises `UserError` if --teacher_average is set but makes no difference."""
    if not options["teacher_average"].present:
        return
    why = None
    if len(options.teachers) == 1:
        why = "there is only one teacher, so there is nothing to average"
    elif not kind.distillation.logit_columns:
        why = "a task of the kind %s has values, which are averaged in one way only" % kind.name
    if why:
        raise UserError("--teacher_average: %s: leave it out" % why)


def check_teachers_are_kept(options: absl_flags.FlagValues) -> None:
    """Raises `UserError` for teachers that the run would overwrite."""
    best = storage.joined(storage.normalized(options.output_dir), "best")
    for path in options.teachers or ():
        is_path = path != linear_model.NAME
        if is_path and storage.normalized(path) in (best, os.path.dirname(best)):
            raise UserError(
                "--teachers=%s: the student would replace it: name another --output_dir" % path
            )


def _check_unlabelled_is_no_output(options):
    """Raises `UserError` for a pattern that matches files which the run itself writes."""
    output = options.output_dir
    folders = [output] + [storage.joined(output, name) for name in _FOLDERS_OF_RUN]
    for pattern in options.unlabelled_file or ():
        folder = os.path.dirname(pattern) or os.curdir
        if unlabelled.is_pattern(pattern) and any(unlabelled.fits(folder, f) for f in folders):
            raise UserError(
                "--unlabelled_file=%s also matches files that the run writes to --output_dir=%s: "
                "name the texts one by one, or another --output_dir" % (pattern, output)
            )


def _check_numbers(options):
    """Raises `UserError` if weights or temperatures do not fit the teachers."""
    num_teachers = len(options.teachers)
    fitted = {
        "teacher_weights": mixtures.checked_weights(options.teacher_weights, num_teachers),
        "teacher_temperatures": mixtures.checked_temperatures(
            options.teacher_temperatures, num_teachers
        ),
    }
    for name, values in fitted.items():
        if values is None and options[name].value and not options.do_eval:
            raise UserError("--%s=auto is fitted on dev: add --do_eval=true" % name)


def _check_lists(options):
    """Raises `UserError` for lists with an empty value."""
    for name in _LISTS:
        given = options[name].value
        if given is not None and not (given and all(given)):
            raise UserError(
                "--%s=%s: contains an empty value: complete it, or leave the flag out"
                % (name, ",".join(given))
            )


def take_usual_cache(options: absl_flags.FlagValues) -> None:
    """Sets `--teacher_cache` if it is not given: one folder for all runs of --seeds, --search."""
    if options.teachers and not options.teacher_cache:
        options.teacher_cache = os.path.join(options.output_dir, TARGETS_FOLDER)
