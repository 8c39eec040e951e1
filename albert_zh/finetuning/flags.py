"""The flags of the fine-tuning commands, and checks for invalid combinations."""

import copy
import math
from typing import Any, Dict, List, Optional

from absl import flags

from albert_zh.common import config_flag, errors, path_rules
from albert_zh.common.errors import UserError
from albert_zh.common.messages import say
from albert_zh.finetuning import teaching_flags
from albert_zh.model import optimization
from albert_zh.tasks import datasets, dev_split, registry, task_forms
from albert_zh.tasks import metrics as task_metrics
from albert_zh.tasks import settings as task_settings
from albert_zh.training import flag_checks
from albert_zh.training import flags as run_flags

CLASSIFICATION = "single_label"  # the kind of task whose flags the classifier commands have
SHORTEST_SEQUENCE = 8  # [CLS] A [SEP] B [SEP] with a few tokens in it
SEARCHED_RATES = (2e-5, 6e-5, 1e-4)
# Settings that a resumed run must keep, besides the kind's flags; see `run_folder.check_same_run`.
FIXED = (
    "train_batch_size learning_rate warmup_proportion max_seq_length seed encoding skip_bad_rows"
).split() + task_settings.COMMON_SETTINGS

_TABLE = (
    (
        "string",
        "data_dir",
        None,
        "Folder with the task's files; your own data may also be a single file: the training file, "
        "or with only --do_predict the file to predict.",
    ),
    (
        "string",
        "text_column",
        None,
        "Your own data: the text column, by its name in the header (its key in JSON lines) or its "
        "position from 1; by default found by common names or by position.",
    ),
    ("string", "text_b_column", None, "Column of the second text, named as with --text_column."),
    ("string", "label_column", None, "Column of the label, named as with --text_column."),
    (
        "string",
        "vocab_file",
        None,
        "Vocabulary that the model was trained with; by default the one next to --init_checkpoint.",
    ),
    ("string", "spm_model_file", None, "A SentencePiece model, instead of --vocab_file."),
    ("boolean", "do_lower_case", True, "Whether to lower-case the input; False for cased models."),
    ("boolean", "do_predict", False, "Whether to predict the test file."),
    ("integer", "predict_batch_size", 8, "Examples per prediction step."),
    (
        "float",
        "num_train_epochs",
        3.0,
        "Number of training epochs. If it is not set and there are few rows, as many as make 1000 "
        "steps, up to 10: for multi-label tasks with the summed loss, and for your own data with "
        "models whose hidden_size is at most 384.",
    ),
    ("integer", "train_step", None, "Number of training steps, instead of --num_train_epochs."),
    ("float", "warmup_proportion", 0.1, "Fraction of the training steps used for warm-up."),
    (
        "integer",
        "warmup_step",
        None,
        "Number of warm-up steps, instead of --warmup_proportion.",
    ),
    ("enum", "optimizer", "adamw", "The optimizer."),
    (
        "string",
        "cached_dir",
        None,
        "Folder for the features, which runs on the same data can share; default: --output_dir.",
    ),
    ("string", "export_dir", None, "Folder to export the best model to, as a SavedModel."),
    (
        "string",
        "albert_hub_module_handle",
        None,
        "Not supported: modules of TensorFlow Hub are not read.",
    ),
    ("string", "encoding", "utf-8", "Encoding of the task's files."),
    ("boolean", "skip_bad_rows", False, "Skip invalid rows and report their number."),
    (
        "float",
        "dev_share",
        None,
        "Your own data without a dev file: fraction of the training rows, stratified by label, to "
        "set aside as dev; by default 0.1, for fewer than 1,000 rows more: 100 rows, but at most "
        "0.3.",
    ),
    (
        "enum",
        "dev_split",
        "groups",
        "How dev rows are chosen: groups (rows that share a text stay together, so that no dev "
        "text is trained on), or random (each row independently).",
    ),
    (
        "integer",
        "dev_seed",
        None,
        "Seed for choosing the dev rows; by default --seed, or the first of --seeds.",
    ),
    (
        "float",
        "classifier_rate_factor",
        None,
        "Factor for the learning rate of the head; by default 1, or 10 with --multi_label and "
        "--multi_label_loss=sum.",
    ),
    (
        "string",
        "best_metric",
        None,
        "Dev metric that chooses the best checkpoint; an invalid name lists the task's metrics. "
        "For classes %s (f1: of the second of two labels); by default accuracy, for multi-label "
        "tasks micro_f1, for regression pearson." % ", ".join(task_metrics.METRICS),
    ),
    (
        "integer",
        "early_stopping",
        0,
        "Stop training after this many evaluations without improvement; 0 to disable.",
    ),
    ("boolean", "keep_best", True, "Keep the best checkpoint as a model folder, OUTPUT_DIR/best."),
    (
        "float",
        "layer_decay",
        1.0,
        "Layer-wise learning-rate decay: factor from each depth of the encoder to the one below.",
    ),
    (
        "float",
        "weight_decay",
        optimization.WEIGHT_DECAY_RATE,
        "Weight decay: fraction of the weights that a step subtracts, times its learning rate.",
    ),
    ("boolean", "freeze_encoder", False, "Train only the pooler and the head."),
    (
        "integer",
        "gradient_accumulation_steps",
        1,
        "Number of parts in which a batch is processed: the same gradients with less memory.",
    ),
    ("float", "rdrop_alpha", 0.0, "Weight of R-Drop's divergence; 0 to disable, usually 1 to 5."),
    (
        "float",
        "fgm_epsilon",
        0.0,
        "Norm of FGM's perturbation of the word embeddings; 0 to disable, usually 0.5 to 1.",
    ),
    (
        "list",
        "seeds",
        None,
        "Run once per seed, each in a folder OUTPUT_DIR/seed_N, and write a table of the means.",
    ),
    (
        "boolean",
        "search",
        False,
        "Try several learning rates, each in a folder OUTPUT_DIR/rate_R, and report the best one "
        "on dev.",
    ),
    (
        "list",
        "search_rates",
        None,
        "The learning rates that --search tries; by default half, once and twice the usual rate "
        "for the kind of task and model, if there is one, else %s; without training the rates of "
        "the trained models." % ", ".join("%g" % rate for rate in SEARCHED_RATES),
    ),
)
_CHOICES = {
    "optimizer": sorted(optimization.OPTIMIZERS),
    "dev_split": list(dev_split.METHODS),
}
_REMOTE = (
    "bert_config_file cached_dir class_weights corpus_file data_dir dev_file export_dir "
    "init_checkpoint output_dir predict_file spm_model_file teacher_cache teachers train_file "
    "unlabelled_file vocab_file"
).split()
_POSITIVE = (
    "train_batch_size eval_batch_size predict_batch_size learning_rate num_train_epochs "
    "save_checkpoints_steps iterations_per_loop num_tpu_cores gradient_accumulation_steps"
).split()


