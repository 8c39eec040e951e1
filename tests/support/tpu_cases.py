"""Fine-tuning cases for --use_tpu, of every kind of task but generation, with their data.

Choices for which the project has tables (heads, objectives, poolings ...) are read from these
tables, so that each new entry becomes a case.
"""

import json
from typing import Any, Dict, NamedTuple

import numpy as np

from albert_zh.model import optimization
from albert_zh.model.checkpoints import fine_tuning_notes
from albert_zh.tasks.classification import losses
from albert_zh.tasks.embedding.flags import OBJECTIVES
from albert_zh.tasks.labelling import head_names
import tiny_tasks
from workspace import CONFIG, Workspace


class Case(NamedTuple):
    """A fine-tuning run.

    Fields:
        kind: name of the kind of task.
        data: name of a folder that `write_data` creates.
        settings: flags in addition to those of the data.
    """

    kind: str
    data: str
    settings: Dict[str, Any]

    def __str__(self):
        words = ["%s=%s" % item for item in sorted(self.settings.items())]
        return " ".join([self.kind, self.data] + words)


_OF_CLASSES = {
    "label_smoothing": 0.1,
    "focal_gamma": 2.0,
    "class_weights": "balanced",
    "layer_decay": 0.9,
}
# Data of the family single_label, which `tiny_tasks` does not have: {name: {flag: value}}.
_CLASSIFIED = {
    "pairs": {"task_name": "lcqmc"},
    "texts": {"task_name": "multiclass"},
    "labels": {"task_name": "multiclass", "multi_label": True},
    "numbers": {"task_name": "multiclass", "regression": True},
}
_TEACHER = {"teacher_vectors": "{}/teacher.npy", "matryoshka": "16,4"}
_OF_DATA = {  # (family, task_name) of data in formats that `tiny_tasks` does not have
    "words": ("sequence_labelling", "cws"),
    "positives": ("sentence_embedding", "sentences"),
    "lone": ("sentence_embedding", "sentences"),
    "margins": ("sentence_embedding", "sentences"),
}
_DATA_OF_FORMATS = {
    "scored": "sentences",
    "positives": "positives",
    "texts": "lone",
    "margins": "margins",
}


def _each_once(one, other):
    """Pairs of the n-th members of two sequences; the last member of the shorter one repeats."""
    count = max(len(one), len(other))
    return [(one[min(n, len(one) - 1)], other[min(n, len(other) - 1)]) for n in range(count)]


def _embedding_case(name, objective):
    kind = "sentence_retrieval" if objective.dev_format == "positives" else "sentence_embedding"
    further = _TEACHER if name == "vectors" else {}
    data = _DATA_OF_FORMATS[objective.data_format]
    return Case(kind, data, dict(further, objective=name))


def _labelling_case(head):
    is_of_spans = head in head_names.SPAN_HEADS
    kind = "span_labelling" if is_of_spans else "sequence_labelling"
    return Case(kind, "ner", {"head": head})


CASES = [
    Case("single_label", "pairs", {}),
    Case("single_label", "pairs", {"rdrop_alpha": 1.0, "fgm_epsilon": 0.5, "recompute": True}),
    Case("single_label", "pairs", {"freeze_encoder": True, "precision": "bfloat16"}),
    Case("single_label", "pairs", {"ngram_rows": 1024}),
    Case("single_label", "texts", {"slots": True}),
    Case("single_label", "texts", {"slots": True, "slot_attention": False, "slot_gate": False}),
    Case("regression", "numbers", {"rdrop_alpha": 1.0}),
    Case("reading_comprehension", "questions", {"rdrop_alpha": 1.0}),
    Case("sequence_labelling", "words", {"granularities": ["fine", "coarse"]}),
    Case("sentence_embedding", "sentences", {"objective": "cosine", "batch_in_memory": 4}),
]
CASES += [
    Case("single_label", "texts", dict(_OF_CLASSES, pooling=pooling, optimizer=optimizer))
    for pooling, optimizer in _each_once(
        fine_tuning_notes.POOLINGS[::-1], sorted(optimization.OPTIMIZERS)[::-1]
    )
]
CASES += [
    Case("multi_label", "labels", {"multi_label_loss": loss}) for loss in losses.MULTI_LABEL_LOSSES
]
CASES += map(_labelling_case, head_names.HEADS)
CASES += [
    _embedding_case(name, objective)
    for name, objective in sorted(OBJECTIVES.items())
    if not objective.is_of_batch
]


