"""Quality of a model's answers to questions on many paragraphs, as with ask.py --documents.

    python benchmarks/document_answers.py --model_dir=reading_output/best --dev_file=dev.json

The contexts of a labelled file become documents with one paragraph per line, and its questions are
asked on all of them. For comparison, the same model reads only the paragraph that the question is
about, or only the paragraph that is closest to the question's wording; without a model, the answer
is the sentence of the latter paragraph that shares the most character bigrams with the question.
Questions without an answer are skipped.
"""

import os
import random
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from absl import flags

from albert_zh.common.errors import UserError, run_command
from albert_zh.inference import reader
from albert_zh.inference.retrieval import lexical_index
from albert_zh.tasks.reading import answer_scores, lexical_baseline, question_files

FLAGS = flags.FLAGS


def define_flags():
    """Defines the flags."""
    flags.DEFINE_string("model_dir", None, "Folder of a fine-tuned reader.")
    flags.DEFINE_string("dev_file", None, "File of labelled questions, in any layout.")
    flags.DEFINE_integer("num_questions", 800, "Questions to draw with seed 1; 0 for all.")


def drawn_questions():
    """(the questions to ask, all contexts as lines without line breaks)."""
    questions = question_files.read_questions(FLAGS.dev_file).questions
    lines = list(dict.fromkeys(_line(question.context) for question in questions))
    asked = [question for question in questions if question.answers]
    if not asked:
        raise UserError("%s: no question has an answer" % FLAGS.dev_file)
    if 0 < FLAGS.num_questions < len(asked):
        asked = random.Random(1).sample(asked, FLAGS.num_questions)
    return asked, lines


def _line(context):
    return " ".join(context.split())


def ways_to_answer(model, lines, folder):
    """{name: function (question) -> answer}."""
    path = os.path.join(folder, "paragraphs.txt")
    with open(path, "w", encoding="utf-8") as stream:
        stream.writelines(line + "\n" for line in lines)
    documents = reader.Documents([path])
    index = lexical_index.LexicalIndex.build(lines)

    def of_paragraphs(count):
        def answer(question):
            found = documents.answer(model, question.text, 1, count)
            return found[0].answer.text if found else ""

        return answer

    def sentence(question):
        nearest = lines[int(index.scores(question.text).argmax())]
        return lexical_baseline.best_sentence(question.text, nearest)

    return {
        "nearest paragraph, its nearest sentence (no model)": sentence,
        "nearest paragraph": of_paragraphs(1),
        "%d paragraphs (ask.py)" % reader.PARAGRAPHS_READ: of_paragraphs(reader.PARAGRAPHS_READ),
        "the right paragraph": lambda q: model.answer(q.text, _line(q.context), 1)[0].text,
    }


def main():
    for name in ("model_dir", "dev_file"):
        if not FLAGS[name].value:
            raise UserError("--%s is needed" % name)
    questions, lines = drawn_questions()
    print("%d questions, %d paragraphs\n" % (len(questions), len(lines)))
    print("| read | F1 | exact match |\n|---|---:|---:|")
    with tempfile.TemporaryDirectory() as folder, reader.Reader(FLAGS.model_dir) as model:
        for name, answer in ways_to_answer(model, lines, folder).items():
            predictions = {question.id: answer(question) for question in questions}
            scores = answer_scores.score_predictions(questions, predictions)
            print("| %s | %.1f | %.1f |" % (name, scores.f1, scores.exact_match), flush=True)


if __name__ == "__main__":
    define_flags()
    run_command(main)
