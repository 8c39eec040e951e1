"""Flags that only classification, multi-label tasks and regression have."""

import os
from typing import Any, Dict, Optional

from absl import flags

from albert_zh.common import validation
from albert_zh.common.errors import UserError
from albert_zh.common.messages import say
from albert_zh.model import ngram_table, slot_templates
from albert_zh.model.checkpoints import checkpoint_files, fine_tuning_notes
from albert_zh.tasks import datasets, kind_interface, model_width, task_forms
from albert_zh.tasks import metrics as task_metrics
from albert_zh.tasks.classification import losses
from albert_zh.tasks.slots import cells, dictionaries
from albert_zh.tasks.slots import flags as slot_flags

_TABLE = (
    (
        "boolean",
        "swap_pairs",
        False,
        "Also train on each pair in reverse order, if the order of the two texts does not matter; "
        "an epoch then has twice as many rows.",
    ),
    (
        "boolean",
        "multi_label",
        False,
        "Own data: a row may have any number of labels; trains a sigmoid for each label.",
    ),
    (
        "enum",
        "multi_label_loss",
        "sum",
        "Loss of a row with --multi_label. sum: the sum over the labels; the classifier's bias is "
        "initialized from the label frequencies, the default --learning_rate of models with a "
        "hidden_size of at most %d is %g, and small training sets get more epochs. mean: the mean "
        "over the labels, a bias of 0 and the usual defaults, as in earlier versions; it learns "
        "little if there are many labels."
        % (model_width.NARROW, losses.RATE_OF_NARROW_MULTI_LABEL),
    ),
    (
        "float",
        "threshold_rows",
        task_metrics.POOLED_ROWS,
        "With --multi_label, each label's threshold maximizes F1 on dev. Because a rare label has "
        "too few dev rows, the counts of all labels together are added to its own counts, scaled "
        "to this number of positive rows. 0: only each label's own rows, as in earlier versions.",
    ),
    ("string", "label_separator", "|", "Separator between the labels of a multi-label row."),
    ("boolean", "regression", False, "Own data: labels are numbers to be predicted."),
    (
        "string",
        "class_weights",
        None,
        "Class weights of the loss: balanced (inversely proportional to the class sizes), or a "
        "JSON file {label: weight}.",
    ),
    (
        "enum",
        "pooling",
        "cls",
        "The vector that is classified: the pooled vector of the first token, the mean or maximum "
        "over the tokens of the last layer, or the mean over the tokens of the last four layers or "
        "of the last but one.",
    ),
    (
        "integer",
        "ngram_rows",
        0,
        "Rows of a table of logits for tokens, and for pairs and triples of adjacent tokens, which "
        "is trained with the encoder; the prediction is the mean of both. It helps with topics of "
        "single texts. Usually 131072, or fewer if there are many classes: a row takes 4 bytes per "
        "class. 0: no table. Not with --slots, whose templates are such a table, --teachers or "
        "LAMB.",
    ),
    ("float", "label_smoothing", 0.0, "Share of a label's probability spread over all classes."),
    ("float", "focal_gamma", 0.0, "Exponent of focal loss; 0 for plain cross-entropy."),
    (
        "float",
        "threshold_to_export",
        None,
        "A number that the SavedModel of --export_dir returns as threshold, in addition to the "
        "probabilities, for the program that uses it.",
    ),
    (
        "boolean",
        "clue_submission",
        False,
        "Also write the predictions as TASK_predict.json, in the format of the CLUE website.",
    ),
)
_ROWS = validation.integer(ngram_table.FEWEST_ROWS, ngram_table.MOST_ROWS)
_CHOICES = {
    "pooling": fine_tuning_notes.POOLINGS,
    "multi_label_loss": losses.MULTI_LABEL_LOSSES,
}
# What a classifier saves of its flags.
_HEAD_KIND = validation.record(
    {
        "slots": slot_flags.SETTINGS_KIND,
        "ngram_rows": _ROWS,
        "ngram_length": validation.integer(2, ngram_table.LONGEST),
    }
)


