"""Files of sources and targets: their forms and columns, and the errors of rows that do not fit."""

import pytest

from albert_zh.common.errors import UserError
from albert_zh.tasks.generation import pair_files


def read(folder, content, split="train", file_name="data.tsv", skips=False, **chosen):
    path = folder / file_name
    path.write_text(content, encoding="utf-8")
    return pair_files.read_split(str(path), split, chosen, skip_bad_rows=skips)


def pairs(split):
    return [(example.text_a, example.label) for example in split.examples]


BY_NAME = '{"source": "长文", "target": "头条"}\n{"content": "又一篇", "title": "题"}\n'
BY_FLAG = '{"a": "长文", "b": "头条"}\n{"a": "又一篇", "b": "题"}\n'


@pytest.mark.parametrize(
    "file_name, content, chosen",
    [
        ("a.tsv", "长文\t头条\n又一篇\t题\n", {}),
        ("a.tsv", "\ufefftitle\tcontent\n头条\t长文\n题\t又一篇\n", {}),
        ("a.tsv", "to\t长文\t头条\nto\t又一篇\t题\n", {"text_a": "2", "label": "3"}),
        ("a.tsv", "x\ty\n头条\t长文\n题\t又一篇\n", {"text_a": "y", "label": "x"}),
        ("a.csv", "长文,头条\n又一篇,题\n", {}),
        ("a.jsonl", BY_NAME, {}),
        ("a.json", BY_FLAG, {"text_a": "a", "label": "b"}),
    ],
)
def test_forms(tmp_path, file_name, content, chosen):
    split = read(tmp_path, content, file_name=file_name, **chosen)
    assert pairs(split) == [("长文", "头条"), ("又一篇", "题")]


def test_a_file_to_predict_may_have_sources_alone(tmp_path):
    split = read(tmp_path, "长文\n又一篇\n", "test")
    assert pairs(split) == [("长文", None), ("又一篇", None)] and not split.has_labels


@pytest.mark.parametrize(
    "line, problem", [("[1, 2]", "not a JSON object"), ('{"source": ', "not valid JSON")]
)
def test_lines_of_a_file_to_predict_that_are_no_objects_are_named(tmp_path, line, problem):
    """Regression: such lines raised "'<' not supported between instances of 'list' and 'int'"."""
    content = '{"source": "长文"}\n%s\n' % line
    with pytest.raises(UserError, match="line 2: " + problem) as error:
        read(tmp_path, content, "test", "a.jsonl")
    assert "\n" not in str(error.value)
    split = read(tmp_path, content, "test", "a.jsonl", skips=True)
    assert pairs(split) == [("长文", None)] and not split.has_labels


@pytest.mark.parametrize(
    "content, problem",
    [
        ("长文\t头条\n没有标题\n", "line 2: it has no TAB and no target"),
        ("长文\t头条\n没有头条\t \n", "line 2: its target is empty"),
        ("长文\t头条\n\t题\n", "line 2: its source is empty"),
    ],
)
def test_rows_that_do_not_fit_are_named_or_left_out(tmp_path, content, problem):
    with pytest.raises(UserError, match=problem):
        read(tmp_path, content)
    split = read(tmp_path, content, skips=True)
    assert pairs(split) == [("长文", "头条")]
    assert split.notes == ["1 invalid row was skipped"]


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("line", ["[1, 2]", "true", '{"source": "a", "target": NaN}', "{"])
def test_lines_that_are_no_objects_are_named_or_left_out(tmp_path, line, split):
    """Regression: such lines ended in a traceback when a file was predicted or targets sought."""
    content = line + "\n" + BY_NAME
    with pytest.raises(UserError, match="line 1: (not a JSON object|not valid JSON)"):
        read(tmp_path, content, split, "a.jsonl")
    made = read(tmp_path, content, split, "a.jsonl", skips=True)
    assert pairs(made) == [("长文", "头条"), ("又一篇", "题")]


def test_a_first_row_like_a_header_is_noted(tmp_path):
    (note,) = read(tmp_path, "公司内容\t题目文本\n正文一\t题一\n").notes
    assert note.startswith(
        "line 1 is treated as a row (公司内容 | 题目文本): if it is a header, name"
    )
    known = read(tmp_path, "新闻内容\t新闻标题\n正文一\t题一\n")
    assert pairs(known) == [("正文一", "题一")] and not known.notes
    assert not read(tmp_path, "今天的第一篇正文说的是天气\t天气好\n").notes


