"""Classification, multi-label classification and regression of texts and pairs of texts."""

from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.common import files, storage
from albert_zh.common.errors import UserError
from albert_zh.common.messages import say
from albert_zh.model import classifier_output, modeling, ngram_table, slot_fusion, slot_templates
from albert_zh.tasks import (
    data_checks,
    datasets,
    kind_interface,
    reader,
    registry,
    task_forms,
    task_type,
)
from albert_zh.tasks import metrics as task_metrics
from albert_zh.tasks.classification import distillation, losses
from albert_zh.tasks.classification import flags as classification_flags
from albert_zh.tasks.classification.result_files import ClassificationFiles
from albert_zh.tasks.classification.scorer import ClassificationScorer
from albert_zh.tasks.settings import COMMON_SETTINGS
from albert_zh.tasks.slots import annotations, cells, column_files, dictionaries
from albert_zh.tasks.slots import flags as slot_flags
from albert_zh.tasks.tables import label_rules, own_labels, split_files
from albert_zh.text import encoding, offsets

# Names of the flags whose values are copied to `Settings` and to a run's settings.
SETTINGS_OF_FLAGS = COMMON_SETTINGS + "pooling label_smoothing focal_gamma multi_label_loss".split()


class SingleLabel(task_type.TaskType):
    """Classification: each row belongs to exactly one of several classes."""

    name = "single_label"
    metrics = task_metrics.directions("single_label")
    usual_metrics: Tuple[str, ...] = ("accuracy",)
    is_classification = True
    export_outputs = ("probabilities", "logits")
    decoded_outputs = ("probabilities",)
    flags = classification_flags.ClassificationFlags()
    feature_modules = (annotations, cells, column_files, dictionaries, offsets)
    distillation = distillation.ClassDistillation()

    # Settings

    def settings(self, options: Any, trained: Dict[str, Any]) -> task_type.Settings:
        common = {name: options[name].value for name in SETTINGS_OF_FLAGS}
        if common["classifier_rate_factor"] is None:
            common["classifier_rate_factor"] = self.flags.rate_factor(options)
        common["pooling"] = trained.get("pooling", options.pooling)
        head = trained.get("head", {}) if trained else self.flags.head(options)
        common["scope_rate_factors"] = classification_flags.scope_rate_factors(
            head, options.learning_rate
        )
        return task_type.Settings(objective=self.name, head=head, **common)

    def settings_of_data(
        self, settings: task_type.Settings, task: Any, train: Any, options: Any
    ) -> task_type.Settings:
        if settings.head.get("slots"):
            head = slot_flags.with_names(settings.head, train.examples, task.annotator)
            settings = settings._replace(head=head)
        _say_size_of_table(task, settings)
        return settings._replace(class_weights=_class_weights(task, train, options))

    def notes(self, task: Any, settings: task_type.Settings) -> Dict[str, Any]:
        return dict(
            super().notes(task, settings),
            pooling=settings.pooling,
            label_separator=task.separator,
            compares_sentences=datasets.compares_sentences(task),
        )

    # Data

    def read_split(
        self, task: Any, data_dir: str, split: str, encoding: str, skip_bad_rows: bool
    ) -> Any:
        if task.head.get("slots"):
            path, _ = split_files.existing_path(task, data_dir, split)
            if column_files.is_there(path) or column_files.is_tagged(path, encoding):
                return column_files.read_split(
                    path, split, encoding, skip_bad_rows, task.labels or ()
                )
        return super().read_split(task, data_dir, split, encoding, skip_bad_rows)

    def open_stream(
        self, task: Any, path: str, encoding: str, skip_bad_rows: bool = False
    ) -> kind_interface.StreamedFile:
        if task.head.get("slots") and column_files.is_tagged(path, encoding):
            return kind_interface.StreamedFile(
                [], column_files.stream(path, encoding, task.labels or ())
            )
        return super().open_stream(task, path, encoding, skip_bad_rows)

    def with_labels(self, task: Any, train: Any) -> Any:
        return own_labels.with_columns_and_labels(task, train)

    def about_data(self, task: Any, splits: Dict[str, Any]) -> Tuple[List[str], Dict[str, int]]:
        lines = [line for split in splits.values() for line in reader.describe(split, task)]
        remarkable, remarks = data_checks.check(task, splits)
        return lines + remarkable, remarks

    def training_split(self, split: Any, options: Any) -> Tuple[Any, Dict[str, Any]]:
        if not options.swap_pairs:
            return split, {}
        for line in data_checks.about_both_orders(split):
            say(line)
        return reader.in_both_orders(split), {"swap_pairs": True}

    # Features

    def columns(self, task: Any) -> Dict[str, kind_interface.Column]:
        shape = tuple(self.rules.target_shape(len(task.labels)))
        label = kind_interface.Column(self.rules.target_dtype, shape)
        return dict(self.flags.further_inputs(task.head), label_ids=label)

    def features(
        self, task: Any, example: Any, tokenizer: Any, max_seq_length: int
    ) -> Tuple[List[Dict[str, Any]], bool]:
        ids, segments, was_cut = encoding.encode(
            tokenizer, example.text_a, example.text_b, max_seq_length
        )
        label = datasets.label_value(task, example.label)
        row = {"input_ids": ids, "segment_ids": segments, "label_ids": label}
        if task.head.get("slots"):
            names = task.head["slots"]["names"]
            row[cells.COLUMN] = annotations.column_of(
                example, tokenizer, segments, names, task.annotator
            )
        return [row], was_cut

    def about_features(
        self, task: Any, split: Any, tokenizer: Any, max_seq_length: int
    ) -> Tuple[List[str], Dict[str, int]]:
        lines, remarks = super().about_features(task, split, tokenizer, max_seq_length)
        if task.head.get("slots"):
            lines += annotations.about_unknown(split.examples, task.head["slots"]["names"])
        return lines, remarks

    # Model

    def output_positions(self, settings: Any) -> Optional[Any]:
        if settings.head.get("slots"):  # attention uses all positions
            return None
        return classifier_output.output_positions(settings.pooling)

    def outputs(
        self,
        config: Any,
        model: Any,
        features: Dict[str, Any],
        num_outputs: int,
        settings: Any,
        is_training: bool,
    ) -> Dict[str, Any]:
        changed = None
        if settings.head.get("slots"):
            if is_training:
                features = slot_fusion.features_of_step(features, settings.head)
            changed = slot_fusion.fusion(features, config, settings.head, is_training)
        pooled = classifier_output.pooled_output(
            model, features["input_mask"], settings.pooling, changed
        )  # [B, H]
        head = modeling.classification_head(
            config, pooled, None, num_outputs, is_training, settings.initial_bias
        )
        outputs = {"logits": head.logits}  # [B, C]
        of_table = _table_logits(features, config.vocab_size, num_outputs, settings)
        if of_table is not None:
            outputs = ngram_table.beside_encoder(outputs, of_table, is_training)
        probabilities = classifier_output.probabilities(outputs["logits"], self.name)
        return dict(outputs, probabilities=probabilities)

    def losses(self, outputs: Dict[str, Any], features: Dict[str, Any], settings: Any) -> Any:
        names = [name for name in ("logits", ngram_table.LOGITS) if name in outputs]
        labels = features["label_ids"]
        return tf.add_n([losses.per_example_loss(outputs[n], labels, settings) for n in names])

    def divergence(
        self,
        outputs: Dict[str, Any],
        others: Dict[str, Any],
        features: Dict[str, Any],
        settings: Any,
    ) -> Any:
        return losses.divergence(
            outputs["logits"], others["logits"], self.name, settings.multi_label_loss
        )

    # Results

    def scorer(
        self,
        use: kind_interface.ModelInUse,
        settings: Any,
        options: Any = None,
        num_errors: int = 0,
    ) -> Any:
        return ClassificationScorer(self, use.task, settings, use.notes, options, num_errors)

    def result_files(self, folder: str, use: kind_interface.ModelInUse, options: Any) -> Any:
        return ClassificationFiles(use.task, folder, use.notes, options)

    def decode(
        self, examples: Sequence[Any], predictions: Sequence[List[Dict[str, np.ndarray]]], use: Any
    ) -> List[Any]:
        rows = [rows[0]["probabilities"] for rows in predictions]
        probabilities = np.array(rows).reshape([len(rows), len(use.task.labels)])
        thresholds = use.notes.get("thresholds") or label_rules.DEFAULT_THRESHOLD
        return self.rules.decoded(probabilities, use.task.labels, thresholds)

    def answer(
        self, decoded: List[Any], outputs: Optional[np.ndarray], labels: Sequence[str]
    ) -> Dict[str, Any]:
        probabilities = outputs.tolist()  # type: ignore[union-attr] # these kinds have outputs
        return {"classes": labels, "labels": decoded, "probabilities": probabilities}

    def next_command(self, task: Any) -> Tuple[str, str]:
        has_name = len(task_forms.columns_of_same_meaning(task.labels)) == 1
        if datasets.compares_sentences(task) and has_name:
            return "similarity", '"怎么开户" "如何开通账户"'
        pair = '"怎么开户" "如何开通账户"' if task_forms.is_pair(task) else '"这家店的菜很好吃"'
        return "classify", pair


