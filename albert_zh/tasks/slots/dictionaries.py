"""Dictionaries that find slots in texts by exact longest match; one file per slot, or one table.

    content = packed(read_folder("dictionaries"))  # bytes, as saved in a model folder
    annotator = Annotator(content)
    annotator.spans("我要去北京站")  # [SlotSpan(begin=3, end=6, name='station'), ...]

Case and width do not matter (NFKC, lower case). Among the entries of one slot, the leftmost longest
matches count and do not overlap; matches of different slots may overlap. Entries of one character
are ignored. An entry that begins or ends with a Latin letter or digit only matches if a word of the
text begins or ends there.
"""

import collections
import hashlib
import os
import re
from typing import Any, Dict, Iterator, List, Set, Tuple
import unicodedata

from albert_zh.common import files, storage
from albert_zh.common.errors import UserError
from albert_zh.common.messages import say
from albert_zh.tasks.slots.cells import NAME, SlotSpan

FILE_NAME = "slot_dictionaries.tsv"  # in a model folder: entry, tab, name of the slot
ENDING = ".txt"
SHORTEST = 2  # minimum number of characters of an entry
_SHOWN = 10
TABLE_ENDING = ".tsv"
# Digits and letters of Latin words, with or without accents, and the combining accents.
_LATIN = re.compile(
    "[a-z0-9\u00df-\u00f6\u00f8-\u02af\u0300-\u036f\u1e00-\u1eff\u2c60-\u2c7f\ua722-\ua7ff]"
)
_ABOUT_FILES = re.compile(r"(readme|licen[cs]e)\b", re.IGNORECASE)
_VOICING = "\uff9e\uff9f"  # marks of half-width kana
_LINE_ENDS = re.compile(r"\r\n|\r|\n")


def normalized(text: str) -> str:
    """Normalizes differences of writing in a text: width, compatibility forms, case."""
    return normalized_with_origins(text)[0]


def normalized_with_origins(text: str) -> Tuple[str, List[Tuple[int, int]]]:
    """Returns the `normalized` text, and for each of its characters the span in the original."""
    chars, origins = [], []
    for begin, end in _clusters(text):
        for plain in unicodedata.normalize("NFKC", text[begin:end]).lower():
            chars.append(plain)
            origins.append((begin, end))
    return "".join(chars), origins


def _clusters(text):
    """Yields (begin, end) of each character together with its combining marks."""
    begin = 0
    for position in range(1, len(text) + 1):
        if position < len(text) and (
            text[position] in _VOICING or unicodedata.combining(text[position])
        ):
            continue
        yield begin, position
        begin = position


def read_folder(folder: str) -> Dict[str, Set[str]]:
    """Reads a folder of dictionaries.

    Args:
        folder: folder with a file NAME.txt per slot and an entry per line; text after a tab is
            ignored. If there are no such files, one .tsv file of entry, tab, name is read, which
            has the format of `FILE_NAME`. A README or licence file is ignored.

    Returns:
        {name: set of normalized entries}.

    Raises:
        UserError: if the folder does not exist, contains no dictionary, or a dictionary is empty.
    """
    if not storage.is_folder(folder):
        raise UserError(
            "--dictionaries=%s: no such folder; expected one with a file NAME.txt for each slot, "
            "one entry per line" % folder
        )
    there = storage.names_in(folder)
    names = sorted(n for n in there if n.endswith(ENDING) and not _ABOUT_FILES.match(n))
    if not names:
        return _read_table(folder)
    tables = [name for name in there if name.endswith(TABLE_ENDING)]
    if tables:
        raise UserError(
            "--dictionaries=%s: it has %s and %s: expected files NAME.txt or one .tsv, move the "
            "others elsewhere" % (folder, names[0], tables[0])
        )
    return {
        name[: -len(ENDING)]: _read_file(os.path.join(folder, name), name[: -len(ENDING)])
        for name in names
    }


def _read_table(folder):
    """Reads the dictionaries of a folder that contains them in one .tsv file."""
    names = [name for name in storage.names_in(folder) if name.endswith(TABLE_ENDING)]
    if len(names) != 1:
        raise UserError(
            "--dictionaries=%s: it has no file NAME.txt, and %d files .tsv: expected a NAME.txt "
            "for each slot, one entry per line, or one .tsv of entry, tab, name"
            % (folder, len(names))
        )
    path = os.path.join(folder, names[0])
    dictionaries = unpacked(files.read_bytes(path), path)
    if not dictionaries:
        raise UserError("%s has no entry: expected an entry, a tab and a name in each line" % path)
    return dictionaries


def _read_file(path, name):
    if not NAME.match(name):
        raise UserError(
            "%s: a slot cannot be called %r: rename the file, without blanks, : and |"
            % (path, name)
        )
    lines = _LINE_ENDS.split(files.read_text(path))
    entries = {normalized(line.split("\t")[0]).strip() for line in lines}
    short = sorted(entry for entry in entries if 0 < len(entry) < SHORTEST)
    entries = {entry for entry in entries if len(entry) >= SHORTEST}
    if short:
        say("note: %s: entries of one character are ignored: %s", path, " ".join(short[:_SHOWN]))
    if not entries:
        raise UserError(
            "%s has no entry of at least %d characters: expected one per line" % (path, SHORTEST)
        )
    return entries


