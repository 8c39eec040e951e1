"""Creates TFRecords like Google's ALBERT: n-gram masks, random next sentences, SentencePiece.

    python create_pretraining_data_google.py --input_file='my/*.txt' \\
        --output_file=my/records.tfrecord --vocab_file=albert_starter_zh/vocab.txt \\
        --max_seq_length=512 --max_predictions_per_seq=51 --masked_lm_prob=0.10
"""

import functools
from typing import List, Optional

from albert_zh.commands import create_pretraining_data
from albert_zh.common.errors import run_command
from albert_zh.compatibility import command_flags, pretraining_data_google
from albert_zh.compatibility.pretraining_data_google import *  # noqa: F403  (for programs)

__all__ = [
    *pretraining_data_google.__all__,
    "main",
]

_flags = command_flags.CommandFlags(
    __name__, functools.partial(create_pretraining_data.define_flags, google=True)
)
__getattr__ = _flags.attribute


def main(_argv: Optional[List[str]] = None) -> None:
    """Runs the command line; `tf.app.run(main)` may start it."""
    _flags.use()
    run_command(functools.partial(create_pretraining_data.run, google=True), description=__doc__)
