"""Validation of `head` in fine_tuning.json: settings that only one kind of task records."""

import copy

import pytest

from albert_zh.common import validation
from albert_zh.common.errors import UserError
from albert_zh.tasks import head_notes, registry

VECTORS = {
    "loss": "cosent",
    "dropout": None,
    "pooling": "mean",
    "normalize": True,
    "width": 8,
    "widths": [8, 4],
    "max_seq_length": 24,
    "projection_width": None,
    "margin": 0.5,
    "more_train": ["a.tsv:2"],
}
READER = {
    "doc_stride": 16,
    "max_query_length": 8,
    "max_answer_length": None,
    "n_best_size": 20,
    "version_2_with_negative": True,
    "length_penalty": None,
    "null_score_diff_threshold": -0.5,
    "original_features": False,
}
LABELLER = {
    "form": "crf",
    "tag_scheme": "BIO",
    "stride": None,
    "half_width": True,
    "granularities": ["fine", "coarse"],
    "granularity_tokens": {"fine": "[unused1]", "coarse": "[unused2]"},
    "granularity_loss": 0.1,
}
SLOTS = {"slots": {"names": ["singer"], "attention": True, "dropout": 0.1, "dictionaries": None}}
GENERATOR = {
    "max_target_length": 13,
    "tasks": {"prefix_lm": 1.0},
    "damage": {"way": "bart", "seed": None, "longest": 12},
    "token_ids": {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4},
}
HEADS = {
    "single_label": SLOTS,
    "multi_label": SLOTS,
    "generation": GENERATOR,
    "reading_comprehension": READER,
    "sentence_embedding": VECTORS,
    "sentence_retrieval": VECTORS,
    "sequence_labelling": LABELLER,
    "span_labelling": dict(LABELLER, form="global_pointer"),
}


def damaged(head):
    """Yields (key, the head with a value of a wrong type for that key), at any depth."""
    for name, value in head.items():
        wrong = "x" if isinstance(value, (dict, list)) else []
        yield name, dict(head, **{name: wrong})
        if isinstance(value, dict):
            for key, inner in damaged(value):
                yield "%s.%s" % (name, key), dict(head, **{name: inner})


@pytest.mark.parametrize("kind", sorted(HEADS))
def test_a_damaged_head_is_named(kind):
    head = copy.deepcopy(HEADS[kind])
    head_notes.check_head({"objective": kind, "head": head}, "m/fine_tuning.json")
    for key, wrong in damaged(head):
        with pytest.raises(UserError) as caught:
            head_notes.check_head({"objective": kind, "head": wrong}, "m/fine_tuning.json")
        message = str(caught.value)
        assert message.startswith("m/fine_tuning.json: head: %s: expected " % key), message
        assert "\n" not in message and message.endswith("or train again")


@pytest.mark.parametrize(
    "kind, key",
    [
        ("generation", "token_ids"),
        ("generation", "max_target_length"),
        ("sentence_embedding", "dropout"),
        ("sentence_retrieval", "width"),
    ],
)
def test_what_a_head_lacks_is_named(kind, key):
    head = {name: value for name, value in HEADS[kind].items() if name != key}
    with pytest.raises(UserError, match="m: head: %s is missing, expected " % key):
        head_notes.check_head({"objective": kind, "head": head}, "m")


def test_a_classifier_needs_no_head():
    head_notes.check_head({}, "m")
    assert registry.get("regression").flags.head_kind.accepts({})
    assert validation.fault_of("m", {}, registry.get("single_label").flags.head_kind) is None
