"""Text generation as a kind of task: titles, replies and other sequence-to-sequence tasks."""

import shlex
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.common import package_files
from albert_zh.model import incremental_decoding
from albert_zh.tasks import input_examples, kind_interface, registry, result_files, task_type
from albert_zh.tasks.generation import damage, objectives, pair_files, raw_texts
from albert_zh.tasks.generation import flags as generation_flags
from albert_zh.tasks.generation.scorer import GenerationScorer
from albert_zh.tasks.generation.token_ids import source_ids, text_of_ids
from albert_zh.tasks.tables import label_rules, split_files
from albert_zh.text import detokenization

WRITTEN, LOSS = "written", "loss"
Tensors = Dict[str, tf.Tensor]


class TargetRules(label_rules.FreeText):
    """Label rules for labels that are texts to generate."""

    def labels_of_all(self, found: Sequence[str]) -> Tuple[str, ...]:
        return ()

    def num_outputs(self, num_labels: int) -> int:
        return 1

    def labels_to_spread(self, labels: Sequence[str]) -> List[Any]:
        return [0]  # the same for all rows


class Generation(task_type.TaskType):
    """Generation of a target from a source by the masked-LM head, token by token."""

    name = generation_flags.KIND
    metrics = {
        "rouge_l": True,
        "rouge_1": True,
        "rouge_2": True,
        "bleu": True,
        "distinct_1": True,
        "distinct_2": True,
        "perplexity": False,
        "loss": False,
    }
    usual_metrics = (
        "rouge_l",
        "rouge_1",
        "rouge_2",
        "bleu",
        "perplexity",
        "distinct_1",
        "distinct_2",
    )
    export_outputs = decoded_outputs = (WRITTEN,)
    is_mostly_encoder = False  # each target token is predicted over the whole vocabulary
    flags = generation_flags.GenerationFlags()
    rules = TargetRules()
    feature_modules = (damage, pair_files, raw_texts)
    builds_encoder = True
    has_head = False
    further_length_flag = "max_target_length"

    # Settings

    def notes(self, task: Any, settings: Any) -> Dict[str, Any]:
        return dict(super().notes(task, settings), compares_sentences=False)

    # Data

    def read_split(
        self, task: Any, data_dir: str, split: str, encoding: str, skip_bad_rows: bool
    ) -> input_examples.Split:
        path, others = split_files.existing_path(task, data_dir, split)
        if _damage_of(task):
            return raw_texts.read_split(path, split, _damage_of(task), encoding)
        read = pair_files.read_split(path, split, task.chosen or {}, encoding, skip_bad_rows)
        aside = ["%s ignored" % ", ".join(others)] * bool(others)
        return read._replace(notes=read.notes + aside)

    def with_labels(self, task: Any, train: Any) -> Any:
        return task._replace(columns=train.columns, header=(), labels=())

    def training_split(self, split: Any, options: Any) -> Tuple[Any, Dict[str, Any]]:
        if not options.damage or options.damage_copies == 1:
            return split, {}
        count = options.damage_copies
        return raw_texts.copies_of(split, count), {"damage_copies": count}

    def open_stream(
        self, task: Any, path: str, encoding: str, skip_bad_rows: bool = False
    ) -> kind_interface.StreamedFile:
        if _damage_of(task):
            read = raw_texts.read_split(path, "test", _damage_of(task), encoding)
        else:
            read = pair_files.read_split(path, "test", task.chosen or {}, encoding, skip_bad_rows)
        records = iter([(example, None) for example in read.examples])
        return kind_interface.StreamedFile(read.notes, records)

    # Features

    def columns(self, task: Any) -> Dict[str, kind_interface.Column]:
        if (_damage_of(task) or {}).get("way") != "mass":
            return {}
        return {raw_texts.POSITIONS: kind_interface.Column("int", (), True)}

    def features(
        self, task: Any, example: Any, tokenizer: Any, max_seq_length: int
    ) -> Tuple[List[Dict[str, Any]], bool]:
        if _damage_of(task):
            row, was_cut = raw_texts.row_of(example, tokenizer, task.head, max_seq_length)
            return [row], was_cut
        longest = task.head["max_target_length"]
        ids, source_was_cut = source_ids(tokenizer, example.text_a, max_seq_length - longest)
        segments, target_was_cut = [0] * len(ids), False
        if example.label is not None:
            target = tokenizer.tokenize(example.label)
            target_was_cut = len(target) > longest - 1
            target = tokenizer.convert_tokens_to_ids(target[: longest - 1] + ["[SEP]"])
            ids, segments = ids + target, segments + [1] * len(target)
        return [{"input_ids": ids, "segment_ids": segments}], source_was_cut or target_was_cut

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
        head = settings.head
        with tf.variable_scope(tf.get_variable_scope(), reuse=tf.AUTO_REUSE):
            if not is_training:
                outputs = objectives.target_losses(config, model, features, head)
                return dict(outputs, **{WRITTEN: _written(config, features, head)})
            losses = [
                weight * objectives.OBJECTIVES[name](config, model, features, head)
                for name, weight in head["tasks"].items()
            ]
            return {LOSS: tf.add_n(losses)}  # [B]

    def losses(self, outputs: Tensors, features: Tensors, settings: Any) -> tf.Tensor:
        return outputs[LOSS]

    # Results

    def scorer(
        self, use: Any, settings: Any, options: Any = None, num_errors: int = 0
    ) -> GenerationScorer:
        return GenerationScorer(
            lambda ids: text_of_ids(use.tokenizer, ids),
            num_errors,
            lambda example: _as_read(example, use).label,
        )

    def result_files(self, folder: str, use: kind_interface.ModelInUse, options: Any) -> Any:
        return _Lines(folder, self, use)

    def decode(
        self, examples: Sequence[Any], predictions: Sequence[List[Dict[str, np.ndarray]]], use: Any
    ) -> List[str]:
        return [text_of_ids(use.tokenizer, rows[0][WRITTEN]) for rows in predictions]

    def next_command(self, task: Any) -> Tuple[str, str]:
        if task is None or not _damage_of(task):
            return "generate", '"要写标题的文章"'
        pairs = shlex.quote(package_files.shown("data/titles_sample"))
        # A model trained on corrupted texts cannot write yet: it has to be trained on pairs next.
        arguments = "--data_dir=%s --do_train=true --do_eval=true --output_dir=titles_output"
        return "run_seq2seq", arguments % pairs


