"""Questions about a context, and the positions of their answers in it."""

import collections
from typing import Counter, List, NamedTuple, Optional, Sequence, Tuple

from albert_zh.common.errors import UserError

# Irregularities that are counted while questions are read; the values are their names in reports.
WRONG_START = "wrong_answer_starts"
NOT_IN_CONTEXT = "answers_not_in_context"
EMPTY_CONTEXT = "empty_contexts"
EMPTY_QUESTION = "empty_questions"
BLANK_LINE = "blank_lines"
BAD_ROW = "bad_rows"


class Answer(NamedTuple):
    """A gold answer to a question.

    Fields:
        text: str, not empty.
        begin: position of its first character in the context; None if the context does not contain
            the text.
    """

    text: str
    begin: Optional[int]


class Question(NamedTuple):
    """A question about a context.

    Fields:
        id: str, the key of its prediction.
        text: the question.
        context: the text that may contain the answer; questions about the same paragraph share one
            object.
        answers: tuple of `Answer`; () if the context does not answer the question, None if the
            file does not say.
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
        """Whether the question can be trained on: it has a located answer, or no answer."""
        return bool(self.context.strip()) and (self.is_impossible or self.located is not None)

    @property
    def located(self) -> Optional[Answer]:
        """The first answer that the context contains, which training uses; None without one."""
        return next((answer for answer in self.answers or () if answer.begin is not None), None)


class QuestionFile(NamedTuple):
    """The content of a file.

    Fields:
        path: the file.
        layout: name of its layout, see `question_files`.
        questions: list of `Question`.
        counts: Counter of the irregularities that were found while reading, by the names above.
        sha256: hexadecimal digest of the file's bytes.
    """

    path: str
    layout: str
    questions: List[Question]
    counts: Counter[str]
    sha256: str

    @property
    def is_labelled(self) -> bool:
        """Whether some question can be trained on; test files may have invented answers."""
        return any(question.is_trainable for question in self.questions)


def located_answers(
    context: str, answers: Sequence[Tuple[str, Optional[int]]], counts: Counter[str]
) -> Tuple[Answer, ...]:
    """Locates answers in the context; empty answers are skipped.

    Args:
        context: the text.
        answers: (text, position in the file or None) of each answer.
        counts: Counter of wrong positions and of texts that the context does not contain; updated.
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
    """Finds the occurrence of a text in the context that is nearest to a position.

    Args:
        context: str.
        text: str.
        start: the position, which may be wrong or out of range; None for the first occurrence.

    Returns:
        position of the text's first character, the earlier one of two equally near occurrences;
        None if the context does not contain the text.
    """
    start = min(max(start or 0, 0), len(context))
    before = context.rfind(text, 0, start + len(text))
    after = context.find(text, start)
    positions = [position for position in (before, after) if position >= 0]
    return min(positions, key=lambda position: abs(position - start), default=None)


def check_ids(path: str, questions: Sequence[Question]) -> None:
    """Raises `UserError` for a file without questions, and for a duplicate id."""
    if not questions:
        raise UserError("%s: no questions in it, expected at least one" % path)
    sources = {}
    for question in questions:
        if question.id in sources:
            raise UserError(
                "%s: the question id %r is used in %s already, expected each id once: predictions "
                "are saved by id" % (question.source, question.id, sources[question.id])
            )
        sources[question.id] = question.source


def count_empty_texts(questions: Sequence[Question], counts: Counter[str]) -> None:
    """Counts questions with an empty text, and questions with an empty context."""
    counts[EMPTY_QUESTION] += sum(not question.text.strip() for question in questions)
    counts[EMPTY_CONTEXT] += sum(not question.context.strip() for question in questions)


def new_counts() -> Counter[str]:
    """Creates an empty Counter for irregularities that are found while questions are read."""
    return collections.Counter()