def define_flags(
    family: str = CLASSIFICATION, options: flags.FlagValues = flags.FLAGS, **defaults: Any
) -> None:
    """Defines the flags of a fine-tuning command.

    Args:
        family: name of a kind of task whose additional flags the command has.
        options: where to define them.
        **defaults: defaults that replace the usual ones.
    """
    of_kind = registry.get(family).flags
    defaults = dict(of_kind.defaults, **defaults)
    run_flags.define_run_flags(options, **defaults)
    help_of_config = "Config JSON of the model; by default the one next to --init_checkpoint."
    config_flag.define(help_of_config, options)
    flags.DEFINE_string("task_name", None, of_kind.help_of_task, flag_values=options)
    for kind, name, default, help_text in _TABLE:
        choices = [_CHOICES[name]] if kind == "enum" else []
        define = getattr(flags, "DEFINE_" + kind)
        define(name, defaults.get(name, default), *choices, help_text, flag_values=options)
    teaching_flags.define_flags(options)
    of_kind.define(options)
    for name, default in defaults.items():
        options.set_default(name, default)
    path_rules.serve_remote(options, [name for name in _REMOTE if name in options])


def of_settings(family: str = CLASSIFICATION, **settings: Any) -> flags.FlagValues:
    """Creates the flags of a run that is started from Python.

    Args:
        family: as in `define_flags`.
        **settings: {flag: value}; a list for flags with several values.

    Returns:
        flags; the flags in `settings` count as set by the user.

    Raises:
        UserError: for a name that is not a flag, or a value of the wrong type.
    """
    options = flags.FlagValues()
    define_flags(family, options)
    errors.parse_flags(
        ["run"] + ["--%s=%s" % (name, _as_text(setting)) for name, setting in settings.items()],
        options,
    )
    return options


def _as_text(setting):
    return ",".join(map(str, setting)) if isinstance(setting, (list, tuple)) else setting


def with_values(options: flags.FlagValues, **values: Any) -> flags.FlagValues:
    """A copy of the flags with some values changed."""
    changed = copy.deepcopy(options)
    for name, value in values.items():
        changed[name].value = value
    return changed


def vocabulary_file(options: flags.FlagValues) -> Optional[str]:
    """Path of the vocabulary that the flags name."""
    return options.spm_model_file or options.vocab_file


