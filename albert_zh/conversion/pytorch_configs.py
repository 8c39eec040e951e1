"""Converts config JSONs between PyTorch and this project; transformers' classes of each layout."""

from typing import Any, Dict, List, Tuple

from albert_zh.common import checks, validation
from albert_zh.common.errors import UserError
from albert_zh.conversion import pytorch_names
from albert_zh.model.config import AlbertConfig
from albert_zh.model.heads import CLASSIFIER_DROPOUT
from albert_zh.model.layers import LAYER_NORM_EPSILON

# transformers' names of objectives.
PROBLEM_TYPES = {
    "single_label": "single_label_classification",
    "multi_label": "multi_label_classification",
    "regression": "regression",
}

CLASS_ENDINGS = {
    ("classification",): "ForSequenceClassification",
    ("masked_lm", "sentence_order"): "ForPreTraining",
    ("masked_lm",): "ForMaskedLM",
    (): "Model",
}
_AUTO_CLASSES = {
    "AutoConfig": "Config",
    "AutoModel": "Model",
    "AutoModelForPreTraining": "ForPreTraining",
    "AutoModelForMaskedLM": "ForMaskedLM",
    "AutoModelForSequenceClassification": "ForSequenceClassification",
}
MODELING_MODULE = "modeling_albert_zh"

_COMMON_KEYS = (
    "vocab_size hidden_size num_hidden_layers num_attention_heads intermediate_size hidden_act "
    "hidden_dropout_prob attention_probs_dropout_prob max_position_embeddings type_vocab_size "
    "initializer_range"
).split()
_LAYOUT_KEYS = {
    "brightmart": ["embedding_size", "ln_type"],
    "google": ["embedding_size", "num_hidden_groups", "inner_group_num"],
    "bert": [],
    "electra": [],
    "nezha": ["max_relative_position"],
}
# Hugging Face's defaults for omitted keys.
_KEY_DEFAULTS = {
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "initializer_range": 0.02,
    "num_hidden_groups": 1,
    "inner_group_num": 1,
    "ln_type": None,
    "max_relative_position": 64,
}
# Keys of a Hugging Face config that are used here; sizes are checked by `AlbertConfig`.
CONFIG = validation.record(
    {
        "model_type": validation.TEXT,
        "architectures": validation.or_none(validation.list_of(validation.TEXT)),
        "hidden_act": validation.TEXT,
        "layer_norm_eps": validation.number(least=0, most=1),
        "position_embedding_type": validation.or_none(validation.TEXT),
        "tie_word_embeddings": validation.BOOLEAN,
        "is_decoder": validation.or_none(validation.BOOLEAN),
        "problem_type": validation.or_none(validation.one_of(*PROBLEM_TYPES.values())),
        "label2id": validation.or_none(validation.record(others=validation.integer(0))),
        "id2label": validation.or_none(validation.record(others=validation.TEXT)),
    },
    expected="a JSON object of settings",
)
# Our name -> their name. Their "gelu" is the erf form, ours the tanh form, as in TensorFlow models;
# in our own config next to PyTorch weights (`_is_of_transformers`), it is our form as well.
_ACTIVATIONS = {
    "gelu": "gelu_new",
    "gelu_erf": "gelu",
    "relu": "relu",
    "tanh": "tanh",
    "swish": "silu",
    "linear": "linear",
}
_FROM_ACTIVATIONS = {theirs: ours for ours, theirs in _ACTIVATIONS.items()}
_FROM_ACTIVATIONS.update(
    swish="swish",
    gelu_fast="gelu",
    gelu_accurate="gelu",
    gelu_pytorch_tanh="gelu",
    gelu_python="gelu_erf",
    gelu_erf="gelu_erf",
)
# transformers' model types whose encoders compute the same as a layout. Others may have tensors
# of equal names and shapes: RoBERTa's positions start at 2, and an ALBERT's config means another
# activation. (The tensor names of brightmart and NEZHA are unique, whatever a config says.)
_MODEL_TYPES = {"google": ("albert",), "bert": ("bert", "ernie"), "electra": ("electra",)}
# Keys with a single supported value -> (that value, what to do about other values).
_ONLY_VALUES = {
    "position_embedding_type": ("absolute", "use a model with a table of positions"),
    "is_decoder": (
        False,
        "the tokens of a decoder do not attend to later tokens, as they do here; correct it if "
        "the model was trained to read both ways",
    ),
    "tie_word_embeddings": (
        True,
        "save only the encoder, with AutoModel.from_pretrained(...).save_pretrained(...)",
    ),
}


