"""Pre-trains a model with the name and flags of Google's script.

    python run_pretraining_google.py --input_file='data/*.tfrecord' --output_dir=my_new_model \\
        --albert_config_file=albert_config/albert_config_tiny_google.json --do_train=true \\
        --max_predictions_per_seq=51
"""

from typing import List, Optional

from albert_zh.common.errors import run_command
from albert_zh.compatibility import command_flags, pretraining_google
from albert_zh.compatibility.pretraining_google import *  # noqa: F403  (for programs of albert_zh)
from albert_zh.pretraining import flags as pretraining_flags
from albert_zh.pretraining import runner as pretraining_runner

__all__ = [
    *pretraining_google.__all__,
    "main",
]

_flags = command_flags.CommandFlags(
    __name__, pretraining_flags.define_google_flags, {"learning_rate": 0.00176}
)
__getattr__ = _flags.attribute


def main(_argv: Optional[List[str]] = None) -> None:
    """Runs the command line; `tf.app.run(main)` may start it."""
    _flags.use()
    run_command(pretraining_runner.run_google, description=__doc__)