def check_flags(options: flags.FlagValues, family: str = CLASSIFICATION) -> None:
    """Raises `UserError` for missing or invalid flags.

    Args:
        options: the flags.
        family: as in `define_flags`.
    """
    files = registry.get(family).flags.files(options)
    data = [] if files else ["data_dir"]
    flag_checks.require_flags(options, data + ["bert_config_file", "task_name"])
    if not options.spm_model_file:
        flag_checks.require_flags(options, ["vocab_file"])
    flag_checks.require_flags(options, ["output_dir"])
    if not (options.do_train or options.do_eval or options.do_predict):
        raise UserError("nothing to do: give --do_train=true, --do_eval=true or --do_predict=true")
    flag_checks.require_positive(options, _POSITIVE)
    flag_checks.require_at_least_0(options, ["keep_checkpoint_max", "warmup_step"])
    flag_checks.check_seed(options.seed)
    if options.dev_seed is not None:
        flag_checks.check_seed(options.dev_seed, "dev_seed")
    _check_flags_of_google(options)
    for name in ("warmup_proportion", "dev_share"):
        if options[name].value is not None and not 0 <= options[name].value < 1:
            raise UserError(
                "--%s: %s is out of range, expected 0 or more and below 1"
                % (name, options[name].value)
            )
    if options.max_seq_length < SHORTEST_SEQUENCE:
        raise UserError(
            "--max_seq_length: %d is too short, expected at least %d"
            % (options.max_seq_length, SHORTEST_SEQUENCE)
        )
    _check_early_stopping(options)
    _check_several_runs(options)
    chosen_columns(options)
    kind = kind_of(options, family)
    kind.flags.check(options)
    teaching_flags.check_flags(options, kind)
    _check_parts_of_batch(options, kind)
    _check_data_set(options, kind)
    if options.do_train:  # otherwise the model's notes name its kind
        check_best_metric(options, kind)
    task_settings.check(kind.settings(options, {}))


def _check_early_stopping(options):
    """Raises `UserError` if --early_stopping cannot work."""
    if options.early_stopping < 0:
        raise UserError("--early_stopping=%d: expected 0 (off) or more" % options.early_stopping)
    if options.early_stopping and not options.do_eval:
        raise UserError("--early_stopping needs evaluations: add --do_eval=true")
    if options.early_stopping and (options.use_tpu or options.distribution == "multi_worker"):
        raise UserError(
            "--early_stopping: with --use_tpu or --distribution=multi_worker checkpoints are "
            "evaluated only at the end: leave it out"
        )


def _check_parts_of_batch(options, kind):
    """Raises `UserError` if --gradient_accumulation_steps conflicts with other flags."""
    num_parts = options.gradient_accumulation_steps
    if num_parts == 1:
        return
    given = "--gradient_accumulation_steps=%d" % num_parts
    if options.train_batch_size % num_parts:
        raise UserError(
            "--train_batch_size=%d is not a multiple of %s" % (options.train_batch_size, given)
        )
    if options.fgm_epsilon:
        raise UserError(
            "%s and --fgm_epsilon, which needs the gradient of the whole batch before its second "
            "pass, are mutually exclusive: leave one out" % given
        )
    if not kind.rows_are_independent:
        raise UserError(
            "%s: the loss compares rows of the whole batch: use --batch_in_memory" % given
        )


def _check_several_runs(options):
    """Raises `UserError` if --seeds or --search conflicts with other flags."""
    if (options.seeds or options.search) and options.distribution == "multi_worker":
        raise UserError(
            "--distribution=multi_worker trains one model: run each of --seeds and --search by "
            "itself (--seed, --learning_rate), with a separate --output_dir"
        )
    if options["seeds"].present and not options.seeds:
        raise UserError("--seeds= is empty: expected numbers separated by commas, or leave it out")
    if options.search and options["learning_rate"].present:
        raise UserError(
            "--learning_rate and --search are mutually exclusive: --search tries the rates of "
            "--search_rates"
        )
    if options.search_rates and not options.search:
        raise UserError("--search_rates requires --search: add --search=true")
    searched_rates(options)


def searched_rates(options: flags.FlagValues) -> List[float]:
    """The learning rates that `--search` tries.

    Args:
        options: the flags, after `take_usual_rate`.

    Returns:
        the rates of `--search_rates`, else rates around the usual rate, else `SEARCHED_RATES`.

    Raises:
        UserError: if a rate is not a positive number, or is given twice.
    """
    usual = options["learning_rate"]
    if not options.search_rates:
        is_of_kind = usual.value != usual.default
        return [f * usual.value for f in (0.5, 1, 2)] if is_of_kind else list(SEARCHED_RATES)
    given = "--search_rates=%s" % ",".join(options.search_rates)
    try:
        rates = [float(rate) for rate in options.search_rates]
    except ValueError:
        rates = [-1.0]
    if not all(0 < rate < math.inf for rate in rates):
        raise UserError("%s: expected numbers above 0, separated by commas" % given)
    if len(set(rates)) < len(rates):
        raise UserError("%s: a rate is given twice" % given)
    return rates


