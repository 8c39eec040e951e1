"""Config JSON -> `AlbertConfig`."""

import copy
import inspect
import json
from typing import Any, Dict, Optional, Tuple
import warnings

from albert_zh.common import checks, files, validation
from albert_zh.common.errors import UserError
from albert_zh.model import layouts
from albert_zh.model.activations import get_activation

# Allowed settings of a config. The bounds are far beyond all published models: they keep a damaged
# file from causing years of computation or exhausting memory.
LONGEST = 1 << 20  # tokens of a sequence
MAX_RELATIVE_POSITION = 64  # the original NEZHA uses it, whatever its config says
_WIDTH = validation.integer(1, 1 << 16)
_DEPTH = validation.integer(1, 1024)
_PROBABILITY = validation.number(least=0, below=1)
CONFIG = validation.record(
    {
        "vocab_size": validation.integer(1, 10**7),
        "hidden_size": _WIDTH,
        "num_hidden_layers": _DEPTH,
        "num_attention_heads": _WIDTH,
        "intermediate_size": validation.integer(1, 1 << 20),
        "hidden_act": validation.TEXT,
        "hidden_dropout_prob": _PROBABILITY,
        "attention_probs_dropout_prob": _PROBABILITY,
        "max_position_embeddings": validation.integer(1, LONGEST),
        "type_vocab_size": _WIDTH,
        "initializer_range": validation.number(above=0, most=1000),
        "embedding_size": validation.or_none(_WIDTH),
        "ln_type": validation.or_none(validation.one_of("postln", "preln")),
        "num_hidden_groups": validation.or_none(_DEPTH),
        "inner_group_num": _DEPTH,
        "ffn_groups": _WIDTH,
        "use_relative_position": validation.BOOLEAN,
        "max_relative_position": validation.integer(1, LONGEST),
        "model_type": validation.or_none(validation.TEXT),
    },
    expected="a JSON object of settings",
)
_SHOWN_KEYS = 20
_MOST_BLOCKS = 1024  # layers times `inner_group_num`


