"""Numbers of TinyBERT's own programs and others, made with PyTorch in float64."""

import os

import numpy as np

from project_root import ROOT

GOLDEN = dict(np.load(os.path.join(ROOT, "tests", "golden", "layer_distillation.npz")))
