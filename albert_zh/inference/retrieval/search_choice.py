"""Selects the ranking that finds most of the right lines for labelled questions.

    questions = read_questions("dev.tsv", corpus)  # lines of question<TAB>entry
    fitted = fit(corpus, predictor, questions)
    write(corpus.folder, fitted.choice, corpus.fingerprint)

Each single similarity is among the choices, so that on these questions the chosen ranking is never
worse than the best of them. To show how much of the gain is chance, the choice is also made on one
half of the questions and measured on the other half.
"""

import itertools
import os
import sys
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Set

import numpy as np

from albert_zh.common import files, output_files, validation
from albert_zh.common.errors import UserError, printable
from albert_zh.common.progress import progress_bar
from albert_zh.inference.retrieval.ranking import CANDIDATES, RANKINGS, Ranking, Weights

CHOICE_FILE = "ranking.json"  # in the folder of a corpus's vectors
SHOWN = ("recall@1", "recall@5", "MRR@10")
_STEPS = 10  # number of steps of a weight from 0 to 1
_RANKED = 11  # ranks up to 10, and one for the question itself
_CONTENT = validation.record(
    {
        "model": validation.TEXT,
        "ranking": validation.one_of(*RANKINGS),
        "weights": validation.list_of(validation.number(0, 1), 3),
        "classifier": validation.TEXT,
    },
    ["model", "ranking", "weights"],
)


class Choice(NamedTuple):
    """A ranking, and its weights if it is the mixed ranking."""

    ranking: str
    weights: Weights

    @property
    def uses_classifier(self) -> bool:
        """Whether a pair classifier affects the results."""
        if self.ranking == "mixed":
            return self.weights.classifier > 0
        return self.ranking in ("classifier", "reciprocal_rank")

    def __str__(self) -> str:
        """The choice as shown in tables: `mixed 0.6,0.3,0.1`."""
        if self.ranking != "mixed":
            return self.ranking
        return "mixed %s" % ",".join("%g" % weight for weight in self.weights)


class Question(NamedTuple):
    """A question and the rows of the entries that answer it.

    `own`: the row that is the question itself and no answer to it, excluded from ranks; or None.
    """

    text: str
    rows: Set[int]
    own: Optional[int] = None


class Fitted(NamedTuple):
    """A choice and the scores that led to it.

    `figures`: {name: `SHOWN` as float [3]}, including the chosen ranking and, last, the choice on
    one half measured on the other half.
    """

    choice: Choice
    figures: Dict[str, np.ndarray]


def read_questions(path: str, corpus: Any, encoding: str = "utf-8") -> List[Question]:
    """Reads the distinct questions of a file, each with all entries that it has there.

    Args:
        path: lines of question<TAB>entry; the entry is a line of the corpus.
        corpus: `search.Corpus`.
        encoding: encoding of the file.

    Raises:
        UserError: for a malformed line, or an entry that is not in the corpus.
    """
    rows = {entry: row for row, entry in enumerate(corpus.entries)}
    questions: Dict[str, Set[int]] = {}
    for number, line in enumerate(files.stream_lines(path, encoding), start=1):
        cells = [cell.strip() for cell in line.split("\t")]
        if not line.strip():
            continue
        if len(cells) < 2 or not cells[0] or not cells[1]:
            raise UserError("%s, line %d: expected question<tab>entry" % (path, number))
        if cells[1] not in rows:
            raise UserError(
                "%s, line %d: the entry %.60r is not a line of the corpus"
                % (path, number, cells[1])
            )
        questions.setdefault(cells[0], set()).add(rows[cells[1]])
    if not questions:
        raise UserError("%s has no question: expected lines of question<tab>entry" % path)
    return [
        Question(text, of_text, None if rows.get(text) in of_text else rows.get(text))
        for text, of_text in questions.items()
    ]


def fit(
    corpus: Any, predictor: Any, questions: Sequence[Question], candidates: int = CANDIDATES
) -> Fitted:
    """Selects the ranking with the best results; ties: the simplest ranking.

    Args:
        corpus: `search.Corpus`.
        predictor: `Predictor` of sentence pairs, or None.
        questions: as returned by `read_questions`.
        candidates: number of candidates by each similarity.
    """
    candidates = max(candidates, _RANKED)
    tables = _similarities(corpus, predictor, questions, candidates)
    usual = Choice("mixed", corpus.usual_weights)
    options = _options(usual, predictor is not None)
    gains = {  # [Q, 3] each
        option: _gains(tables, questions, option, candidates) for option in options
    }
    choice = _best(gains)
    alone = [option for option in options if option.ranking != "mixed"]
    shown = alone + [usual, choice]
    figures = {str(option): gains[option].mean(axis=0) for option in shown}
    if len(questions) > 1:
        halves = [np.arange(len(questions)) % 2 == half for half in (0, 1)]
        measured = [gains[_best(gains, ~half)][half] for half in halves]
        name = "chosen on one half, measured on the other"
        figures[name] = np.concatenate(measured).mean(axis=0)
    return Fitted(choice, figures)


