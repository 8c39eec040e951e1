"""Parts of albert_zh's `similarity` other than `BertSim`, for importing programs.

sim = BertSim()
sim.start_model()
estimator.predict(input_fn_builder(sim, [("怎么开户", "如何开通账户")]))
"""

from typing import Any, Callable, List, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.compatibility.classification_parts import (
    InputFeatures,
    convert_examples_to_features,
    create_model,
)
from albert_zh.compatibility.classifier_examples import InputExample
from albert_zh.compatibility.classifier_utils import DataProcessor
from albert_zh.text.tokenization import convert_to_unicode

__all__ = [
    "DataProcessor",
    "InputExample",
    "InputFeatures",
    "SimProcessor",
    "convert_examples_to_features",
    "create_model",
    "input_fn_builder",
]


class SimProcessor(DataProcessor):
    """Pairs of sentences as unlabelled examples for prediction."""

    def get_sentence_examples(self, questions: Sequence[Tuple[Any, Any]]) -> List[InputExample]:
        """Creates an example per pair, with the placeholder label 0."""
        return [
            InputExample(
                "test-%d" % index, *(convert_to_unicode(str(text)) for text in pair[:2]), "0"
            )
            for index, pair in enumerate(questions)
        ]

    def get_labels(self) -> List[str]:
        """Both labels: different meaning, same meaning."""
        return ["0", "1"]


def input_fn_builder(bert_sim: Any, sentences: Sequence[Tuple[Any, Any]]) -> Callable:
    """Creates the input function of an Estimator that predicts pairs of sentences.

    Args:
        bert_sim: `BertSim`, whose tokenizer and maximum pair length F are used; it is started
            first if necessary.
        sentences: N pairs.

    Returns:
        function without arguments that returns a dataset with one batch: int32 `input_ids`,
        `input_mask`, `segment_ids` [N, F], `label_ids` [N].
    """

    def input_fn():
        processor, use = SimProcessor(), bert_sim.model_in_use()
        features = convert_examples_to_features(
            processor.get_sentence_examples(sentences),
            processor.get_labels(),
            use.max_seq_length,
            use.tokenizer,
        )
        names = {"label_ids": "label_id"}
        names.update((name, name) for name in ("input_ids", "input_mask", "segment_ids"))
        return tf.data.Dataset.from_tensors(
            {
                name: np.array([getattr(row, attribute) for row in features], np.int32)
                for name, attribute in names.items()
            }
        )

    return input_fn
