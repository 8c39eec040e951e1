"""Defines and checks the flags of the pre-training commands."""

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
    "do_whole_word_mask": True,  # as in Google's records; for --masking=dynamic
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
    ("string", "eval_file", None, "TFRecord files of held-out text for evaluation."),
    ("string", "vocab_file", None, "Vocabulary file; by default the one in the config's folder."),
    ("string", "export_dir", None, "Folder to write the trained model to."),
    ("integer", "max_predictions_per_seq", 20, "Maximum number of predictions per sequence."),
    ("integer", "num_train_steps", 100000, "Number of training steps."),
    ("integer", "num_warmup_steps", 10000, "Number of steps of learning rate warm-up."),
    ("integer", "max_eval_steps", 100, "Maximum number of evaluation steps."),
    ("float", "poly_power", 1.0, "Power of the learning rate decay; 1 is linear."),
    ("integer", "start_warmup_step", 0, "Step at which the warm-up begins."),
    ("integer", "gradient_accumulation_steps", 1, "Number of parts to split each batch into."),
    (
        "boolean",
        "init_from_group0",
        False,
        "Whether to initialize all groups from group 0 of --init_checkpoint.",
    ),
    ("boolean", "warm_start", False, "Whether to use initial weights that learn faster."),
    ("boolean", "pack_by_length", True, "Whether to batch sequences of similar length together."),
    (
        "boolean",
        "skip_nan_steps",
        False,
        "Whether to skip and count steps whose gradients are not finite.",
    ),
    ("boolean", "skip_corrupt_records", False, "Whether to skip and count damaged records."),
    ("float", "masked_lm_prob", 0.15, "Share of pieces to mask in records without masks."),
    ("float", "masked_lm_budget", 0.0, "If above 0, used instead of --masked_lm_prob."),
    ("boolean", "do_whole_word_mask", False, "Whether to mask whole words."),
    ("integer", "ngram", 1, "Maximum number of consecutive words to mask."),
    ("boolean", "span", False, "Whether to mask spans of up to 10 words."),
    (
        "boolean",
        "count_records",
        True,
        "Whether to count the records of --input_file before the first step, by their .count files "
        "if there are any; if false, a resumed run first reads through all records it has used.",
    ),
    (
        "integer",
        "input_lanes",
        0,
        "Number of lanes into which a new run splits its records for the hosts that read them; 0: "
        "the number of hosts. Runs with equally many lanes use the same records in each step.",
    ),
    (
        "integer",
        "eval_timeout",
        0,
        "Seconds for which --do_eval without --do_train waits for the next checkpoint of a run in "
        "another process; 0: it evaluates the newest checkpoint and ends.",
    ),
)


def define_flags(**defaults: Any) -> None:
    """Defines the flags of a pre-training command.

    Args:
        **defaults: defaults that replace the usual ones.
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
        "Whether to draw the replacement per masked piece or per span, in records without masks.",
    )
    flags.DEFINE_enum("optimizer", "lamb", sorted(optimization.OPTIMIZERS), "The optimizer.")
    path_rules.serve_remote(FLAGS, _REMOTE)


def define_google_flags() -> None:
    """Defines the flags of Google's commands, with their defaults."""
    define_flags(**_GOOGLE_DEFAULTS)


def check_flags(options: flags.FlagValues) -> None:
    """Checks that the flags have valid values and are compatible with each other.

    Args:
        options: the flags.

    Raises:
        UserError: for an invalid value or combination.
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
        raise UserError("--span and --ngram are mutually exclusive: leave one out")
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
