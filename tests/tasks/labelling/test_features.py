"""Conversion of texts to rows of ids with tags or spans, and back."""

import random
import types
import unicodedata

from absl import flags
import numpy as np
import pytest

from albert_zh.tasks.labelling import alignment, features, predictions
from albert_zh.tasks.labelling import flags as labelling_flags
from albert_zh.tasks.labelling.decoding import TagDecoder
from albert_zh.tasks.labelling.spans import Span, words_as_spans
from albert_zh.tasks.labelling.tag_schemes import SCHEMES, all_tags
from albert_zh.text import tokenization

ENTRIES = (
    "[PAD] [UNK] [CLS] [SEP] [unused1] 我 在 北 京 上 海 iphone ##x 20 ##20 ##08 年 ，".split()
)
BIO = {tag: number for number, tag in enumerate(all_tags(SCHEMES["BIO"], ["LOC", "PER"]))}
BMES = {"B": 0, "M": 1, "E": 2, "S": 3}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    path = tmp_path_factory.mktemp("features") / "vocab.txt"
    path.write_text("\n".join(ENTRIES) + "\n", encoding="utf-8")
    return tokenization.FullTokenizer(str(path))


def tokens(tokenizer, encoded):
    return [tokenizer.convert_ids_to_tokens(row) for row in encoded.input_ids]


def test_one_row(tokenizer):
    encoded = features.encode_text(tokenizer, "我在 北京，", 16)
    assert tokens(tokenizer, encoded) == ["[CLS] 我 在 北 京 ， [SEP]".split()]
    rows, counts = features.tag_rows(encoded, [Span(3, 5, "LOC")], BIO, SCHEMES["BIO"])
    assert rows == [[0, 0, 0, BIO["B-LOC"], BIO["I-LOC"], 0, 0]]
    assert counts == (1, 0, 0, 0)
    assert features.span_rows(encoded, [Span(3, 5, "LOC")], {"LOC": 7})[0] == [[(2, 3, 7)]]


def test_a_granularity_is_the_second_token(tokenizer):
    encoded = features.encode_text(tokenizer, "我在北京", 6, 3, granularity_token="[unused1]")
    assert tokens(tokenizer, encoded) == [
        "[CLS] [unused1] 我 在 北 [SEP]".split(),
        "[CLS] [unused1] 在 北 京 [SEP]".split(),
    ]
    rows, _ = features.tag_rows(
        encoded, words_as_spans(["我", "在", "北京"]), BMES, SCHEMES["BMES"]
    )
    assert rows == [[0, 0, 3, 3, 0, 0], [0, 0, 3, 0, 2, 0]]


@pytest.mark.parametrize(
    "head, pieces",
    [
        ({"half_width": True}, "我 iphone ##x ##20 ##08 年"),
        ({"half_width": False}, "我 [UNK] 年"),
        ({}, "我 [UNK] 年"),  # a model of an earlier version
    ],
)
def test_full_width_letters_and_digits_are_read_as_half_width(tokenizer, head, pieces):
    task = types.SimpleNamespace(head=head)
    example = types.SimpleNamespace(text_a="我ＩＰｈｏｎｅｘ２００８年")
    encoded = predictions.encoded_text(task, example, tokenizer, 16)
    assert tokens(tokenizer, encoded) == [["[CLS]", *pieces.split(), "[SEP]"]]
    if head.get("half_width"):  # offsets refer to the original text
        assert encoded.offsets == [(0, 1), (1, 7), (7, 8), (8, 10), (10, 12), (12, 13)]
    else:
        assert encoded.offsets == [(0, 1), (1, 12), (12, 13)]


def test_signs_of_full_width_stay(tokenizer):
    text = "（Ａ＋１，％）" + "".join(map(chr, range(0xFF01, 0xFFEF)))
    read = features.text_as_read({"half_width": True}, text)
    assert read[:7] == "（A＋1，％）" and len(read) == len(text)
    changed = [char for char, other in zip(text[7:], read[7:]) if char != other]
    assert len(changed) == 10 + 26 + 26
    assert all(unicodedata.normalize("NFKC", a) == b for a, b in zip(text, read) if a != b)


def test_pieces_outside_of_words_are_gold_words_as_they_are_learnt(tokenizer):
    text = "北京，在 上海"  # the comma and 在 are in no span, the blank has no piece
    spans = [Span(0, 2, ""), Span(5, 7, "")]
    encoded = features.encode_text(tokenizer, text, 16)
    rows, _ = features.tag_rows(encoded, spans, BMES, SCHEMES["BMES"])
    assert rows == [[0] + [BMES[tag] for tag in "BESSBE"] + [0]]
    words = features.gold_words(encoded, text, spans)
    assert [text[word.start : word.end] for word in words] == ["北京", "，", "在 ", "上海"]


def test_windows_of_a_row_and_entities_that_they_cut(tokenizer):
    encoded = features.encode_text(tokenizer, "我在北京，我在上海", 7, 4)
    assert [(w.start, w.end) for w in encoded.windows] == [(0, 5), (4, 9)]
    spans = [Span(2, 4, "LOC"), Span(3, 8, "PER"), Span(7, 9, "LOC")]
    rows, counts = features.span_rows(encoded, spans, {"LOC": 0, "PER": 1})
    assert rows == [[(2, 3, 0)], [(3, 4, 0)]]
    assert counts == (3, 0, 0, 1)  # no window contains all of the second span
    assert "1 of 3 entities do not fit into any window" in features.notes_of_counts(counts)[0]


