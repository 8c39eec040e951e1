"""Conversion of rows from one vocabulary to another, and pairs of equal pieces."""

import numpy as np
import pytest

from albert_zh.layer_distillation.alignment import RowConverter
from albert_zh.text.tokenization import FullTokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
STUDENT = SPECIAL + ["今", "天", "iph", "##one", "##s", "雨", "x", "##y"]
TEACHER = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]", "天", "今", "ip", "##hone", "##s", "xy"]


@pytest.fixture
def tokenizers(tmp_path):
    pair = []
    for name, entries in (("student", STUDENT), ("teacher", TEACHER)):
        path = tmp_path / name
        path.write_text("\n".join(entries) + "\n", encoding="utf-8")
        pair.append(FullTokenizer(str(path)))
    return pair


def converted(tokenizers, pieces, segments=None, longest=64):
    ids = np.array([[STUDENT.index(piece) for piece in pieces] + [0, 0]])
    mask = np.array([[1] * len(pieces) + [0, 0]])
    segments = np.array([(segments or [0] * len(pieces)) + [0, 0]])
    return RowConverter(*tokenizers, longest).convert(ids, mask, segments)


def aligned_pairs(rows):
    size = rows.is_aligned[0].sum()
    return list(
        zip(rows.student_positions[0, :size].tolist(), rows.teacher_positions[0, :size].tolist())
    )


def test_pieces_of_the_same_characters_are_aligned(tokenizers):
    pieces = ["[CLS]", "今", "[MASK]", "iph", "##one", "##s", "雨", "[SEP]", "x", "##y", "[SEP]"]
    rows = converted(tokenizers, pieces, [0] * 8 + [1] * 3)
    expected = "[CLS] 今 [MASK] ip ##hone ##s [UNK] [SEP] xy [SEP]".split()
    assert [TEACHER[token_id] for token_id in rows.input_ids[0]] == expected
    assert rows.segment_ids[0].tolist() == [0] * 8 + [1] * 2
    assert rows.input_mask.tolist() == [[1] * 10]
    # "iph" + "##one" and "ip" + "##hone" differ, "##s" is the same; the teacher has one piece "xy".
    assert aligned_pairs(rows) == [(0, 0), (1, 1), (2, 2), (5, 5), (6, 6), (7, 7), (10, 9)]


def test_an_orphan_of_a_masked_word_and_the_longest_row(tokenizers):
    rows = converted(tokenizers, ["[CLS]", "[MASK]", "##s", "今", "天", "[SEP]"], longest=4)
    assert [TEACHER[token_id] for token_id in rows.input_ids[0]][:2] == ["[CLS]", "[MASK]"]
    assert rows.input_ids.shape == (1, 4)
    assert aligned_pairs(rows)[-1] == (3, 3)


def test_equal_vocabularies_align_every_piece(tokenizers):
    student = tokenizers[0]
    pieces = ["[CLS]", "今", "天", "iph", "##one", "[SEP]"]
    rows = converted([student, student], pieces)
    assert [STUDENT[token_id] for token_id in rows.input_ids[0]] == pieces
    assert aligned_pairs(rows) == [(i, i) for i in range(len(pieces))]