class MultiLabel(SingleLabel):
    """Multi-label classification: each row has any number of labels."""

    name = "multi_label"
    metrics = task_metrics.directions("multi_label")
    usual_metrics = ("micro_f1", "macro_f1", "accuracy")
    tuned_notes = ("thresholds",)
    rules = label_rules.MultiLabelRules()
    distillation = distillation.LabelDistillation()

    def settings_of_data(
        self, settings: task_type.Settings, task: Any, train: Any, options: Any
    ) -> task_type.Settings:
        settings = super().settings_of_data(settings, task, train, options)
        if not (self.flags.sums_over_labels(options) and train.has_labels):
            return settings
        counts = own_labels.label_counts(task, train)
        shares = [counts[label] for label in task.labels]
        return settings._replace(initial_bias=losses.prior_logits(shares, len(train.examples)))


class Regression(SingleLabel):
    """Regression: the label of each row is a number."""

    name = "regression"
    metrics = task_metrics.directions("regression")
    usual_metrics = ("pearson", "spearman")
    rules = label_rules.ValueRules()
    distillation = distillation.ValueDistillation()
    scales_loss = False  # gradients grow with the values


def _table_logits(features, vocab_size, num_outputs, settings):
    """The logits of slot templates or n-grams, float [B, C]; None for a model without a table."""
    ids, mask, bias = features["input_ids"], features["input_mask"], settings.initial_bias
    if slot_templates.are_in(settings.head):
        return slot_templates.template_logits(ids, mask, features["slots"], num_outputs, bias)
    if not ngram_table.num_rows(settings.head):
        return None
    shape = ngram_table.table_shape(settings.head, vocab_size)
    return ngram_table.ngram_logits(ids, mask, shape, num_outputs, bias)


