"""Complete fine-tuning runs of a kind of task, with a small model that learns quickly."""

import glob
import json
import os
import shutil

from albert_zh import finetuning
from albert_zh.model.checkpoints import checkpoint_values
from workspace import CONFIG, SPECIAL


def settings_of(folder, tokens, num_steps, **changes):
    """Settings of `finetuning.run`; writes the vocabulary and the config that they name.

    Args:
        folder: path with the data; the output goes to its `out`.
        tokens: the vocabulary, without the special tokens.
        num_steps: number of steps; the first checkpoint is saved after half of them.
        **changes: settings that are added to the common ones or replace them.
    """
    vocabulary = SPECIAL + list(tokens)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    config = dict(CONFIG, vocab_size=len(vocabulary), initializer_range=0.2)
    (folder / "config.json").write_text(json.dumps(config))
    settings = {
        "data_dir": str(folder),
        "bert_config_file": str(folder / "config.json"),
        "vocab_file": str(folder / "vocab.txt"),
        "output_dir": str(folder / "out"),
        "max_seq_length": 16,
        "train_batch_size": 16,
        "train_step": num_steps,
        "save_checkpoints_steps": num_steps // 2,
        "keep_checkpoint_max": 5,
        "learning_rate": 5e-3,
        "do_train": True,
        "do_eval": True,
        "do_predict": True,
    }
    return dict(settings, **changes)


def resumed_weights(settings, folder):
    """Resumes a copy of a finished run from its checkpoint after half of the steps.

    Args:
        settings: settings of the finished run.
        folder: folder for the copy.

    Returns:
        ({name: array} at the end of the run, {name: array} at the end of its copy).
    """
    last, copied = "model.ckpt-%d" % settings["train_step"], os.path.join(str(folder), "out")
    shutil.copytree(settings["output_dir"], copied)
    for path in glob.glob(os.path.join(copied, last + "*")):
        os.remove(path)
    finetuning.run(**dict(settings, output_dir=copied))
    whole, again = (
        checkpoint_values.read_weights(os.path.join(output, last))
        for output in (settings["output_dir"], copied)
    )
    return whole, again
