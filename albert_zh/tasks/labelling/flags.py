"""Flags of sequence labelling."""

import re
from typing import Any, Dict, Optional

from absl import flags

from albert_zh.common import validation
from albert_zh.common.errors import UserError
from albert_zh.tasks import kind_interface, task_forms
from albert_zh.tasks.labelling import head_names, json_files, reader, tag_schemes

CRF_RATE_FACTOR = 20.0  # transitions start from 0 and have to grow
SPAN_RATE_FACTOR = 10.0

_TABLE = (
    (
        "boolean",
        "do_train_and_eval",
        False,
        "NEZHA's name for --do_train=true --do_eval=true.",
    ),
    (
        "enum",
        "head",
        head_names.CRF,
        "Head that labels the word pieces: a conditional random field, independent softmaxes, or "
        "scores of spans, which allow nested entities.",
    ),
    (
        "enum",
        "tag_scheme",
        None,
        "Scheme of the tags that are learned; by default the scheme of the training file or, if "
        "the file has no tags, BMES for words and BIO for entities.",
    ),
    (
        "enum",
        "file_format",
        None,
        "Format of the files; by default it is detected by their first lines. With --task_name=ner "
        "the format segmented is not detected and has to be named.",
    ),
    (
        "enum",
        "overlaps",
        reader.REFUSED,
        "How to handle overlapping entities, which tags cannot express: error, or longest to keep "
        "only the longest of them.",
    ),
    ("enum", "offset_unit", json_files.CHARACTERS, "Unit of the positions in JSON files."),
    (
        "boolean",
        "original_reader",
        False,
        "Whether to read columns as NEZHA's run_classifier_ner.py does: a sentence ends only at a "
        'blank line after a "。".',
    ),
    (
        "boolean",
        "half_width",
        None,
        "Whether to convert full-width letters and digits to half-width ones, which most "
        "pre-training texts have; by default true, with --original_reader false.",
    ),
    (
        "integer",
        "stride",
        None,
        "Word pieces between the starts of successive windows of a long text; by default half a "
        "window.",
    ),
    (
        "float",
        "head_learning_rate",
        None,
        "Factor by which the head's learning rate is multiplied; by default %g with --head=%s, %g "
        "with heads of spans, otherwise 1." % (CRF_RATE_FACTOR, head_names.CRF, SPAN_RATE_FACTOR),
    ),
    (
        "list",
        "granularities",
        None,
        "Granularities of word segmentation that one model learns, such as fine,coarse: DATA_DIR "
        "has a file for each of them, train.fine.txt and train.coarse.txt, and likewise for dev "
        "and test.",
    ),
    (
        "string",
        "granularity",
        None,
        "Granularity of the model that is evaluated and predicted; by default all granularities "
        "that have a file; the first one for a file without a granularity in its name.",
    ),
    (
        "boolean",
        "granularity_bigrams",
        True,
        "With --granularities: add embeddings of bigrams to the encoder's output.",
    ),
    (
        "boolean",
        "granularity_attention",
        True,
        "With --granularities: apply attention to the encoder's output and the bigrams.",
    ),
    (
        "float",
        "granularity_loss",
        0.1,
        "With --granularities: weight of the loss of predicting the granularity from [CLS]; 0 to "
        "disable it.",
    ),
)
_GRANULARITY = re.compile(r"[\w-]+\Z")
_CHOICES = {
    "head": head_names.HEADS,
    "tag_scheme": list(tag_schemes.SCHEMES),
    "file_format": reader.FORMATS,
    "overlaps": (reader.REFUSED, reader.LONGEST),
    "offset_unit": list(json_files.OFFSET_UNITS),
}
_RATE_FACTORS = {head_names.CRF: CRF_RATE_FACTOR, head_names.SOFTMAX: 1.0}
_WITHOUT_MEANING_OF_SPAN_HEADS = {
    "tag_scheme": "uses no tags",
    "rdrop_alpha": "uses no tags",
    "overlaps": "supports nested entities",
}
# How files are read may change after training; the other settings belong to the model.
READING = ("file_format", "overlaps", "offset_unit", "original_reader", "skip_bad_rows")
GRANULARITY_PARTS = ("granularity_bigrams", "granularity_attention", "granularity_loss")
# What a model saves of these flags.
_HEAD_KIND = validation.record(
    {
        "form": validation.one_of(*head_names.HEADS),
        "tag_scheme": validation.or_none(validation.one_of(*tag_schemes.SCHEMES)),
        "stride": validation.or_none(validation.integer(1)),
        "half_width": validation.BOOLEAN,
        "file_format": validation.or_none(validation.one_of(*reader.FORMATS)),
        "overlaps": validation.one_of(reader.REFUSED, reader.LONGEST),
        "offset_unit": validation.one_of(*json_files.OFFSET_UNITS),
        "original_reader": validation.BOOLEAN,
        "skip_bad_rows": validation.BOOLEAN,
        "granularities": validation.list_of(validation.TEXT),
        "granularity_tokens": validation.record(others=validation.TEXT),
        "granularity_bigrams": validation.BOOLEAN,
        "granularity_attention": validation.BOOLEAN,
        "granularity_loss": validation.number(0),
    }
)


