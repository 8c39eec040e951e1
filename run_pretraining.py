"""Pre-trains a model of any layout: masked LM and sentence order on TFRecords.

    python run_pretraining.py --input_file='data/*.tfrecord' --output_dir=my_new_model \\
        --bert_config_file=albert_config/albert_config_base.json --do_train=true --do_eval=true \\
        --train_batch_size=64 --max_seq_length=512 --max_predictions_per_seq=51 \\
        --num_train_steps=100000 --num_warmup_steps=10000
"""

from errors import run_command
import pretraining

if __name__ == "__main__":
    pretraining.define_flags()
    run_command(pretraining.run)
