"""The flags of the classifier commands, and what of them makes no sense."""

from absl import flags

from errors import UserError
import config_flag
import objectives
import scores
import tasks
import training

FLAGS = flags.FLAGS
SHORTEST_SEQUENCE = 8  # [CLS] A [SEP] B [SEP] with a few tokens in it
SEARCHED_RATES = (2e-5, 6e-5, 1e-4)

_TABLE = (
    ("string", "data_dir", None, "Folder of the task's files."),
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
    ("float", "num_train_epochs", 3.0, "Passes over the training data."),
    ("float", "warmup_proportion", 0.1, "Share of the steps in which the rate rises."),
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
        0.1,
        "Own data without a dev file: share of the training rows, of each label alike, that are "
        "set aside as one.",
    ),
    (
        "boolean",
        "multi_label",
        False,
        "Own data: a row may have several labels, or none; trains a sigmoid for each.",
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
        % ", ".join(scores.METRICS),
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
_POSITIVE = (
    "train_batch_size eval_batch_size predict_batch_size learning_rate num_train_epochs "
    "save_checkpoints_steps iterations_per_loop num_tpu_cores"
).split()
# What `objectives.Settings` and a run's settings take from flags of the same name.
TRAINING_OPTIONS = (
    "pooling label_smoothing focal_gamma rdrop_alpha fgm_epsilon layer_decay freeze_encoder"
).split()


def define_flags(**defaults):
    """Defines the flags of a classifier command.

    Args:
        **defaults: defaults in place of the usual ones.
    """
    training.define_run_flags(**defaults)
    config_flag.define("Config JSON of the model.")
    for kind, name, default, help_text in _TABLE:
        arguments = [name, defaults.get(name, default)]
        if kind == "enum":
            arguments.append(objectives.POOLINGS)
        getattr(flags, "DEFINE_" + kind)(*(arguments + [help_text]))


def vocabulary_file():
    """Path of the vocabulary that the flags name."""
    return FLAGS.spm_model_file or FLAGS.vocab_file


def check_flags():
    """Raises `UserError` for flags that are missing or make no sense."""
    training.require_flags(["data_dir", "bert_config_file", "task_name"])
    if not FLAGS.spm_model_file:
        training.require_flags(["vocab_file"])
    training.require_flags(["output_dir"])
    if not (FLAGS.do_train or FLAGS.do_eval or FLAGS.do_predict):
        raise UserError("nothing to do: give --do_train=true, --do_eval=true or --do_predict=true")
    training.require_positive(_POSITIVE)
    training.check_seed(FLAGS.seed)
    for name in ("warmup_proportion", "dev_share"):
        if not 0 <= FLAGS[name].value < 1:
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
    _check_objective()
    _check_options_of_objective()
    objectives.check(objectives.Settings()._replace(**training_options()))


def _check_objective():
    task = tasks.get_task(FLAGS.task_name)
    for name in ("multi_label", "regression"):
        if FLAGS[name].value and task.labels is not None:
            raise UserError(
                "--%s: the task %s has labels of its own; use --task_name=%s"
                % (name, FLAGS.task_name, tasks.OWN_DATA)
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
    known = [name for name in scores.METRICS if objective in scores.METRICS[name].objectives]
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
    is_known = FLAGS.do_train or tasks.get_task(FLAGS.task_name).labels is not None
    if is_known and FLAGS["label_separator"].present and not FLAGS.multi_label:
        raise UserError(
            "--label_separator=%s without --multi_label: add --multi_label=true if rows have "
            "several labels, else leave it out" % FLAGS.label_separator
        )


def objective():
    """The objective that the flags ask for, one of `objectives.OBJECTIVES`."""
    if FLAGS.regression:
        return "regression"
    return "multi_label" if FLAGS.multi_label else "single_label"


def training_options():
    """{name: value} of the flags that `objectives.Settings` has fields for."""
    return {name: FLAGS[name].value for name in TRAINING_OPTIONS}
