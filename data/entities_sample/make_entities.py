"""Makes the labelled sentences of this folder from `sentences.txt` and `values.txt`.

    python data/entities_sample/make_entities.py

writes train.txt, dev.txt and test.txt: a character and its tag (BIO) on each line, a blank line
between sentences. Both source files are UTF-8 text; `##` begins a comment, `# NAME` a group.

`sentences.txt`: one sentence a line, with slots such as {person} or {place2}. Each sentence is used
in one split only. In groups whose name ends with "+" sentences may get an opening and a closing.

`values.txt`: lists of the parts that names are made of, separated by blanks. A quarter of each
list's values are in all splits, the others in one of them, so that most entities of dev and test
are not in train, and have to be recognised by their context.

The same files and seed give the same bytes on every machine.
"""

import collections
import hashlib
import os
import random
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

from absl import flags

from albert_zh.common.errors import UserError, run_command
from albert_zh.common.files import read_lines
from albert_zh.common.output_files import atomic_write
from albert_zh.tasks.labelling import tag_schemes
from albert_zh.tasks.labelling.column_files import column_lines
from albert_zh.tasks.labelling.spans import Span

FLAGS = flags.FLAGS

HERE = os.path.dirname(os.path.abspath(__file__))
NUM_SENTENCES = collections.OrderedDict([("train", 1200), ("dev", 200), ("test", 300)])
TEMPLATE_SHARES = (("train", 0.62), ("dev", 0.13), ("test", 0.25))
VALUE_SHARES = (("train", 0.45), ("dev", 0.10), ("test", 0.20))  # the others are in all splits
_SLOT = re.compile(r"\{([a-z_]+?)(\d*)\}")
_MOST_REPEATED = 14  # times that a sentence is filled

OPENING_SHARE, CLOSING_SHARE = 0.25, 0.15  # of the sentences in groups marked with +
_NOT_AFTER_OPENING = tuple("我你他听据有别说因昨今想") + ("{time}",)

# What fills the slots of entities: (weight, pattern of lists in values.txt).
PATTERNS = {
    "person": (
        (10, "{surname}{given}"),
        (2, "{nickname}"),
        (2, "{syllable}{syllable}{syllable}"),
        (1, "{syllable}{syllable}·{syllable}{syllable}"),
    ),
    "place": (
        (5, "{stem}{settlement}"),
        (4, "{stem}{street}"),
        (4, "{stem}{landscape}"),
        (3, "{stem}"),
        (1, "{region}"),
        (1, "{stem}{settlement}{stem}{street}"),
        (1, "{surname}家{settlement}"),
    ),
    "company": (
        (4, "{brand}{trade}"),
        (3, "{stem}{trade}{legal_form}"),
        (1, "{surname}氏{trade}{legal_form}"),
        (2, "{brand}"),
    ),
    "institution": ((4, "{stem}{school_kind}"), (1, "{stem}{institute_kind}")),
    "office": ((3, "{stem}{settlement}{office_kind}"), (2, "{stem}{office_kind}")),
    "hospital": ((2, "{stem}{settlement}{hospital_kind}"), (3, "{stem}{hospital_kind}")),
    "club": ((3, "{stem}{club_kind}"), (1, "{brand}{club_kind}")),
    "work": (
        (4, "{adjective}{noun}"),
        (3, "{noun}与{noun}"),
        (2, "{verb}{noun}"),
        (2, "{stem}的{noun}"),
        (2, "{noun}"),
        (1, "{surname}{given}"),
        (1, "我在{stem}{verb}{noun}"),
    ),
    "product": (
        (4, "{brand}{model}"),
        (4, "{brand}{device}"),
        (3, "{brand}{model}{device}"),
    ),
}
PATTERNS["organization"] = PATTERNS["company"] + PATTERNS["institution"] + PATTERNS["office"]
ORGANIZATIONS = ("company", "institution", "office", "hospital", "club")  # kinds of this type


def define_flags():
    flags.DEFINE_string("output_dir", HERE, "Folder for train.txt, dev.txt and test.txt.")
    flags.DEFINE_integer("seed", 20240601, "Seed of the values that fill the sentences.")


def read_groups(path):
    """Groups of lines of a source file.

    Args:
        path: the file.

    Returns:
        {name of the group: list of its lines}.

    Raises:
        UserError: names a line before the first group.
    """
    groups = collections.OrderedDict()
    lines = None
    for number, line in enumerate(read_lines(path), start=1):
        if line.startswith("##") or not line.strip():
            continue
        if line.startswith("#"):
            lines = groups.setdefault(line[1:].strip(), [])
        elif lines is None:
            raise UserError(
                "%s, line %d: %r is in no group: put a line '# NAME' before it"
                % (path, number, line)
            )
        else:
            lines.append(line)
    return groups


