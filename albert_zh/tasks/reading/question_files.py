"""Reads files of questions: SQuAD 1.1 and 2.0, CMRC 2018's two layouts, DRCD, JSON lines, CSV, TSV.

    question_file = read_questions("cmrc2018_dev.json")
    question_file.questions[0].text, question_file.questions[0].answers, question_file.counts

The layout is recognized by the content:

    squad   {"data": [{"paragraphs": [{"context": ..., "qas": [{"id", "question", "answers":
            [{"text", "answer_start"}], "is_impossible"}]}]}]}
    cmrc    [{"context_id", "context_text", "qas": [{"query_id", "query_text", "answers": [text]}]}]
    lines   {"context", "question", "answer", "start", "id"} in each line of a .json(l) file;
            `answer` may be a list; null, or a true `is_impossible`, means "not answered by the
            context", and so do "" and [] if other rows of the file have answers
    table   the same columns in a .csv, .tsv or .txt file, with a header that names them or in this
            order: context, question, answer, start

Answers and starts are optional: a file without them can be used for prediction.
"""

import hashlib
import json
from typing import Any, Dict, Iterator, List, Optional, Tuple

from albert_zh.common import checks, files, storage, text_encodings, validation
from albert_zh.common.errors import UserError
from albert_zh.common.wording import counted
from albert_zh.tasks.reading import questions as reading_questions
from albert_zh.tasks.reading.questions import Answer, Question, QuestionFile, located_answers
from albert_zh.tasks.tables import nested_keys, rows

SQUAD, CMRC, LINES, TABLE = "squad", "cmrc", "lines", "table"

# Accepted names of columns and of keys in JSON lines; the first name is the canonical one.
COLUMNS = {
    "context": tuple(
        "context context_text paragraph passage content 原文 上下文 文章 段落 短文 内容".split()
    ),
    "question": ("question", "query", "query_text", "问题", "提问"),
    "answer": ("answer", "answers", "answer_text", "答案", "回答"),
    "start": ("start", "answer_start", "begin", "answer_begin", "答案位置", "起始位置", "开始位置"),
    "id": ("id", "query_id", "qid"),
}
_ROW = '{"context": "...", "question": "...", "answer": "..."}'
_SHOWN_CHARACTERS = 120
_ORDER = ("context", "question", "answer", "start")
_IMPOSSIBLE = "is_impossible"  # key of SQuAD's questions and of JSON lines
_TRUTHS = {True: True, False: False, "true": True, "false": False}  # texts: in CJRC and CAIL
_TRUTH = validation.scalar(
    "true or false", lambda value: isinstance(value, (bool, str)) and value in _TRUTHS
)

_ID = validation.scalar(
    "a text or an integer",
    lambda value: isinstance(value, (str, int)) and not isinstance(value, bool),
)
_ANSWER_TEXT = validation.scalar(  # CMRC's dev file has numbers among its answers
    "a text", lambda value: isinstance(value, (str, int, float)) and not isinstance(value, bool)
)


def _position(given: Any) -> int:
    """Converts a position in a file to an integer; it may be an integer, a float or digits."""
    if isinstance(given, bool) or not float(given).is_integer():
        raise ValueError("%r is not a position" % given)
    return int(float(given))


def _is_position(given):
    try:
        return _position(given) is not None
    except (TypeError, ValueError, OverflowError):
        return False


_POSITION = validation.or_none(validation.scalar("an integer", _is_position))
_ANSWER = validation.record({"text": _ANSWER_TEXT, "answer_start": _POSITION}, ["text"])


def _document_kinds(needs_texts):
    """(SQuAD's, CMRC's) document schema; for evaluation, contexts and questions are optional."""
    squad_question = validation.record(
        {
            "id": _ID,
            "question": validation.TEXT,
            "answers": validation.list_of(_ANSWER),
            "is_impossible": _TRUTH,
        },
        ["id", "question"] if needs_texts else ["id"],
    )
    squad_paragraph = validation.record(
        {"context": validation.TEXT, "qas": validation.list_of(squad_question)},
        ["context", "qas"] if needs_texts else ["qas"],
    )
    squad_article = validation.record(
        {"paragraphs": validation.list_of(squad_paragraph)}, ["paragraphs"]
    )
    cmrc_question = validation.record(
        {
            "query_id": _ID,
            "query_text": validation.TEXT,
            "answers": validation.list_of(_ANSWER_TEXT),
        },
        ["query_id", "query_text"] if needs_texts else ["query_id"],
    )
    cmrc_paragraph = validation.record(
        {"context_text": validation.TEXT, "qas": validation.list_of(cmrc_question)},
        ["context_text", "qas"] if needs_texts else ["qas"],
    )
    return (
        validation.record({"data": validation.list_of(squad_article)}, ["data"]),
        validation.list_of(cmrc_paragraph),
    )


