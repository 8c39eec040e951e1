"""Records as google's ALBERT has them: n-gram masks, B from other documents, SentencePiece.

    python create_pretraining_data_google.py --input_file='my/*.txt' \\
        --output_file=my/records.tfrecord --vocab_file=albert_starter_zh/vocab.txt \\
        --max_seq_length=512 --max_predictions_per_seq=51 --masked_lm_prob=0.10
"""

import functools

from errors import run_command
import create_pretraining_data

if __name__ == "__main__":
    create_pretraining_data.define_flags(google=True)
    run_command(functools.partial(create_pretraining_data.main, google=True))
