"""Writes CharacterData.java: what each character means to tokenization.py.

    python android/make_character_data.py

JDKs and versions of Android differ in their Unicode version and in how they lower-case a final
sigma. The Java tokenizer therefore brings along a table of what tokenization.py, asked for every
character, does with it under the Unicode version of the Python that runs this. Run it again when
the toolkit moves to a Python with a newer Unicode (`unicodedata.unidata_version`).
"""

import itertools
import os
import sys
import unicodedata

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from albert_zh.common import output_files  # noqa: E402
from albert_zh.common.errors import UserError, run_command  # noqa: E402
from albert_zh.text import tokenization  # noqa: E402

TARGET = os.path.join(HERE, "albert/src/main/java/org/albertzh/CharacterData.java")
NUM_CODE_POINTS = sys.maxunicode + 1
NUM_DIGITS = 36
LINE = 76

TEMPLATE = """package org.albertzh;

/**
 * What every character means to the tokenizer, Unicode %(version)s; see {@link Characters}.
 *
 * <p>Written by android/make_character_data.py, which asks tokenization.py; do not edit.
 */
final class CharacterData {
    /** Runs of one kind, from U+0000: length in base 36 (none for 1), then the kind. */
    static final String KINDS =
            %(kinds)s;

    /** Runs with a lower case, in base 36: first character, number, step, distance to it. */
    static final String LOWER_CASE =
            %(lower_case)s;

    private CharacterData() {}
}
"""

_cased = tokenization.BasicTokenizer(do_lower_case=False)
_lower_cased = tokenization.BasicTokenizer(do_lower_case=True)


def kind_of(char):
    """The letter of a character's kind, see Characters.java."""
    text = "a%sa" % char
    parts = _cased.tokenize(text)
    if parts == ["aa"]:
        return "D"  # dropped
    if parts == ["a", "a"]:
        return "S"  # space
    if _lower_cased.tokenize(text) == ["aa"]:
        return "M"  # mark, dropped with the accents
    is_isolated = parts == ["a", char, "a"]
    # Whether a sigma is a final one tells what Python takes the character before it for.
    if ("1%sΣ" % char).lower().endswith("ς"):
        return "C"  # cased
    if ("a%sΣ" % char).lower().endswith("ς"):
        return "J" if is_isolated else "G"  # ignored when looking for a cased neighbour
    return "I" if is_isolated else "O"


def runs_of_kinds():
    """All kinds as text: "9DAC..." are nine dropped characters, then ten times "C" ..."""
    kinds = map(kind_of, map(chr, range(NUM_CODE_POINTS)))
    lengths = ((kind, sum(1 for _ in run)) for kind, run in itertools.groupby(kinds))
    return "".join(("" if length == 1 else base36(length)) + kind for kind, length in lengths)


def runs_of_lower_case():
    """All lower-case letters as text: runs, each "first,number,step,distance"."""
    runs = []
    for code_point in range(NUM_CODE_POINTS):
        lower, *marks = chr(code_point).lower()  # only U+0130 has a mark, dropped as all marks are
        if any(kind_of(mark) != "M" for mark in marks):
            raise UserError("U+%04X: its lower case has several letters" % code_point)
        if ord(lower) == code_point:
            continue
        distance = ord(lower) - code_point
        last = runs[-1] if runs else None
        step = code_point - last[0] - (last[1] - 1) * last[2] if last else None
        if last and last[3] == distance and step in ((1, 2) if last[1] == 1 else (last[2],)):
            last[1:3] = last[1] + 1, step
        else:
            runs.append([code_point, 1, 1, distance])
    return " ".join(",".join(map(base36, run)) for run in runs)


def base36(number):
    """An integer as Java's Integer.parseInt(text, 36) reads it."""
    digits = ""
    rest = abs(number)
    while rest or not digits:
        rest, digit = divmod(rest, NUM_DIGITS)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return "-" + digits if number < 0 else digits


def java_string(text):
    """A Java expression for a long text, over several lines."""
    lines = [text[start : start + LINE] for start in range(0, len(text), LINE)]
    return "\n                    + ".join('"%s"' % line for line in lines)


def main():
    """Writes the file."""
    with output_files.atomic_write(TARGET) as handle:
        handle.write(
            TEMPLATE
            % {
                "version": unicodedata.unidata_version,
                "kinds": java_string(runs_of_kinds()),
                "lower_case": java_string(runs_of_lower_case()),
            }
        )


if __name__ == "__main__":
    run_command(main)
