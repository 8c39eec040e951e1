"""How a model is fine-tuned: settings of its head, loss and optimizer."""

import collections
from typing import Any, Dict

from albert_zh.common.errors import UserError
from albert_zh.model.checkpoints import fine_tuning_notes
from albert_zh.model.distillation_losses import DIVERGENCE
from albert_zh.model.optimization import WEIGHT_DECAY_RATE
from albert_zh.tasks.distillation import PROBABILITIES

# Fields that flags of the same name set for every kind of task.
COMMON_SETTINGS = (
    "optimizer layer_decay freeze_encoder rdrop_alpha fgm_epsilon classifier_rate_factor "
    "weight_decay"
).split()


Settings = collections.namedtuple(
    "Settings",
    "objective pooling class_weights label_smoothing focal_gamma rdrop_alpha fgm_epsilon "
    "layer_decay freeze_encoder loss_scale optimizer multi_label_loss classifier_rate_factor "
    "initial_bias head weight_decay distill_weight temperature distill_loss "
    "teacher_average scope_rate_factors",
    defaults=(
        "single_label",
        "cls",
        None,
        0.0,
        0.0,
        0.0,
        0.0,
        1.0,
        False,
        1.0,
        "adamw",
        "sum",
        1.0,
        None,
        {},
        WEIGHT_DECAY_RATE,
        0.0,
        1.0,
        DIVERGENCE,
        PROBABILITIES,
        {},
    ),
)
Settings.__doc__ = """How the head of a task is built, and how the model is trained.

Fields:
    objective: name of the kind of task.
    pooling: pooling of a classifier, one of `fine_tuning_notes.POOLINGS`.
    class_weights: list of float, one per class, by which the losses of its examples are multiplied
        (in a multi-label task: the losses of its positive examples); None for 1.
    label_smoothing: share of a label's probability that is spread over all classes.
    focal_gamma: exponent of focal loss (Lin et al. 2017).
    rdrop_alpha: weight of R-Drop's divergence (Liang et al. 2021); 0: a single pass without it.
    fgm_epsilon: norm of FGM's change of the word table (Miyato et al. 2017); 0 for none.
    layer_decay: factor of the learning rate from each depth of the encoder to the depth below.
    freeze_encoder: whether only pooler and classifier are trained.
    loss_scale: factor by which the loss is multiplied, so that small gradients do not underflow in
        float16; gradients are divided by it in float32 (Micikevicius et al. 2017).
    optimizer: a key of `optimization.OPTIMIZERS`.
    multi_label_loss: "sum" or "mean", how the losses of the labels of an example are combined.
    classifier_rate_factor: factor of the classifier's learning rate.
    initial_bias: list of float, initial values of the classifier's bias, see `prior_logits`; None
        for zeros.
    head: {name: JSON value} of settings that only one kind of task has, see `KindFlags.head`.
    weight_decay: share of the weights that is subtracted per step, times its learning rate.
    distill_weight: weight w of the loss against teachers' targets; the loss on labels has the
        weight 1 - w. 0 without teachers.
    temperature: the temperature by which the logits of teachers and student are divided.
    distill_loss: one of `DISTILL_LOSSES`.
    teacher_average: one of `distillation.TEACHER_AVERAGES`.
    scope_rate_factors: {variable scope: factor of the learning rate of its variables}.
"""


def of_notes(notes: Dict[str, Any]) -> Settings:
    """The settings of a model that is used without training.

    Args:
        notes: content of its fine_tuning.json; empty for a classifier that has none.
    """
    return Settings(
        objective=notes.get("objective", "single_label"),
        pooling=notes.get("pooling", "cls"),
        head=notes.get("head", {}),
    )


def check(settings: Any) -> None:
    """Raises `UserError` for invalid settings."""
    rules = (
        (
            "pooling",
            settings.pooling in fine_tuning_notes.POOLINGS,
            "one of " + ", ".join(fine_tuning_notes.POOLINGS),
        ),
        ("label_smoothing", 0 <= settings.label_smoothing < 1, "0 or more and below 1"),
        ("focal_gamma", settings.focal_gamma >= 0, "0 or more"),
        ("rdrop_alpha", settings.rdrop_alpha >= 0, "0 or more"),
        ("fgm_epsilon", settings.fgm_epsilon >= 0, "0 or more"),
        ("layer_decay", 0 < settings.layer_decay <= 1, "more than 0 and at most 1"),
        ("weight_decay", 0 <= settings.weight_decay < 1, "0 or more and below 1"),
        (
            "classifier_rate_factor",
            0 < settings.classifier_rate_factor < float("inf"),
            "more than 0",
        ),
    )
    for name, is_sensible, expected in rules:
        if not is_sensible:
            raise UserError(
                "--%s: %s is invalid, expected %s" % (name, getattr(settings, name), expected)
            )
    if settings.freeze_encoder and settings.fgm_epsilon:
        raise UserError("--fgm_epsilon changes the word table, which --freeze_encoder freezes")
