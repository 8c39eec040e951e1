"""A fine-tuned reader kept in memory: answers questions with a span of a text.

with Reader("reading_output/best") as reader:
    for answer in reader.answer("小米是谁创立的？", context, top_k=3):
        print(answer.text, answer.begin, answer.end, answer.probability)

documents = Documents(["docs/a.txt", "docs/b.txt"])
answers = documents.answer(reader, "小米是谁创立的？", top_k=3)
"""

import collections
import contextlib
import glob
import hashlib
import math
import os
import shutil
import sys
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from albert_zh.common import files, folder_locks, line_reader, storage, transfer, validation
from albert_zh.common.errors import UserError, printable
from albert_zh.inference import arguments, file_cache, input_rows
from albert_zh.inference.predictor import Predictor
from albert_zh.inference.retrieval import lexical_index
from albert_zh.tasks import unknown_words
from albert_zh.tasks.reading import limits

__all__ = ["Answer", "DocumentAnswer", "Documents", "Reader"]

OBJECTIVE = "reading_comprehension"
LONGEST_PARAGRAPH = 1000  # characters; longer paragraphs are split
PARAGRAPHS_READ = 5  # per question on documents
WORDING_POWER = 6  # chosen on CMRC 2018, where 4 to 12 perform alike
_INDEX_FOLDER, _INDEX = ".ask_index", "lexical.npz"
_KEPT_INDEXES = 4  # to keep per folder, those used last: one per pattern of documents
_NAME_SIZE = 12  # hexadecimal digits in the name of an index folder
_SENTENCE_ENDS = "。！？!?；;"

Answer = collections.namedtuple("Answer", ["text", "begin", "end", "probability", "score"])
Answer.__doc__ = """An answer.

Fields:
    text: the characters from `begin` to `end` of the context; "" for "there is no answer".
    begin, end: half-open range of characters.
    probability: its share of the scores of the best answers of all windows.
    score: log probability of its start and of its end in its window, minus the length penalty; it
        is comparable with the scores for other contexts.
"""


class DocumentAnswer(NamedTuple):
    """An answer in a document.

    Fields:
        answer: `Answer` in the paragraph.
        paragraph: text that contains it.
        path: file of the paragraph.
        line: line of the paragraph in the file, from 1.
        score: exp(the answer's score) times the paragraph's lexical similarity to the question,
            relative to the highest one, to the power of `WORDING_POWER`.
    """

    answer: Answer
    paragraph: str
    path: str
    line: int
    score: float


class Reader:
    """A model that answers questions; it may be used by any number of threads."""

    def __init__(self, path: str, **settings: Any) -> None:
        """Loads the model.

        Args:
            path: model folder such as OUTPUT_DIR/best, SavedModel folder or .tflite file.
            **settings: further arguments of `Predictor`.

        Raises:
            UserError: if there is no model at the path, it is of another kind of task, or
                `max_seq_length` leaves no token for the text in addition to the longest question.
        """
        self._predictor = Predictor(path, **settings)
        if self._predictor.objective != OBJECTIVE:
            objective = self._predictor.objective
            self._predictor.close()
            raise UserError(
                "%s: the model is of the kind %s, expected %s: fine-tune one with "
                "bash run_reading.sh" % (path, objective, OBJECTIVE)
            )
        self._predictor.shown_name = type(self).__name__

    def __enter__(self) -> "Reader":
        self._predictor.__enter__()  # raises once it is closed
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    @property
    def most_answers(self) -> int:
        """Maximum number of answers that the model returns per question."""
        return self._predictor.notes.get("head", {}).get("n_best_size") or limits.N_BEST_SIZE

    @property
    def num_cut(self) -> int:
        """Number of pairs so far whose question was truncated."""
        return self._predictor.num_cut

    @property
    def longest_question(self) -> int:
        """Maximum number of tokens of a question."""
        return self._predictor.longest_uncut

    @property
    def unknown(self) -> unknown_words.Tally:
        """Words of the questions and contexts so far that are not in the vocabulary."""
        return self._predictor.unknown

    def close(self) -> None:
        """Frees the model when nobody uses it any more."""
        self._predictor.close()

    def answer(self, question: str, context: str, top_k: int = 3) -> List[Answer]:
        """Finds the best answers to a question.

        Args:
            question: str.
            context: the text that may answer it, of any length.
            top_k: maximum number of answers.

        Returns:
            list of `Answer`, best first, with at most --n_best_size (of training) elements. If the
            model was trained on unanswerable questions, "no answer" is one of them. The list is
            empty if the context has no text.
        """
        return self.answers([(question, context)], top_k)[0]

    def answers(self, pairs: Sequence[Any], top_k: int = 3) -> List[List[Answer]]:
        """Like `answer` for several pairs (question, context); pairs share a context's pieces.

        Args:
            pairs: list of (question, context).
            top_k: maximum number of answers.

        Raises:
            UserError: for values other than pairs of texts, an empty question, and after `close`.
        """
        arguments.check_arguments(top_k=top_k)
        decoded, _ = self._predictor.predict(checked_pairs(pairs))
        return [[Answer(**entry) for entry in entries[:top_k]] for entries in decoded]


