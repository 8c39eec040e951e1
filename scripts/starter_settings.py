"""Flags of train_starter.py, its phases, and the files that the flags stand for."""

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
MOST_ENTRIES = 1000000  # that build_vocab.py makes
CONFIG = validation.record({"max_position_embeddings": validation.integer(1)})
LEARNING_CURVE = "learning_curve.png"
# Defaults of flags where a model goes on learning, from little text.
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


def define_flags() -> None:
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
    _define_numbers()
    flags.DEFINE_list("data_dir", SAMPLES, "Folders of labelled data to score the model on.")
    flags.DEFINE_enum("segmenter", "jieba", ["jieba", "rjieba", "none"], "Word segmenter.")
    flags.DEFINE_boolean("split_sentences", False, "Whether lines are paragraphs, to be parted.")
    flags.DEFINE_boolean("one_segment", False, "Whether to learn masked words alone, in one phase.")
    flags.DEFINE_enum(
        "precision", "float32", ["float32", "bfloat16", "mixed_float16"], "Of the products."
    )


def _define_numbers():
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


def set_defaults_of_going_on() -> None:
    """Has a model that has learnt already go on for few steps, in one phase."""
    for name, default in OF_GOING_ON.items():
        if FLAGS.init_checkpoint and not FLAGS[name].present:
            FLAGS[name].value = default


def phases() -> List[Phase]:
    """The phases that are asked for."""
    return [phase for phase in PHASES if setting(phase, "steps")]


def setting(phase: Phase, name: str) -> Any:
    """The value of a phase's flag, such as its `steps`."""
    return FLAGS[phase.prefix + name].value


def work_folder(*names: str) -> str:
    """The folder of all that is not the model, or a path in it."""
    return os.path.join(FLAGS.out.rstrip("/") + ".work", *names)


def _start_folder():
    """The folder of the model to go on from, or of the starter model; `UserError` without one."""
    if not FLAGS.init_checkpoint:
        return STARTER
    return os.path.dirname(start_checkpoint())


def start_checkpoint() -> str:
    """Prefix of --init_checkpoint's checkpoint."""
    from albert_zh.model.checkpoints import (
        checkpoint_files,  # takes seconds to be imported, as TensorFlow is
    )

    return checkpoint_files.find_checkpoint(FLAGS.init_checkpoint)


def keeps_case() -> bool:
    """Whether the model to go on from has capital letters, as its folder says."""
    if not FLAGS.init_checkpoint:
        return False
    from albert_zh.model.checkpoints import fine_tuning_notes

    return fine_tuning_notes.notes_of_folder(_start_folder()).get("do_lower_case") is False


def config_file() -> str:
    """The config JSON of the model to make, but for its `vocab_size`."""
    if FLAGS.config_file:
        return FLAGS.config_file
    if FLAGS.init_checkpoint:
        from albert_zh.model.checkpoints import (
            model_folder,  # imported late: TensorFlow takes seconds
        )

        return model_folder.config_in_folder(_start_folder())
    return os.path.join(STARTER, "albert_config_tiny.json")


def vocab_file() -> str:
    """The vocabulary of the model to make, where none is built."""
    return FLAGS.vocab_file or os.path.join(_start_folder(), "vocab.txt")


def has_structured_values() -> bool:
    """Whether there are start values beyond random ones for the config."""
    settings = files.read_json(config_file(), CONFIG)
    return not settings.get("use_relative_position") and settings.get("model_type") != "electra"


def score_folder(folder: str) -> str:
    """Where the model is fine-tuned on the data of a folder."""
    return work_folder("scores", os.path.basename(os.path.normpath(folder)))


def fine_tuning_script(folder: str) -> str:
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