def test_instructions_are_sources_with_what_they_are_about(tmp_path):
    rows = [
        '{"instruction": "翻译成英文：", "input": "你好", "output": "Hello", "history": []}',
        '{"instruction": "写一首诗", "input": "", "output": "床前明月光", "id": 7}',
        '{"instruction": "写标题", "output": "天气"}',
    ]
    split = read(tmp_path, "\n".join(rows) + "\n", file_name="a.jsonl")
    assert pairs(split) == [
        ("翻译成英文： 你好", "Hello"),
        ("写一首诗", "床前明月光"),
        ("写标题", "天气"),
    ]
    assert split.notes == ["columns that are not used: history"]
    with pytest.raises(UserError, match="line 1: its source is empty or no text"):
        read(tmp_path, '{"instruction": 3, "input": "a", "output": "b"}\n', file_name="b.jsonl")


def test_columns_that_are_not_used_are_noted(tmp_path):
    split = read(tmp_path, "id\ttitle\tchannel\tcontent\n1\t题\t体育\t文\n")
    assert pairs(split) == [("文", "题")]
    assert split.notes == ["columns that are not used: channel"]


def test_json_without_a_target_and_unknown_columns(tmp_path):
    with pytest.raises(
        UserError, match="found the columns y, z, none of which is a known name of a target"
    ):
        read(tmp_path, "x\ty\tz\n长文\t头条\t体育\n", text_a="x")
    with pytest.raises(UserError, match="line 1: its target is empty or no text"):
        read(tmp_path, '{"source": "长文"}\n', file_name="a.jsonl")
    with pytest.raises(UserError, match="no column 'z' in its header"):
        read(tmp_path, "长文\t头条\n", label="z")
    with pytest.raises(UserError, match="no valid row"):
        read(tmp_path, "\n")


@pytest.mark.parametrize(
    "content, chosen, expected",
    [
        ("source\n长文\n", {}, [("长文", None)]),
        ("id\tcontent\n1\t长文\n", {}, [("长文", None)]),
        ("id\tcontent\n1\t长文\n", {"text_a": "content"}, [("长文", None)]),
        ("编号\t全文\n1\t长文\n", {"text_a": "全文"}, [("长文", None)]),
        ("content\ttitle\n长文\t\n", {}, [("长文", None)]),
        ("content\ttitle\n长文\t头条\n", {}, [("长文", "头条")]),
        ("长文\n又一篇\n", {}, [("长文", None), ("又一篇", None)]),
        ("长文\t头条\n", {}, [("长文", "头条")]),
    ],
)
def test_headers_of_files_to_predict(tmp_path, content, chosen, expected):
    """Without a column of targets, no other column is taken for the target."""
    assert pairs(read(tmp_path, content, "test", **chosen)) == expected


