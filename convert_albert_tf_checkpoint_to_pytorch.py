"""Converts a TensorFlow checkpoint to a Hugging Face folder; PyTorch need not be installed.

Code: albert_zh/commands/convert_albert_tf_checkpoint_to_pytorch.py
"""

from albert_zh.commands.convert_albert_tf_checkpoint_to_pytorch import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.convert_albert_tf_checkpoint_to_pytorch import main

if __name__ == "__main__":
    main()
