"""From raw text to a model folder: what scripts/train_starter.sh does in its environment.

    python scripts/train_starter.py --corpus='texts/*' --out=my_model -- --optimizer=lamb

What stands behind -- are further flags of run_pretraining.py.

Beside the model, in my_model.work/, is what the stages make:

    split/         train.txt and held_out.txt (scripts/split_corpus.py)
    vocabulary/    vocab.txt (build_vocab.py, with --vocab_size) and the config that fits it
    records/       unmasked records of both parts (create_pretraining_data_google.py)
    pretraining/   checkpoints, log and learning curve (run_pretraining.py), the model in export/
    pair_records/, pair_pretraining/          the same of the second phase, unless --pair_steps=0
    similar_records/, similar_pretraining/    and of the third, unless --similar_steps=0
    scores/        a folder for each --data_dir (run_classifier_*.sh)
    stages.json    which stages were begun and done, with which settings

A stage that is done is not repeated, one that was stopped goes on, and one whose settings or input
have changed is made again, which is reported. Training that has begun is never thrown away.
"""

import collections
import contextlib
import ctypes
import fcntl
import functools
import glob
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings

from absl import flags

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from albert_zh.common import files, output_files, storage, validation
from albert_zh.common.errors import UserError, naming, run_command
from albert_zh.common.progress import progress_bar
from albert_zh.corpus import reader as corpus_reader
from albert_zh.text import tokenization

FLAGS = flags.FLAGS
STARTER = os.path.join(ROOT, "albert_starter_zh")
SAMPLES = [os.path.join(ROOT, "data", name) for name in ("pairs_sample", "topics_sample")]
RECORD_FILES = {
    "held_out": ["held_out.tfrecord"],
    "train": ["train_%d.tfrecord" % number for number in range(8)],
}
MOST_ENTRIES = 1000000  # that build_vocab.py makes
CONFIG = validation.record({"max_position_embeddings": validation.integer(1)})
STAGES = validation.record(
    others=validation.record(
        {"is_done": validation.BOOLEAN, "settings": validation.record()}, ["is_done", "settings"]
    )
)
COUNTS = validation.record(
    required=["documents", "held-out documents"], others=validation.integer(0)
)
_ACCURACY = validation.record({"accuracy": validation.NUMBER_OR_NAN})
REPORT = validation.record({"dev": _ACCURACY, "test": _ACCURACY})
EVAL_BATCH_SIZE, EVAL_STEPS = 64, 40
KEPT_CHECKPOINTS = 5
LITTLE_TEXT = 50  # MB; the starter model had 231
LEARNING_CURVE = "learning_curve.png"
SCORES = "scores.json"
# Settings of pre-training that would mean something else to the scripts that fine-tune.
_OF_FINE_TUNING = ("EPOCHS", "BATCH_SIZE", "LEARNING_RATE", "MAX_SEQ_LENGTH", "SEED")
_LIBC = ctypes.CDLL(None)
_SIGNAL_OF_PARENTS_DEATH = 1  # PR_SET_PDEATHSIG

# Defaults of flags where a model goes on learning, from little text.
OF_GOING_ON = {
    "steps": 0,
    "pair_steps": 1000,
    "pair_dupe_factor": 5,
    "pair_learning_rate": 5e-4,
    "similar_steps": 0,
    "save_steps": 250,
}

MODEL = "model"  # the stage that fills the model folder, which its user may have moved
Stage = collections.namedtuple("Stage", ["name", "settings", "make"])
Phase = collections.namedtuple(
    "Phase", ["name", "prefix", "record_flags", "most_warmup_steps", "curve"]
)
Phase.__doc__ = """A separate training, which starts from what the one before has learnt.

Fields:
    name: str, of its stage.
    prefix: str, of its flags and of its records' stage.
    record_flags: {flag of create_pretraining_data_google.py: value}. Two segments are swapped (or
        not related); with random_next_sentence the second follows or is from another document,
        which teaches to compare two texts; with similar_next_sentence from one that shares rare
        words with the first, which teaches to look at more than common words.
    most_warmup_steps: int.
    curve: str, name of its learning curve in the model folder.
"""
PHASES = [
    Phase("pretraining", "", {}, 1000, LEARNING_CURVE),
    Phase(
        "pair_pretraining",
        "pair_",
        {"random_next_sentence": True},
        200,
        "pair_" + LEARNING_CURVE,
    ),
    Phase(
        "similar_pretraining",
        "similar_",
        {"similar_next_sentence": True, "short_seq_prob": 0.8},  # about as long as tasks' texts
        200,
        "similar_" + LEARNING_CURVE,
    ),
]

