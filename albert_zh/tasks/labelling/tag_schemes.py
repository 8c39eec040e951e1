"""Tag schemes such as BIO: their detection, and conversions between tags and spans.

    scheme = detect_scheme(["O", "B-PER", "I-PER"], "train.txt")    # SCHEMES["BIO"]
    tags_to_spans(["B-PER", "I-PER", "O"], scheme)                  # [Span(0, 2, "PER")]
    spans_to_tags([Span(0, 2, "PER")], 3, scheme)                   # ["B-PER", "I-PER", "O"]

A tag consists of a letter, a separator and a type; in a segmentation it is only a letter. The
meaning of a letter depends on the scheme: the beginning, the inside or the end of a span, a span of
a single unit, or outside of all spans.
"""

import collections
import functools
import itertools
from typing import Dict, Iterable, List, Mapping, Sequence, Tuple

import numpy as np

from albert_zh.common.errors import UserError
from albert_zh.tasks.labelling.spans import Span, overlapping

BEGIN, INSIDE, END, SINGLE, OUTSIDE = "begin", "inside", "end", "single", "outside"
OUTSIDE_TAG = "O"
_SEPARATORS = "-_"

Scheme = collections.namedtuple("Scheme", ["name", "letters"])
Scheme.__doc__ = """A way to write spans as tags.

Fields:
    name: str, key of `SCHEMES`.
    letters: {letter: role}; roles are BEGIN, INSIDE, END, SINGLE and OUTSIDE.
"""


def _scheme(name, begin, inside, end=None, single=None):
    roles = ((begin, BEGIN), (inside, INSIDE), (end, END), (single, SINGLE), ("O", OUTSIDE))
    return Scheme(name, {letter: role for letter, role in roles if letter})


# Detection selects the first scheme that has all letters of the tags.
SCHEMES: Dict[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        _scheme("BIO", "B", "I"),
        _scheme("BIOS", "B", "I", single="S"),
        _scheme("BIOES", "B", "I", "E", "S"),
        _scheme("BMES", "B", "M", "E", "S"),
        _scheme("BMEWO", "B", "M", "E", "W"),
        _scheme("BILOU", "B", "I", "L", "U"),
    )
}
# (previous role, role) pairs that continue a span, if both tags have the same type.
_CONTINUES = {(before, role) for before in (BEGIN, INSIDE) for role in (INSIDE, END)}


def split_tag(tag: str) -> Tuple[str, str]:
    """Splits a tag into letter and type: "B-PER.NAM" -> ("B", "PER.NAM"), "O" -> ("O", "")."""
    if len(tag) > 1 and tag[1] in _SEPARATORS:
        return tag[0], tag[2:]
    return (tag, "") if len(tag) == 1 else ("", tag)


def join_tag(letter: str, entity_type: str) -> str:
    """Joins a letter and a type to a tag; without a type, the tag is only the letter."""
    return letter if letter == OUTSIDE_TAG or not entity_type else "%s-%s" % (letter, entity_type)


def detect_scheme(tags: Iterable[str], source: str) -> Scheme:
    """Detects the scheme of tags.

    Args:
        tags: all tags, or the distinct ones.
        source: origin of the tags for error messages, such as the path of a file.

    Returns:
        `Scheme`, the first of `SCHEMES` that has all letters of the tags.

    Raises:
        UserError: for an invalid tag, a tag without a type among tags with types, or letters that
            no scheme has.
    """
    tags = sorted(set(tags))
    for tag in tags:
        check_tag(tag, source)
    letters = {split_tag(tag)[0] for tag in tags}
    bare = [tag for tag in tags if tag != OUTSIDE_TAG and not split_tag(tag)[1]]
    typed = [tag for tag in tags if split_tag(tag)[1]]
    if bare and typed:
        raise UserError(
            "%s: the tag %r has no type, while others such as %r have one: expected %s-TYPE"
            % (source, bare[0], typed[0], bare[0])
        )
    for scheme in SCHEMES.values():
        if letters <= set(scheme.letters):
            return scheme
    raise UserError(
        "%s: the letters %s of its tags are not all in one tag scheme, expected one of: %s"
        % (source, " ".join(sorted(letters)), _expected_letters())
    )


def closest_scheme(counts: Mapping[str, int]) -> Scheme:
    """Returns the first scheme that covers the most tags; counts: {tag: number of occurrences}."""
    letters: collections.Counter = collections.Counter()
    for tag, count in counts.items():
        letters[split_tag(tag)[0]] += count
    return max(SCHEMES.values(), key=lambda scheme: sum(letters[name] for name in scheme.letters))


def _expected_letters():
    return ", ".join("%s (%s)" % (s.name, " ".join(s.letters)) for s in SCHEMES.values())


@functools.lru_cache(maxsize=4096)
def is_tag(tag: str) -> bool:
    """Whether `check_tag` accepts a tag."""
    try:
        check_tag(tag, "")
    except UserError:
        return False
    return True


def check_tag(tag: str, source: str) -> None:
    """Raises `UserError` for a tag that is in no scheme; it names `source` (file and line)."""
    letter, entity_type = split_tag(tag)
    if not any(letter in scheme.letters for scheme in SCHEMES.values()):
        raise UserError(
            "%s: unknown tag %r: expected O, or a letter of a scheme and a type, as in B-PER"
            % (source, tag)
        )
    if len(tag) > 1 and not entity_type:
        raise UserError("%s: the tag %r has no type, expected %sTYPE" % (source, tag, tag))
    if letter == OUTSIDE_TAG and len(tag) > 1:
        raise UserError("%s: the tag %r has a type, expected O without one" % (source, tag))


