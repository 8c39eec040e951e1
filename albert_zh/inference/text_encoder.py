"""Texts -> vectors of sentences or tokens, by any checkpoint's encoder kept in memory.

with TextEncoder("albert_starter_zh", layers="second_to_last", pooling="mean") as encoder:
    vectors = encoder.encode(["怎么开户", "如何开通账户"])  # [2, H]

Choices of layers and pooling are those of bert-as-service.
"""

import hashlib
import json
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.common import cpu_precision
from albert_zh.common.errors import UserError
from albert_zh.inference import loaded_model
from albert_zh.model import checkpoint_files
from albert_zh.model.encoder import AlbertModel
from albert_zh.model.layers import max_over_tokens, mean_over_tokens

__all__ = [
    "LAYERS",
    "POOLINGS",
    "TextEncoder",
]

# name: (layers, counted from the last; how they become one).
LAYERS = {
    "last": ([-1], "concat"),
    "second_to_last": ([-2], "concat"),
    "last4_concat": ([-4, -3, -2, -1], "concat"),
    "last4_sum": ([-4, -3, -2, -1], "sum"),
}


def _mean_and_max(tokens, mask):
    pooled = [mean_over_tokens(tokens, mask), max_over_tokens(tokens, mask)]
    return tf.concat(pooled, axis=1)


# name: float [B, F, W] and mask [B, F, 1] -> [B, W], or [B, 2 W].
POOLINGS = {
    "mean": mean_over_tokens,
    "max": max_over_tokens,
    "mean_max": _mean_and_max,
    "cls": lambda tokens, mask: tokens[:, 0, :],
}


