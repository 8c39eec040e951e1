"""Files of texts without labels: which are read, and those that are not there."""

import pytest

from albert_zh.common.errors import UserError
from albert_zh.distillation import unlabelled
from albert_zh.tasks import registry, task_forms

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


def test_a_file_without_texts_names_the_flag(tmp_path):
    (tmp_path / "empty.tsv").write_text("\n", encoding="utf-8")
    with pytest.raises(UserError, match="^--input_file=.*: no new text in it"):
        read(str(tmp_path / "empty.tsv"), flag="input_file")


def test_rows_that_do_not_fit_say_why(tmp_path):
    (tmp_path / "texts.txt").write_text("今天\n明天吃饭\n", encoding="utf-8")
    message = "no new text in it: found 2 rows that do not fit, the first: 1 column, expected 3 .*"
    with pytest.raises(UserError, match=message + "expected texts in the form of the test file"):
        read(str(tmp_path / "texts.txt"))
