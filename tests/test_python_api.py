"""The Python blocks of the documents run as they are printed."""

import os
import re

import numpy as np
import pytest

import args
import small_models
from workspace import ROOT


def blocks_of(name):
    """The Python blocks of a file of docs/."""
    with open(os.path.join(ROOT, "docs", name), encoding="utf-8") as handle:
        return re.findall(r"```python\n(.*?)```", handle.read(), re.S)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("models") / "pairs")
    vocabulary = small_models.starter_vocabulary()
    return small_models.write_model(path, vocabulary=vocabulary, max_position_embeddings=512)


@pytest.mark.parametrize("block", blocks_of("python_api.md"))
def test_python_api(block, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(args, "model_dir", folder)
    faq = tmp_path / "faq.txt"
    faq.write_text("怎么开户\n怎么销户\n今天天气\n", encoding="utf-8")
    block = re.sub(r'"(lcqmc_output/best|albert_starter_zh|prev_\w+/\w+)"', repr(folder), block)
    block = block.replace('"faq.txt"', repr(str(faq)))
    monkeypatch.chdir(ROOT)
    values = {}
    exec(compile(block, "python_api.md", "exec"), values)
    shown = capsys.readouterr().out
    if "similarities" in values:
        assert values["probabilities"].shape == (2, 2) and values["similarities"].shape == (1,)
    elif "vectors" in values:
        np.testing.assert_allclose(np.linalg.norm(values["vectors"], axis=1), 1, atol=1e-5)
    elif "hit" in values:
        assert len(shown.splitlines()) == 3
    elif "filler" in values:
        assert len(shown.splitlines()) == 5
    elif "sim" in values:
        assert values["probabilities"].shape == (1, 2)
    else:
        assert "ids" in values or values["sequence_output"].shape.as_list() == [None, None, 312]
