"""Reading comprehension as a kind of task: a question is answered by a span of its context."""

from typing import Any, Dict, List, Sequence, Tuple

import tensorflow.compat.v1 as tf

from albert_zh.common.errors import UserError
from albert_zh.model import span_head
from albert_zh.tasks import kind_interface, registry, task_type
from albert_zh.tasks.reading import (
    distillation,
    examples,
    original_windows,
    question_files,
    questions,
    records,
    span_scores,
    window_places,
    windows,
)
from albert_zh.tasks.reading import flags as reading_flags
from albert_zh.tasks.reading.answer_files import AnswerFiles
from albert_zh.tasks.reading.task_scorer import TaskScorer
from albert_zh.text import offsets

START, END = "start_logits", "end_logits"
Tensors = Dict[str, tf.Tensor]


class ReadingComprehension(task_type.TaskType):
    """Extractive reading comprehension: the answer is the best span of all windows of a context."""

    name = "reading_comprehension"
    metrics = {"f1": True, "exact_match": True, "average": True, "loss": False}
    usual_metrics = ("f1", "exact_match")
    export_outputs = decoded_outputs = token_outputs = (START, END)
    answer_of_row = staticmethod(
        lambda outputs, *_: span_scores.best_positions(outputs[START], outputs[END])
    )
    answer_names = "answer spans"
    tuned_notes = records.TUNED
    length_flag = "max_query_length"
    required_text = "question"
    flags = reading_flags.ReadingFlags()
    rules = examples.AnswerRules()
    distillation = distillation.SpanDistillation()
    feature_modules = (
        records, windows, window_places, original_windows, questions, question_files, examples,
        offsets,
    )  # fmt: skip

    # Settings

    def settings(self, options: Any, trained: Dict[str, Any]) -> Any:
        settings = super().settings(options, trained)
        head = dict(settings.head, **reading_flags.given_head(options))
        records.check_threshold(head, options)
        return settings._replace(head=head)

    def settings_of_data(self, settings: Any, task: Any, train: Any, options: Any) -> Any:
        asked = [examples.question_of(example) for example in train.examples]
        usual = {
            "max_answer_length": windows.usual_max_answer_length(asked),
            "version_2_with_negative": any(question.is_impossible for question in asked),
        }
        missing = {name: value for name, value in usual.items() if settings.head[name] is None}
        if settings.head["original_features"] and missing.get("version_2_with_negative"):
            raise UserError(
                "%s: %d of its %d questions have no answer, which --original_features never "
                "predicts: leave that flag out, or add --version_2_with_negative=false to train "
                "on the others"
                % (train.path, sum(question.is_impossible for question in asked), len(asked))
            )
        head = dict(settings.head, **missing)
        records.check_threshold(head, options)
        return settings._replace(head=head)

    def notes(self, task: Any, settings: Any) -> Dict[str, Any]:
        return dict(super().notes(task, settings), compares_sentences=False)

    # Data

    def read_split(
        self, task: Any, data_dir: str, split: str, encoding: str, skip_bad_rows: bool
    ) -> Any:
        read = examples.read_split(task, data_dir, split, encoding, skip_bad_rows)
        if split != "test" and not read.has_labels:
            raise UserError(
                "%s: none of its %d questions has an answer that is in its context: expected a "
                "labelled file for %s" % (read.path, len(read.examples), split)
            )
        return read

    def with_labels(self, task: Any, train: Any) -> Any:
        return task._replace(columns=train.columns, header=(), labels=examples.LABELS)

    def about_data(self, task: Any, splits: Dict[str, Any]) -> Tuple[List[str], Dict[str, int]]:
        lines, remarks = super().about_data(task, splits)
        for split in splits.values():
            for name, count in split.counts.items():
                remarks["%s_in_%s" % (name, split.name)] = count
        lines = [line.replace(" rows", " questions", 1) for line in lines]
        return lines + examples.notes_of_shared_file(splits), remarks

    def open_stream(
        self, task: Any, path: str, encoding: str, skip_bad_rows: bool = False
    ) -> kind_interface.StreamedFile:
        content = question_files.read_questions(path, encoding, skip_bad_rows=skip_bad_rows)
        read = examples.examples_of(content, "test")
        records_of_file = iter([(example, None) for example in read])
        notes = examples.notes_of_counts(content.counts)
        return kind_interface.StreamedFile(notes, records_of_file, dict(content.counts))

    def training_split(self, split: Any, options: Any) -> Tuple[Any, Dict[str, Any]]:
        asked = [(example, examples.question_of(example)) for example in split.examples]
        has_negative = options.version_2_with_negative is not False
        kept = [
            example
            for example, question in asked
            if question.is_trainable and (has_negative or not question.is_impossible)
        ]
        if not kept:
            raise UserError(
                "%s: no question with an answer in its context to train on" % split.path
            )
        return split._replace(examples=kept), {"trained_questions": len(kept)}

    # Features

    def columns(self, task: Any) -> Dict[str, kind_interface.Column]:
        return {
            "start_positions": kind_interface.Column("int"),
            "end_positions": kind_interface.Column("int"),
            "span_mask": kind_interface.Column("int", is_per_token=True),
        }

    def features(
        self, task: Any, example: Any, tokenizer: Any, max_seq_length: int
    ) -> Tuple[List[Dict[str, Any]], bool]:
        question = examples.question_of(example)
        return records.records(question, tokenizer, max_seq_length, task.head)

    # Model

    def outputs(
        self,
        config: Any,
        model: Any,
        features: Tensors,
        num_outputs: int,
        settings: Any,
        is_training: bool,
    ) -> Tensors:
        head = span_head.span_head(config, model.get_sequence_output())
        return {START: head.start_logits, END: head.end_logits}  # [B, F]

    def losses(self, outputs: Tensors, features: Tensors, settings: Any) -> tf.Tensor:
        logits = [_masked(outputs, name, features) for name in (START, END)]
        positions = [features[name] for name in ("start_positions", "end_positions")]
        return span_head.span_losses(*logits, *positions)

    def divergence(
        self, outputs: Tensors, others: Tensors, features: Tensors, settings: Any
    ) -> tf.Tensor:
        divergences = []
        for name in (START, END):
            p, q = (tf.nn.log_softmax(_masked(pair, name, features)) for pair in (outputs, others))
            divergences.append(0.5 * tf.reduce_sum((tf.exp(p) - tf.exp(q)) * (p - q), axis=-1))
        return (divergences[0] + divergences[1]) / 2.0  # [B]

    # Results

    def scorer(
        self, use: Any, settings: Any, options: Any = None, num_errors: int = 0
    ) -> TaskScorer:
        ranks = records.ranker(use, options)
        return TaskScorer(ranks, records.tuned_names(ranks.head), num_errors)

    def result_files(self, folder: str, use: Any, options: Any) -> AnswerFiles:
        return AnswerFiles(folder, records.ranker(use, options))

    def decode(
        self, examples: Sequence[Any], predictions: Sequence[Any], use: Any
    ) -> List[List[Dict[str, Any]]]:
        ranks = records.ranker(use)
        ranked = [records.ranked_example(ranks, *pair) for pair in zip(examples, predictions)]
        return [
            [
                _decoded(answer, example.text_b or "")
                for answer in answers.top(ranks.lengths[1], ranks.null_threshold)
            ]
            for example, answers in zip(examples, ranked)
        ]

    def next_command(self, task: Any) -> Tuple[str, str]:
        context = "小米由雷军于2010年4月创立，总部在北京市海淀区。"
        return "ask", '--text="%s" --question="小米是谁创立的？"' % context


def _decoded(answer, context):
    """Converts an answer to JSON, with the context's text, which `original_windows` changes."""
    return {
        "text": context[answer.begin : answer.end],
        "begin": answer.begin,
        "end": answer.end,
        "probability": answer.probability,
        "score": answer.score,
    }


def _masked(outputs, name, features):
    return span_head.masked_logits(outputs[name], features["span_mask"])  # [B, F]


registry.register(ReadingComprehension())