Stage.__doc__ = """A step on the way to the model.

Fields:
    name: str, also of its folder.
    settings: {name: value}, all that its result depends on, former stages included.
    make: function that does it, or the rest of it.
"""


def define_flags():
    """Defines this command's flags; those of the shell script have the same names in capitals."""
    table = [
        ("corpus", None, "Text files, .gz too; patterns and folders, commas between."),
        ("out", None, "Model folder to make."),
        ("encoding", "utf-8", "Encoding of the texts, such as gb18030 (GBK)."),
        ("exclude", "", "Files (evaluation sets) whose lines must not be learnt."),
        ("init_checkpoint", "", "Model to go on from, such as albert_starter_zh; else from none."),
        ("vocab_file", "", "Vocabulary; of the model to go on from, else the starter model's."),
        ("config_file", "", "Config JSON; of the model to go on from, else the starter model's."),
    ]
    for name, default, help_text in table:
        flags.DEFINE_string(name, default, help_text)
    table = [  # with the least that makes sense
        ("held_out_every", 200, 2, "Of so many documents one is held out."),
        ("vocab_size", 0, 0, "Entries of a vocabulary to build from the text; 0: none."),
        ("dupe_factor", 2, 1, "How often each text is used, paired in another way."),
        ("pair_dupe_factor", 1, 1, "The same in the second phase."),
        ("similar_dupe_factor", 1, 1, "The same in the third phase."),
        ("max_seq_length", 128, 8, "Pieces in a sequence."),
        ("max_predictions", 20, 1, "The most pieces to predict in a sequence."),
        ("steps", 10000, 0, "Steps of training in the first phase; 0 leaves it out."),
        ("pair_steps", 7500, 0, "Steps of the second phase; 0 leaves it out."),
        ("similar_steps", 3000, 0, "Steps of the third phase; 0 leaves it out."),
        ("warmup_steps", 0, 0, "Of these, steps in which the rate rises; 0: a tenth."),
        ("pair_warmup_steps", 0, 0, "The same in the second phase."),
        ("similar_warmup_steps", 0, 0, "The same in the third phase."),
        ("batch_size", 64, 1, "Sequences in a step."),
        ("save_steps", 500, 1, "Steps between checkpoints, which are evaluated."),
    ]
    for name, default, least, help_text in table:
        most = MOST_ENTRIES if name == "vocab_size" else None
        flags.DEFINE_integer(name, default, help_text, lower_bound=least, upper_bound=most)
    for name, default, phase in (
        ("learning_rate", 5e-4, "first"),
        ("pair_learning_rate", 4e-4, "second"),
        ("similar_learning_rate", 3e-4, "third"),
    ):
        flags.DEFINE_float(name, default, "Highest learning rate of the %s phase." % phase, 0.0)
    flags.DEFINE_list("data_dir", SAMPLES, "Folders of labelled data to score the model on.")
    flags.DEFINE_enum("segmenter", "jieba", ["jieba", "rjieba", "none"], "Word segmenter.")
    flags.DEFINE_boolean("split_sentences", False, "Whether lines are paragraphs, to be parted.")
    flags.DEFINE_boolean("one_segment", False, "Whether to learn masked words alone, in one phase.")
    flags.DEFINE_enum(
        "precision", "float32", ["float32", "bfloat16", "mixed_float16"], "Of the products."
    )


def main(arguments):
    """Makes the model folder.

    Args:
        arguments: list of str, further flags of run_pretraining.py.
    """
    arguments = _take_init_checkpoint(arguments)
    _set_defaults_of_going_on()
    _check_flags()
    _check_further_flags(arguments)
    with locked(work_folder()):
        stages = plan(arguments)
        journal = Journal(work_folder("stages.json"))
        if not journal.has_begun:
            _advise_on_little_text()
        for phase in phases():
            _check_training_keeps_its_data(journal, phase, stages[phase.prefix + "records"])
        for stage in stages.values():
            run_stage(journal, stage)
        _summarize()


