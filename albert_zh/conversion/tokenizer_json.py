"""Converts Hugging Face's tokenizer.json back to the vocab.txt that it was created from.

    tokenizer = read("folder/tokenizer.json")
    tokenizer.entries  # ["[PAD]", "[UNK]", ...], or None if the model is not WordPiece

transformers 5 saves BERT's tokenizers only in this file. `tokenizer_steps` writes it.
"""

import collections
import re
from typing import List

from albert_zh.common import files, validation
from albert_zh.common.errors import UserError
from albert_zh.conversion import tokenizer_steps

FILE = "tokenizer.json"
_PREFIX = "##"

_TYPED = validation.or_none(validation.record({"type": validation.TEXT}, ["type"]))
_FIELDS = {
    "model": validation.record({"type": validation.TEXT}, ["type"]),
    "normalizer": _TYPED,
    "pre_tokenizer": _TYPED,
    "added_tokens": validation.list_of(
        validation.record(
            {"id": validation.integer(0), "content": validation.TEXT}, ["id", "content"]
        )
    ),
}
_KIND = validation.record(_FIELDS, ["model"], expected="the JSON object of a tokenizer")
_BERT_NORMALIZER = validation.record(
    {
        "lowercase": validation.BOOLEAN,
        "strip_accents": validation.or_none(validation.BOOLEAN),
        "handle_chinese_chars": validation.BOOLEAN,
        "clean_text": validation.BOOLEAN,
    }
)
_WORD_PIECE = validation.record(
    {
        "vocab": validation.record(others=validation.integer(0)),
        "continuing_subword_prefix": validation.one_of(_PREFIX),
        "unk_token": validation.one_of("[UNK]"),
    },
    ["vocab"],
)
_KIND_OF_WORD_PIECE = validation.record(
    dict(_FIELDS, model=_WORD_PIECE, normalizer=validation.or_none(_BERT_NORMALIZER))
)
_ALWAYS_ON = ("handle_chinese_chars", "tokenize_chinese_chars", "clean_text", "do_basic_tokenize")
_SWITCH = validation.or_none(validation.BOOLEAN)
_CONFIG = validation.record(
    {
        "do_lower_case": _SWITCH,
        "strip_accents": _SWITCH,
        "tokenize_chinese_chars": _SWITCH,
        "do_basic_tokenize": _SWITCH,
        "tokenizer_class": validation.or_none(validation.TEXT),
    }
)
# transformers' classes that tokenize like BERT, or that depend on the files next to them.
_CLASSES = (
    "BertTokenizer ElectraTokenizer ErnieTokenizer NezhaTokenizer AlbertTokenizer "
    "PreTrainedTokenizer TokenizersBackend"
).split()
_WAY_OUT = "name the model's vocabulary with --vocab_file"

Tokenizer = collections.namedtuple("Tokenizer", ["entries", "do_lower_case", "notes"])
Tokenizer.__doc__ = """The content of a tokenizer.json, as far as it is supported here.

Fields:
    entries: list of str, the tokens in the order of their ids; None if it is not WordPiece.
    do_lower_case: bool, or None if the file does not record it.
    notes: list of lines to print, about unsupported settings.
"""


def read(path: str) -> Tokenizer:
    """Reads a tokenizer.json.

    Args:
        path: the file.

    Raises:
        UserError: if it is damaged, or its ids have gaps.
    """
    content = files.read_json(path, _KIND, _WAY_OUT)
    kind = content["model"]["type"]
    if kind != "WordPiece":
        note = "%s: a tokenizer of the type %s has no vocab.txt: %s" % (
            path,
            validation.shown_key(kind),
            _WAY_OUT,
        )
        return Tokenizer(None, None, [note])
    files.read_json(path, _KIND_OF_WORD_PIECE, _WAY_OUT)
    entries = _entries_by_id(path, content)
    own_case = tokenizer_steps.case_of(content)
    if own_case is not None:
        return Tokenizer(entries, own_case, [])
    normalizer = content.get("normalizer") or {}
    return Tokenizer(
        entries,
        normalizer.get("lowercase"),
        ["note: %s: %s" % (path, difference) for difference in _differences(content)],
    )


def notes_of_config(path: str) -> List[str]:
    """Notes on settings of a tokenizer_config.json that are not supported here.

    Args:
        path: the file.

    Raises:
        UserError: if it is damaged.
    """
    content = files.read_json(path, _CONFIG)
    kind = content.get("tokenizer_class")
    notes = []
    if kind and re.sub("Fast$", "", kind) not in _CLASSES:
        notes.append(
            "note: %s: its tokenizer_class is %s, but BertTokenizer is used here: texts may be "
            "split into other word pieces" % (path, validation.shown(kind))
        )
    settings = {
        "lowercase": content.get("do_lower_case") is not False,
        "strip_accents": content.get("strip_accents"),
        "tokenize_chinese_chars": content.get("tokenize_chinese_chars"),
        "do_basic_tokenize": content.get("do_basic_tokenize"),
    }
    return notes + ["note: %s: %s" % (path, line) for line in _other_settings(settings)]


def _entries_by_id(path, content):
    ids = dict(content["model"]["vocab"])
    ids.update((token["content"], token["id"]) for token in content.get("added_tokens", ()))
    entries = sorted(ids, key=ids.get)
    for expected, token in enumerate(entries):
        if ids[token] != expected:
            raise UserError(
                "%s: the token %s has the id %d, expected %d, the next one: %s"
                % (path, validation.shown(token), ids[token], expected, _WAY_OUT)
            )
        if "\n" in token:
            raise UserError(
                "%s: the token %s contains a line end, which a vocab.txt cannot contain: %s"
                % (path, validation.shown(token), _WAY_OUT)
            )
    return entries


def _differences(content):
    """Yields the steps from text to word pieces that differ from the ones here."""
    normalizer, splitter = content.get("normalizer"), content.get("pre_tokenizer")
    for name, section, expected in (
        ("normalizer", normalizer, "BertNormalizer"),
        ("pre_tokenizer", splitter, "BertPreTokenizer"),
    ):
        kind = "none" if section is None else section["type"]
        if kind != expected:
            yield "its %s is %s, but %s here: texts may be split into other word pieces" % (
                name,
                validation.shown_key(kind),
                expected,
            )
    yield from _other_settings(normalizer or {})


def _other_settings(settings):
    """Yields the settings of a BERT tokenizer that differ from the ones here."""
    for name in _ALWAYS_ON + ("strip_accents",):
        expected = name in _ALWAYS_ON or settings.get("lowercase", True)
        if settings.get(name) not in (None, expected):
            yield "its %s is %s, but %s here: texts may be split into other word pieces" % (
                name,
                str(settings[name]).lower(),
                str(expected).lower(),
            )
