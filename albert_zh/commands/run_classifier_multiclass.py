r"""Fine-tunes a classifier on your own data: texts or pairs, with labels of any kind.

    python run_classifier_multiclass.py --data_dir=data/topics_sample \
        --do_train=true --do_eval=true --do_predict=true \
        --bert_config_file=albert_starter_zh/albert_config_tiny.json \
        --vocab_file=albert_starter_zh/vocab.txt --max_seq_length=64 --train_batch_size=32 \
        --learning_rate=1e-4 --num_train_epochs=5 --output_dir=topics_output

The folder contains train.csv, dev.csv and test.csv (or .tsv, .json); columns are identified by a
header (text_a, text_b, label) or by position; the labels are read from the training file. Without a
dev file, a part of train is held out. --task_name=NAME selects a built-in task instead.
"""

import functools
from typing import List, Optional

from albert_zh.common.errors import run_command
from albert_zh.compatibility import classification, command_flags
from albert_zh.compatibility.classification import *  # noqa: F403  (for programs of albert_zh)
from albert_zh.export.after_training import write_servable
from albert_zh.finetuning import runner as finetuning_runner
from albert_zh.tasks import datasets

__all__ = [
    *classification.__all__,
    "main",
]

_flags = command_flags.CommandFlags(
    __name__, functools.partial(finetuning_runner.define_flags, task_name=datasets.OWN_DATA)
)
__getattr__ = _flags.attribute


def run() -> None:
    """Runs training, evaluation and prediction as the flags ask."""
    finetuning_runner.run(write_servable)


def main(_argv: Optional[List[str]] = None) -> None:
    """Runs the command line; `tf.app.run(main)` may start it."""
    _flags.use()
    run_command(run, description=__doc__)