def _options(usual, has_classifier):
    """The rankings to try: single similarities first, then their combinations."""
    rankings = ["lexical", "cosine"] + ["classifier"] * has_classifier + ["reciprocal_rank"]
    steps = itertools.product(range(_STEPS + 1), repeat=2)
    weights = [Weights(a / _STEPS, b / _STEPS, (_STEPS - a - b) / _STEPS) for a, b in steps]
    weights = [
        each
        for each in weights
        if each.classifier >= 0 and sum(each[:2]) and (has_classifier or not each.classifier)
    ]
    options = [Choice(name, usual.weights) for name in rankings] + [usual]
    options += [Choice("mixed", each) for each in weights]
    return list(dict.fromkeys(options))


def _similarities(corpus, predictor, questions, count):
    """Candidates of each question; with a classifier, the probabilities of all of them."""
    tables = corpus.candidates([question.text for question in questions], count)
    if predictor is None:
        return [(table, None) for table in tables]
    entries, classified = corpus.entries, []
    with progress_bar("questions", len(questions), "question", leave=False) as bar:
        for question, table in zip(questions, tables):
            pairs = [(question.text, entries[row]) for row in table["row"]]
            classified.append((table, dict(zip(table["row"], predictor.similarities(pairs)))))
            bar.update(1)
    return classified


def _gains(tables, questions, option, count):
    """The contribution of each question to `SHOWN`: float [Q, 3]."""
    ranking = Ranking(option.ranking, option.weights, _RANKED, count)
    gains = np.zeros([len(questions), len(SHOWN)])
    for index, ((table, known), question) in enumerate(zip(tables, questions)):
        classify = None if known is None else lambda rows, of=known: np.array([of[r] for r in rows])
        order = ranking.ranked(table, classify)["row"].tolist()
        order = [row for row in order if row != question.own]
        ranks = [rank for rank, row in enumerate(order, start=1) if row in question.rows]
        if ranks:
            first = ranks[0]
            gains[index] = (first == 1, first <= 5, (first <= 10) / first)
    return gains


def _best(gains, among=slice(None)):
    """The option with the highest recall@1; ties: the highest MRR, then the first option."""
    return max(gains, key=lambda option: tuple(gains[option][among].mean(axis=0)[[0, 2]].round(9)))


def table_of(fitted: Fitted) -> str:
    """The scores as lines of a Markdown table."""
    lines = ["| ranking | %s |" % " | ".join(SHOWN), "|---|" + "---:|" * len(SHOWN)]
    for name, figures in fitted.figures.items():
        mark = " (chosen)" if name == str(fitted.choice) else ""
        cells = " | ".join("%.3f" % figure for figure in figures)
        lines.append("| %s%s | %s |" % (name, mark, cells))
    return "\n".join(lines)


def write(folder: str, choice: Choice, model: str, classifier: str = "") -> None:
    """Saves a choice for later searches.

    Args:
        folder: folder of the corpus's vectors.
        choice: `Choice`.
        model: fingerprint of the encoder.
        classifier: fingerprint of the pair classifier, "" if there is none.
    """
    content = {"model": model, "ranking": choice.ranking, "weights": list(choice.weights)}
    content["classifier"] = classifier if choice.uses_classifier else ""
    output_files.write_json(os.path.join(folder, CHOICE_FILE), content)


def read(folder: str, model: str, classifier: str = "") -> Optional[Choice]:
    """The saved choice of a corpus; None if it was made for another model.

    Args:
        folder, model, classifier: as in `write`.
    """
    path = os.path.join(folder, CHOICE_FILE)
    if not os.path.exists(path):
        return None
    content = files.read_json(path, _CONTENT, "remove it, or fit again with --dev_file")
    choice = Choice(content["ranking"], Weights(*content["weights"]))
    needed = classifier if choice.uses_classifier else ""
    if content["model"] == model and content.get("classifier", "") == needed:
        return choice
    note = "note: %s (%s) was chosen for another model or other settings, and is not used"
    print(printable(note % (path, choice)), file=sys.stderr)
    return None
