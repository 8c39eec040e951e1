"""Parting raw text; what is excluded and held out is tested with train_starter, which calls it."""

import os
import sys

import pytest

from errors import UserError
import small_models
from workspace import ROOT

sys.path.insert(0, os.path.join(ROOT, "scripts"))
import split_corpus  # noqa: E402

NEWS = os.path.join(ROOT, "data", "news_sample.txt")


def test_a_file_in_the_place_of_the_folder_is_told(tmp_path):
    (tmp_path / "out").write_text("x")
    arguments = ["--input_file=" + NEWS, "--output_dir=%s" % (tmp_path / "out")]
    with pytest.raises(UserError, match="--output_dir=.*/out: cannot be written .File exists"):
        small_models.run_command(split_corpus, arguments)
    assert (tmp_path / "out").read_text() == "x"
