r"""Fine-tunes a classifier on a task, evaluates it and predicts with it.

    python run_classifier.py --task_name=lcqmc --data_dir=data/pairs_sample \
        --do_train=true --do_eval=true --do_predict=true \
        --bert_config_file=albert_starter_zh/albert_config_tiny.json \
        --vocab_file=albert_starter_zh/vocab.txt --max_seq_length=128 --train_batch_size=64 \
        --learning_rate=1e-4 --num_train_epochs=5 --output_dir=lcqmc_output

Add --init_checkpoint=MODEL_DIR/albert_model.ckpt to start from a pre-trained model.
"""

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

_flags = command_flags.CommandFlags(__name__, finetuning_runner.define_flags)
__getattr__ = _flags.attribute


def run() -> None:
    """Runs training, evaluation and prediction as the flags ask."""
    finetuning_runner.run(write_servable)


def main(_argv: Optional[List[str]] = None) -> None:
    """Runs the command line; `tf.app.run(main)` may start it."""
    _flags.use()
    run_command(run, description=__doc__)
