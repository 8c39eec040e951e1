"""Reads vocabularies: text files with one token per line, and SentencePiece models."""

import collections
import functools
import os
from typing import Any, Collection, Dict, Iterable, List, Mapping, Optional, Sequence
import warnings

from albert_zh.common import checks, files, storage, validation
from albert_zh.common.errors import UserError, UserNotice
from albert_zh.common.messages import say

UNKNOWN = "[UNK]"
# Names of the vocabulary file in a model folder: a list of tokens, or a SentencePiece model.
VOCABULARY_FILE = "vocab.txt"
SENTENCEPIECE_FILE = "spiece.model"
_MOST_OTHERS = 0.1  # maximum share of entries that may differ from the checkpoint's vocabulary
SENTENCE_TOKENS = ("[CLS]", "[SEP]")


def is_sentencepiece(path: Optional[str]) -> bool:
    """Whether a vocabulary is a SentencePiece model, according to its path."""
    return path is not None and os.fspath(path).endswith(".model")


def name_in_folder(path: Optional[str]) -> str:
    """Name that a vocabulary file gets in a model folder."""
    return SENTENCEPIECE_FILE if is_sentencepiece(path) else VOCABULARY_FILE


def vocabulary_in_folder(folder: str) -> str:
    """Path of the vocabulary in a model folder; the file may be missing."""
    path = os.path.join(folder, SENTENCEPIECE_FILE)
    return path if storage.exists(path) else os.path.join(folder, VOCABULARY_FILE)


def load_vocab(vocab_file: str) -> Dict[str, int]:
    """Reads a vocabulary file.

    Lines end at "\\n" only and are stripped: the released vocabulary has entries that Unicode
    treats as line ends (U+2028). If an entry is repeated, the id of the last one is used.

    Args:
        vocab_file: text file with one token per line, or a SentencePiece model, *.model.

    Returns:
        OrderedDict, token -> id.

    Raises:
        UserError: if the file is missing or unreadable.
    """
    return ids_of(vocabulary_entries(vocab_file))


def num_entries(vocab_file: str) -> int:
    """Number of entries in a vocabulary, which is `vocab_size` in a model's config.

    Every line counts, as each has an id, including repeated and blank entries.

    Args:
        vocab_file: text file with one token per line, or a SentencePiece model, *.model.

    Returns:
        int.

    Raises:
        UserError: if the file is missing or unreadable.
    """
    return len(vocabulary_entries(vocab_file))


def check_num_entries(vocab_file: str, found: int, vocab_size: int) -> None:
    """Checks that the size of a vocabulary is the `vocab_size` of a model.

    Args:
        vocab_file: path of the vocabulary, or of the model that it is part of.
        found: int, number of entries in the vocabulary.
        vocab_size: int, from the model's config.

    Raises:
        UserError: if the numbers differ.
    """
    if found != vocab_size:
        raise UserError(
            "%s: the vocabulary has %d entries, but the config's vocab_size is %d: use the "
            "vocabulary that came with the model" % (vocab_file, found, vocab_size)
        )


def check_is_of_checkpoint(vocab_file: str, entries: Sequence[str], prefix: str) -> None:
    """Compares a vocabulary with the one in a checkpoint's folder; equal sizes are not enough.

    If only a few entries differ, such as words in place of [unused1], a warning is printed.

    Args:
        vocab_file: path of the vocabulary.
        entries: its tokens, by id.
        prefix: prefix of the checkpoint.

    Raises:
        UserError: if many entries differ.
    """
    beside = vocabulary_in_folder(os.path.dirname(prefix))
    if not storage.exists(beside):
        return
    others = vocabulary_entries(beside)
    differing = [number for number, pair in enumerate(zip(entries, others)) if len(set(pair)) > 1]
    if not differing:
        return
    first = differing[0]
    found = "%s: %d of its entries differ from %s next to the checkpoint (line %d: %r, not %r)" % (
        vocab_file,
        len(differing),
        beside,
        first + 1,
        entries[first],
        others[first],
    )
    if len(differing) > _MOST_OTHERS * len(others):
        raise UserError("--vocab_file=%s: name the checkpoint's own" % found)
    say("warning: --vocab_file=%s", found)


