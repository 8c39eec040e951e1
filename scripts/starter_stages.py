"""The stages of train_starter.py, with the settings that each depends on."""

import collections
import ctypes
import functools
import glob
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from typing import Dict, List

from absl import flags

from albert_zh.common import files, output_files, storage, validation
from albert_zh.common.errors import UserError
from albert_zh.common.progress import progress_bar
from albert_zh.corpus import reader as corpus_reader
from albert_zh.text import tokenization
from stage_journal import Stage
import starter_checks
import starter_settings

FLAGS = flags.FLAGS
RECORD_FILES = {
    "held_out": ["held_out.tfrecord"],
    "train": ["train_%d.tfrecord" % number for number in range(8)],
}
COUNTS = validation.record(
    required=["documents", "held-out documents"], others=validation.integer(0)
)
EVAL_BATCH_SIZE, EVAL_STEPS = 64, 40
KEPT_CHECKPOINTS = 5
# Settings of pre-training that have another meaning for the fine-tuning scripts.
_OF_FINE_TUNING = ("EPOCHS", "BATCH_SIZE", "LEARNING_RATE", "MAX_SEQ_LENGTH", "SEED")
_LIBC = ctypes.CDLL(None)
_SIGNAL_OF_PARENTS_DEATH = 1  # PR_SET_PDEATHSIG
MODEL = "model"  # the stage that writes the model folder, which the user may have moved since


def plan(arguments: List[str]) -> Dict[str, Stage]:
    """Returns {name: stage} in order; `arguments` is as in `train_starter.main`."""
    split = _split_settings()
    vocabulary = _vocabulary_settings(split)
    settings = dict(split, **vocabulary)
    settings.update(_record_settings())
    stages = [
        Stage("split", split, _split),
        Stage("vocabulary", vocabulary, _make_vocabulary),
    ]
    training = dict(_values("batch_size precision"), arguments=" ".join(arguments))
    for phase in starter_settings.phases():
        settings = dict(settings, **_values("dupe_factor", phase.prefix))
        make = functools.partial(_make_records, phase)
        stages.append(Stage(phase.prefix + "records", settings, make))
        if FLAGS.init_checkpoint:
            settings = dict(settings, init_checkpoint=_about_start())
        settings = dict(settings, **_values("steps warmup_steps learning_rate", phase.prefix))
        make = functools.partial(_pretrain, phase, arguments)
        stages.append(Stage(phase.name, dict(settings, **training), make))
    settings = dict(settings, **training)
    stages.append(Stage(MODEL, settings, _write_model))
    for folder in FLAGS.data_dir:
        settings = dict(settings, data_dir=_about(folder, "data_dir"))
        target = starter_settings.score_folder(folder)
        name = os.path.relpath(target, starter_settings.work_folder())
        stages.append(Stage(name, settings, functools.partial(_score, folder)))
    return collections.OrderedDict((stage.name, stage) for stage in stages)


# Newer settings are recorded only if they are not the default, so that older runs can be resumed.


def _split_settings():
    settings = {
        "corpus": _about(FLAGS.corpus, "corpus"),
        "exclude": _about(FLAGS.exclude, "exclude"),
        "held_out_every": FLAGS.held_out_every,
    }
    if FLAGS.encoding != "utf-8":
        settings["encoding"] = FLAGS.encoding
    if FLAGS.split_sentences:
        settings["sentences_excluded"] = True  # older versions excluded whole lines only
    return settings


def _vocabulary_settings(split):
    settings = dict(split if FLAGS.vocab_size else {}, vocab_size=FLAGS.vocab_size)
    settings["config_file"] = _digest(starter_settings.config_file(), "config_file")
    if not FLAGS.vocab_size:
        settings["vocab_file"] = _digest(starter_settings.vocab_file(), "vocab_file")
    return settings


def _record_settings():
    settings = _values("split_sentences segmenter max_seq_length max_predictions")
    if FLAGS.one_segment:
        settings["one_segment"] = True
    if starter_settings.keeps_case():
        settings["do_lower_case"] = False
    return settings


