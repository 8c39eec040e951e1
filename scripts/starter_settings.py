"""The flags of train_starter.py, its phases, and the files that the flags refer to."""

import collections
import os
from typing import Any, List

from absl import flags

from albert_zh.common import files, validation
from albert_zh.common.errors import UserError

FLAGS = flags.FLAGS
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
STARTER = os.path.join(ROOT, "albert_starter_zh")
SAMPLES = [os.path.join(ROOT, "data", name) for name in ("pairs_sample", "topics_sample")]
MOST_ENTRIES = 1000000  # the maximum of build_vocab.py
CONFIG = validation.record({"max_position_embeddings": validation.integer(1)})
LEARNING_CURVE = "learning_curve.png"
# Defaults of flags for continued pre-training on little text.
OF_GOING_ON = {
    "steps": 0,
    "pair_steps": 1000,
    "pair_dupe_factor": 5,
    "pair_learning_rate": 5e-4,
    "similar_steps": 0,
    "save_steps": 250,
}

Phase = collections.namedtuple(
    "Phase", ["name", "prefix", "record_flags", "most_warmup_steps", "curve"]
)
Phase.__doc__ = """A training phase, which starts from the model of the previous phase.

Fields:
    name: str, name of its stage.
    prefix: str, prefix of its flags and of the name of its records' stage.
    record_flags: {flag of create_pretraining_data_google.py: value}. By default two segments may be
        swapped. With random_next_sentence the second segment may be from another document, which
        teaches the model to compare two texts; with similar_next_sentence that document shares rare
        words with the first, which teaches the model to look beyond common words.
    most_warmup_steps: int, maximum number of warm-up steps.
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


def define_flags() -> None:
    """Defines this command's flags; the shell script's settings have the same names in capitals."""
    table = [
        ("corpus", None, "Text files, .gz too; patterns and folders, separated by commas."),
        ("out", None, "Model folder to create."),
        ("encoding", "utf-8", "Encoding of the texts, such as gb18030 (GBK)."),
        ("exclude", "", "Files (evaluation sets) whose lines must not be in the training text."),
        ("init_checkpoint", "", "Model to continue from, such as albert_starter_zh; empty: none."),
        ("vocab_file", "", "Vocabulary; default: that of --init_checkpoint or the starter model."),
        ("config_file", "", "Config; default: that of --init_checkpoint or the starter model."),
    ]
    for name, default, help_text in table:
        flags.DEFINE_string(name, default, help_text)
    _define_numbers()
    flags.DEFINE_list("data_dir", SAMPLES, "Folders of labelled data to score the model on.")
    flags.DEFINE_enum("segmenter", "jieba", ["jieba", "rjieba", "none"], "Word segmenter.")
    flags.DEFINE_boolean("split_sentences", False, "Whether to split lines into sentences.")
    flags.DEFINE_boolean("one_segment", False, "Whether to learn only masked words, in one phase.")
    flags.DEFINE_enum(
        "precision",
        "float32",
        ["float32", "bfloat16", "mixed_float16"],
        "Precision of matrix products.",
    )


def _define_numbers():
    table = [  # with the minimum of each value
        ("held_out_every", 200, 2, "One document in this many is held out."),
        ("vocab_size", 0, 0, "Entries of a vocabulary to build from the text; 0: none."),
        ("dupe_factor", 2, 1, "Number of passes over the text, each with different pairs."),
        ("pair_dupe_factor", 1, 1, "Passes over the text in the second phase."),
        ("similar_dupe_factor", 1, 1, "Passes over the text in the third phase."),
        ("max_seq_length", 128, 8, "Maximum sequence length."),
        ("max_predictions", 20, 1, "Maximum number of predictions per sequence."),
        ("steps", 10000, 0, "Training steps of the first phase; 0 skips it."),
        ("pair_steps", 7500, 0, "Training steps of the second phase; 0 skips it."),
        ("similar_steps", 3000, 0, "Training steps of the third phase; 0 skips it."),
        ("warmup_steps", 0, 0, "Warm-up steps of the first phase; 0: a tenth of its steps."),
        ("pair_warmup_steps", 0, 0, "Warm-up steps of the second phase; 0: a tenth of its steps."),
        ("similar_warmup_steps", 0, 0, "Warm-up steps of the third phase; 0: a tenth."),
        ("batch_size", 64, 1, "Sequences per step."),
        ("save_steps", 500, 1, "Steps between checkpoints, each of which is evaluated."),
    ]
    for name, default, least, help_text in table:
        most = MOST_ENTRIES if name == "vocab_size" else None
        flags.DEFINE_integer(name, default, help_text, lower_bound=least, upper_bound=most)
    for name, default, phase in (
        ("learning_rate", 5e-4, "first"),
        ("pair_learning_rate", 4e-4, "second"),
        ("similar_learning_rate", 3e-4, "third"),
    ):
        flags.DEFINE_float(name, default, "Peak learning rate of the %s phase." % phase, 0.0)


def set_defaults_of_going_on() -> None:
    """Sets the defaults for continued pre-training: few steps, in one phase."""
    for name, default in OF_GOING_ON.items():
        if FLAGS.init_checkpoint and not FLAGS[name].present:
            FLAGS[name].value = default


def phases() -> List[Phase]:
    """Returns the phases with at least one step."""
    return [phase for phase in PHASES if setting(phase, "steps")]


def setting(phase: Phase, name: str) -> Any:
    """Returns the value of a phase's flag, such as its `steps`."""
    return FLAGS[phase.prefix + name].value