_DOCUMENTS = {needs_texts: _document_kinds(needs_texts) for needs_texts in (True, False)}


def read_questions(
    path: str, encoding: str = "utf-8", needs_texts: bool = True, skip_bad_rows: bool = False
) -> QuestionFile:
    """Reads a file of questions in any layout.

    Args:
        path: the file.
        encoding: name of its encoding.
        needs_texts: whether a JSON document without contexts or questions is refused; evaluation
            only needs the answers.
        skip_bad_rows: whether malformed lines of JSON lines or of a table are skipped and counted.

    Returns:
        `QuestionFile`.

    Raises:
        UserError: if the file is missing or unreadable, has an unknown layout, no questions or a
            duplicate id; the message names the key or line.
    """
    if storage.is_folder(path):
        raise UserError("%s: expected a file of questions, found a folder" % path)
    counts = reading_questions.new_counts()
    if path.endswith((".json", ".jsonl")):
        layout, read, sha256 = _read_json(path, encoding, counts, needs_texts, skip_bad_rows)
    else:
        layout = TABLE
        read, sha256 = _read_rows(path, encoding, counts, skip_bad_rows)
    reading_questions.check_ids(path, read)
    reading_questions.count_empty_texts(read, counts)
    return QuestionFile(path, layout, read, +counts, sha256)


def _read_json(path, encoding, counts, needs_texts, skip_bad_rows):
    """(layout, questions, digest) of a JSON document or of JSON lines."""
    digest = hashlib.sha256()
    text = files.read_text(path, encoding, digest)
    if _is_lines(text):
        return (LINES,) + _read_rows(path, encoding, counts, skip_bad_rows)
    document = text_encodings.with_whole_characters(files.parse_json(text, path), text)
    if _is_list_of_rows(document):
        return (LINES,) + _read_rows(path, encoding, counts, skip_bad_rows)
    layout, questions = _questions_of_document(path, document, counts, needs_texts)
    return layout, questions, digest.hexdigest()


def _questions_of_document(path, document, counts, needs_texts):
    squad_kind, cmrc_kind = _DOCUMENTS[needs_texts]
    if isinstance(document, list):
        is_squad = any(isinstance(entry, dict) and "paragraphs" in entry for entry in document)
        document = {"data": document} if is_squad else document
    if isinstance(document, dict):
        if _is_list_of_rows(document.get("data")):
            raise UserError(
                '%s: "data" has one question per row, expected paragraphs with their questions: '
                "write only its list, [%s, ...]" % (path, _ROW)
            )
        checks.checked(path, document, squad_kind)
        return SQUAD, list(_squad_questions(path, document["data"], counts))
    if isinstance(document, list):
        checks.checked(path, document, cmrc_kind)
        return CMRC, list(_cmrc_questions(path, document, counts))
    raise UserError(
        '%s: expected {"data": [...]} as in SQuAD, the list of the original CMRC layout, or JSON '
        "lines, found %s" % (path, validation.shown(document))
    )


def _is_lines(text: str) -> bool:
    """Whether a text is JSON lines: its first line is an object, but not one in SQuAD's layout."""
    line = text.lstrip().split("\n", 1)[0]
    if not line.startswith("{"):
        return False
    try:
        first = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return "data" not in first


def _is_list_of_rows(document: Any) -> bool:
    """Whether a document is a list of objects as in JSON lines, with one question each."""
    first = document[0] if isinstance(document, list) and document else None
    return isinstance(first, dict) and any(name in first for name in COLUMNS["question"])


def _are_answered(entries) -> bool:
    """Whether a file has answers; if all are empty, it is a test file with withheld answers."""
    return any(entry.get("answers") or "is_impossible" in entry for entry in entries)


def _squad_questions(path, articles, counts) -> Iterator[Question]:
    paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
    are_answered = _are_answered(entry for paragraph in paragraphs for entry in paragraph["qas"])
    for at_article, article in enumerate(articles):
        for at_paragraph, paragraph in enumerate(article["paragraphs"]):
            context = paragraph.get("context", "")
            for at_question, entry in enumerate(paragraph["qas"]):
                source = "%s: data[%d].paragraphs[%d].qas[%d]" % (
                    (path, at_article, at_paragraph, at_question)
                )
                answers = _squad_answers(context, entry, counts) if are_answered else None
                text = entry.get("question", "")
                yield Question(str(entry["id"]), text, context, answers, source)


