r"""Fine-tunes a classifier on a task, evaluates it and predicts.

    python run_classifier.py --task_name=lcqmc --data_dir=data/pairs_sample \
        --do_train=true --do_eval=true --do_predict=true \
        --bert_config_file=albert_starter_zh/albert_config_tiny.json \
        --vocab_file=albert_starter_zh/vocab.txt --max_seq_length=128 --train_batch_size=64 \
        --learning_rate=1e-4 --num_train_epochs=5 --output_dir=lcqmc_output

Add --init_checkpoint=MODEL_DIR/albert_model.ckpt to start from a pre-trained model.
"""

from errors import run_command
import fine_tuning

if __name__ == "__main__":
    fine_tuning.define_flags()
    run_command(fine_tuning.run)
