"""What models kept in memory share: their folder, their session, use by several threads.

A loaded model may be used by several threads; closing it waits for those that use it.
"""

import collections
import collections.abc
import contextlib
import os
import threading
from typing import Any, Callable, Dict, Iterator, Optional, Sequence

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.common import checks, validation
from albert_zh.common.errors import UserError
from albert_zh.model import (
    checkpoint_matching,
    checkpoint_values,
    inference_graph,
    model_folder,
)
from albert_zh.model.layers import PRECISIONS
from albert_zh.text import tokenization

__all__ = [
    "ARGUMENTS",
    "CheckpointSession",
    "INPUT_NAMES",
    "LoadedModel",
    "ModelFolder",
    "check_arguments",
    "check_precision",
    "check_sessions_can_run",
    "check_vocabulary",
    "checked_path",
    "open_folder",
]

INPUT_NAMES = inference_graph.ENCODER_INPUTS
_FLAG = validation.scalar(
    "True or False", lambda value: isinstance(value, (bool, np.bool_)) or value in (0, 1)
)
_PATH_OR_NONE = validation.or_none(validation.PATH, "None")
# What may be given to the classes for use, by the arguments' names.
ARGUMENTS = {
    "max_seq_length": validation.or_none(validation.integer(1, 1 << 20), "None"),
    "num_threads": validation.or_none(validation.integer(1, 1 << 10), "None"),
    "do_lower_case": validation.or_none(_FLAG, "None"),
    "normalize": _FLAG,
    "check_text_form": _FLAG,
    "granularity": validation.or_none(validation.TEXT, "None"),
    "model_dir": validation.PATH,
    "path": validation.PATH,
    "config_file": _PATH_OR_NONE,
    "vocab_file": _PATH_OR_NONE,
    "cache_dir": _PATH_OR_NONE,
    "precision": validation.TEXT,
    "layers": validation.TEXT,
    "pooling": validation.or_none(validation.TEXT, "None"),
    "encoding": validation.TEXT,
    "top_k": validation.integer(1),
    "candidates": validation.integer(1),
    "batch_size": validation.or_none(validation.integer(1), "None"),
}

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


_ABOUT_FORKS = (
    "start child processes with multiprocessing.get_context('spawn') and load the model in them, "
    "or fork before the first model is loaded"
)
_process_with_sessions = None  # id of the process that started TensorFlow's threads


def check_sessions_can_run() -> None:
    """Raises `UserError` in a fork of a process with a session: it would wait for its threads."""
    global _process_with_sessions
    if _process_with_sessions not in (None, os.getpid()):
        raise UserError(
            "no model can be loaded in this process: it was forked from one that had loaded a "
            "model, and TensorFlow's threads stayed there: " + _ABOUT_FORKS
        )
    _process_with_sessions = os.getpid()


class LoadedModel:
    """Counts those who use a model, so that it is freed after the last of them."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._state = threading.Condition()
        self._num_users = 0
        self._is_closed = False

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Keeps the model from being freed; raises `UserError` if it is closed or of a parent."""
        if self._process != os.getpid():
            raise UserError(
                "this %s was loaded in process %d, this is its forked child %d: %s"
                % (type(self).__name__, self._process, os.getpid(), _ABOUT_FORKS)
            )
        with self._state:
            self._check_is_open()
            self._num_users += 1
        try:
            yield
        finally:
            with self._state:
                self._num_users -= 1
                self._state.notify_all()

    def close(self) -> None:
        """Frees the model as soon as nobody uses it any more; later uses are errors.

        A forked child leaves it to its parent.
        """
        if self._process != os.getpid():
            return
        with self._state:
            if self._is_closed:
                return
            self._is_closed = True
            while self._num_users:
                self._state.wait()
        self._free()

    def _free(self):
        raise NotImplementedError

    def _check_is_open(self):
        if self._is_closed:
            raise UserError("this %s is closed: make a new one" % type(self).__name__)

    def __enter__(self) -> "LoadedModel":
        self._check_is_open()
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


