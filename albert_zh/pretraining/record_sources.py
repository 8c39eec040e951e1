"""Finds and checks the records and the vocabulary that the flags name."""

import math
import os
from typing import TYPE_CHECKING, Any, ContextManager, List, Optional

from albert_zh.common import storage
from albert_zh.common.errors import UserError
from albert_zh.common.messages import say
from albert_zh.corpus import masking, record_counts
from albert_zh.corpus import reader as corpus_reader
from albert_zh.pretraining import input_pipeline, objective_flags, record_files
from albert_zh.text import tokenization
from albert_zh.training import flags as run_flags
from albert_zh.training import run_folder

if TYPE_CHECKING:
    import numpy as np

    from albert_zh.model.config import AlbertConfig

_OF_SHARE = ("masked_lm_prob", "masked_lm_budget")
# The flags for each of `masking_settings`, and for the replacement method.
_FLAGS_OF_CHOICE = (
    "--masked_lm_prob",
    "--max_predictions_per_seq",
    "--ngram or --span",
    "--do_whole_word_mask",
    "",
    "--replacement_method",
)
_OF_MASKING = _OF_SHARE + ("do_whole_word_mask", "ngram", "span", "replacement_method")


def vocabulary_file(options: Any, config: "AlbertConfig") -> Optional[str]:
    """Returns the path of --vocab_file, or of the vocabulary in the config's folder, or None.

    Args:
        options: the flags.
        config: the model's config.

    Raises:
        UserError: if the vocabulary does not belong to the model.
    """
    beside = tokenization.vocabulary_in_folder(os.path.dirname(options.bert_config_file))
    path = options.vocab_file or (beside if storage.exists(beside) else None)
    num_entries = None if path is None else tokenization.num_entries(path)
    run_flags.check_sizes(options, config, path, num_entries)
    return path


def record_source(
    options: Any, flag: str, config: "AlbertConfig", vocab_file: Optional[str]
) -> input_pipeline.RecordSource:
    """Finds and checks the records of the files that a flag names.

    Args:
        options: the flags.
        flag: name of the flag that names the files.
        config: the model's config.
        vocab_file: path of the model's vocabulary, or None.

    Raises:
        UserError: if there are no records, or they do not fit the flags.
    """
    patterns = getattr(options, flag)
    paths = corpus_reader.input_files(patterns, flag, output_dir=options.output_dir)
    paths = [path for path in paths if not record_counts.is_index(path)]
    if options.skip_corrupt_records:
        copies = os.path.join(options.output_dir, "repaired", flag)
        paths = record_files.repaired(paths, copies)
    is_counted = options.count_records or flag != "input_file"
    about = record_files.inspected(
        paths, options.max_seq_length, options.max_predictions_per_seq, flag, is_counted
    )
    if not about.has_pairs:
        _check_second_task(options, flag)
    if about.is_masked and flag == "input_file":
        _say_what_has_no_effect(options)
    if options.span_boundary_weight and not (options.span or about.is_masked):
        say(
            "warning: --span_boundary_weight: the records of --%s are masked here by single "
            "pieces or words: give --span=true to predict spans from their ends" % flag
        )
    num_records = sum(about.counts) if is_counted else None
    return input_pipeline.RecordSource(
        files=about.files,
        num_records=num_records,
        record_bytes=sum(map(storage.size, about.files)) / num_records if num_records else None,
        counts=about.counts,
        max_seq_length=options.max_seq_length,
        max_predictions=options.max_predictions_per_seq,
        masking=None if about.is_masked else masking_choice(options),
        mask_id=0 if about.is_masked else _vocabulary_of_masking(options, vocab_file)["[MASK]"],
        sep_id=(
            None if about.is_masked else _vocabulary_of_masking(options, vocab_file).get("[SEP]")
        ),
        vocab_size=config.vocab_size,
        is_static=options.use_tpu,
    )


def _say_what_has_no_effect(options):
    """Notes masking flags that have no effect, as the records are already masked."""
    given = [name for name in _OF_MASKING if options[name].present]
    if options.original_masks:  # masks are drawn again, with that share
        given = [name for name in given if name not in _OF_SHARE]
    if given:
        say(
            "note: --%s %s no effect: the records of --input_file were masked when they were "
            "created (create_pretraining_data.py --masking=dynamic leaves that to training)",
            ", --".join(given),
            "has" if len(given) == 1 else "have",
        )


def _check_second_task(options, flag):
    """Warns if records of one segment rule out the second task; `UserError` if it was requested."""
    found = (
        "the records of --%s have one segment each (by the first of each file): there is no order "
        "to learn: give --sentence_task=false" % flag
    )
    if options.sentence_task:
        raise UserError("--sentence_task=true: " + found)
    if objective_flags.has_sentence_task(options):
        say("warning: " + found)


