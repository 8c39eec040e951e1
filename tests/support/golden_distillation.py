"""Golden values of TinyBERT's and other original programs, computed by PyTorch in float64."""

import os

import numpy as np

from project_root import ROOT

_FOLDER = os.path.join(ROOT, "tests", "golden")
GOLDEN = dict(np.load(os.path.join(_FOLDER, "layer_distillation.npz")))
PREDICTIONS = dict(np.load(os.path.join(_FOLDER, "distillation_predictions.npz")))