class ClassificationFlags(kind_interface.KindFlags):
    """The flags of the classifier commands."""

    fixed = (
        "swap_pairs",
        "pooling",
        "ngram_rows",
        "label_smoothing",
        "focal_gamma",
        "multi_label_loss",
    ) + slot_flags.FIXED
    variable = ("threshold_rows",)
    of_evaluations = variable
    noted = ("pooling", "label_separator")
    further_files = (dictionaries.FILE_NAME,)
    head_kind = _HEAD_KIND

    def define(self, options: flags.FlagValues) -> None:
        for kind, name, default, help_text in _TABLE + slot_flags.TABLE:
            choices = [_CHOICES[name]] if kind == "enum" else []
            define = getattr(flags, "DEFINE_" + kind)
            define(name, default, *choices, help_text, flag_values=options)

    def kind_of(self, options: flags.FlagValues) -> str:
        if options.regression:
            return "regression"
        return "multi_label" if options.multi_label else "single_label"

    def check(self, options: flags.FlagValues) -> None:
        _check_kind(options)
        _check_options_of_kind(options)
        slot_flags.check(options)
        _check_ngram_rows(options)
        if options.threshold_rows < 0:
            raise UserError("--threshold_rows=%s: expected 0 or more" % options.threshold_rows)
        if options.threshold_to_export is not None and not options.export_dir:
            raise UserError("--threshold_to_export requires --export_dir, the folder to export to")

    def head(self, options: flags.FlagValues) -> Dict[str, Any]:
        if options.ngram_rows:
            return {"ngram_rows": options.ngram_rows, "ngram_length": ngram_table.LONGEST}
        return slot_flags.head(options)

    def model_files(self, options: flags.FlagValues) -> Dict[str, bytes]:
        if not options.dictionaries:
            return {}
        folder = dictionaries.read_folder(options.dictionaries)
        found = ("%s (%d entries)" % (name, len(entries)) for name, entries in folder.items())
        say("dictionaries: %s", ", ".join(found))
        return {dictionaries.FILE_NAME: dictionaries.packed(folder)}

    def with_model_files(self, task: Any, files: Dict[str, bytes], source: str) -> Any:
        content = files.get(dictionaries.FILE_NAME)
        if content is None and task.head.get("slots", {}).get("dictionaries"):
            raise UserError(
                "%s: the model was trained with dictionaries, and their file %s is missing: copy "
                "it from the original model folder" % (source, dictionaries.FILE_NAME)
            )
        if content is None or not task.head.get("slots"):
            return task
        return task._replace(annotator=dictionaries.Annotator(content))

    def further_inputs(self, head: Dict[str, Any]) -> Dict[str, kind_interface.Column]:
        if not head.get("slots"):
            return {}
        return {cells.COLUMN: kind_interface.Column("int", (len(head["slots"]["names"]),), True)}

    def check_task(self, options: flags.FlagValues, task: Any) -> None:
        for name, part in (("slots", "slots"), ("ngram_rows", "a table of n-grams")):
            if options[name].value and not task.head.get(name):
                raise UserError(
                    "--%s: the model was trained without %s: leave it out" % (name, part)
                )
        if options.do_train and options.ngram_rows and options.init_checkpoint:
            _check_table_of_start(options.init_checkpoint)
        if options.swap_pairs and not task_forms.is_pair(task):
            raise UserError("--swap_pairs: --task_name=%s has single texts" % options.task_name)
        if options.best_metric == "f1" and len(task.labels) != 2:
            raise UserError(
                "--best_metric=f1 needs two labels, found %d: use macro_f1 or micro_f1"
                % len(task.labels)
            )
        if options.best_metric == "f1":
            say("note: --best_metric=f1 is the F1 of the label %s", task.labels[1])

    def rate_factor(self, options: flags.FlagValues) -> float:
        return losses.MULTI_LABEL_RATE_FACTOR if self.sums_over_labels(options) else 1.0

    def usual_rate(self, options: flags.FlagValues) -> Optional[float]:
        if not (options.do_train and _is_own_data(options) and model_width.is_narrow(options)):
            return None
        is_sum = self.sums_over_labels(options)
        return losses.RATE_OF_NARROW_MULTI_LABEL if is_sum else losses.RATE_OF_NARROW

    def usual_epochs(self, options: flags.FlagValues, num_rows: int) -> Optional[float]:
        if not _is_own_data(options):
            return None
        if not (self.sums_over_labels(options) or model_width.is_narrow(options)):
            return None
        usual = options["num_train_epochs"].default
        return losses.epochs_of_few_rows(usual, num_rows / options.train_batch_size)

    def sums_over_labels(self, options: flags.FlagValues) -> bool:
        """Whether a multi-label task is trained with the sum of the losses of its labels."""
        return options.multi_label and options.multi_label_loss == "sum"


