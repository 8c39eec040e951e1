"""The bundled entities sample: its contents and splits, and that its generator reproduces it."""

import collections
import filecmp
import os
import re
import subprocess
import sys

import pytest

from albert_zh.tasks.labelling import reader
from project_root import ROOT

SAMPLE = os.path.join(ROOT, "data", "entities_sample")
SPLITS = ("train", "dev", "test")
sys.path.insert(0, SAMPLE)

import make_entities


@pytest.fixture(scope="module")
def splits():
    return {name: reader.read_file(os.path.join(SAMPLE, name + ".txt")) for name in SPLITS}


def entities(data):
    return [(text.text[s.start : s.end], s.type) for text in data.texts for s in text.spans]


def test_files_are_those_of_the_generator(tmp_path):
    command = [
        sys.executable,
        os.path.join(SAMPLE, "make_entities.py"),
        "--output_dir=%s" % tmp_path,
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    for name in SPLITS:
        made = str(tmp_path / (name + ".txt"))
        assert filecmp.cmp(made, os.path.join(SAMPLE, name + ".txt"), shallow=False)


def test_numbers_of_the_readme(splits):
    with open(os.path.join(SAMPLE, "README.md"), encoding="utf-8") as handle:
        rows = re.findall(r"^\| (train|dev|test) \| (.*) \|$", handle.read(), re.MULTILINE)
    types = ["person", "organization", "place", "product", "work"]
    known = set(entities(splits["train"]))
    assert [name for name, _ in rows] == list(SPLITS)
    for name, cells in rows:
        counts = collections.Counter(entity_type for _, entity_type in entities(splits[name]))
        expected = [len(splits[name].texts)] + [counts[entity_type] for entity_type in types]
        numbers = [cell.strip() for cell in cells.split("|")]
        assert [int(number.replace(",", "")) for number in numbers[:6]] == expected
        seen = sum(entity in known for entity in entities(splits[name]))
        if name != "train":
            assert numbers[6] == "%.1f%%" % (100.0 * seen / sum(counts.values()))
            assert seen < 0.25 * sum(counts.values())


def test_splits_share_no_sentence_and_no_whole_list(splits):
    texts = [text.text for data in splits.values() for text in data.texts]
    assert len(set(texts)) == len(texts) >= 1700
    groups = make_entities.read_groups(os.path.join(SAMPLE, "values.txt"))
    values = make_entities.values_by_split(groups)
    for list_name in groups:
        of_split = {name: set(values[name][list_name]) for name in SPLITS}
        assert of_split["train"] - of_split["test"], list_name
        assert all(of_split.values())


def test_sentences_have_no_blanks_and_varied_lengths(splits):
    lengths = [len(text.text) for text in splits["train"].texts]
    assert min(lengths) < 12 and max(lengths) > 40
    assert not any(" " in text.text for data in splits.values() for text in data.texts)


def test_the_same_characters_have_several_types(splits):
    pairs = set(entities(splits["train"]))
    shared = {name for name, kind in pairs for other, k in pairs if k != kind and name in other}
    assert {"半夏", "落雁", "宋文博"} <= shared and len(shared) > 30