def _vocabulary_of_masking(options, vocab_file):
    """Returns {piece: id}; raises `UserError` if there is no vocabulary or it has no [MASK]."""
    if vocab_file is None:
        raise UserError(
            "--vocab_file is required: the records of %s are not masked yet, and there is no "
            "vocab.txt or spiece.model next to %s" % (options.input_file, options.bert_config_file)
        )
    vocab = tokenization.load_vocab(vocab_file)
    if "[MASK]" not in vocab:
        raise UserError("--vocab_file=%s has no [MASK]" % vocab_file)
    return vocab


def evaluation_source(
    options: Any,
    config: "AlbertConfig",
    vocab_file: Optional[str],
    train_source: input_pipeline.RecordSource,
) -> input_pipeline.RecordSource:
    """Returns the records of --eval_file or, without it, of training; arguments as above."""
    if options.eval_file:
        return record_source(options, "eval_file", config, vocab_file)
    if options.do_eval and train_source.num_records is None:
        raise UserError("--count_records=false: name the records to evaluate on (--eval_file)")
    if options.do_eval:
        say("warning: no --eval_file: evaluating on --input_file, the training records")
    return train_source


def masking_choice(options: Any) -> masking.MaskingChoice:
    """Returns the masking strategy of the flags, for records that are not masked yet."""
    weights = masking.span_weights() if options.span else masking.ngram_weights(options.ngram)
    return masking.MaskingChoice(
        masked_lm_prob=options.masked_lm_budget or options.masked_lm_prob,
        max_predictions=options.max_predictions_per_seq,
        run_weights=weights,
        whole_words=options.do_whole_word_mask,
        permute=False,
        by_span=options.replacement_method == "span",
    )


def described_masking(choice: Optional[masking.MaskingChoice]) -> str:
    """Describes how records are masked; `choice` is as in `input_pipeline.RecordSource`."""
    if choice is None:
        return "masked when they were created"
    unit = "whole words (do_whole_word_mask)" if choice.whole_words else "single pieces"
    runs = "" if len(choice.run_weights) == 1 else ", up to %d in a row" % len(choice.run_weights)
    return "masked again in each epoch: %g %% of the pieces, at most %d of a sequence, %s%s" % (
        100 * choice.masked_lm_prob,
        choice.max_predictions,
        unit,
        runs,
    )


def say_other_masks(options: Any, source: input_pipeline.RecordSource) -> None:
    """Notes that an evaluation masks its records in a different way than the training run did.

    Args:
        options: the flags.
        source: the records of the evaluation.
    """
    former = run_folder.former_settings(options.output_dir)["fixed"]
    if source.masking is None or not former.get("masking"):
        return
    method = options.replacement_method
    choice = former["masking"] + [former.get("replacement_method", method)]
    here = masking_settings(source.masking) + [method]
    others = [flags for flags, a, b in zip(_FLAGS_OF_CHOICE, choice, here) if a != b]
    if others:
        say(
            "note: %s was trained with other masks: give %s as in training, otherwise masked "
            "words of another kind are evaluated (here: %s)",
            options.output_dir,
            ", ".join(others),
            described_masking(source.masking),
        )


def masking_settings(choice: masking.MaskingChoice) -> List[str]:
    """Returns the settings of a `MaskingChoice` that are saved with a run."""
    return list(map(str, choice[:-1]))


def num_eval_steps(options: Any, source: input_pipeline.RecordSource) -> int:
    """Number of batches of a `RecordSource` to evaluate on, according to the flags."""
    num_batches = source.num_records / options.eval_batch_size
    # On a TPU every batch must be full.
    num_batches = int(num_batches) if source.is_static else math.ceil(num_batches)
    if not num_batches:
        raise UserError(
            "--eval_batch_size=%d: a TPU needs full batches, but there are only %d records to "
            "evaluate on: give a smaller one" % (options.eval_batch_size, source.num_records)
        )
    return min(options.max_eval_steps, num_batches)


def named_faults(source: input_pipeline.RecordSource) -> ContextManager[None]:
    """Context manager in which errors name the faulty record of a `RecordSource` and its file."""
    return record_files.named_faults(*_about_records(source))


def piece_counts(source: input_pipeline.RecordSource) -> "np.ndarray":
    """Counts the occurrences of each piece in the records of a `RecordSource`."""
    return record_files.piece_counts(*_about_records(source))


def _about_records(source):
    """Returns (files, S, P, V) of a `RecordSource`."""
    return source.files, source.max_seq_length, source.max_predictions, source.vocab_size
