"""Columns of characters and tags: spans, classes, and the errors of lines that do not fit."""

import pytest

from albert_zh.common.errors import UserError
from albert_zh.tasks import registry, task_forms
from albert_zh.tasks.slots import column_files

ROWS = (
    "放 O\n猜 B-song\n谜 I-song\n语 E-song\n李 B-singer\n周 I-singer\n唱 S-song\n\n\n你 O\n好 O\n"
)


def read(folder, rows=ROWS, classes="PlayMusic\nChat\n", **settings):
    path = folder / "train.txt"
    path.write_text(rows, encoding="utf-8")
    (folder / "train.txt.intent").write_text(classes, encoding="utf-8")
    assert column_files.is_there(str(path))
    return column_files.read_split(str(path), "train", **settings)


def test_spans_of_both_schemes(tmp_path):
    split = read(tmp_path)
    assert [(e.text_a, e.label) for e in split.examples] == [
        ("放猜谜语李周唱", "PlayMusic"),
        ("你好", "Chat"),
    ]
    assert [tuple(span) for span in split.examples[0].slots[0]] == [
        (1, 4, "song"), (4, 6, "singer"), (6, 7, "song"),
    ]  # fmt: skip
    assert split.examples[1].slots == ((), ())


def test_a_last_tag_ends_its_slot():
    rows = ["甲 B-a", "乙 E-a", "丙 I-a", "丁 S-b", "戊 I-b", "己 E-b"]
    spans = column_files.text_and_spans(rows)[1]
    assert [tuple(span) for span in spans] == [
        (0, 2, "a"), (2, 3, "a"), (3, 4, "b"), (4, 6, "b"),
    ]  # fmt: skip


def test_latin_words_have_blanks_between_them():
    """Regression: words were joined without blanks, unlike texts that the model reads later."""
    rows = ["放 O", "taylor B-singer", "swift I-singer", "now O", "的 O", "a B-song", "b E-song"]
    text, spans = column_files.text_and_spans(rows)
    assert text == "放taylor swift now的ab"
    assert [(text[s.begin : s.end], s.name) for s in spans] == [
        ("taylor swift", "singer"),
        ("ab", "song"),
    ]


def test_slots_that_meet_stay_apart():
    rows = ["甲 B-a", "乙 B-a", "丙 I-a", "丁 I-b", "戊 O", "己 I-b"]
    spans = column_files.text_and_spans(rows)[1]
    assert [tuple(s) for s in spans] == [(0, 1, "a"), (1, 3, "a"), (3, 4, "b"), (5, 6, "b")]


