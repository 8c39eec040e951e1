"""If a data file is replaced after it was read, its hash is still that of the bytes read."""

import hashlib
import types

import numpy as np
import pytest

from albert_zh.common import storage
from albert_zh.common.errors import UserError
from albert_zh.distillation import unlabelled
from albert_zh.tasks import registry, task_forms
from albert_zh.tasks.embedding import mixing, text_files
from albert_zh.tasks.generation import damage, raw_texts
from albert_zh.tasks.slots import column_files

OTHER = "庚\n"


@pytest.fixture(name="replaced", autouse=True)
def replaced_fixture(monkeypatch):
    """Fixture: files in this list are overwritten before they are hashed; hashed files join it."""
    paths = []

    def sha256_of_file(path, hashed=storage.sha256_of_file):
        if path in paths:
            with open(path, "w", encoding="utf-8") as handle:
                handle.write(OTHER)
        paths.append(path)
        return hashed(path)

    monkeypatch.setattr(storage, "sha256_of_file", sha256_of_file)
    return paths


def write(folder, name, text):
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return str(path), hashlib.sha256(text.encode("utf-8")).hexdigest()


def test_raw_texts(tmp_path, replaced):
    path, digest = write(tmp_path, "corpus.txt", "甲乙。\n\n丙丁。\n")
    replaced.append(path)
    split = raw_texts.read_split(path, "train", damage.settings("bart", 1, 24, 9), "utf-8")
    assert len(split.examples) == 2 and split.sha256 == digest


def test_columns_of_slots(tmp_path, replaced):
    path, digest = write(tmp_path, "train.txt", "甲 O\n乙 B-a\n")
    classes, of_classes = write(tmp_path, "train.txt.intent", "好\n")
    replaced += [path, classes]
    assert column_files.read_split(path, "train").sha256 == digest + of_classes


def test_corpora(tmp_path, replaced):
    path, digest = write(tmp_path, "corpus.txt", "甲乙\n丙丁\n")
    replaced.append(path)
    assert text_files.read_corpus(path) == (["甲乙", "丙丁"], [], digest)
    dev, _ = write(tmp_path, "dev.tsv", "甲\t甲乙\n")
    head = {"loss": "infonce", "dev_format": "positives", "corpus": path}
    task = task_forms.Task({"dev": "dev.tsv"}, ("text_a", "text_b"), (), head=head)
    split = registry.get("sentence_retrieval").read_split(
        task, str(tmp_path), "dev", "utf-8", False
    )
    of_dev = text_files.read_split(dev, "dev", "positives").sha256
    assert split.sha256 == storage.sha256_of_all([of_dev, digest])


def test_vectors_of_a_teacher(tmp_path, replaced):
    path, _ = write(tmp_path, "a.txt", "甲\n乙\n")
    split = text_files.read_split(path, "train", "texts")
    vectors = str(tmp_path / "teacher.npy")
    np.save(vectors, np.ones([2, 8]))
    digest = hashlib.sha256((tmp_path / "teacher.npy").read_bytes()).hexdigest()
    replaced.append(vectors)
    options = types.SimpleNamespace(teacher_vectors=vectors, encoding="utf-8")
    assert mixing.training_split(split, options, 8)[1] == {"teacher_vectors": digest}


def test_texts_without_labels(tmp_path):
    path, _ = write(tmp_path, "texts.txt", "甲乙\n")
    kind = registry.get("single_label")
    task = task_forms.Task({}, ("text_a", "label"), ("0", "1"))
    with pytest.raises(UserError, match="texts.txt: changed while it was being read: start again"):
        unlabelled.read_unlabelled([path], kind, task, "utf-8", (), ())
