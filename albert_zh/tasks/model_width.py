"""The width of the model that is named on the command line, and whether it is small."""

from typing import Any
import warnings

from albert_zh.model.config import AlbertConfig

NARROW = 384  # hidden_size up to which a model is small: it is trained at higher learning rates


def config_of(options: Any) -> AlbertConfig:
    """The config of `--bert_config_file`; its warnings are only printed when a run reads it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return AlbertConfig.from_json_file(options.bert_config_file)


def is_narrow(options: Any) -> bool:
    """Whether the model of `--bert_config_file` is at most `NARROW` wide."""
    return config_of(options).hidden_size <= NARROW