@pytest.mark.parametrize(
    "rows, classes, message",
    [
        (ROWS, "Chat\n", "has 2 texts, .*train.txt.intent has 1 line: expected"),
        ("放\n", "Chat\n", "line 1: expected a character and its tag, found '放'"),
        ("放 O\n\n唱 X-song\n", "Chat\nChat\n", "line 3: 'X-song' is not a tag of BIO or BIES"),
        ("放 B\n", "Chat\n", "line 1: 'B' is not a tag"),
        ("放 O\n\n放 O\n歌\n", "Chat\nChat\n", "line 4: expected a character and its tag"),
        ("放 O\n歌 O\n唱 X-song\n", "Chat\n", "line 3: 'X-song' is not a tag"),
        ("1 放 O\n2 歌 B-song\n", "Chat\n", "line 1: column 1 counts the characters: remove it"),
        ("\n", "", "has no text"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, rows, classes, message):
    with pytest.raises(UserError, match=message):
        read(tmp_path, rows, classes)


def test_a_file_of_columns_without_classes_is_named(tmp_path):
    """Regression: such a file was read as a table, and the error asked for tabs."""
    (tmp_path / "train.txt").write_text(ROWS, encoding="utf-8")
    task = task_forms.Task(
        files={"train": "train.txt"},
        columns=("text_a", "label"),
        labels=None,
        head={"slots": ["song"]},
    )
    message = "no classes: expected one class per line, one for each text, in .*train.txt.intent$"
    with pytest.raises(UserError, match=message):
        registry.get("single_label").read_split(task, str(tmp_path), "train", "utf-8", False)


def test_bad_texts_and_unknown_classes_may_be_left_out(tmp_path):
    message = (
        r"line 10: its class is 'Chat', which does not occur in training "
        r"\(line 2 of train.txt.intent\)"
    )
    with pytest.raises(UserError, match=message):
        read(tmp_path, labels=("PlayMusic",))
    with pytest.raises(UserError, match=r"line 1: it has no class \(line 1 of train.*t is empty\)"):
        read(tmp_path, classes="\nChat\n")
    split = read(tmp_path, labels=("PlayMusic",), skip_bad_rows=True)
    assert len(split.examples) == 1 and split.notes == ["1 invalid row was skipped"]


def test_a_file_that_is_only_predicted_is_read_in_columns_too(tmp_path):
    path = tmp_path / "test.txt"
    path.write_text("播 O\n歌 B-song\n\n今 O\n天 B-date\n\n坏\n", encoding="utf-8")
    assert not column_files.is_tagged(str(path), "utf-8")  # its last line has no tag
    found = [
        (example.text_a, example.label, [tuple(span) for span in example.slots[0]], bool(problem))
        for example, problem in column_files.stream(str(path), "utf-8", ("music",))
    ]
    assert found == [
        ("播歌", None, [(1, 2, "song")], False),
        ("今天", None, [(1, 2, "date")], False),
        ("坏", None, [], True),
    ]
    path.write_text("播 O\n歌 B-song\n\n今 O\n", encoding="utf-8")
    (tmp_path / "test.txt.intent").write_text("music\nother\n", encoding="utf-8")
    head = {"slots": ["song"]}
    task = task_forms.Task(files={}, columns=("text_a", "label"), labels=("music", "x"), head=head)
    opened = registry.get("single_label").open_stream(task, str(path), "utf-8")
    assert [(e.text_a, e.label) for e, _ in opened.records] == [("播歌", "music"), ("今", None)]
    plain = registry.get("single_label").open_stream(task._replace(head={}), str(path), "utf-8")
    assert [e.text_a for e, _ in plain.records][0] == "播 O"


def test_a_test_file_without_classes_is_read_alike_whether_or_not_a_run_trains(tmp_path):
    """Regression: a run that also trained read each line as a text."""
    (tmp_path / "test.txt").write_text("播 O\n歌 B-song\n\n今 O\n", encoding="utf-8")
    kind = registry.get("single_label")
    task = task_forms.Task(
        files={"test": "test.txt"},
        columns=("text_a", "label"),
        labels=("music", "x"),
        head={"slots": ["song"]},
    )
    split = kind.read_split(task, str(tmp_path), "test", "utf-8", False)
    alone = kind.open_stream(task, str(tmp_path / "test.txt"), "utf-8").records
    expected = [("test-1", "播歌", None), ("test-4", "今", None)]
    assert not split.has_labels
    for examples in (split.examples, [example for example, _ in alone]):
        assert [(e.guid, e.text_a, e.label) for e in examples] == expected
        assert [len(e.slots[0]) for e in examples] == [1, 0]


@pytest.mark.parametrize("classes, count", [("music\n", 1), ("music\nmusic\nmusic\n", 3), ("", 0)])
def test_a_file_that_is_only_predicted_has_a_class_for_each_text(tmp_path, classes, count):
    path = tmp_path / "test.txt"
    path.write_text("播 O\n歌 B-song\n\n今 O\n", encoding="utf-8")
    (tmp_path / "test.txt.intent").write_text(classes, encoding="utf-8")
    with pytest.raises(
        UserError,
        match="test.txt has 2 texts, .*test.txt.intent has %d line%s: "
        % (count, "s" * (count != 1)),
    ):
        column_files.stream(str(path), "utf-8", ("music",))
