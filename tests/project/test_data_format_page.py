"""The examples of docs/data_format.md are read as the page says."""

import itertools
import re

import pytest

from albert_zh.tasks import datasets, reader
from albert_zh.tasks.labelling import format_detection
from albert_zh.tasks.labelling import reader as labelled_reader
from project_root import ROOT

PERSON = (0, 2)  # 王明 in each labelled example
FIRST = ("屏幕很清楚，电池也耐用", None, "手机")
PAIR = ("怎么开户", "如何开通账户", "1")


def page():
    with open("%s/docs/data_format.md" % ROOT, encoding="utf-8") as handle:
        return handle.read()


def labelled_examples():
    """Returns {format: content of a file} of the table of labelled formats."""
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| .* \|$", page().split("## Entities")[1], re.M)
    return {
        name: "\n".join(re.findall("`([^`]+)`", cell)).replace("<TAB>", "\t") for name, cell in rows
    }


def row_examples():
    """Returns [(line, file name, rest of the description)] of the block of labelled rows."""
    block = page().split("```text\n")[1].split("\n```")[0]
    found = [re.match(r"(.*?) {3,}(train\.\w+)(.*)", line).groups() for line in block.split("\n")]
    return [(line.replace("<TAB>", "\t"), name, rest) for line, name, rest in found]


def written(tmp_path, name, content):
    (tmp_path / name).write_text(content + "\n", encoding="utf-8")
    return str(tmp_path / name)


def detected(path):
    """The format of a file of entities, or of words if it has no entities."""
    found = format_detection.detect_format(path)
    return format_detection.detect_word_format(path) if found == "segmented" else found


def test_the_table_has_every_format():
    assert set(labelled_examples()) == set(labelled_reader.FORMATS)


@pytest.mark.parametrize(
    "name, content", [item for item in labelled_examples().items() if item[0] != "two_files"]
)
def test_labelled_examples_are_in_their_format(tmp_path, name, content):
    path = written(tmp_path, "train.json" if content.startswith('{"') else "train.txt", content)
    assert detected(path) == name
    text = labelled_reader.read_file(path, name).texts[0]
    assert text.text.startswith("王明")
    spans = [(span.start, span.end) for span in text.spans or ()]
    assert spans[:1] == ([] if name == "text" else [PERSON])


@pytest.mark.parametrize(
    "example, expected",
    itertools.zip_longest(
        row_examples(),
        [FIRST, PAIR, FIRST, PAIR, ("上菜快，味道也好", None, "速度|味道"), PAIR[:2] + ("4.5",)],
    ),
)
def test_rows_are_read_as_described(tmp_path, example, expected):
    line, name, rest = example
    written(tmp_path, name, line)
    objective = re.search(r"--(multi_label|regression)", rest)
    task = datasets.get_task("multiclass")
    if objective:
        task = task._replace(objective=objective.group(1))
    read = reader.read_split(task, str(tmp_path), "train", "utf-8").examples[0]
    assert (read.text_a, read.text_b, read.label) == expected
