r"""Labels entities under the name that NEZHA's script has: an alias of run_seq_labelling.py.

    python run_classifier_ner.py --data_dir=data/entities_sample --do_train_and_eval=true \
        --bert_config_file=albert_starter_zh/albert_config_tiny.json \
        --vocab_file=albert_starter_zh/vocab.txt --init_checkpoint=albert_starter_zh \
        --max_seq_length=128 --train_batch_size=16 --num_train_epochs=10 --output_dir=ner_output

--original_reader reads files exactly as NEZHA's script does. --save_checkpoints_steps has NEZHA's
default.
"""

import functools

from albert_zh.common.errors import run_command
from albert_zh.export.after_training import write_servable
from albert_zh.finetuning.runner import Command

__all__ = ["define_flags", "main", "run"]

_COMMAND = Command("sequence_labelling", write_servable)
define_flags, run = functools.partial(_COMMAND.define_flags, task_name="ner"), _COMMAND.run


def main() -> None:
    """Runs the command line."""
    define_flags()
    run_command(run, description=__doc__)