def _advise_on_little_text():
    megabytes = sum(map(os.path.getsize, corpus_reader.input_files(FLAGS.corpus, "corpus"))) / 1e6
    if megabytes < LITTLE_TEXT and not FLAGS.init_checkpoint:
        _say(
            "note: %.1f MB of text is little to learn a language from; "
            "INIT_CHECKPOINT=%s goes on from the bundled model"
            % (megabytes, os.path.relpath(STARTER))
        )


def _take_init_checkpoint(arguments):
    """The arguments without --init_checkpoint, which is for the first phase alone: a flag here."""
    others, remaining = [], iter(arguments)
    for word in remaining:
        name, equals, given = word.partition("=")
        if name in ("--init_checkpoint", "-init_checkpoint"):
            FLAGS.init_checkpoint = given if equals else next(remaining, "")
        else:
            others.append(word)
    return others


def _set_defaults_of_going_on():
    """Has a model that has learnt already go on for few steps, in one phase."""
    for name, default in OF_GOING_ON.items():
        if FLAGS.init_checkpoint and not FLAGS[name].present:
            FLAGS[name].value = default


def phases():
    """The phases that are asked for."""
    return [phase for phase in PHASES if _setting(phase, "steps")]


def _setting(phase, name):
    return FLAGS[phase.prefix + name].value


def work_folder(*names):
    """The folder of all that is not the model, or a path in it."""
    return os.path.join(FLAGS.out.rstrip("/") + ".work", *names)


def _check_flags():
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
        _fine_tuning_script(folder)
    if len(set(map(_score_folder, FLAGS.data_dir))) < len(FLAGS.data_dir):
        raise UserError("--data_dir=%s: two of one name" % ",".join(FLAGS.data_dir))
    is_new = not os.path.exists(work_folder("stages.json"))
    if is_new and os.path.exists(FLAGS.out) and not _is_empty_folder(FLAGS.out):
        raise UserError(
            "--out=%s is there and was not made by this command: name a new folder" % FLAGS.out
        )


def _check_start():
    """Checks that there is a model to go on from, with what belongs to it."""
    if FLAGS.vocab_size:
        raise UserError(
            "--vocab_size=%d (VOCAB_SIZE) and --init_checkpoint=%s (INIT_CHECKPOINT): a model goes "
            "on with the vocabulary that it has: leave one of them out"
            % (FLAGS.vocab_size, FLAGS.init_checkpoint)
        )
    if not os.path.isfile(_vocab_file()):
        raise UserError(
            "--init_checkpoint=%s (INIT_CHECKPOINT): there is no vocab.txt beside it: name the "
            "model's with --vocab_file (VOCAB_FILE)" % FLAGS.init_checkpoint
        )


def _start_folder():
    """The folder of the model to go on from, or of the starter model; `UserError` without one."""
    if not FLAGS.init_checkpoint:
        return STARTER
    return os.path.dirname(_start_checkpoint())


def _keeps_case():
    """Whether the model to go on from has capital letters, as its folder says."""
    if not FLAGS.init_checkpoint:
        return False
    from albert_zh.model import fine_tuning_notes

    return fine_tuning_notes.notes_of_folder(_start_folder()).get("do_lower_case") is False


def _start_checkpoint():
    """Prefix of --init_checkpoint's checkpoint."""
    from albert_zh.model import checkpoint_files  # takes seconds to be imported, as TensorFlow is

    return checkpoint_files.find_checkpoint(FLAGS.init_checkpoint)


def _check_further_flags(arguments):
    """Raises `UserError` for further flags that run_pretraining.py would refuse after hours."""
    if not arguments:
        return
    command = [sys.executable, os.path.join(ROOT, "run_pretraining.py"), "--only_check_args"]
    done = subprocess.run(command + arguments, stderr=subprocess.PIPE)
    if done.returncode:
        raise UserError(done.stderr.decode("utf-8", "replace").split(": error: ")[-1].strip())


