"""The training file of a run whose pairs get a pair classifier's scores in place of labels.

for line in prepare(options, kind, task, data_dir):
    say(line)  # options.train_file is OUTPUT_DIR/scored_pairs.jsonl then
"""

import hashlib
import json
import os
from typing import Any, List

from albert_zh.common import files, output_files, storage
from albert_zh.common.progress import progress_bar
from albert_zh.inference import predictor, prepared_training
from albert_zh.tasks import split_files
from albert_zh.tasks.embedding import text_files

SCORED_FILE = "scored_pairs.jsonl"
WORK_FOLDER = "scoring"
PAIRS_AT_ONCE = 4096
_BLOCK = "scores_%s_%d.json"  # of the work folder: key of pairs and classifier, first pair
_DIGITS = 6


def prepare(options: Any, kind: Any, task: Any, data_dir: str) -> List[str]:
    """Scores the pairs of the training file and has the flags name what is written.

    Args:
        options: the flags; train_file, and what was beside it in the data's folder, are set.
        kind, task, data_dir: the data that the flags name.

    Returns:
        lines for the user.

    Raises:
        UserError: for files and models that do not fit.
    """
    path = split_files.existing_path(task, data_dir, "train")[0]
    split = text_files.read_split(
        path, "train", "positives", options.encoding, options.skip_bad_rows
    )
    pairs = list(dict.fromkeys((example.text_a, example.text_b) for example in split.examples))
    scores = _scores(options, pairs)
    target = os.path.join(options.output_dir, SCORED_FILE)
    with output_files.atomic_write(target) as stream:
        for (text_a, text_b), score in zip(pairs, scores):
            row = {"text_a": text_a, "text_b": text_b, "score": score}
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
    prepared_training.name_files(options, task, data_dir, target, kind.corpus_of(task, data_dir))
    num_alike = sum(score > 0.5 for score in scores)
    return [
        "scores of %d pairs of %s by %s: %d above 0.5; %s"
        % (len(pairs), path, options.scoring_classifier_dir, num_alike, target)
    ]


def _scores(options, pairs):
    """The probability of each pair; finished blocks are kept, so that a killed run goes on."""
    path = options.scoring_classifier_dir
    folder = os.path.join(options.output_dir, WORK_FOLDER)
    storage.make_folders(folder)
    scores = []
    with predictor.Predictor(path, precision=options.precision) as model:
        model.similarity_column()  # a mistake is reported before anything is computed
        key = hashlib.sha256(json.dumps([pairs, model.fingerprint_of()]).encode()).hexdigest()[:12]
        with progress_bar("scores of pairs", len(pairs), "pair", leave=False) as bar:
            for start in range(0, len(pairs), PAIRS_AT_ONCE):
                block = pairs[start : start + PAIRS_AT_ONCE]
                name = os.path.join(folder, _BLOCK % (key, start))
                if not storage.exists(name):
                    computed = [round(float(score), _DIGITS) for score in model.similarities(block)]
                    output_files.write_json(name, computed)
                scores += files.read_json(name)
                bar.update(len(block))
    return scores
