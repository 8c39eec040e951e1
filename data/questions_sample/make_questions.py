"""Makes the questions of this folder from the paragraphs written in `passages.txt`.

    python data/questions_sample/make_questions.py

writes train.json, dev.json and test.json in SQuAD 2.0's layout; those of your own paragraphs are
made by

    python data/questions_sample/make_questions.py --passages_file=my.txt --output_dir=my_questions

The file is UTF-8 text:

    ## a comment
    # title of a paragraph
    the paragraph, in one line
    question？answer, as it stands in the paragraph
    question？answer@2, where its second occurrence is meant
    question？ (nothing behind the question mark: the paragraph does not answer it)
    (an empty line ends a paragraph)

Paragraphs are split by the SHA-256 of their titles: in ascending order, the first 15 % are test,
the next 15 % dev, the rest train. The same file gives the same bytes on every machine.
"""

import collections
import hashlib
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

from absl import flags

from albert_zh.common import files, output_files
from albert_zh.common.errors import UserError, run_command

FLAGS = flags.FLAGS

HERE = os.path.dirname(os.path.abspath(__file__))
HELD_OUT_SHARE = 0.15  # of the paragraphs, for test and for dev
QUESTION_MARK = "？"
_ANSWER = re.compile(r"(?P<text>.+?)(@(?P<occurrence>[1-9]))?")

Passage = collections.namedtuple("Passage", "title context questions")


def define_flags():
    flags.DEFINE_string(
        "passages_file", os.path.join(HERE, "passages.txt"), "The paragraphs and their questions."
    )
    flags.DEFINE_string(
        "output_dir", None, "Folder for the three files; that of --passages_file if left out."
    )


def read_passages(path):
    """Reads a file of paragraphs (format: top of this file).

    Args:
        path: the file.

    Returns:
        list of `Passage`, whose `questions` are a list of SQuAD's {"id", "question", "answers",
        "is_impossible"}.

    Raises:
        UserError: names the line of an answer that is missing or ambiguous in its paragraph, of a
            repeated title, of a line that is no question.
    """
    passages = []
    titles = set()
    for block in _blocks(path):
        (number, title), *lines = block
        if not title.startswith("# ") or len(lines) < 2:
            raise UserError(
                "%s, line %d: expected '# title', a paragraph and its questions" % (path, number)
            )
        if title in titles:
            raise UserError("%s, line %d: the title %r occurs twice" % (path, number, title[2:]))
        titles.add(title)
        context = lines[0][1]
        questions = [
            _question("%s, line %d" % (path, line), text, context, len(passages) + 1, index)
            for index, (line, text) in enumerate(lines[1:], start=1)
        ]
        passages.append(Passage(title[2:], context, questions))
    return passages


def _blocks(path):
    """Yields the lines of a paragraph and its questions: [(line number, text)]."""
    block = []
    for number, line in enumerate(files.read_lines(path) + [""], start=1):
        if line.strip() and not line.startswith("##"):
            block.append((number, line.strip()))
        elif block and not line.strip():
            yield block
            block = []


def _question(source, line, context, passage, index):
    """A question of SQuAD 2.0's layout."""
    text, mark, answer = line.partition(QUESTION_MARK)
    if not mark or not text:
        raise UserError(
            "%s: expected a question, its mark %s and the answer" % (source, mark or "？")
        )
    answers = [_located(source, answer.strip(), context)] if answer.strip() else []
    return {
        "id": "%03d-%d" % (passage, index),
        "question": text + mark,
        "answers": answers,
        "is_impossible": not answers,
    }


def _located(source, answer, context):
    """An answer with its position: {"text", "answer_start"}."""
    match = _ANSWER.fullmatch(answer)
    text, occurrence = match.group("text"), match.group("occurrence")
    starts = [found.start() for found in re.finditer("(?=%s)" % re.escape(text), context)]
    if not starts or int(occurrence or 1) > len(starts):
        raise UserError(
            "%s: the answer %r occurs %d times in the paragraph" % (source, answer, len(starts))
        )
    if len(starts) > 1 and not occurrence:
        raise UserError(
            "%s: the answer %r occurs %d times in the paragraph: write %s@1 for the first one"
            % (source, text, len(starts), text)
        )
    return {"text": text, "answer_start": starts[int(occurrence or 1) - 1]}


def split_passages(passages):
    """{"test", "dev", "train": list of `Passage`}, by the SHA-256 of the titles."""
    ordered = sorted(passages, key=lambda p: hashlib.sha256(p.title.encode("utf-8")).hexdigest())
    size = round(HELD_OUT_SHARE * len(ordered))
    return {
        "test": ordered[:size],
        "dev": ordered[size : 2 * size],
        "train": ordered[2 * size :],
    }


def document(passages):
    """A document of SQuAD 2.0's layout, an article for each paragraph."""
    articles = [
        {
            "title": passage.title,
            "paragraphs": [{"context": passage.context, "qas": passage.questions}],
        }
        for passage in passages
    ]
    return {"version": "v2.0", "data": articles}


def main():
    passages = read_passages(FLAGS.passages_file)
    folder = FLAGS.output_dir or os.path.dirname(FLAGS.passages_file)
    for name, members in split_passages(passages).items():
        if not members:
            raise UserError(
                "%s: too few paragraphs (%d) to fill %s.json: write more"
                % (FLAGS.passages_file, len(passages), name)
            )
        path = os.path.join(folder, name + ".json")
        output_files.write_json(path, document(members))
        questions = sum(len(passage.questions) for passage in members)
        print("%s: %d questions on %d paragraphs" % (path, questions, len(members)))


if __name__ == "__main__":
    define_flags()
    run_command(main)
