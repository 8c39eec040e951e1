"""Raw text as training data of a generator: texts of whole sentences, corrupted to rows of ids.

    split = read_split("corpus.txt", "train", head["damage"])
    row = row_of(example, tokenizer, head)

A file has sentences or paragraphs in its lines and a blank line between documents, the input format
of create_pretraining_data.py.
"""

import hashlib
from typing import Any, Dict, Iterable, Iterator, List, Sequence, Tuple
import zlib

import numpy as np

from albert_zh.common import files
from albert_zh.common.errors import UserError
from albert_zh.tasks import input_examples
from albert_zh.tasks.generation.damage import DAMAGES, Damaged
from albert_zh.tasks.generation.pair_files import GenerationExample
from albert_zh.text.sentences import split_sentences

POSITIONS = "positions"  # column of feature records with the position id of each token
_SEPARATOR = "\n"  # between the sentences of an example


def read_split(path: str, name: str, damage: Dict[str, Any], encoding: str) -> input_examples.Split:
    """Reads a file of documents as texts of whole sentences.

    Args:
        path: the file.
        name: "train", "dev" or "test".
        damage: settings as `damage.settings` returns them.
        encoding: character encoding of the file.

    Returns:
        `input_examples.Split` of `GenerationExample`; `text_a` has one sentence per line.

    Raises:
        UserError: if the file is missing or has no text.
    """
    digest = hashlib.sha256()
    lines = _plain_lines(path, files.stream_lines(path, encoding, digest=digest))
    texts = [
        text for sentences in documents(lines) for text in packed(sentences, damage["longest"])
    ]
    if not texts:
        raise UserError(
            "%s has no text: expected lines of sentences, and a blank line between documents" % path
        )
    examples = [
        GenerationExample("%s-%d" % (name, number), _SEPARATOR.join(text), label=" ".join(text))
        for number, text in enumerate(texts, start=1)
    ]
    columns, sha256 = ("text_a", "label"), digest.hexdigest()
    return input_examples.Split(name, path, examples, True, [], columns, (), sha256)


def _plain_lines(path, lines):
    """The lines of a file; raises `UserError` for pairs and JSON, which are not raw text."""
    for number, line in enumerate(lines, start=1):
        found = "a TAB" if "\t" in line.strip() else "JSON" if line.startswith('{"') else None
        if found:
            raise UserError(
                "%s, line %d: found %s, expected raw text, lines of sentences: leave --damage out "
                "for pairs, and write the texts of JSON into lines" % (path, number, found)
            )
        yield line


def documents(lines: Iterable[str]) -> Iterator[List[str]]:
    """Yields the sentences of each document."""
    sentences: List[str] = []
    for line in lines:
        text = " ".join(line.split())
        if text:
            sentences += split_sentences(text)
        elif sentences:
            yield sentences
            sentences = []
    if sentences:
        yield sentences


def packed(sentences: Sequence[str], longest: int) -> Iterator[List[str]]:
    """Yields sequences of sentences with at most `longest` characters; splits longer sentences."""
    run: List[str] = []
    size = 0
    for sentence in sentences:
        for piece in _pieces(sentence, longest):
            if run and size + len(piece) > longest:
                yield run
                run, size = [], 0
            run.append(piece)
            size += len(piece)
    if run:
        yield run


def _pieces(sentence, longest):
    """Yields parts of at most `longest` characters, split at blanks if there are any."""
    while len(sentence) > longest:
        blank = sentence.rfind(" ", 1, longest + 1)
        end = longest if blank < 0 else blank
        yield sentence[:end]
        sentence = sentence[end:].lstrip()
    if sentence:
        yield sentence


def copies_of(split: input_examples.Split, count: int) -> input_examples.Split:
    """The split with each text `count` times; each copy is corrupted differently."""
    examples = [
        example._replace(guid="%s-%d" % (example.guid, copy))
        for copy in range(count)
        for example in split.examples
    ]
    return split._replace(examples=examples)


def damaged_text(example: Any, tokenizer: Any, head: Dict[str, Any]) -> Damaged:
    """The `Damaged` of an example, which is determined by the seed, its guid and its text.

    Args:
        example: an example as `read_split` returns it.
        tokenizer: `FullTokenizer`.
        head: `Settings.head`.
    """
    damage = head["damage"]
    sentences = [
        tokenizer.convert_tokens_to_ids(tokenizer.tokenize(sentence))
        for sentence in example.text_a.split(_SEPARATOR)
    ]
    sentences = _cut(sentences, damage["longest"]) or [[head["token_ids"]["unk"]]]
    key = "%d %s %s" % (damage["seed"], example.guid, example.text_a)
    generator = np.random.RandomState(zlib.crc32(key.encode("utf-8")))
    vocab_size = len(tokenizer.inv_vocab)
    return DAMAGES[damage["way"]](sentences, head["token_ids"]["mask"], vocab_size, generator)


def _cut(sentences, longest):
    """Truncates sentences to `longest` tokens in total; some characters are several tokens.

    This is the case for Korean syllables.
    """
    kept, num_left = [], longest
    for ids in sentences:
        if ids[:num_left]:
            kept.append(ids[:num_left])
            num_left -= len(kept[-1])
    return kept


def row_of(
    example: Any, tokenizer: Any, head: Dict[str, Any], max_seq_length: int
) -> Tuple[Dict[str, List[int]], bool]:
    """(the row `[CLS] source [SEP] target [SEP]`, whether text was truncated).

    Args:
        example, tokenizer, head: as in `damaged_text`.
        max_seq_length: maximum length of the row.
    """
    special, text = head["token_ids"], damaged_text(example, tokenizer, head)
    most = max_seq_length - len(text.target) - 3
    source = [special["cls"]] + text.source[:most] + [special["sep"]]
    target = text.target + [special["sep"]]
    row = {
        "input_ids": source + target,
        "segment_ids": [0] * len(source) + [1] * len(target),
    }
    if text.positions is not None:  # counted after [CLS]
        of_target = [position + 1 for position in text.positions]
        row[POSITIONS] = list(range(len(source))) + of_target + [of_target[-1] + 1]
    return row, len(text.source) > most
