"""Tests of the documents that ask.py searches, whose index is saved between starts."""

import os
import time
import types

import numpy as np
import pytest

from albert_zh.commands import ask
from albert_zh.common.errors import UserError
from albert_zh.inference import reader
from albert_zh.inference.retrieval import lexical_index
import small_models


@pytest.fixture(name="paths")
def paths_fixture(tmp_path):
    paths = [str(tmp_path / "docs" / name) for name in ("a.txt", "b.txt")]
    os.makedirs(os.path.dirname(paths[0]))
    for path, lines in zip(paths, (["小米由雷军创立。", "总部在北京。"], ["上海在东边。"])):
        with open(path, "w", encoding="utf-8") as handle:
            handle.write("\n".join(lines) + "\n")
    return paths


@pytest.fixture(name="builds")
def builds_fixture(monkeypatch):
    """Records the number of texts of each index that is built."""
    counts = []
    build = lexical_index.LexicalIndex.build

    def counted(texts):
        counts.append(len(texts))
        return build(texts)

    monkeypatch.setattr(lexical_index.LexicalIndex, "build", staticmethod(counted))
    return counts


class FirstCharacters:
    """Replaces a reader: answers with the first characters of a context."""

    def __init__(self, scores=None):
        """`scores`: {first characters: their score}; all others have the score -1."""
        self._scores = scores or {}

    def answers(self, pairs, top_k):
        firsts = [context[:2] for _, context in pairs]
        return [[reader.Answer(text, 0, 2, 0.5, self._scores.get(text, -1.0))] for text in firsts]


def best(paths, question):
    documents = reader.Documents(paths, keeps_index=True)
    (entry,) = documents.answer(FirstCharacters(), question, top_k=1)
    return entry.path, entry.line, entry.answer.text


def test_the_index_is_kept_until_a_document_changes(paths, builds):
    assert best(paths, "总部在哪？") == (paths[0], 2, "总部")
    assert best(paths, "总部在哪？") == (paths[0], 2, "总部")
    assert builds == [3]
    with open(paths[1], "a", encoding="utf-8") as handle:
        handle.write("总部在哪？\n")
    assert best(paths, "总部在哪？") == (paths[1], 2, "总部")
    assert best(paths[:1], "总部在哪？") == (paths[0], 2, "总部")  # another index, of one document
    assert best(paths, "总部在哪？") == (paths[1], 2, "总部")
    assert builds == [3, 4, 2]
    folders = os.listdir(os.path.dirname(reader.index_folder(paths)))
    assert len(folders) == 2 and os.listdir(os.path.dirname(paths[0])).count(".ask_index") == 1


def test_of_the_indexes_of_a_folder_those_used_last_are_kept(paths, builds):
    """Each added document needs another index; of all indexes, the four used last are preserved."""
    made = []
    for number in range(6):
        paths.append(os.path.join(os.path.dirname(paths[0]), "%d.txt" % number))
        with open(paths[-1], "w", encoding="utf-8") as handle:
            handle.write("又一篇。\n")
        assert best(paths, "总部在哪？") == best(paths[:1], "总部在哪？")
        time.sleep(0.02)  # the next index gets a later time on any file system
        made.append(list(paths))
    assert builds == [4, 2, 5, 6, 7, 8, 9]
    expected = [paths[:1]] + made[-3:]
    kept = os.listdir(os.path.dirname(reader.index_folder(paths)))
    assert sorted(kept) == sorted(os.path.basename(reader.index_folder(of)) for of in expected)


def test_answers_are_ranked_by_their_score_and_by_the_wording_of_paragraphs(paths):
    documents = reader.Documents(paths)
    question = "总部在什么地方，在东边吗？"  # matches the second and the third line
    made, nearest, other = "小米由雷军创立。", "总部在北京。", "上海在东边。"

    def ranked(scores):
        answers = documents.answer(FirstCharacters(scores), question)
        return {answer.paragraph: answer.score for answer in answers}

    wording = ranked({"总部": 0.0, "上海": 0.0, "小米": 0.0})
    assert list(wording) == [nearest, other, made]
    assert wording[nearest] == 1.0 and wording[made] == 0.0
    _, of_nearest, of_other = lexical_index.LexicalIndex.build([made, nearest, other]).scores(
        question
    )
    assert wording[other] == pytest.approx((of_other / of_nearest) ** 6)
    likelier = ranked({"上海": 0.0, "总部": np.log(wording[other] / 2)})
    assert list(likelier)[0] == other
    assert likelier[nearest] == pytest.approx(wording[other] / 2)


def test_a_question_without_any_wording_of_the_documents_has_answers_of_score_0(paths):
    answers = reader.Documents(paths).answer(FirstCharacters(), "abc?")
    assert [answer.score for answer in answers] == [0.0, 0.0, 0.0]


def test_a_question_of_bytes_that_are_no_text_is_named(paths):
    wrong = os.fsdecode(b"a\xff")
    with pytest.raises(UserError, match=r"^text 0, question: character 2 is .udcff, a surrogate"):
        reader.Documents(paths).answer(FirstCharacters(), wrong)
    with pytest.raises(UserError, match="^text 0: expected a question and its context, found"):
        reader.Documents(paths).answer(FirstCharacters(), " ")
    with pytest.raises(UserError, match="^text 0, context: character 2 is "):
        reader.checked_pairs([("甲", wrong)])
    for flags in (["--question=" + wrong, "--documents=" + paths[0]], ["--text=" + wrong]):
        expected = "^%s, text 1: character 2 is .*: the terminal's" % flags[0].partition("=")[0]
        with pytest.raises(UserError, match=expected):
            small_models.run_command(ask, ["--model_dir=nowhere"] + flags)


