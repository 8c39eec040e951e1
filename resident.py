"""What models kept in memory share: texts -> rows -> batches of like length -> a session.

A resident model may be used by several threads; closing it waits for those that use it.
"""

import collections
import collections.abc
import contextlib
import os
import threading
from typing import Iterator, List, Sequence, Tuple, Union

import numpy as np
import tensorflow.compat.v1 as tf

from errors import UserError
import checkpoints
import classification
import inference
import modeling
import tokenization

Text = Union[str, Tuple[str, str]]
INPUT_NAMES = inference.ENCODER_INPUTS
DEFAULT_LENGTH = 128
SHORTEST_LENGTH = 8  # [CLS] A [SEP] B [SEP] with a few tokens in it
TOKENS_PER_BATCH = 2048  # keeps a layer's values within the processor's caches
ROWS_PER_BATCH = 256
_SHOWN_LENGTH = 40


ModelFolder = collections.namedtuple(
    "ModelFolder", ["prefix", "config", "vocab_file", "tokenizer", "do_lower_case"]
)
ModelFolder.__doc__ = """What `open_folder` finds.

Fields:
    prefix: of the checkpoint.
    config: `AlbertConfig`.
    vocab_file: path.
    tokenizer: `FullTokenizer` of that vocabulary.
    do_lower_case: bool.
"""


