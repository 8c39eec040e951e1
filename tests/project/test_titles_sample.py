"""The bundled titles: counts, overlap with their texts, and byte-for-byte reproduction."""

import os
import sys

from project_root import ROOT

sys.path.insert(0, os.path.join(ROOT, "data", "titles_sample"))

import make_titles

from albert_zh.tasks.generation import pair_files
import small_models

SAMPLE = os.path.join(ROOT, "data", "titles_sample")
ROWS = {"train": 480, "dev": 60, "test": 60}


def pairs_of(split):
    path = os.path.join(SAMPLE, split + ".tsv")
    return [(one.text_a, one.label) for one in pair_files.read_split(path, split, {}).examples]


def test_no_text_is_there_twice_and_titles_share_their_characters():
    pairs = [pair for split in ROWS for pair in pairs_of(split)]
    assert {split: len(pairs_of(split)) for split in ROWS} == ROWS
    assert len({text for text, _ in pairs}) == len(pairs)
    for text, title in pairs:
        assert 30 < len(text) < 160 and 8 < len(title) < 40
        assert len(set(title) & set(text)) / len(set(title)) > 0.5, title


def test_the_files_are_made_of_the_templates(tmp_path):
    small_models.run_command(make_titles, ["--output_dir=%s" % tmp_path])
    for split in ROWS:
        with open(os.path.join(SAMPLE, split + ".tsv"), "rb") as bundled:
            assert bundled.read() == (tmp_path / (split + ".tsv")).read_bytes()
