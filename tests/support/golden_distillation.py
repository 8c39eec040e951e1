"""Numbers of TinyBERT's own programs and others, made with PyTorch in float64."""

import os

import numpy as np

from project_root import ROOT

_FOLDER = os.path.join(ROOT, "tests", "golden")
GOLDEN = dict(np.load(os.path.join(_FOLDER, "layer_distillation.npz")))
PREDICTIONS = dict(np.load(os.path.join(_FOLDER, "distillation_predictions.npz")))