def work_folder(*names: str) -> str:
    """Returns the work folder, for everything but the model, or a path in it."""
    return os.path.join(FLAGS.out.rstrip("/") + ".work", *names)


def _start_folder():
    """Returns the folder of --init_checkpoint (`UserError` without a checkpoint), or `STARTER`."""
    if not FLAGS.init_checkpoint:
        return STARTER
    return os.path.dirname(start_checkpoint())


def start_checkpoint() -> str:
    """Returns the checkpoint prefix of --init_checkpoint; raises `UserError` if there is none."""
    from albert_zh.model.checkpoints import checkpoint_files  # on demand: TensorFlow takes seconds

    return checkpoint_files.find_checkpoint(FLAGS.init_checkpoint)


def keeps_case() -> bool:
    """Whether the model to continue from is cased, according to its folder."""
    if not FLAGS.init_checkpoint:
        return False
    from albert_zh.model.checkpoints import fine_tuning_notes

    return fine_tuning_notes.notes_of_folder(_start_folder()).get("do_lower_case") is False


def config_file() -> str:
    """Returns the config JSON file of the new model, whose `vocab_size` is adapted later."""
    if FLAGS.config_file:
        return FLAGS.config_file
    if FLAGS.init_checkpoint:
        from albert_zh.model.checkpoints import model_folder  # on demand: TensorFlow takes seconds

        return model_folder.config_in_folder(_start_folder())
    return os.path.join(STARTER, "albert_config_tiny.json")


def vocab_file() -> str:
    """Returns the vocabulary file of the new model, unless one is built."""
    return FLAGS.vocab_file or os.path.join(_start_folder(), "vocab.txt")


def has_structured_values() -> bool:
    """Whether structured initial weights are available for the config."""
    settings = files.read_json(config_file(), CONFIG)
    return not settings.get("use_relative_position") and settings.get("model_type") != "electra"


def score_folder(folder: str) -> str:
    """Returns the output folder for fine-tuning the model on the data of a folder."""
    return work_folder("scores", os.path.basename(os.path.normpath(folder)))


def fine_tuning_script(folder: str) -> str:
    """Returns the fine-tuning script for a data folder; LCQMC's file names mean sentence pairs.

    Raises:
        UserError: if the folder has no files of a known kind.
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