def _check_training():
    """Checks what the stages that train would find out only after those that make the data."""
    if not phases():
        raise UserError(
            "--steps=0, --pair_steps=0 and --similar_steps=0 (STEPS, PAIR_STEPS, SIMILAR_STEPS) "
            "leave nothing to train: give one of them a number of steps"
        )
    if FLAGS.one_segment and len(phases()) > 1:
        raise UserError(
            "--one_segment (ONE_SEGMENT) has one phase, here are %d: leave out the others "
            "(PAIR_STEPS=0, SIMILAR_STEPS=0)" % len(phases())
        )
    for phase in phases():
        name, steps = phase.prefix + "warmup_steps", _setting(phase, "steps")
        if FLAGS[name].value >= steps:
            raise UserError(
                "--%s=%d (%s): expected less than the %d steps of that phase"
                % (name, FLAGS[name].value, name.upper(), steps)
            )
        if not _setting(phase, "learning_rate"):
            name = phase.prefix + "learning_rate"
            raise UserError("--%s=0 (%s): expected more than 0" % (name, name.upper()))
    _check_is_file(_config_file(), "config_file")
    settings = files.read_json(_config_file(), CONFIG)
    positions = settings.get("max_position_embeddings", FLAGS.max_seq_length)
    if FLAGS.max_seq_length > positions:
        raise UserError(
            "--max_seq_length=%d (MAX_SEQ_LENGTH) is more than the %d positions of %s"
            % (FLAGS.max_seq_length, positions, _config_file())
        )
    if FLAGS.config_file:
        _check_config(settings)


def _check_config(settings):
    """Raises `UserError` for a config that no model can be made of; its vocab_size is set later."""
    from albert_zh.model.config import AlbertConfig  # imported late, as above

    with naming("--config_file=%s (CONFIG_FILE)" % FLAGS.config_file), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pre-training says it
        AlbertConfig.from_dict(dict(settings, vocab_size=1))


def _has_structured_values():
    """Whether there are start values beyond random ones for the config."""
    settings = files.read_json(_config_file(), CONFIG)
    return not settings.get("use_relative_position") and settings.get("model_type") != "electra"


def _is_empty_folder(path):
    return os.path.isdir(path) and not os.listdir(path)


@contextlib.contextmanager
def locked(folder):
    """Makes a folder if it is not there and has it for this process alone.

    Raises:
        UserError: if it cannot be written to, or another run is at work in it.
    """
    try:
        os.makedirs(folder, exist_ok=True)
        lock = open(os.path.join(folder, "lock"), "w")  # noqa: SIM115  (closed below)
    except OSError as error:
        raise files.cannot_write(folder, error) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError("%s: another run is at work in it" % folder) from error
        yield


class Journal:
    """Which stages were begun and done with which settings; kept in a file."""

    def __init__(self, path):
        self._path = path
        self._stages = {}
        if os.path.exists(path):
            self._stages = files.read_json(path, STAGES, "remove it to start over")
        for name, entry in self._stages.items():
            if name.endswith("records"):  # which depended on these formerly
                for setting in ("arguments", "batch_size", "precision"):
                    entry["settings"].pop(setting, None)

    @property
    def has_begun(self):
        """Whether any stage was begun."""
        return bool(self._stages)

    def is_done(self, stage):
        """Whether a stage was done with its present settings."""
        entry = self._stages.get(stage.name, {})
        return entry.get("is_done", False) and not self.changes(stage)

    def changes(self, stage):
        """What differs from the settings that a stage was begun with: list of str."""
        former = self._stages.get(stage.name, {"settings": stage.settings})["settings"]
        return [
            "%s is %s, was %s" % (name, stage.settings.get(name), former.get(name))
            for name in sorted(set(former) | set(stage.settings))
            if not _is_same(former.get(name), stage.settings.get(name))
        ]

    def write(self, stage, is_done):
        """Notes that a stage is begun or done."""
        self._stages[stage.name] = {"is_done": is_done, "settings": stage.settings}
        output_files.write_json(self._path, self._stages)


