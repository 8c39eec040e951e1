r"""Fine-tunes a model that finds entities or words in texts, evaluates it and predicts with it.

    python run_seq_labelling.py --task_name=ner --data_dir=data/entities_sample \
        --do_train=true --do_eval=true --do_predict=true \
        --bert_config_file=albert_starter_zh/albert_config_tiny.json \
        --vocab_file=albert_starter_zh/vocab.txt --init_checkpoint=albert_starter_zh \
        --max_seq_length=128 --train_batch_size=32 --learning_rate=1e-4 --num_train_epochs=5 \
        --output_dir=entities_output

The folder contains train.txt, dev.txt and test.txt (or .json, .tsv, .char.bmes ...): one character
and its tag per line, JSON of CLUENER, CMeEE, doccano or entity_list, or words separated by spaces
(--task_name=cws). Format, tag scheme and entity types are detected in the training file; nothing
has to be registered.
"""

from albert_zh.common.errors import run_command
from albert_zh.export.after_training import write_servable
from albert_zh.finetuning.runner import Command

__all__ = ["define_flags", "main", "run"]

_COMMAND = Command("sequence_labelling", write_servable)
define_flags, run = _COMMAND.define_flags, _COMMAND.run


def main() -> None:
    """Runs the command line."""
    define_flags()
    run_command(run, description=__doc__)