def _check_flags_of_google(options):
    """Raises `UserError` for misuse of the flags that only Google's classifier has."""
    if options.albert_hub_module_handle:
        raise UserError(
            "--albert_hub_module_handle=%s: modules of TensorFlow Hub are not read: leave it out "
            "and name the model's files, --init_checkpoint, --albert_config_file and "
            "--spm_model_file or --vocab_file" % options.albert_hub_module_handle
        )
    if options.train_step is not None:
        flag_checks.require_positive(options, ["train_step"])
    if options.export_dir and not options.keep_best:
        raise UserError("--export_dir exports the best model: leave out --keep_best=false")
    if options.export_dir and (options.seeds or options.search):
        raise UserError("--export_dir exports one model: leave out --seeds and --search")


def chosen_columns(options: flags.FlagValues) -> Dict[str, str]:
    """{column: its name or position} of the columns that the flags name.

    Raises:
        UserError: if a column is named twice, or the columns of the task are fixed.
    """
    chosen = {column: options[flag].value for column, flag in task_forms.COLUMN_FLAGS.items()}
    chosen = {column: name.strip() for column, name in chosen.items() if name is not None}
    names = ["--" + task_forms.COLUMN_FLAGS[column] for column in chosen]
    if len(set(chosen.values())) < len(chosen) or "" in chosen.values():
        raise UserError(
            "%s: expected a different column for each, found one twice or none" % ", ".join(names)
        )
    if chosen and datasets.get_task(options.task_name).labels is not None:
        raise UserError(
            "%s: the columns of the task %s are fixed: leave it out, or use --task_name=%s"
            % (names[0], options.task_name, datasets.OWN_DATA)
        )
    return chosen


def kind_of(options: flags.FlagValues, family: str) -> Any:
    """The kind of task that the flags select.

    Args:
        options: the flags.
        family: as in `define_flags`.
    """
    return registry.get(registry.get(family).flags.kind_of(options) or family)


def _check_data_set(options, kind):
    """Raises `UserError` if the kind of the data set is not the command's kind."""
    task = datasets.get_task(options.task_name)
    is_own = task.labels is None
    has_flags_of_kind = isinstance(kind.flags, type(registry.type_of(task).flags))
    if kind.name != task.objective and not (
        is_own and (has_flags_of_kind or task.objective == CLASSIFICATION)
    ):
        raise UserError(
            "--task_name=%s: a data set of the kind %s, but this run is for %s: use the command "
            "for that kind" % (options.task_name, task.objective, kind.name)
        )


def say_what_sets_no_rows_aside(options: flags.FlagValues, data: Any) -> None:
    """Names the flags about dev rows that have no effect.

    Args:
        options: the flags.
        data: the run's `TaskData`.
    """
    given = [name for name in ("dev_share", "dev_split") if options[name].present]
    if given and not data.sets_rows_aside:
        why = "without --do_eval no row of train is set aside"
        if "dev" in data.splits:
            why = "there is a dev file, and no row of train is set aside"
        verb = "has" if len(given) == 1 else "have"
        say("note: --%s %s no effect: %s", ", --".join(given), verb, why)


def check_best_metric(options: flags.FlagValues, kind: Any) -> None:
    """Raises `UserError` if `--best_metric` is not a metric of the kind of task."""
    metric = options.best_metric
    if metric is not None and metric not in kind.metrics:
        raise UserError(
            "--best_metric: unknown metric %r, expected one of %s"
            % (metric, ", ".join(kind.metrics))
        )


def take_usual_rate(options: flags.FlagValues, family: str) -> None:
    """Sets `--learning_rate` if it is not given and the kind of task has a usual rate."""
    if options["learning_rate"].present:
        return
    rate = registry.get(family).flags.usual_rate(options)
    if rate is not None:
        options["learning_rate"].value = rate


def take_usual_epochs(options: flags.FlagValues, kind: Any, num_rows: int) -> None:
    """Sets `--num_train_epochs` if it is not given and few rows need more epochs.

    Args:
        options: the flags.
        kind: the kind of task.
        num_rows: number of training rows.
    """
    if options["num_train_epochs"].present:
        return
    epochs = kind.flags.usual_epochs(options, num_rows)
    if epochs is not None:
        options["num_train_epochs"].value = epochs
