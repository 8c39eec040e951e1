"""Google's `create_pretraining_data` for importing programs: instances of tokens.

    np.random.seed(12345)
    instances = create_training_instances(paths, tokenizer, 512, 10, 0.1, 0.15, 20, rng)
    write_instance_to_example_files(instances, tokenizer, 512, 20, ["records.tfrecord"])

Like `compatibility.pretraining_data`, except for n-grams, random next segments from other documents
and `token_boundary`. The original draws the lengths of n-grams from numpy's global generator.
"""

from typing import TYPE_CHECKING, List, Sequence, Tuple

import numpy as np

from albert_zh.compatibility import pretraining_data
from albert_zh.compatibility.pretraining_data import (
    create_float_feature,
    create_int_feature,
    flag_value,
    truncate_seq_pair,
)
from albert_zh.corpus import masking, original_masking, sampling
from albert_zh.corpus.original_sampling import padded
from albert_zh.text import word_starts

if TYPE_CHECKING:
    import random

    from albert_zh.text import tokenization

__all__ = [
    "TrainingInstance",
    "create_float_feature",
    "create_instances_from_document",
    "create_int_feature",
    "create_masked_lm_predictions",
    "create_training_instances",
    "is_start_piece",
    "truncate_seq_pair",
    "write_instance_to_example_files",
]

_MAX_TRIES = 10  # attempts to find another document
_SPECIALS = ("[CLS]", "[SEP]")


class TrainingInstance(pretraining_data.TrainingInstance):
    """A masked pair of segments, with `token_boundary`: 1 where a word begins."""

    def __init__(
        self,
        tokens: List[str],
        segment_ids: List[int],
        masked_lm_positions: List[int],
        masked_lm_labels: List[str],
        is_random_next: bool,
        token_boundary: List[int],
    ) -> None:
        super().__init__(tokens, segment_ids, masked_lm_positions, masked_lm_labels, is_random_next)
        self.token_boundary = token_boundary


def create_training_instances(
    input_files: Sequence[str],
    tokenizer: "tokenization.FullTokenizer",
    max_seq_length: int,
    dupe_factor: int,
    short_seq_prob: float,
    masked_lm_prob: float,
    max_predictions_per_seq: int,
    rng: "random.Random",
) -> List[TrainingInstance]:
    """Creates the instances of text files, in random order.

    Args: as in `compatibility.pretraining_data.create_training_instances`.
    """
    settings = (max_seq_length, short_seq_prob, masked_lm_prob, max_predictions_per_seq)
    return pretraining_data.instances_of_files(
        create_instances_from_document, input_files, tokenizer, dupe_factor, settings, rng
    )


def create_instances_from_document(
    all_documents: Sequence[pretraining_data.Document],
    document_index: int,
    max_seq_length: int,
    short_seq_prob: float,
    masked_lm_prob: float,
    max_predictions_per_seq: int,
    vocab_words: List[str],
    rng: "random.Random",
) -> List[TrainingInstance]:
    """Creates a document's instances; random next segments have label 1, like swapped ones.

    Args: as in `compatibility.pretraining_data.create_instances_from_document_albert`.
    """
    lines = all_documents[document_index]
    random_next = flag_value("random_next_sentence", False)
    settings = pretraining_data.sampling_settings(
        max_seq_length, short_seq_prob, google=True, random_next=random_next
    )
    instances = []
    chunks = sampling.chunks_of_document([len(line) for line in lines], settings, rng)
    for begin, middle, end, target in chunks:
        segments = [sum(lines[begin:middle], [])]
        if end is None:
            is_random = True
            wanted = target - len(segments[0])
            segments.append(_segment_of_other_document(all_documents, document_index, wanted, rng))
        else:
            segments.append(sum(lines[middle:end], []))
            is_random = not random_next and rng.random() < 0.5
            if is_random:
                segments.reverse()
        truncate_seq_pair(*segments, max_seq_length - sampling.SPECIAL_PIECES, rng)
        tokens = ["[CLS]"] + segments[0] + ["[SEP]"] + segments[1] + ["[SEP]"]
        masked = create_masked_lm_predictions(
            tokens, masked_lm_prob, max_predictions_per_seq, vocab_words, rng
        )
        length_a = len(segments[0]) + 2
        segment_ids = [0] * length_a + [1] * (len(tokens) - length_a)
        instances.append(
            TrainingInstance(masked[0], segment_ids, *masked[1:3], is_random, masked[3])
        )
    return instances


