"""Encodes texts to sentence or token vectors with any checkpoint's encoder, kept in memory.

with TextEncoder("albert_starter_zh", layers="second_to_last", pooling="mean") as encoder:
    vectors = encoder.encode(["怎么开户", "如何开通账户"])  # [2, H]

The folder of an embedding model (`sentence_embedding.json`) records how its vectors are pooled,
truncated and normalized, and the maximum text length, so that no arguments are needed. The other
choices of layers and pooling are those of bert-as-service.
"""

import hashlib
import json
import os
from typing import Any, List, Optional, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.common import cpu_precision
from albert_zh.common.errors import UserError
from albert_zh.inference import arguments, input_rows, loaded_model, workers
from albert_zh.inference.runtimes import checkpoint_session
from albert_zh.model import sentence_vectors
from albert_zh.model.checkpoints import checkpoint_values
from albert_zh.model.encoder import AlbertModel
from albert_zh.model.layers import max_over_tokens, mean_over_tokens
from albert_zh.tasks import unknown_words
from albert_zh.text import encoding

__all__ = [
    "LAYERS",
    "OF_FOLDER",
    "POOLINGS",
    "TextEncoder",
]

OF_FOLDER = "of_folder"  # the folder's pooling, or the mean of the last layer

# name: (layers, counted from the last; how they are combined).
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
    """An encoder that is loaded once and used by any number of threads.

    Attributes:
        num_cut: how many of the texts encoded so far were truncated to `max_seq_length` tokens.
        unknown: `unknown_words.Tally` of the texts encoded so far.
    """

    def __init__(
        self,
        model_dir: str,
        layers: Optional[str] = None,
        pooling: Optional[str] = OF_FOLDER,
        max_seq_length: Optional[int] = None,
        do_lower_case: Optional[bool] = None,
        config_file: Optional[str] = None,
        vocab_file: Optional[str] = None,
        precision: str = "float32",
        num_threads: Optional[int] = None,
        notes: Optional[sentence_vectors.SentenceNotes] = None,
    ) -> None:
        """Loads config, vocabulary and weights; the files are not needed afterwards.

        Args:
            model_dir: model folder (or checkpoint prefix), pre-trained or fine-tuned.
            layers: a name in `LAYERS`, or numbers such as "-1,-2", which are concatenated; default:
                the last layer. If set, `sentence_embedding.json` is ignored.
            pooling: how to pool tokens to a sentence vector, a name in `POOLINGS`; None: not at
                all. [CLS] and [SEP] count as tokens, padding does not. Default: the pooling of the
                folder's `sentence_embedding.json`, or the mean.
            max_seq_length: maximum input length in tokens; longer inputs are truncated; default:
                the folder's setting, or 128.
            do_lower_case: whether to lower-case; default: as in fine-tuning, or True.
            config_file: config JSON file, if it is not in the model folder.
            vocab_file: vocabulary, if it is not in the model folder.
            precision: precision of products, a key of `modeling.PRECISIONS`.
            num_threads: threads of a call; default: one per core.
            notes: how vectors are computed, instead of the folder's notes.

        Raises:
            UserError: if there is no model at the path, or for unknown layers, pooling or
                precision.
        """
        super().__init__()
        self.num_cut = 0
        arguments.check_precision(precision)
        _check_arguments(layers, pooling, max_seq_length, num_threads)
        folder = loaded_model.open_folder(model_dir, config_file, vocab_file, do_lower_case)
        config, self.tokenizer = folder.config, folder.tokenizer
        self.unknown = unknown_words.Tally(self.tokenizer)
        self._num_segments = config.type_vocab_size
        self.notes = notes or _notes_to_follow(folder, layers, pooling)
        self.pooling = "mean" if pooling == OF_FOLDER else pooling
        if max_seq_length is None and self.notes:
            max_seq_length = self.notes.max_seq_length
        self.max_seq_length = input_rows.checked_length(max_seq_length, config.longest_sequence)
        chosen = _chosen_layers("last" if layers is None else layers, config.num_hidden_layers)
        self.layers = chosen[0]
        self.fingerprint = {
            "weights": checkpoint_values.fingerprint(folder.prefix),
            "config": config.to_dict(),
            "vocabulary": folder.tokenizer.sha256,
            "do_lower_case": folder.do_lower_case,
            "max_seq_length": self.max_seq_length,
            "layers": list(chosen),
            "pooling": sentence_vectors.as_json(self.notes) if self.notes else self.pooling,
            "precision": precision,
        }
        cpu_precision.warn_of_slow_precision(precision)
        self._load(config, folder.prefix, chosen[1], precision, num_threads)

    def _load(self, config, prefix, combination, precision, num_threads):
        if self.pooling is not None and self.pooling not in POOLINGS:
            raise UserError(
                "pooling: unknown %r, expected one of %s"
                % (self.pooling, ", ".join(sorted(POOLINGS)))
            )
        if self.notes:
            self.width = self.notes.width
            self._widest = max((self.width,) + self.notes.widths)

        def build(features):
            model = AlbertModel(
                config,
                False,
                *[features[n] for n in checkpoint_session.INPUT_NAMES],
                precision=precision,
            )
            if self.notes:
                mask = features["input_mask"]
                whole = self.notes._replace(width=self._widest, normalize=False)
                return sentence_vectors.sentence_vector(model, mask, whole), []  # [B, W]
            outputs = model.get_hidden_states()[1:]
            outputs = [tf.cast(outputs[layer], tf.float32) for layer in self.layers]
            tokens = tf.concat(outputs, -1) if combination == "concat" else tf.add_n(outputs)
            self.width = int(tokens.shape[-1])
            self._widest = self.width
            if self.pooling is None:
                return tokens, []  # [B, F, W]
            mask = tf.cast(features["input_mask"][:, :, None], tf.float32)
            pooled = POOLINGS[self.pooling](tokens, mask)
            self.width = self._widest = int(pooled.shape[-1])
            return pooled, []  # [B, W]

        self._session = checkpoint_session.CheckpointSession(
            prefix, build, "an encoder", num_threads, config.hidden_size
        )
        self._workers = workers.Workers(self._session.num_workers)

    def encode(
        self,
        texts: Sequence[input_rows.Text],
        normalize: Optional[bool] = None,
        width: Optional[int] = None,
    ) -> np.ndarray:
        """Encodes sentences to vectors.

        Args:
            texts: list of str, or of (text_a, text_b).
            normalize: whether to scale each vector to length 1; None: as the folder says, or not.
            width: number of leading values to keep of each vector, before normalization
                (Matryoshka); None: as the folder says, or all.

        Returns:
            float32 [n, width], in the order of the texts.

        Raises:
            UserError: for values that are no texts, without a pooling, for a width that the model
                does not have, and after `close`.
        """
        width = self.checked_width(width)  # a mistake is reported before anything is computed
        return self.finished(self.encode_with_lengths(texts)[1], normalize, width)

    def encode_with_lengths(
        self, texts: Sequence[input_rows.Text], is_wanted: workers.IsWanted = None
    ) -> Tuple[List[Tuple[int, input_rows.Reading]], np.ndarray]:
        """Encodes sentences to token counts and vectors of full width, not normalized.

        Args:
            texts: as in `encode`.
            is_wanted: called before every batch; returns whether to continue.

        Returns:
            (list of (number of encoded tokens, parts of the text that the model did not see),
            float32 [n, full width]), in the order of the texts.

        Raises:
            Abandoned: if `is_wanted` returns False.
            UserError: as in `encode`.
        """
        if self.pooling is None:
            raise UserError("pooling: vectors of sentences need one of %s" % ", ".join(POOLINGS))
        checked = input_rows.checked_texts(texts)
        encoded = np.zeros([len(checked), self._widest], np.float32)
        lengths = [(0, input_rows.Reading())] * len(checked)
        for indices, rows, readings, vectors in self._batches(checked, is_wanted):
            encoded[indices] = vectors
            for index, (ids, _), reading in zip(indices, rows, readings):
                lengths[index] = len(ids), reading
        return lengths, encoded

    def finished(
        self, vectors: np.ndarray, normalize: Optional[bool] = None, width: Optional[int] = None
    ) -> np.ndarray:
        """Truncates and normalizes vectors of `encode_with_lengths`; arguments as in `encode`."""
        arguments.check_arguments(normalize=normalize or False)
        if normalize is None:
            normalize = self.notes is not None and self.notes.normalize
        vectors = vectors[:, : self.checked_width(width)]
        return _of_length_one(vectors) if normalize else vectors

    def checked_width(self, width: Optional[int], name: str = "width") -> int:
        """Checks a width as in `encode`; raises `UserError` for one that the model does not have.

        Args:
            width: number of values to keep, or None.
            name: the user's name of the argument.
        """
        if width is None:
            return self.width
        if isinstance(width, bool) or not isinstance(width, (int, np.integer)):
            raise UserError("%s: expected a whole number, found %r" % (name, width))
        if not 1 <= width <= self._widest:
            raise UserError(
                "%s: found %r, expected 1 to %d, the model's" % (name, width, self._widest)
            )
        return int(width)

    def encode_tokens(
        self, texts: Sequence[input_rows.Text], normalize: bool = False
    ) -> List[Tuple[List[str], np.ndarray]]:
        """Encodes texts to token vectors, including [CLS] and [SEP].

        Args:
            texts: list of str, or of (text_a, text_b).
            normalize: whether to scale each vector to length 1.

        Returns:
            list of (tokens, float32 [tokens, width]), in the order of the texts.

        Raises:
            UserError: for values that are no texts, with a pooling, and after `close`.
        """
        if self.pooling is not None:
            raise UserError("pooling: vectors of tokens need None, found %r" % self.pooling)
        arguments.check_arguments(normalize=normalize)
        checked = input_rows.checked_texts(texts)
        vectors_of_texts: List[Any] = [None] * len(checked)
        for indices, rows, _, vectors in self._batches(checked):
            for index, (ids, _), row in zip(indices, rows, vectors):
                row = row[: len(ids)]
                tokens = self.tokenizer.convert_ids_to_tokens(ids)
                vectors_of_texts[index] = (tokens, _of_length_one(row) if normalize else row)
        return vectors_of_texts

    def _batches(self, texts, is_wanted=None):
        """Yields (indices, rows, the `Reading` of each row, the session's outputs for them)."""
        with self.in_use():
            rows, cuts = input_rows.rows_with_cuts(
                texts, self.tokenizer, self.max_seq_length, self._num_segments
            )
            with self._state:
                self.num_cut += sum(cuts)
            readings = [
                input_rows.Reading(was_cut, self.unknown.add(pair, [ids]))
                for pair, (ids, _), was_cut in zip(texts, rows, cuts)
            ]
            lengths = [len(ids) for ids, _ in rows]
            batches = list(input_rows.batches_by_length(lengths, self._session.num_shares))

            def computed(indices):
                batch = [rows[index] for index in indices]
                outputs = self._session.run(*input_rows.padded(batch))
                return indices, batch, [readings[index] for index in indices], outputs

            yield from self._workers.in_order(computed, batches, is_wanted)

    def reading(self, text: str) -> input_rows.Reading:
        """Which parts of a text the model does not see."""
        ids, _, was_cut = encoding.encode(self.tokenizer, text, None, self.max_seq_length)
        return input_rows.Reading(was_cut, self.unknown.is_unknown([ids]))

    def fingerprint_of(self, **further: Any) -> str:
        """A hash of further values and of everything that vectors depend on except the texts."""
        content = json.dumps(dict(self.fingerprint, **further), sort_keys=True)
        return hashlib.sha256(content.encode("utf-8")).hexdigest()

    def _free(self):
        self._workers.close()
        self._session.close()


def _check_arguments(layers, pooling, max_seq_length, num_threads):
    """Raises `UserError` for arguments of the wrong type."""
    if layers is not None:
        arguments.check_arguments(layers=layers)
    arguments.check_arguments(
        pooling=pooling, max_seq_length=max_seq_length, num_threads=num_threads
    )


def _notes_to_follow(folder, layers, pooling):
    """The folder's notes on its vectors, unless other layers or another pooling are chosen."""
    if layers is not None or pooling != OF_FOLDER:
        return None
    source = os.path.dirname(folder.prefix)
    notes = sentence_vectors.read_notes(source)
    if notes:
        path = os.path.join(source, sentence_vectors.SENTENCE_FILE)
        sentence_vectors.check_notes(notes, folder.config, path)
    return notes


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