def convert_by_vocab(vocab: Mapping[Any, Any], items: Iterable[Any]) -> List[Any]:
    """Converts tokens to ids, or ids to tokens.

    Args:
        vocab: dict, token -> id or id -> token.
        items: iterable of keys of `vocab`.

    Returns:
        list of the values.

    Raises:
        UserError: if a key is not in the vocabulary.
    """
    try:
        return [vocab[item] for item in items]
    except KeyError as error:
        raise UserError(
            "the vocabulary of %d entries has no %s %r: was this created with another "
            "vocabulary?"
            % (len(vocab), "token" if isinstance(error.args[0], str) else "id", error.args[0])
        ) from error


def convert_tokens_to_ids(vocab: Mapping[str, int], tokens: Iterable[str]) -> List[int]:
    """Converts tokens to ids, see `convert_by_vocab`."""
    return convert_by_vocab(vocab, tokens)


def convert_ids_to_tokens(inv_vocab: Mapping[int, str], ids: Iterable[int]) -> List[str]:
    """Converts ids to tokens, see `convert_by_vocab`."""
    return convert_by_vocab(inv_vocab, ids)


def ids_of(entries: Iterable[str]) -> Dict[str, int]:
    """Returns {entry: id} for the entries of a vocabulary."""
    return collections.OrderedDict((token, index) for index, token in enumerate(entries))


def vocabulary_entries(path: Optional[str], digest: Any = None) -> List[str]:
    """Reads the tokens of a vocabulary file, or the pieces of a SentencePiece model, by id."""
    path = os.fspath(checks.checked("vocab_file", path or "", validation.PATH))
    if is_sentencepiece(path):
        # Imported on demand, as most vocabularies are text files.
        from albert_zh.text.sentencepiece_models import SentencePieceTokenizer

        return SentencePieceTokenizer(path).pieces
    if not path:
        raise UserError("--vocab_file is empty: name the vocab.txt of the model's folder")
    if storage.is_remote(path) or storage.exists(path) and not storage.is_folder(path):
        lines = files.read_lines(path, digest=digest)
    else:
        raise UserError(_no_such_vocabulary(path))
    entries = [line.strip() for line in lines]
    _warn_of_repeated_entries(path, entries)
    return entries


def _warn_of_repeated_entries(path, entries):
    """Warns about repeated entries, except blank ones, which are placeholders for unused ids."""
    lines = {}
    for line, entry in enumerate(entries, start=1):
        if entry and entry in lines:
            _warn_once(
                "%s, line %d: the entry %s is in line %d already, and the id of that line is never "
                "used: has a line been added or changed by mistake?"
                % (path, line, validation.shown(entry), lines[entry])
            )
            return
        lines[entry] = line


@functools.lru_cache(maxsize=None)
def _warn_once(message):
    """Prints a warning once; Python would repeat it when TensorFlow changes the warning filters."""
    warnings.warn(message, UserNotice)


def _no_such_vocabulary(path):
    parts = os.path.normpath(path).split(os.sep)
    if parts[-2:] == ["albert_config", "vocab.txt"]:
        way_out = (
            "the released vocabulary comes with the released models: `python "
            "scripts/fetch_assets.py albert_tiny_489k` puts it there; or use "
            "albert_starter_zh/vocab.txt together with the config in albert_starter_zh/"
        )
    elif storage.is_folder(path):
        way_out = "this is a folder: name the file in it, such as %s" % os.path.join(
            path, "vocab.txt"
        )
    else:
        way_out = "expected a text file with a token per line, the vocab.txt of the model's folder"
    return "--vocab_file=%s: no such file: %s" % (path, way_out)


def check_required_tokens(flag: Any, entries: Collection[str], required: Iterable[str]) -> None:
    """Raises `UserError` if a vocabulary lacks a token that every model needs."""
    missing = [token for token in required if token not in entries]
    if missing:
        raise UserError(
            "%s: its %d entries have no %s: is it the vocabulary of a BERT or ALBERT model?"
            % (flag, len(entries), ", ".join(missing))
        )