def torch_config(
    config: AlbertConfig, heads: Tuple[str, ...], dtype: str = "float32"
) -> Dict[str, Any]:
    """Creates the `config.json` of a Hugging Face folder.

    Args:
        config: `AlbertConfig` without a `refusal`.
        heads: a key of `CLASS_ENDINGS`.
        dtype: type of the stored weights.
    """
    names = pytorch_names.MODEL_CLASSES[config.layout]
    keys = _COMMON_KEYS + _LAYOUT_KEYS[config.layout]
    torch_settings = {key: getattr(config, key) for key in keys}
    torch_settings.update(
        architectures=[names.prefix + CLASS_ENDINGS[heads]],
        model_type=names.model_type,
        hidden_act=_ACTIVATIONS[config.hidden_act],
        layer_norm_eps=LAYER_NORM_EPSILON,
        torch_dtype=dtype,
    )
    if config.layout == "electra":
        torch_settings["embedding_size"] = config.word_width
    if config.layout in ("bert", "nezha", "electra"):
        torch_settings["classifier_dropout"] = CLASSIFIER_DROPOUT
    else:
        torch_settings["classifier_dropout_prob"] = CLASSIFIER_DROPOUT
    if config.layout == "brightmart":
        torch_settings["auto_map"] = {
            auto: "%s.%s%s" % (MODELING_MODULE, names.prefix, ending)
            for auto, ending in _AUTO_CLASSES.items()
        }
    return torch_settings


def tf_config(layout: str, settings: Dict[str, Any]) -> Tuple[AlbertConfig, List[str]]:
    """Converts the config JSON of a PyTorch model.

    Args:
        layout: layout of its tensors.
        settings: content of its config.json, or of one of our `albert_config*.json`.

    Returns:
        (`AlbertConfig`, notes on differences).

    Raises:
        UserError: if a key is missing or has a value that our model does not support.
    """
    settings = dict(_KEY_DEFAULTS, **checks.checked("config", settings, CONFIG))
    settings.setdefault(
        "hidden_act", "gelu_new" if "embedding_size" in _LAYOUT_KEYS[layout] else "gelu"
    )
    keys = _COMMON_KEYS + _LAYOUT_KEYS[layout]
    missing = [key for key in keys if key not in settings]
    if missing:
        raise UserError(
            "%s is missing, which a model of the %s layout needs" % (missing[0], layout)
        )
    _check_kind(layout, settings)
    activation = settings["hidden_act"]
    if activation not in _FROM_ACTIVATIONS:
        raise UserError(
            "hidden_act is %r, expected one of %s"
            % (activation, ", ".join(sorted(_FROM_ACTIVATIONS)))
        )
    tf_settings = {key: settings[key] for key in keys}
    is_tanh = activation == "gelu" and not _is_of_transformers(settings)
    tf_settings["hidden_act"] = "gelu" if is_tanh else _FROM_ACTIVATIONS[activation]
    if layout != "brightmart":
        tf_settings.pop("ln_type", None)
    if layout == "nezha":
        tf_settings["use_relative_position"] = True
    if layout == "electra":
        tf_settings.update(_settings_of_electra(settings))
    return AlbertConfig.from_dict(tf_settings), _inequalities(settings)


def _check_kind(layout, settings):
    """Raises `UserError` for the config of a model that computes differently from the layout."""
    kind, expected = settings.get("model_type"), _MODEL_TYPES.get(layout, ())
    if expected and kind and kind not in expected:
        raise UserError(
            "model_type is %s, but the weights have the names of the %s layout, expected %s: use "
            "the config that came with the weights (models of other classes cannot be converted; "
            "a teacher may be a file of the model's logits, docs/distillation.md)"
            % (validation.shown(kind), layout, " or ".join(expected))
        )
    for key, (only, way_out) in _ONLY_VALUES.items():
        if settings.get(key) not in (None, only):
            raise UserError(
                "%s is %r; only %r has a TensorFlow form: %s" % (key, settings[key], only, way_out)
            )


def _is_of_transformers(settings):
    """Whether settings come from transformers rather than from an `albert_config*.json`."""
    return bool(settings.get("model_type") or settings.get("architectures"))


def _settings_of_electra(settings):
    """An ELECTRA's settings beyond the common keys; raises `UserError` for a tanh GELU."""
    if _FROM_ACTIVATIONS[settings["hidden_act"]] == "gelu":
        raise UserError(
            "hidden_act is %r; of ELECTRA only 'gelu' (the erf form) has a TensorFlow form"
            % settings["hidden_act"]
        )
    width = settings.get("embedding_size")
    return {"model_type": "electra", **({"embedding_size": width} if width else {})}


def _inequalities(settings):
    epsilon = settings.get("layer_norm_eps", LAYER_NORM_EPSILON)
    if epsilon == LAYER_NORM_EPSILON:
        return []
    return [
        "layer_norm_eps is %g there and %g here: outputs differ slightly"
        % (epsilon, LAYER_NORM_EPSILON)
    ]
