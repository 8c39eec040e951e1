r"""Fine-tunes a reader on questions about texts, evaluates it and answers a file of questions.

    python run_reading_comprehension.py --data_dir=data/questions_sample \
        --do_train=true --do_eval=true --do_predict=true \
        --bert_config_file=albert_starter_zh/albert_config_tiny.json \
        --vocab_file=albert_starter_zh/vocab.txt --init_checkpoint=albert_starter_zh \
        --max_seq_length=256 --train_batch_size=16 --num_train_epochs=3 \
        --output_dir=reading_output

The folder contains train.json, dev.json and test.json in the format of SQuAD, CMRC 2018 or DRCD (or
.jsonl, .csv, .tsv with the columns context, question, answer, start); without a dev file, a part of
train is held out. --train_file, --dev_file and --predict_file name files instead of a folder.
Answers are written to OUTPUT_DIR/dev_predictions.json and dev_nbest_predictions.json.
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