def test_spans_beyond_the_columns_of_a_row_are_counted(tokenizer):
    encoded = features.encode_text(tokenizer, "北京", 8)  # four tokens: at most four spans
    spans = [Span(start, end, kind) for start, end in ((0, 1), (0, 2), (1, 2)) for kind in "ab"]
    rows, counts = features.span_rows(encoded, spans, {"a": 0, "b": 1})
    assert rows == [[(0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1)]]
    assert counts == (6, 0, 0, 2)


def test_inexact_entities_are_counted(tokenizer):
    encoded = features.encode_text(tokenizer, "我2008年 \u200b", 16)
    spans = [Span(1, 4, "LOC"), Span(4, 6, "PER"), Span(7, 8, "PER")]
    rows, counts = features.tag_rows(encoded, spans, BIO, SCHEMES["BIO"])
    assert rows == [[0, 0, BIO["B-LOC"], BIO["I-LOC"], BIO["B-PER"], 0]]
    assert counts == (3, 2, 1, 0)
    notes = features.notes_of_counts(features.added_counts([counts, counts]))
    assert notes[0].startswith("4 of 6 entities or words begin or end inside a word piece")
    assert notes[1].startswith("2 of 6 entities or words have no separate word piece")
    assert features.notes_of_counts(features.added_counts([])) == []


def test_pieces_outside_of_all_words_are_words(tokenizer):
    encoded = features.encode_text(tokenizer, "我在北京", 16)
    rows, _ = features.tag_rows(encoded, [Span(2, 4, "")], BMES, SCHEMES["BMES"])
    assert rows == [[0, 3, 3, 0, 2, 0]]


def test_tags_of_rows_become_the_spans_again(tokenizer):
    text = "我在北京，iPhoneX在上海20年，" * 30
    spans = [
        Span(start + at, start + end, entity_type)
        for start in range(0, len(text), 19)
        for at, end, entity_type in ((2, 4, "LOC"), (5, 12, "PER"), (13, 15, "LOC"))
    ]
    encoded = features.encode_text(tokenizer, text, 20)
    rows, counts = features.tag_rows(encoded, spans, BIO, SCHEMES["BIO"])
    assert counts == (len(spans), 0, 0, 0)
    logits = [np.eye(len(BIO))[row[1:-1]] for row in rows]
    joined = alignment.join_windows(logits, encoded.windows)
    ((decoded, _),) = TagDecoder(list(BIO), SCHEMES["BIO"]).decode([joined])
    assert features.spans_of_text(encoded, decoded) == spans


def test_no_character_is_in_two_spans(tokenizer):
    encoded = features.EncodedText([(0, 1), (1, 2), (1, 2), (2, 3)], None, None, 1)
    spans = [Span(0, 2, "A"), Span(2, 4, "B")]
    assert features.spans_of_text(encoded, spans) == [Span(0, 2, "A"), Span(2, 3, "B")]
    nested = features.spans_of_text(encoded, spans, is_flat=False)
    assert nested == [Span(0, 2, "A"), Span(1, 3, "B")]


def test_nested_spans_of_windows_are_found_once(tokenizer):
    """The windows' targets, given back as predictions in any order, reproduce the text's spans."""
    generator = random.Random(1)
    for _ in range(200):
        text = "".join(generator.choices("我在北京上海", k=generator.randint(22, 60)))
        size, stride = generator.randint(8, 18), generator.choice([None, 1, 2, 3])
        longest = size - (stride or size // 2)
        starts = generator.sample(range(len(text) - longest), 4)
        spans = [Span(at, at + generator.randint(1, longest), "LOC") for at in starts]
        spans += [span._replace(type="PER") for span in spans[:2]]
        encoded = features.encode_text(tokenizer, text, size + 2, stride)
        outputs = []
        for row in features.span_rows(encoded, spans, {"LOC": 0, "PER": 1})[0]:
            listed = generator.sample(row, len(row)) + [(0, 0, -1)]
            columns = dict(zip(("span_starts", "span_ends", "span_types"), zip(*listed)))
            outputs.append(dict(columns, span_scores=[2.0] * len(row) + [0.0]))
        task = types.SimpleNamespace(head={"stride": stride}, labels=("LOC", "PER"))
        use = types.SimpleNamespace(task=task, tokenizer=tokenizer, max_seq_length=size + 2)
        example = types.SimpleNamespace(text_a=text)
        (predicted,) = predictions.of_pairs([example], [outputs], use)
        assert predicted.spans == sorted(spans)


@pytest.mark.parametrize(
    "given, half_width",
    [({}, True), ({"original_reader": True}, False), ({"half_width": False}, False)]
    + [({"original_reader": True, "half_width": True}, True)],
)
def test_width_is_folded_unless_the_original_program_is_asked_for(given, half_width):
    options = flags.FlagValues()
    labelling_flags.LabellingFlags().define(options)
    flags.DEFINE_boolean("skip_bad_rows", False, "A flag of all kinds.", flag_values=options)
    options.mark_as_parsed()
    for name, value in given.items():
        options[name].value = value
    assert labelling_flags.LabellingFlags().head(options)["half_width"] is half_width