class AlbertConfig:
    """Sizes and settings of a model, as in its config JSON.

    The keys of a config determine the layout. With `num_hidden_groups` it is google (google_fast if
    `ffn_groups` is above 1), with only `embedding_size` brightmart, with neither plain BERT, which
    `use_relative_position` turns into NEZHA (other layouts also accept that setting: they then have
    no position table). With `"model_type": "electra"` it is ELECTRA, whose `gelu` is the erf form.
    """

    # Keys that occur in published configs and have no effect here.
    INERT_KEYS = frozenset(
        "directionality pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers "
        "pooler_size_per_head pooler_type net_structure_type gap_size num_memory_blocks "
        "down_scale_factor layers_to_keep".split()
    )
    # AlbertModel sets these on its own copy: whether gradients come from `written_gradients` and
    # `recomputed` (in training, unless `plain`), and whether the graph is the plain one.
    saves_memory = False
    is_plain = False
    # A list to which the encoder's blocks add queries, keys and values, or None.
    attention_inputs: Any = None
    # The `DecodingStep` of a graph whose tokens continue rows computed earlier, or None.
    decoding_step: Any = None
    # Position ids of the tokens, int tensor [B, F]; None: the order of the row.
    position_ids: Any = None
    # The `ChannelScales` of a graph whose products will be computed in integers, or None.
    channel_scales: Any = None

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    hidden_act: Any
    hidden_dropout_prob: float
    attention_probs_dropout_prob: float
    max_position_embeddings: int
    type_vocab_size: int
    initializer_range: float
    embedding_size: Optional[int]
    ln_type: Optional[str]
    num_hidden_groups: Optional[int]
    inner_group_num: int
    ffn_groups: int
    use_relative_position: bool
    max_relative_position: int
    model_type: Optional[str]

    def __init__(
        self,
        vocab_size: int,
        hidden_size: int = 768,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 12,
        intermediate_size: int = 3072,
        hidden_act: Any = "gelu",
        hidden_dropout_prob: float = 0.1,
        attention_probs_dropout_prob: float = 0.1,
        max_position_embeddings: int = 512,
        type_vocab_size: int = 16,
        initializer_range: float = 0.02,
        embedding_size: Optional[int] = None,
        ln_type: Optional[str] = None,
        num_hidden_groups: Optional[int] = None,
        inner_group_num: int = 1,
        ffn_groups: int = 1,
        use_relative_position: bool = False,
        max_relative_position: int = MAX_RELATIVE_POSITION,
        model_type: Optional[str] = None,
        **other_keys: Any,
    ) -> None:
        """Sets and checks every value.

        Args:
            vocab_size: size of the vocabulary, V.
            hidden_size: width of the encoder, H.
            num_hidden_layers: number of transformer layers.
            num_attention_heads: number of heads, N; divides H.
            intermediate_size: width of the feed-forward layer, I.
            hidden_act: a name in `ACTIVATIONS`, in any case; "" for none.
            hidden_dropout_prob: dropout of embeddings and block outputs in training.
            attention_probs_dropout_prob: dropout of attention weights in training.
            max_position_embeddings: maximum sequence length.
            type_vocab_size: number of segment ids.
            initializer_range: standard deviation of the initial weights.
            embedding_size: width of the word table, E; None for plain BERT.
            ln_type: "postln" (also None) or "preln"; brightmart and plain BERT only.
            num_hidden_groups: groups of layers that share weights; Google's layouts only. Groups
                differ in size if it does not divide num_hidden_layers; if there are more groups
                than layers (albert_config_tiny_google_fast.json), some are empty.
            inner_group_num: blocks per layer of a group; Google's layouts only.
            ffn_groups: groups of the feed-forward kernels; more than 1 is google_fast.
            use_relative_position: functional relative positions instead of a position table; plain
                BERT with this setting is NEZHA.
            max_relative_position: larger distances are clipped to it.
            model_type: "electra" for that layout; other values have no effect.
            **other_keys: preserved; a warning names the keys that are not known to be harmless.

        Raises:
            UserError: for an invalid value.
        """
        values = {name: value for name, value in locals().items() if name in SETTINGS}
        self._given_keys, self._is_of_dictionary = set(), False
        self._other_keys = {}
        self._take(values)
        self._keep(other_keys)

    def _take(self, values):
        """Sets and checks settings."""
        self.__dict__.update(values)
        self._given_keys.update(values)
        if isinstance(self.hidden_act, str):
            self.hidden_act = self.hidden_act.lower() or "linear"  # "": none, as in the original
        if self.model_type == "electra" and self.hidden_act == "gelu":
            self.hidden_act = "gelu_erf"
        self._check()

    def _keep(self, other_keys):
        """Preserves unused keys; warns about keys that are not known to be harmless."""
        self._other_keys.update(other_keys)
        unknown = sorted(set(other_keys) - self.INERT_KEYS)
        if unknown:
            names = ", ".join(map(validation.shown_key, unknown[:_SHOWN_KEYS]))
            warnings.warn("unknown keys are kept but not used: %s" % names)

    @classmethod
    def from_dict(cls, json_object: Dict[str, Any]) -> "AlbertConfig":
        """The config of a dictionary; raises `UserError` if `vocab_size` is missing."""
        checks.checked("config", json_object, CONFIG)
        if "vocab_size" not in json_object:
            raise UserError("config: vocab_size is missing: is this a model's config JSON?")
        names, takes_all = _names_of_settings(cls), _takes_all_keys(cls)
        by_name = [key for key in json_object if key in names or takes_all and key != "self"]
        taken = {key: json_object[key] for key in by_name}
        others = {key: json_object[key] for key in json_object if key not in taken}
        config = cls(**taken)
        config._given_keys = {key for key in taken if key in config.__dict__}
        config._is_of_dictionary = True
        config._take({key: others.pop(key) for key in sorted(SETTINGS & set(others))})
        config._keep(others)
        return config

    @classmethod
    def from_json_file(cls, json_file: str) -> "AlbertConfig":
        """The config of a JSON file; errors name the file."""
        checks.checked("json_file", json_file, validation.PATH)
        settings = files.read_json(json_file, CONFIG)
        try:
            return cls.from_dict(settings)
        except UserError as error:
            raise UserError("%s: %s" % (json_file, error)) from error

    @property
    def layout(self) -> str:
        """The name of the layout, a key of `LAYOUTS`."""
        if self.model_type == "electra":
            return "electra"
        if self.num_hidden_groups:
            return "google_fast" if self.ffn_groups > 1 else "google"
        if self.embedding_size:
            return "brightmart"
        return "nezha" if self.use_relative_position else "bert"

    @property
    def layout_row(self) -> layouts.Layout:
        """The layout's row of `LAYOUTS`."""
        return layouts.LAYOUTS[self.layout]

    @property
    def scope(self) -> str:
        """The variable scope of the model, "bert" but for ELECTRA."""
        return self.layout_row.scope

    @property
    def longest_sequence(self) -> int:
        """The maximum number of tokens; relative positions have no limit from a position table."""
        return LONGEST if self.use_relative_position else self.max_position_embeddings

    @property
    def word_width(self) -> int:
        """Width of the word table: E, or H in plain BERT."""
        return self.embedding_size or self.hidden_size

    @property
    def is_pre_norm(self) -> bool:
        """Whether LayerNorm comes before attention and feed-forward instead of after them."""
        return self.ln_type == "preln"

    def values(self) -> Tuple[Any, ...]:
        """All settings, including defaults, in the order of the arguments of `__init__`."""
        return tuple(getattr(self, name) for name in _names_of_settings(AlbertConfig))

    def to_dict(self) -> Dict[str, Any]:
        """The settings that were passed to the constructor (other defaults are omitted)."""
        keys = set(self._given_keys)
        if not self._is_of_dictionary:  # further arguments of a subclass
            keys.update(key for key in _names_of_settings(type(self)) if key in self.__dict__)
        given = {key: self.__dict__[key] for key in sorted(keys)}
        return copy.deepcopy(dict(given, **self._other_keys))

    def to_json_string(self) -> str:
        """The settings as indented JSON with a final line end."""
        return json.dumps(self.to_dict(), ensure_ascii=False, indent=2, sort_keys=True) + "\n"

    def _check(self):
        if self.model_type == "electra" and (self.num_hidden_groups or self.is_pre_norm):
            raise UserError(
                "config: model_type is electra, which has neither num_hidden_groups nor preln: "
                "leave them out"
            )
        checks.checked("config", {key: self.__dict__[key] for key in self._given_keys}, CONFIG)
        self._check_activation()
        self._require_divides("num_attention_heads", "hidden_size")
        self._require_divides("ffn_groups", "hidden_size")
        self._require_divides("ffn_groups", "intermediate_size")
        if self.num_hidden_groups and self.is_pre_norm:
            raise UserError("ln_type: Google's layouts (num_hidden_groups) support only postln")
        if self.ffn_groups > 1 and not self.num_hidden_groups:
            raise UserError("ffn_groups: only Google's layouts (num_hidden_groups) support them")
        if self.num_hidden_layers * self.inner_group_num > _MOST_BLOCKS:
            raise UserError(
                "config: num_hidden_layers (%d) times inner_group_num (%d): expected at most %d"
                % (self.num_hidden_layers, self.inner_group_num, _MOST_BLOCKS)
            )

    def _check_activation(self):
        try:
            get_activation(self.hidden_act)
        except ValueError as error:
            raise UserError(str(error)) from error

    def _require_divides(self, key, whole_key):
        divisor, whole = getattr(self, key), getattr(self, whole_key)
        if whole % divisor:
            raise UserError(
                "config: %s (%d) is not a multiple of %s (%d)" % (whole_key, whole, key, divisor)
            )


def _names_of_settings(config_class):
    """Names of the arguments that the `__init__` of a config class accepts."""
    parameters = inspect.signature(config_class).parameters.values()
    return [p.name for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]


def _takes_all_keys(config_class):
    """Whether a user's config class also accepts keys that its `__init__` does not name."""
    parameters = inspect.signature(config_class).parameters.values()
    takes_all = any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters)
    return takes_all and config_class is not AlbertConfig


SETTINGS = frozenset(_names_of_settings(AlbertConfig))
BertConfig = AlbertConfig


def with_each_layer_once(config: AlbertConfig) -> AlbertConfig:
    """The config of a model with the same variables in which every block is applied once.

    Args:
        config: `AlbertConfig`.
    """
    config = copy.copy(config)
    if "{layer}" not in layouts.LAYOUTS[config.layout].layer_scope:
        groups = config.num_hidden_groups or 1
        config.num_hidden_layers = min(groups, config.num_hidden_layers)
    return config