class Resident:
    """Counts those who use a model, so that it is freed after the last of them."""

    def __init__(self):
        self._state = threading.Condition()
        self._num_users = 0
        self._is_closed = False

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Keeps the model from being freed; raises `UserError` if it is closed."""
        with self._state:
            if self._is_closed:
                raise UserError("this %s is closed: make a new one" % type(self).__name__)
            self._num_users += 1
        try:
            yield
        finally:
            with self._state:
                self._num_users -= 1
                self._state.notify_all()

    def close(self):
        """Frees the model as soon as nobody uses it any more; later uses are errors."""
        with self._state:
            if self._is_closed:
                return
            self._is_closed = True
            while self._num_users:
                self._state.wait()
        self._free()

    def _free(self):
        raise NotImplementedError

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class CheckpointSession:
    """A graph with the weights of a checkpoint in a session of its own."""

    def __init__(self, prefix, build, expected, num_threads=None):
        """Builds the graph and loads the weights; the files are not needed any more then.

        Args:
            prefix: checkpoint prefix, as of `checkpoints.find_checkpoint`.
            build: function of {input name: int tensor [B, F]} -> (tensor or list of tensors, list
                of further placeholders that it made).
            expected: what the checkpoint has to be, for errors.
            num_threads: threads of an operation; None: as many as there are cores.

        Raises:
            UserError: if the checkpoint lacks a variable of the graph.
        """
        settings = tf.ConfigProto()
        settings.gpu_options.allow_growth = True
        if num_threads:
            settings.intra_op_parallelism_threads = num_threads
            settings.inter_op_parallelism_threads = num_threads
        with tf.Graph().as_default() as graph:
            features = {name: tf.placeholder(tf.int32, [None, None], name) for name in INPUT_NAMES}
            outputs, further = build(features)
            assignment, _ = checkpoints.initialize_from(prefix, tf.trainable_variables())
            misfits = assignment.new + sorted(assignment.reshaped)
            if misfits:
                raise UserError(
                    "%s does not fit (%s): expected %s" % (prefix, ", ".join(misfits), expected)
                )
            self._session = tf.Session(graph=graph, config=settings)
            try:
                self._session.run(tf.global_variables_initializer())
            except tf.errors.OpError:
                checkpoints.check_readable(prefix)  # raises, and says what it is
                raise
        feeds = [features[name] for name in INPUT_NAMES] + further
        self.run = self._session.make_callable(outputs, feeds)

    def close(self):
        """Frees the session."""
        self._session.close()


def check_precision(precision):
    """Raises `UserError` unless the precision is a key of `modeling.PRECISIONS`."""
    if precision not in modeling.PRECISIONS:
        raise UserError(
            "precision: unknown %r, expected one of %s"
            % (precision, ", ".join(sorted(modeling.PRECISIONS)))
        )


def open_folder(path, config_file=None, vocab_file=None, do_lower_case=None):
    """Config, vocabulary and checkpoint of a model folder.

    Args:
        path: model folder or checkpoint prefix.
        config_file: config JSON where it is not in the folder.
        vocab_file: vocabulary where it is not in the folder.
        do_lower_case: bool; None: as in fine-tuning, or True.

    Returns:
        `ModelFolder`.

    Raises:
        UserError: if anything is missing or does not belong together.
    """
    prefix = checkpoints.find_checkpoint(path)
    folder = os.path.dirname(prefix) or "."
    config_file = config_file or checkpoints.config_in_folder(folder)
    config = modeling.AlbertConfig.from_json_file(config_file)
    vocab_file = vocab_file or tokenization.vocabulary_in_folder(folder)
    if do_lower_case is None:
        do_lower_case = inference.notes_of_folder(folder).get("do_lower_case", True)
    tokenizer = tokenization.FullTokenizer(vocab_file, do_lower_case)
    check_vocabulary(vocab_file, tokenizer, config.vocab_size)
    return ModelFolder(prefix, config, vocab_file, tokenizer, do_lower_case)


def check_vocabulary(vocab_file, tokenizer, vocab_size):
    """Raises `UserError` if a tokenizer has not the number of entries that the model expects."""
    tokenization.check_num_entries(vocab_file, len(tokenizer.inv_vocab), vocab_size)


def checked_path(path):
    """A path as str; raises `UserError` for what is none."""
    if not isinstance(path, (str, os.PathLike)):
        raise UserError("expected the path of a file or folder, found %r" % (path,))
    return os.fspath(path)


def checked_texts(texts: Sequence[Text]) -> List[Tuple[str, str]]:
    """Texts as (text_a, text_b), text_b None for a single one.

    Args:
        texts: sequence of str, or of pairs of str.

    Raises:
        UserError: for anything else; names which.
    """
    if isinstance(texts, (str, bytes)):
        raise UserError("expected a list of texts, found a single one: put it into a list")
    if not isinstance(texts, collections.abc.Iterable):
        raise UserError("expected a list of texts, found %s" % _shortened(repr(texts)))
    checked = []
    for number, text in enumerate(texts):
        if isinstance(text, str):
            checked.append((text, None))
        elif _is_pair(text):
            checked.append((text[0], text[1]))
        else:
            raise UserError(
                "text %d is %s, expected a str or a pair of str" % (number, _shortened(repr(text)))
            )
    return checked


def _is_pair(text):
    is_of_two = isinstance(text, (tuple, list)) and len(text) == 2
    return is_of_two and all(isinstance(part, str) for part in text)


def checked_length(wanted, config_length):
    """The longest input in tokens: what is wanted, as far as the model goes.

    Args:
        wanted: int or None.
        config_length: the config's max_position_embeddings, or a fixed length.

    Raises:
        UserError: if it is too short for anything.
    """
    length = min(DEFAULT_LENGTH if wanted is None else wanted, config_length)
    if length < min(SHORTEST_LENGTH, config_length):
        raise UserError(
            "max_seq_length: %d is too short, expected at least %d" % (length, SHORTEST_LENGTH)
        )
    return length


def rows_of(texts, tokenizer, max_seq_length, num_segments=2):
    """(ids, segment ids) of each text.

    Args:
        texts: as of `checked_texts`.
        tokenizer: `FullTokenizer`.
        max_seq_length: longest row.
        num_segments: the config's type_vocab_size.

    Returns:
        list of two lists of at most max_seq_length ints.

    Raises:
        UserError: for a pair where the model knows one segment.
    """
    rows = []
    for text_a, text_b in texts:
        if text_b is not None and num_segments < 2:
            raise UserError("the model takes single texts (type_vocab_size 1), found a pair")
        ids, segments, _ = classification.encode(tokenizer, text_a, text_b, max_seq_length)
        rows.append((ids, segments))
    return rows


def batches_by_length(lengths: Sequence[int]) -> Iterator[List[int]]:
    """Yields batches of indices, shortest rows first: little padding, a bounded number of tokens.

    Args:
        lengths: the rows' lengths.
    """
    batch = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        is_full = (len(batch) + 1) * lengths[index] > TOKENS_PER_BATCH
        if batch and (is_full or len(batch) == ROWS_PER_BATCH):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def padded(rows, length=None):
    """Rows as arrays.

    Args:
        rows: list of (ids, segment ids).
        length: F; the longest row's by default.

    Returns:
        int32 [3, B, F]: ids, mask, segment ids.
    """
    length = length or max(len(ids) for ids, _ in rows)
    arrays = np.zeros([3, len(rows), length], np.int32)
    for index, (ids, segments) in enumerate(rows):
        arrays[0, index, : len(ids)] = ids
        arrays[1, index, : len(ids)] = 1
        arrays[2, index, : len(ids)] = segments
    return arrays


def _shortened(text):
    return text if len(text) <= _SHOWN_LENGTH else text[:_SHOWN_LENGTH] + "..."
