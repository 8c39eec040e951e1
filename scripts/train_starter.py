"""Trains a model from raw text to a model folder; called by scripts/train_starter.sh.

    python scripts/train_starter.py --corpus='texts/*' --out=my_model -- --optimizer=lamb

Arguments after -- are further flags of run_pretraining.py.

The stages write their results to my_model.work/, next to the model folder:

    split/         train.txt and held_out.txt (scripts/split_corpus.py)
    vocabulary/    vocab.txt (build_vocab.py, with --vocab_size) and the config that fits it
    records/       unmasked records of both parts (create_pretraining_data_google.py)
    pretraining/   checkpoints, log and learning curve (run_pretraining.py), the model in export/
    pair_records/, pair_pretraining/          the same for the second phase, unless --pair_steps=0
    similar_records/, similar_pretraining/    and for the third phase, unless --similar_steps=0
    scores/        a folder for each --data_dir (run_classifier_*.sh)
    stages.json    the stages that were started and finished, with their settings

A finished stage is not repeated, an interrupted stage is resumed, and a stage whose settings or
input have changed is repeated with a message. A training run that has begun is never discarded.
"""

import collections
import glob
import os
import shutil
import sys
import time
from typing import List

from absl import flags

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from albert_zh.common import files, output_files, validation
from albert_zh.common.errors import UserError, run_command
from albert_zh.corpus import reader as corpus_reader
import stage_journal
import starter_checks
import starter_settings
import starter_stages

FLAGS = flags.FLAGS
_ACCURACY = validation.record({"accuracy": validation.NUMBER_OR_NAN})
REPORT = validation.record({"dev": _ACCURACY, "test": _ACCURACY})
LITTLE_TEXT = 50  # MB; the starter model was trained on 231
SCORES = "scores.json"


def main(arguments: List[str]) -> None:
    """Runs all stages and writes the model folder.

    Args:
        arguments: further flags of run_pretraining.py.
    """
    arguments = _take_init_checkpoint(arguments)
    starter_settings.set_defaults_of_going_on()
    starter_checks.check_flags()
    starter_checks.check_further_flags(arguments)
    with stage_journal.locked(starter_settings.work_folder()):
        stages = starter_stages.plan(arguments)
        journal = stage_journal.Journal(starter_settings.work_folder("stages.json"))
        if not journal.has_begun:
            _advise_on_little_text()
        for phase in starter_settings.phases():
            _check_training_keeps_its_data(journal, phase, stages[phase.prefix + "records"])
        for stage in stages.values():
            run_stage(journal, stage)
        _summarize()


def _advise_on_little_text():
    megabytes = sum(map(os.path.getsize, corpus_reader.input_files(FLAGS.corpus, "corpus"))) / 1e6
    if megabytes < LITTLE_TEXT and not FLAGS.init_checkpoint:
        _say(
            "note: %.1f MB is little text to pre-train on; INIT_CHECKPOINT=%s continues "
            "from the bundled model" % (megabytes, os.path.relpath(starter_settings.STARTER))
        )


def _take_init_checkpoint(arguments):
    """Moves --init_checkpoint, which is only for the first phase, from the arguments to `FLAGS`."""
    others, remaining = [], iter(arguments)
    for word in remaining:
        name, equals, given = word.partition("=")
        if name in ("--init_checkpoint", "-init_checkpoint"):
            FLAGS.init_checkpoint = given if equals else next(remaining, "")
        else:
            others.append(word)
    return others


def _check_training_keeps_its_data(journal, phase, records):
    """Raises `UserError` if a phase was started with other records or initial weights than now."""
    folder = starter_settings.work_folder(phase.name)
    changes = journal.changes(records)
    if changes and glob.glob(os.path.join(glob.escape(folder), "model.ckpt-*.index")):
        raise UserError(
            "%s contains a training run with other data or another starting point (%s): restore "
            "that, name another --out (OUT), or remove %s and %s to start again"
            % (folder, "; ".join(changes), starter_settings.work_folder(), FLAGS.out)
        )


def run_stage(journal: stage_journal.Journal, stage: stage_journal.Stage) -> None:
    """Runs a stage, unless it is finished according to the journal."""
    is_lost = stage.name == starter_stages.MODEL and not glob.glob(
        os.path.join(glob.escape(FLAGS.out), "*.index")
    )
    if journal.is_done(stage) and not is_lost:
        _say("%s: done before" % stage.name)
        return
    changes = journal.changes(stage)
    is_training = stage.name in [phase.name for phase in starter_settings.PHASES]
    if changes and not is_training:  # training itself checks what may change
        shutil.rmtree(starter_settings.work_folder(stage.name), ignore_errors=True)
    _say("%s%s" % (stage.name, " once more, since " + "; ".join(changes) if changes else ""))
    journal.write(stage, is_done=False)
    begin = time.time()
    stage.make()
    journal.write(stage, is_done=True)
    _say("%s: done in %.0f s" % (stage.name, time.time() - begin))


def _say(text):
    print("== " + text, file=sys.stderr, flush=True)


def _summarize():
    """Writes the scores to the model folder and prints them."""
    scores = collections.OrderedDict()
    for phase in starter_settings.phases():
        lines = files.read_lines(starter_settings.work_folder(phase.name, "eval_results.txt"))
        metrics = dict(line.split(" = ") for line in lines)
        name = "held-out text, %s" % phase.name
        scores[name] = {name: float(metrics[name]) for name in sorted(metrics)}
    for folder in FLAGS.data_dir:
        report = files.read_json(
            os.path.join(starter_settings.score_folder(folder), "report.json"), REPORT
        )
        scores[os.path.basename(starter_settings.score_folder(folder))] = {
            split + "_accuracy": report[split]["accuracy"]
            for split in ("dev", "test")
            if "accuracy" in report.get(split, {})
        }
    output_files.write_json(os.path.join(FLAGS.out, SCORES), scores)
    width = max(map(len, scores))
    for name, scores_of_phase in scores.items():
        shown = [
            "%s %.4f" % pair for pair in scores_of_phase.items() if pair[0].endswith("_accuracy")
        ]
        print("%-*s %s" % (width, name, ", ".join(shown)))
    print("%-*s %s" % (width, "model folder", FLAGS.out))


if __name__ == "__main__":
    starter_settings.define_flags()
    run_command(main, takes_words=True)