def test_answers_beyond_those_that_there_can_be_are_noted(capsys):
    model = types.SimpleNamespace(most_answers=20)
    for flags, note in (
        (
            ["--documents=d", "--top_k=6"],
            "only 5 paragraphs of --documents are read, each of which gives at most one ",
        ),
        (["--text=t", "--top_k=21"], "the model keeps 20 answers (--n_best_size of its training)"),
        (["--documents=d", "--top_k=5"], None),
        (["--text=t", "--top_k=20"], None),
    ):
        with small_models.command_flags(ask, flags):
            ask._note_top_k(model)
        shown = capsys.readouterr().err
        assert shown.startswith("note: %s: %s" % (flags[1], note)) if note else not shown


def test_a_damaged_index_is_made_again(paths, builds, capsys):
    best(paths, "总部在哪？")
    with open(os.path.join(reader.index_folder(paths), "lexical.npz"), "r+b") as handle:
        handle.write(b"no archive")
    assert best(paths, "总部在哪？") == (paths[0], 2, "总部")
    assert builds == [3, 3] and "is damaged" in capsys.readouterr().err


def test_without_a_writable_folder_the_index_is_not_kept(paths, builds, capsys):
    common = os.path.dirname(os.path.dirname(reader.index_folder(paths)))
    with open(os.path.join(common, ".ask_index"), "w"):
        pass  # a file in place of the folder
    assert best(paths, "总部在哪？") == (paths[0], 2, "总部")
    assert builds == [3]
    assert "note: the index is not saved: " in capsys.readouterr().err


def test_without_a_model_the_script_that_makes_one_is_named(paths, tmp_path, monkeypatch):
    monkeypatch.setattr("albert_zh.common.package_files.places_of_models", lambda: [str(tmp_path)])
    with pytest.raises(UserError, match="train one with bash run_reading.sh, or name one with"):
        small_models.run_command(ask, ["--text=甲", "--question=乙？"])


def test_unknown_words_of_questions_and_texts_are_noted(tmp_path, capsys):
    folder = small_models.write_reader(tmp_path / "reader")
    arguments = ["--model_dir=" + folder, "--question=今天"]
    small_models.run_command(ask, arguments + ["--text=天气鑫很"])
    assert (
        "note: the questions and the text: 16.7 % of the word pieces are unknown to the "
        "vocabulary, most often 鑫: the model cannot tell them apart\n"
    ) in capsys.readouterr().err
    small_models.run_command(ask, arguments + ["--text=天气很好"])
    assert "note:" not in capsys.readouterr().err


def test_a_window_that_is_too_short_is_named_before_any_question(tmp_path):
    """Of 12 tokens, 8 may be used for the question, and 3 are special tokens."""
    folder = small_models.write_reader(tmp_path / "reader")
    message = r"^max_seq_length: 11 is too short, expected at least 12 \(what the model's questions"
    with pytest.raises(UserError, match=message):
        reader.Reader(folder, max_seq_length=11)
    arguments = ["--model_dir=" + folder, "--max_seq_length=11", "--text=今天"]
    with pytest.raises(UserError, match=message):
        small_models.run_command(ask, arguments + ["--question=好？"])
    with reader.Reader(folder, max_seq_length=12) as model:
        assert model.answer("今天" * 8, "明天开门")


def test_questions_that_are_cut_are_noted(paths, tmp_path, capsys, monkeypatch):
    """Questions are limited to 8 tokens; each is counted once, though it is read per paragraph."""
    arguments = ["--model_dir=" + small_models.write_reader(tmp_path / "reader")]
    questions = ["今天" * 4 + "好", "今天" * 4, "很好" * 9]
    monkeypatch.setattr(ask, "_questions", lambda: questions)
    for source in ("--text=今天天气很好", "--documents=%s/*.txt" % os.path.dirname(paths[0])):
        small_models.run_command(ask, arguments + [source])
        assert (
            "note: questions of more than 8 tokens, which were truncated: 2\n"
            in capsys.readouterr().err
        )
    del questions[::2]
    small_models.run_command(ask, arguments + ["--text=今天天气很好"])
    assert "were truncated" not in capsys.readouterr().err


TABLES = [
    ("a.jsonl", '{"text": "今天"}\n', '{"text": "今天"}'),
    ("a.json", '[{"context": "今天"}]', '[{"context": "今天"}]'),
    ("a.csv", "text,label\n今天,1\n", "text,label"),
]


@pytest.mark.parametrize("name, content, shown", TABLES)
@pytest.mark.parametrize("flag", ["documents", "context"])
def test_tables_are_not_read_as_texts(tmp_path, flag, name, content, shown):
    """Regression: brackets and column names of tables were returned as answers."""
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    arguments = ["--%s=%s" % (flag, path), "--question=怎么", "--model_dir=gone"]
    with pytest.raises(UserError) as error:
        small_models.run_command(ask, arguments)
    assert str(error.value).startswith(
        "%s: a table (line 1: %s), expected one text" % (path, shown)
    )
    assert ("run_reading_comprehension.py" in str(error.value)) == (flag == "context")


def test_a_closed_reader_is_not_entered(tmp_path):
    model = reader.Reader(small_models.write_reader(tmp_path / "model"))
    model.close()
    with pytest.raises(UserError, match="^this Reader is closed: create a new one$"), model:
        pass
    with pytest.raises(UserError, match="^this Reader is closed: create a new one$"):
        model.answer("什么", "今天天气")
