"""The flags of the fine-tuning commands, and what of them makes no sense."""

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

CLASSIFICATION = "single_label"  # the kind whose flags the classifier commands have
SHORTEST_SEQUENCE = 8  # [CLS] A [SEP] B [SEP] with a few tokens in it
SEARCHED_RATES = (2e-5, 6e-5, 1e-4)
# What a run goes on with unchanged, beside the kind's own flags; see `run_folder.check_same_run`.
FIXED = (
    "train_batch_size learning_rate warmup_proportion max_seq_length seed encoding skip_bad_rows"
).split() + task_settings.COMMON_SETTINGS

_TABLE = (
    (
        "string",
        "data_dir",
        None,
        "Folder of the task's files; of own data also one file: what is trained on, and with "
        "--do_predict alone what is predicted.",
    ),
    (
        "string",
        "text_column",
        None,
        "Own data: the column of the text, by its name in the header (in JSON lines its key) or by "
        "its position from 1; found by usual names or by position if left out.",
    ),
    ("string", "text_b_column", None, "The same of the second text of pairs."),
    ("string", "label_column", None, "The same of the label."),
    (
        "string",
        "vocab_file",
        None,
        "Vocabulary that the model was trained with; that beside --init_checkpoint if left out.",
    ),
    ("string", "spm_model_file", None, "A SentencePiece model, in place of --vocab_file."),
    ("boolean", "do_lower_case", True, "Whether to lower-case; False for cased models."),
    ("boolean", "do_predict", False, "Whether to predict the test file."),
    ("integer", "predict_batch_size", 8, "Examples in a prediction step."),
    (
        "float",
        "num_train_epochs",
        3.0,
        "Passes over the training data. Where it is not given and rows are few, as many as make "
        "1000 steps, up to 10: of several labels with the summed loss, and of own data with models "
        "whose hidden_size is at most 384.",
    ),
    ("integer", "train_step", None, "Steps of training, in place of --num_train_epochs."),
    ("float", "warmup_proportion", 0.1, "Share of the steps in which the rate rises."),
    (
        "integer",
        "warmup_step",
        None,
        "Steps in which the rate rises, in place of --warmup_proportion.",
    ),
    ("enum", "optimizer", "adamw", "The optimizer."),
    (
        "string",
        "cached_dir",
        None,
        "Folder for the features, which runs on the same data share; --output_dir's by default.",
    ),
    ("string", "export_dir", None, "Folder to write the best model to, as a SavedModel."),
    (
        "string",
        "albert_hub_module_handle",
        None,
        "Not supported: modules of TensorFlow Hub are not read.",
    ),
    ("string", "encoding", "utf-8", "Encoding of the task's files."),
    ("boolean", "skip_bad_rows", False, "Leave out rows that don't fit, and count them."),
    (
        "float",
        "dev_share",
        None,
        "Own data without a dev file: share of the training rows, of each label alike, that are "
        "set aside as one; by default 0.1, of fewer than 1,000 rows more: 100 rows, but at most "
        "0.3.",
    ),
    (
        "enum",
        "dev_split",
        "groups",
        "How those rows are chosen: groups (rows that share a text stay together, so that no text "
        "of dev is trained on), or random (each row by itself).",
    ),
    (
        "integer",
        "dev_seed",
        None,
        "Seed by which those rows are chosen; by default --seed, of --seeds the first.",
    ),
    (
        "float",
        "classifier_rate_factor",
        None,
        "Factor of the head's learning rate; by default 1, and 10 with --multi_label and "
        "--multi_label_loss=sum.",
    ),
    (
        "string",
        "best_metric",
        None,
        "Dev metric by which the best checkpoint is chosen; a wrong name lists those of the task. "
        "Of classes %s (f1: of the second of two labels); by default accuracy, of a multi-label "
        "task micro_f1, of a regression pearson." % ", ".join(task_metrics.METRICS),
    ),
    (
        "integer",
        "early_stopping",
        0,
        "End training after so many evaluations without a better one; 0 for never.",
    ),
    ("boolean", "keep_best", True, "Keep the best checkpoint as a model folder, OUTPUT_DIR/best."),
    (
        "float",
        "layer_decay",
        1.0,
        "Factor of the learning rate from each depth of the encoder to the one below.",
    ),
    (
        "float",
        "weight_decay",
        optimization.WEIGHT_DECAY_RATE,
        "Share of the weights that a step takes off, times its learning rate.",
    ),
    ("boolean", "freeze_encoder", False, "Train pooler and head only."),
    (
        "integer",
        "gradient_accumulation_steps",
        1,
        "Parts that a step's batch is worked on in: the same gradients in less memory.",
    ),
    ("float", "rdrop_alpha", 0.0, "Weight of R-Drop's divergence; 0 for none, 1 to 5 are usual."),
    (
        "float",
        "fgm_epsilon",
        0.0,
        "Length of FGM's change of the word table; 0 for none, 0.5 to 1.",
    ),
    (
        "list",
        "seeds",
        None,
        "Several runs, one per seed, each in a folder OUTPUT_DIR/seed_N; a table of their means.",
    ),
    (
        "boolean",
        "search",
        False,
        "Try several learning rates, each in a folder OUTPUT_DIR/rate_R, and say which is best on "
        "dev.",
    ),
    (
        "list",
        "search_rates",
        None,
        "The learning rates that --search tries; by default half, once and twice the usual rate of "
        "the kind of task and model, where there is one, else %s; without training those of the "
        "trained models." % ", ".join("%g" % rate for rate in SEARCHED_RATES),
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
        family: name of a kind of task whose further flags the command has.
        options: where to define them.
        **defaults: defaults in place of the usual ones.
    """
    of_kind = registry.get(family).flags
    defaults = dict(of_kind.defaults, **defaults)
    run_flags.define_run_flags(options, **defaults)
    help_of_config = "Config JSON of the model; that beside --init_checkpoint if left out."
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
    """Flags of a run that is started from Python.

    Args:
        family: as in `define_flags`.
        **settings: {flag: value}; a list for flags of several values.

    Returns:
        flags of which those in `settings` count as given.

    Raises:
        UserError: for a name that is no flag, and a value that is not of its type.
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
    """A copy of flags with other values."""
    changed = copy.deepcopy(options)
    for name, value in values.items():
        changed[name].value = value
    return changed


def vocabulary_file(options: flags.FlagValues) -> Optional[str]:
    """Path of the vocabulary that the flags name."""
    return options.spm_model_file or options.vocab_file


def check_flags(options: flags.FlagValues, family: str = CLASSIFICATION) -> None:
    """Raises `UserError` for flags that are missing or make no sense.

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
                "--%s: %s makes no sense, expected 0 or more and below 1"
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
    if options.do_train:  # else the model's notes name its kind
        check_best_metric(options, kind)
    task_settings.check(kind.settings(options, {}))


def _check_early_stopping(options):
    """Raises `UserError` where --early_stopping cannot do what it says."""
    if options.early_stopping < 0:
        raise UserError("--early_stopping=%d: expected 0 (off) or more" % options.early_stopping)
    if options.early_stopping and not options.do_eval:
        raise UserError("--early_stopping needs evaluations: add --do_eval=true")
    if options.early_stopping and (options.use_tpu or options.distribution == "multi_worker"):
        raise UserError(
            "--early_stopping: with --use_tpu or --distribution=multi_worker checkpoints are "
            "evaluated at the end alone: leave it out"
        )


def _check_parts_of_batch(options, kind):
    """Raises `UserError` where --gradient_accumulation_steps does not go with other flags."""
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
            "pass, exclude each other: leave one out" % given
        )
    if not kind.rows_are_independent:
        raise UserError(
            "%s: the loss compares rows of the whole batch: use --batch_in_memory" % given
        )


def _check_several_runs(options):
    """Raises `UserError` where --seeds and --search do not go with other flags."""
    if (options.seeds or options.search) and options.distribution == "multi_worker":
        raise UserError(
            "--distribution=multi_worker trains one model: run each of --seeds and --search by "
            "itself (--seed, --learning_rate), with a separate --output_dir"
        )
    if options["seeds"].present and not options.seeds:
        raise UserError("--seeds= is empty: expected numbers with commas between, or leave it out")
    if options.search and options["learning_rate"].present:
        raise UserError(
            "--learning_rate and --search exclude each other: --search tries those of "
            "--search_rates"
        )
    if options.search_rates and not options.search:
        raise UserError("--search_rates are those that --search tries: add --search=true")
    searched_rates(options)


def searched_rates(options: flags.FlagValues) -> List[float]:
    """The learning rates that `--search` tries.

    Args:
        options: the flags, after `take_usual_rate`.

    Returns:
        those of `--search_rates`, else some around the usual rate, else `SEARCHED_RATES`.

    Raises:
        UserError: for what is no positive number, and for a rate that is given twice.
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
        raise UserError("%s: expected numbers above 0 with commas between" % given)
    if len(set(rates)) < len(rates):
        raise UserError("%s: a rate is given twice" % given)
    return rates


def _check_flags_of_google(options):
    """Raises `UserError` for mistakes in what google's classifier has beyond albert_zh's."""
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
        UserError: for columns named twice, or of a task whose columns are known.
    """
    chosen = {column: options[flag].value for column, flag in task_forms.COLUMN_FLAGS.items()}
    chosen = {column: name.strip() for column, name in chosen.items() if name is not None}
    names = ["--" + task_forms.COLUMN_FLAGS[column] for column in chosen]
    if len(set(chosen.values())) < len(chosen) or "" in chosen.values():
        raise UserError("%s: expected a column each, found one twice or none" % ", ".join(names))
    if chosen and datasets.get_task(options.task_name).labels is not None:
        raise UserError(
            "%s: the columns of the task %s are known: leave it out, or use --task_name=%s"
            % (names[0], options.task_name, datasets.OWN_DATA)
        )
    return chosen


def kind_of(options: flags.FlagValues, family: str) -> Any:
    """The kind of task that the flags ask for.

    Args:
        options: the flags.
        family: as in `define_flags`.
    """
    return registry.get(registry.get(family).flags.kind_of(options) or family)


def _check_data_set(options, kind):
    """Raises `UserError` for a data set of another kind than the command's."""
    task = datasets.get_task(options.task_name)
    is_own = task.labels is None
    has_flags_of_kind = isinstance(kind.flags, type(registry.type_of(task).flags))
    if kind.name != task.objective and not (
        is_own and (has_flags_of_kind or task.objective == CLASSIFICATION)
    ):
        raise UserError(
            "--task_name=%s: a data set of the kind %s, this run is of %s: use the command of that "
            "kind" % (options.task_name, task.objective, kind.name)
        )


def say_what_sets_no_rows_aside(options: flags.FlagValues, data: Any) -> None:
    """Names flags of dev rows that were given in vain.

    Args:
        options: the flags.
        data: the run's `TaskData`.
    """
    given = [name for name in ("dev_share", "dev_split") if options[name].present]
    if given and not data.sets_rows_aside:
        why = "without --do_eval no row of train is set aside"
        if "dev" in data.splits:
            why = "there is a dev file, and no row of train is set aside"
        say("note: --%s: without effect: %s", ", --".join(given), why)


def check_best_metric(options: flags.FlagValues, kind: Any) -> None:
    """Raises `UserError` where `--best_metric` is none of a kind's metrics."""
    metric = options.best_metric
    if metric is not None and metric not in kind.metrics:
        raise UserError(
            "--best_metric: unknown metric %r, expected one of %s"
            % (metric, ", ".join(kind.metrics))
        )


def take_usual_rate(options: flags.FlagValues, family: str) -> None:
    """Sets `--learning_rate` where none is given and the kind of task has a usual one."""
    if options["learning_rate"].present:
        return
    rate = registry.get(family).flags.usual_rate(options)
    if rate is not None:
        options["learning_rate"].value = rate


def take_usual_epochs(options: flags.FlagValues, kind: Any, num_rows: int) -> None:
    """Sets `--num_train_epochs` where it is not given and few rows need more of them.

    Args:
        options: the flags.
        kind: the kind of task.
        num_rows: training rows.
    """
    if options["num_train_epochs"].present:
        return
    epochs = kind.flags.usual_epochs(options, num_rows)
    if epochs is not None:
        options["num_train_epochs"].value = epochs
