"""albert_zh's `create_pretraining_data` for importing programs: instances of tokens.

    instances = create_training_instances(paths, tokenizer, 128, 10, 0.1, 0.15, 20, rng)
    write_instance_to_example_files(instances, tokenizer, 128, 20, ["records.tfrecord"])

The random draws are exactly the original's, including labels with `##`, as with
`--original_masking=true`. The command is faster and has better defaults.
"""

import functools
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Sequence, Tuple

from absl import flags
import numpy as np

from albert_zh.common.output_files import whole_file
from albert_zh.corpus import original_masking, reader, sampling, tfrecords
from albert_zh.corpus.original_sampling import padded
from albert_zh.text import word_segmentation

if TYPE_CHECKING:
    import random

    import tensorflow.compat.v1 as tf

    from albert_zh.text import tokenization

__all__ = [
    "TrainingInstance",
    "create_float_feature",
    "create_instances_from_document_albert",
    "create_int_feature",
    "create_masked_lm_predictions",
    "create_training_instances",
    "get_new_segment",
    "truncate_seq_pair",
    "write_instance_to_example_files",
]

Document = List[List[str]]  # the pieces of each line
_BATCH_ROWS = 512


class TrainingInstance:
    """A pair of segments with masks.

    Attributes:
        tokens: the tokens with masks, as the model sees them.
        segment_ids: 0 or 1 for each token.
        masked_lm_positions: positions of the masked tokens.
        masked_lm_labels: the original tokens at these positions.
        is_random_next: whether the segments were swapped.
    """

    def __init__(
        self,
        tokens: List[str],
        segment_ids: List[int],
        masked_lm_positions: List[int],
        masked_lm_labels: List[str],
        is_random_next: bool,
    ) -> None:
        self.tokens = tokens
        self.segment_ids = segment_ids
        self.is_random_next = is_random_next
        self.masked_lm_positions = masked_lm_positions
        self.masked_lm_labels = masked_lm_labels

    def __repr__(self) -> str:
        return "".join("%s: %s\n" % field for field in sorted(vars(self).items()))


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

    Args:
        input_files: files with one sentence per line and blank lines between documents.
        tokenizer: tokenizer of the vocabulary.
        max_seq_length: maximum sequence length.
        dupe_factor: number of passes over the documents.
        short_seq_prob: probability that the sequences of a document are shorter.
        masked_lm_prob: fraction of the tokens to mask.
        max_predictions_per_seq: maximum number of masked tokens.
        rng: random generator of all draws.
    """
    settings = (max_seq_length, short_seq_prob, masked_lm_prob, max_predictions_per_seq)
    return instances_of_files(
        create_instances_from_document_albert, input_files, tokenizer, dupe_factor, settings, rng
    )


def instances_of_files(
    of_document: Callable[..., List[Any]],
    input_files: Sequence[str],
    tokenizer: "tokenization.FullTokenizer",
    dupe_factor: int,
    settings: Tuple[Any, ...],
    rng: "random.Random",
) -> List[Any]:
    """Creates the instances of all documents of files with a function, in random order.

    Args:
        of_document: function with the arguments of `create_instances_from_document_albert`.
        input_files, tokenizer, dupe_factor, rng: as in `create_training_instances`.
        settings: the function's arguments from `max_seq_length` to `max_predictions_per_seq`.

    Returns:
        list of the function's results.
    """
    documents = _documents(input_files, tokenizer)
    rng.shuffle(documents)
    vocab_words = list(tokenizer.vocab)
    instances = []
    for _ in range(dupe_factor):
        for index in range(len(documents)):
            instances += of_document(documents, index, *settings, vocab_words, rng)
    rng.shuffle(instances)
    return instances


def _documents(input_files, tokenizer):
    """List of documents, each a list of lines, each a list of pieces; none of these is empty."""
    text_format = reader.TextFormat("utf-8", split_sentences=False, as_original=True)
    documents = []
    for shard in reader.read_shards(input_files, text_format):
        found = [[tokenizer.tokenize(line) for line in lines] for lines in shard.documents]
        if shard.continues and documents:
            documents[-1] += found.pop(0)
        documents += found
    documents = [list(filter(None, lines)) for lines in documents]
    return list(filter(None, documents))


def create_instances_from_document_albert(
    all_documents: Sequence[Document],
    document_index: int,
    max_seq_length: int,
    short_seq_prob: float,
    masked_lm_prob: float,
    max_predictions_per_seq: int,
    vocab_words: List[str],
    rng: "random.Random",
) -> List[TrainingInstance]:
    """Creates the instances of a document, half of them with swapped segments.

    Args:
        all_documents: documents as lists of lines, each a list of pieces.
        document_index: number of the document.
        vocab_words: the vocabulary, in the order of its file.
        Others: as in `create_training_instances`.
    """
    lines = all_documents[document_index]
    if not flag_value("non_chinese", False):
        lines = [get_new_segment(line) for line in lines]
    settings = sampling_settings(max_seq_length, short_seq_prob)
    instances = []
    chunks = sampling.chunks_of_document([len(line) for line in lines], settings, rng)
    for begin, middle, end, _ in chunks:
        segments = [sum(segment, []) for segment in (lines[begin:middle], lines[middle:end])]
        is_swapped = rng.random() < 0.5
        if is_swapped:
            segments.reverse()
        truncate_seq_pair(*segments, max_seq_length - sampling.SPECIAL_PIECES, rng)
        tokens = ["[CLS]"] + segments[0] + ["[SEP]"] + segments[1] + ["[SEP]"]
        masked = create_masked_lm_predictions(
            tokens, masked_lm_prob, max_predictions_per_seq, vocab_words, rng
        )
        length_a = len(segments[0]) + 2
        segment_ids = [0] * length_a + [1] * (len(tokens) - length_a)
        instances.append(TrainingInstance(masked[0], segment_ids, *masked[1:], is_swapped))
    return instances


def sampling_settings(
    max_seq_length: int, short_seq_prob: float, **others: Any
) -> sampling.Settings:
    """The settings that `sampling.chunks_of_document` uses; the other settings are False."""
    empty = dict.fromkeys(sampling.Settings._fields, False)
    return sampling.Settings(
        **dict(empty, max_seq_length=max_seq_length, short_seq_prob=short_seq_prob, **others)
    )


def create_masked_lm_predictions(
    tokens: List[str],
    masked_lm_prob: float,
    max_predictions_per_seq: int,
    vocab_words: List[str],
    rng: "random.Random",
) -> Tuple[List[str], List[int], List[str]]:
    """Masks tokens, or whole words with the flag `--do_whole_word_mask`.

    Args:
        tokens: tokens with [CLS] and [SEP]; `##` marks pieces that continue a word.
        Others: as in `create_instances_from_document_albert`.

    Returns:
        (tokens with masks, masked positions, original tokens at these positions).
    """
    specials = {n for n, token in enumerate(tokens) if token in ("[CLS]", "[SEP]")}
    masks_whole_words = flag_value("do_whole_word_mask", False)
    continues = [masks_whole_words and token.startswith("##") for token in tokens]
    limit = min(max_predictions_per_seq, max(1, int(round(len(tokens) * masked_lm_prob))))
    shown = original_masking.original_choice_of_words(
        original_masking.original_candidates(continues, specials), limit, len(vocab_words), rng
    )
    is_chinese = not flag_value("non_chinese", False)
    output = [original_masking.original_visible_token(t) if is_chinese else t for t in tokens]
    for position, replacement in shown.items():
        if replacement == original_masking.MASKED:
            output[position] = "[MASK]"
        elif replacement != original_masking.KEPT:
            output[position] = vocab_words[replacement]
    positions = sorted(shown)
    return output, positions, [tokens[position] for position in positions]


def get_new_segment(segment: List[str]) -> List[str]:
    """Adds `##` to the pieces of a line that continue a word of jieba's.

    Raises:
        UserError: without the package jieba.
    """
    return original_masking.original_marked_tokens(segment, set(_segmenter()("".join(segment))))


@functools.lru_cache(maxsize=None)
def _segmenter():
    return word_segmentation.make_segmenter("jieba")


def flag_value(name: str, default: Any) -> Any:
    """The value of a flag if the program defines it, otherwise the default."""
    return flags.FLAGS[name].value if name in flags.FLAGS else default


def truncate_seq_pair(
    tokens_a: List[str], tokens_b: List[str], max_num_tokens: int, rng: "random.Random"
) -> None:
    """Truncates two lists in place to a total length: the longer one, at a random end."""
    while len(tokens_a) + len(tokens_b) > max_num_tokens:
        longer = tokens_a if len(tokens_a) > len(tokens_b) else tokens_b
        longer.pop(0 if rng.random() < 0.5 else -1)


def write_instance_to_example_files(
    instances: Sequence[TrainingInstance],
    tokenizer: "tokenization.FullTokenizer",
    max_seq_length: int,
    max_predictions_per_seq: int,
    output_files: Sequence[str],
) -> None:
    """Writes instances as TFRecord files, round-robin.

    Args:
        instances: instances to write.
        tokenizer: tokenizer of the vocabulary.
        max_seq_length: length to which sequences are padded.
        max_predictions_per_seq: length to which predictions are padded.
        output_files: paths of the files.

    Raises:
        UserError: for a token that is not in the vocabulary.
    """
    write_rows(
        instances,
        lambda rows: instance_features(rows, tokenizer, max_seq_length, max_predictions_per_seq),
        output_files,
    )


def write_rows(
    instances: Sequence[TrainingInstance],
    features: Callable[[Sequence[TrainingInstance]], Dict[str, np.ndarray]],
    output_files: Sequence[str],
) -> None:
    """Writes a function's features of lists of instances, {name: array [N, k]}, round-robin."""
    for index, path in enumerate(output_files):
        of_file = instances[index :: len(output_files)]
        with whole_file(path) as partial, open(partial, "wb") as stream:
            for first in range(0, len(of_file), _BATCH_ROWS):
                rows = features(of_file[first : first + _BATCH_ROWS])
                stream.writelines(tfrecords.frame_records(tfrecords.encode_examples(rows)))