class CheckpointSession:
    """A graph with the weights of a checkpoint in a separate session."""

    def __init__(
        self,
        prefix: str,
        build: Callable[[Dict[str, tf.Tensor]], Any],
        expected: str,
        num_threads: Optional[int] = None,
    ) -> None:
        """Builds the graph and loads the weights; the files are not needed any more then.

        Args:
            prefix: checkpoint prefix, as of `checkpoint_files.find_checkpoint`.
            build: function of {input name: int tensor [B, F]} -> (tensor or list of tensors, list
                of further placeholders that it made).
            expected: what the checkpoint has to be, for errors.
            num_threads: threads of an operation; None: as many as there are cores.

        Raises:
            UserError: if the checkpoint lacks a variable of the graph.
        """
        check_sessions_can_run()
        settings = tf.ConfigProto()
        settings.gpu_options.allow_growth = True
        if num_threads:
            settings.intra_op_parallelism_threads = int(num_threads)
            settings.inter_op_parallelism_threads = int(num_threads)
        with tf.Graph().as_default() as graph:
            features = {name: tf.placeholder(tf.int32, [None, None], name) for name in INPUT_NAMES}
            outputs, further = build(features)
            assignment, _ = checkpoint_matching.initialize_from(prefix, tf.trainable_variables())
            misfits = assignment.new + sorted(assignment.reshaped)
            if misfits:
                raise UserError(
                    "%s does not fit (%s): expected %s" % (prefix, ", ".join(misfits), expected)
                )
            self._session = tf.Session(graph=graph, config=settings)
            try:
                self._session.run(tf.global_variables_initializer())
            except tf.errors.OpError:
                checkpoint_values.check_readable(prefix)  # raises, and says what it is
                raise
        feeds = [features[name] for name in INPUT_NAMES] + further
        self.run = self._session.make_callable(outputs, feeds)

    def callable_of(self, outputs: Any, feeds: Sequence[tf.Tensor]) -> Callable[..., Any]:
        """A function of the arrays of some placeholders that returns some tensors' values."""
        return self._session.make_callable(outputs, feeds)

    def close(self) -> None:
        """Frees the session."""
        self._session.close()


def check_arguments(**arguments: Any) -> None:
    """Raises `UserError` for an argument that is not what `ARGUMENTS` says of its name."""
    for name, argument in arguments.items():
        checks.checked(name, argument, ARGUMENTS[name])


def check_precision(precision: str) -> None:
    """Raises `UserError` unless the precision is a key of `modeling.PRECISIONS`."""
    check_arguments(precision=precision)
    if precision not in PRECISIONS:
        raise UserError(
            "precision: unknown %r, expected one of %s" % (precision, ", ".join(sorted(PRECISIONS)))
        )


def open_folder(
    path: str,
    config_file: Optional[str] = None,
    vocab_file: Optional[str] = None,
    do_lower_case: Optional[bool] = None,
) -> ModelFolder:
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
    check_arguments(
        model_dir=path, config_file=config_file, vocab_file=vocab_file, do_lower_case=do_lower_case
    )
    opened = model_folder.open_folder(checked_path(path), config_file)
    vocab_file = vocab_file or tokenization.vocabulary_in_folder(opened.folder)
    if do_lower_case is None:
        do_lower_case = opened.notes.get("do_lower_case", True)
    tokenizer = tokenization.FullTokenizer(vocab_file, do_lower_case)
    check_vocabulary(vocab_file, tokenizer, opened.config.vocab_size)
    return ModelFolder(opened.prefix, opened.config, vocab_file, tokenizer, do_lower_case)


def check_vocabulary(
    vocab_file: str, tokenizer: tokenization.FullTokenizer, vocab_size: int
) -> None:
    """Raises `UserError` if a tokenizer has not the number of entries that the model expects."""
    tokenization.check_num_entries(vocab_file, len(tokenizer.inv_vocab), vocab_size)


def checked_path(path: Any) -> str:
    """A path as str; raises `UserError` for what is none."""
    return os.fspath(checks.checked("path", path, validation.PATH))