@pytest.mark.parametrize(
    "file_name, content, message",
    [
        ("a.tsv", "to\t长文\t头条\n", "line 1: it has 3 columns, expected 2 .*--text_column and"),
        ("a.tsv", "长文\t头条\n又一篇\t题\t多余\n", "line 2: it has 3 columns, expected 2"),
        ("a.tsv", "text\ttitle\n长文\t头条\t多余\n", "line 2: it has 3 columns, expected 2"),
        ("a.csv", "一篇,两篇,三篇\n又一篇,题\n", "line 1: it has 3 columns, expected 2"),
        (
            "a.tsv",
            "文章\t摘要\n长文\t头条\n",
            "line 1: found the columns 文章, 摘要, .* a target .*label_col",
        ),
        (
            "a.tsv",
            "text_a\ttext_b\tlabel\n甲\t乙\t1\n",
            "line 1: found the columns text_a, text_b, label, none",
        ),
        (
            "a.tsv",
            "title\ttitle\n甲\t乙\n",
            "line 1: found the columns title, title, .* a source .*text_col",
        ),
        ("a.tsv", "text\ttitle\ttitle\n甲\t乙\t丙\n", "line 1: found the column title twice"),
        (
            "a.tsv",
            "question\ttitle\tanswer\n甲\t乙\t丙\n",
            "title and answer may each be the target",
        ),
        (
            "a.jsonl",
            '{"text": "甲", "title": "乙", "summary": "丙"}',
            "line 1: title and summary may",
        ),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(tmp_path, file_name, content, message):
    with pytest.raises(UserError, match=message) as caught:
        read(tmp_path, content, file_name=file_name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "file_name, content, chosen",
    [
        ("a.tsv", "长文\t头条\t\n", {}),
        ("a.tsv", "source\ttext\ttarget\ttitle\n长文\tx\t头条\ty\n", {}),
        ("a.tsv", "question\ttitle\tanswer\n长文\tx\t头条\n", {"label": "answer"}),
        ("a.tsv", "title\ttitle\ttext\nx\t头条\t长文\n", {"label": "2"}),
        ("a.tsv", "id\tabstract\tname\n1\t长文\t头条\n", {"text_a": "2", "label": "3"}),
        ("a.jsonl", '{"text": "长文", "title": "x", "summary": "头条"}', {"label": "summary"}),
    ],
)
def test_what_is_certain_or_chosen_is_read(tmp_path, file_name, content, chosen):
    assert pairs(read(tmp_path, content, file_name=file_name, **chosen)) == [("长文", "头条")]


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize(
    "file_name, content, chosen",
    [
        ("a.tsv", "头条\t长文\n", {"label": "1"}),
        ("a.tsv", "头条\t长文\t\n", {"text_a": "2"}),
        ("a.tsv", "question\tanswer\n头条\t长文\n", {"label": "question"}),
        ("a.tsv", "id\tquestion\tanswer\n1\t头条\t长文\n", {"text_a": "answer"}),
        ("a.tsv", "标题\t正文\n头条\t长文\n", {"label": "1"}),
        ("a.csv", "content,abstract\n长文,头条\n", {"label": "abstract"}),
        ("a.jsonl", '{"question": "头条", "answer": "长文"}', {"label": "question"}),
        ("a.jsonl", '{"question": "头条", "answer": "长文"}', {"text_a": "answer"}),
        ("a.jsonl", '{"content": "长文", "abstract": "头条"}', {"label": "abstract"}),
    ],
)
def test_one_flag_leaves_the_other_column(tmp_path, split, file_name, content, chosen):
    """Regression: both were the same column, or the named one counted as the other text, too."""
    found = read(tmp_path, content, split, file_name, **chosen)
    assert pairs(found) == [("长文", "头条")] and not found.notes


def test_one_flag_that_leaves_several_columns_is_not_enough(tmp_path):
    rows = "to\t长文\t头条\n"
    with pytest.raises(UserError, match="line 1: it has 3 columns, .* name the source, .*--text_c"):
        read(tmp_path, rows, label="3")
    with pytest.raises(UserError, match="name the target, too, by --label_column"):
        read(tmp_path, rows, text_a="2")
    assert pairs(read(tmp_path, rows, "test", text_a="2")) == [("长文", None)]
    assert pairs(read(tmp_path, "长文\n", "test", label="1")) == [("长文", None)]


def test_another_mark_between_the_columns_is_named(tmp_path):
    with pytest.raises(
        UserError, match=r"each line has one column and '\|\|' in it.* put tabs there"
    ):
        read(tmp_path, "长文||头条\n又一篇||题\n", "dev")


def test_one_column_is_not_both(tmp_path):
    """Regression: a model was once trained to copy its source."""
    (tmp_path / "a.tsv").write_text("长文\t头条\n", encoding="utf-8")
    chosen = {"text_a": "1", "label": "1"}
    with pytest.raises(UserError, match="--text_column and --label_column name the same column"):
        pair_files.read_split(str(tmp_path / "a.tsv"), "train", chosen)
    (tmp_path / "a.jsonl").write_text('{"x": "长文", "y": "头条"}', encoding="utf-8")
    with pytest.raises(UserError, match="--text_column and --label_column name the same column"):
        pair_files.read_split(str(tmp_path / "a.jsonl"), "train", {"text_a": "x", "label": "x"})


def test_json_without_a_source_is_refused_with_its_keys(tmp_path):
    """Regression: the error named each row, but none of the keys."""
    content = '{"messages": [], "id": 1}\n{"dialog": "b"}\n'
    message = "data.jsonl has no source: it has the keys messages, id, dialog: .*--text_column=KEY"
    with pytest.raises(UserError, match=message):
        read(tmp_path, content, file_name="data.jsonl")


def test_abstracts_of_csl_are_sources(tmp_path):
    split = read(tmp_path, '{"id": 1, "title": "题", "abst": "长文"}\n', file_name="data.json")
    assert pairs(split) == [("长文", "题")]
