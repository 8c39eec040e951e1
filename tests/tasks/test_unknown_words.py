"""Notes on texts with words that are not in the vocabulary."""

import collections
import functools

import pytest

from albert_zh.tasks import datasets, registry, unknown_words
from albert_zh.tasks.labelling import features
from albert_zh.text import tokenization

Example = collections.namedtuple("Example", "text_a text_b label", defaults=(None, None))
Split = collections.namedtuple("Split", "examples")


@pytest.fixture
def tokenizer(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join("[PAD] [UNK] [CLS] [SEP] 天 气 好 a ##b".split()) + "\n")
    return tokenization.FullTokenizer(str(path))


def test_the_share_is_of_word_pieces(tokenizer):
    """天 气 a ##b 很 | 天 气: 1 of 7 word pieces is unknown; 天 | 鑫 鑫: 2 of 3 are unknown."""
    examples = [Example("天气ab很", "天气"), Example("天", "鑫鑫")]
    (note,) = unknown_words.notes(examples, tokenizer)
    assert note == (
        "30.0 % of the word pieces are unknown to the vocabulary, most often 鑫, 很: the model "
        "cannot tell them apart"
    )


@pytest.mark.parametrize("num_known, is_noted", [(99, True), (100, False)])
def test_a_hundredth_is_noted(tokenizer, num_known, is_noted):
    assert bool(unknown_words.notes([Example("天" * num_known + "鑫")], tokenizer)) == is_noted


def test_nothing_is_noted_of_no_text(tokenizer):
    for texts in ([], [""], ["天气"]):
        assert unknown_words.notes([Example(text) for text in texts], tokenizer) == []


def test_examples_of_a_long_file_are_evenly_spread(tokenizer):
    """All of the first 10,000 texts are known, none of the second 10,000."""
    examples = [Example("天")] * 10000 + [Example("鑫")] * 10000
    (note,) = unknown_words.notes(examples, tokenizer)
    assert note.startswith("50.0 %")


def test_words_are_shown_without_the_punctuation_around_them(tokenizer):
    (note,) = unknown_words.notes([Example("“xy” (xy)； x_y ……")], tokenizer)
    assert "most often xy, x_y, ……: the model" in note


def test_full_width_has_a_way_out(tokenizer):
    (note,) = unknown_words.notes([Example("天气ＡＢ")], tokenizer)
    assert "most often ＡＢ: " in note
    assert note.endswith("; write letters and digits of full width half-width, here and in use")
    read = functools.partial(features.text_as_read, {"half_width": True})
    assert unknown_words.notes([Example("天气ＡＢ")], tokenizer, read) == []


@pytest.mark.parametrize("name", ["single_label", "regression", "sentence_embedding"])
def test_kinds_of_texts_note_them(tokenizer, name):
    task = datasets.get_task("lcqmc_pair")._replace(objective=name)
    split = Split([Example("天鑫", "气")])
    lines, remarks = registry.get(name).about_features(task, split, tokenizer, 16)
    assert len(lines) == 1 and lines[0].startswith("33.3 %") and remarks == {}


@pytest.mark.parametrize("half_width, num_notes", [(True, 0), (False, 1)])
def test_labelling_notes_what_it_reads(tokenizer, half_width, num_notes):
    task = datasets.get_task("ner")._replace(
        objective="sequence_labelling",
        head={"form": "crf", "half_width": half_width},
        labels=("O", "B-x", "I-x"),
    )
    example = collections.namedtuple("Text", "text_a text_b label granularity")
    split = Split([example("天气ａＢ", None, [], None)])
    lines, _ = registry.get("sequence_labelling").about_features(task, split, tokenizer, 16)
    assert len(lines) == num_notes


def rows_of(tokenizer, text):
    return [tokenizer.convert_tokens_to_ids(["[CLS]"] + tokenizer.tokenize(text) + ["[SEP]"])]


@pytest.mark.parametrize("text, is_unknown", [("天气鑫", False), ("天鑫", True), ("", False)])
def test_a_text_is_unknown_from_half_of_its_word_pieces_on(tokenizer, text, is_unknown):
    tally = unknown_words.Tally(tokenizer)
    assert tally.is_unknown(rows_of(tokenizer, text)) == is_unknown
    assert tally.take_notes() == []
    assert tally.add((text, None), rows_of(tokenizer, text)) == is_unknown


def test_a_tally_notes_what_was_added_since_its_last_notes(tokenizer):
    tally = unknown_words.Tally(tokenizer)
    for text in ["天气好"] * 2000 + ["天鑫"] * 2000:
        tally.add((text, None), rows_of(tokenizer, text))
    (note,) = tally.take_notes()
    assert note.startswith("20.0 % of the word pieces") and "most often 鑫: " in note
    tally.add(("天气",), rows_of(tokenizer, "天气"))
    assert tally.take_notes() == []


def test_a_tally_shows_words_as_the_model_reads_them(tokenizer):
    read = functools.partial(features.text_as_read, {"half_width": True})
    tally = unknown_words.Tally(tokenizer, read)
    tally.add(("ａｂ鑫",), rows_of(tokenizer, "ab鑫"))
    (note,) = tally.take_notes()
    assert note.startswith("33.3 %") and "most often 鑫: " in note
