"""Raw text as data of a generator: its documents, and the rows created from damaged texts."""

import json

import numpy as np
import pytest

from albert_zh.common.errors import UserError
from albert_zh.tasks import kind_interface, registry, task_forms
from albert_zh.tasks.generation import damage, raw_texts
from albert_zh.text import tokenization

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + list("甲乙丙丁戊己庚辛。")
IDS = {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}
CONTENT = "甲乙丙。丁戊。\n己庚辛甲乙丙丁戊己庚辛\n\n\n丙丁\n"


@pytest.fixture(name="tokenizer")
def tokenizer_fixture(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(TOKENS) + "\n", encoding="utf-8")
    return tokenization.FullTokenizer(str(path), True)


def head_of(way, seed=1, max_seq_length=24, max_target_length=9):
    settings = damage.settings(way, seed, max_seq_length, max_target_length)
    return {"damage": settings, "token_ids": IDS, "max_target_length": max_target_length}


def read(folder, head, content=CONTENT):
    path = folder / "corpus.txt"
    path.write_text(content, encoding="utf-8")
    return raw_texts.read_split(str(path), "train", head["damage"], "utf-8")


def test_texts_have_whole_sentences_of_one_document(tmp_path):
    texts = [example.text_a for example in read(tmp_path, head_of("bart")).examples]
    assert texts == ["甲乙丙。\n丁戊。", "己庚辛甲乙丙丁戊", "己庚辛", "丙丁"]


@pytest.mark.parametrize("way", ["bart", "mass"])
def test_predictions_are_beside_what_was_read_and_to_be_written(tmp_path, tokenizer, way):
    """Texts of a file that is only predicted are damaged, too."""
    head, kind = head_of(way), registry.get("generation")
    read(tmp_path, head)
    task = task_forms.Task(files={}, columns=("text_a",), labels=(), head=head)
    opened = kind.open_stream(task, str(tmp_path / "corpus.txt"), "utf-8")
    use = kind_interface.ModelInUse(task, {}, tokenizer, 24)
    expected = []
    with kind.result_files(str(tmp_path), use, None) as lines:
        for example, _ in opened.records:
            damaged = raw_texts.damaged_text(example, tokenizer, head)
            expected.append([TOKENS[number] for number in damaged.target])
            lines.write(example, [{"written": np.array([5, 6])}])
    with open(lines.paths[0], encoding="utf-8") as stream:
        rows = [json.loads(line) for line in stream]
    assert len(rows) >= 3 and any("[MASK]" in row["text"] for row in rows)
    assert [row["prediction"] for row in rows] == ["甲乙"] * len(rows)
    assert [row["label"] for row in rows] == ["".join(tokens) for tokens in expected]


@pytest.mark.parametrize("way", ["bart", "mass"])
def test_rows_have_room_for_source_and_target(tmp_path, tokenizer, way):
    head = head_of(way)
    split = raw_texts.copies_of(read(tmp_path, head), 3)
    assert len({example.guid for example in split.examples}) == len(split.examples)
    rows = []
    for example in split.examples:
        row, was_cut = raw_texts.row_of(example, tokenizer, head, 24)
        text = raw_texts.damaged_text(example, tokenizer, head)
        num_targets = sum(row["segment_ids"])
        assert not was_cut and num_targets <= 9 and len(row["input_ids"]) <= 24
        expected = [2] + text.source + [3] + text.target + [3]
        assert row["input_ids"] == expected
        assert row["segment_ids"] == [0] * (len(expected) - num_targets) + [1] * num_targets
        rows.append(row["input_ids"])
    assert rows == [
        raw_texts.row_of(example, tokenizer, head, 24)[0]["input_ids"] for example in split.examples
    ]
    others = head_of(way, seed=2)
    again = [
        raw_texts.row_of(example, tokenizer, others, 24)[0]["input_ids"]
        for example in split.examples
    ]
    assert again != rows


def test_positions_of_mass_are_those_of_the_text(tmp_path, tokenizer):
    head = head_of("mass")
    for example in read(tmp_path, head).examples:
        row, _ = raw_texts.row_of(example, tokenizer, head, 24)
        whole = tokenizer.convert_tokens_to_ids(tokenizer.tokenize(example.text_a))
        positions, num_source = row["positions"], row["segment_ids"].count(0)
        assert positions[:num_source] == list(range(num_source))
        for token, position in list(zip(row["input_ids"], positions))[num_source:-1]:
            assert token == whole[position - 1]
        assert positions[-1] == positions[-2] + 1


def test_a_file_without_text_is_an_error(tmp_path):
    with pytest.raises(UserError, match="corpus.txt has no text: expected lines of sentences"):
        read(tmp_path, head_of("bart"), "\n \n")


@pytest.mark.parametrize(
    "content, found",
    [('{"text": "甲乙"}\n', "line 1: found JSON"), ("甲\n乙\t丙\n", "line 2: found a TAB")],
)
def test_pairs_and_json_are_no_raw_text(tmp_path, content, found):
    """Regression: keys and braces were once read as sentences."""
    with pytest.raises(UserError, match="corpus.txt, " + found):
        read(tmp_path, head_of("bart"), content)


def test_latin_sentences_are_divided_between_words():
    text = "The quick brown fox jumps over the lazy dog near the river bank."
    runs = list(raw_texts.packed([text], 23))
    assert runs == [["The quick brown fox"], ["jumps over the lazy dog"], ["near the river bank."]]
    assert list(raw_texts.packed(["a" * 30 + " b"], 12)) == [
        ["a" * 12],
        ["a" * 12],
        ["a" * 6 + " b"],
    ]
    assert list(raw_texts.packed(["甲乙丙丁戊"], 2)) == [["甲乙"], ["丙丁"], ["戊"]]


@pytest.mark.parametrize("way", ["bart", "mass"])
def test_characters_of_several_tokens_do_not_make_rows_longer(tmp_path, way):
    """A Korean syllable becomes up to three tokens, the letters in the vocabulary."""
    path = tmp_path / "vocab.txt"
    letters = ["\u1112", "\u1161", "\u11ab"]  # the letters of one syllable
    letters += ["##" + letter for letter in letters]
    path.write_text("\n".join(TOKENS + letters) + "\n", encoding="utf-8")
    tokenizer = tokenization.FullTokenizer(str(path), True)
    head = head_of(way)
    for example in read(tmp_path, head, "\ud55c" * 8 + "。\n").examples:
        row, _ = raw_texts.row_of(example, tokenizer, head, 24)
        assert len(row["input_ids"]) <= 24 and sum(row["segment_ids"]) <= 9
