"""Pre-trains a model of any layout on TFRecords, with masked LM and sentence order.

    python run_pretraining.py --input_file='data/*.tfrecord' --output_dir=my_new_model \\
        --bert_config_file=albert_config/albert_config_base.json --do_train=true --do_eval=true \\
        --train_batch_size=64 --max_seq_length=512 --max_predictions_per_seq=51 \\
        --num_train_steps=100000 --num_warmup_steps=10000
"""

from typing import List, Optional

from albert_zh.common.errors import run_command
from albert_zh.compatibility import command_flags, pretraining
from albert_zh.compatibility.pretraining import *  # noqa: F403  (for programs of albert_zh)
from albert_zh.pretraining import flags as pretraining_flags
from albert_zh.pretraining import runner as pretraining_runner

__all__ = [
    *pretraining.__all__,
    "main",
]

_flags = command_flags.CommandFlags(
    __name__, pretraining_flags.define_flags, {"learning_rate": 5e-5}
)
__getattr__ = _flags.attribute


def main(_argv: Optional[List[str]] = None) -> None:
    """Runs the command line; `tf.app.run(main)` may start it."""
    _flags.use()
    run_command(pretraining_runner.run, description=__doc__)
