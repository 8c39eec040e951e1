"""Converts PyTorch weights into a model folder for TensorFlow; no PyTorch is needed.

Code: albert_zh/commands/convert_albert_pytorch_checkpoint_to_tf.py
"""

from albert_zh.commands.convert_albert_pytorch_checkpoint_to_tf import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.convert_albert_pytorch_checkpoint_to_tf import main

if __name__ == "__main__":
    main()