def all_tags(scheme: Scheme, types: Sequence[str], has_outside: bool = True) -> List[str]:
    """Returns the tags of types in the order of their ids.

    Args:
        scheme: `Scheme`.
        types: list of str; [""] for words.
        has_outside: whether the tag O is included; a segmentation does not have it.

    Returns:
        list of str, O first.
    """
    letters = [letter for letter, role in scheme.letters.items() if role != OUTSIDE]
    tags = [join_tag(letter, entity_type) for entity_type in types for letter in letters]
    return [OUTSIDE_TAG] + tags if has_outside else tags


def spans_to_tags(spans: Sequence[Span], length: int, scheme: Scheme) -> List[str]:
    """Converts spans to tags.

    Args:
        spans: list of `Span`, which must not overlap.
        length: int, number of units (characters, tokens or pieces), each of which gets a tag.
        scheme: `Scheme`.

    Returns:
        list of str [length].

    Raises:
        UserError: if spans overlap, since a unit has only one tag.
    """
    overlap = overlapping(spans)
    if overlap:
        raise UserError(
            "%s and %s overlap, and a unit has only one tag: use --head=global_pointer"
            % tuple("%s %d-%d" % (span.type or "word", span.start, span.end) for span in overlap)
        )
    letter_of = {role: letter for letter, role in scheme.letters.items()}
    tags = [OUTSIDE_TAG] * length
    for span in spans:
        roles = [INSIDE] * (span.end - span.start)
        if END in letter_of:
            roles[-1] = END
        roles[0] = SINGLE if len(roles) == 1 and SINGLE in letter_of else BEGIN
        tags[span.start : span.end] = [join_tag(letter_of[role], span.type) for role in roles]
    return tags


def tags_to_spans(tags: Sequence[str], scheme: Scheme, is_strict: bool = False) -> List[Span]:
    """Converts tags to spans.

    Lenient reading, as in conlleval and in seqeval by default, starts a new span at a tag that
    cannot continue the previous one, and accepts a missing end. Strict reading (seqeval's strict
    mode) only accepts spans that begin, continue and end as the scheme requires.

    Args:
        tags: list of str.
        scheme: `Scheme`.
        is_strict: bool, whether tags are read strictly.

    Returns:
        list of `Span`, in units.
    """
    parsed = [_role_and_type(tag, scheme) for tag in tags]
    return _strict_spans(parsed, scheme) if is_strict else _lenient_spans(parsed)


def _role_and_type(tag, scheme):
    letter, entity_type = split_tag(tag)
    return scheme.letters[letter], entity_type


def _lenient_spans(parsed):
    spans, start = [], None
    before = (OUTSIDE, "")
    for position, current in enumerate(itertools.chain(parsed, [(OUTSIDE, "")])):
        continues = (before[0], current[0]) in _CONTINUES and before[1] == current[1]
        if continues:
            before = current
            continue
        if start is not None:
            spans.append(Span(start, position, before[1]))
        start = None if current[0] == OUTSIDE else position
        before = current
    return spans


def _strict_spans(parsed, scheme):
    needs_end = END in scheme.letters.values()
    spans, position = [], 0
    while position < len(parsed):
        role, entity_type = parsed[position]
        start = position
        position += 1
        if role == SINGLE:
            spans.append(Span(start, position, entity_type))
        if role != BEGIN:
            continue
        while position < len(parsed) and _goes_on(parsed, position):
            position += 1
        if not needs_end or parsed[position - 1][0] == END:
            spans.append(Span(start, position, entity_type))
    return spans


def _goes_on(parsed, position):
    before, current = parsed[position - 1], parsed[position]
    return before[1] == current[1] and (before[0], current[0]) in _CONTINUES


def count_malformed(tags: Sequence[str], scheme: Scheme) -> int:
    """Counts tags that only begin a span in lenient reading, such as I- at a sentence's start.

    Args:
        tags: list of str.
        scheme: `Scheme`.

    Returns:
        int.
    """
    begins = {span.start for span in tags_to_spans(tags, scheme)}
    roles = [_role_and_type(tag, scheme)[0] for tag in tags]
    return sum(roles[start] not in (BEGIN, SINGLE) for start in begins)


def allowed_moves(tags: Sequence[str], scheme: Scheme) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Determines which tags may begin, follow each other in, and end well-formed sequences.

    Args:
        tags: list of K str, the tags by id.
        scheme: `Scheme`.

    Returns:
        (transitions, starts, ends): bool [K, K] (row: previous tag), bool [K] and bool [K].
    """
    parsed = [_role_and_type(tag, scheme) for tag in tags]
    needs_end = END in scheme.letters.values()

    def is_open(role):  # a span that has to be continued
        return needs_end and role in (BEGIN, INSIDE)

    starts = np.array([role not in (INSIDE, END) for role, _ in parsed])
    ends = np.array([not is_open(role) for role, _ in parsed])
    transitions = np.zeros([len(tags), len(tags)], bool)
    for i, (role, entity_type) in enumerate(parsed):
        for j, (next_role, next_type) in enumerate(parsed):
            if next_role in (INSIDE, END):
                is_same = entity_type == next_type
                transitions[i, j] = is_same and (role, next_role) in _CONTINUES
            else:
                transitions[i, j] = ends[i]
    return transitions, starts, ends
