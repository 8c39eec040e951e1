r"""run_classifier.py with the flags of google's ALBERT script of this name.

    python run_classifier_sp_google.py --task_name=lcqmc --data_dir=data/pairs_sample \
        --do_train=true --do_eval=true --albert_config_file=MODEL_DIR/albert_config.json \
        --spm_model_file=MODEL_DIR/spiece.model --init_checkpoint=MODEL_DIR \
        --output_dir=lcqmc_sp_output

--vocab_file=MODEL_DIR/vocab.txt serves models with a list of tokens.
"""

from absl import flags

from errors import run_command
import fine_tuning

FLAGS = flags.FLAGS


def define_flags():
    """Defines the command's flags: those of run_classifier.py, and google's."""
    fine_tuning.define_flags(max_seq_length=512)
    flags.DEFINE_boolean(
        "use_pooled_output",
        True,
        "Classify the pooler's vector; False for the mean over the tokens.",
    )


def main():
    """Does what the flags ask for."""
    if FLAGS["use_pooled_output"].present:
        FLAGS["pooling"].parse("cls" if FLAGS.use_pooled_output else "mean")
    fine_tuning.run()


if __name__ == "__main__":
    define_flags()
    run_command(main)
