"""The flags of the classifier commands, and what of them makes no sense."""

import warnings

from absl import flags

from albert_zh.common import config_flag
from albert_zh.common.errors import UserError
from albert_zh.model import classifier_output, modeling, optimization
from albert_zh.tasks import datasets, dev_split
from albert_zh.tasks import metrics as task_metrics
from albert_zh.tasks.classification import objectives
from albert_zh.training import flags as run_flags

FLAGS = flags.FLAGS
SHORTEST_SEQUENCE = 8  # [CLS] A [SEP] B [SEP] with a few tokens in it
SEARCHED_RATES = (2e-5, 6e-5, 1e-4)

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
        "task_name",
        None,
        "Task, such as lcqmc; multiclass for a folder of one's own, whose columns and labels are "
        "taken from its training file.",
    ),
    ("string", "vocab_file", None, "Vocabulary that the model was trained with."),
    ("string", "spm_model_file", None, "A SentencePiece model, in place of --vocab_file."),
    ("boolean", "do_lower_case", True, "Whether to lower-case; False for cased models."),
    ("boolean", "do_predict", False, "Whether to predict the test file."),
    ("integer", "predict_batch_size", 8, "Examples in a prediction step."),
    (
        "float",
        "num_train_epochs",
        3.0,
        "Passes over the training data; of few rows with --multi_label and --multi_label_loss=sum, "
        "unless it is given, as many as make %d steps, up to %g."
        % (objectives.MULTI_LABEL_STEPS, objectives.MOST_MULTI_LABEL_EPOCHS),
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
        "float",
        "threshold_to_export",
        None,
        "A number that the SavedModel of --export_dir puts out beside the probabilities, as "
        "threshold: for the program that uses it.",
    ),
    (
        "string",
        "albert_hub_module_handle",
        None,
        "Not supported: modules of TensorFlow Hub are not read.",
    ),
    ("string", "encoding", "utf-8", "Encoding of the task's files."),
    (
        "boolean",
        "swap_pairs",
        False,
        "Train on each pair the other way round, too, where the order of the two texts says "
        "nothing; an epoch has twice as many rows then.",
    ),
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
        "boolean",
        "multi_label",
        False,
        "Own data: a row may have several labels, or none; trains a sigmoid for each.",
    ),
    (
        "enum",
        "multi_label_loss",
        "sum",
        "With --multi_label the loss of a row: the sum over its labels, with the classifier's bias "
        "starting from the labels' shares, or their mean, starting from 0, as in earlier versions, "
        "which learns little of many labels. With the sum the default --learning_rate of models "
        "whose hidden_size is at most %d is %g, and few rows are passed over more often; with the "
        "mean, as in earlier versions, neither."
        % (objectives.NARROW, objectives.RATE_OF_NARROW_MULTI_LABEL),
    ),
    (
        "float",
        "classifier_rate_factor",
        None,
        "Factor of the classifier's learning rate; by default 1, and %g with --multi_label and "
        "--multi_label_loss=sum." % objectives.MULTI_LABEL_RATE_FACTOR,
    ),
    (
        "float",
        "threshold_rows",
        task_metrics.POOLED_ROWS,
        "With --multi_label each label's threshold is that of the best F1 on dev, where the counts "
        "of all labels together are added to the label's own as so many rows that have it: the few "
        "dev rows of a rare label say little. 0 for each label's own rows alone, as in earlier "
        "versions.",
    ),
    ("string", "label_separator", "|", "What stands between the labels of a multi-label row."),
    ("boolean", "regression", False, "Own data: labels are numbers to be estimated."),
    (
        "string",
        "class_weights",
        None,
        "Weights of the classes' losses: balanced (inverse to their sizes), or a JSON file "
        "{label: weight}.",
    ),
    (
        "string",
        "best_metric",
        None,
        "Dev metric by which the best checkpoint is chosen: %s (f1: of the second of two labels). "
        "By default accuracy, of a multi-label task micro_f1, of a regression pearson."
        % ", ".join(task_metrics.METRICS),
    ),
    (
        "integer",
        "early_stopping",
        0,
        "End training after so many evaluations without a better one; 0 for never.",
    ),
    ("boolean", "keep_best", True, "Keep the best checkpoint as a model folder, OUTPUT_DIR/best."),
    (
        "enum",
        "pooling",
        "cls",
        "What is classified: the first token's pooled vector, the mean or maximum over the tokens "
        "of the last layer, the mean over those of the last four or of the last but one.",
    ),
    (
        "float",
        "layer_decay",
        1.0,
        "Factor of the learning rate from each depth of the encoder to the one below.",
    ),
    ("boolean", "freeze_encoder", False, "Train pooler and classifier only."),
    ("float", "label_smoothing", 0.0, "Share of a label's probability spread over all classes."),
    ("float", "focal_gamma", 0.0, "Exponent of focal loss; 0 for plain cross-entropy."),
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
        "Try the learning rates %s, each in a folder OUTPUT_DIR/rate_R, and say which is best on "
        "dev." % ", ".join("%g" % rate for rate in SEARCHED_RATES),
    ),
    (
        "boolean",
        "clue_submission",
        False,
        "Also write the predictions as TASK_predict.json, in the form that CLUE's site takes.",
    ),
)
_CHOICES = {
    "pooling": classifier_output.POOLINGS,
    "optimizer": sorted(optimization.OPTIMIZERS),
    "dev_split": list(dev_split.METHODS),
    "multi_label_loss": objectives.MULTI_LABEL_LOSSES,
}
_POSITIVE = (
    "train_batch_size eval_batch_size predict_batch_size learning_rate num_train_epochs "
    "save_checkpoints_steps iterations_per_loop num_tpu_cores"
).split()
# What `objectives.Settings` and a run's settings take from flags of the same name.
TRAINING_OPTIONS = (
    "pooling label_smoothing focal_gamma rdrop_alpha fgm_epsilon layer_decay freeze_encoder "
    "optimizer multi_label_loss classifier_rate_factor"
).split()


