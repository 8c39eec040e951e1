"""Kinds of tasks: everything that differs between classification, labelling, reading and others.

A data set (`task_forms.Task`) names its kind by `objective`. Fine-tuning, prediction files,
reports, `Predictor`, serve.py and exports are independent of the kind: they call
`registry.type_of(task)`. A new kind is a subclass of `TaskType` in a separate module, with an entry
in `registry` or a call of its `register`.
"""

import functools
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.tasks import (
    counted_rows,
    datasets,
    dev_split,
    input_examples,
    reader,
    registry,
    result_files,
    task_forms,
    unknown_words,
)
from albert_zh.tasks.kind_interface import Column, KindFlags, ModelInUse, StreamedFile
from albert_zh.tasks.settings import COMMON_SETTINGS, Settings
from albert_zh.tasks.tables import (
    column_choice,
    columns,
    header_columns,
    label_checks,
    label_rules,
    named_columns,
    own_labels,
    position_columns,
    rows,
    split_files,
    text_groups,
)


class TaskType:
    """A kind of task. Most methods have a default that suits texts in the columns of a table.

    Attributes:
        name: name of the kind in `fine_tuning.json` and `task_forms.Task.objective`.
        metrics: {name: whether higher is better} of the dev metrics by which a checkpoint can be
            chosen.
        usual_metrics: names of the metrics that are always reported; the best checkpoint is chosen
            by the first one unless another metric is requested.
        scales_loss: whether the loss is small enough to be scaled in `mixed_float16`.
        is_classification: whether `decode` returns classes or values, and the first of
            `decoded_outputs` has a column for each.
        export_outputs: names of the outputs that frozen graphs have.
        decoded_outputs: names of the outputs that `decode` needs and other exported files have.
        token_outputs: names of the outputs that have one value for each token, [B, F, ...].
        answer_of_row: function (outputs of a row {name: array [F, ...]}, labels, head) -> the tags
            or spans from which an answer is decoded, by which exported files are compared; None if
            the kind has none.
        answer_names: name of a text's answers, in the plural, in such comparisons.
        tuned_notes: keys of `fine_tuning.json` whose values a scorer tunes on dev.
        has_head: whether its models have variables besides the pre-trained ones; a generator does
            not: it predicts words with the masked language model's variables.
        is_mostly_encoder: whether the head needs little computation compared with the encoder.
        builds_encoder: whether `outputs` builds the encoder itself, on other rows than the batch.
        rows_are_independent: whether a row's loss is a function of that row alone.
        lengths_column: for records with several texts of at most `max_seq_length` tokens each, the
            column with their lengths; None: the whole record has at most that many tokens.
        length_flag: name of the flag that sets the maximum length of an example's text.
        further_length_flag: name of the flag that reserves a part of that length for the target, so
            that the source cannot use it; None without targets.
        required_text: name of an example's first text, if the model in use rejects an empty one;
            None: it may be empty.
        flags: `KindFlags`.
        rules: `LabelRules` of the label column, for data in tables.
        feature_modules: modules that create features, in addition to the modules of this class and
            its base classes: a change of their code makes cached features stale.
        distillation: `distillation.Distillation`, how it learns from teachers; None: it cannot.
        plain_texts: function (path, encoding) -> iterator of the texts of one of its files, without
            labels; None: its texts are in columns of tables.
        text_as_read: function (head, text) -> the text as the model reads it.
        dev_of_rows: function (task, folder of the data, split of the rows of the training file that
            are set aside as dev, encoding, skip_bad_rows) -> the dev split; raises `UserError` if
            nothing can be measured on these rows.
    """

    name = ""
    metrics: Dict[str, bool] = {}
    usual_metrics: Tuple[str, ...] = ()
    scales_loss = True
    is_classification = False
    export_outputs: Tuple[str, ...] = ("logits",)
    decoded_outputs: Tuple[str, ...] = ("logits",)
    token_outputs: Tuple[str, ...] = ()
    answer_of_row: Optional[Callable[[Dict[str, np.ndarray], Sequence[str], Any], Any]] = None
    answer_names = "labels"
    tuned_notes: Tuple[str, ...] = ()
    builds_encoder = False
    is_mostly_encoder = True
    rows_are_independent = True
    has_head = True
    lengths_column: Optional[str] = None
    length_flag = "max_seq_length"
    further_length_flag: Optional[str] = None
    required_text: Optional[str] = None
    flags = KindFlags()
    rules = label_rules.LabelRules()
    feature_modules: Tuple[Any, ...] = (
        column_choice,
        columns,
        datasets,
        dev_split,
        header_columns,
        input_examples,
        label_checks,
        label_rules,
        named_columns,
        own_labels,
        position_columns,
        reader,
        registry,
        rows,
        split_files,
        task_forms,
        text_groups,
    )
    distillation: Optional[Any] = None
    plain_texts: Optional[Callable[[str, str], Iterator[str]]] = None
    text_as_read: Callable[[Any, str], str] = staticmethod(lambda head, text: text)
    dev_of_rows: Callable[..., Any] = staticmethod(lambda task, data_dir, rows, *how: rows)

    # Settings

    def settings(self, options: Any, trained: Dict[str, Any]) -> Settings:
        """How the head is built and the model is trained, according to the flags.

        Args:
            options: the flags.
            trained: content of the model's fine_tuning.json if a model is used without training,
                otherwise empty: flags cannot change how that model was trained.
        """
        common = {name: options[name].value for name in COMMON_SETTINGS}
        if common["classifier_rate_factor"] is None:
            common["classifier_rate_factor"] = self.flags.rate_factor(options)
        head = trained["head"] if "head" in trained else self.flags.head(options)
        return Settings(objective=self.name, head=head, **common)

    def settings_of_data(self, settings: Settings, task: Any, train: Any, options: Any) -> Settings:
        """The settings, completed with those that depend on the training rows.

        Args:
            settings: settings as `settings` returns them.
            task: `task_forms.Task`.
            train: `input_examples.Split`.
            options: the flags.
        """
        return settings

    def notes(self, task: Any, settings: Settings) -> Dict[str, Any]:
        """{key: JSON value} of this kind's additional entries in fine_tuning.json."""
        return {"head": settings.head} if settings.head else {}

    # Data

    def read_split(
        self, task: Any, data_dir: str, split: str, encoding: str, skip_bad_rows: bool
    ) -> Any:
        """Reads one file of a data set.

        Args:
            task: `task_forms.Task`.
            data_dir: the folder of the data set.
            split: "train", "dev" or "test".
            encoding: character encoding of the file.
            skip_bad_rows: skip and count malformed rows.

        Returns:
            `input_examples.Split`, whose examples have `guid`, `text_a`, `text_b` and `label` (None
            if it is unknown).

        Raises:
            UserError: for a file that is missing or malformed.
        """
        return reader.read_split(task, data_dir, split, encoding, skip_bad_rows)

    def with_labels(self, task: Any, train: Any) -> Any:
        """The task of own data, completed with the columns and labels of its training file.

        Args:
            task: `task_forms.Task` without labels.
            train: `input_examples.Split`.
        """
        labels = sorted({example.label for example in train.examples if example.label is not None})
        return task._replace(
            columns=train.columns, header=tuple(train.header), labels=tuple(labels)
        )

    def about_data(self, task: Any, splits: Dict[str, Any]) -> Tuple[List[str], Dict[str, int]]:
        """(lines for the user, {remark: count} for the report) about the files of a run."""
        lines = []
        for split in splits.values():
            lines.append("%s: %s" % (split.path, counted_rows.size_in_words(split)))
            lines += ["note: %s: %s" % (split.path, note) for note in split.notes]
        return lines, {}

    def open_stream(
        self, task: Any, path: str, encoding: str, skip_bad_rows: bool = False
    ) -> StreamedFile:
        """Opens a file whose records are predicted one by one, even if they are malformed.

        With `skip_bad_rows`, malformed records are skipped and counted.
        """
        return StreamedFile(*reader.open_stream(task, path, encoding, skip_bad_rows))

    def training_split(self, split: Any, options: Any) -> Tuple[Any, Dict[str, Any]]:
        """The rows of a training file on which the model is trained, according to the flags.

        Returns:
            (`input_examples.Split`, {name: value} of the settings that changed the rows, for the
            fingerprint of the features).
        """
        return split, {}

    # Features

    def columns(self, task: Any) -> Dict[str, Column]:
        """{name: `Column`} of the targets in feature records."""
        return {}

    def features(
        self, task: Any, example: Any, tokenizer: Any, max_seq_length: int
    ) -> Tuple[List[Dict[str, Any]], bool]:
        """Converts an example to rows of ids: one row, or several windows of a long text.

        Args:
            task: `task_forms.Task`, with labels and `head`.
            example: an example as `read_split` returns it; its label may be None.
            tokenizer: `FullTokenizer`.
            max_seq_length: longest row.

        Returns:
            (rows, whether text was truncated); a row is {"input_ids", "segment_ids": list of int
            [F], and a value for each of `columns`}.
        """
        raise NotImplementedError

    def about_features(
        self, task: Any, split: Any, tokenizer: Any, max_seq_length: int
    ) -> Tuple[List[str], Dict[str, int]]:
        """(lines for the user, {remark: count}) about unknown words, labels not matching tokens.

        Args:
            task: `task_forms.Task`.
            split: a split as `read_split` returns it.
            tokenizer: `FullTokenizer`.
            max_seq_length: longest row.
        """
        read = functools.partial(self.text_as_read, task.head)
        return unknown_words.notes(split.examples, tokenizer, read), {}

    # Model: B rows, F tokens, H hidden, C outputs

    def output_positions(self, settings: Any) -> Optional[Any]:
        """The positions at which the head needs the last layer, see `AlbertModel`; None for all."""
        return None

    def outputs(
        self,
        config: Any,
        model: Any,
        features: Dict[str, tf.Tensor],
        num_outputs: int,
        settings: Any,
        is_training: bool,
    ) -> Dict[str, tf.Tensor]:
        """Builds the head.

        Args:
            config: `AlbertConfig`.
            model: `AlbertModel`; with `builds_encoder`, a function that creates an `AlbertModel`
                from rows {`input_ids`, `input_mask`, `segment_ids`: int [N, F]}, a config and
                further arguments.
            features: `input_ids`, `input_mask`, `segment_ids` int [B, F]; in training and
                evaluation also `columns`.
            num_outputs: C.
            settings: `settings.Settings`.
            is_training: bool.

        Returns:
            {name: tensor [B, ...]}: the inputs of the losses and the predictions, including
            `export_outputs`.
        """
        raise NotImplementedError

    def losses(
        self, outputs: Dict[str, tf.Tensor], features: Dict[str, tf.Tensor], settings: Any
    ) -> tf.Tensor:
        """The loss of each row, float [B]."""
        raise NotImplementedError

    def divergence(
        self,
        outputs: Dict[str, tf.Tensor],
        others: Dict[str, tf.Tensor],
        features: Dict[str, tf.Tensor],
        settings: Any,
    ) -> tf.Tensor:
        """R-Drop's divergence of two passes, float [B]; by default for independent softmaxes."""
        p, q = tf.nn.log_softmax(outputs["logits"]), tf.nn.log_softmax(others["logits"])
        divergences = 0.5 * tf.reduce_sum((tf.exp(p) - tf.exp(q)) * (p - q), axis=-1)
        return tf.reduce_mean(tf.reshape(divergences, [tf.shape(p)[0], -1]), axis=1)

    # Results

    def scorer(
        self,
        use: "ModelInUse",
        settings: Any,
        options: Any = None,
        num_errors: int = 0,
    ) -> Any:
        """A `scorer.Scorer` for labelled examples.

        Args:
            use: the model; its notes contain the values of `tuned_notes`, if there are any.
            settings: `settings.Settings`.
            options: the flags, or None for their defaults.
            num_errors: how many of the worst errors are stored.
        """
        raise NotImplementedError

    def result_files(self, folder: str, use: "ModelInUse", options: Any) -> Any:
        """The files of a prediction, a `result_files.ResultFiles`.

        Args:
            folder: the folder to which they are written.
            use: the model; its notes contain the values of `tuned_notes`.
            options: the flags.
        """
        return result_files.JsonLines(folder, self, use)

    # Use

    def decode(
        self, examples: Sequence[Any], predictions: Sequence[List[Dict[str, np.ndarray]]], use: Any
    ) -> List[Any]:
        """The predictions for examples, as `Predictor` and serve.py return them.

        Args:
            examples: examples without labels.
            predictions: for each example the `decoded_outputs` of its rows, each {name: array};
                per-token arrays have no padding.
            use: `ModelInUse`.

        Returns:
            list of JSON values, one for each example.
        """
        raise NotImplementedError

    def answer(
        self, decoded: List[Any], outputs: Optional[np.ndarray], labels: Sequence[str]
    ) -> Dict[str, Any]:
        """The JSON object of serve.py's response to /predict.

        Args:
            decoded: predictions as `decode` returns them.
            outputs: the first of `decoded_outputs`, [n, ...]; None if rows differ in length.
            labels: the model's labels.
        """
        return {"predictions": decoded}

    def next_command(self, task: Any) -> Tuple[str, str]:
        """(command, arguments) with which to try a model of this task, shown after training.

        A training command, whose name begins with run_, takes the model by --init_checkpoint.
        """
        return "classify", '"这家店的菜很好吃"'
