"""The bundled questions: contents, make_questions.py, and the baseline of shared characters."""

import collections
import hashlib
import json
import os
import re
import subprocess
import sys

import pytest

from project_root import ROOT

sys.path.insert(0, os.path.join(ROOT, "data", "questions_sample"))
sys.path.insert(0, os.path.join(ROOT, "benchmarks"))

import make_questions
import questions_baseline

from albert_zh.common.errors import UserError
from albert_zh.tasks.reading.error_analysis import question_word
from albert_zh.tasks.reading.question_files import read_questions

SAMPLE = os.path.join(ROOT, "data", "questions_sample")
MAKE_QUESTIONS = os.path.join(SAMPLE, "make_questions.py")
SPLITS = ("train", "dev", "test")


@pytest.fixture(scope="module")
def paragraphs():
    """Fixture: {split: list of (title, paragraph)}, read with Python's `json` module."""
    articles = {}
    for split in SPLITS:
        with open(os.path.join(SAMPLE, split + ".json"), encoding="utf-8") as handle:
            document = json.load(handle)
        articles[split] = [
            (article["title"], paragraph)
            for article in document["data"]
            for paragraph in article["paragraphs"]
        ]
    return articles


@pytest.fixture(scope="module")
def readme():
    with open(os.path.join(SAMPLE, "README.md"), encoding="utf-8") as handle:
        return handle.read()


def everything(paragraphs):
    return [pair for split in SPLITS for pair in paragraphs[split]]


def questions_of(paragraphs):
    return [question for _, paragraph in paragraphs for question in paragraph["qas"]]


def test_the_sample_is_large_enough_and_some_questions_have_no_answer(paragraphs):
    questions = questions_of(everything(paragraphs))
    assert len(everything(paragraphs)) >= 150 and len(questions) >= 900
    shares = [
        sum(q["is_impossible"] for q in questions_of(paragraphs[split]))
        / len(questions_of(paragraphs[split]))
        for split in SPLITS
    ]
    assert min(shares) > 0.08 and max(shares) < 0.2


def test_answers_are_where_they_are_said_to_be(paragraphs):
    for _, paragraph in everything(paragraphs):
        for question in paragraph["qas"]:
            assert question["is_impossible"] == (not question["answers"])
            for answer in question["answers"]:
                begin = answer["answer_start"]
                end = begin + len(answer["text"])
                assert paragraph["context"][begin:end] == answer["text"] != ""


def test_nothing_is_there_twice(paragraphs):
    titles = [title for title, _ in everything(paragraphs)]
    contexts = [paragraph["context"] for _, paragraph in everything(paragraphs)]
    ids = [question["id"] for question in questions_of(everything(paragraphs))]
    for texts in (titles, contexts, ids):
        assert [text for text, count in collections.Counter(texts).items() if count > 1] == []
    for _, paragraph in everything(paragraphs):
        questions = [question["question"] for question in paragraph["qas"]]
        assert len(set(questions)) == len(questions) >= 5


def test_paragraphs_do_not_resemble_one_another(paragraphs):
    """No two paragraphs share a tenth of their character 4-grams, as filled templates would."""
    grams = [
        {paragraph["context"][at : at + 4] for at in range(len(paragraph["context"]) - 3)}
        for _, paragraph in everything(paragraphs)
    ]
    shares = [
        len(first & second) / min(len(first), len(second))
        for at, first in enumerate(grams)
        for second in grams[:at]
    ]
    assert max(shares) < 0.1


def test_texts_have_no_stray_characters(paragraphs):
    for _, paragraph in everything(paragraphs):
        for text in [paragraph["context"]] + [q["question"] for q in paragraph["qas"]]:
            assert text == text.strip() and text.isprintable() and "@" not in text
        assert all(question["question"].endswith("？") for question in paragraph["qas"])
        assert 80 <= len(paragraph["context"]) <= 600


def test_all_kinds_of_questions_occur_often(paragraphs):
    kinds = collections.Counter(
        question_word(question["question"]) for question in questions_of(everything(paragraphs))
    )
    assert all(kinds[name] >= 40 for name in ("谁", "什么", "哪", "多少", "为什么", "怎么"))


def test_some_contexts_are_long_and_some_answers_occur_repeatedly(paragraphs):
    assert sum(len(paragraph["context"]) > 400 for _, paragraph in everything(paragraphs)) >= 4
    repeated = [
        answer
        for _, paragraph in everything(paragraphs)
        for question in paragraph["qas"]
        for answer in question["answers"]
        if paragraph["context"].find(answer["text"]) != answer["answer_start"]
    ]
    assert len(repeated) >= 5