def _values(names, prefix=""):
    return {prefix + name: FLAGS[prefix + name].value for name in names.split()}


def _about(patterns, flag):
    """Returns a description that identifies files by their content, regardless of their folder."""
    paths = corpus_reader.input_files(patterns, flag)
    inside = os.path.join(os.path.abspath(starter_settings.work_folder()), "")
    if any(os.path.abspath(path).startswith(inside) for path in paths):
        raise UserError(
            "--%s=%s includes %s, where this command writes: choose another --out (OUT)"
            % (flag, patterns, starter_settings.work_folder())
        )
    num_bytes = sum(map(os.path.getsize, paths))
    with progress_bar("reading --" + flag, num_bytes, "B", leave=False) as bar:
        digests = "".join(storage.sha256_of_file(path, bar.update) for path in paths)
    digest = hashlib.sha256(digests.encode()).hexdigest()
    return "%d files, %d bytes (sha256 %s)" % (len(paths), num_bytes, digest[:12])


def _digest(path, flag):
    starter_checks.check_is_file(path, flag)
    return "%s (sha256 %s)" % (os.path.basename(path), storage.sha256_of_file(path)[:12])


def _about_start():
    """Returns a description that identifies the initial weights."""
    from albert_zh.model.checkpoints import checkpoint_values

    prefix = starter_settings.start_checkpoint()
    digest = checkpoint_values.fingerprint(prefix)[:12]
    return "%s (sha256 %s)" % (os.path.basename(prefix), digest)


def _split():
    _run(
        "scripts/split_corpus.py",
        input_file=FLAGS.corpus,
        exclude_file=FLAGS.exclude or None,
        held_out_every=FLAGS.held_out_every,
        encoding=FLAGS.encoding,
        split_sentences=FLAGS.split_sentences,
        output_dir=starter_settings.work_folder("split"),
    )
    counts = files.read_json(starter_settings.work_folder("split", "counts.json"), COUNTS)
    if not counts["held-out documents"]:
        raise UserError(
            "--corpus=%s: %d documents, so that none is held out: use more text, put blank lines "
            "between documents, or give a --held_out_every (HELD_OUT_EVERY) of less than %d"
            % (FLAGS.corpus, counts["documents"], FLAGS.held_out_every)
        )


def _make_vocabulary():
    """Writes the vocabulary and, in the same folder, the config with its size."""
    path = starter_settings.work_folder("vocabulary", "vocab.txt")
    if FLAGS.vocab_size:
        text = starter_settings.work_folder("split", "train.txt")
        _run("build_vocab.py", corpus=text, output=path, vocab_size=FLAGS.vocab_size)
    else:
        with output_files.atomic_write(path, "wb") as stream:
            stream.write(files.read_bytes(starter_settings.vocab_file()))
    config = files.read_json(starter_settings.config_file(), starter_settings.CONFIG)
    config["vocab_size"] = tokenization.num_entries(path)
    output_files.write_json(_model_config(), config)


def _model_config():
    return starter_settings.work_folder(
        "vocabulary", os.path.basename(starter_settings.config_file())
    )


def _make_records(phase):
    for split, dupe_factor in (
        ("held_out", 1),
        ("train", starter_settings.setting(phase, "dupe_factor")),
    ):
        _run(
            "create_pretraining_data_google.py",
            input_file=starter_settings.work_folder("split", split + ".txt"),
            output_file=_records_of(phase, split),
            vocab_file=starter_settings.work_folder("vocabulary", "vocab.txt"),
            masking="dynamic",
            segmenter=FLAGS.segmenter,
            dupe_factor=dupe_factor,
            max_seq_length=FLAGS.max_seq_length,
            max_predictions_per_seq=FLAGS.max_predictions,
            do_lower_case=False if starter_settings.keeps_case() else None,
            resume=True,
            **({"one_segment": True} if FLAGS.one_segment else phase.record_flags),
        )


