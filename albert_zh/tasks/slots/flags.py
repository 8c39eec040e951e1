"""The flags of slots, and what they make of a head."""

from typing import Any, Dict, List, Optional, Sequence

from absl import flags

from albert_zh.common import validation
from albert_zh.common.errors import UserError
from albert_zh.common.messages import say
from albert_zh.model import slot_templates
from albert_zh.tasks.slots import annotations, dictionaries

_LOOKED_AT = 5000  # training rows, for dictionaries of which none is in a text

PARTS = ("attention", "gate", "context", "templates")

TABLE = (
    (
        "boolean",
        "slots",
        False,
        "Take slots of characters as a further input: those of the data (a column slots, in JSON "
        "lines a key) and those that --dictionaries find.",
    ),
    (
        "string",
        "dictionaries",
        None,
        "With --slots: folder with a file NAME.txt for each slot, an entry a line, or with one "
        ".tsv of entry, tab, NAME; what of them is in a text gets the slot NAME. The model's "
        "folder keeps them.",
    ),
    (
        "boolean",
        "slot_attention",
        True,
        "With --slots: each position looks at the slots of all; false: at its own alone.",
    ),
    (
        "boolean",
        "slot_gate",
        True,
        "With --slots: a gate weighs text and slots; false: they are added.",
    ),
    (
        "boolean",
        "slot_context",
        True,
        "With --slots: multi-head attention over what both became.",
    ),
    (
        "boolean",
        "slot_templates",
        True,
        "With --slots: the mean of the encoder's logits and of those of words and pairs of words "
        "in which the name of a slot stands for what has it; not with --teachers.",
    ),
    (
        "float",
        "slot_dropout",
        0.1,
        "With --slots: share of the training rows that are seen without slots.",
    ),
)
NAMES = tuple(row[1] for row in TABLE)
# What a classifier notes of them.
HEAD_KIND = validation.record(
    {
        "slots": validation.record(
            dict(
                dict.fromkeys(PARTS, validation.BOOLEAN),
                names=validation.list_of(validation.TEXT),
                dropout=validation.number(least=0, below=1),
                dictionaries=validation.or_none(validation.TEXT),
                label_width=validation.integer(1),
                width=validation.integer(1),
            ),
            required=("names",),
        )
    }
)
FIXED = tuple(name for name in NAMES if name != "dictionaries")  # a path may change


def check(options: flags.FlagValues) -> None:
    """Raises `UserError` for flags of slots that make no sense."""
    given = [name for name in NAMES if name != "slots" and options[name].present]
    if given and not options.slots:
        raise UserError("--%s has no meaning without --slots=true: add it" % given[0])
    if options.teachers and options["slot_templates"].present and options.slot_templates:
        raise UserError(
            "--slot_templates and --teachers: templates learn from labels alone: leave one of them "
            "out"
        )
    if not 0 <= options.slot_dropout < 1:
        raise UserError(
            "--slot_dropout=%s: expected a share, 0 or more and below 1" % options.slot_dropout
        )
    if options.dictionaries and not options.do_train:
        raise UserError(
            "--dictionaries=%s: a trained model has its dictionaries in its folder (%s): leave it "
            "out" % (options.dictionaries, dictionaries.FILE_NAME)
        )


def head(options: flags.FlagValues) -> Dict[str, Any]:
    """What of `Settings.head` the flags say; the names of slots are added with the data."""
    if not options.slots:
        return {}
    parts: Dict[str, Any] = {part: options["slot_" + part].value for part in PARTS}
    if options.teachers:  # whose outputs are learnt by the encoder's head alone
        parts["templates"] = False
    return {"slots": dict(parts, dropout=options.slot_dropout, names=[])}


def rate_factors(head: Dict[str, Any], learning_rate: float) -> Dict[str, float]:
    """{scope: factor of its learning rate} of the parts that have a fixed rate."""
    if not slot_templates.are_in(head):
        return {}
    return {slot_templates.SCOPE: slot_templates.RATE / learning_rate}


def with_names(
    head: Dict[str, Any], examples: Sequence[Any], annotator: Optional[Any]
) -> Dict[str, Any]:
    """A head with the names of its slots, and what its features depend on beside them.

    Args:
        head: as of `head`.
        examples: of training.
        annotator: `dictionaries.Annotator`, or None.

    Raises:
        UserError: if there are no slots at all.
    """
    known: List[str] = annotator.names if annotator else []
    if annotator:
        _report_unused(annotator, examples[:_LOOKED_AT])
    names = sorted(annotations.names_in(examples) | set(known))
    if not names:
        raise UserError(
            "--slots: the training rows have no slots, and there are no --dictionaries: add a "
            'column slots (3-6:singer; in JSON lines {"begin": 3, "end": 6, "name": "singer"}), or '
            "name a folder of dictionaries"
        )
    digest = annotator.sha256 if annotator else None
    return dict(head, slots=dict(head["slots"], names=names, dictionaries=digest))


def _report_unused(annotator, examples):
    """Warns of dictionaries that find nothing in texts."""
    texts = [text for example in examples for text in (example.text_a, example.text_b) if text]
    used = {span.name for text in texts for span in annotator.spans(text)}
    for name in annotator.names:
        if name not in used:
            say(
                "warning: --dictionaries: no entry of %s, such as %r, occurs in the first %d "
                "training rows: an entry is the whole line, up to a tab",
                name,
                annotator.first_entries[name],
                len(examples),
            )
