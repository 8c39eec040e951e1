"""Converts a TensorFlow checkpoint into a Hugging Face folder; no PyTorch is needed.

Code: albert_zh/commands/convert_albert_tf_checkpoint_to_pytorch.py
"""

from albert_zh.commands.convert_albert_tf_checkpoint_to_pytorch import *  # noqa: F403  (names that other programs import)
from albert_zh.commands.convert_albert_tf_checkpoint_to_pytorch import main

if __name__ == "__main__":
    main()