class _Lines(result_files.JsonLines):
    """JSON lines with the text that the model read and the text that it should have generated."""

    def write(self, example: Any, rows: List[Dict[str, np.ndarray]]) -> None:
        super().write(_as_read(example, self._use), rows)


def _as_read(example, use):
    """An example; for raw text, with the corrupted text and the text to generate from it."""
    if not _damage_of(use.task):
        return example
    damaged = raw_texts.damaged_text(example, use.tokenizer, use.task.head)
    source = use.tokenizer.convert_ids_to_tokens(damaged.source)
    return example._replace(
        text_a=detokenization.text_of_pieces(source),
        label=text_of_ids(use.tokenizer, damaged.target),
    )


def _damage_of(task):
    """How raw text is corrupted, see `damage.settings`; None if the data are pairs."""
    return task.head.get("damage")


def _written(config, features, head):
    """The greedily decoded targets, int32 [B, T]."""
    mask = features["input_mask"] * (1 - features["segment_ids"])
    longest = tf.maximum(tf.reduce_max(tf.reduce_sum(mask, axis=1)), 1)
    ids, first = head["token_ids"], None
    if raw_texts.POSITIONS in features:
        first = tf.gather(features[raw_texts.POSITIONS], tf.reduce_sum(mask, axis=1), batch_dims=1)
    return incremental_decoding.greedy_ids(
        config,
        features["input_ids"][:, :longest],
        mask[:, :longest],
        head["max_target_length"] - 1,
        ids["sep"],
        [ids[name] for name in ("pad", "unk", "cls", "mask")],
        mask_id=ids["mask"] if objectives.predicts_masks(head) else None,
        first_positions=first,
    )


registry.register(Generation())
