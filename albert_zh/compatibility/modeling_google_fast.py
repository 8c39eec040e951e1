"""albert_zh's `modeling_google_fast`: `modeling_google` with feed-forward layers in 16 groups."""

import functools
from typing import Any, Dict

from albert_zh.compatibility import modeling_google
from albert_zh.compatibility.modeling_google import *  # noqa: F403

__all__ = [*modeling_google.__all__, "FFN_GROUPS"]

FFN_GROUPS = 16  # default if a config does not set it


class AlbertConfig(modeling_google.AlbertConfig):
    """`modeling_google.AlbertConfig` with `ffn_groups` of 16 by default."""

    @functools.wraps(modeling_google.AlbertConfig.__init__)
    def __init__(self, *args: Any, **settings: Any) -> None:
        settings.setdefault("ffn_groups", FFN_GROUPS)
        super().__init__(*args, **settings)

    @classmethod
    def from_dict(cls, json_object: Dict[str, Any]) -> "AlbertConfig":
        """Creates the config from a dictionary; raises `UserError` if `vocab_size` is missing."""
        return super().from_dict(dict({"ffn_groups": FFN_GROUPS}, **json_object))


BertConfig = AlbertConfig
transformer_model = functools.partial(modeling_google.transformer_model, ffn_groups=FFN_GROUPS)
