"""albert_zh's `run_classifier` for importing programs: features, input, model, `model_fn`.

file_based_convert_examples_to_features(examples, labels, 128, tokenizer, "train.tf_record")
input_fn = file_based_input_fn_builder("train.tf_record", 128, True, drop_remainder=True)
model_fn = model_fn_builder(config, len(labels), init_checkpoint, 1e-4, 1000, 100, False, False)
tf.estimator.tpu.TPUEstimator(model_fn, ...).train(input_fn, max_steps=1000)
"""

from albert_zh.compatibility import classification_parts, classifier_utils
from albert_zh.compatibility.classification_parts import *  # noqa: F403
from albert_zh.compatibility.classifier_utils import *  # noqa: F403

__all__ = [*classifier_utils.__all__, *classification_parts.__all__]
