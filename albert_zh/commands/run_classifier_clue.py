r"""Runs CLUE's tasks: run_classifier.py, plus the prediction file that CLUE's site expects.

    python run_classifier_clue.py --task_name=tnews --data_dir=CLUEdataset/tnews \
        --do_train=true --do_eval=true --do_predict=true \
        --bert_config_file=prev_trained_model/albert_tiny_zh/albert_config_tiny.json \
        --vocab_file=prev_trained_model/albert_tiny_zh/vocab.txt \
        --init_checkpoint=prev_trained_model/albert_tiny_zh --max_seq_length=128 \
        --train_batch_size=16 --learning_rate=2e-5 --num_train_epochs=3 --output_dir=tnews_output
"""

import functools
from typing import List, Optional

from albert_zh.common.errors import run_command
from albert_zh.compatibility import classification, command_flags
from albert_zh.compatibility.classification import *  # noqa: F403  (for programs of albert_zh)
from albert_zh.export.after_training import write_servable
from albert_zh.finetuning import runner as finetuning_runner

__all__ = [
    *classification.__all__,
    "main",
]

_flags = command_flags.CommandFlags(
    __name__, functools.partial(finetuning_runner.define_flags, clue_submission=True)
)
__getattr__ = _flags.attribute


def run() -> None:
    """Runs training, evaluation and prediction as the flags ask."""
    finetuning_runner.run(write_servable)


def main(_argv: Optional[List[str]] = None) -> None:
    """Runs the command line; `tf.app.run(main)` may start it."""
    _flags.use()
    run_command(run, description=__doc__)
