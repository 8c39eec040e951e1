r"""Fine-tunes a reader with the flags and the output names of BERT's and NEZHA's run_squad.py.

    python run_squad.py --vocab_file=vocab.txt --bert_config_file=bert_config.json \
        --init_checkpoint=bert_model.ckpt --do_train=True --train_file=cmrc2018_train.json \
        --do_predict=True --predict_file=cmrc2018_dev.json --train_batch_size=32 \
        --learning_rate=3e-5 --num_train_epochs=2 --max_seq_length=512 --doc_stride=128 \
        --output_dir=squad_output

It is run_reading_comprehension.py; --original_features makes windows and answers exactly as the
programs that it is named after.
"""

from typing import Any

from albert_zh.common.errors import run_command
from albert_zh.export.after_training import write_servable
from albert_zh.finetuning import runner

__all__ = ["define_flags", "main", "run"]

KIND = "reading_comprehension"


def define_flags(**defaults: Any) -> None:
    """Defines the flags of the command.

    Args:
        **defaults: defaults in place of the usual ones.
    """
    runner.define_flags(KIND, **defaults)


def run() -> None:
    """Does what the flags ask for."""
    runner.run(write_servable, family=KIND)


def main() -> None:
    """Runs the command line."""
    define_flags()
    run_command(run, description=__doc__)
