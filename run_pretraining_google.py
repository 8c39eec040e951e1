"""google's name and flags for pre-training.

    python run_pretraining_google.py --input_file='data/*.tfrecord' --output_dir=my_new_model \\
        --albert_config_file=albert_config/albert_config_tiny_google.json --do_train=true \\
        --max_predictions_per_seq=51
"""

from errors import run_command
import pretraining

if __name__ == "__main__":
    pretraining.define_google_flags()
    run_command(pretraining.run_google)
