"""Flags that only text generation has."""

import math
from typing import Any, Dict, List, Optional

from absl import flags

from albert_zh.common import storage, validation
from albert_zh.common.errors import UserError
from albert_zh.tasks import kind_interface, model_width
from albert_zh.tasks.generation import damage, objectives
from albert_zh.tasks.generation.damage import DAMAGES
from albert_zh.text import tokenization

KIND = "generation"
RATE_OF_NARROW = 5e-4
SPECIAL = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
_TABLE = (
    ("string", "train_file", None, "Training file, instead of --data_dir."),
    ("string", "dev_file", None, "Dev file, by which the best checkpoint is chosen."),
    ("string", "predict_file", None, "Test file, for which the best model generates targets."),
    (
        "integer",
        "max_target_length",
        32,
        "Maximum number of tokens of a target, including its end token; the source gets the rest "
        "of --max_seq_length.",
    ),
    (
        "list",
        "tasks",
        objectives.PREFIX_LM,
        "Training objectives that are combined, as NAME or NAME:WEIGHT: %s. Exactly one of "
        "prefix_lm and masked_targets, which generate text, is required; masked_lm and "
        "removed_positions may be added." % ", ".join(objectives.OBJECTIVES),
    ),
    (
        "float",
        "label_smoothing",
        0.1,
        "Share of a target token's probability that is spread over the whole vocabulary.",
    ),
    (
        "float",
        "target_mask_prob",
        0.0,
        "prefix_lm: share of the target's tokens that are corrupted in the input (80 % [MASK], "
        "10 % a random word), so that the model relies more on the source. masked_targets: share "
        "of the target's tokens that are predicted, by default 0.7.",
    ),
    (
        "string",
        "damage",
        None,
        "Train on raw text, one sentence per line and a blank line between documents. bart: each "
        "text is generated from a corrupted copy of it; mass: one half of it is generated from "
        "the other.",
    ),
    (
        "integer",
        "damage_copies",
        1,
        "With --damage: number of corrupted copies of each text, each with other random draws.",
    ),
)
_HEAD = ("max_target_length", "label_smoothing", "target_mask_prob")
_SHARE_OF_MASKED_TARGETS = 0.7  # as in UniLM for summarization
_SHARE = validation.number(least=0, below=1)
_TOKENS = "pad unk cls sep mask".split()
# The values of these flags that fine_tuning.json contains.
_HEAD_KIND = validation.record(
    {
        "max_target_length": validation.integer(2),
        "label_smoothing": _SHARE,
        "target_mask_prob": _SHARE,
        "tasks": validation.record(others=validation.number(above=0)),
        "damage": validation.record(
            {
                "way": validation.one_of(*damage.DAMAGES),
                "seed": validation.or_none(validation.integer()),
                "longest": validation.integer(1),
            }
        ),
        "token_ids": validation.record(
            dict.fromkeys(_TOKENS, validation.integer(0)), required=_TOKENS
        ),
    },
    required=("max_target_length", "token_ids"),
)