def _squad_answers(context, entry, counts) -> Optional[Tuple[Answer, ...]]:
    if _TRUTHS[entry.get(_IMPOSSIBLE, False)]:
        return ()
    if "answers" not in entry:
        return None
    answers = [(str(answer["text"]), _start_of_answer(answer)) for answer in entry["answers"]]
    return located_answers(context, answers, counts)


def _start_of_answer(answer, default=None) -> Optional[int]:
    start = answer.get("answer_start", default)
    return None if start is None else _position(start)


def _cmrc_questions(path, paragraphs, counts) -> Iterator[Question]:
    are_answered = _are_answered(entry for paragraph in paragraphs for entry in paragraph["qas"])
    for at_paragraph, paragraph in enumerate(paragraphs):
        context = paragraph.get("context_text", "")
        for at_question, entry in enumerate(paragraph["qas"]):
            source = "%s: [%d].qas[%d]" % (path, at_paragraph, at_question)
            answers = None
            if "answers" in entry and are_answered:
                texts = [(str(text), None) for text in entry["answers"]]
                answers = located_answers(context, texts, counts)
            text = entry.get("query_text", "")
            yield Question(str(entry["query_id"]), text, context, answers, source)


# Rows


def _read_rows(path, encoding, counts, skip_bad_rows) -> Tuple[List[Question], str]:
    """(questions, digest) of JSON lines or a table."""
    table = rows.Table(path, encoding)
    names: Optional[Dict[str, Any]] = None
    num_columns = 0
    contexts: Dict[str, str] = {}
    read: List[Question] = []
    num_rows, are_answered = 0, False
    for row in table:
        if row.problem == rows.BLANK:
            counts[reading_questions.BLANK_LINE] += 1
            continue
        if names is None and not table.is_json and not row.problem:
            names, is_header = _columns(row.cells, path, row.line)
            num_columns = len(row.cells)
            if is_header:
                continue
        source = "%s, line %d" % (path, row.line)
        num_rows += 1
        try:
            cells = _cells_of_row(row, names, num_columns, source)
            cells["context"] = contexts.setdefault(cells["context"], cells["context"])
            read.append(_question_of_cells(cells, num_rows - 1, source, counts))
            are_answered |= bool(read[-1].answers) or _says_whether_it_has_one(cells)
        except UserError:
            if not skip_bad_rows:
                raise
            counts[reading_questions.BAD_ROW] += 1
    if not are_answered:  # a test file whose answers are withheld
        read = [question._replace(answers=None) for question in read]
    return read, table.sha256()


def _cells_of_row(row, names, num_columns, source) -> Dict[str, Any]:
    """Returns the values of a row by the canonical names of their columns.

    Args:
        row: `rows.Row`.
        names: {canonical name: column} of a table; None for JSON lines.
        num_columns: number of columns in a table's first row.
        source: file and line, for messages.
    """
    if row.problem:
        raise UserError("%s: %s" % (source, row.problem))
    if names is None:
        return _named_cells(row.cells, source)
    if any(row.cells[num_columns:]):
        raise UserError(
            "%s: %s, expected %d as in the first row: has a text a comma or TAB that is "
            "not quoted?" % (source, counted(len(row.cells), "column"), num_columns)
        )
    return _cells_of_columns(row.cells, names, source)


def _named_cells(record: Dict[str, Any], source: str) -> Dict[str, Any]:
    """Values of a JSON line by canonical names; `UserError` without a context or question."""
    cells = {}
    for name, spellings in COLUMNS.items():
        present = [spelling for spelling in spellings if spelling in record]
        if present:
            cells[name] = record[present[0]]
    for name in ("context", "question"):
        if not isinstance(cells.get(name), str):
            raise UserError(
                "%s: expected the key %r with a text, as in %s, found the keys %s%s"
                % (source, name, _ROW, _shown_keys(record), _about_inner_texts(record))
            )
    if record.get(_IMPOSSIBLE) is not None:
        checks.checked(source + ": " + _IMPOSSIBLE, record[_IMPOSSIBLE], _TRUTH)
        cells[_IMPOSSIBLE] = _TRUTHS[record[_IMPOSSIBLE]]
    return cells


def _shown_keys(record):
    keys = ", ".join(nested_keys.names_of(record)) or "of no object"
    return keys if len(keys) <= _SHOWN_CHARACTERS else keys[:_SHOWN_CHARACTERS] + "..."


