"""Represents questions as examples of a data set: text_a is the question, text_b the context.

split = read_split(task, "data/questions_sample", "train")
question_of(split.examples[0]).located
"""

import collections
from typing import Any, Counter, Dict, List, NamedTuple, Tuple

from albert_zh.common.wording import counted
from albert_zh.tasks.reading import question_files
from albert_zh.tasks.reading.questions import Question, QuestionFile
from albert_zh.tasks.tables import label_rules, split_files

COLUMNS = ("text_a", "text_b")
LABELS = ("start", "end")  # the head's two outputs
_ANSWERED, _UNANSWERED = "answered", "unanswered"

QuestionExample = collections.namedtuple(
    "QuestionExample", ["guid", "text_a", "text_b", "label", "row_id", "source"]
)
QuestionExample.__doc__ = """A question of a file.

Fields:
    guid: name of the split and number of the question in it.
    text_a: the question.
    text_b: the context.
    label: `Question.answers`; None if the file has no answers.
    row_id: `Question.id`.
    source: file and position in it.
"""


class QuestionSplit(NamedTuple):
    """A file of questions: the fields of `input_examples.Split`, and `QuestionFile.counts`."""

    name: str
    path: str
    examples: List[QuestionExample]
    has_labels: bool
    notes: List[str]
    columns: Tuple[str, ...]
    header: Tuple[str, ...]
    sha256: str
    names: Dict[str, Any]
    counts: Counter[str]


_REMARKS = {  # for one and for several
    "wrong_answer_starts": (
        "answer does not start where given: the nearest occurrence is used",
        "answers do not start where given: the nearest occurrence is used",
    ),
    "answers_not_in_context": (
        "answer is not in its context and is not trained on",
        "answers are not in their context and are not trained on",
    ),
    "empty_contexts": (
        "question has an empty context: it has no answer",
        "questions have an empty context: they have no answer",
    ),
    "empty_questions": ("question is empty", "questions are empty"),
    "blank_lines": ("blank line", "blank lines"),
    "bad_rows": ("invalid row was skipped", "invalid rows were skipped"),
}


class AnswerRules(label_rules.FreeText):
    """Labels that are answers; a dev set split off train has a similar share without an answer."""

    def num_outputs(self, num_labels: int) -> int:
        return len(LABELS)

    def labels_of_cell(self, cell: Any, separator: str) -> List[str]:
        return [_ANSWERED if cell else _UNANSWERED]


def question_of(example: Any) -> Question:
    """Converts a `QuestionExample`, or an `InputExample` without a label, to a `Question`."""
    return Question(
        example.guid if example.row_id is None else example.row_id,
        example.text_a,
        example.text_b or "",
        example.label,
        getattr(example, "source", ""),
    )


def read_split(
    task: Any, data_dir: str, split: str, encoding: str, skip_bad_rows: bool = False
) -> QuestionSplit:
    """Reads a file of questions; arguments as in `TaskType.read_split`.

    Raises:
        UserError: if the file is missing or malformed.
    """
    path, others = split_files.existing_path(task, data_dir, split)
    content = question_files.read_questions(path, encoding, skip_bad_rows=skip_bad_rows)
    notes = ["%s ignored" % ", ".join(others)] if others else []
    notes += notes_of_counts(content.counts)
    return QuestionSplit(
        split,
        path,
        examples_of(content, split),
        content.is_labelled,
        notes,
        COLUMNS,
        (),
        content.sha256,
        {},
        content.counts,
    )


def notes_of_counts(counts: Counter[str]) -> List[str]:
    """Returns messages for the user about irregularities found while questions were read."""
    return [counted(count, *_REMARKS[name]) for name, count in sorted(counts.items())]


def notes_of_shared_file(splits: Dict[str, QuestionSplit]) -> List[str]:
    """Returns a warning, in a list, if the dev file that selects the model is also the test file.

    Args:
        splits: {name: `QuestionSplit`} of the run's files.
    """
    if not {"train", "dev", "test"} <= set(splits) or splits["dev"].sha256 != splits["test"].sha256:
        return []
    return [
        'note: %s chooses the best checkpoint (and the threshold of "no answer"), so that its '
        "test scores are dev scores: name another file with --dev_file to get scores on unseen "
        "questions" % splits["test"].path
    ]


def examples_of(content: QuestionFile, split: str) -> List[QuestionExample]:
    """Converts a file's questions to examples, without labels unless the file is labelled."""
    return [
        QuestionExample(
            "%s-%d" % (split, number),
            question.text,
            question.context,
            question.answers if content.is_labelled else None,
            question.id,
            question.source,
        )
        for number, question in enumerate(content.questions, start=1)
    ]
