"""Flags of the pre-training commands, and what they must be."""

from typing import Any

from absl import flags

from albert_zh.common import config_flag, files, path_rules
from albert_zh.common.errors import UserError
from albert_zh.corpus import masking
from albert_zh.model import optimization
from albert_zh.pretraining import objective_flags
from albert_zh.training import flag_checks
from albert_zh.training import flags as run_flags

FLAGS = flags.FLAGS
_GOOGLE_DEFAULTS = {
    "max_seq_length": 512,
    "do_train": True,
    "train_batch_size": 4096,
    "eval_batch_size": 64,
    "num_train_steps": 125000,
    "num_warmup_steps": 3125,
    "save_checkpoints_steps": 5000,
    "do_whole_word_mask": True,  # as google's records have it; for --masking=dynamic
    "ngram": 3,
    "eval_timeout": 7200,
}
_REMOTE = (
    "input_file",
    "eval_file",
    "vocab_file",
    "bert_config_file",
    "init_checkpoint",
    "output_dir",
    "export_dir",
)
_TABLE = (
    ("string", "input_file", None, "TFRecord files; patterns, separated by commas."),
    ("string", "eval_file", None, "TFRecord files of held-out text, to evaluate on."),
    ("string", "vocab_file", None, "Vocabulary; that beside the config if left out."),
    ("string", "export_dir", None, "Folder to write the trained model to."),
    ("integer", "max_predictions_per_seq", 20, "The most pieces to predict in a sequence."),
    ("integer", "num_train_steps", 100000, "Steps of training."),
    ("integer", "num_warmup_steps", 10000, "Of these, steps in which the rate rises."),
    ("integer", "max_eval_steps", 100, "The most steps of an evaluation."),
    ("float", "poly_power", 1.0, "Power of the learning rate's decay; 1 is linear."),
    ("integer", "start_warmup_step", 0, "The step from which the warm-up counts."),
    ("integer", "gradient_accumulation_steps", 1, "Parts that a step's batch is worked on in."),
    (
        "boolean",
        "init_from_group0",
        False,
        "Whether all groups start from --init_checkpoint's 0.",
    ),
    ("boolean", "warm_start", False, "Whether to begin with start values that learn sooner."),
    ("boolean", "pack_by_length", True, "Whether batches have sequences of like length."),
    (
        "boolean",
        "skip_nan_steps",
        False,
        "Leave out steps that are not finite, and count them.",
    ),
    ("boolean", "skip_corrupt_records", False, "Leave out damaged records, and count them."),
    ("float", "masked_lm_prob", 0.15, "Share of the pieces to mask, of unmasked records."),
    ("float", "masked_lm_budget", 0.0, "If above 0, the same as --masked_lm_prob."),
    ("boolean", "do_whole_word_mask", False, "Whether words are masked whole."),
    ("integer", "ngram", 1, "The most words to mask in a row."),
    ("boolean", "span", False, "Whether to mask spans of up to 10 words."),
    (
        "boolean",
        "count_records",
        True,
        "Count the records of --input_file before the first step, by the .count files beside them "
        "where there are any; false: not at all, and a resumed run reads what it has seen again.",
    ),
    (
        "integer",
        "input_lanes",
        0,
        "Lanes that the records of a new run are parted into for the hosts that read them; 0: as "
        "many as hosts. Runs with equal lanes have the same records in each step.",
    ),
    (
        "integer",
        "eval_timeout",
        0,
        "Seconds that --do_eval without --do_train waits for the next checkpoint of a run "
        "elsewhere; 0: it evaluates the newest one and ends.",
    ),
)


def define_flags(**defaults: Any) -> None:
    """Defines the flags of a pre-training command.

    Args:
        **defaults: defaults in place of the usual ones.
    """
    defaults = dict({"learning_rate": None, "keep_checkpoint_max": 20}, **defaults)
    run_flags.define_run_flags(FLAGS, **defaults)
    config_flag.define("Config JSON of the model.")
    for kind, name, default, help_text in _TABLE:
        getattr(flags, "DEFINE_" + kind)(name, defaults.get(name, default), help_text)
    objective_flags.define()
    flags.DEFINE_enum(
        "replacement_method",
        "word_piece",
        masking.REPLACEMENT_METHODS,
        "Of unmasked records: what becomes of masked pieces is drawn for each, or for a whole run.",
    )
    flags.DEFINE_enum("optimizer", "lamb", sorted(optimization.OPTIMIZERS), "The optimizer.")
    path_rules.serve_remote(FLAGS, _REMOTE)


def define_google_flags() -> None:
    """Defines the flags of google's commands, with their defaults."""
    define_flags(**_GOOGLE_DEFAULTS)


def check_flags(options: flags.FlagValues) -> None:
    """Checks the flags' values and that they fit one another.

    Args:
        options: the flags.

    Raises:
        UserError: for a value that makes no sense.
    """
    flag_checks.require_flags(options, ["bert_config_file", "input_file", "output_dir"])
    if not (options.do_train or options.do_eval or options.export_dir):
        raise UserError("nothing to do: give --do_train=true, --do_eval=true or --export_dir")
    flag_checks.require_positive(
        options,
        "train_batch_size eval_batch_size save_checkpoints_steps iterations_per_loop num_tpu_cores "
        "max_seq_length max_predictions_per_seq num_train_steps max_eval_steps "
        "gradient_accumulation_steps masked_lm_prob ngram".split(),
    )
    flag_checks.require_at_least_0(options, ["keep_checkpoint_max", "eval_timeout", "input_lanes"])
    flag_checks.check_seed(options.seed)
    if options.export_dir and files.is_same_path(options.export_dir, options.output_dir):
        raise UserError(
            "--export_dir=%s is the --output_dir, whose checkpoints the model's would hide: name "
            "another folder" % options.export_dir
        )
    if options.init_from_group0 and not options.init_checkpoint:
        raise UserError(
            "--init_from_group0 spreads the groups of --init_checkpoint: name that, or leave it out"
        )
    _check_masking(options)
    objective_flags.check(options)
    if options.learning_rate is not None:
        flag_checks.require_positive(options, ["learning_rate"])
    _check_steps(options)


def _check_masking(options):
    if options.span and options["ngram"].present and options.ngram > 1:
        raise UserError("--span and --ngram exclude each other: leave one out")
    for name in ("masked_lm_prob", "masked_lm_budget"):
        share = getattr(options, name)
        if not 0 <= share <= 1:
            raise UserError("--%s=%g: expected a share from 0 to 1" % (name, share))


def _check_steps(options):
    if options.train_batch_size % options.gradient_accumulation_steps:
        raise UserError(
            "--train_batch_size=%d is not a multiple of --gradient_accumulation_steps=%d"
            % (options.train_batch_size, options.gradient_accumulation_steps)
        )
    if not 0 <= options.num_warmup_steps < options.num_train_steps:
        raise UserError(
            "--num_warmup_steps=%d: expected 0 or more and less than --num_train_steps=%d"
            % (options.num_warmup_steps, options.num_train_steps)
        )