def define_flags(**defaults):
    """Defines the flags of a classifier command.

    Args:
        **defaults: defaults in place of the usual ones.
    """
    run_flags.define_run_flags(FLAGS, **defaults)
    config_flag.define("Config JSON of the model.")
    for kind, name, default, help_text in _TABLE:
        arguments = [name, defaults.get(name, default)]
        if kind == "enum":
            arguments.append(_CHOICES[name])
        getattr(flags, "DEFINE_" + kind)(*(arguments + [help_text]))


def vocabulary_file():
    """Path of the vocabulary that the flags name."""
    return FLAGS.spm_model_file or FLAGS.vocab_file


def check_flags():
    """Raises `UserError` for flags that are missing or make no sense."""
    run_flags.require_flags(FLAGS, ["data_dir", "bert_config_file", "task_name"])
    if not FLAGS.spm_model_file:
        run_flags.require_flags(FLAGS, ["vocab_file"])
    run_flags.require_flags(FLAGS, ["output_dir"])
    if not (FLAGS.do_train or FLAGS.do_eval or FLAGS.do_predict):
        raise UserError("nothing to do: give --do_train=true, --do_eval=true or --do_predict=true")
    run_flags.require_positive(FLAGS, _POSITIVE)
    run_flags.require_at_least_0(FLAGS, ["keep_checkpoint_max", "warmup_step", "threshold_rows"])
    run_flags.check_seed(FLAGS.seed)
    _check_flags_of_google()
    for name in ("warmup_proportion", "dev_share"):
        if FLAGS[name].value is not None and not 0 <= FLAGS[name].value < 1:
            raise UserError(
                "--%s: %s makes no sense, expected 0 or more and below 1"
                % (name, FLAGS[name].value)
            )
    if FLAGS.max_seq_length < SHORTEST_SEQUENCE:
        raise UserError(
            "--max_seq_length: %d is too short, expected at least %d"
            % (FLAGS.max_seq_length, SHORTEST_SEQUENCE)
        )
    if FLAGS.early_stopping < 0:
        raise UserError("--early_stopping=%d: expected 0 (off) or more" % FLAGS.early_stopping)
    if FLAGS.early_stopping and not FLAGS.do_eval:
        raise UserError("--early_stopping needs evaluations: add --do_eval=true")
    if FLAGS.early_stopping and (FLAGS.use_tpu or FLAGS.distribution == "multi_worker"):
        raise UserError(
            "--early_stopping: with --use_tpu or --distribution=multi_worker checkpoints are "
            "evaluated at the end alone: leave it out"
        )
    if (FLAGS.seeds or FLAGS.search) and FLAGS.distribution == "multi_worker":
        raise UserError(
            "--distribution=multi_worker trains one model: run each of --seeds and --search by "
            "itself (--seed, --learning_rate), with an --output_dir of its own"
        )
    if FLAGS.search and FLAGS["learning_rate"].present:
        raise UserError(
            "--learning_rate and --search exclude each other: --search tries %s"
            % ", ".join("%g" % rate for rate in SEARCHED_RATES)
        )
    chosen_columns()
    _check_objective()
    _check_options_of_objective()
    objectives.check(objectives.Settings()._replace(**training_options()))


def _check_flags_of_google():
    """Raises `UserError` for mistakes in what google's classifier has beyond albert_zh's."""
    if FLAGS.albert_hub_module_handle:
        raise UserError(
            "--albert_hub_module_handle=%s: modules of TensorFlow Hub are not read: leave it out "
            "and name the model's files, --init_checkpoint, --albert_config_file and "
            "--spm_model_file or --vocab_file" % FLAGS.albert_hub_module_handle
        )
    if FLAGS.train_step is not None:
        run_flags.require_positive(FLAGS, ["train_step"])
    if FLAGS.threshold_to_export is not None and not FLAGS.export_dir:
        raise UserError("--threshold_to_export goes with --export_dir, the folder to export to")
    if FLAGS.export_dir and not FLAGS.keep_best:
        raise UserError("--export_dir exports the best model: leave out --keep_best=false")
    if FLAGS.export_dir and (FLAGS.seeds or FLAGS.search):
        raise UserError("--export_dir exports one model: leave out --seeds and --search")


