"""Flags of slots, and the settings of a classifier's head that follow from them."""

from typing import Any, Dict, List, Optional, Sequence

from absl import flags

from albert_zh.common import validation
from albert_zh.common.errors import UserError
from albert_zh.common.messages import say
from albert_zh.tasks.slots import annotations, dictionaries

_LOOKED_AT = 5000  # training rows that are searched for dictionaries without any match

PARTS = ("attention", "gate", "context", "templates")

TABLE = (
    (
        "boolean",
        "slots",
        False,
        "Whether slots of characters are a further input of the model: slots of the data (a column "
        "slots; a key in JSON lines) and slots found by --dictionaries.",
    ),
    (
        "string",
        "dictionaries",
        None,
        "With --slots: folder with a file NAME.txt per slot, one entry per line, or with one .tsv "
        "of entry, tab, NAME. Entries that occur in a text get the slot NAME. The dictionaries are "
        "saved in the model folder.",
    ),
    (
        "boolean",
        "slot_attention",
        True,
        "With --slots: each position attends to the slots of all positions; false: only to its own "
        "slots.",
    ),
    (
        "boolean",
        "slot_gate",
        True,
        "With --slots: a gate weights text and slots; false: they are added.",
    ),
    (
        "boolean",
        "slot_context",
        True,
        "With --slots: multi-head attention follows over the combined text and slots.",
    ),
    (
        "boolean",
        "slot_templates",
        True,
        "With --slots: average the encoder's logits with logits of templates: words and pairs of "
        "words in which slot names replace the text of slots; not with --teachers.",
    ),
    (
        "float",
        "slot_dropout",
        0.1,
        "With --slots: fraction of the training rows whose slots are dropped.",
    ),
)
NAMES = tuple(row[1] for row in TABLE)
# What a classifier saves of these flags.
SETTINGS_KIND = validation.record(
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
FIXED = tuple(name for name in NAMES if name != "dictionaries")  # a path may change


def check(options: flags.FlagValues) -> None:
    """Raises `UserError` for slot flags that are invalid or do not fit the other flags."""
    given = [name for name in NAMES if name != "slots" and options[name].present]
    if given and not options.slots:
        raise UserError("--%s has no effect without --slots=true: add it" % given[0])
    if options.teachers and options["slot_templates"].present and options.slot_templates:
        raise UserError(
            "--slot_templates and --teachers: templates are trained on labels only: leave one of "
            "them out"
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
    """Returns the slot part of `Settings.head`; the slot names are added with the data."""
    if not options.slots:
        return {}
    parts: Dict[str, Any] = {part: options["slot_" + part].value for part in PARTS}
    if options.teachers:  # only the encoder's head learns the teachers' outputs
        parts["templates"] = False
    return {"slots": dict(parts, dropout=options.slot_dropout, names=[])}


def with_names(
    head: Dict[str, Any], examples: Sequence[Any], annotator: Optional[Any]
) -> Dict[str, Any]:
    """Adds to a head the names of the slots, and the digest of the dictionaries.

    Args:
        head: a head as `head` returns it.
        examples: the training examples.
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
    """Warns about dictionaries without any match in the texts of the examples."""
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
