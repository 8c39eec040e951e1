"""Fills the masks in texts with a pre-trained model kept in memory.

with MaskFiller("prev_trained_model/albert_tiny_zh") as filler:
    for word, probability in filler.fill("今天天[MASK]很好", top_k=5)[0]:
        print(word, probability)
"""

from typing import List, Optional, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.common.errors import UserError
from albert_zh.inference import arguments, input_rows, loaded_model
from albert_zh.inference.runtimes import checkpoint_session
from albert_zh.model.encoder import AlbertModel
from albert_zh.model.heads import masked_lm_head
from albert_zh.tasks import unknown_words

__all__ = ["MASK", "MaskFiller"]

MASK = "[MASK]"


class MaskFiller(loaded_model.LoadedModel):
    """A pre-trained model with its masked-LM head, kept in memory.

    Attributes:
        tokenizer: `FullTokenizer` of its vocabulary.
        max_seq_length: maximum row length in tokens.
        unknown: `unknown_words.Tally` of the texts filled so far.
    """

    def __init__(
        self,
        model_dir: str,
        max_seq_length: Optional[int] = None,
        do_lower_case: Optional[bool] = None,
        config_file: Optional[str] = None,
        vocab_file: Optional[str] = None,
    ) -> None:
        """Loads config, vocabulary and weights.

        Args:
            model_dir: model folder or checkpoint prefix of pre-training.
            max_seq_length: maximum text length in tokens; default: the model's maximum.
            do_lower_case: whether to lower-case; default: as the model folder says, or True.
            config_file: config JSON file, if it is not in the model folder.
            vocab_file: vocabulary, if it is not in the model folder.

        Raises:
            UserError: if there is no such model, or it has no masked-LM head.
        """
        super().__init__()
        arguments.check_arguments(max_seq_length=max_seq_length)
        folder = loaded_model.open_folder(model_dir, config_file, vocab_file, do_lower_case)
        config = folder.config
        self.tokenizer = folder.tokenizer
        self.unknown = unknown_words.Tally(self.tokenizer)
        self._mask_id = self.tokenizer.convert_tokens_to_ids([MASK])[0]
        self.max_seq_length = input_rows.checked_length(
            config.longest_sequence if max_seq_length is None else max_seq_length,
            config.longest_sequence,
        )

        def build(features):
            model = AlbertModel(
                config, False, *[features[name] for name in checkpoint_session.INPUT_NAMES]
            )
            positions = tf.placeholder(tf.int32, [None, None], "masked_lm_positions")
            zeros = tf.zeros_like(positions)
            head = masked_lm_head(config, model, positions, zeros, zeros)
            return tf.exp(head.log_probs), [positions]

        self._session = checkpoint_session.CheckpointSession(
            folder.prefix, build, "a checkpoint of pre-training, with its masked-LM head"
        )

    def fill(self, text: str, top_k: int = 5) -> List[List[Tuple[str, float]]]:
        """Predicts the most probable words for each mask of a text.

        Args:
            text: str with at least one [MASK].
            top_k: number of words per mask.

        Returns:
            one list per mask, in text order, of (word, probability), most probable first.

        Raises:
            UserError: if there is no mask or the text is too long, and after `close`.
        """
        arguments.check_arguments(top_k=top_k)
        ((_, other),) = input_rows.checked_texts([text])
        if other is not None:
            raise UserError("expected a text with %s, found a pair" % MASK)
        ids = self._ids_of(text)
        positions = [index for index, token_id in enumerate(ids) if token_id == self._mask_id]
        self.unknown.add(text.split(MASK), [[each for each in ids if each != self._mask_id]])
        with self.in_use():
            arrays = input_rows.padded([(ids, [0] * len(ids))])
            probabilities = self._session.run(*arrays, np.array([positions]))  # [P, V]
        best = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]
        return [
            list(zip(self.tokenizer.convert_ids_to_tokens(row), map(float, of_row[row])))
            for row, of_row in zip(best.tolist(), probabilities)
        ]

    def probabilities(self, rows: Sequence[input_rows.Row], positions: np.ndarray) -> np.ndarray:
        """Predicts the probability of each vocabulary entry at positions of rows.

        Args:
            rows: list of (ids, segment ids).
            positions: int array [B, P].

        Returns:
            float array [B, P, V].

        Raises:
            UserError: after `close`.
        """
        with self.in_use():
            flat = self._session.run(*input_rows.padded(rows), positions)  # [B * P, V]
        return flat.reshape(positions.shape + (-1,))

    def _ids_of(self, text):
        segments = [self.tokenizer.tokenize(segment) for segment in text.split(MASK)]
        if len(segments) < 2:
            raise UserError("%r has no %s: write it where a word is missing" % (text[:40], MASK))
        tokens = ["[CLS]"] + segments[0]
        for segment in segments[1:]:
            tokens += [MASK] + segment
        tokens.append("[SEP]")
        if len(tokens) > self.max_seq_length:
            raise UserError(
                "the text has %d tokens, but the model takes at most %d: shorten it"
                % (len(tokens), self.max_seq_length)
            )
        return self.tokenizer.convert_tokens_to_ids(tokens)

    def _free(self):
        self._session.close()
