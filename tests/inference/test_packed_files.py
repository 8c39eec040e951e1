"""Tests of the files that an exported model contains in addition to its graph."""

import zipfile

import pytest

from albert_zh.common.errors import UserError
from albert_zh.inference.runtimes import packed_files


@pytest.fixture(name="path")
def path_fixture(tmp_path):
    """Creates a .tflite file with an archive at its end."""
    path = tmp_path / "model.tflite"
    path.write_bytes(b"TFL3" * 10)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("vocab.txt", "[PAD]\n今天\n")
        archive.writestr("label.txt", "体育\n")
    return path


def test_the_texts_of_an_archive(path):
    expected = {"vocab.txt": "[PAD]\n今天\n", "labels.txt": "体育\n"}
    assert packed_files.texts_in(str(path)) == expected


@pytest.mark.parametrize(
    "written, instead, problem",
    [
        ("今天".encode(), "今夭".encode(), r"Bad CRC-32 for file 'vocab.txt'"),
        (b"PK\3\4", b"PK\3\5", "Bad magic number for file header"),
        (b"PK\1\2\x14\3\x14", b"PK\1\2\x14\3\xff", "zip file version 25.5"),
    ],
)
def test_a_damaged_archive_is_named(path, written, instead, problem):
    path.write_bytes(path.read_bytes().replace(written, instead, 1))
    expected = "^%s: the vocabulary and labels in its archive cannot be read .%s.: expected UTF-8 "
    with pytest.raises(UserError, match=expected % (path, problem)):
        packed_files.texts_in(str(path))


def test_an_archive_of_another_encoding_is_named(path):
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", "体育\n".encode("gb18030"))
    with pytest.raises(UserError, match="cannot be read .'utf-8' codec can't decode .*: export"):
        packed_files.texts_in(str(path))
