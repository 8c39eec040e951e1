"""Chinese ALBERT: pre-training, fine-tuning, prediction and export.

    from albert_zh import Predictor

    with Predictor("lcqmc_output/best") as predictor:
        labels, probabilities = predictor.predict([("怎么开户", "如何开通账户")])

The classes are imported on first use and do not import any training code. `STARTER_MODEL` is the
folder of the bundled pre-trained model. `albert-zh` (`python -m albert_zh`) lists the commands.
"""

import importlib
import os

from albert_zh.common import quiet_import
from albert_zh.common.package_files import STARTER_MODEL

# TensorFlow logs device discovery as errors on import; set the variable to see them.
if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "3":
    quiet_import.install()

_CLASSES = {
    "Predictor": "albert_zh.inference.predictor",
    "TextEncoder": "albert_zh.inference.text_encoder",
    "Corpus": "albert_zh.inference.retrieval.search",
    "Reader": "albert_zh.inference.reader",
    "Generator": "albert_zh.inference.generator",
    "MaskFiller": "albert_zh.inference.mask_filler",
    "BertSim": "albert_zh.inference.sentence_similarity",
    "UserError": "albert_zh.common.errors",
}
__all__ = ["STARTER_MODEL"] + sorted(_CLASSES)


def __getattr__(name: str):
    """A public class, imported on first use (PEP 562)."""
    if name not in _CLASSES:
        raise AttributeError("module %r has no attribute %r" % (__name__, name))
    return getattr(importlib.import_module(_CLASSES[name]), name)


def __dir__():
    return sorted(list(globals()) + __all__)