def in_hashed_order(texts):
    """Texts in an order that depends on nothing but themselves."""
    return sorted(texts, key=lambda text: hashlib.sha256(text.encode("utf-8")).digest())


def divided(texts, shares):
    """Shares out texts: ({split: texts}, the others)."""
    waiting = in_hashed_order(texts)
    parts = {}
    for name, share in shares:
        size = int(round(share * len(texts)))
        parts[name], waiting = waiting[:size], waiting[size:]
    return parts, waiting


def values_by_split(groups):
    """{split: {list: values}} of the lists of values.txt."""
    splits = {name: {} for name in NUM_SENTENCES}
    for list_name, lines in groups.items():
        values = " ".join(lines).split()
        parts, shared = divided(values, VALUE_SHARES)
        for name in splits:
            splits[name][list_name] = parts[name] + shared
    return splits


def filled(text, values, rng):
    """A pattern with a value in place of each slot; values may have slots, too."""
    while _SLOT.search(text):
        text = _SLOT.sub(lambda slot: rng.choice(values[slot.group(1)]), text)
    return text


def new_entity(kind, values, rng):
    """A name of a kind of entity."""
    patterns = [pattern for weight, pattern in PATTERNS[kind] for _ in range(weight)]
    return filled(rng.choice(patterns), values, rng)


def sentence(template, values, rng):
    """A template's text and entities.

    Args:
        template: str.
        values: {list: values}.
        rng: `random.Random`.

    Returns:
        (text, spans): str and list of `Span`.
    """
    text, spans, end = "", [], 0
    for slot in _SLOT.finditer(template):
        text += template[end : slot.start()]
        end = slot.end()
        kind = slot.group(1)
        if kind in PATTERNS:
            name = new_entity(kind, values, rng)
            entity_type = "organization" if kind in ORGANIZATIONS else kind
            spans.append(Span(len(text), len(text) + len(name), entity_type))
            text += name
        else:
            text += rng.choice(values[kind])
    return text + template[end:], spans


def varied(template, is_open, values, rng):
    """A template, perhaps with an opening before and a closing behind it."""
    if not is_open:
        return template
    if rng.random() < OPENING_SHARE and not template.startswith(_NOT_AFTER_OPENING):
        template = rng.choice(values["opening"]) + template
    if rng.random() < CLOSING_SHARE:
        template += rng.choice(values["closing"])
    return template


def sentences_of_split(templates, values, size, rng):
    """Different sentences, each template as often as the others; those without slots once.

    Args:
        templates: list of (template, whether it may have an opening and a closing).
        values: {list: values}.
        size: int, number of sentences.
        rng: `random.Random`.

    Returns:
        list of (text, spans).

    Raises:
        UserError: if the templates are too few.
    """
    chosen = collections.OrderedDict()
    for _ in range(_MOST_REPEATED):
        order = list(templates)
        rng.shuffle(order)
        for template in order:
            text, spans = sentence(varied(*template, values=values, rng=rng), values, rng)
            if len(chosen) < size:
                chosen.setdefault(text, spans)
    if len(chosen) < size:
        raise UserError(
            "sentences.txt: %d sentences make %d different texts, expected %d: add some"
            % (len(templates), len(chosen), size)
        )
    result = list(chosen.items())
    rng.shuffle(result)
    return result


def write_split(path, sentences):
    """Writes sentences as columns: a character and its tag."""
    scheme = tag_schemes.SCHEMES["BIO"]
    with atomic_write(path) as handle:
        for text, spans in sentences:
            tags = tag_schemes.spans_to_tags(spans, len(text), scheme)
            handle.write("\n".join(column_lines(text, tags)) + "\n\n")


def main():
    groups = read_groups(os.path.join(HERE, "sentences.txt"))
    is_open = {line: name.endswith("+") for name, lines in groups.items() for line in lines}
    parts, others = divided(is_open, TEMPLATE_SHARES)
    parts["train"] += others
    values = values_by_split(read_groups(os.path.join(HERE, "values.txt")))
    rng = random.Random(FLAGS.seed)
    for name, size in NUM_SENTENCES.items():
        templates = [(template, is_open[template]) for template in parts[name]]
        sentences = sentences_of_split(templates, values[name], size, rng)
        path = os.path.join(FLAGS.output_dir, name + ".txt")
        write_split(path, sentences)
        num_entities = sum(len(spans) for _, spans in sentences)
        print("%s: %d sentences, %d entities" % (path, len(sentences), num_entities))


if __name__ == "__main__":
    define_flags()
    run_command(main)