class LabellingFlags(kind_interface.KindFlags):
    """Flags of the labelling commands."""

    help_of_task = "Task: ner for entities, cws for words."
    head_kind = _HEAD_KIND
    fixed = (
        ("head", "tag_scheme", "half_width", "stride", "head_learning_rate", "granularities")
        + READING
        + GRANULARITY_PARTS
    )

    def define(self, options: flags.FlagValues) -> None:
        for kind, name, default, help_text in _TABLE:
            choices = [_CHOICES[name]] if kind == "enum" else []
            define = getattr(flags, "DEFINE_" + kind)
            define(name, default, *choices, help_text, flag_values=options)

    def take_other_names(self, options: flags.FlagValues) -> None:
        if options.do_train_and_eval:
            options.do_train = options.do_eval = True

    def kind_of(self, options: flags.FlagValues) -> Optional[str]:
        return "span_labelling" if options.head in head_names.SPAN_HEADS else "sequence_labelling"

    def check(self, options: flags.FlagValues) -> None:
        kind_interface.refuse_given(
            options,
            task_forms.COLUMN_FLAGS.values(),
            "files of labelled texts have no columns to choose (the TSV form has text_a and label "
            "in its header): leave it out",
        )
        _check_numbers(options)
        _check_granularities(options)
        if options.head not in head_names.SPAN_HEADS:
            return
        for name, why in _WITHOUT_MEANING_OF_SPAN_HEADS.items():
            if options[name].value not in (None, 0, "", reader.REFUSED):
                raise UserError(
                    "--%s=%s has no effect with --head=%s, which %s: leave it out"
                    % (name, options[name].value, options.head, why)
                )

    def head(self, options: flags.FlagValues) -> Dict[str, Any]:
        names = ("tag_scheme", "stride") + READING
        head = dict({name: options[name].value for name in names}, form=options.head)
        head["half_width"] = _reads_half_width(options)
        if options.granularities:
            head.update((name, options[name].value) for name in GRANULARITY_PARTS)
            head["granularities"] = list(options.granularities)
        return head

    def rate_factor(self, options: flags.FlagValues) -> float:
        if options.head_learning_rate is not None:
            return options.head_learning_rate
        return _RATE_FACTORS.get(options.head, SPAN_RATE_FACTOR)


def _reads_half_width(options):
    return not options.original_reader if options.half_width is None else options.half_width


def check_stride(options: flags.FlagValues) -> None:
    """Raises `UserError` for a stride that skips pieces between windows, or is below 1."""
    longest = options.max_seq_length - 2  # without [CLS] and [SEP]
    if options.stride is not None and not 0 < options.stride <= longest:
        raise UserError(
            "--stride=%d: expected 1 to %d, the word pieces of a window (--max_seq_length=%d)"
            % (options.stride, longest, options.max_seq_length)
        )


def _check_numbers(options):
    """Raises `UserError` for an invalid stride or an invalid factor of the learning rate."""
    if options.do_train:  # otherwise the model determines the length of windows
        check_stride(options)
    factor = options.head_learning_rate
    if factor is not None and not 0 < factor < float("inf"):
        raise UserError("--head_learning_rate=%s: expected a factor above 0" % factor)


def _check_granularities(options):
    """Raises `UserError` for flags of granularities that are invalid."""
    names = options.granularities
    if options.granularity and options.do_train:
        raise UserError(
            "--granularity=%s chooses what a trained model predicts: leave it out of training"
            % options.granularity
        )
    if not names:
        given = [name for name in GRANULARITY_PARTS if options[name].present and options.do_train]
        if given:
            raise UserError("--%s has no effect without --granularities" % given[0])
        return
    if options.head in head_names.SPAN_HEADS:
        raise UserError("--granularities segments into words: use --head=%s" % head_names.CRF)
    if len(set(names)) < len(names) or not all(_GRANULARITY.match(name) for name in names):
        raise UserError(
            "--granularities=%s: expected different names of letters, digits, - and _"
            % ",".join(names)
        )
