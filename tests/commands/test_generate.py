"""Tests of generate.py: the model that is used if none is named."""

import json
import os

import pytest

from albert_zh.commands import generate
from albert_zh.common import package_files
from albert_zh.common.errors import UserError
import small_models


def test_the_newest_generator_here_writes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(package_files, "places_of_models", lambda: [str(tmp_path)])
    with pytest.raises(UserError, match="of the kind generation.* train one with run_seq2seq.py"):
        small_models.run_command(generate, [], ["今天"])
    folder = small_models.write_generator(tmp_path / "titles_output" / "best")
    small_models.write_model(tmp_path / "pairs_output" / "best", ("0", "1"))
    os.utime(folder, (1, 1))
    small_models.run_command(generate, ["--max_length=2"], ["今天"])
    output, errors = capsys.readouterr()
    assert errors.startswith("model: %s\n" % folder)
    assert json.loads(output)["text"] == "今天"
