"""Records of one segment, as RoBERTa has them: create_pretraining_data.py --one_segment=true.

    python resources/create_pretraining_data_roberta.py --input_file='my/*.txt' \\
        --output_file=my/records.tfrecord --vocab_file=albert_starter_zh/vocab.txt \\
        --do_whole_word_mask=true
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from albert_zh.commands import create_pretraining_data
from albert_zh.common.errors import run_command

if __name__ == "__main__":
    create_pretraining_data.define_flags(one_segment=True)
    run_command(create_pretraining_data.run)
