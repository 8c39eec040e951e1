"""Sequence labelling as kinds of task: entities and words, by tags of pieces or scores of spans."""

import os
import re
from typing import Any, Callable, Dict, List, Sequence, Tuple

import tensorflow.compat.v1 as tf

from albert_zh.common import storage
from albert_zh.common.errors import UserError
from albert_zh.common.messages import say
from albert_zh.tasks import kind_interface, registry
from albert_zh.tasks.labelling import (
    alignment,
    column_files,
    distillation,
    features,
    format_detection,
    global_pointer,
    granularity,
    granularity_data,
    granularity_names,
    head_names,
    heads,
    json_files,
    labelled_data,
    original_tags,
    predictions,
    reader,
    segmented_files,
    spans,
    splits,
    tag_schemes,
)
from albert_zh.tasks.labelling.result_files import LabellingFiles
from albert_zh.tasks.labelling.scorer import (
    METRICS,
    SPAN_METRICS,
    USUAL_METRICS,
    LabellingScorer,
)
from albert_zh.tasks.tables import split_files
from albert_zh.text import offsets

_HEADS: Dict[str, Callable[..., Any]] = {
    head_names.CRF: heads.crf_head,
    head_names.SOFTMAX: heads.softmax_head,
    head_names.GLOBAL_POINTER: global_pointer.global_pointer_head,
    head_names.EFFICIENT_GLOBAL_POINTER: global_pointer.efficient_global_pointer_head,
}
ORIGINAL_FOLDER = "original"  # in the output folder: a converted checkpoint of another program
# A text with only Chinese characters and these marks has one piece per character.
_MAY_HAVE_LONG_PIECES = re.compile("[^\u4e00-\u9fff，。！？、：；（）《》“”]")
GRANULARITY = "granularity_id"  # name of the column with a row's granularity
_SPAN_COLUMNS = ("span_starts", "span_ends", "span_types")


class LabellingFlags(labelled_data.LabelledDataFlags):
    """Flags of labelling that affect files and checkpoints."""

    def start_of(self, prefix: str, output_dir: str) -> str:
        outputs = original_tags.outputs_of(prefix)
        if outputs is None:
            return prefix
        say(
            "note: %s has %d outputs and no label_map.json: it is treated as a model of NEZHA's "
            "run_classifier_ner.py, with the tags %s",
            prefix,
            len(outputs),
            ", ".join(original_tags.tags_of(outputs)),
        )
        folder = os.path.join(output_dir, ORIGINAL_FOLDER)
        return original_tags.as_model_folder(prefix, outputs, folder)