def _say_size_of_table(task, settings):
    """Prints the size of the table of n-grams, if the model has one."""
    rows = ngram_table.num_rows(settings.head)
    if rows:
        num_outputs = datasets.num_outputs(task)
        size = 4e-6 * rows * num_outputs
        say(
            "table of n-grams: %d x %d weights, %.1f MB; the training loss shown is the sum of the "
            "encoder's and the table's",
            rows,
            num_outputs,
            size,
        )


def _class_weights(task, train, options):
    """List of float, one per class, according to --class_weights; None for 1."""
    if not options.class_weights:
        return None
    if options.class_weights == "balanced":
        counts = own_labels.label_counts(task, train)
        return losses.balanced_weights([counts[label] for label in task.labels])
    if not storage.exists(options.class_weights):
        raise UserError(
            "--class_weights=%s: expected balanced, or an existing JSON file {label: weight}"
            % options.class_weights
        )
    given = files.read_json(options.class_weights, losses.CLASS_WEIGHTS)
    weights = losses.weights_of_labels(given, task.labels, options.class_weights)
    left_out = [label for label in task.labels if label not in given]
    if left_out:
        say("class weight 1 for: %s", ", ".join(left_out))
    return weights


for _kind in (SingleLabel(), MultiLabel(), Regression()):
    registry.register(_kind)