def _is_same(former, present):
    """Whether a setting is as it was; formerly files had only number and size."""
    return present == former or str(present).startswith("%s (sha256 " % former)


def plan(arguments):
    """All stages by their names, in order; `arguments` as in `main`."""
    split = {
        "corpus": _about(FLAGS.corpus, "corpus"),
        "exclude": _about(FLAGS.exclude, "exclude"),
        "held_out_every": FLAGS.held_out_every,
    }
    if FLAGS.encoding != "utf-8":  # runs that were begun before there was a choice go on
        split["encoding"] = FLAGS.encoding
    if FLAGS.split_sentences:
        split["sentences_excluded"] = True  # formerly only lines, which were split afterwards
    vocabulary = dict(split if FLAGS.vocab_size else {}, vocab_size=FLAGS.vocab_size)
    vocabulary["config_file"] = _digest(_config_file(), "config_file")
    if not FLAGS.vocab_size:
        vocabulary["vocab_file"] = _digest(_vocab_file(), "vocab_file")
    stages = [
        Stage("split", split, _split),
        Stage("vocabulary", vocabulary, _make_vocabulary),
    ]
    settings = dict(split, **vocabulary)
    settings.update(_values("split_sentences segmenter max_seq_length max_predictions"))
    if FLAGS.one_segment:  # runs that were begun before there was a choice go on
        settings["one_segment"] = True
    if _keeps_case():
        settings["do_lower_case"] = False
    training = dict(_values("batch_size precision"), arguments=" ".join(arguments))
    for phase in phases():
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
        name = os.path.relpath(_score_folder(folder), work_folder())
        stages.append(Stage(name, settings, functools.partial(_score, folder)))
    return collections.OrderedDict((stage.name, stage) for stage in stages)


def _values(names, prefix=""):
    return {prefix + name: FLAGS[prefix + name].value for name in names.split()}


def _about(patterns, flag):
    """A description that identifies files by their content, in whatever folder they are."""
    paths = corpus_reader.input_files(patterns, flag)
    inside = os.path.join(os.path.abspath(work_folder()), "")
    if any(os.path.abspath(path).startswith(inside) for path in paths):
        raise UserError(
            "--%s=%s takes in %s, where this command works: choose another --out (OUT)"
            % (flag, patterns, work_folder())
        )
    num_bytes = sum(map(os.path.getsize, paths))
    with progress_bar("reading --" + flag, num_bytes, "B", leave=False) as bar:
        digests = "".join(storage.sha256_of_file(path, bar.update) for path in paths)
    digest = hashlib.sha256(digests.encode()).hexdigest()
    return "%d files, %d bytes (sha256 %s)" % (len(paths), num_bytes, digest[:12])


def _check_is_file(path, flag):
    if not os.path.isfile(path):
        raise UserError("--%s=%s (%s): no such file" % (flag, path, flag.upper()))


def _digest(path, flag):
    _check_is_file(path, flag)
    return "%s (sha256 %s)" % (os.path.basename(path), storage.sha256_of_file(path)[:12])


def _about_start():
    """A description that identifies the weights to go on from."""
    from albert_zh.model import checkpoint_values

    prefix = _start_checkpoint()
    digest = checkpoint_values.fingerprint(prefix)[:12]
    return "%s (sha256 %s)" % (os.path.basename(prefix), digest)


def _config_file():
    if FLAGS.config_file:
        return FLAGS.config_file
    if FLAGS.init_checkpoint:
        from albert_zh.model import model_folder  # imported late: TensorFlow takes seconds

        return model_folder.config_in_folder(_start_folder())
    return os.path.join(STARTER, "albert_config_tiny.json")


def _vocab_file():
    return FLAGS.vocab_file or os.path.join(_start_folder(), "vocab.txt")


def _check_training_keeps_its_data(journal, phase, records):
    """Raises `UserError` where a phase has begun with other records or another start than now."""
    folder = work_folder(phase.name)
    changes = journal.changes(records)
    if changes and glob.glob(os.path.join(glob.escape(folder), "model.ckpt-*.index")):
        raise UserError(
            "%s holds a training with other data or another start (%s): set that back, name "
            "another --out (OUT), or remove %s and %s to start again"
            % (folder, "; ".join(changes), work_folder(), FLAGS.out)
        )


