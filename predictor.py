"""A fine-tuned classifier kept resident: texts in, labels and probabilities out.

with Predictor("lcqmc_output/best") as predictor:
    labels, probabilities = predictor.predict([("怎么开户", "如何开通账户")])
"""

import glob
import os
from typing import List, Optional, Sequence, Tuple, Union

import numpy as np
import tensorflow.compat.v1 as tf

from errors import UserError
import checkpoints
import classification
import files
import modeling
import tokenization

Text = Union[str, Tuple[str, str]]
BATCH_SIZE = 64
DEFAULT_LENGTH = 128


class Predictor:
    """A model folder's classifier in a session of its own."""

    def __init__(
        self,
        model_dir: str,
        max_seq_length: Optional[int] = None,
        do_lower_case: Optional[bool] = None,
    ):
        """Loads config, vocabulary, labels and weights.

        Args:
            model_dir: model folder of a fine-tuned classifier, such as OUTPUT_DIR/best.
            max_seq_length: longest input in tokens, longer ones are cut; as in training by default.
            do_lower_case: whether to lower-case; as in training by default.

        Raises:
            UserError: if the folder is no such model.
        """
        if not os.path.isdir(model_dir):
            raise UserError("%s: no such model folder; fine-tune one first" % model_dir)
        config = modeling.AlbertConfig.from_json_file(checkpoints.config_in_folder(model_dir))
        prefix = checkpoints.find_checkpoint(model_dir)
        shapes = checkpoints.read_shapes(prefix)
        if "output_weights" not in shapes:
            raise UserError("%s holds no classifier (output_weights): fine-tune it first" % prefix)
        num_labels = shapes["output_weights"][0]
        self.labels = _labels(model_dir, num_labels)
        trained = _training_settings(model_dir)
        if do_lower_case is None:
            do_lower_case = trained.get("do_lower_case", True)
        self._tokenizer = tokenization.FullTokenizer(
            os.path.join(model_dir, "vocab.txt"), do_lower_case
        )
        length = max_seq_length or trained.get("max_seq_length", DEFAULT_LENGTH)
        self._max_seq_length = min(length, config.max_position_embeddings)
        self._session = tf.Session(graph=tf.Graph())
        with self._session.graph.as_default():
            self._build(config, num_labels)
            checkpoints.initialize_from(prefix, tf.trainable_variables())
            self._session.run(tf.global_variables_initializer())

    def _build(self, config, num_labels):
        self._inputs = [
            tf.placeholder(tf.int32, [None, None], name)
            for name in ("input_ids", "input_mask", "segment_ids")
        ]
        model = modeling.AlbertModel(config, False, *self._inputs)
        head = modeling.classification_head(
            config, model.get_pooled_output(), None, num_labels, is_training=False
        )
        self._probabilities = head.probabilities

    def predict(self, texts: Sequence[Text]) -> Tuple[List[str], np.ndarray]:
        """Classifies texts.

        Args:
            texts: list of str, or of (text_a, text_b).

        Returns:
            (labels, probabilities): list of n labels and float array [n, classes], in the order of
            the texts.
        """
        rows = [self._encoded(text) for text in texts]
        probabilities = np.zeros([len(rows), len(self.labels)], np.float32)
        by_length = sorted(range(len(rows)), key=lambda index: len(rows[index][0]))
        for start in range(0, len(rows), BATCH_SIZE):
            batch = by_length[start : start + BATCH_SIZE]
            probabilities[batch] = self._run([rows[index] for index in batch])
        return [self.labels[index] for index in probabilities.argmax(axis=1)], probabilities

    def _encoded(self, text):
        text_a, text_b = (text, None) if isinstance(text, str) else text
        ids, segments, _ = classification.encode(
            self._tokenizer, text_a, text_b, self._max_seq_length
        )
        return ids, segments

    def _run(self, rows):
        length = max(len(ids) for ids, _ in rows)
        arrays = np.zeros([3, len(rows), length], np.int32)  # ids, mask, segments
        for index, (ids, segments) in enumerate(rows):
            arrays[0, index, : len(ids)] = ids
            arrays[1, index, : len(ids)] = 1
            arrays[2, index, : len(ids)] = segments
        return self._session.run(self._probabilities, dict(zip(self._inputs, arrays)))

    def close(self):
        """Frees the session."""
        self._session.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def _training_settings(model_dir):
    path = os.path.join(model_dir, "fine_tuning.json")
    return files.read_json(path) if os.path.exists(path) else {}


def _labels(model_dir, num_labels):
    """The labels in the order of their numbers; the numbers themselves without a label map."""
    path = os.path.join(model_dir, "label_map.json")
    if not os.path.exists(path):
        return [str(number) for number in range(num_labels)]
    label_map = files.read_json(path)
    if len(label_map) != num_labels:
        raise UserError(
            "%s has %d labels, the checkpoint beside it %d: it is of another model"
            % (path, len(label_map), num_labels)
        )
    return sorted(label_map, key=label_map.get)


def newest_best_folder(root: str = ".") -> str:
    """The `*_output/best` folder that was written last.

    Raises:
        UserError: if there is none; says which command makes one.
    """
    found = glob.glob(os.path.join(root, "*_output", "best"))
    if not found:
        raise UserError(
            "no fine-tuned model (*_output/best) is here: make one with "
            "bash run_classifier_lcqmc.sh, or name one with --model_dir"
        )
    return max(found, key=os.path.getmtime)
