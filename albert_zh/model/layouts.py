"""The layouts of variables that configs choose among."""

import collections


class Layout(
    collections.namedtuple(
        "Layout",
        "projection layer_scope attention attention_norm ffn_in ffn_out ffn_norm scope has_pooler",
    )
):
    """How the layouts differ.

    Fields:
        projection: where word vectors widen from E to H ("word_embeddings_2", before the sum of the
            tables; "embedding_hidden_mapping_in" and, outside of the encoder's scope,
            "embeddings_project", after their LayerNorm; None: E is H).
        layer_scope: scope of a block; like the rest formatted with layer, group and inner_group.
        attention, attention_norm, ffn_in, ffn_out, ffn_norm: scopes in a block.
        scope: of the whole model.
        has_pooler: bool; without one the pooled output is that of the first token.
    """

    def of_block(self, **numbers: int) -> "Layout":
        """The layout with the scopes of the block of a layer, group and inner_group."""
        return self._replace(
            **{
                name: scope.format(**numbers)
                for name, scope in self._asdict().items()
                if isinstance(scope, str)
            }
        )


_BERT = {"scope": "bert", "has_pooler": True}

_BERT_BLOCK = {
    "attention": "attention",
    "attention_norm": "attention/output/LayerNorm",
    "ffn_in": "intermediate/dense",
    "ffn_out": "output/dense",
    "ffn_norm": "output/LayerNorm",
}

_GOOGLE_LAYOUT = Layout(
    projection="embedding_hidden_mapping_in",
    layer_scope="transformer/group_{group}/inner_group_{inner_group}",
    attention="attention_1",
    attention_norm="LayerNorm",
    ffn_in="ffn_1/intermediate/dense",
    ffn_out="ffn_1/intermediate/output/dense",
    ffn_norm="LayerNorm_1",
    **_BERT,
)

LAYOUTS = {
    "brightmart": Layout(
        projection="word_embeddings_2", layer_scope="layer_shared", **_BERT_BLOCK, **_BERT
    ),
    "google": _GOOGLE_LAYOUT,
    "google_fast": _GOOGLE_LAYOUT,
    "bert": Layout(projection=None, layer_scope="layer_{layer}", **_BERT_BLOCK, **_BERT),
    "nezha": Layout(projection=None, layer_scope="layer_{layer}", **_BERT_BLOCK, **_BERT),
    "electra": Layout(
        projection="embeddings_project",
        layer_scope="layer_{layer}",
        scope="electra",
        has_pooler=False,
        **_BERT_BLOCK,
    ),
}
