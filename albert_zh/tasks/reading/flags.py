"""Flags of reading comprehension: the flags of BERT's run_squad.py, and a few more."""

from typing import Any, Dict, Optional

from absl import flags

from albert_zh.common import storage, validation
from albert_zh.common.errors import UserError
from albert_zh.tasks import datasets, kind_interface, model_width, task_forms
from albert_zh.tasks.reading import limits

RATE_OF_NARROW = 2e-4  # learning rate of albert_tiny in CLUE's tables

_TABLE = (
    ("string", "train_file", None, "File of questions to train on, in place of --data_dir."),
    (
        "string",
        "predict_file",
        None,
        "File of questions to answer; with --do_eval and without --dev_file, the best checkpoint "
        "is also selected on this file.",
    ),
    ("string", "dev_file", None, "File of questions on which the best checkpoint is selected."),
    (
        "integer",
        "doc_stride",
        limits.DOC_STRIDE,
        "Tokens between the beginnings of two successive windows of a context.",
    ),
    (
        "integer",
        "max_query_length",
        limits.MAX_QUERY_LENGTH,
        "Maximum number of tokens of a question; longer questions are truncated.",
    ),
    (
        "integer",
        "max_answer_length",
        None,
        "Maximum length of an answer in characters; by default the length that 99 %% of the "
        "training answers do not exceed. With --original_features in tokens, by default %d."
        % limits.MAX_ANSWER_LENGTH,
    ),
    ("integer", "n_best_size", limits.N_BEST_SIZE, "Number of answers to keep per question."),
    (
        "boolean",
        "version_2_with_negative",
        None,
        "Whether questions may have no answer; by default as in the training file.",
    ),
    (
        "float",
        "length_penalty",
        None,
        "Penalty that is subtracted from an answer's score, times the natural logarithm of its "
        "number of characters; by default the value with the best F1 on dev, or 0 (as in BERT's "
        "program) without a dev file.",
    ),
    (
        "float",
        "null_score_diff_threshold",
        None,
        'Predict "no answer" if its score exceeds the score of the best answer by more than this '
        "threshold; by default the value with the best F1 on dev, or %g without a dev file."
        % limits.NULL_THRESHOLD,
    ),
    (
        "boolean",
        "original_features",
        False,
        "Whether to create windows and answers exactly as run_squad.py of BERT and NEZHA does for "
        "CMRC 2018; every question is answered.",
    ),
    ("boolean", "verbose_logging", False, "Old flag without an effect."),
)
# Flags whose values are saved with a model; a later run may override them.
HEAD = (
    "doc_stride max_query_length max_answer_length n_best_size version_2_with_negative "
    "length_penalty null_score_diff_threshold original_features"
).split()
LENGTHS = ("doc_stride", "max_query_length")
DEFAULTS = {name: default for _, name, default, _ in _TABLE}
_COUNT = validation.integer(1)
# What a model saves of these flags.
_HEAD_KIND = validation.record(
    {
        "doc_stride": _COUNT,
        "max_query_length": _COUNT,
        "max_answer_length": validation.or_none(_COUNT),
        "n_best_size": _COUNT,
        "version_2_with_negative": validation.or_none(validation.BOOLEAN),
        "length_penalty": validation.or_none(validation.number(0)),
        "null_score_diff_threshold": validation.or_none(validation.number()),
        "original_features": validation.BOOLEAN,
    }
)


class ReadingFlags(kind_interface.KindFlags):
    """Flags of run_reading_comprehension.py and run_squad.py."""

    help_of_task = "Task: questions (for your own files), cmrc2018 or drcd."
    fixed = tuple("doc_stride max_query_length version_2_with_negative original_features".split())
    variable = tuple(
        "max_answer_length n_best_size length_penalty null_score_diff_threshold".split()
    )
    defaults = {"task_name": datasets.OWN_QUESTIONS, "max_seq_length": limits.MAX_SEQ_LENGTH}
    head_kind = _HEAD_KIND
    without_effect = {"verbose_logging": "everything noteworthy is always shown"}

    def shortest_length(self, head: Dict[str, Any]) -> int:
        return limits.shortest_length(head.get("max_query_length") or limits.MAX_QUERY_LENGTH)

    def define(self, options: Any) -> None:
        for kind, name, default, help_text in _TABLE:
            getattr(flags, "DEFINE_" + kind)(name, default, help_text, flag_values=options)

    def check(self, options: Any) -> None:
        _check_lengths(options)
        for name in ("max_query_length", "max_answer_length", "n_best_size"):
            if options[name].value is not None and options[name].value < 1:
                raise UserError("--%s=%d: expected 1 or more" % (name, options[name].value))
        kind_interface.refuse_given(
            options,
            task_forms.COLUMN_FLAGS.values(),
            "columns of questions have fixed names (context, question, answer, start): name them "
            "so in the file's header",
        )
        _check_original(options)
        _check_files(options)

    def files(self, options: Any) -> Dict[str, str]:
        given = {
            "train": options.train_file,
            "dev": options.dev_file or options.predict_file,
            "test": options.predict_file,
        }
        return {split: path for split, path in given.items() if path}

    def head(self, options: Any) -> Dict[str, Any]:
        head = {name: options[name].value for name in HEAD}
        if options.original_features and options.max_answer_length is None:
            head["max_answer_length"] = limits.MAX_ANSWER_LENGTH
        return head

    def usual_rate(self, options: Any) -> Optional[float]:
        return RATE_OF_NARROW if model_width.is_narrow(options) else None


def given_head(options: Any) -> Dict[str, Any]:
    """Returns {name: value} of the flags of `HEAD` that are given on the command line, if any."""
    names = [name for name in HEAD if options is not None and name in options]
    return {name: options[name].value for name in names if options[name].present}


def _check_lengths(options):
    """Checks the lengths; without training they may come from the model, and are checked later."""
    names = ("max_seq_length", "max_query_length")
    are_known = options.do_train or all(options[name].present for name in names)
    of_query = options.max_query_length
    longest = options.max_seq_length if are_known else limits.shortest_length(of_query)
    limits.check_lengths(longest, options.doc_stride, of_query)


def _check_original(options):
    """Raises `UserError` for flags that have no meaning with --original_features."""
    if not options.original_features:
        return
    is_asked = {
        "version_2_with_negative": options.version_2_with_negative,
        "null_score_diff_threshold": options.null_score_diff_threshold is not None,
        "length_penalty": options.length_penalty,
    }
    for name in filter(is_asked.get, is_asked):
        raise UserError(
            "--%s: with --original_features every question is answered, by scores only, as in the "
            "original program for CMRC 2018: leave one of the two out" % name
        )


def _check_files(options):
    """Raises `UserError` if a file flag that the run needs is missing, or a file does not exist."""
    if not (options.train_file or options.predict_file or options.dev_file):
        return
    needs = (
        ("train_file", options.do_train, options.train_file),
        ("predict_file", options.do_predict, options.predict_file),
    )
    for name, is_needed, path in needs:
        if is_needed and not path:
            raise UserError(
                "--%s is required in addition to the other files of questions, or --data_dir in "
                "place of all" % name
            )
    for name in ("train_file", "dev_file", "predict_file"):
        path = options[name].value
        if path and not storage.is_file(path):
            raise UserError("--%s=%s: no such file, expected one of questions" % (name, path))
