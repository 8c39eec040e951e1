"""Precisions for which the processor has instructions, and the warning for other precisions."""

import pytest
import tensorflow.compat.v1 as tf

from albert_zh.commands import extract_features
from albert_zh.common import cpu_precision
import small_models

WITHOUT = "processor\t: 0\nflags\t\t: fpu sse4_2 avx2 avx512_bf16x\nbugs\t\t: none\n"
WITH = WITHOUT.replace("bf16x", "bf16")
ARM = "processor\t: 0\nFeatures\t: fp asimd bf16\n"


@pytest.fixture
def cpuinfo(tmp_path, monkeypatch):
    path = tmp_path / "cpuinfo"
    monkeypatch.setattr(cpu_precision, "_FEATURES_FILE", str(path))
    return path


@pytest.mark.parametrize(
    "content, bfloat16, mixed_float16",
    [
        (WITHOUT, False, False),
        (WITH, True, False),
        (WITHOUT.replace("avx2", "amx_bf16 avx512_fp16"), True, True),
        (ARM, True, True),  # unknown: counts as available
        ("", True, True),
    ],
)
def test_instructions_are_looked_up(content, bfloat16, mixed_float16, cpuinfo):
    cpuinfo.write_text(content)
    assert cpu_precision.has_instructions("float32")
    assert cpu_precision.has_instructions("bfloat16") == bfloat16
    assert cpu_precision.has_instructions("mixed_float16") == mixed_float16


def test_where_nothing_is_known_nothing_is_said(cpuinfo):
    assert cpu_precision.has_instructions("bfloat16") and not cpu_precision.slow_precision(
        "bfloat16"
    )


@pytest.mark.reference
def test_a_precision_that_costs_time_is_told_in_one_line(cpuinfo, tmp_path, caplog, monkeypatch):
    # Commands of other tests in this process may have silenced or redirected the log.
    monkeypatch.setattr(tf.get_logger(), "propagate", True)
    texts, vectors = tmp_path / "texts.txt", tmp_path / "vectors.jsonl"
    texts.write_text("好\n", encoding="utf-8")
    words = ["--input_file=%s" % texts, "--output_file=%s" % vectors, "--precision=bfloat16"]
    words.append("--model_dir=" + small_models.write_model(tmp_path / "model"))
    for content, said in ((WITHOUT, 1), (WITH, 0)):
        cpuinfo.write_text(content)
        caplog.clear()
        with caplog.at_level("WARNING", logger="tensorflow"):
            small_models.run_command(extract_features, words)
        warnings = [line for line in caplog.text.split("\n") if "slower than float32" in line]
        assert len(warnings) == said
        assert all("avx512_bf16 or amx_bf16" in line for line in warnings)