def packed(dictionaries: Dict[str, Set[str]]) -> bytes:
    """Serializes dictionaries as the content of `FILE_NAME`; equal entries give equal bytes.

    Args:
        dictionaries: {name: set of normalized entries}.
    """
    rows = sorted((name, entry) for name, entries in dictionaries.items() for entry in entries)
    return "".join("%s\t%s\n" % (entry, name) for name, entry in rows).encode("utf-8")


def unpacked(content: bytes, path: str = FILE_NAME) -> Dict[str, Set[str]]:
    """Parses the content of `FILE_NAME`, which may have been edited by hand.

    Args:
        content: bytes.
        path: the file, for error messages.

    Returns:
        {name: set of normalized entries}.

    Raises:
        UserError: if a line does not consist of an entry, a tab and a name.
    """
    dictionaries: Dict[str, Set[str]] = {}
    try:
        lines = content.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise UserError("%s: expected UTF-8, found other bytes: %s" % (path, error)) from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        cells = line.rstrip("\r").split("\t")
        entry = normalized(cells[0]).strip()
        if len(cells) != 2 or not NAME.match(cells[1]) or len(entry) < SHORTEST:
            raise UserError(
                "%s, line %d: expected an entry of at least %d characters, a tab and the slot's "
                "name, found %r: correct or remove the line" % (path, number, SHORTEST, line[:40])
            )
        dictionaries.setdefault(cells[1], set()).add(entry)
    return dictionaries


class Annotator:
    """Finds the entries of dictionaries in texts.

    Attributes:
        names: sorted names of the slots.
        first_entries: {name: first entry of the slot in the order of code points}.
        sha256: hexadecimal digest of the dictionaries' entries.
    """

    def __init__(self, content: bytes, path: str = FILE_NAME) -> None:
        """Builds the automaton.

        Args:
            content: bytes of `FILE_NAME`.
            path: the file, for error messages.

        Raises:
            UserError: as in `unpacked`.
        """
        dictionaries = unpacked(content, path)
        self.names = sorted(dictionaries)
        self.first_entries = {name: min(entries) for name, entries in dictionaries.items()}
        self.sha256 = hashlib.sha256(packed(dictionaries)).hexdigest()
        names_of_entries: Dict[str, Tuple[str, ...]] = {}
        for name in self.names:
            for entry in dictionaries[name]:
                names_of_entries[entry] = names_of_entries.get(entry, ()) + (name,)
        self._occurrences = occurrences_by(names_of_entries)

    def spans(self, text: str) -> List[SlotSpan]:
        """Finds the slots of a text; spans are sorted and refer to the original text.

        Args:
            text: str.
        """
        plain, origins = normalized_with_origins(text)
        by_name = collections.defaultdict(list)
        for begin, end, names in self._occurrences(plain):
            if is_whole(plain, begin, end):
                for name in names:
                    by_name[name].append((begin, end))
        spans = []
        for name, ranges in by_name.items():
            for begin, end in leftmost_longest(ranges):
                spans.append(SlotSpan(origins[begin][0], origins[end - 1][1], name))
        return sorted(spans)


def is_whole(text: str, begin: int, end: int) -> bool:
    """Whether a range of a normalized text does not split a word of Latin letters and digits."""
    return not (_is_inside(text, begin) or _is_inside(text, end))


def _is_inside(text, position):
    around = text[max(position - 1, 0) : position + 1]
    is_between = 0 < position < len(text)
    return is_between and all(_LATIN.match(char) for char in around)


def leftmost_longest(ranges: List[Tuple[int, int]]) -> Iterator[Tuple[int, int]]:
    """Yields the leftmost longest ranges (begin, end) that do not overlap an earlier one."""
    last_end = 0
    for begin, end in sorted(ranges, key=lambda span: (span[0], -span[1])):
        if begin >= last_end:
            yield begin, end
            last_end = end


def occurrences_by(names_of_entries: Dict[str, Tuple[str, ...]]) -> Any:
    """Returns a function that finds all entries in a text: text -> iterator of (begin, end, names).

    It uses an automaton if pyahocorasick is installed, or else look-ups with the same results.

    Args:
        names_of_entries: {normalized entry: names of its slots}.
    """
    try:
        import ahocorasick
    except ImportError:
        return _looked_up(names_of_entries)
    return _by_automaton(ahocorasick.Automaton(), names_of_entries)


def _by_automaton(automaton, names_of_entries):
    for entry, names in names_of_entries.items():
        automaton.add_word(entry, (len(entry), names))
    if not names_of_entries:
        return lambda text: iter(())
    automaton.make_automaton()

    def occurrences(text):
        for last, (size, names) in automaton.iter(text):
            yield last + 1 - size, last + 1, names

    return occurrences


def _looked_up(names_of_entries):
    sizes = collections.defaultdict(set)  # {first two characters: lengths of entries}
    for entry in names_of_entries:
        sizes[entry[:SHORTEST]].add(len(entry))

    def occurrences(text):
        for begin in range(len(text)):
            for size in sizes.get(text[begin : begin + SHORTEST], ()):
                end = begin + size
                if end <= len(text) and text[begin:end] in names_of_entries:
                    yield begin, end, names_of_entries[text[begin:end]]

    return occurrences
