"""Tests of the ranking that is chosen with questions whose lines are known."""

import itertools
import re

import numpy as np
import pytest

from albert_zh.commands import similarity
from albert_zh.common.errors import UserError
from albert_zh.inference import text_encoder
from albert_zh.inference.predictor import Predictor
from albert_zh.inference.retrieval import search, search_choice
import small_models

LINES = ["如何退票", "退市股票怎么处理", "银行卡怎么开户", "今天天气好吗", "手机号码怎么注销"]


class Chance:
    """A classifier with random scores, or with high ones for the pairs in `answers`."""

    def __init__(self, answers=()):
        self._answers = set(answers)

    def similarities(self, pairs):
        random = np.random.RandomState(len(pairs))
        return np.array([float(p in self._answers) + random.rand() / 9 for p in pairs])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return small_models.write_model(tmp_path_factory.mktemp("models") / "pairs")


@pytest.fixture(scope="module")
def encoder(folder):
    with text_encoder.TextEncoder(folder) as loaded:
        yield loaded


@pytest.fixture
def corpus(tmp_path, encoder):
    path = tmp_path / "faq.txt"
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return search.Corpus(str(path), encoder)


def questions_file(tmp_path, rows):
    path = tmp_path / "dev.tsv"
    path.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


ROWS = [("我要退票", LINES[0]), ("银行开户", LINES[2]), ("今天气温", LINES[3]), ("注销", LINES[4])]


def test_the_choice_is_never_below_the_best_similarity_alone(corpus, tmp_path):
    questions = search_choice.read_questions(questions_file(tmp_path, ROWS), corpus)
    wordings = Chance(ROWS)
    for classifier in (None, Chance(), wordings):
        fitted = search_choice.fit(corpus, classifier, questions)
        alone = [fitted.figures[name] for name in ("lexical", "cosine")]
        alone += [fitted.figures["classifier"]] if classifier else []
        chosen = fitted.figures[str(fitted.choice)]
        best = max(alone, key=lambda figures: (figures[0], figures[2]))
        assert (chosen[0], chosen[2]) >= (best[0], best[2])
        # the scores shown are those of a search
        hits = corpus.search(
            [question.text for question in questions],
            classifier,
            top_k=5,
            ranking=fitted.choice.ranking,
            weights=fitted.choice.weights,
        )
        right = [found[0].text == entry for found, (_, entry) in zip(hits, ROWS)]
        assert chosen[0] == np.mean(right)
    assert fitted.figures["classifier"].tolist() == [1, 1, 1]


def test_figures_of_known_ranks(tmp_path, encoder):
    """BM25 prefers the shorter of two lines with the same words: the n-th line has rank n."""
    lines = ["退票" + "甲乙丙丁戊己"[: length + 1] for length in range(6)]
    path = tmp_path / "lines.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    corpus = search.Corpus(str(path), encoder)
    rows = [("退票", lines[1]), ("退票吗", lines[5])]
    questions = search_choice.read_questions(questions_file(tmp_path, rows), corpus)
    figures = search_choice.fit(corpus, None, questions).figures["lexical"]
    np.testing.assert_allclose(figures, [0, 1 / 2, (1 / 2 + 1 / 6) / 2])


def test_a_question_that_is_a_line_itself_does_not_find_that_one(corpus, tmp_path):
    """The exception is a question whose answer is that line."""
    rows = [(LINES[0], LINES[1]), (LINES[2], LINES[2])]
    questions = search_choice.read_questions(questions_file(tmp_path, rows), corpus)
    assert [question.own for question in questions] == [0, None]
    figures = search_choice.fit(corpus, None, questions).figures
    assert figures["lexical"].tolist() == [1, 1, 1]


def test_a_choice_is_kept_for_its_model(corpus, tmp_path, folder, capsys):
    assert corpus.choice() is None
    choice = search_choice.Choice("mixed", search.Weights(0.5, 0.5, 0))
    corpus.keep_choice(choice)
    assert corpus.choice() == choice
    with text_encoder.TextEncoder(folder, pooling="max") as other:
        assert not re.search("ranking.json", capsys.readouterr().err)
        assert search.Corpus(str(tmp_path / "faq.txt"), other).choice() is None
    note = "ranking.json .mixed 0.5,0.5,0. was chosen for another model or other settings"
    assert re.search(note, capsys.readouterr().err)


