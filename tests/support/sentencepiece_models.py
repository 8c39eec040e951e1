"""Small SentencePiece models, trained for tests."""

import os
import subprocess
import sys

import pytest

# Runs in a new process: after an import of TensorFlow 1.15 the trainer crashes (its models work).
_TRAIN = """
import sys
import sentencepiece
sentencepiece.SentencePieceTrainer.train(
    input=sys.argv[1],
    model_prefix=sys.argv[2],
    model_type=sys.argv[4],
    vocab_size=int(sys.argv[3]),
    control_symbols=["[CLS]", "[SEP]", "[MASK]"],
    minloglevel=2,
)
"""


def train_sentencepiece(folder, lines, vocab_size, algorithm="bpe"):
    """Trains a model; skips the test if the package is missing.

    Args:
        folder: folder for the files.
        lines: the text, a list of str.
        vocab_size: int, number of pieces.
        algorithm: "bpe" or "unigram".

    Returns:
        path of the model.
    """
    pytest.importorskip("sentencepiece", reason="needs pip install sentencepiece")
    text, prefix = (os.path.join(str(folder), name) for name in ("text.txt", "spm"))
    with open(text, "w", encoding="utf-8") as handle:
        handle.write("\n".join(lines))
    arguments = [text, prefix, str(vocab_size), algorithm]
    subprocess.run([sys.executable, "-c", _TRAIN] + arguments, check=True)
    return prefix + ".model"