def checked_pairs(pairs: Any) -> List[Tuple[str, str]]:
    """Checks pairs (question, context) and returns them as a list of tuples.

    Args:
        pairs: sequence of pairs.

    Raises:
        UserError: for values other than pairs of texts, an empty question, or text with surrogate
            halves.
    """
    try:
        listed = list(pairs)
    except TypeError as error:
        raise UserError(
            "pairs: expected a list of (question, context), found %s" % validation.shown(pairs)
        ) from error
    for number, pair in enumerate(listed):
        if not input_rows.is_pair(pair) or not pair[0].strip():
            raise UserError(
                "text %d: expected a question and its context, found %s"
                % (number, validation.shown(pair))
            )
        for name, text in zip(("question", "context"), pair):
            files.check_decoded(
                text, "text %d, %s" % (number, name), "decode its bytes by their encoding"
            )
    return [(question, context) for question, context in listed]


class Documents:
    """Paragraphs of text files, searched by the wording of questions (BM25)."""

    def __init__(
        self, paths: Sequence[str], encoding: str = "utf-8", keeps_index: bool = False
    ) -> None:
        """Reads and indexes the files.

        Args:
            paths: text files; each line is a paragraph, long ones are split at sentence ends.
            encoding: encoding of the files.
            keeps_index: whether to save the index in `index_folder`, and to load a saved one if the
                files have not changed since.

        Raises:
            UserError: if a file cannot be read, or there is no text.
        """
        digest = hashlib.sha256(repr((encoding, LONGEST_PARAGRAPH)).encode())
        self._paragraphs = []
        for path in paths:
            content = hashlib.sha256()
            for number, line in enumerate(files.stream_lines(path, encoding, digest=content), 1):
                if number == 1:
                    line_reader.check_is_no_table(path, line, way_out="")
                self._paragraphs += [(piece, path, number) for piece in cut_paragraph(line.strip())]
            digest.update(content.digest())
        if not self._paragraphs:
            raise UserError(
                "%s: no text in it, expected a paragraph in each line" % (", ".join(paths) or "''")
            )
        texts = [text for text, _, _ in self._paragraphs]
        folder = index_folder(paths) if keeps_index else None
        self._index = _kept_index(folder, digest.hexdigest(), texts)
        if folder is not None:
            _remove_older(folder)

    def __len__(self) -> int:
        return len(self._paragraphs)

    def answer(
        self, reader: Reader, question: str, top_k: int = 3, num_paragraphs: int = PARAGRAPHS_READ
    ) -> List[DocumentAnswer]:
        """Finds the best answers in the paragraphs that share most of a question's wording.

        Args:
            reader: `Reader`.
            question: str.
            top_k: maximum number of answers; at most one per paragraph.
            num_paragraphs: number of paragraphs to read.

        Returns:
            list of `DocumentAnswer`, best first; empty if no paragraph has an answer.

        Raises:
            UserError: for an invalid question, as in `Reader.answers`.
        """
        checked_pairs([(question, "")])
        scores = self._index.scores(question)
        nearest = np.argsort(-scores, kind="stable")[:num_paragraphs].tolist()
        most = scores[nearest[0]]
        pairs = [(question, self._paragraphs[at][0]) for at in nearest]
        answers = []
        for at, entries in zip(nearest, reader.answers(pairs, 1)):
            best = next((entry for entry in entries if entry.text), None)
            if best is not None:
                share = float(scores[at] / most) if most else 0.0
                score = math.exp(best.score) * share**WORDING_POWER
                paragraph, path, line = self._paragraphs[at]
                answers.append(DocumentAnswer(best, paragraph, path, line, score))
        return sorted(answers, key=lambda answer: -answer.score)[:top_k]


