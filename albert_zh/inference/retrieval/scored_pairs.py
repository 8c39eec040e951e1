"""Creates the training file of a run whose labels are scores of a pair classifier.

For rows with negatives and --objective=margin_mse, the labels are margins: the probability of the
positive minus the probability of a negative.

for line in prepare(options, kind, task, data_dir):
    say(line)  # options.train_file is OUTPUT_DIR/scored_pairs.jsonl then
"""

import hashlib
import json
import os
from typing import Any, Dict, Iterator, List, Sequence, Tuple

from albert_zh.common import files, output_files, storage, validation
from albert_zh.common.errors import UserError
from albert_zh.common.progress import progress_bar
from albert_zh.inference import predictor
from albert_zh.inference.retrieval import prepared_training
from albert_zh.tasks.embedding import text_files
from albert_zh.tasks.tables import split_files

SCORED_FILE = "scored_pairs.jsonl"
WORK_FOLDER = "scoring"
PAIRS_AT_ONCE = 4096
_BLOCK = "scores_%s_%d.json"  # file in the work folder: key of its sources, first pair
_DIGITS = 6
Scores = Dict[Tuple[str, str], float]  # {pair: score}


def prepare(options: Any, kind: Any, task: Any, data_dir: str) -> List[str]:
    """Scores the pairs of the training file and sets the flags to use the result.

    Args:
        options: the flags; train_file and the other files of the data folder are set.
        kind, task, data_dir: the data that the flags name.

    Returns:
        lines to print.

    Raises:
        UserError: for invalid files or models.
    """
    path = split_files.existing_path(task, data_dir, "train")[0]
    has_margins = options.objective == "margin_mse"
    split = text_files.read_split(
        path, "train", format_of(options.objective), options.encoding, options.skip_bad_rows
    )
    if has_margins:
        _check_wrong_texts(split)
    pairs = _pairs(split.examples, has_margins)
    scores = dict(zip(pairs, _scores(options, pairs)))
    target = os.path.join(options.output_dir, SCORED_FILE)
    rows = _rows_of_margins(split.examples, scores) if has_margins else _rows_of_scores(scores)
    with output_files.atomic_write(target) as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    prepared_training.name_files(options, task, data_dir, target, kind.corpus_of(task, data_dir))
    num_alike = sum(score > 0.5 for score in scores.values())
    return ["note: " + note for note in text_files.named_notes(split)] + [
        "scores of %d pairs of %s by %s: %d above 0.5; %s"
        % (len(pairs), path, options.scoring_classifier_dir, num_alike, target)
    ]


def format_of(objective: str) -> str:
    """The format in which a file of pairs to score is read: a key of `text_files.FORMATS`."""
    return "positives" if objective == "margin_mse" else "pairs"


def _check_wrong_texts(split):
    for example in split.examples:
        if not example.negatives:
            raise UserError(
                "%s, line %s: it has no negative (third column), which --objective=margin_mse "
                "needs: add one, or have --mine_negatives find some (with --objective=infonce and "
                "without --do_train)" % (split.path, example.row_id)
            )


def _pairs(examples, with_negatives) -> List[Tuple[str, str]]:
    """The distinct pairs to score."""
    pairs: List[Tuple[str, str]] = []
    for example in examples:
        others = (example.text_b,) + (example.negatives if with_negatives else ())
        pairs += [(example.text_a, other) for other in others]
    return list(dict.fromkeys(pairs))


def _rows_of_scores(scores: Scores) -> Iterator[Dict[str, Any]]:
    for (text_a, text_b), score in scores.items():
        yield {"text_a": text_a, "text_b": text_b, "score": score}


def _rows_of_margins(examples: Sequence[Any], scores: Scores) -> Iterator[Dict[str, Any]]:
    """Yields a row per negative."""
    for example in examples:
        text_a, text_b = example.text_a, example.text_b
        for wrong in example.negatives:
            margin = round(scores[text_a, text_b] - scores[text_a, wrong], _DIGITS)
            yield {"text_a": text_a, "text_b": text_b, "negative": wrong, "margin": margin}


def _scores(options, pairs):
    """The probability of each pair; finished blocks are saved, so that interrupted runs resume."""
    path = options.scoring_classifier_dir
    folder = os.path.join(options.output_dir, WORK_FOLDER)
    storage.make_folders(folder)
    scores = []
    with predictor.Predictor(path, precision=options.precision) as model:
        model.similarity_column()  # a mistake is reported before anything is computed
        made_of = [pairs, model.fingerprint_of(), options.precision]
        key = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:12]
        with progress_bar("scores of pairs", len(pairs), "pair", leave=False) as bar:
            for start in range(0, len(pairs), PAIRS_AT_ONCE):
                block = pairs[start : start + PAIRS_AT_ONCE]
                name = os.path.join(folder, _BLOCK % (key, start))
                if not storage.exists(name):
                    computed = [round(float(score), _DIGITS) for score in model.similarities(block)]
                    output_files.write_json(name, computed)
                kind = validation.list_of(validation.number(0, 1), len(block))
                scores += files.read_json(name, kind, "remove it: it is created again")
                bar.update(len(block))
    return scores
