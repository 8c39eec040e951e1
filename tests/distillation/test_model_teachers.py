"""Models as teachers: the digest under which their targets are cached."""

import json
import os
import shutil

import pytest

from albert_zh.common.errors import UserError
from albert_zh.distillation.teachers import Student, open_teacher
from albert_zh.tasks import kind_interface, registry, task_forms
from albert_zh.tasks.input_examples import InputExample
import small_models

EXAMPLES = [InputExample("1", "今天", "明天", None)]


def opened(folder, cache):
    task = task_forms.Task({}, task_forms.PAIR, ("0", "1"))
    use = kind_interface.ModelInUse(task, {}, None, 48)
    return open_teacher(folder, Student(registry.get("single_label"), use, None, False), cache)


def test_a_folder_that_changes_after_it_was_looked_up_leaves_no_targets(tmp_path):
    """Targets of the new weights must not be cached under the digest of the former weights."""
    cache = str(tmp_path / "cache")
    folder = small_models.write_model(tmp_path / "teacher", seed=1)
    former = small_models.write_model(tmp_path / "former", seed=1)
    later = small_models.write_model(tmp_path / "later", seed=2)
    teacher = opened(folder, cache)
    shutil.rmtree(folder)
    shutil.copytree(later, folder)
    with pytest.raises(UserError, match=r"changed since .* \(weights\): start again"):
        teacher.prepare(EXAMPLES)
    expected = opened(former, cache)
    expected.prepare(EXAMPLES)
    assert expected.num_computed == 1  # nothing was cached under the digest
    again = opened(folder, cache)
    again.prepare(EXAMPLES)
    assert abs(again.target(EXAMPLES[0]) - expected.target(EXAMPLES[0])).max() > 1e-3


def test_what_changed_is_named(tmp_path):
    folder = small_models.write_model(tmp_path / "teacher")
    teacher = opened(folder, str(tmp_path / "cache"))
    with open(os.path.join(folder, "fine_tuning.json"), "w", encoding="utf-8") as handle:
        json.dump({"max_seq_length": 16}, handle)
    with pytest.raises(UserError, match=r"began \(fine_tuning.json\): ") as caught:
        teacher.prepare(EXAMPLES)
    assert str(caught.value).startswith("--teachers=%s: " % folder)
