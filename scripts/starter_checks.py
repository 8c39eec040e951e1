"""Checks flags before train_starter.py starts, for errors that a stage would find hours later."""

import os
import subprocess
import sys
from typing import List
import warnings

from absl import flags

from albert_zh.common import files
from albert_zh.common.errors import UserError, naming
from albert_zh.corpus import reader as corpus_reader
import starter_settings

FLAGS = flags.FLAGS


def check_flags() -> None:
    for name in ("corpus", "out"):
        if not FLAGS[name].value:
            raise UserError("--%s (%s) is required" % (name, name.upper()))
    _check_training()
    files.known_encoding(FLAGS.encoding)
    corpus_reader.input_files(FLAGS.corpus, "corpus")
    if FLAGS.vocab_file and FLAGS.vocab_size:
        raise UserError("--vocab_file and --vocab_size: give one of them")
    if FLAGS.init_checkpoint:
        _check_start()
    for folder in FLAGS.data_dir:
        starter_settings.fine_tuning_script(folder)
    if len(set(map(starter_settings.score_folder, FLAGS.data_dir))) < len(FLAGS.data_dir):
        raise UserError("--data_dir=%s: two folders have the same name" % ",".join(FLAGS.data_dir))
    is_new = not os.path.exists(starter_settings.work_folder("stages.json"))
    if is_new and os.path.exists(FLAGS.out) and not _is_empty_folder(FLAGS.out):
        raise UserError(
            "--out=%s exists and was not created by this command: name a new folder" % FLAGS.out
        )


def _is_empty_folder(path):
    return os.path.isdir(path) and not os.listdir(path)


def _check_start():
    """Checks that the model to continue from exists and has a vocabulary."""
    if FLAGS.vocab_size:
        raise UserError(
            "--vocab_size=%d (VOCAB_SIZE) and --init_checkpoint=%s (INIT_CHECKPOINT): a model is "
            "trained further with its own vocabulary: leave one of them out"
            % (FLAGS.vocab_size, FLAGS.init_checkpoint)
        )
    if not os.path.isfile(starter_settings.vocab_file()):
        raise UserError(
            "--init_checkpoint=%s (INIT_CHECKPOINT): there is no vocab.txt next to it: name the "
            "model's with --vocab_file (VOCAB_FILE)" % FLAGS.init_checkpoint
        )


def check_further_flags(arguments: List[str]) -> None:
    """Raises `UserError` for further flags that run_pretraining.py would refuse after hours."""
    if not arguments:
        return
    command = [
        sys.executable,
        os.path.join(starter_settings.ROOT, "run_pretraining.py"),
        "--only_check_args",
    ]
    done = subprocess.run(command + arguments, stderr=subprocess.PIPE)
    if done.returncode:
        raise UserError(done.stderr.decode("utf-8", "replace").split(": error: ")[-1].strip())


def _check_training():
    """Checks settings that the training stages would check only after the data was created."""
    if not starter_settings.phases():
        raise UserError(
            "--steps=0, --pair_steps=0 and --similar_steps=0 (STEPS, PAIR_STEPS, SIMILAR_STEPS) "
            "leave nothing to train: give one of them a number of steps"
        )
    if FLAGS.one_segment and len(starter_settings.phases()) > 1:
        raise UserError(
            "--one_segment (ONE_SEGMENT) has one phase, here are %d: leave out the others "
            "(PAIR_STEPS=0, SIMILAR_STEPS=0)" % len(starter_settings.phases())
        )
    for phase in starter_settings.phases():
        name, steps = phase.prefix + "warmup_steps", starter_settings.setting(phase, "steps")
        if FLAGS[name].value >= steps:
            raise UserError(
                "--%s=%d (%s): expected less than the %d steps of that phase"
                % (name, FLAGS[name].value, name.upper(), steps)
            )
        if not starter_settings.setting(phase, "learning_rate"):
            name = phase.prefix + "learning_rate"
            raise UserError("--%s=0 (%s): expected more than 0" % (name, name.upper()))
    check_is_file(starter_settings.config_file(), "config_file")
    settings = files.read_json(starter_settings.config_file(), starter_settings.CONFIG)
    positions = settings.get("max_position_embeddings", FLAGS.max_seq_length)
    if FLAGS.max_seq_length > positions:
        raise UserError(
            "--max_seq_length=%d (MAX_SEQ_LENGTH) is more than the %d positions of %s"
            % (FLAGS.max_seq_length, positions, starter_settings.config_file())
        )
    if FLAGS.config_file:
        _check_config(settings)


def check_is_file(path: str, flag: str) -> None:
    if not os.path.isfile(path):
        raise UserError("--%s=%s (%s): no such file" % (flag, path, flag.upper()))


def _check_config(settings):
    """Raises `UserError` for an invalid config, whose vocab_size is set later."""
    from albert_zh.model.config import AlbertConfig  # imported on demand

    with naming("--config_file=%s (CONFIG_FILE)" % FLAGS.config_file), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pre-training will print the warnings
        AlbertConfig.from_dict(dict(settings, vocab_size=1))