def test_the_split_follows_the_rule_of_the_readme(paragraphs):
    titles = sorted(
        (title for title, _ in everything(paragraphs)),
        key=lambda title: hashlib.sha256(title.encode("utf-8")).hexdigest(),
    )
    size = round(0.15 * len(titles))
    assert [title for title, _ in paragraphs["test"]] == titles[:size]
    assert [title for title, _ in paragraphs["dev"]] == titles[size : 2 * size]
    assert [title for title, _ in paragraphs["train"]] == titles[2 * size :]


def test_the_generator_makes_the_same_bytes(tmp_path):
    made = subprocess.run(
        (sys.executable, MAKE_QUESTIONS, "--output_dir=%s" % tmp_path),
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    for split in SPLITS:
        name = split + ".json"
        with open(os.path.join(SAMPLE, name), "rb") as handle:
            assert (tmp_path / name).read_bytes() == handle.read()


def test_the_reader_finds_nothing_to_mend():
    for split in SPLITS:
        read = read_questions(os.path.join(SAMPLE, split + ".json"))
        assert not read.counts and all(question.is_trainable for question in read.questions)


def test_the_readmes_have_the_counts(paragraphs, readme):
    rows = []
    for split in SPLITS:
        questions = questions_of(paragraphs[split])
        impossible = sum(question["is_impossible"] for question in questions)
        rows.append((len(paragraphs[split]), len(questions), impossible))
        assert "| %s | %d | %d | %d |\n" % ((split,) + rows[-1]) in readme
    total = tuple(sum(column) for column in zip(*rows))
    numbers = tuple(f"{number:,}" for number in total)
    assert "| all | %s | %s | %s |\n" % numbers in readme
    with open(os.path.join(ROOT, "data", "README.md"), encoding="utf-8") as handle:
        overview = handle.read()
    assert "| %s 段短文，%s 个问题，其中 %s 个没有答案 |" % numbers in overview
    assert "| %s paragraphs with %s questions, %s of them without an answer |" % numbers in overview
    assert readme.count("Apache-2.0") == 2


def test_shared_characters_do_not_answer_the_questions(readme):
    for split in ("dev", "test"):
        scores = questions_baseline.baseline_scores(os.path.join(SAMPLE, split + ".json"))
        assert 15 < scores.f1 < 35
        line = "questions baseline, %s.json: exact match %.1f%%, F1 %.1f%% (%d questions)\n"
        assert line % (split, scores.exact_match, scores.f1, len(scores.f1s)) in readme


# The generator


def read(tmp_path, text):
    path = tmp_path / "passages.txt"
    path.write_text(text, encoding="utf-8")
    return make_questions.read_passages(str(path))


def test_answers_are_located_and_may_be_missing(tmp_path):
    text = "## c\n# t\n甲乙甲丙\n甲？甲@2\n乙？ 乙丙\n丙？\n".replace("乙丙", "乙甲")
    (passage,) = read(tmp_path, text)
    assert passage.title == "t" and passage.context == "甲乙甲丙"
    assert [question["answers"] for question in passage.questions] == [
        [{"text": "甲", "answer_start": 2}],
        [{"text": "乙甲", "answer_start": 1}],
        [],
    ]
    assert [question["id"] for question in passage.questions] == ["001-1", "001-2", "001-3"]
    assert [question["is_impossible"] for question in passage.questions] == [False, False, True]


@pytest.mark.parametrize(
    "text, message",
    [
        ("t\n甲\n甲？甲\n", "line 1: expected '# title'"),
        ("# t\n甲\n", "line 1: expected '# title'"),
        ("# t\n甲\n甲？甲\n\n# t\n乙\n乙？乙\n", "line 5: the title 't' occurs twice"),
        ("# t\n甲\n甲 甲\n", "line 3: expected a question, its mark"),
        ("# t\n甲\n甲？乙\n", "line 3: the answer '乙' occurs 0 times"),
        (
            "# t\n甲甲\n甲？甲\n",
            "line 3: the answer '甲' occurs 2 times in the paragraph: write 甲@1",
        ),
        ("# t\n甲甲\n甲？甲@3\n", "line 3: the answer '甲@3' occurs 2 times"),
    ],
)
def test_the_generator_names_a_bad_line(tmp_path, text, message):
    with pytest.raises(UserError, match=re.escape(message)):
        read(tmp_path, text)


def test_too_few_paragraphs_are_refused(tmp_path):
    path = tmp_path / "passages.txt"
    path.write_text("# t\n甲\n甲？甲\n", encoding="utf-8")
    ended = subprocess.run(
        (sys.executable, MAKE_QUESTIONS, "--passages_file=%s" % path),
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 2
    assert "too few paragraphs (1) to fill test.json: write more" in ended.stderr


def test_the_baseline_refuses_what_has_no_answers(tmp_path):
    path = tmp_path / "dev.json"
    path.write_text('{"context": "a", "question": "b"}\n')
    with pytest.raises(UserError, match="no question has an answer"):
        questions_baseline.baseline_scores(str(path))