class TextEncoder(loaded_model.LoadedModel):
    """An encoder that is loaded once and used by any number of threads."""

    def __init__(
        self,
        model_dir: str,
        layers: str = "last",
        pooling: Optional[str] = "mean",
        max_seq_length: int = loaded_model.DEFAULT_LENGTH,
        do_lower_case: Optional[bool] = None,
        config_file: Optional[str] = None,
        vocab_file: Optional[str] = None,
        precision: str = "float32",
        num_threads: Optional[int] = None,
    ) -> None:
        """Loads config, vocabulary and weights; the files are not needed any more then.

        Args:
            model_dir: model folder (or checkpoint prefix), pre-trained or fine-tuned.
            layers: a name in `LAYERS`, or numbers such as "-1,-2", which are concatenated.
            pooling: how tokens become a sentence, a name in `POOLINGS`; None: not at all. Counts
                [CLS] and [SEP] as tokens, padding never.
            max_seq_length: longest input in tokens, longer ones are cut.
            do_lower_case: whether to lower-case; as in fine-tuning, or True, by default.
            config_file: config JSON where it is not in the model folder.
            vocab_file: vocabulary where it is not in the model folder.
            precision: of the products, a key of `modeling.PRECISIONS`.
            num_threads: threads of an operation; as many as there are cores by default.

        Raises:
            UserError: if there is no such model, or for unknown layers, pooling or precision.
        """
        super().__init__()
        loaded_model.check_precision(precision)
        loaded_model.check_arguments(
            layers=layers, pooling=pooling, max_seq_length=max_seq_length, num_threads=num_threads
        )
        folder = loaded_model.open_folder(model_dir, config_file, vocab_file, do_lower_case)
        config = folder.config
        self._tokenizer = folder.tokenizer
        self._num_segments = config.type_vocab_size
        self.pooling = pooling
        self.max_seq_length = loaded_model.checked_length(
            max_seq_length, config.max_position_embeddings
        )
        chosen, combination = _chosen_layers(layers, config.num_hidden_layers)
        self.layers = chosen
        self.fingerprint = {
            "weights": checkpoint_files.fingerprint(folder.prefix),
            "config": config.to_dict(),
            "vocabulary": folder.tokenizer.sha256,
            "do_lower_case": folder.do_lower_case,
            "max_seq_length": self.max_seq_length,
            "layers": [chosen, combination],
            "pooling": pooling,
            "precision": precision,
        }
        cpu_precision.warn_of_slow_precision(precision)
        self._load(config, folder.prefix, combination, precision, num_threads)

    def _load(self, config, prefix, combination, precision, num_threads):
        if self.pooling is not None and self.pooling not in POOLINGS:
            raise UserError(
                "pooling: unknown %r, expected one of %s"
                % (self.pooling, ", ".join(sorted(POOLINGS)))
            )

        def build(features):
            model = AlbertModel(
                config, False, *[features[n] for n in loaded_model.INPUT_NAMES], precision=precision
            )
            outputs = model.get_all_encoder_layers()
            outputs = [tf.cast(outputs[layer], tf.float32) for layer in self.layers]
            tokens = tf.concat(outputs, -1) if combination == "concat" else tf.add_n(outputs)
            self.width = int(tokens.shape[-1])
            if self.pooling is None:
                return tokens, []  # [B, F, W]
            mask = tf.cast(features["input_mask"][:, :, None], tf.float32)
            pooled = POOLINGS[self.pooling](tokens, mask)
            self.width = int(pooled.shape[-1])
            return pooled, []  # [B, W]

        self._session = loaded_model.CheckpointSession(prefix, build, "an encoder", num_threads)

    def encode(self, texts: Sequence[loaded_model.Text], normalize: bool = False) -> np.ndarray:
        """Vectors of sentences.

        Args:
            texts: list of str, or of (text_a, text_b).
            normalize: whether each vector is made 1 long.

        Returns:
            float32 [n, width], in the order of the texts.

        Raises:
            UserError: for anything that is no text, without a pooling, and after `close`.
        """
        if self.pooling is None:
            raise UserError("pooling: vectors of sentences need one of %s" % ", ".join(POOLINGS))
        loaded_model.check_arguments(normalize=normalize)
        checked = loaded_model.checked_texts(texts)
        encoded = np.zeros([len(checked), self.width], np.float32)
        for indices, _, vectors in self._batches(checked):
            encoded[indices] = _of_length_one(vectors) if normalize else vectors
        return encoded

    def encode_tokens(
        self, texts: Sequence[loaded_model.Text], normalize: bool = False
    ) -> List[Tuple[List[str], np.ndarray]]:
        """Vectors of tokens, [CLS] and [SEP] among them.

        Args:
            texts: list of str, or of (text_a, text_b).
            normalize: whether each vector is made 1 long.

        Returns:
            list of (tokens, float32 [tokens, width]), in the order of the texts.

        Raises:
            UserError: for anything that is no text, with a pooling, and after `close`.
        """
        if self.pooling is not None:
            raise UserError("pooling: vectors of tokens need None, found %r" % self.pooling)
        loaded_model.check_arguments(normalize=normalize)
        checked = loaded_model.checked_texts(texts)
        vectors_of_texts: List[Any] = [None] * len(checked)
        for indices, rows, vectors in self._batches(checked):
            for index, (ids, _), row in zip(indices, rows, vectors):
                row = row[: len(ids)]
                tokens = self._tokenizer.convert_ids_to_tokens(ids)
                vectors_of_texts[index] = (tokens, _of_length_one(row) if normalize else row)
        return vectors_of_texts

    def _batches(self, texts):
        """Yields (indices, rows, what the session gives for them)."""
        with self.in_use():
            rows = loaded_model.rows_of(
                texts, self._tokenizer, self.max_seq_length, self._num_segments
            )
            for indices in loaded_model.batches_by_length([len(ids) for ids, _ in rows]):
                batch = [rows[index] for index in indices]
                yield indices, batch, self._session.run(*loaded_model.padded(batch))

    def fingerprint_of(self, **further: Any) -> str:
        """A hash of everything the vectors depend on beside the texts, and of further values."""
        content = json.dumps(dict(self.fingerprint, **further), sort_keys=True)
        return hashlib.sha256(content.encode("utf-8")).hexdigest()

    def _free(self):
        self._session.close()


def _chosen_layers(name, num_layers):
    """(list of layers, all negative; "concat" or "sum") of a name or of numbers."""
    if name in LAYERS:
        chosen, combination = LAYERS[name]
    else:
        try:
            chosen, combination = [int(part) for part in name.split(",")], "concat"
        except ValueError:
            raise UserError(
                "layers: unknown %r, expected one of %s, or numbers such as -1,-2"
                % (name, ", ".join(sorted(LAYERS)))
            ) from None
    for layer in chosen:
        if not -num_layers <= layer <= -1:
            raise UserError(
                "layers: %s needs layer %d, but the model's %d layers are -1 (the last) to -%d"
                % (name, layer, num_layers, num_layers)
            )
    return chosen, combination


def _of_length_one(vectors):
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
