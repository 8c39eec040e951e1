r"""Fine-tunes an encoder for text generation: titles, replies, any sequence-to-sequence task.

    python run_seq2seq.py --data_dir=data/titles_sample \
        --do_train=true --do_eval=true --do_predict=true \
        --bert_config_file=albert_starter_zh/albert_config_tiny.json \
        --vocab_file=albert_starter_zh/vocab.txt --init_checkpoint=albert_starter_zh \
        --max_seq_length=128 --max_target_length=32 --train_batch_size=16 --num_train_epochs=10 \
        --output_dir=titles_output

The folder contains train, dev and test files (.tsv, .txt, .csv, .jsonl) with rows source<TAB>target
or JSON lines {"source": ..., "target": ...} (also content and title, question and reply);
--text_column and --label_column select other columns. The best checkpoint is the one whose greedily
decoded dev texts have the highest ROUGE-L. Then: python generate.py --model_dir=OUTPUT_DIR/best
"""

from typing import Any

from absl import flags

from albert_zh.common.errors import UserError, run_command
from albert_zh.finetuning import runner
from albert_zh.tasks import datasets
from albert_zh.tasks.generation.flags import KIND

__all__ = ["define_flags", "main", "run"]

MAX_SEQ_LENGTH = 256


def define_flags(**defaults: Any) -> None:
    """Defines the flags of the command.

    Args:
        **defaults: defaults that replace the usual ones.
    """
    settings = {"task_name": datasets.OWN_TEXTS, "max_seq_length": MAX_SEQ_LENGTH}
    runner.define_flags(KIND, **dict(settings, **defaults))


def run() -> None:
    """Runs training, evaluation and prediction as the flags ask."""
    options = flags.FLAGS
    if options.export_dir:
        raise UserError(
            "--export_dir: a generator runs in a loop, which exported models do not support"
        )
    runner.run(None, options, KIND)


def main() -> None:
    """Runs the command line."""
    define_flags()
    run_command(run, description=__doc__)