def _segment_of_other_document(all_documents, document_index, wanted, rng):
    """Pieces of consecutive lines from another document, with the original's random draws."""
    for _ in range(_MAX_TRIES):
        other = rng.randint(0, len(all_documents) - 1)
        if other != document_index:
            break
    lines = all_documents[other]
    pieces: List[str] = []
    for line in lines[rng.randint(0, len(lines) - 1) :]:
        pieces += line
        if len(pieces) >= wanted:
            break
    return pieces


def is_start_piece(piece: str) -> bool:
    """Whether a piece begins a word; with `--spm_model_file`, by SentencePiece's marks."""
    if flag_value("spm_model_file", None):
        return word_starts.starts_sentencepiece_word(piece)
    return word_starts.starts_word(piece)


def create_masked_lm_predictions(
    tokens: List[str],
    masked_lm_prob: float,
    max_predictions_per_seq: int,
    vocab_words: List[str],
    rng: "random.Random",
) -> Tuple[List[str], List[int], List[str], List[int]]:
    """Masks n-grams of 1 to `--ngram` words; reads the command's flags if the program has them.

    Args: as in `compatibility.pretraining_data.create_masked_lm_predictions`.

    Returns:
        (tokens with masks, masked positions, original tokens at these positions, 1 where a word
        begins).
    """
    specials = {n for n, token in enumerate(tokens) if token in _SPECIALS}
    starts = [n in specials or is_start_piece(token) for n, token in enumerate(tokens)]
    masks_whole_words = flag_value("do_whole_word_mask", True)
    continues = [masks_whole_words and not begins for begins in starts]
    # The original treats the flag for shorter n-grams as the flag for longer ones.
    weights = masking.ngram_weights(
        flag_value("ngram", 3), favor_longer=flag_value("favor_shorter_ngram", False)
    )
    limit = min(max_predictions_per_seq, max(1, int(round(len(tokens) * masked_lm_prob))))
    candidates = original_masking.original_candidates(continues, specials)
    draws = (original_masking.original_runs(candidates, len(weights)), limit, weights)
    generators = (rng, np.random)
    shown = original_masking.original_choice_of_runs(*draws, len(vocab_words), *generators)
    output = list(tokens)
    for position, replacement in shown.items():
        if replacement == original_masking.MASKED:
            output[position] = "[MASK]"
        elif replacement != original_masking.KEPT:
            output[position] = vocab_words[replacement]
    labels = {position: tokens[position] for position in shown}
    if flag_value("do_permutation", False):
        partners = original_masking.original_permutation(*draws, *generators, shown)
        labels.update((position, output[position]) for position, _ in partners)
        moved = {position: output[partner] for position, partner in partners}
        for position, token in moved.items():
            output[position] = token
    positions = sorted(labels)
    return output, positions, [labels[position] for position in positions], list(map(int, starts))


def write_instance_to_example_files(
    instances: Sequence[TrainingInstance],
    tokenizer: "tokenization.FullTokenizer",
    max_seq_length: int,
    max_predictions_per_seq: int,
    output_files: Sequence[str],
) -> None:
    """Writes instances as TFRecord files, round-robin, with twice the predictions if permuted.

    Args, Raises: as in `compatibility.pretraining_data.write_instance_to_example_files`.
    """
    most = max_predictions_per_seq * (2 if flag_value("do_permutation", False) else 1)

    def features(rows):
        boundaries = padded([row.token_boundary for row in rows], max_seq_length)
        common = pretraining_data.instance_features(rows, tokenizer, max_seq_length, most)
        return dict(common, token_boundary=boundaries)

    pretraining_data.write_rows(instances, features, output_files)
