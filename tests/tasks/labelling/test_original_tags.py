"""Output layers of NEZHA's entity recogniser."""

import numpy as np
import pytest

from albert_zh.common.errors import UserError
from albert_zh.tasks.labelling import original_tags
from albert_zh.tasks.labelling.tag_schemes import SCHEMES, all_tags


def test_outputs_are_selected_by_name():
    weights = np.arange(11)[:, None] * np.ones([1, 3])
    tags = all_tags(SCHEMES["BIO"], ["LOC", "ORG", "PER"])
    selected, bias = original_tags.select_outputs(weights, np.arange(11.0), tags)
    # O, B-LOC, I-LOC, B-ORG, I-ORG, B-PER, I-PER; NEZHA counts its labels from 1 in this order:
    # O, B-PER, I-PER, B-ORG, I-ORG, B-LOC, I-LOC, X, [CLS], [SEP].
    assert bias.tolist() == [1, 6, 7, 4, 5, 2, 3]
    assert np.array_equal(selected[:, 0], bias) and selected.shape == (7, 3)


def test_other_layers_are_refused():
    with pytest.raises(UserError, match="output_weights: 2 outputs, expected the 11 of NEZHA"):
        original_tags.select_outputs(np.zeros([2, 3]), np.zeros(2), ["O"])
    with pytest.raises(UserError, match="the tag B-GPE is not among those of the checkpoint"):
        original_tags.select_outputs(np.zeros([11, 3]), np.zeros(11), ["O", "B-GPE"])
