"""Reads a checkpoint's layout, heads and canonical names off the names of its variables."""

import collections
import re
from typing import Container, Dict, Iterable, List, Mapping, Optional, Sequence

from albert_zh.model.layouts import LAYOUTS

ENCODER_SCOPES = tuple("%s/" % scope for scope in sorted({x.scope for x in LAYOUTS.values()}))
POSITION_TABLE = "embeddings/position_embeddings"  # below one of these scopes
MASKED_LM_LOSS = "cls/predictions/truediv"

# Variable names that identify a checkpoint's layout.
_LAYOUT_MARKS = (
    ("electra", re.compile(r"(^|/)electra/encoder/layer_\d+/")),
    ("brightmart", re.compile(r"encoder/layer_shared/")),
    ("google", re.compile(r"encoder/transformer/group_\d+/")),
    ("bert", re.compile(r"encoder/layer_\d+/")),
)
# For each head, variables of which it has at least one, and its outputs. "classification" stands
# for the head of any kind of fine-tuning task; the outputs listed here are a classifier's.
TASK_HEAD = "classification"
HEADS = collections.OrderedDict(
    [
        (
            TASK_HEAD,
            (
                ("output_weights", "cls/squad/output_weights", "global_pointer/dense/kernel"),
                ("probabilities", "logits"),
            ),
        ),
        ("masked_lm", (("cls/predictions/output_bias",), ("masked_lm_log_probs", MASKED_LM_LOSS))),
        (
            "sentence_order",
            (("cls/seq_relationship/output_weights",), ("sentence_order_log_probs",)),
        ),
    ]
)


# Parts that a classifier may have besides its head: {scope of their variables: the key of `head` in
# fine_tuning.json that describes them}.
CLASSIFIER_PARTS = {"slots": "slots", "ngrams": "ngram_rows"}


def classifier_parts(names: Iterable[str]) -> List[str]:
    """The scopes of `CLASSIFIER_PARTS` that variables with these names are in."""
    scopes = {name.split("/")[0] for name in names}
    return [scope for scope in CLASSIFIER_PARTS if scope in scopes]


def layout_of(names: Iterable[str]) -> Optional[str]:
    """The layout that the variable names indicate, or None."""
    names = list(names)
    for layout, mark in _LAYOUT_MARKS:
        if any(mark.search(name) for name in names):
            is_nezha = layout == "bert" and not has_position_table(names)
            return "nezha" if is_nezha else layout
    return None


def has_position_table(names: Iterable[str]) -> bool:
    """Whether the variable names include a table of absolute positions."""
    tables = [scope + POSITION_TABLE for scope in ENCODER_SCOPES]
    return any(canonical_name(name) in tables for name in names)


def by_canonical_name(there: Iterable[str]) -> Dict[str, str]:
    """{canonical name, as in graphs: name in the checkpoint}."""
    source = {name: name for name in there}
    for name in there:
        source.setdefault(canonical_name(name), name)
    return source


def canonical_name(name: str) -> str:
    """A checkpoint's variable name as in graphs: without `:0`, in the model's scope only."""
    plain = name[:-2] if name.endswith(":0") else name
    if re.match(r"(embeddings|encoder|pooler)/", plain):
        plain = "bert/" + plain
    wrapped = re.search(
        r"/((?:%s)(embeddings|embeddings_project|encoder|pooler)/.*)$" % "|".join(ENCODER_SCOPES),
        plain,
    )
    return wrapped.group(1) if wrapped else plain


# Variables of heads, and the number of their rows (or values) per output.
_ROWS_OF_OUTPUT = (
    ("output_weights", 1),
    ("output_bias", 1),
    ("cls/squad/output_weights", 1),
    ("global_pointer/type_biases/bias", 2),
    ("global_pointer/dense/bias", 2 * 64),  # query and key of each type
)


def num_labels(shapes: Mapping[str, Sequence[int]]) -> int:
    """Number of classes, read off {canonical name: shape}; 2 if there is no classifier."""
    for name, num_rows in _ROWS_OF_OUTPUT:
        if shapes.get(name):  # not a scalar
            return max(1, shapes[name][0] // num_rows)
    return 2


def with_canonical_names(shapes: Mapping[str, Sequence[int]]) -> Dict[str, Sequence[int]]:
    """{canonical name, as in graphs: shape} of a checkpoint's {name: shape}."""
    return {canonical_name(name): shape for name, shape in shapes.items()}


def heads_of(names: Container[str]) -> List[str]:
    """The heads whose variables occur in `names`, a list of keys of `HEADS`."""
    return [head for head, (marks, _) in HEADS.items() if any(mark in names for mark in marks)]