def write_data(folder):
    """Writes all data and a model below a folder; returns the `Workspace`."""
    workspace = Workspace(folder, num_train=48, num_dev=12, num_test=6)
    for family in tiny_tasks.KINDS:
        tiny_tasks.write(workspace, family)
    for split, count in tiny_tasks.SIZES.items():
        texts = ["今天%d去吃饭" % number for number in range(count)]
        for name, lines in _lines_of_split(texts).items():
            workspace.write(name % split, "\n".join(lines) + "\n")
        if split != "train":
            rows = ["%s\t%s\t%d" % (text, text[::-1], len(text) % 2) for text in texts]
            rows[0] = rows[0][:-1] + "2"
            workspace.write("lone/%s.tsv" % split, "\n".join(rows) + "\n")
        else:
            workspace.write("lone/train.txt", "\n".join(texts) + "\n")
            vectors = np.random.RandomState(1).standard_normal([count, CONFIG["hidden_size"]])
            np.save(workspace.folder + "/lone/teacher.npy", vectors.astype(np.float32))
    none = dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), 0.0)
    settings = dict(CONFIG, initializer_range=0.3, **none)
    workspace.without_dropout = workspace.write("model/without_dropout.json", json.dumps(settings))
    return workspace


def _lines_of_split(texts):
    """{name of a file with %s for the split: lines}."""
    classes, labels = "吃饭银行", ("a", "a|b", "b|c", "")
    return {
        "texts/%s.tsv": ["text_a\tlabel\tslots"]
        + ["%s\t%s\t2-3:food" % (text, classes[n % 3]) for n, text in enumerate(texts)],
        "labels/%s.tsv": ["text_a\tlabel"]
        + ["%s\t%s" % (text, labels[n % 4]) for n, text in enumerate(texts)],
        "numbers/%s.tsv": ["text_a\tlabel"]
        + ["%s\t%.1f" % (text, n / 4) for n, text in enumerate(texts)],
        "words/%s.fine.txt": ["今 天 %s" % text[2:] for text in texts],
        "words/%s.coarse.txt": ["今天 %s" % text[2:] for text in texts],
        "positives/%s.tsv": ["%s\t%s\t银行%d" % (t, t[::-1], n) for n, t in enumerate(texts)],
        "margins/%s.tsv": ["%s\t%s\t银行%d\t0.5" % (t, t[::-1], n) for n, t in enumerate(texts)],
    }


def flags_of(case, workspace):
    """(family, {flag: value}) of a case's kind, data and settings."""
    folder = "%s/%s" % (workspace.folder, case.data)
    of_data = {"data_dir": folder}
    family = "single_label"
    names = {task: kind for kind, (task, _, _) in tiny_tasks.KINDS.items()}
    if case.data in _CLASSIFIED:
        of_data.update(_CLASSIFIED[case.data])
        if case.data == "pairs":
            of_data["data_dir"] = workspace.data
    elif case.data in names:
        kind = names[case.data]
        of_data = tiny_tasks.settings_of("%s/%s" % (workspace.folder, kind), kind)
        family = of_data.pop("family")
    else:
        family, of_data["task_name"] = _OF_DATA[case.data]
    settings = {
        name: value.format(folder) if isinstance(value, str) else value
        for name, value in case.settings.items()
    }
    return family, dict(of_data, **settings)
