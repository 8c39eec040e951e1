"""Vocabularies: lists of tokens, a token per line, and SentencePiece models."""

import collections
import functools
import os
from typing import Any, Collection, Dict, Iterable, List, Mapping, Optional, Sequence
import warnings

from albert_zh.common import checks, files, storage, validation
from albert_zh.common.errors import UserError, UserNotice
from albert_zh.common.messages import say

UNKNOWN = "[UNK]"
# What a model folder calls its vocabulary: a list of tokens, or a SentencePiece model.
VOCABULARY_FILE = "vocab.txt"
SENTENCEPIECE_FILE = "spiece.model"
_MOST_OTHERS = 0.1  # share of the entries in which a model's vocabulary may have been changed
SENTENCE_TOKENS = ("[CLS]", "[SEP]")


def is_sentencepiece(path: Optional[str]) -> bool:
    """Whether a vocabulary's path is that of a SentencePiece model."""
    return path is not None and os.fspath(path).endswith(".model")


def name_in_folder(path: Optional[str]) -> str:
    """What a model folder calls the vocabulary of a path."""
    return SENTENCEPIECE_FILE if is_sentencepiece(path) else VOCABULARY_FILE


def vocabulary_in_folder(folder: str) -> str:
    """Path of a model folder's vocabulary; it may be missing."""
    path = os.path.join(folder, SENTENCEPIECE_FILE)
    return path if storage.exists(path) else os.path.join(folder, VOCABULARY_FILE)


def load_vocab(vocab_file: str) -> Dict[str, int]:
    """Reads a vocabulary file.

    Lines end at "\\n" only and are stripped: the released vocabulary has entries that are line ends
    to Unicode (U+2028). Of equal entries the last one's id counts.

    Args:
        vocab_file: text file with a token per line, or a SentencePiece model, *.model.

    Returns:
        OrderedDict, token -> id.

    Raises:
        UserError: when the file is missing or unreadable.
    """
    return ids_of(vocabulary_entries(vocab_file))


def num_entries(vocab_file: str) -> int:
    """Number of a vocabulary's entries, which is what a config calls `vocab_size`.

    Every line counts that has an id: equal entries each, and blank ones.

    Args:
        vocab_file: text file with a token per line, or a SentencePiece model, *.model.

    Returns:
        int.

    Raises:
        UserError: when the file is missing or unreadable.
    """
    return len(vocabulary_entries(vocab_file))


def check_num_entries(vocab_file: str, found: int, vocab_size: int) -> None:
    """Checks that a vocabulary is a model's.

    Args:
        vocab_file: path of the vocabulary, or of the model that it is part of.
        found: int, its entries.
        vocab_size: int, of the model's config.

    Raises:
        UserError: if the numbers differ.
    """
    if found != vocab_size:
        raise UserError(
            "%s: the vocabulary has %d entries, but the config's vocab_size is %d: use the "
            "vocabulary that came with the model" % (vocab_file, found, vocab_size)
        )


def check_is_of_checkpoint(vocab_file: str, entries: Sequence[str], prefix: str) -> None:
    """Compares a vocabulary with the one beside a checkpoint; as many entries may be others.

    A few others, such as words in place of [unused1], are reported.

    Args:
        vocab_file: path of the vocabulary.
        entries: its tokens, by id.
        prefix: of the checkpoint.

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
    found = (
        "%s: %d of its entries are not those of %s, beside the checkpoint (line %d: %r, not %r)"
        % (vocab_file, len(differing), beside, first + 1, entries[first], others[first])
    )
    if len(differing) > _MOST_OTHERS * len(others):
        raise UserError("--vocab_file=%s: name the checkpoint's own" % found)
    say("warning: --vocab_file=%s", found)


def convert_by_vocab(vocab: Mapping[Any, Any], items: Iterable[Any]) -> List[Any]:
    """The values of tokens, or of ids, in a vocabulary.

    Args:
        vocab: dict, token -> id or id -> token.
        items: iterable of its keys.

    Returns:
        list.

    Raises:
        UserError: for a key that the vocabulary lacks.
    """
    try:
        return [vocab[item] for item in items]
    except KeyError as error:
        raise UserError(
            "the vocabulary of %d entries has no %s %r: was this made with another vocabulary?"
            % (len(vocab), "token" if isinstance(error.args[0], str) else "id", error.args[0])
        ) from error


def convert_tokens_to_ids(vocab: Mapping[str, int], tokens: Iterable[str]) -> List[int]:
    """Ids of tokens, see `convert_by_vocab`."""
    return convert_by_vocab(vocab, tokens)


def convert_ids_to_tokens(inv_vocab: Mapping[int, str], ids: Iterable[int]) -> List[str]:
    """Tokens of ids, see `convert_by_vocab`."""
    return convert_by_vocab(inv_vocab, ids)


def ids_of(entries: Iterable[str]) -> Dict[str, int]:
    """{entry: id} of a vocabulary's entries."""
    return collections.OrderedDict((token, index) for index, token in enumerate(entries))


def vocabulary_entries(path: Optional[str], digest: Any = None) -> List[str]:
    """The tokens of a vocabulary file, or the pieces of a SentencePiece model, by id."""
    path = os.fspath(checks.checked("vocab_file", path or "", validation.PATH))
    if is_sentencepiece(path):
        # Imported here: most vocabularies are lists.
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
    """Blank ones hold the place of ids that are not in use."""
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
    """Python forgets what it has shown when TensorFlow's import changes its filters."""
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
