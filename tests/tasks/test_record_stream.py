"""Files that are only predicted, for kinds of tasks that refuse rows that do not fit."""

import pytest

from albert_zh.common.errors import UserError
from albert_zh.tasks import datasets, record_stream


@pytest.mark.parametrize(
    "name, head, lines",
    [
        ("questions", {}, ['{"context": "甲", "question": "数？"}', '{"context": "甲"}']),
        (
            "sentences",
            {"loss": "infonce", "dev_format": "positives", "corpus": None},
            ['{"query": "甲", "pos": "乙"}', '{"query": "甲"}'],
        ),
    ],
)
def test_bad_rows_of_a_file_that_is_only_predicted_are_left_out_on_demand(
    name, head, lines, tmp_path
):
    path = tmp_path / "test.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    task = datasets.get_task(name)._replace(head=head)
    if name == "sentences":
        task = task._replace(objective="sentence_retrieval")
    with pytest.raises(UserError, match="line 2"):
        record_stream.RecordStream(task, str(path), "utf-8")
    stream = record_stream.RecordStream(task, str(path), "utf-8", skip_bad_rows=True)
    assert "1 invalid row was skipped" in stream.notes()