def create_int_feature(values: Sequence[int]) -> "tf.train.Feature":
    """An integer feature of a `tf.train.Example`, for programs that write their own records."""
    import tensorflow.compat.v1 as tf  # worker processes do without it

    return tf.train.Feature(int64_list=tf.train.Int64List(value=list(values)))


def create_float_feature(values: Sequence[float]) -> "tf.train.Feature":
    """Like `create_int_feature`, for floats."""
    import tensorflow.compat.v1 as tf

    return tf.train.Feature(float_list=tf.train.FloatList(value=list(values)))


def instance_features(
    instances: Sequence[TrainingInstance],
    tokenizer: "tokenization.FullTokenizer",
    max_seq_length: int,
    max_predictions: int,
) -> Dict[str, np.ndarray]:
    """{name: array [N, k]} of a batch of instances."""
    ids = [tokenizer.convert_tokens_to_ids(i.tokens) for i in instances]
    labels = [tokenizer.convert_tokens_to_ids(i.masked_lm_labels) for i in instances]
    ones = [[1] * len(row) for row in ids]
    weights = [[1.0] * len(row) for row in labels]
    return {
        "input_ids": padded(ids, max_seq_length),
        "input_mask": padded(ones, max_seq_length),
        "segment_ids": padded([i.segment_ids for i in instances], max_seq_length),
        "masked_lm_positions": padded([i.masked_lm_positions for i in instances], max_predictions),
        "masked_lm_ids": padded(labels, max_predictions),
        "masked_lm_weights": padded(weights, max_predictions, np.float32),
        "next_sentence_labels": np.array([[int(i.is_random_next)] for i in instances]),
    }
