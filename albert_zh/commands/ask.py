"""Answers questions with a fine-tuned reader: from a text, a file, or a folder of documents.

    python ask.py --text="小米由雷军于2010年创立。" --question="小米是谁创立的？"
    python ask.py --context=article.txt --question="他哪年毕业？" --top_k=3
    python ask.py --context=article.txt < questions.txt
    python ask.py --documents="docs/*.txt"

Without --question, each line of standard input is a question; blank lines are skipped. At a
terminal, the command asks for questions until a blank line is entered.

Prints one line per question, tab-separated: the question, the answer ("" if the text has none), its
probability and its character range in the text; with --top_k, further answers follow. For answers
from --documents, the file and the line of the paragraph replace the range. The index of the
documents is saved in .ask_index in their folder, and rebuilt when one of the documents changes.
"""

import os
import sys
from typing import Iterator, List

from absl import flags

from albert_zh.common import files, line_reader, package_files, path_rules, storage
from albert_zh.common.errors import UserError, printable, run_command, table_cell
from albert_zh.common.wording import counted
from albert_zh.inference import loaded_model, model_choice, model_flags
from albert_zh.inference.reader import OBJECTIVE, PARAGRAPHS_READ, Documents, Reader

__all__ = ["define_flags", "main", "run"]

FLAGS = flags.FLAGS
_QUESTIONS = (
    "; questions of a file with their texts: run_reading_comprehension.py --do_predict=true"
)
_SOURCES = ("context", "text", "documents")


def define_flags() -> None:
    """Defines the command's flags."""
    model_flags.define(
        "Model folder, SavedModel folder, .tflite or .onnx file; default: newest *_output/best.",
        "Maximum window length in tokens; default: as in training.",
    )
    flags.DEFINE_string("context", None, "Text file to find the answers in.")
    flags.DEFINE_string("text", None, "Text to find the answers in.")
    flags.DEFINE_string("documents", None, "Pattern of the text files to search for answers.")
    flags.DEFINE_string("question", None, "The question; default: each line of standard input.")
    flags.DEFINE_integer("top_k", 1, "Number of answers to show per question.", lower_bound=1)
    flags.DEFINE_string("encoding", "utf-8", "Encoding of files and standard input.")
    path_rules.serve_remote_everywhere(FLAGS)


def run() -> None:
    """Answers the questions."""
    answer = _answering(_checked_source())
    path = FLAGS.model_dir or _newest_reader()
    print(printable("model: %s" % path), file=sys.stderr)
    with Reader(path, max_seq_length=FLAGS.max_seq_length, precision=FLAGS.precision) as reader:
        _note_top_k(reader)
        num_cut = 0
        for question in _questions():
            num_cut_before = reader.num_cut
            for line in answer(reader, question):
                print(line)
            sys.stdout.flush()
            num_cut += reader.num_cut > num_cut_before  # it counts every paragraph
        loaded_model.note_cut("questions", num_cut, reader.longest_question)
        name = FLAGS.context or FLAGS.documents or "the text"
        loaded_model.note_unknown("the questions and " + name, reader)


def _note_top_k(reader):
    """Prints a note on standard error if a question has fewer answers than --top_k."""
    most = PARAGRAPHS_READ if FLAGS.documents else reader.most_answers
    if FLAGS.top_k > most:
        why = "only %d paragraphs of --documents are read, each of which gives at most one answer"
        if not FLAGS.documents:
            why = "the model keeps %d answers (--n_best_size of its training)"
        print("note: --top_k=%d: %s" % (FLAGS.top_k, why % most), file=sys.stderr)


def _checked_source():
    """Returns which of `_SOURCES` is set; raises `UserError` for flags that cannot be combined."""
    given = [name for name in _SOURCES if FLAGS[name].value is not None]
    if len(given) != 1:
        raise UserError(
            "expected one of --context=FILE, --text=TEXT and --documents=PATTERN, found %s"
            % (" and ".join("--" + name for name in given) or "none")
        )
    for name in ("question", "text"):
        line_reader.check_arguments([FLAGS[name].value or ""], "--%s, text" % name)
    return given[0]


def _newest_reader():
    return model_choice.newest_best_folder(package_files.places_of_models(), kinds=(OBJECTIVE,))


def _answering(source):
    """Returns a function (reader, question) -> lines to print."""
    if source == "documents":
        paths = list(filter(storage.is_file, storage.matching(FLAGS.documents)))
        if not paths:
            found = "no such file, expected text files"
            if storage.is_folder(FLAGS.documents):
                found = "a folder, expected files: pass --documents='%s'" % (
                    os.path.join(FLAGS.documents, "*.txt")
                )
            raise UserError("--documents=%s: %s" % (FLAGS.documents, found))
        documents = Documents(paths, FLAGS.encoding, keeps_index=True)
        print(
            "%s of %s" % (counted(len(documents), "paragraph"), counted(len(paths), "file")),
            file=sys.stderr,
        )
        return lambda reader, question: _lines_of_documents(documents, reader, question)
    context = FLAGS.text
    if source == "context":
        context = files.read_text(FLAGS.context, FLAGS.encoding)
        line_reader.check_is_no_table(FLAGS.context, context.split("\n")[0], _QUESTIONS)
    if not context.strip():
        raise UserError("--%s: the text is empty, expected one with answers" % source)
    return lambda reader, question: _lines_of_context(context, reader, question)


def _questions() -> Iterator[str]:
    if FLAGS.question is not None:
        if not FLAGS.question.strip():
            raise UserError("--question is empty: expected a text")
        yield FLAGS.question
        return
    is_terminal = sys.stdin.isatty()
    if is_terminal:
        print("question (an empty line ends):", file=sys.stderr)
    for group in line_reader.groups_of_lines(None, FLAGS.encoding):
        for _, line in group:
            if line.strip():
                yield line
            elif is_terminal:
                return


def _lines_of_context(context, reader, question) -> List[str]:
    answers = reader.answer(question, context, FLAGS.top_k)
    rows = [
        (table_cell(answer.text), "%.4f" % answer.probability, "%d-%d" % (answer.begin, answer.end))
        for answer in answers
    ]
    return _lines(question, rows)


def _lines_of_documents(documents, reader, question) -> List[str]:
    rows = [
        (table_cell(entry.answer.text), "%.4f" % entry.score, "%s:%d" % (entry.path, entry.line))
        for entry in documents.answer(reader, question, FLAGS.top_k)
    ]
    return _lines(question, rows)


def _lines(question, rows) -> List[str]:
    return ["\t".join((table_cell(question),) + row) for row in rows or [("", "", "")]]


def main() -> None:
    """Runs the command line."""
    define_flags()
    run_command(run, description=__doc__)
