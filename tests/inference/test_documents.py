"""Documents that ask.py searches: their index is kept between starts."""

import os

import pytest

from albert_zh.commands import ask
from albert_zh.common.errors import UserError
from albert_zh.inference import lexical_index, reader
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
    """Numbers of texts that indexes are built of."""
    counts = []
    build = lexical_index.LexicalIndex.build

    def counted(texts):
        counts.append(len(texts))
        return build(texts)

    monkeypatch.setattr(lexical_index.LexicalIndex, "build", staticmethod(counted))
    return counts


class FirstCharacters:
    """In place of a reader: answers with the first characters of a context."""

    def answers(self, pairs, top_k):
        return [[reader.Answer(context[:2], 0, 2, 0.5)] for _, context in pairs][: len(pairs)]


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
    assert best(paths[:1], "总部在哪？") == (paths[0], 2, "总部")  # an index of other documents
    assert best(paths, "总部在哪？") == (paths[1], 2, "总部")
    assert builds == [3, 4, 2]
    folders = os.listdir(os.path.dirname(reader.index_folder(paths)))
    assert len(folders) == 2 and os.listdir(os.path.dirname(paths[0])).count(".ask_index") == 1


def test_a_damaged_index_is_made_again(paths, builds, capsys):
    best(paths, "总部在哪？")
    with open(os.path.join(reader.index_folder(paths), "lexical.npz"), "r+b") as handle:
        handle.write(b"no archive")
    assert best(paths, "总部在哪？") == (paths[0], 2, "总部")
    assert builds == [3, 3] and "is damaged" in capsys.readouterr().err


def test_without_a_writable_folder_the_index_is_not_kept(paths, builds, capsys):
    common = os.path.dirname(os.path.dirname(reader.index_folder(paths)))
    with open(os.path.join(common, ".ask_index"), "w"):
        pass  # a file in the place of the folder
    assert best(paths, "总部在哪？") == (paths[0], 2, "总部")
    assert builds == [3]
    assert "note: the index is not kept: " in capsys.readouterr().err


def test_without_a_model_the_script_that_makes_one_is_named(paths, tmp_path, monkeypatch):
    monkeypatch.setattr("albert_zh.common.package_files.places_of_models", lambda: [str(tmp_path)])
    with pytest.raises(UserError, match="make one with bash run_reading.sh, or name one with"):
        small_models.run_command(ask, ["--text=甲", "--question=乙？"])