class SequenceLabelling(labelled_data.LabelledData):
    """Assigns a tag to each word piece, by softmax or a conditional random field."""

    name = "sequence_labelling"
    flags = LabellingFlags()
    metrics = METRICS
    usual_metrics = USUAL_METRICS
    export_outputs: Tuple[str, ...] = ("logits", "transitions")
    decoded_outputs: Tuple[str, ...] = ("logits", "transitions")
    token_outputs: Tuple[str, ...] = ("logits",)
    answer_of_row = staticmethod(predictions.tags_of_row)
    answer_names = "tags"
    distillation: Any = distillation.TagDistillation()
    plain_texts = staticmethod(reader.plain_texts)
    text_as_read = staticmethod(features.text_as_read)
    learns_whole_spans = False
    feature_modules = (
        alignment,
        column_files,
        features,
        format_detection,
        granularity_data,
        granularity_names,
        json_files,
        offsets,
        predictions,
        reader,
        segmented_files,
        spans,
        splits,
        tag_schemes,
    )

    # Features

    def columns(self, task: Any) -> Dict[str, kind_interface.Column]:
        columns = {"tag_ids": kind_interface.Column("int", is_per_token=True)}
        if granularity_names.names(task.head):
            columns[GRANULARITY] = kind_interface.Column("int")
        return columns

    def features(
        self, task: Any, example: Any, tokenizer: Any, max_seq_length: int
    ) -> Tuple[List[Dict[str, Any]], bool]:
        encoded = predictions.encoded_text(task, example, tokenizer, max_seq_length)
        tag_ids, scheme = predictions.tag_table(tuple(task.labels))
        rows, _ = features.tag_rows(encoded, example.label or (), tag_ids, scheme)
        records = [
            {"input_ids": ids, "segment_ids": [0] * len(ids), "tag_ids": tags}
            for ids, tags in zip(encoded.input_ids, rows)
        ]
        names = granularity_names.names(task.head)
        for record in records if names else ():
            record[GRANULARITY] = names.index(granularity_names.chosen(task.head, example))
        return records, False

    def about_features(
        self, task: Any, split: Any, tokenizer: Any, max_seq_length: int
    ) -> Tuple[List[str], Dict[str, int]]:
        counts = [
            _label_counts(self, task, example, tokenizer, max_seq_length)
            for example in split.examples
        ]
        total = features.added_counts(counts)
        remarks = {
            "entities_inside_a_piece": total.inexact,
            "entities_left_out": total.left_out,
            "entities_in_no_row": total.in_no_row,
        }
        remarks = {name: count for name, count in remarks.items() if count}
        lines, _ = super().about_features(task, split, tokenizer, max_seq_length)
        return lines + features.notes_of_counts(total), remarks

    def counts_of_text(self, task: Any, encoded: Any, gold: Sequence[Any]) -> Any:
        """Returns the `features.LabelCounts` of a text's gold spans."""
        return self.tags_of_text(task, encoded, gold)[1]

    def tags_of_text(self, task: Any, encoded: Any, gold: Any) -> Tuple[List[str], Any]:
        """Returns (gold tags of a text's pieces, `features.LabelCounts`)."""
        tag_ids, scheme = predictions.tag_table(tuple(task.labels))
        whole = encoded._replace(
            windows=[alignment.Window(0, len(encoded.offsets), 0, len(encoded.offsets))]
        )
        rows, counts = features.tag_rows(whole, gold, tag_ids, scheme)
        return [task.labels[number] for number in rows[0][encoded.first_piece : -1]], counts

    # Model

    def outputs(
        self,
        config: Any,
        model: Any,
        features: Dict[str, tf.Tensor],
        num_outputs: int,
        settings: Any,
        is_training: bool,
    ) -> Dict[str, tf.Tensor]:
        rows, first_piece, added_loss = _rows_of_granularity(
            config, model.get_sequence_output(), features, settings.head, is_training
        )
        head = _HEADS[settings.head.get("form", head_names.CRF)]
        output = head(rows, features, config, num_outputs, is_training, first_piece)
        logits = output.predictions["logits"]  # [B, P, K]
        transitions = output.transitions
        if transitions is None:
            transitions = tf.zeros([num_outputs, num_outputs])
        num_rows = tf.shape(logits)[0]
        outputs = {
            "logits": tf.pad(logits, [[0, 0], [first_piece, 0], [0, 0]]),  # [B, F, K]
            "transitions": tf.tile(transitions[None], [num_rows, 1, 1]),  # [B, K, K]
        }
        if output.per_example_loss is not None:
            outputs["loss"] = output.per_example_loss + added_loss  # [B]
        return outputs

    def losses(
        self, outputs: Dict[str, tf.Tensor], features: Dict[str, tf.Tensor], settings: Any
    ) -> tf.Tensor:
        return outputs["loss"]

    # Results

    def predicted(self, examples: Sequence[Any], rows: Any, use: Any) -> List[Any]:
        """Returns the list of `predictions.Prediction` of examples, given their rows' outputs."""
        return predictions.of_tags(examples, rows, use)

    def scorer(
        self,
        use: kind_interface.ModelInUse,
        settings: Any,
        options: Any = None,
        num_errors: int = 0,
    ) -> Any:
        return LabellingScorer(self, use, options, num_errors)

    def result_files(self, folder: str, use: kind_interface.ModelInUse, options: Any) -> Any:
        return LabellingFiles(folder, self, use, _format_of_test(use.task, options))

    def decode(
        self, examples: Sequence[Any], predictions_of_rows: Sequence[Any], use: Any
    ) -> List[Any]:
        predicted = self.predicted(examples, predictions_of_rows, use)
        return [predictions.as_json(e.text_a, found) for e, found in zip(examples, predicted)]

    def next_command(self, task: Any) -> Tuple[str, str]:
        return "label", '"王小明昨天去了北京大学"'


def _rows_of_granularity(config, rows, features, head, is_training):
    """(rows for the head [B, F, H], position of the first piece, additional loss [B] or 0)."""
    parts = granularity_data.model_settings(head)
    if parts is None:
        return rows, heads.FIRST_PIECE, 0.0
    loss = 0.0
    if GRANULARITY in features:
        loss = granularity.granularity_loss(rows, features[GRANULARITY], config, parts, is_training)
    joined = granularity.joined_output(rows, features, config, parts, is_training)
    return joined, granularity_data.first_piece(head), loss


