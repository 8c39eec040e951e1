"""Converts examples of classification tasks to padded features in BERT's form."""

import collections
from typing import Any, Sequence

from albert_zh.text import encoding

InputFeatures = collections.namedtuple(
    "InputFeatures",
    ["input_ids", "input_mask", "segment_ids", "label_id", "is_real_example"],
    defaults=(True,),
)


def convert_single_example(
    ex_index: int, example: Any, label_list: Sequence[str], max_seq_length: int, tokenizer: Any
) -> InputFeatures:
    """Converts an example to padded features (BERT's interface).

    Args:
        ex_index: number of the example; not used.
        example: `InputExample`.
        label_list: the labels, class 0 first.
        max_seq_length: length of the lists.
        tokenizer: `FullTokenizer`.

    Returns:
        `InputFeatures` of lists [max_seq_length] and the label's number (0 without a label).
    """
    del ex_index
    input_ids, segment_ids, _ = encoding.encode(
        tokenizer, example.text_a, example.text_b, max_seq_length
    )
    padding = [0] * (max_seq_length - len(input_ids))
    return InputFeatures(
        input_ids=input_ids + padding,
        input_mask=[1] * len(input_ids) + padding,
        segment_ids=segment_ids + padding,
        label_id=0 if example.label is None else list(label_list).index(example.label),
        is_real_example=True,
    )
