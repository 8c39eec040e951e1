"""Common parts of models kept in memory: their folder, and use by several threads.

A loaded model may be used by several threads; closing it waits until no thread uses it.
"""

import collections
import collections.abc
import contextlib
import os
import sys
import threading
from typing import Any, Iterator, NoReturn, Optional, TypeVar

from albert_zh.common.errors import UserError, printable
from albert_zh.inference import arguments
from albert_zh.model import forks
from albert_zh.model.checkpoints import model_folder
from albert_zh.text import tokenization

__all__ = [
    "LoadedModel",
    "ModelFolder",
    "check_vocabulary",
    "note_cut",
    "note_unknown",
    "open_folder",
]

_Model = TypeVar("_Model", bound="LoadedModel")
ModelFolder = collections.namedtuple(
    "ModelFolder", ["prefix", "config", "vocab_file", "tokenizer", "do_lower_case"]
)
ModelFolder.__doc__ = """The result of `open_folder`.

Fields:
    prefix: prefix of the checkpoint.
    config: `AlbertConfig`.
    vocab_file: path.
    tokenizer: `FullTokenizer` of that vocabulary.
    do_lower_case: bool.
"""


class LoadedModel:
    """Counts the users of a model, so that it is freed after the last of them.

    Attributes:
        shown_name: the model's name in errors: the class that its user has created.
    """

    def __init__(self) -> None:
        self.shown_name = type(self).__name__
        self._process = os.getpid()
        self._state = threading.Condition()
        self._num_users = 0
        self._is_closed = False

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Keeps the model from being freed; raises `UserError` if closed, or in a forked child."""
        if self._process != os.getpid():
            raise UserError(
                "this %s was loaded in process %d, this is its forked child %d: %s"
                % (self.shown_name, self._process, os.getpid(), forks.ABOUT_FORKS)
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
        """Frees the model as soon as nobody uses it any more; later uses raise errors.

        A forked child leaves that to its parent.
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
            raise UserError("this %s is closed: create a new one" % self.shown_name)

    def __reduce__(self) -> NoReturn:
        raise UserError(
            "this %s cannot be pickled or copied, for example for another process: create one "
            "there, from the same folder" % self.shown_name
        )

    def __enter__(self: _Model) -> _Model:
        self._check_is_open()
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()


def note_unknown(source: str, model: Any) -> None:
    """Prints a note on unknown words of the texts that a model has read since the last call.

    Args:
        source: description of the texts, for the note.
        model: model with an attribute `unknown`, an `unknown_words.Tally`.
    """
    for line in model.unknown.take_notes():
        print(printable("note: %s: %s" % (source, line)), file=sys.stderr)


def note_cut(what: str, num_cut: int, longest: int) -> None:
    """Prints a note on how many inputs, if any, are longer than the model reads.

    Args:
        what: description of the inputs, in the plural.
        num_cut: number of truncated inputs.
        longest: maximum number of tokens that the model reads.
    """
    if num_cut:
        note = "note: %s of more than %d tokens, which were truncated: %d" % (
            what,
            longest,
            num_cut,
        )
        print(printable(note), file=sys.stderr)


def open_folder(
    path: str,
    config_file: Optional[str] = None,
    vocab_file: Optional[str] = None,
    do_lower_case: Optional[bool] = None,
) -> ModelFolder:
    """Opens a model folder: reads the config and the vocabulary and finds the checkpoint.

    Args:
        path: model folder or checkpoint prefix.
        config_file: config JSON file, if it is not in the folder.
        vocab_file: vocabulary, if it is not in the folder.
        do_lower_case: bool; None: as in fine-tuning, or True.

    Returns:
        `ModelFolder`.

    Raises:
        UserError: if a file is missing or the files do not belong together.
    """
    arguments.check_arguments(
        model_dir=path, config_file=config_file, vocab_file=vocab_file, do_lower_case=do_lower_case
    )
    opened = model_folder.open_folder(arguments.checked_path(path), config_file)
    vocab_file = vocab_file or tokenization.vocabulary_in_folder(opened.folder)
    if do_lower_case is None:
        do_lower_case = opened.notes.get("do_lower_case", True)
    tokenizer = tokenization.FullTokenizer(vocab_file, do_lower_case)
    check_vocabulary(vocab_file, tokenizer, opened.config.vocab_size)
    return ModelFolder(opened.prefix, opened.config, vocab_file, tokenizer, do_lower_case)


def check_vocabulary(
    vocab_file: str, tokenizer: tokenization.FullTokenizer, vocab_size: int
) -> None:
    """Raises `UserError` if a tokenizer's number of entries is not the one the model expects."""
    tokenization.check_num_entries(vocab_file, len(tokenizer.inv_vocab), vocab_size)
