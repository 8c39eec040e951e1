"""The bundled FAQ sample: its generator reproduces it, and no dev or test question is in train."""

import os
import sys

import pytest

from project_root import ROOT

SAMPLE = os.path.join(ROOT, "data", "faq_sample")
sys.path.insert(0, SAMPLE)

import make_faq


@pytest.fixture(name="rows", scope="module")
def rows_fixture():
    found = {}
    for name in ("train", "dev", "test"):
        with open(os.path.join(SAMPLE, name + ".tsv"), encoding="utf-8") as stream:
            found[name] = [tuple(line.rstrip("\n").split("\t")) for line in stream]
    return found


def entries():
    with open(os.path.join(SAMPLE, "faq.txt"), encoding="utf-8") as stream:
        return stream.read().splitlines()


def test_the_files_are_those_that_the_script_makes(rows):
    faq = make_faq.read_faq()
    assert make_faq.split(faq) == rows
    assert [entry for entry, _ in faq] == entries()


def test_the_sample_is_large_enough(rows):
    assert len(entries()) >= 300 and len(set(entries())) == len(entries())
    assert sum(map(len, rows.values())) >= 3000
    assert {entry for _, entry in rows["test"]} == set(entries())


def test_no_wording_of_test_or_dev_is_trained_on(rows):
    trained = {text for row in rows["train"] for text in row}
    for name in ("dev", "test"):
        assert not trained.intersection(question for question, _ in rows[name])
    assert not {q for q, _ in rows["dev"]}.intersection(q for q, _ in rows["test"])
    assert all(text == text.strip() and text for r in rows.values() for row in r for text in row)
