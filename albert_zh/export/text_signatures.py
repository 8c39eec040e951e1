"""Signatures of a SavedModel that take texts, so that clients need no tokenizer.

    signatures = TextSignatures(model, options)
    graph = inference_graph.build(..., default_inputs=signatures.rows)
    all_signatures = signatures.beside({"classify": (inputs, outputs)}, graph)

The encoder's inputs are computed by `graph_tokenizer` from the texts unless they are fed: one graph
serves signatures of tokens and of texts.
"""

import collections
from typing import TYPE_CHECKING, Any, Dict, Mapping, Optional, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.common.errors import UserError
from albert_zh.export import graph_tokenizer
from albert_zh.inference import input_rows, model_choice
from albert_zh.model import graph_inputs
from albert_zh.text import tokenization, tokenizer_tables

if TYPE_CHECKING:
    from albert_zh.export.exported_model import Model, Options
    from albert_zh.model.inference_graph import Graph

# {name: ({name: input tensor}, {name: output tensor})}.
Signatures = Dict[str, Tuple[Dict[str, tf.Tensor], Dict[str, tf.Tensor]]]

# Endings of signature names, with the texts that the signatures take.
FORMS = collections.OrderedDict([("texts", ("text_a",)), ("pairs", ("text_a", "text_b"))])
TOKENS = graph_inputs.ENCODER_INPUTS[:2]  # clients need these to interpret outputs per token


def why_none(model: "Model") -> Optional[str]:
    """The reason why a model has no signatures of texts, or None if it has them."""
    if model.tokenizer is None:
        return "%s has no %s" % (model.folder, tokenization.VOCABULARY_FILE)
    if model.tokenizer.sentencepiece is not None:
        return (
            "%s has a SentencePiece model; only WordPiece tokenizers can be part of a graph"
            % model.folder
        )
    return None


class TextSignatures:
    """The signatures of texts of a model that supports them, see `why_none`."""

    def __init__(self, model: "Model", options: "Options") -> None:
        """`model`: the exported model; `options`: options of the export."""
        self._model = model
        self._length = options.seq_length
        trained = model.settings.get("max_seq_length", input_rows.DEFAULT_LENGTH)
        wanted = model.sentence_notes.max_seq_length if model.sentence_notes else trained
        self._longest = min(wanted, options.seq_length or model.config.longest_sequence)
        self._inputs: Dict[str, tf.Tensor] = {}

    def rows(self) -> Tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Creates placeholders of texts in the default graph; returns (ids, mask, segment ids)."""
        no_texts = tf.constant([], tf.string)
        self._inputs = {
            "text_a": tf.placeholder(tf.string, [None], "text_a"),
            "text_b": tf.placeholder_with_default(no_texts, [None], "text_b"),
        }
        tables = tokenizer_tables.build(self._model.tokenizer)
        tokenizer = graph_tokenizer.GraphTokenizer(tables)
        return tokenizer.encode(max_seq_length=self._longest, length=self._length, **self._inputs)

    def beside(self, signatures: Signatures, graph: "Graph") -> Signatures:
        """Adds signatures of texts to signatures of tokens, with the same outputs.

        Args:
            signatures: signatures of tokens.
            graph: graph with the inputs of `rows`.
        """
        beside = dict(signatures)
        for name, (_, outputs) in signatures.items():
            if name == "encode":
                outputs = dict(
                    outputs, **{token: tf.identity(graph.inputs[token]) for token in TOKENS}
                )
            for form in self._forms_of(name):
                inputs = {text: self._inputs[text] for text in FORMS[form]}
                beside["%s_%s" % (name, form)] = (inputs, outputs)
        return beside

    def _forms_of(self, name):
        """The keys of `FORMS` for which a signature of tokens gets a signature of texts."""
        possible = list(FORMS) if self._model.config.type_vocab_size > 1 else ["texts"]
        takes_pairs = model_choice.takes_pairs(self._model.settings)
        is_of_words = self._model.kind.is_classification and not self._model.further_inputs(
            self._model.heads
        )
        trained = {None: possible, True: ["pairs"], False: ["texts"]}[takes_pairs]
        return {
            "encode": possible,
            "embed": ["texts"],
            "classify": trained if is_of_words else [],
        }.get(name, [])

    def check(
        self,
        session: tf.Session,
        signatures: Mapping[str, Any],
        texts: Sequence[Tuple[str, Optional[str]]],
        path: str,
    ) -> None:
        """Compares the tokens of texts with the tokens of the Python tokenizer.

        Args:
            session: session with the written SavedModel.
            signatures: its signatures, {name: `SignatureDef`}.
            texts: list of (text_a, text_b or None).
            path: path of the SavedModel, for the error.

        Raises:
            UserError: if they differ.
        """
        for form in self._forms_of("encode"):
            is_pair = form == "pairs"
            pairs = [pair for pair in texts if (pair[1] is not None) == is_pair]
            signature = signatures["encode_" + form]
            feeds = {
                signature.inputs[name].name: [text.encode("utf-8") for text in of_name]
                for name, of_name in zip(FORMS[form], zip(*pairs))
            }
            rows = input_rows.rows_of(pairs, self._model.tokenizer, self._longest)
            expected = input_rows.padded(rows, self._length)
            found = session.run([signature.outputs[name].name for name in TOKENS], feeds)
            if not all(map(np.array_equal, found, expected)):
                raise UserError(
                    "%s is not written: it splits texts into other tokens than %s"
                    % (path, self._model.folder)
                )