def run_stage(journal, stage):
    """Does a stage, unless that is done; `journal`: `Journal`."""
    is_lost = stage.name == MODEL and not glob.glob(os.path.join(glob.escape(FLAGS.out), "*.index"))
    if journal.is_done(stage) and not is_lost:
        _say("%s: done before" % stage.name)
        return
    changes = journal.changes(stage)
    is_training = stage.name in [phase.name for phase in PHASES]
    if changes and not is_training:  # which says itself what may change
        shutil.rmtree(work_folder(stage.name), ignore_errors=True)
    _say("%s%s" % (stage.name, " once more, since " + "; ".join(changes) if changes else ""))
    journal.write(stage, is_done=False)
    begin = time.time()
    stage.make()
    journal.write(stage, is_done=True)
    _say("%s: done in %.0f s" % (stage.name, time.time() - begin))


def _say(text):
    print("== " + text, file=sys.stderr, flush=True)


# The stages


def _split():
    _run(
        "scripts/split_corpus.py",
        input_file=FLAGS.corpus,
        exclude_file=FLAGS.exclude or None,
        held_out_every=FLAGS.held_out_every,
        encoding=FLAGS.encoding,
        split_sentences=FLAGS.split_sentences,
        output_dir=work_folder("split"),
    )
    counts = files.read_json(work_folder("split", "counts.json"), COUNTS)
    if not counts["held-out documents"]:
        raise UserError(
            "--corpus=%s: %d documents, so that none is held out: take more text, put blank lines "
            "between documents, or give a --held_out_every (HELD_OUT_EVERY) of less than %d"
            % (FLAGS.corpus, counts["documents"], FLAGS.held_out_every)
        )


def _make_vocabulary():
    """Writes the vocabulary and, beside it, the config with its size."""
    path = work_folder("vocabulary", "vocab.txt")
    if FLAGS.vocab_size:
        text = work_folder("split", "train.txt")
        _run("build_vocab.py", corpus=text, output=path, vocab_size=FLAGS.vocab_size)
    else:
        with output_files.atomic_write(path, "wb") as stream:
            stream.write(files.read_bytes(_vocab_file()))
    config = files.read_json(_config_file(), CONFIG)
    config["vocab_size"] = tokenization.num_entries(path)
    output_files.write_json(_model_config(), config)


def _model_config():
    return work_folder("vocabulary", os.path.basename(_config_file()))


def _make_records(phase):
    for split, dupe_factor in (("held_out", 1), ("train", _setting(phase, "dupe_factor"))):
        _run(
            "create_pretraining_data_google.py",
            input_file=work_folder("split", split + ".txt"),
            output_file=_records_of(phase, split),
            vocab_file=work_folder("vocabulary", "vocab.txt"),
            masking="dynamic",
            segmenter=FLAGS.segmenter,
            dupe_factor=dupe_factor,
            max_seq_length=FLAGS.max_seq_length,
            max_predictions_per_seq=FLAGS.max_predictions,
            do_lower_case=False if _keeps_case() else None,
            resume=True,
            **({"one_segment": True} if FLAGS.one_segment else phase.record_flags),
        )


def _records_of(phase, split):
    folder = work_folder(phase.prefix + "records")
    return ",".join(os.path.join(folder, name) for name in RECORD_FILES[split])


def _export_of(phase):
    return work_folder(phase.name, "export")