def test_a_choice_with_a_classifier_is_of_that_one_alone(corpus, folder, tmp_path):
    other_folder = small_models.write_model(tmp_path / "other", seed=2)
    weights = search.Weights(0.5, 0.25, 0.25)
    with Predictor(folder) as fitted, Predictor(other_folder) as other:
        for name in ("mixed", "classifier", "reciprocal_rank"):
            choice = search_choice.Choice(name, weights)
            corpus.keep_choice(choice, fitted)
            assert corpus.choice(fitted) == choice
            assert corpus.choice() is None and corpus.choice(other) is None
        lexical = search_choice.Choice("lexical", weights)
        corpus.keep_choice(lexical, fitted)
        assert corpus.choice() == corpus.choice(other) == lexical


def test_only_so_many_lines_are_classified_as_the_search_classifies(folder, tmp_path):
    """Of 40 lines equally similar to the question, about as many are classified as requested."""
    lines = ["怎么%s%s开户" % pair for pair in itertools.product("甲乙丙丁戊己庚辛", "一二三四五")]
    (tmp_path / "many.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    asked = []

    class Counting:
        def similarities(self, pairs):
            asked.append(len(pairs))
            return np.linspace(0, 1, len(pairs))

    with text_encoder.TextEncoder(folder) as encoder:
        many = search.Corpus(str(tmp_path / "many.txt"), encoder)
        path = questions_file(tmp_path, [("开户", lines[7])])
        questions = search_choice.read_questions(path, many)
        for count in (11, 30):
            search_choice.fit(many, Counting(), questions, count)
    assert 11 <= asked[0] < 30 <= asked[1]


def test_questions_that_cannot_be(corpus, tmp_path):
    for rows, problem in [
        ([("一", LINES[0]), ("二",)], "dev.tsv, line 2: expected question<tab>entry"),
        ([("一", "没有")], "dev.tsv, line 1: the entry '没有' is not a line of the corpus"),
        ([], "dev.tsv has no question"),
    ]:
        with pytest.raises(UserError, match=problem):
            search_choice.read_questions(questions_file(tmp_path, rows), corpus)
    path = questions_file(tmp_path, [("一", LINES[0]), ("一", LINES[1]), ("", "")])
    (question,) = search_choice.read_questions(path, corpus)
    assert question.rows == {0, 1}


def test_the_command_shows_keeps_and_uses_the_choice(corpus, folder, tmp_path, capsys):
    path = questions_file(tmp_path, ROWS)
    arguments = ["--model_dir=" + folder, "--encoder_dir=" + folder]
    arguments += ["--corpus=" + str(tmp_path / "faq.txt")]
    small_models.run_command(similarity, arguments + ["--dev_file=" + path], [])
    shown = capsys.readouterr()
    assert shown.out == "" and "4 questions of" in shown.err and "(chosen)" in shown.err
    assert "| chosen on one half, measured on the other |" in shown.err
    small_models.run_command(similarity, arguments + ["--query=我要退票", "--top_k=1"], [])
    shown = capsys.readouterr()
    with Predictor(folder) as model:
        assert "ranking: %s, chosen by --dev_file" % (corpus.choice(model),) in shown.err
    assert shown.out.split("\t")[-1] == LINES[0] + "\n"
    small_models.run_command(
        similarity, arguments + ["--query=我要退票", "--top_k=1", "--ranking=lexical"], []
    )
    assert "chosen" not in capsys.readouterr().err
    with pytest.raises(UserError, match="--dev_file compares all rankings.*leave out --ranking"):
        small_models.run_command(
            similarity, [*arguments, "--dev_file=" + path, "--ranking=lexical"], []
        )
    with pytest.raises(UserError, match="--dev_file needs --corpus"):
        small_models.run_command(similarity, ["--dev_file=" + path], [])
