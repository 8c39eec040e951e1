"""The variable layouts (names and structure) that a config can select."""

import collections


class Layout(
    collections.namedtuple(
        "Layout",
        "projection layer_scope attention attention_norm ffn_in ffn_out ffn_norm scope has_pooler",
    )
):
    """How the layouts differ.

    Fields:
        projection: where word vectors are projected from E to H ("word_embeddings_2", before the
            tables are summed; "embedding_hidden_mapping_in" and, outside the encoder's scope,
            "embeddings_project", after LayerNorm of the sum; None: E is H).
        layer_scope: scope of a block; as the next ones, formatted with layer, group, inner_group.
        attention, attention_norm, ffn_in, ffn_out, ffn_norm: scopes in a block.
        scope: scope of the whole model.
        has_pooler: bool; without a pooler the pooled output is the output of the first token.
    """

    def of_block(self, **numbers: int) -> "Layout":
        """The layout with its scopes formatted for one block: layer, group and inner_group."""
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
