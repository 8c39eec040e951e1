r"""Runs run_classifier.py with the flags of Google's ALBERT script of the same name.

    python run_classifier_sp_google.py --task_name=lcqmc --data_dir=data/pairs_sample \
        --do_train=true --do_eval=true --albert_config_file=MODEL_DIR/albert_config.json \
        --spm_model_file=MODEL_DIR/spiece.model --init_checkpoint=MODEL_DIR \
        --output_dir=lcqmc_sp_output

For models with a vocabulary in place of SentencePiece, use --vocab_file=MODEL_DIR/vocab.txt.
"""

from typing import List, Optional

from absl import flags

from albert_zh.common.errors import run_command
from albert_zh.compatibility import classification_google, command_flags
from albert_zh.compatibility.classification_google import *  # noqa: F403  (for programs)
from albert_zh.export.after_training import write_servable
from albert_zh.finetuning import runner as finetuning_runner

__all__ = [
    *classification_google.__all__,
    "define_flags",
    "main",
    "run",
]

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines the command's flags: the flags of run_classifier.py and Google's."""
    finetuning_runner.define_flags(max_seq_length=512)
    flags.DEFINE_boolean(
        "use_pooled_output",
        True,
        "Classify the pooler's vector; false: the mean of the token vectors.",
    )


def run() -> None:
    """Runs training, evaluation and prediction as the flags ask."""
    if FLAGS["use_pooled_output"].present:
        FLAGS["pooling"].parse("cls" if FLAGS.use_pooled_output else "mean")
    finetuning_runner.run(write_servable)


_flags = command_flags.CommandFlags(__name__, define_flags)
__getattr__ = _flags.attribute


def main(_argv: Optional[List[str]] = None) -> None:
    """Runs the command line; `tf.app.run(main)` may start it."""
    _flags.use()
    run_command(run, description=__doc__)
