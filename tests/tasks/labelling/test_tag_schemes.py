"""Tags and spans: agreement with seqeval, detection of schemes, well-formed transitions."""

import itertools
import json
import os
import random

import numpy as np
import pytest

from albert_zh.common.errors import UserError
from albert_zh.tasks.labelling.spans import Span
from albert_zh.tasks.labelling.tag_schemes import (
    SCHEMES,
    all_tags,
    allowed_moves,
    count_malformed,
    detect_scheme,
    spans_to_tags,
    tags_to_spans,
)


def golden_cases(shared):
    path = os.path.join(shared, "golden", "labelling", "sequence_scores", "expected.json")
    with open(path, encoding="utf-8") as handle:
        return json.load(handle)["cases"]


def scheme_of(name, case):
    if name.startswith("bmes"):
        return SCHEMES["BMES"]
    return SCHEMES["BIOES" if "strict_IOBES" in case else "BIO"]


def test_golden_entities(shared):
    for name, case in golden_cases(shared).items():
        scheme, offset = scheme_of(name, case), 0
        for side in ("true", "pred"):
            lenient, strict, offset = [], [], 0
            for tags in case[side]:
                for span in tags_to_spans(tags, scheme):
                    lenient.append([span.type, span.start + offset, span.end - 1 + offset])
                strict += [[s.type, s.start, s.end] for s in tags_to_spans(tags, scheme, True)]
                offset += len(tags) + 1
            assert lenient == case["%s_entities_default" % side], name
            key = "%s_entities_strict_%s" % (side, "IOBES" if "strict_IOBES" in case else "IOB2")
            if key in case:
                assert sorted(strict) == sorted(case[key]), name


# {scheme: (seqeval's strict scheme, {letter: its equivalent in seqeval's default mode})}
SEQEVAL = {
    "BIO": ("IOB2", {}),
    "BIOES": ("IOBES", {}),
    "BMES": ("IOBES", {"M": "I"}),
    "BMEWO": ("IOBES", {"M": "I", "W": "S"}),
    "BILOU": ("IOBES", {"L": "E", "U": "S"}),
}


@pytest.mark.parametrize("name", sorted(SEQEVAL))
@pytest.mark.newest
def test_random_tags_as_seqeval_reads_them(name):
    labelling = pytest.importorskip("seqeval.metrics.sequence_labeling")
    schemes = pytest.importorskip("seqeval.scheme")
    scheme, generator = SCHEMES[name], random.Random(5)
    alphabet = all_tags(scheme, ["PER", "LOC.X", "A-B"])
    strict_scheme, letters = SEQEVAL[name]
    for _ in range(300):
        tags = [generator.choice(alphabet) for _ in range(generator.randrange(1, 12))]
        theirs = [letters.get(tag[0], tag[0]) + tag[1:] for tag in tags]
        lenient = [(s.type, s.start, s.end - 1) for s in tags_to_spans(tags, scheme)]
        assert lenient == [tuple(e) for e in labelling.get_entities(theirs)], tags
        entities = schemes.Entities([theirs], getattr(schemes, strict_scheme)).entities[0]
        strict = [(s.type, s.start, s.end) for s in tags_to_spans(tags, scheme, True)]
        assert strict == [entity.to_tuple()[1:] for entity in entities], tags


@pytest.mark.parametrize("name", sorted(SCHEMES))
@pytest.mark.parametrize("is_strict", [False, True])
def test_spans_survive_their_tags(name, is_strict):
    generator = random.Random(3)
    for _ in range(100):
        borders = sorted(generator.sample(range(20), generator.randrange(2, 12)))
        spans = [
            Span(start, end, generator.choice("AB"))
            for start, end in zip(borders[::2], borders[1::2])
        ]
        tags = spans_to_tags(spans, 20, SCHEMES[name])
        assert tags_to_spans(tags, SCHEMES[name], is_strict) == spans
        assert detect_scheme(tags, "here").letters.keys() >= {tag[0] for tag in tags}
        assert count_malformed(tags, SCHEMES[name]) == 0


@pytest.mark.parametrize(
    "tags, name",
    [
        (["O", "B-PER", "I-PER"], "BIO"),
        (["O", "I-PER"], "BIO"),
        (["B-PER", "I-PER", "S-PER", "O"], "BIOS"),
        (["B-PER", "E-PER", "I-LOC", "O"], "BIOES"),
        (["B", "M", "E", "S"], "BMES"),
        (["B_PER", "M_PER", "E_PER", "O"], "BMES"),
        (["W-LOC", "B-LOC", "E-LOC", "O"], "BMEWO"),
        (["U-LOC", "B-LOC", "L-LOC", "O"], "BILOU"),
        (["B-PER.NAM", "I-PER.NAM", "O"], "BIO"),
    ],
)
def test_detection(tags, name):
    assert detect_scheme(tags, "train.txt").name == name


@pytest.mark.parametrize(
    "tags, expected",
    [
        (["O", "B-PER", "X-PER"], r"^train.txt: unknown tag 'X-PER': expected O, or a letter"),
        (["O", "person"], r"unknown tag 'person'"),
        (["O", "B-"], r"the tag 'B-' has no type, expected B-TYPE"),
        (["O", "B", "B-PER"], r"the tag 'B' has no type, while others such as 'B-PER' have one"),
        (["O-PER"], r"the tag 'O-PER' has a type, expected O without one"),
        (["M-PER", "I-PER"], r"letters I M of its tags are not all in one tag scheme"),
    ],
)
def test_tags_that_are_none(tags, expected):
    with pytest.raises(UserError, match=expected):
        detect_scheme(tags, "train.txt")


def test_malformed_tags_are_kept_and_counted():
    tags = ["I-PER", "I-PER", "O", "I-LOC", "I-PER", "B-PER"]
    assert count_malformed(tags, SCHEMES["BIO"]) == 3
    assert len(tags_to_spans(tags, SCHEMES["BIO"])) == 4


def test_overlaps_have_no_tags():
    with pytest.raises(UserError, match="PER 0-3 and LOC 2-4 overlap.*--head=global_pointer"):
        spans_to_tags([Span(2, 4, "LOC"), Span(0, 3, "PER")], 5, SCHEMES["BIO"])


@pytest.mark.parametrize("name", sorted(set(SCHEMES) - {"BIOS"}))  # which also allows B alone
def test_allowed_moves_are_those_of_strictly_well_formed_sequences(name):
    """A sequence of up to 3 tags is allowed if and only if its spans convert back to it."""
    scheme = SCHEMES[name]
    tags = all_tags(scheme, ["A", "B"])
    transitions, starts, ends = allowed_moves(tags, scheme)
    for length in (1, 2, 3):
        for ids in itertools.product(range(len(tags)), repeat=length):
            is_allowed = starts[ids[0]] and ends[ids[-1]]
            is_allowed = is_allowed and all(transitions[i, j] for i, j in zip(ids, ids[1:]))
            sequence = [tags[i] for i in ids]
            again = spans_to_tags(tags_to_spans(sequence, scheme, True), length, scheme)
            assert is_allowed == (again == sequence), sequence


def test_tags_of_a_segmentation_have_no_outside():
    assert all_tags(SCHEMES["BMES"], [""], has_outside=False) == ["B", "M", "E", "S"]
    transitions, starts, ends = allowed_moves(["B", "M", "E", "S"], SCHEMES["BMES"])
    assert np.array_equal(transitions, [[0, 1, 1, 0], [0, 1, 1, 0], [1, 0, 0, 1], [1, 0, 0, 1]])
    assert list(starts) == [True, False, False, True] and list(ends) == [False, False, True, True]
