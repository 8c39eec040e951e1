"""A fine-tuned reader kept in memory: answers questions by a span of a text.

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
LONGEST_PARAGRAPH = 1000  # characters; longer ones are searched in pieces
PARAGRAPHS_READ = 5  # for a question on documents
WORDING_POWER = 6  # chosen on CMRC 2018: 4 to 12 are alike
_INDEX_FOLDER, _INDEX = ".ask_index", "lexical.npz"
_KEPT_INDEXES = 4  # of the documents below a folder, those used last: one of each pattern
_NAME_SIZE = 12  # of the folder of an index: hexadecimal digits
_SENTENCE_ENDS = "。！？!?；;"

Answer = collections.namedtuple("Answer", ["text", "begin", "end", "probability", "score"])
Answer.__doc__ = """An answer.

Fields:
    text: the characters from `begin` to `end` of the context; "" for "there is no answer".
    begin, end: half-open range of characters.
    probability: share of its score among the best answers of all windows.
    score: log probability of its start and of its end in its window, less the length penalty; it
        can be compared with those of other contexts.
"""


class DocumentAnswer(NamedTuple):
    """An answer in a document.

    Fields:
        answer: `Answer` in the paragraph.
        paragraph: text that it is in.
        path: file of the paragraph.
        line: its line in the file, from 1.
        score: exp(the answer's score) times how much of the question's wording the paragraph has,
            as a share of the most, to the power of `WORDING_POWER`.
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
            UserError: if there is no such model, it is of another kind of task, or `max_seq_length`
                leaves no token for the text beside the longest question.
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
        self._predictor.__enter__()  # an error once it is closed
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    @property
    def most_answers(self) -> int:
        """How many answers the model keeps of a question."""
        return self._predictor.notes.get("head", {}).get("n_best_size") or limits.N_BEST_SIZE

    @property
    def num_cut(self) -> int:
        """Of how many pairs so far the question was longer than the model reads."""
        return self._predictor.num_cut

    @property
    def longest_question(self) -> int:
        """Tokens that it reads of a question."""
        return self._predictor.longest_uncut

    @property
    def unknown(self) -> unknown_words.Tally:
        """What the vocabulary lacks of the questions and contexts so far."""
        return self._predictor.unknown

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
            list of `Answer`, the best first, at most the --n_best_size of the model's training; of
            a model that knows questions without an answer "there is none" is one of them. Without
            any where the context has no text.
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
        arguments.check_arguments(top_k=top_k)
        decoded, _ = self._predictor.predict(checked_pairs(pairs))
        return [[Answer(**entry) for entry in entries[:top_k]] for entries in decoded]


def checked_pairs(pairs: Any) -> List[Tuple[str, str]]:
    """Pairs (question, context) as a list of tuples.

    Args:
        pairs: sequence of them.

    Raises:
        UserError: for anything but pairs of texts, a question without text, and halves of
            characters.
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
            paths: text files; each line is a paragraph, long ones are cut at sentence ends.
            encoding: of the files.
            keeps_index: whether to keep the index in `index_folder`, and to use the one that is
                there if the files have not changed since.

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
        """The best answers of the paragraphs that have most of a question's wording.

        Args:
            reader: `Reader`.
            question: str.
            top_k: number of answers at most; the best one of each paragraph.
            num_paragraphs: number of paragraphs that are read.

        Returns:
            list of `DocumentAnswer`, the best first; without any where no paragraph has an answer.

        Raises:
            UserError: for a question that is none, as of `Reader.answers`.
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
    """Where the index of documents is kept: a hidden folder in the one that all of them are in.

    Of documents in remote storage it is in the scratch folder.

    Args:
        paths: of the documents; other documents have another folder.
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
    """The index of texts, from the folder or kept there; folder None: it is not kept."""
    if folder is None:
        return lexical_index.LexicalIndex.build(texts)
    made_from = "%s %s" % (fingerprint, lexical_index.SETTINGS)
    try:
        with folder_locks.one_at_a_time(folder):
            cache = file_cache.FileCache(folder, made_from)
            if cache.is_valid(_INDEX):
                with contextlib.suppress(OSError):  # of someone else
                    os.utime(folder)
                return lexical_index.LexicalIndex.load(cache.path(_INDEX))
            cache.forget(_INDEX)
            index = lexical_index.LexicalIndex.build(texts)
            with cache.writing(_INDEX) as partial:
                index.save(partial)
            cache.add(_INDEX)
            return index
    except UserError as error:  # a folder that cannot be written
        print(printable("note: the index is not kept: %s" % error), file=sys.stderr)
        return lexical_index.LexicalIndex.build(texts)


def _remove_older(folder):
    """Removes the indexes beside a folder that were not used for long, all but a few.

    With each document that is added or goes, a pattern has another folder.
    """
    beside = glob.glob(os.path.join(glob.escape(os.path.dirname(folder)), "[0-9a-f]" * _NAME_SIZE))
    with contextlib.suppress(OSError, UserError):  # of someone else, or removed meanwhile
        for older in sorted(beside, key=os.path.getmtime)[:-_KEPT_INDEXES]:
            with folder_locks.one_at_a_time(older):
                shutil.rmtree(older)


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