def chosen_columns():
    """{column: its name or position} of the columns that the flags name.

    Raises:
        UserError: for columns named twice, or of a task whose columns are known.
    """
    chosen = {column: FLAGS[flag].value for column, flag in datasets.COLUMN_FLAGS.items()}
    chosen = {column: value.strip() for column, value in chosen.items() if value is not None}
    names = ["--" + datasets.COLUMN_FLAGS[column] for column in chosen]
    if len(set(chosen.values())) < len(chosen) or "" in chosen.values():
        raise UserError("%s: expected a column each, found one twice or none" % ", ".join(names))
    if chosen and datasets.get_task(FLAGS.task_name).labels is not None:
        raise UserError(
            "%s: the columns of the task %s are known: leave it out, or use --task_name=%s"
            % (names[0], FLAGS.task_name, datasets.OWN_DATA)
        )
    return chosen


def _check_objective():
    task = datasets.get_task(FLAGS.task_name)
    for name in ("multi_label", "regression"):
        if FLAGS[name].value and task.labels is not None:
            raise UserError(
                "--%s: the task %s has labels of its own; use --task_name=%s"
                % (name, FLAGS.task_name, datasets.OWN_DATA)
            )
    if FLAGS.multi_label and FLAGS.regression:
        raise UserError("--multi_label and --regression exclude each other")
    if not FLAGS.label_separator:
        raise UserError("--label_separator: expected what stands between labels, found nothing")
    if FLAGS.do_train:  # else the model tells its objective
        check_best_metric(objective())


def check_best_metric(objective):
    """Raises `UserError` where `--best_metric` is none of an objective's metrics."""
    metric = FLAGS.best_metric
    known = [
        name for name in task_metrics.METRICS if objective in task_metrics.METRICS[name].objectives
    ]
    if metric is not None and metric not in known:
        raise UserError(
            "--best_metric: unknown metric %r, expected one of %s" % (metric, ", ".join(known))
        )


def _check_options_of_objective():
    """Raises `UserError` for flags that the objective has no use for."""
    for name in ("class_weights", "label_smoothing", "focal_gamma"):
        if FLAGS.regression and FLAGS[name].value:
            raise UserError(
                "--%s=%s and --regression: a regression has no classes: leave one of them out"
                % (name, FLAGS[name].value)
            )
    # A model of own data that is used as it is tells in its notes whether it is a multi-label one.
    is_known = FLAGS.do_train or datasets.get_task(FLAGS.task_name).labels is not None
    if is_known and FLAGS["label_separator"].present and not FLAGS.multi_label:
        raise UserError(
            "--label_separator=%s without --multi_label: add --multi_label=true if rows have "
            "several labels, else leave it out" % FLAGS.label_separator
        )


def objective():
    """The objective that the flags ask for, one of `classifier_output.OBJECTIVES`."""
    if FLAGS.regression:
        return "regression"
    return "multi_label" if FLAGS.multi_label else "single_label"


def training_options():
    """{name: value} of the flags that `objectives.Settings` has fields for."""
    options = {name: FLAGS[name].value for name in TRAINING_OPTIONS}
    if options["classifier_rate_factor"] is None:
        options["classifier_rate_factor"] = (
            objectives.MULTI_LABEL_RATE_FACTOR if sums_over_labels() else 1.0
        )
    return options


def take_default_rate():
    """Sets `--learning_rate` where none is given and the objective has a default of its own."""
    if not (FLAGS.do_train and sums_over_labels()) or FLAGS["learning_rate"].present:
        return
    with warnings.catch_warnings():  # they are logged where the run reads its config
        warnings.simplefilter("ignore")
        width = modeling.AlbertConfig.from_json_file(FLAGS.bert_config_file).hidden_size
    if width <= objectives.NARROW:
        FLAGS["learning_rate"].value = objectives.RATE_OF_NARROW_MULTI_LABEL


def take_default_epochs(num_rows):
    """Sets `--num_train_epochs` where it is not given and few rows need more of them.

    Args:
        num_rows: training rows.
    """
    if FLAGS.do_train and sums_over_labels() and not FLAGS["num_train_epochs"].present:
        FLAGS["num_train_epochs"].value = objectives.multi_label_epochs(
            FLAGS["num_train_epochs"].default, num_rows / FLAGS.train_batch_size
        )


def sums_over_labels():
    """Whether a multi-label task is trained by the sum of its labels' losses."""
    return objective() == "multi_label" and FLAGS.multi_label_loss == "sum"
