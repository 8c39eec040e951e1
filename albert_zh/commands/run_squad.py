r"""Fine-tunes a reader with the flags and output files of BERT's and NEZHA's run_squad.py.

    python run_squad.py --vocab_file=vocab.txt --bert_config_file=bert_config.json \
        --init_checkpoint=bert_model.ckpt --do_train=True --train_file=cmrc2018_train.json \
        --do_predict=True --predict_file=cmrc2018_dev.json --train_batch_size=32 \
        --learning_rate=3e-5 --num_train_epochs=2 --max_seq_length=512 --doc_stride=128 \
        --output_dir=squad_output

It runs run_reading_comprehension.py; --original_features creates windows and answers exactly like
the original run_squad.py.
"""

from albert_zh.common.errors import run_command
from albert_zh.export.after_training import write_servable
from albert_zh.finetuning.runner import Command

__all__ = ["define_flags", "main", "run"]

_COMMAND = Command("reading_comprehension", write_servable)
define_flags, run = _COMMAND.define_flags, _COMMAND.run


def main() -> None:
    """Runs the command line."""
    define_flags()
    run_command(run, description=__doc__)
