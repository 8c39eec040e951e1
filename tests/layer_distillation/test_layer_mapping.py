"""Mapping between the layers of students and teachers of any depth."""

import json

import pytest

from albert_zh.common.errors import UserError
from albert_zh.layer_distillation.layer_mapping import layer_pairs
from golden_distillation import GOLDEN


def test_uniform_mappings_are_the_goldens():
    mappings = json.loads(str(GOLDEN["layer_mappings_json"]))
    assert len(mappings) > 10
    for depths, mapping in mappings.items():
        num_teacher, num_student = map(int, depths.split(","))
        pairs = layer_pairs(num_student, num_teacher)
        assert pairs == list(enumerate(mapping["nearest"]))
        if mapping["tinybert"]:
            assert pairs == list(enumerate(mapping["tinybert"]))


def test_chosen_layers():
    assert layer_pairs(4, 12, ["4:12", " 0:0", "2 : 5"]) == [(0, 0), (2, 5), (4, 12)]


@pytest.mark.parametrize(
    "chosen, message",
    [
        (["4-12"], "--layers: '4-12' is no pair, expected pairs STUDENT:TEACHER"),
        (["5:12"], "--layers=5:12: the student has 4 layers"),
        (["4:13"], "--layers=4:13: the teacher has 12 layers"),
    ],
)
def test_layers_that_make_no_sense(chosen, message):
    with pytest.raises(UserError, match=message):
        layer_pairs(4, 12, chosen)