def scope_rate_factors(head: Dict[str, Any], learning_rate: float) -> Dict[str, float]:
    """{scope: factor of its learning rate} for the table of a classifier, whose rate is fixed.

    Args:
        head: `Settings.head`.
        learning_rate: the encoder's.
    """
    if slot_templates.are_in(head):
        return {slot_templates.SCOPE: slot_templates.RATE / learning_rate}
    if ngram_table.num_rows(head):
        return {ngram_table.SCOPE: ngram_table.RATE / learning_rate}
    return {}


def _check_ngram_rows(options):
    """Raises `UserError` for a number of rows, or other flags, that do not fit."""
    rows, fewest, most = options.ngram_rows, ngram_table.FEWEST_ROWS, ngram_table.MOST_ROWS
    if rows and not fewest <= rows <= most:
        raise UserError("--ngram_rows=%d: expected 0, or %d to %d" % (rows, fewest, most))
    if rows and options.slots:
        raise UserError(
            "--ngram_rows and --slots: a classifier has one of them, and slots have a table of "
            "their own (--slot_templates): leave one of them out"
        )
    if rows and "lamb" in options.optimizer:
        raise UserError(
            "--ngram_rows and --optimizer=%s: LAMB would change the table's learning rate: use "
            "--optimizer=adamw, or leave the table out" % options.optimizer
        )
    if rows and options.teachers:
        raise UserError(
            "--ngram_rows and --teachers: the table learns from labels only: leave one of them out"
        )


def _check_table_of_start(init_checkpoint):
    """Raises `UserError` if the rows of the start's table are for other n-grams than the run's."""
    folder = os.path.dirname(checkpoint_files.find_checkpoint(init_checkpoint))
    head = fine_tuning_notes.notes_of_folder(folder).get("head", {})
    if ngram_table.is_of_first_version(head):
        raise UserError(
            "--ngram_rows and --init_checkpoint=%s: the table of n-grams of that model is of an "
            "earlier version, without triples: start from another model, or use --ngram_rows=0, "
            "which leaves its table out" % init_checkpoint
        )


def _is_own_data(options):
    """Whether labels are the user's own and are not trained as in earlier versions."""
    is_as_before = options.multi_label and options.multi_label_loss != "sum"
    return options.task_name.lower() == datasets.OWN_DATA and not is_as_before


def _check_kind(options):
    task = datasets.get_task(options.task_name)
    for name in ("multi_label", "regression"):
        if options[name].value and task.labels is not None:
            raise UserError(
                "--%s: the task %s has its own labels; use --task_name=%s"
                % (name, options.task_name, datasets.OWN_DATA)
            )
    if options.multi_label and options.regression:
        raise UserError("--multi_label and --regression are mutually exclusive")
    if not options.label_separator:
        raise UserError("--label_separator: expected the separator between labels, found nothing")


def _check_options_of_kind(options):
    """Raises `UserError` for flags that the kind does not use."""
    for name in ("class_weights", "label_smoothing", "focal_gamma"):
        if options.regression and options[name].value:
            raise UserError(
                "--%s=%s and --regression: a regression has no classes: leave one of them out"
                % (name, options[name].value)
            )
    # If a model of own data is used without training, its notes say whether it is multi-label.
    is_known = options.do_train or datasets.get_task(options.task_name).labels is not None
    for name in ("label_separator", "multi_label_loss", "threshold_rows"):
        if is_known and options[name].present and not options.multi_label:
            raise UserError(
                "--%s=%s without --multi_label: add --multi_label=true if rows have several "
                "labels, else leave it out" % (name, options[name].value)
            )
