"""Tests of label.py: from texts to JSON lines."""

import io
import json
import sys

import pytest

from albert_zh.commands import label
from albert_zh.common.errors import UserError
import small_models

SOFTMAX = {"objective": "sequence_labelling", "columns": ["text_a", "label"]}
SOFTMAX["head"] = {"form": "softmax"}


@pytest.fixture(name="models", scope="module")
def models_fixture(tmp_path_factory):
    """Returns {"entities", "words", "classes": model folder} of models with random weights."""
    folder = tmp_path_factory.mktemp("models")
    labels = {"entities": ("O", "B-loc", "I-loc"), "words": tuple("BMES"), "classes": ("0", "1")}
    return {
        name: small_models.write_model(
            folder / name, labels[name], settings={} if name == "classes" else SOFTMAX
        )
        for name in labels
    }


def printed(capsys, *arguments):
    options = [argument for argument in arguments if argument.startswith("--")]
    texts = [argument for argument in arguments if not argument.startswith("--")]
    small_models.run_command(label, options, texts)
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_entities_of_words_and_lines_are_the_same(models, capsys, tmp_path):
    texts = ["今天天气很好", "我们去吃饭吧" * 20, "？"]
    of_words = printed(capsys, "--model_dir=" + models["entities"], *texts)
    assert [line["text"] for line in of_words] == texts
    spans = [(line["text"], span) for line in of_words for span in line["entities"]]
    assert spans and all(text[s["start"] : s["end"]] == s["text"] for text, s in spans)
    assert all(span["type"] == "loc" and 0 < span["confidence"] <= 1 for _, span in spans)
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    arguments = ["--model_dir=" + models["entities"], "--input_file=%s" % path]
    assert printed(capsys, *arguments) == of_words


def test_words_make_up_their_text_without_its_blanks(models, capsys, monkeypatch):
    lines = "今天 天气很好\n银行卡怎么办理？\n".encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
    labelled = printed(capsys, "--model_dir=" + models["words"])
    assert ["".join(line["words"]) for line in labelled] == ["今天天气很好", "银行卡怎么办理？"]
    assert max(len(line["words"]) for line in labelled) > 1


def test_a_classifier_is_refused(models):
    with pytest.raises(UserError, match="found a model of the kind single_label, expected a lab"):
        small_models.run_command(label, ["--model_dir=" + models["classes"]], ["今天"])


@pytest.mark.parametrize(
    "name, line, found",
    [
        ("a.txt", "王 B-PER", "conll"),
        ("a.txt", '{"tokens": ["王", "明"]}', "token_lists"),
        ("a.txt", "王明/nr 去/o", "slash"),
        ("a.txt", "今天天气很好", None),
        ("a.txt", "今天 天气 很好", None),
    ],
)
def test_files_of_labelled_texts_are_noted(models, capsys, tmp_path, name, line, found):
    """Regression: all formats but columns were labelled as plain text without a note."""
    path = tmp_path / name
    path.write_text(line + "\n", encoding="utf-8")
    options = ["--model_dir=" + models["entities"], "--input_file=%s" % path]
    small_models.run_command(label, options, [])
    printed_lines = capsys.readouterr()
    assert len(printed_lines.out.splitlines()) == 1
    note = "labelled texts (format %s), but each line is treated as a plain text" % found
    assert (note in printed_lines.err) == (found is not None)
    assert ("looks like" in printed_lines.err) == (found is not None)
