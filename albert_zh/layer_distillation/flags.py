"""Flags of the layer distillation commands, including the names that TinyBERT's programs use."""

import os
from typing import Any, Dict, Optional, Sequence, Tuple

from absl import flags

from albert_zh.common.errors import UserError, naming
from albert_zh.common.messages import say
from albert_zh.layer_distillation.distiller import LOSSES, DistillationSettings, Distiller
from albert_zh.layer_distillation.teacher import Teacher, folder_of_model
from albert_zh.model.checkpoints import model_folder
from albert_zh.text import tokenization

# Old flags that have no effect, with the reason or the replacement.
_WITHOUT_EFFECT = {
    "reduce_memory": "data is never loaded into memory as a whole",
    "data_url": "name the data by --data_dir or --input_file",
    "local_rank": "several machines are named by TF_CONFIG (--distribution=multi_worker)",
}
_TABLE: Tuple[Tuple[str, str, Any, str], ...] = (
    ("string", "teacher_model", None, "Teacher: a model folder, or the output folder of a run."),
    ("string", "student_model", None, "Student: a folder with its config and any initial weights."),
    (
        "list",
        "losses",
        ["attention", "hidden"],
        "What is compared: %s; relations (MiniLM) allow different numbers of heads."
        % ", ".join(LOSSES),
    ),
    (
        "list",
        "layers",
        [],
        "Compared depths as STUDENT:TEACHER, such as 0:0,2:6,4:12; by default every depth of the "
        "student is compared with the teacher's depth at the same fraction of its layers.",
    ),
    (
        "boolean",
        "tie_projections",
        False,
        "Whether all layers share one fit_dense, which projects the states of a student to the "
        "width of the teacher.",
    ),
    (
        "boolean",
        "compatible",
        False,
        "Whether to use TinyBERT's own losses, faults included: padding counts, losses are summed "
        "over layers, there is one fit_dense, the teacher has dropout, and the loss of predictions "
        "is a mean over classes.",
    ),
    ("float", "weight_decay", 0.01, "Weight decay of the optimizer."),
    ("integer", "eval_step", None, "Old name of --save_checkpoints_steps."),
    ("boolean", "no_cuda", False, "Whether to compute without GPUs."),
    ("boolean", "fp16", False, "Old name of --precision=mixed_float16."),
    ("boolean", "reduce_memory", False, "Old flag without an effect."),
    ("string", "data_url", None, "Old flag without an effect."),
    ("integer", "local_rank", -1, "Old flag without an effect."),
)


def define(options: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags that both layer distillation commands have."""
    for kind, name, default, help_text in _TABLE:
        if name in options:
            continue  # such as --weight_decay of fine-tuning
        define_one = getattr(flags, "DEFINE_" + kind)
        define_one(name, default, help_text, flag_values=options)


def take_old_flags(options: flags.FlagValues, renamed: Dict[str, str]) -> None:
    """Copies the values of flags with old names to the flags that replaced them.

    Args:
        options: the flags.
        renamed: {old name: current name}, in addition to the renamed flags of both commands.

    Raises:
        UserError: if both names were given with different values.
    """
    for old, name in dict(renamed, eval_step="save_checkpoints_steps").items():
        if not options[old].present:
            continue
        _check_agree(options, old, name, options[old].value)
        take(options, name, options[old].value)
    if options.fp16:
        _check_agree(options, "fp16", "precision", "mixed_float16")
        take(options, "precision", "mixed_float16")
    if options.no_cuda:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # CUDA has not looked at the devices yet
    for name, reason in _WITHOUT_EFFECT.items():
        if options[name].present:
            say("note: --%s has no effect: %s", name, reason)


def _check_agree(options, old, name, value):
    """Raises `UserError` if a flag and its old name were given with different values."""
    if options[name].present and options[name].value != value:
        raise UserError("--%s is --%s by its old name: give one of them" % (old, name))


def take(options: flags.FlagValues, name: str, value: Any) -> None:
    """Sets a flag as if the user had given it."""
    options[name].value = value
    options[name].present += 1


def make_distiller(
    options: flags.FlagValues, config: Any, vocab_file: Optional[str], label_weight: float = 0.0
) -> Distiller:
    """Creates the `Distiller` that the flags describe.

    Args:
        options: the flags.
        config: `AlbertConfig` of the student.
        vocab_file: the student's vocabulary, or None.
        label_weight: see `DistillationSettings`.

    Raises:
        UserError: if the teacher cannot teach the student.
    """
    teacher = Teacher(options.teacher_model)
    if vocab_file is None:
        raise UserError(
            "--vocab_file is required: there is no vocabulary next to the student's config, and "
            "the teacher's pieces depend on it"
        )
    tokenizer = tokenization.FullTokenizer(vocab_file, options.do_lower_case)
    _check_length(options.max_seq_length, teacher, tokenizer)
    settings = DistillationSettings(
        tuple(options.losses),
        tuple(options.layers),
        options.tie_projections,
        options.compatible,
        label_weight,
        options.weight_decay,
    )
    return Distiller(teacher, config, tokenizer, settings)


def _check_length(length: int, teacher: Teacher, tokenizer: tokenization.FullTokenizer) -> None:
    """Raises `UserError` for rows that are too long for a teacher of the same vocabulary.

    If the vocabularies differ, rows are truncated to the teacher's positions instead.
    """
    longest = teacher.config.longest_sequence
    if tokenizer.sha256 == teacher.tokenizer.sha256 and length > longest:
        raise UserError(
            "--max_seq_length=%d: the teacher %s has %d positions: expected at most as many"
            % (length, teacher.path, longest)
        )


def take_case_of_teacher(options: flags.FlagValues) -> None:
    """Sets --do_lower_case to what the teacher was trained with, if the flag is not given."""
    if not options["do_lower_case"].present:
        with naming("--teacher_model"):
            notes = model_folder.open_folder(folder_of_model(options.teacher_model)).notes
        options["do_lower_case"].value = notes.get("do_lower_case", True)
        if not options.do_lower_case:
            say(
                "note: letters keep their case, as in %s: give --do_lower_case=true if the "
                "student's vocabulary has no capitals",
                options.teacher_model,
            )


def check(options: flags.FlagValues, required: Sequence[str]) -> None:
    """Raises `UserError` for distillation flags that are missing or invalid."""
    for name in required:
        if not options[name].value:
            raise UserError(
                "--%s is required (%s)" % (name, options[name].help.strip().rstrip("."))
            )
    unknown = [kind for kind in options.losses if kind not in LOSSES]
    if unknown or not options.losses:
        raise UserError(
            "--losses=%s: expected some of %s" % (",".join(options.losses), ", ".join(LOSSES))
        )
    if not 0 <= options.weight_decay < 1:
        raise UserError("--weight_decay=%g: expected 0 or more and below 1" % options.weight_decay)
    if options.recompute:
        raise UserError(
            "--recompute does not keep the attention scores, which are distilled: leave it out"
        )
    if options.use_tpu:
        raise UserError("--use_tpu: a teacher in the graph runs on CPU and GPU: leave it out")