class GenerationFlags(kind_interface.KindFlags):
    """Flags of run_seq2seq.py."""

    help_of_task = "Task: seq2seq, pairs of texts."
    head_kind = _HEAD_KIND
    fixed = (
        "max_target_length",
        "tasks",
        "label_smoothing",
        "target_mask_prob",
        "damage",
        "damage_copies",
    )

    def define(self, options: Any) -> None:
        for kind, name, default, help_text in _TABLE:
            getattr(flags, "DEFINE_" + kind)(name, default, help_text, flag_values=options)

    def check(self, options: Any) -> None:
        kind_interface.refuse_given(
            options,
            ["text_b_column"],
            "rows have a source (--text_column) and a target (--label_column): leave it out",
        )
        task_weights(options.tasks)
        for name in ("train_file", "dev_file", "predict_file"):
            path = options[name].value
            if path and not storage.is_file(path):
                raise UserError("--%s=%s: no such file" % (name, path))
        for name in ("label_smoothing", "target_mask_prob"):
            if not 0 <= options[name].value < 1:
                raise UserError(
                    "--%s=%g: expected 0 or more and below 1" % (name, options[name].value)
                )
        longest = options.max_seq_length // 2
        if options.do_train and not 2 <= options.max_target_length <= longest:
            raise UserError(
                "--max_target_length=%d: expected 2 to %d, half of --max_seq_length=%d"
                % (options.max_target_length, longest, options.max_seq_length)
            )
        if options.rdrop_alpha:
            raise UserError("--rdrop_alpha is for predictions of classes: leave it out")
        if options.use_tpu:
            raise UserError(
                "--use_tpu: batches of variable length are not supported on TPUs: train on GPUs "
                "or a CPU"
            )
        _check_damage(options)

    def check_task(self, options: Any, task: Any) -> None:
        config = model_width.config_of(options)
        if config.type_vocab_size < 2:
            raise UserError(
                "%s: type_vocab_size is %d, expected 2: source and target are separate "
                "segments" % (options.bert_config_file, config.type_vocab_size)
            )
        if options.damage == "mass" and config.use_relative_position:
            raise UserError(
                "--damage=mass keeps the text's positions, and %s has use_relative_position: give "
                "--damage=bart" % options.bert_config_file
            )

    def files(self, options: Any) -> Dict[str, str]:
        given = {"train": options.train_file, "dev": options.dev_file, "test": options.predict_file}
        return {split: path for split, path in given.items() if path}

    def head(self, options: Any) -> Dict[str, Any]:
        head: Dict[str, Any] = {name: options[name].value for name in _HEAD}
        tokenizer = tokenization.FullTokenizer(
            options.vocab_file, options.do_lower_case, options.spm_model_file
        )
        head["tasks"] = task_weights(options.tasks)
        if objectives.MASKED_TARGETS in head["tasks"] and not options["target_mask_prob"].present:
            head["target_mask_prob"] = _SHARE_OF_MASKED_TARGETS
        if options.damage:
            lengths = (options.max_seq_length, options.max_target_length)
            head["damage"] = damage.settings(options.damage, options.seed, *lengths)
        head["token_ids"] = token_ids(tokenizer, options.spm_model_file or options.vocab_file)
        return head

    def usual_rate(self, options: Any) -> Optional[float]:
        return RATE_OF_NARROW if model_width.is_narrow(options) else None


def task_weights(given: List[str]) -> Dict[str, float]:
    """{objective: weight} of --tasks; raises `UserError` for invalid entries."""
    weights = {}
    for entry in given:
        name, _, weight = entry.strip().partition(":")
        if name in weights:
            raise UserError("--tasks: %s is named twice: leave one out" % name)
        try:
            weights[name] = float(weight or 1.0)
        except ValueError:
            weights[name] = math.nan
        if name not in objectives.OBJECTIVES or not 0 < weights[name] < math.inf:
            raise UserError(
                "--tasks: %r, expected NAME or NAME:WEIGHT, a weight above 0 and a name of %s"
                % (entry, ", ".join(objectives.OBJECTIVES))
            )
    if len(set(objectives.WRITING) & set(weights)) != 1:
        raise UserError(
            "--tasks: expected exactly one of %s among them, to generate the targets"
            % " and ".join(objectives.WRITING)
        )
    return weights


def _check_damage(options):
    if not options.damage:
        if options["damage_copies"].present:
            raise UserError("--damage_copies requires --damage: add it, or leave this out")
        return
    ways = ", ".join(sorted(DAMAGES))
    if options.damage not in DAMAGES:
        raise UserError("--damage=%s: expected one of %s" % (options.damage, ways))
    if options.damage_copies < 1:
        raise UserError("--damage_copies=%d: expected 1 or more" % options.damage_copies)
    further = sorted(set(task_weights(options.tasks)) - set(objectives.WRITING))
    if further:
        raise UserError(
            "--damage and --tasks=%s are mutually exclusive: the source is already a "
            "corrupted text" % ",".join(further)
        )
    for name in ("text_column", "label_column"):
        if options[name].value:
            raise UserError("--%s: raw text (--damage) has no columns: leave it out" % name)


def token_ids(tokenizer: Any, vocab_file: str) -> Dict[str, int]:
    """{name: id} of the special tokens.

    Args:
        tokenizer: `FullTokenizer`.
        vocab_file: path, for error messages.

    Raises:
        UserError: for a vocabulary without them.
    """
    missing = [token for token in SPECIAL.values() if token not in tokenizer.vocab]
    if missing:
        raise UserError(
            "%s has no %s: expected a vocabulary of BERT's form" % (vocab_file, ", ".join(missing))
        )
    ids = {name: tokenizer.vocab[token] for name, token in SPECIAL.items()}
    if ids["pad"]:
        raise UserError(
            "%s has %s in line %d: expected it in the first line: padding has the id 0"
            % (vocab_file, SPECIAL["pad"], ids["pad"] + 1)
        )
    return ids
