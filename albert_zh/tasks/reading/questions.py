"""Questions on a context, and where their answers are in it."""

import collections
from typing import Counter, List, NamedTuple, Optional, Sequence, Tuple

from albert_zh.common.errors import UserError

# What is counted while questions are read; the values are what reports call it.
WRONG_START = "wrong_answer_starts"
NOT_IN_CONTEXT = "answers_not_in_context"
EMPTY_CONTEXT = "empty_contexts"
EMPTY_QUESTION = "empty_questions"
BLANK_LINE = "blank_lines"
BAD_ROW = "bad_rows"


class Answer(NamedTuple):
    """An answer that a file gives.

    Fields:
        text: str, not empty.
        begin: position of its first character in the context; None where the text is not in it.
    """

    text: str
    begin: Optional[int]


class Question(NamedTuple):
    """A question on a context.

    Fields:
        id: str, the key of its prediction.
        text: the question.
        context: the text that may hold the answer; questions on one paragraph share the object.
        answers: tuple of `Answer`; () where the context does not answer the question, None where
            the file does not say.
        source: file and position in it, for messages.
    """

    id: str
    text: str
    context: str
    answers: Optional[Tuple[Answer, ...]] = None
    source: str = ""

    @property
    def is_impossible(self) -> bool:
        """Whether the context is known not to answer the question."""
        return self.answers is not None and not self.answers

    @property
    def is_trainable(self) -> bool:
        """Whether there is something to learn: an answer, or its absence."""
        return bool(self.context.strip()) and (self.is_impossible or self.located is not None)

    @property
    def located(self) -> Optional[Answer]:
        """The first answer that is in the context, which training uses; None where none is."""
        return next((answer for answer in self.answers or () if answer.begin is not None), None)


class QuestionFile(NamedTuple):
    """The content of a file.

    Fields:
        path: the file.
        layout: name of its layout, see `question_files`.
        questions: list of `Question`.
        counts: Counter of what was found while reading, by the names above.
        sha256: hexadecimal digest of the file's bytes.
    """

    path: str
    layout: str
    questions: List[Question]
    counts: Counter[str]
    sha256: str

    @property
    def is_labelled(self) -> bool:
        """Whether it says what the answers are: test files may hold invented ones."""
        return any(question.is_trainable for question in self.questions)


def located_answers(
    context: str, answers: Sequence[Tuple[str, Optional[int]]], counts: Counter[str]
) -> Tuple[Answer, ...]:
    """Answers with their position in the context, empty ones left out.

    Args:
        context: the text.
        answers: (text, position that the file gives or None) of each.
        counts: of wrong positions, and of texts that the context does not have.
    """
    located = []
    for text, start in answers:
        if not text.strip():
            continue
        begin = nearest_occurrence(context, text, start)
        if begin is None and text != text.strip():
            text = text.strip()
            begin = nearest_occurrence(context, text, start)
        if begin is None:
            counts[NOT_IN_CONTEXT] += 1
        elif start is not None and begin != start:
            counts[WRONG_START] += 1
        located.append(Answer(text, begin))
    return tuple(located)


def nearest_occurrence(context: str, text: str, start: Optional[int]) -> Optional[int]:
    """Where a text is in the context, as near as possible to a position.

    Args:
        context: str.
        text: str.
        start: the position, which may be wrong or out of range; None for the first occurrence.

    Returns:
        position of its first character, the earlier one of two equally near; None if it is nowhere.
    """
    start = min(max(start or 0, 0), len(context))
    before = context.rfind(text, 0, start + len(text))
    after = context.find(text, start)
    positions = [position for position in (before, after) if position >= 0]
    return min(positions, key=lambda position: abs(position - start), default=None)


def check_ids(path: str, questions: Sequence[Question]) -> None:
    """Raises `UserError` for a file without questions, and for an id that two of them share."""
    if not questions:
        raise UserError("%s: no questions in it, expected at least one" % path)
    sources = {}
    for question in questions:
        if question.id in sources:
            raise UserError(
                "%s: the question id %r is that of %s already, expected each id once: predictions "
                "are kept by it" % (question.source, question.id, sources[question.id])
            )
        sources[question.id] = question.source


def count_empty_texts(questions: Sequence[Question], counts: Counter[str]) -> None:
    """Counts questions without a text, and those on a context without one."""
    counts[EMPTY_QUESTION] += sum(not question.text.strip() for question in questions)
    counts[EMPTY_CONTEXT] += sum(not question.context.strip() for question in questions)


def new_counts() -> Counter[str]:
    """Counts of what is found while questions are read."""
    return collections.Counter()