def _records_of(phase, split):
    folder = starter_settings.work_folder(phase.prefix + "records")
    return ",".join(os.path.join(folder, name) for name in RECORD_FILES[split])


def _export_of(phase):
    return starter_settings.work_folder(phase.name, "export")


def _pretrain(phase, arguments):
    former = starter_settings.phases()[: starter_settings.phases().index(phase)]
    steps = starter_settings.setting(phase, "steps")
    _run(
        "run_pretraining.py",
        arguments,
        do_train=True,
        do_eval=True,
        bert_config_file=_model_config(),
        input_file=_records_of(phase, "train"),
        eval_file=_records_of(phase, "held_out"),
        output_dir=starter_settings.work_folder(phase.name),
        export_dir=_export_of(phase),
        max_seq_length=FLAGS.max_seq_length,
        max_predictions_per_seq=FLAGS.max_predictions,
        precision=FLAGS.precision,
        warm_start=not former
        and not FLAGS.init_checkpoint
        and starter_settings.has_structured_values(),
        init_checkpoint=_export_of(former[-1]) if former else FLAGS.init_checkpoint or None,
        keep_checkpoint_max=KEPT_CHECKPOINTS,
        optimizer="adamw",
        learning_rate=starter_settings.setting(phase, "learning_rate"),
        num_train_steps=steps,
        num_warmup_steps=starter_settings.setting(phase, "warmup_steps")
        or min(phase.most_warmup_steps, steps // 10),
        train_batch_size=FLAGS.batch_size,
        eval_batch_size=EVAL_BATCH_SIZE,
        max_eval_steps=EVAL_STEPS,
        save_checkpoints_steps=FLAGS.save_steps,
    )


def _write_model():
    """Copies the trained model and its learning curves to the model folder, the index last."""
    paths = glob.glob(os.path.join(glob.escape(_export_of(starter_settings.phases()[-1])), "*"))
    targets = {path: os.path.basename(path) for path in paths}
    targets.update(
        {
            starter_settings.work_folder(phase.name, starter_settings.LEARNING_CURVE): phase.curve
            for phase in starter_settings.phases()
        }
    )
    for path in sorted(targets, key=lambda path: path.endswith(".index")):
        with output_files.whole_file(os.path.join(FLAGS.out, targets[path])) as partial:
            shutil.copyfile(path, partial)


def _score(folder):
    """Fine-tunes the model on labelled data, with the defaults of the script for such data."""
    settings = {
        "MODEL_DIR": FLAGS.out,
        "DATA_DIR": folder,
        "OUTPUT_DIR": starter_settings.score_folder(folder),
    }
    environment = {name: os.environ[name] for name in os.environ if name not in _OF_FINE_TUNING}
    script = os.path.join(
        starter_settings.ROOT, "scripts", starter_settings.fine_tuning_script(folder)
    )
    _call(["bash", script], env=dict(environment, **settings))


def _run(script, arguments=(), **settings):
    """Runs a command of the project with flags; flags that are None are omitted."""
    words = ["--%s=%s" % setting for setting in sorted(settings.items()) if setting[1] is not None]
    _call([sys.executable, os.path.join(starter_settings.ROOT, script)] + words + list(arguments))


def _call(command, **settings):
    """Runs a program, which handles Ctrl-C itself; exits with its status if it fails."""
    former = signal.signal(signal.SIGINT, lambda signum, frame: None)
    try:
        status = subprocess.Popen(command, preexec_fn=_end_with_parent, **settings).wait()
    finally:
        signal.signal(signal.SIGINT, former)
    if status < 0:
        raise UserError(
            "%s was killed (signal %d; too little memory?): run the same command again to resume"
            % (os.path.basename(command[1]), -status)
        )
    if status:
        sys.exit(status)  # the program has printed the reason


def _end_with_parent():
    """Makes the kernel kill the child process when its parent dies for any reason."""
    _LIBC.prctl(_SIGNAL_OF_PARENTS_DEATH, signal.SIGKILL)