def _about_inner_texts(record):
    """Hint for a record whose texts are nested in objects, as in DuReader 2.0 and WebQA."""
    if not any("." in key for key in nested_keys.names_of(record)):
        return ""
    return ": if a question has several texts, write a line for each"


def _says_whether_it_has_one(cells: Dict[str, Any]) -> bool:
    """Whether a row says if it has an answer; an empty text does not, as it may be withheld."""
    return _IMPOSSIBLE in cells or cells.get("answer", "") is None


def _columns(cells: List[str], path: str, line: int) -> Tuple[Dict[str, int], bool]:
    """({canonical name: column}, whether the first row is a header that names the columns)."""
    header = [cell.strip().lower() for cell in cells]
    columns = {
        name: header.index(spelling)
        for name, spellings in COLUMNS.items()
        for spelling in reversed(spellings)
        if spelling in header
    }
    if "context" in columns and "question" in columns:
        return columns, True
    if any(cell.endswith("_id") for cell in header):
        raise UserError(
            "%s, line %d: the header names %s, expected context and question: write the texts that "
            "other files have for ids" % (path, line, ", ".join(header)[:200])
        )
    if columns:
        raise UserError(
            "%s, line %d: the header names %s, expected context and question too"
            % (path, line, ", ".join(header)[:200])
        )
    if not 2 <= len(cells) <= len(_ORDER):
        raise UserError(
            "%s, line %d: expected columns context, question[, answer[, start]], or a header that "
            "names them, found %s" % (path, line, counted(len(cells), "column"))
        )
    return dict(zip(_ORDER, range(len(cells)))), False


def _cells_of_columns(cells: List[str], columns: Dict[str, int], source: str) -> Dict[str, Any]:
    missing = [name for name in columns if columns[name] >= len(cells)]
    if {"context", "question"} & set(missing):
        raise UserError(
            "%s: %s, expected at least %d"
            % (
                source,
                counted(len(cells), "column"),
                max(columns["context"], columns["question"]) + 1,
            )
        )
    return {name: cells[column] for name, column in columns.items() if name not in missing}


def _question_of_cells(cells, index, source, counts) -> Question:
    cells = _with_listed_starts(cells)
    start = _start(cells.get("start"), source)
    answers: Optional[Tuple[Answer, ...]] = None
    if cells.get(_IMPOSSIBLE):
        answers = ()
    elif "answer" in cells:
        given = list(_answers_of_cell(cells["answer"], start, source))
        answers = located_answers(cells["context"], given, counts)
    question_id = cells.get("id")
    question_id = str(index) if question_id in (None, "") else str(question_id)
    return Question(question_id, cells["question"], cells["context"], answers, source)


def _with_listed_starts(cells: Dict[str, Any]) -> Dict[str, Any]:
    """Converts a row with lists of answers and starts to the form of Hugging Face's data sets."""
    if not (isinstance(cells.get("start"), list) and isinstance(cells.get("answer"), list)):
        return cells
    return dict(cells, answer={"text": cells["answer"], "answer_start": cells["start"]}, start=None)


def _start(given: Any, source: str) -> Optional[int]:
    if given is None or (isinstance(given, str) and not given.strip()):
        return None
    try:
        return _position(given)
    except (TypeError, ValueError, OverflowError) as error:
        raise UserError(
            "%s: expected the position of the answer's first character as start, found %s"
            % (source, validation.shown(given))
        ) from error


def _answers_of_cell(cell: Any, start: Optional[int], source: str):
    """Yields (text, start or None) of an answer: a text, an object as in SQuAD, a list, or null."""
    if cell is None:
        return
    if isinstance(cell, str):
        yield cell, start
    elif isinstance(cell, dict) and isinstance(cell.get("text"), list):  # Hugging Face data sets
        starts = cell.get("answer_start") or [None] * len(cell["text"])
        if not isinstance(starts, list) or len(starts) != len(cell["text"]):
            raise UserError(
                "%s: answer: expected a list answer_start as long as the list text, found %s"
                % (source, validation.shown(starts))
            )
        for text, start_of_text in zip(cell["text"], starts):
            yield from _answers_of_cell(text, _start(start_of_text, source), source)
    elif isinstance(cell, dict):
        checks.checked(source + ": answer", cell, _ANSWER)
        yield str(cell["text"]), _start_of_answer(cell, start)
    elif isinstance(cell, list):
        for member in cell:
            yield from _answers_of_cell(member, start, source)
    else:
        raise UserError(
            "%s: expected the answer as a text, a list of texts or null, found %s"
            % (source, validation.shown(cell))
        )
