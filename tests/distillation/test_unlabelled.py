"""Files of unlabelled texts: which files are read, and errors for missing files."""

import gzip
import io
import zipfile

import pytest

from albert_zh.common import files
from albert_zh.common.errors import UserError
from albert_zh.distillation import unlabelled
from albert_zh.tasks import registry, task_forms
from albert_zh.tasks.input_examples import InputExample

TASK = task_forms.Task({}, ("text_a", "text_b", "label"), ("0", "1"))


def read(*patterns, **flag):
    kind = registry.get("single_label")
    return unlabelled.read_unlabelled(patterns, kind, TASK, "utf-8", (), (), **flag)


def test_names_with_characters_of_patterns_are_names_where_such_a_file_is_there(tmp_path):
    for name in ("a[1].tsv", "b.tsv"):
        (tmp_path / name).write_text("今天\t%s\n" % name, encoding="utf-8")
    found = read(str(tmp_path / "a[1].tsv"), str(tmp_path / "b*"))
    assert [example.text_b for example in found.examples] == ["a[1].tsv", "b.tsv"]


@pytest.mark.parametrize("flag", ["unlabelled_file", "input_file"])
@pytest.mark.parametrize(
    "name, found", [("gone.tsv", "no such file"), ("gone*", "no such file"), ("fold*", "a folder")]
)
def test_what_is_no_file_is_one_line_that_names_the_flag(tmp_path, flag, name, found):
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError) as caught:
        read(str(tmp_path / name), flag=flag)
    name = name.replace("fold*", "folder")
    assert str(caught.value).startswith("--%s=%s: %s" % (flag, tmp_path / name, found))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content, found", [("\n", "no new text in it"), ("", "is empty")])
def test_a_file_without_texts_names_the_flag(tmp_path, content, found):
    (tmp_path / "empty.tsv").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match="^--input_file.*" + found):
        read(str(tmp_path / "empty.tsv"), flag="input_file")


def test_dev_rows_that_are_written_otherwise_are_reported(tmp_path):
    (tmp_path / "a.tsv").write_text("明天\t今天 ，\n今天Ａ\t明天\n新\t的\n\n", encoding="utf-8")
    pairs = [("今天,", "明天"), ("今天a", "明天")]
    held_out = [InputExample("dev", text_a, text_b, "1") for text_a, text_b in pairs]
    kind = registry.get("single_label")
    paths = [str(tmp_path / "a.tsv")]
    found = unlabelled.read_unlabelled(paths, kind, TASK, "utf-8", (), held_out)
    assert found.lines[:2] == [
        "unlabelled: 3 rows of 1 file",
        "note: 1 row was skipped: blank",
    ]
    assert found.lines[2].startswith("warning: 2 of the unlabelled rows are in dev or test, too")


def test_rows_that_do_not_fit_say_why(tmp_path):
    (tmp_path / "texts.txt").write_text("今天\n明天吃饭\n", encoding="utf-8")
    message = "no new text in it: found 2 rows [(]invalid[)], the first: 1 column, expected 3 .*"
    with pytest.raises(UserError, match=message + "expected texts in the form of the test file"):
        read(str(tmp_path / "texts.txt"))


def _zip(content):
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("texts.tsv", content)
    return target.getvalue()


@pytest.mark.parametrize(
    "packed, found",
    [
        (gzip.compress, "a compressed file"),
        (_zip, "a compressed file"),
        (lambda content: content.decode().encode("utf-16-le"), "contains NUL bytes"),
    ],
)
def test_what_is_no_text_is_not_learnt(tmp_path, packed, found):
    path = tmp_path / "texts.tsv"
    path.write_bytes(packed("今天\t明天\n".encode() * 3))
    with pytest.raises(UserError, match="texts.tsv: %s, expected text: unpack it" % found):
        read(str(path))


def test_utf_16_with_its_flag_is_text(tmp_path):
    path = tmp_path / "texts.tsv"
    path.write_bytes("今天\t明天\n".encode("utf-16-le"))
    files.check_is_text(str(path), "utf-16")


def test_lines_in_another_encoding_are_left_out_and_counted(tmp_path):
    path = tmp_path / "texts.tsv"
    lines = ["今天%d\t明天\n" % number for number in range(5000)]  # the bad line comes late
    path.write_bytes("".join(lines).encode() + "错误的\t编码\n".encode("gbk"))
    found = read(str(path))
    assert len(found.examples) == 5000
    assert "note: 1 row was skipped: bytes that are no UTF-8 text" in found.lines


def test_a_replacement_character_of_the_file_is_text(tmp_path):
    path = tmp_path / "texts.tsv"
    path.write_text("今天\ufffd空\t明天\n", encoding="utf-8")
    assert [example.text_a for example in read(str(path)).examples] == ["今天\ufffd空"]
