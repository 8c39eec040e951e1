"""A fine-tuned reader kept in memory: answers questions by a span of a text.

with Reader("reading_output/best") as reader:
    for answer in reader.answer("小米是谁创立的？", context, top_k=3):
        print(answer.text, answer.begin, answer.end, answer.probability)

documents = Documents(["docs/a.txt", "docs/b.txt"])
answers = documents.answer(reader, "小米是谁创立的？", top_k=3)
"""

import collections
from typing import Any, List, NamedTuple, Optional, Sequence

import numpy as np

from albert_zh.common import files
from albert_zh.common.errors import UserError
from albert_zh.inference import lexical_index, loaded_model
from albert_zh.inference.predictor import Predictor

__all__ = ["Answer", "DocumentAnswer", "Documents", "Reader"]

OBJECTIVE = "reading_comprehension"
LONGEST_PARAGRAPH = 1000  # characters; longer ones are searched in pieces
PARAGRAPHS_READ = 5  # for a question on documents
_SENTENCE_ENDS = "。！？!?；;"

Answer = collections.namedtuple("Answer", ["text", "begin", "end", "probability"])
Answer.__doc__ = """An answer.

Fields:
    text: the characters from `begin` to `end` of the context; "" for "there is no answer".
    begin, end: half-open range of characters.
    probability: share of its score among the best answers of all windows.
"""


class DocumentAnswer(NamedTuple):
    """An answer in a document.

    Fields:
        answer: `Answer` in the paragraph.
        paragraph: text that it is in.
        path: file of the paragraph.
        line: its line in the file, from 1.
        score: probability times how much of the question's wording the paragraph has.
    """

    answer: Answer
    paragraph: str
    path: str
    line: int
    score: float


class Reader:
    """A model that answers questions; any number of threads may use it."""

    def __init__(self, path: str, **settings: Any) -> None:
        """Loads the model.

        Args:
            path: model folder such as OUTPUT_DIR/best, folder of a SavedModel or .tflite file.
            **settings: further arguments of `Predictor`.

        Raises:
            UserError: if there is no such model, or it is of another kind of task.
        """
        self._predictor = Predictor(path, **settings)
        if self._predictor.objective != OBJECTIVE:
            objective = self._predictor.objective
            self._predictor.close()
            raise UserError(
                "%s: the model is of the kind %s, expected %s: fine-tune one with "
                "bash run_reading.sh" % (path, objective, OBJECTIVE)
            )

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def close(self) -> None:
        """Frees the model, when nobody uses it any more."""
        self._predictor.close()

    def answer(self, question: str, context: str, top_k: int = 3) -> List[Answer]:
        """The best answers to a question.

        Args:
            question: str.
            context: the text that may answer it, of any length.
            top_k: number of answers at most.

        Returns:
            list of `Answer`, the best first; of a model that knows questions without an answer
            "there is none" is one of them.
        """
        return self.answers([(question, context)], top_k)[0]

    def answers(self, pairs: Sequence[Any], top_k: int = 3) -> List[List[Answer]]:
        """As `answer` of several pairs (question, context); those of one context share its pieces.

        Args:
            pairs: list of (question, context).
            top_k: number of answers at most.

        Raises:
            UserError: for anything but pairs of texts, a question without text, and after `close`.
        """
        loaded_model.check_arguments(top_k=top_k)
        for number, pair in enumerate(pairs):
            if isinstance(pair, str) or len(pair) != 2 or not str(pair[0]).strip():
                raise UserError(
                    "text %d: expected a question and its context, found %.60r" % (number, pair)
                )
        decoded, _ = self._predictor.predict(list(map(tuple, pairs)))
        return [[Answer(**entry) for entry in entries[:top_k]] for entries in decoded]


class Documents:
    """Paragraphs of text files, searched by the wording of questions (BM25)."""

    def __init__(self, paths: Sequence[str], encoding: str = "utf-8") -> None:
        """Reads and indexes the files.

        Args:
            paths: text files; each line is a paragraph, long ones are cut at sentence ends.
            encoding: of the files.

        Raises:
            UserError: if a file cannot be read, or there is no text.
        """
        self._paragraphs = [
            (piece, path, number)
            for path in paths
            for number, line in enumerate(files.stream_lines(path, encoding), start=1)
            for piece in cut_paragraph(line.strip())
        ]
        if not self._paragraphs:
            raise UserError(
                "%s: no text in it, expected a paragraph in each line" % (", ".join(paths) or "''")
            )
        self._index = lexical_index.LexicalIndex.build([text for text, _, _ in self._paragraphs])

    def __len__(self) -> int:
        return len(self._paragraphs)

    def answer(
        self, reader: Reader, question: str, top_k: int = 3, num_paragraphs: int = PARAGRAPHS_READ
    ) -> List[DocumentAnswer]:
        """The best answers of the paragraphs that have most of a question's wording.

        Args:
            reader: `Reader`.
            question: str.
            top_k: number of answers at most; the best one of each paragraph.
            num_paragraphs: number of paragraphs that are read.

        Returns:
            list of `DocumentAnswer`, the best first; without any where no paragraph has an answer.
        """
        scores = self._index.scores(question)
        nearest = np.argsort(-scores, kind="stable")[:num_paragraphs].tolist()
        pairs = [(question, self._paragraphs[at][0]) for at in nearest]
        answers = []
        for at, entries in zip(nearest, reader.answers(pairs, 1)):
            best = next((entry for entry in entries if entry.text), None)
            if best is not None:
                score = best.probability * float(scores[at])
                paragraph, path, line = self._paragraphs[at]
                answers.append(DocumentAnswer(best, paragraph, path, line, score))
        return sorted(answers, key=lambda answer: -answer.score)[:top_k]


def cut_paragraph(text: str, longest: Optional[int] = None) -> List[str]:
    """Pieces of a paragraph that are not too long, cut behind sentences where there are any.

    Args:
        text: str.
        longest: characters of a piece at most; `LONGEST_PARAGRAPH` by default.
    """
    longest = longest or LONGEST_PARAGRAPH
    pieces = []
    while len(text) > longest:
        end = max(text.rfind(mark, 0, longest) for mark in _SENTENCE_ENDS) + 1 or longest
        pieces.append(text[:end])
        text = text[end:]
    return pieces + [text] if text else pieces
