"""The flags by which a model learns from teachers."""

import os

from absl import flags as absl_flags

from albert_zh.common import storage
from albert_zh.common.errors import UserError
from albert_zh.distillation import teacher_weights
from albert_zh.model.distillation_losses import DISTILL_LOSSES, DIVERGENCE
from albert_zh.training import flag_checks

TARGETS_FOLDER = "teacher_targets"
_USUAL_WEIGHT, _USUAL_TEMPERATURE = 0.9, 2.0
_TABLE = (
    (
        "list",
        "teachers",
        None,
        "Teachers whose outputs are learnt: fine-tuned model folders of any layout, size and "
        "vocabulary, SavedModels, .tflite files, Hugging Face folders, files of logits or "
        "probabilities (docs/distillation.md).",
    ),
    (
        "list",
        "teacher_weights",
        None,
        "Shares of the teachers in their average, or auto: fitted on dev; equal if left out.",
    ),
    (
        "list",
        "unlabelled_file",
        None,
        "With --teachers files (or patterns) of texts without labels, in the form of the test "
        "file: they are learnt from the teachers alone.",
    ),
    (
        "float",
        "distill_weight",
        _USUAL_WEIGHT,
        "With --teachers the share of their loss; the rest is the labels'.",
    ),
    (
        "float",
        "temperature",
        _USUAL_TEMPERATURE,
        "With --teachers what all logits are divided by in their loss.",
    ),
    (
        "enum",
        "distill_loss",
        DIVERGENCE,
        "With --teachers their loss: Kullback-Leibler divergence, squared distance of logits, or "
        "TinyBERT's cross-entropy, a mean over classes.",
    ),
    (
        "string",
        "teacher_cache",
        None,
        "Folder for the teachers' outputs, which runs share; OUTPUT_DIR/%s by default."
        % TARGETS_FOLDER,
    ),
)
_LISTS = tuple(name for kind, name, _, _ in _TABLE if kind == "list")
_NEED_TEACHERS = ("teacher_weights", "unlabelled_file", "teacher_cache")


def define_flags(options):
    """Defines the flags.

    Args:
        options: `absl.flags.FlagValues`.
    """
    for kind, name, default, help_text in _TABLE:
        choices = [DISTILL_LOSSES] if kind == "enum" else []
        define = getattr(absl_flags, "DEFINE_" + kind)
        define(name, default, *choices, help_text, flag_values=options)


def check_flags(options, kind):
    """Raises `UserError` for flags that make no sense.

    Args:
        options: the flags.
        kind: the kind of task.
    """
    _check_lists(options)
    if not options.teachers:
        given = [name for name in _NEED_TEACHERS if options[name].value]
        given += [n for n in ("distill_weight", "temperature") if options[n].present]
        if given:
            raise UserError("--%s is for --teachers, which is not given: add it" % given[0])
        return
    if not options.do_train:
        raise UserError("--teachers: nothing is trained: add --do_train=true, or leave it out")
    flag_checks.require_positive(options, ["temperature"])
    if not 0 < options.distill_weight <= 1:
        raise UserError(
            "--distill_weight=%s: expected more than 0 and at most 1" % options.distill_weight
        )
    if kind.distillation is None:
        raise UserError("--teachers: a task of the kind %s cannot be distilled" % kind.name)
    if options.distill_loss not in kind.distillation.loss_names:
        raise UserError(
            "--distill_loss=%s: a task of the kind %s has %s"
            % (options.distill_loss, kind.name, ", ".join(kind.distillation.loss_names))
        )
    best = storage.joined(storage.normalized(options.output_dir), "best")
    for path in options.teachers:
        if storage.normalized(path) in (best, os.path.dirname(best)):
            raise UserError(
                "--teachers=%s: the student would replace it: name another --output_dir" % path
            )
    weights = teacher_weights.checked_weights(options.teacher_weights, len(options.teachers))
    if weights is None and not options.do_eval:
        raise UserError("--teacher_weights=auto is fitted on dev: add --do_eval=true")


def _check_lists(options):
    """Raises `UserError` for lists that are given and have an empty value."""
    for name in _LISTS:
        given = options[name].value
        if given is not None and not (given and all(given)):
            raise UserError(
                "--%s=%s: found an empty value: name one, or leave the flag out"
                % (name, ",".join(given))
            )


def take_usual_cache(options):
    """Sets `--teacher_cache` where it is not given: one for all runs of --seeds and --search."""
    if options.teachers and not options.teacher_cache:
        options.teacher_cache = os.path.join(options.output_dir, TARGETS_FOLDER)
