"""Converts PyTorch weights to a TensorFlow model folder; PyTorch need not be installed.

Code: albert_zh/commands/convert_albert_pytorch_checkpoint_to_tf.py
"""

from albert_zh.commands.convert_albert_pytorch_checkpoint_to_tf import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.convert_albert_pytorch_checkpoint_to_tf import main

if __name__ == "__main__":
    main()