def index_folder(paths: Sequence[str]) -> str:
    """The folder for the index of documents: a hidden folder in their common folder.

    For documents in remote storage, it is in the scratch folder.

    Args:
        paths: paths of the documents; other documents have another folder.
    """
    absolute = [storage.absolute(path) for path in paths]
    common = os.path.commonpath([os.path.dirname(path) for path in absolute])
    names = "\0".join(os.path.relpath(path, common) for path in absolute)
    if storage.is_remote(absolute[0]):
        common = transfer.scratch_folder(os.path.dirname(absolute[0]))
    return os.path.join(
        common, _INDEX_FOLDER, hashlib.sha256(names.encode()).hexdigest()[:_NAME_SIZE]
    )


def _kept_index(folder, fingerprint, texts) -> lexical_index.LexicalIndex:
    """The index of texts, loaded from the folder or saved there; folder None: not saved."""
    if folder is None:
        return lexical_index.LexicalIndex.build(texts)
    made_from = "%s %s" % (fingerprint, lexical_index.SETTINGS)
    try:
        with folder_locks.one_at_a_time(folder):
            cache = file_cache.FileCache(folder, made_from)
            if cache.is_valid(_INDEX):
                with contextlib.suppress(OSError):  # owned by another user
                    os.utime(folder)
                return lexical_index.LexicalIndex.load(cache.path(_INDEX))
            cache.forget(_INDEX)
            index = lexical_index.LexicalIndex.build(texts)
            with cache.writing(_INDEX) as partial:
                index.save(partial)
            cache.add(_INDEX)
            return index
    except UserError as error:  # the folder is not writable
        print(printable("note: the index is not saved: %s" % error), file=sys.stderr)
        return lexical_index.LexicalIndex.build(texts)


def _remove_older(folder):
    """Removes indexes next to a folder, except for a few that were used last.

    Whenever a document is added or removed, the pattern gets another folder.
    """
    beside = glob.glob(os.path.join(glob.escape(os.path.dirname(folder)), "[0-9a-f]" * _NAME_SIZE))
    with contextlib.suppress(OSError, UserError):  # owned by another user, or already removed
        for older in sorted(beside, key=os.path.getmtime)[:-_KEPT_INDEXES]:
            with folder_locks.one_at_a_time(older):
                shutil.rmtree(older)


def cut_paragraph(text: str, longest: Optional[int] = None) -> List[str]:
    """Splits a paragraph into pieces that are not too long, after sentence ends if possible.

    Args:
        text: str.
        longest: maximum characters of a piece; default: `LONGEST_PARAGRAPH`.
    """
    longest = longest or LONGEST_PARAGRAPH
    pieces = []
    while len(text) > longest:
        end = max(text.rfind(mark, 0, longest) for mark in _SENTENCE_ENDS) + 1 or longest
        pieces.append(text[:end])
        text = text[end:]
    return pieces + [text] if text else pieces