def _pretrain(phase, arguments):
    former = phases()[: phases().index(phase)]
    steps = _setting(phase, "steps")
    _run(
        "run_pretraining.py",
        arguments,
        do_train=True,
        do_eval=True,
        bert_config_file=_model_config(),
        input_file=_records_of(phase, "train"),
        eval_file=_records_of(phase, "held_out"),
        output_dir=work_folder(phase.name),
        export_dir=_export_of(phase),
        max_seq_length=FLAGS.max_seq_length,
        max_predictions_per_seq=FLAGS.max_predictions,
        precision=FLAGS.precision,
        warm_start=not former and not FLAGS.init_checkpoint and _has_structured_values(),
        init_checkpoint=_export_of(former[-1]) if former else FLAGS.init_checkpoint or None,
        keep_checkpoint_max=KEPT_CHECKPOINTS,
        optimizer="adamw",
        learning_rate=_setting(phase, "learning_rate"),
        num_train_steps=steps,
        num_warmup_steps=_setting(phase, "warmup_steps")
        or min(phase.most_warmup_steps, steps // 10),
        train_batch_size=FLAGS.batch_size,
        eval_batch_size=EVAL_BATCH_SIZE,
        max_eval_steps=EVAL_STEPS,
        save_checkpoints_steps=FLAGS.save_steps,
    )


def _write_model():
    """Puts the trained model and its learning curves into the user's folder, the index last."""
    paths = glob.glob(os.path.join(glob.escape(_export_of(phases()[-1])), "*"))
    targets = {path: os.path.basename(path) for path in paths}
    targets.update({work_folder(phase.name, LEARNING_CURVE): phase.curve for phase in phases()})
    for path in sorted(targets, key=lambda path: path.endswith(".index")):
        with output_files.whole_file(os.path.join(FLAGS.out, targets[path])) as partial:
            shutil.copyfile(path, partial)


def _score(folder):
    """Fine-tunes the model on labelled data, by the settings of the script for such data."""
    settings = {"MODEL_DIR": FLAGS.out, "DATA_DIR": folder, "OUTPUT_DIR": _score_folder(folder)}
    environment = {name: os.environ[name] for name in os.environ if name not in _OF_FINE_TUNING}
    script = os.path.join(ROOT, "scripts", _fine_tuning_script(folder))
    _call(["bash", script], env=dict(environment, **settings))


def _score_folder(folder):
    return work_folder("scores", os.path.basename(os.path.normpath(folder)))


def _fine_tuning_script(folder):
    """The script for the data of a folder: pairs of sentences have LCQMC's files.

    Raises:
        UserError: if it has files of no kind.
    """
    there = os.listdir(folder) if os.path.isdir(folder) else []
    if {"train.txt", "dev.txt", "test.txt"} <= set(there):
        return "run_classifier_lcqmc.sh"
    if {"train.csv", "train.tsv", "train.json"} & set(there):
        return "run_classifier_multiclass.sh"
    raise UserError(
        "--data_dir=%s: expected a folder with train.txt, dev.txt and test.txt (pairs), or with "
        "train.csv, train.tsv or train.json" % folder
    )


def _summarize():
    """Writes the scores into the model folder and shows them."""
    scores = collections.OrderedDict()
    for phase in phases():
        lines = files.read_lines(work_folder(phase.name, "eval_results.txt"))
        metrics = dict(line.split(" = ") for line in lines)
        name = "held-out text, %s" % phase.name
        scores[name] = {name: float(metrics[name]) for name in sorted(metrics)}
    for folder in FLAGS.data_dir:
        report = files.read_json(os.path.join(_score_folder(folder), "report.json"), REPORT)
        scores[os.path.basename(_score_folder(folder))] = {
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


# Commands


def _run(script, arguments=(), **settings):
    """Runs a command of the project with flags; None leaves one out."""
    words = ["--%s=%s" % setting for setting in sorted(settings.items()) if setting[1] is not None]
    _call([sys.executable, os.path.join(ROOT, script)] + words + list(arguments))


def _call(command, **settings):
    """Runs a program, which has to do with Ctrl-C; ends this one as it ends unless that is well."""
    former = signal.signal(signal.SIGINT, lambda signum, frame: None)
    try:
        status = subprocess.Popen(command, preexec_fn=_end_with_parent, **settings).wait()
    finally:
        signal.signal(signal.SIGINT, former)
    if status < 0:
        raise UserError(
            "%s was killed (signal %d; too little memory?): the same command goes on"
            % (os.path.basename(command[1]), -status)
        )
    if status:
        sys.exit(status)  # it has said why


def _end_with_parent():
    """Has the process that is being started killed when its parent dies, in whatever way."""
    _LIBC.prctl(_SIGNAL_OF_PARENTS_DEATH, signal.SIGKILL)


if __name__ == "__main__":
    define_flags()
    run_command(main, takes_words=True)