def _label_counts(kind, task, example, tokenizer, max_seq_length):
    """Returns the `features.LabelCounts` of an example."""
    gold = example.label or ()
    longest = max(len(example.text_a), len(gold))
    may_be_in_no_row = kind.learns_whole_spans and longest > max_seq_length - 2
    if not may_be_in_no_row and not _MAY_HAVE_LONG_PIECES.search(example.text_a):
        return features.LabelCounts(len(gold), 0, 0)
    encoded = predictions.encoded_text(task, example, tokenizer, max_seq_length)
    return kind.counts_of_text(task, encoded, gold)


def _format_of_test(task, options):
    """Returns the format of written predictions: the test file's, a key of `reader.FORMATS`."""
    path = storage.is_file(options.data_dir) and options.data_dir
    path = path or split_files.split_path(task, options.data_dir, "test")[0]
    return splits.format_of(task, path, "test", options.encoding) if path else None


class SpanLabelling(SequenceLabelling):
    """Scores each pair of a first and a last word piece, so entities may be nested."""

    name = "span_labelling"
    learns_whole_spans = True
    metrics = SPAN_METRICS
    usual_metrics = tuple(name for name in SPAN_METRICS if name != "loss")
    distillation = None  # the graph only outputs the best spans, not scores of all spans
    export_outputs = decoded_outputs = ("span_scores", "span_types", "span_starts", "span_ends")
    token_outputs = decoded_outputs  # sorted; no more than the number of tokens is shown
    answer_of_row = staticmethod(predictions.spans_of_row)
    answer_names = "spans"

    def labels_of(self, task: Any, train: Any, types: Sequence[str]) -> Tuple[str, ...]:
        if types == [""]:
            raise UserError(
                "%s: --head=%s cannot segment a text into words without gaps: use --head=crf"
                % (train.path, task.head["form"])
            )
        return tuple(types)

    def types_of(self, task: Any) -> List[str]:
        return list(task.labels)

    def scheme_of(self, task: Any) -> Any:
        return None

    def counts_of_text(self, task: Any, encoded: Any, gold: Sequence[Any]) -> Any:
        return features.span_rows(encoded, gold, self.ids_of(task))[1]

    def ids_of(self, task: Any) -> Dict[str, int]:
        """Returns {type: id}."""
        return {name: number for number, name in enumerate(task.labels)}

    def columns(self, task: Any) -> Dict[str, kind_interface.Column]:
        return {name: kind_interface.Column("int", is_per_token=True) for name in _SPAN_COLUMNS}

    def features(
        self, task: Any, example: Any, tokenizer: Any, max_seq_length: int
    ) -> Tuple[List[Dict[str, Any]], bool]:
        encoded = predictions.encoded_text(task, example, tokenizer, max_seq_length)
        rows, _ = features.span_rows(encoded, example.label or (), self.ids_of(task))
        records = []
        for ids, spans_of_row in zip(encoded.input_ids, rows):
            record = {"input_ids": ids, "segment_ids": [0] * len(ids)}
            # Types are counted from 1, since the columns are padded with 0.
            listed = [(first, last, kind + 1) for first, last, kind in spans_of_row]
            columns = zip(*listed) if listed else ((), (), ())
            record.update((name, list(column)) for name, column in zip(_SPAN_COLUMNS, columns))
            records.append(record)
        return records, False

    def outputs(
        self,
        config: Any,
        model: Any,
        features: Dict[str, tf.Tensor],
        num_outputs: int,
        settings: Any,
        is_training: bool,
    ) -> Dict[str, tf.Tensor]:
        if "span_types" in features:
            features = dict(features, span_types=features["span_types"] - 1)
        head = _HEADS[settings.head.get("form", head_names.CRF)]
        output = head(model.get_sequence_output(), features, config, num_outputs, is_training)
        spans_of_rows = output.predictions
        is_span = spans_of_rows["span_types"] >= 0  # [B, S]
        outputs = {"span_types": spans_of_rows["span_types"]}
        for name in ("span_scores", "span_starts", "span_ends"):  # same zeros on any machine
            column = spans_of_rows[name]
            outputs[name] = tf.where(is_span, column, tf.zeros_like(column))
        if output.per_example_loss is not None:
            outputs["loss"] = output.per_example_loss  # [B]
        return outputs

    def predicted(self, examples: Sequence[Any], rows: Any, use: Any) -> List[Any]:
        return predictions.of_pairs(examples, rows, use)


for _kind in (SequenceLabelling(), SpanLabelling()):
    registry.register(_kind)
