"""Tags such as B-PER and spans: the schemes, their detection, and both conversions.

    scheme = detect_scheme(["O", "B-PER", "I-PER"], "train.txt")    # SCHEMES["BIO"]
    tags_to_spans(["B-PER", "I-PER", "O"], scheme)                  # [Span(0, 2, "PER")]
    spans_to_tags([Span(0, 2, "PER")], 3, scheme)                   # ["B-PER", "I-PER", "O"]

A tag is a letter, a separator and a type; in a segmentation the letter alone. What a letter means
depends on the scheme: it begins a span, is inside or at the end of one, is a span of one unit, or
is outside of all.
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
    letters: {letter: its role}, one of BEGIN, INSIDE, END, SINGLE, OUTSIDE.
"""


def _scheme(name, begin, inside, end=None, single=None):
    roles = ((begin, BEGIN), (inside, INSIDE), (end, END), (single, SINGLE), ("O", OUTSIDE))
    return Scheme(name, {letter: role for letter, role in roles if letter})


# Detection takes the first scheme whose letters include all letters of the tags.
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
# (role before, role) of one type that may stand side by side; spans of two types never continue.
_CONTINUES = {(before, role) for before in (BEGIN, INSIDE) for role in (INSIDE, END)}


def split_tag(tag: str) -> Tuple[str, str]:
    """Letter and type of a tag: "B-PER.NAM" -> ("B", "PER.NAM"), "O" -> ("O", "")."""
    if len(tag) > 1 and tag[1] in _SEPARATORS:
        return tag[0], tag[2:]
    return (tag, "") if len(tag) == 1 else ("", tag)


def join_tag(letter: str, entity_type: str) -> str:
    """The tag of a letter and a type; the letter alone for words of a segmentation."""
    return letter if letter == OUTSIDE_TAG or not entity_type else "%s-%s" % (letter, entity_type)


def detect_scheme(tags: Iterable[str], source: str) -> Scheme:
    """Which scheme tags are written in.

    Args:
        tags: all tags, or the different ones.
        source: what errors call their origin, such as the file's path.

    Returns:
        `Scheme`, the first of `SCHEMES` that has all the letters.

    Raises:
        UserError: for a tag that is none, a typed tag without a type, letters of no scheme.
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
        "%s: the letters %s of its tags are those of no tag scheme, expected those of one of: %s"
        % (source, " ".join(sorted(letters)), _expected_letters())
    )


def closest_scheme(counts: Mapping[str, int]) -> Scheme:
    """The first of the schemes that most tags are written in; counts: {tag: how often}."""
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
    """Raises `UserError` for what is no tag of any scheme, naming `source` (file and line)."""
    letter, entity_type = split_tag(tag)
    if not any(letter in scheme.letters for scheme in SCHEMES.values()):
        raise UserError(
            "%s: unknown tag %r: expected O, or a letter of a scheme and a type, as in B-PER"
            % (source, tag)
        )
    if len(tag) > 1 and not entity_type:
        raise UserError("%s: the tag %r has no type, expected %sTYPE" % (source, tag, tag))
    if letter == OUTSIDE_TAG and len(tag) > 1:
        raise UserError("%s: the tag %r: O stands alone, without a type" % (source, tag))


def all_tags(scheme: Scheme, types: Sequence[str], has_outside: bool = True) -> List[str]:
    """The tags of types in their order of ids.

    Args:
        scheme: `Scheme`.
        types: list of str; [""] for words.
        has_outside: whether there is the tag O; a segmentation has none.

    Returns:
        list of str, O first.
    """
    letters = [letter for letter, role in scheme.letters.items() if role != OUTSIDE]
    tags = [join_tag(letter, entity_type) for entity_type in types for letter in letters]
    return [OUTSIDE_TAG] + tags if has_outside else tags


def spans_to_tags(spans: Sequence[Span], length: int, scheme: Scheme) -> List[str]:
    """The tags of spans.

    Args:
        spans: list of `Span`, none of which overlap.
        length: int, number of units (characters, tokens, pieces) that get a tag each.
        scheme: `Scheme`.

    Returns:
        list of str [length].

    Raises:
        UserError: where spans overlap: one unit has one tag.
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
    """The spans of tags.

    Lenient reading is that of conlleval and seqeval's default: a tag that cannot continue the span
    before it begins one, and a missing end is forgiven. In strict reading (seqeval's strict mode) a
    span is one only if it begins, continues and ends as the scheme wants it.

    Args:
        tags: list of str.
        scheme: `Scheme`.
        is_strict: bool.

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
    """How many tags begin a span only in lenient reading, as I- at the start of a sentence does.

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
    """Which tags may follow which, begin and end a sequence, in well-formed sequences.

    Args:
        tags: list of K str, the tags by id.
        scheme: `Scheme`.

    Returns:
        (transitions, starts, ends): bool [K, K] (row: tag before), bool [K] and bool [K].
    """
    parsed = [_role_and_type(tag, scheme) for tag in tags]
    needs_end = END in scheme.letters.values()

    def is_open(role):  # a span that must go on
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
