"""Writes model folders with random weights, and runs commands in this process."""

import contextlib
import json
import os

from absl import flags
import numpy as np

from albert_zh.common import errors, path_rules
from albert_zh.model import modeling, sentence_vectors
from albert_zh.model.checkpoints import (
    checkpoint_files,
    checkpoint_values,
    expected_variables,
    model_writer,
)
from workspace import CONFIG, ROOT, VOCABULARY

STARTER_VOCABULARY = os.path.join(ROOT, "albert_starter_zh", "vocab.txt")


def write_model(folder, labels=("0", "1"), seed=1, vocabulary=None, settings=None, **config):
    """Writes a model folder with random weights, including a classifier and a masked-LM head.

    Args:
        folder: the folder to create.
        labels: names of the classes.
        seed: seed of the weights.
        vocabulary: list of tokens; the small one of `workspace` by default.
        settings: content of fine_tuning.json.
        **config: values that replace those of `workspace.CONFIG`.

    Returns:
        the folder as str.
    """
    folder = str(folder)
    vocabulary = vocabulary or VOCABULARY
    values = dict(CONFIG, vocab_size=len(vocabulary), initializer_range=0.4, **config)
    contents = {
        "albert_config.json": json.dumps(values),
        "vocab.txt": "\n".join(vocabulary) + "\n",
        "label_map.json": json.dumps({label: number for number, label in enumerate(labels)}),
        "fine_tuning.json": json.dumps(dict({"max_seq_length": 48}, **(settings or {}))),
    }
    os.makedirs(folder)
    for name, content in contents.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as handle:
            handle.write(content)
    shapes = expected_variables.expected_shapes_by_part(
        modeling.AlbertConfig.from_dict(values), len(labels)
    )
    random = np.random.RandomState(seed)
    weights = {}
    for part in shapes.values():
        for name, shape in part.items():
            scale = 0.4 if len(shape) > 1 else 0.1
            noise = scale * random.standard_normal(shape)
            weights[name] = (noise + name.endswith("gamma")).astype(np.float32)
    model_writer.write_model_checkpoint(folder, weights)
    return folder


def write_embedding_model(folder, notes=None, seed=1, **settings):
    """Writes the folder of an embedding model with random weights.

    Args:
        folder: the folder to create.
        notes: `SentenceNotes`; mean pooling with all 16 values by default.
        seed: seed of the weights.
        **settings: arguments of `write_model`.

    Returns:
        the folder as str.
    """
    folder = write_model(folder, seed=seed, **settings)
    notes = notes or sentence_vectors.SentenceNotes(width=CONFIG["hidden_size"], max_seq_length=24)
    sentence_vectors.write_notes(folder, notes)
    if notes.projection_width:
        weights = checkpoint_values.read_weights(checkpoint_files.find_checkpoint(folder))
        random = np.random.RandomState(seed + 1)
        shape = [CONFIG["hidden_size"], notes.projection_width]
        scope = sentence_vectors.PROJECTION
        weights[scope + "/kernel"] = random.standard_normal(shape).astype(np.float32)
        weights[scope + "/bias"] = random.standard_normal(shape[1:]).astype(np.float32)
        model_writer.write_model_checkpoint(folder, weights)
    return folder


def write_generator(folder):
    """Writes the folder of a generation model with random weights, for up to 12 tokens."""
    token_ids = {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}
    notes = {
        "objective": "generation",
        "max_seq_length": 40,
        "columns": ["text_a", "label"],
        "head": {"max_target_length": 13, "token_ids": token_ids},
    }
    return write_model(folder, settings=notes)


def write_reader(folder, seed=1):
    """Writes the folder of a reading comprehension model with random weights."""
    notes = {
        "objective": "reading_comprehension",
        "columns": ["text_a", "text_b"],
        "head": {"doc_stride": 16, "max_query_length": 8, "max_answer_length": 10},
    }
    folder = write_model(folder, ("start", "end"), seed, settings=notes)
    weights = checkpoint_values.read_weights(checkpoint_files.find_checkpoint(folder))
    random = np.random.RandomState(seed)
    shape = [2, CONFIG["hidden_size"]]
    weights["cls/squad/output_weights"] = random.standard_normal(shape).astype(np.float32)
    weights["cls/squad/output_bias"] = np.zeros([2], np.float32)
    model_writer.write_model_checkpoint(folder, weights)
    return folder


def starter_vocabulary():
    """The tokens of the starter model's vocabulary."""
    with open(STARTER_VOCABULARY, encoding="utf-8", newline="\n") as handle:
        return [line.strip() for line in handle.read().rstrip("\n").split("\n")]


@contextlib.contextmanager
def command_flags(module, arguments):
    """Sets absl's flags as the command `module` would with these arguments."""
    state = dict(flags.FLAGS.__dict__)
    try:
        flags.FLAGS.__dict__.clear()
        flags.FLAGS.__dict__.update(flags.FlagValues().__dict__)
        module.define_flags()
        errors.parse_flags([module.__name__.split(".")[-1] + ".py"] + arguments)
        yield
    finally:
        path_rules.forget_inputs()
        flags.FLAGS.__dict__.clear()
        flags.FLAGS.__dict__.update(state)


def run_command(module, arguments, words=None):
    """Runs a command in this process; its errors are raised as exceptions.

    Args:
        module: the command.
        arguments: its flags, as on the command line.
        words: list of the arguments that are not flags; None for a command that takes none.
    """
    with command_flags(module, arguments):
        run = getattr(module, "run", None) or module.main  # of the package, or of a script
        return run() if words is None else run(words)
