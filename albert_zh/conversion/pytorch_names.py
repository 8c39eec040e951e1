"""What TensorFlow's variables and config keys are called in PyTorch, layout by layout.

google and bert have the names of Hugging Face's ALBERT and BERT; brightmart has those of the
albert_pytorch project, which `pytorch/modeling_albert_zh.py` uses as well.
"""

import collections
import re

import numpy as np

from albert_zh.common import validation
from albert_zh.common.errors import UserError
from albert_zh.model.config import AlbertConfig
from albert_zh.model.heads import CLASSIFIER_DROPOUT
from albert_zh.model.layers import LAYER_NORM_EPSILON

# Endings of a layer's variables -> (ending of the tensor, whether it is the transpose).
_DENSE = (("kernel", "weight", True), ("bias", "bias", False))
_NORM = (("gamma", "weight", False), ("beta", "bias", False))
_TABLE = (("", "weight", False),)
_TRANSPOSED_TABLE = (("", "weight", True),)
_OUTPUT = (("output_weights", "weight", False), ("output_bias", "bias", False))
_BIAS = (("", "bias", False),)

# Rows of (kind, scope, module); {} stands for a number.
_BERT_NAMES = (
    (_TABLE, "bert/embeddings/word_embeddings", "bert.embeddings.word_embeddings"),
    (_TABLE, "bert/embeddings/token_type_embeddings", "bert.embeddings.token_type_embeddings"),
    (_TABLE, "bert/embeddings/position_embeddings", "bert.embeddings.position_embeddings"),
    (_NORM, "bert/embeddings/LayerNorm", "bert.embeddings.LayerNorm"),
    (_DENSE, "bert/pooler/dense", "bert.pooler.dense"),
    (_DENSE, "cls/predictions/transform/dense", "cls.predictions.transform.dense"),
    (_NORM, "cls/predictions/transform/LayerNorm", "cls.predictions.transform.LayerNorm"),
    (_BIAS, "cls/predictions/output_bias", "cls.predictions"),
    (_OUTPUT, "cls/seq_relationship", "cls.seq_relationship"),
    (_OUTPUT, "", "classifier"),
)
# What transformers calls an objective.
PROBLEM_TYPES = {
    "single_label": "single_label_classification",
    "multi_label": "multi_label_classification",
    "regression": "regression",
}
_BERT_BLOCK = (
    (_DENSE, "attention/self/query", "attention.self.query"),
    (_DENSE, "attention/self/key", "attention.self.key"),
    (_DENSE, "attention/self/value", "attention.self.value"),
    (_DENSE, "attention/output/dense", "attention.output.dense"),
    (_NORM, "attention/output/LayerNorm", "attention.output.LayerNorm"),
    (_DENSE, "intermediate/dense", "intermediate.dense"),
    (_DENSE, "output/dense", "output.dense"),
    (_NORM, "output/LayerNorm", "output.LayerNorm"),
)
_BRIGHTMART_NAMES = (
    (
        _TRANSPOSED_TABLE,
        "bert/embeddings/word_embeddings_2",
        "bert.embeddings.word_embeddings_2",
    ),
    (_NORM, "loss/LayerNorm", "classifier_norm"),
)
_GOOGLE_NAMES = (
    (_TABLE, "bert/embeddings/word_embeddings", "albert.embeddings.word_embeddings"),
    (_TABLE, "bert/embeddings/token_type_embeddings", "albert.embeddings.token_type_embeddings"),
    (_TABLE, "bert/embeddings/position_embeddings", "albert.embeddings.position_embeddings"),
    (_NORM, "bert/embeddings/LayerNorm", "albert.embeddings.LayerNorm"),
    (
        _DENSE,
        "bert/encoder/embedding_hidden_mapping_in",
        "albert.encoder.embedding_hidden_mapping_in",
    ),
    (_DENSE, "bert/pooler/dense", "albert.pooler"),
    (_DENSE, "cls/predictions/transform/dense", "predictions.dense"),
    (_NORM, "cls/predictions/transform/LayerNorm", "predictions.LayerNorm"),
    (_BIAS, "cls/predictions/output_bias", "predictions"),
    (_OUTPUT, "cls/seq_relationship", "sop_classifier.classifier"),
    (_OUTPUT, "", "classifier"),
)
_GOOGLE_BLOCK = (
    (_DENSE, "attention_1/self/query", "attention.query"),
    (_DENSE, "attention_1/self/key", "attention.key"),
    (_DENSE, "attention_1/self/value", "attention.value"),
    (_DENSE, "attention_1/output/dense", "attention.dense"),
    (_NORM, "LayerNorm", "attention.LayerNorm"),
    (_DENSE, "ffn_1/intermediate/dense", "ffn"),
    (_DENSE, "ffn_1/intermediate/output/dense", "ffn_output"),
    (_NORM, "LayerNorm_1", "full_layer_layer_norm"),
)


def _in_block(scope, module, rows):
    return tuple((kind, scope + row_scope, module + name) for kind, row_scope, name in rows)


def _of_base(base, rows):
    """Rows of BERT's names with the encoder under another name."""
    return tuple((kind, scope, re.sub(r"^bert\.", base + ".", name)) for kind, scope, name in rows)


NAMES = {
    "brightmart": _BERT_NAMES
    + _BRIGHTMART_NAMES
    + _in_block("bert/encoder/layer_shared/", "bert.encoder.layer_shared.", _BERT_BLOCK),
    "google": _GOOGLE_NAMES
    + _in_block(
        "bert/encoder/transformer/group_{}/inner_group_{}/",
        "albert.encoder.albert_layer_groups.{}.albert_layers.{}.",
        _GOOGLE_BLOCK,
    ),
    "bert": _BERT_NAMES
    + _in_block("bert/encoder/layer_{}/", "bert.encoder.layer.{}.", _BERT_BLOCK),
    "nezha": _of_base("nezha", _BERT_NAMES)  # (without a position table)
    + _in_block("bert/encoder/layer_{}/", "nezha.encoder.layer.{}.", _BERT_BLOCK),
}

# What the names of a file's tensors say about its layout.
_LAYOUT_MARKS = (
    ("brightmart", re.compile(r"encoder\.layer_shared\.")),
    ("google", re.compile(r"encoder\.albert_layer_groups\.\d+\.")),
    ("nezha", re.compile(r"nezha\.encoder\.layer\.\d+\.|\.relative_positions_encoding\.")),
    ("bert", re.compile(r"encoder\.layer\.\d+\.")),
)

# Tensors that a model ties to another one: name -> (that one, whether it is the transpose); {}
# stands for the base model.
_TIED = {
    "cls.predictions.decoder.weight": ("{}.embeddings.word_embeddings.weight", False),
    "cls.predictions.decoder.bias": ("cls.predictions.bias", False),
    "cls.predictions.project_layer.weight": ("bert.embeddings.word_embeddings_2.weight", True),
    "predictions.decoder.weight": ("albert.embeddings.word_embeddings.weight", False),
    "predictions.decoder.bias": ("predictions.bias", False),
}
_BUFFER = re.compile(  # constants, no weights
    r"\.embeddings\.(position_ids|token_type_ids)$|\.relative_positions_encoding\."
)
_OLD_ENDINGS = {"gamma": "weight", "beta": "bias"}  # of LayerNorm, before Hugging Face's renaming

# Classes of transformers (brightmart: of modeling_albert_zh.py) by the heads that are there.
ModelClass = collections.namedtuple("ModelClass", ["model_type", "prefix", "base"])
MODEL_CLASSES = {
    "brightmart": ModelClass("albert_zh", "AlbertZh", "bert"),
    "google": ModelClass("albert", "Albert", "albert"),
    "bert": ModelClass("bert", "Bert", "bert"),
    "nezha": ModelClass("nezha", "Nezha", "nezha"),
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
    "nezha": ["max_relative_position"],
}
# What Hugging Face's configs mean where they leave a key out.
_KEY_DEFAULTS = {
    "hidden_act": "gelu_new",
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
# What of a Hugging Face config is used here; sizes are checked by `AlbertConfig`.
CONFIG = validation.record(
    {
        "model_type": validation.TEXT,
        "architectures": validation.or_none(validation.list_of(validation.TEXT)),
        "hidden_act": validation.TEXT,
        "layer_norm_eps": validation.number(least=0, most=1),
        "position_embedding_type": validation.or_none(validation.TEXT),
        "tie_word_embeddings": validation.BOOLEAN,
        "problem_type": validation.or_none(validation.one_of(*PROBLEM_TYPES.values())),
        "label2id": validation.or_none(validation.record(others=validation.integer(0))),
        "id2label": validation.or_none(validation.record(others=validation.TEXT)),
    },
    expected="a JSON object of settings",
)
# Our name -> theirs. Their "gelu" is the erf form, ours the tanh form, as TensorFlow's models have.
_ACTIVATIONS = {
    "gelu": "gelu_new",
    "relu": "relu",
    "tanh": "tanh",
    "swish": "silu",
    "linear": "linear",
}
_FROM_ACTIVATIONS = {theirs: ours for ours, theirs in _ACTIVATIONS.items()}
_FROM_ACTIVATIONS.update(swish="swish", gelu_fast="gelu", gelu_pytorch_tanh="gelu", gelu="gelu")
_MAPPING_IN = "bert/encoder/embedding_hidden_mapping_in/"

TorchName = collections.namedtuple("TorchName", ["name", "is_transposed"])


def _compiled(rows):
    """The rows as [(regex of the variable, its template, regex of the tensor, template, ...)]."""
    compiled = []
    for kind, scope, module in rows:
        for ending, torch_ending, is_transposed in kind:
            tf_name = "/".join(component for component in (scope, ending) if component)
            torch_name = "%s.%s" % (module, torch_ending)
            compiled.append(
                (_pattern(tf_name), tf_name, _pattern(torch_name), torch_name, is_transposed)
            )
    return compiled


def _pattern(template):
    return re.compile(r"(\d+)".join(re.escape(literal) for literal in template.split("{}")) + "$")


_COMPILED = {layout: _compiled(rows) for layout, rows in NAMES.items()}


def torch_name(layout, variable):
    """`TorchName` of a TensorFlow variable, or None if the layout has no such variable."""
    for pattern, _, _, template, is_transposed in _COMPILED[layout]:
        match = pattern.match(variable)
        if match:
            return TorchName(template.format(*match.groups()), is_transposed)
    return None


def tf_name(layout, tensor):
    """(name, whether it is the transpose) of a tensor's TensorFlow variable; None if unknown."""
    for _, template, pattern, _, is_transposed in _COMPILED[layout]:
        match = pattern.match(tensor)
        if match:
            return template.format(*match.groups()), is_transposed
    return None


def layout_of(names):
    """The layout that names of tensors show, or None."""
    for layout, mark in _LAYOUT_MARKS:
        if any(mark.search(name) for name in names):
            return layout
    return None


def refusal(config):
    """Why a model cannot be expressed by PyTorch's classes; None if it can."""
    if config.layout.startswith("google") and config.num_hidden_groups > config.num_hidden_layers:
        return (
            "it has more groups than layers (num_hidden_groups %d, num_hidden_layers %d), and "
            "transformers' ALBERT would ask for weights of all groups"
            % (config.num_hidden_groups, config.num_hidden_layers)
        )
    if config.use_relative_position and config.layout != "nezha":
        return (
            "it has use_relative_position in the %s layout, which no class of transformers has: "
            "only plain BERT with it (NEZHA) can be converted" % config.layout
        )
    if config.is_pre_norm and config.layout != "brightmart":
        return (
            "ln_type is preln, which transformers has neither for BERT nor for ALBERT: only the "
            "brightmart layout with it can be converted"
        )
    return None


def with_dense_layers(config, values):
    """A google_fast model as one of the google layout, with the same outputs.

    Args:
        config: `AlbertConfig`.
        values: {name: array}; kernels of groups are [in / G, out / G, G].

    Returns:
        (`AlbertConfig`, {name: array}): kernels [in, out], 0 where groups do not meet.
    """
    settings = dict(config.to_dict(), ffn_groups=1)
    dense = {}
    for name, value in values.items():
        if name.endswith("kernel") and value.ndim == 3:
            size, width, groups = value.shape
            kernel = np.zeros([size, groups, groups, width], value.dtype)
            for group in range(groups):
                kernel[:, group, group] = value[:, :, group]
            value = kernel.reshape([size * groups, groups * width])
        dense[name] = value
    return AlbertConfig.from_dict(settings), dense


def to_torch(config, values):
    """Tensors of a model.

    Args:
        config: `AlbertConfig` without a `refusal`.
        values: {TensorFlow name: array}.

    Returns:
        {PyTorch name: array}.
    """
    values = dict(values)
    if config.layout == "google" and config.word_width == config.hidden_size:
        # Hugging Face's ALBERT always has the mapping.
        values[_MAPPING_IN + "kernel"] = np.eye(config.hidden_size, dtype=np.float32)
        values[_MAPPING_IN + "bias"] = np.zeros(config.hidden_size, np.float32)
    tensors = {}
    for variable, array in values.items():
        name, is_transposed = torch_name(config.layout, variable)
        tensors[name] = np.ascontiguousarray(array.T) if is_transposed else array
    return tensors


def canonical(tensors):
    """Tensors under the names that this module's tables have.

    Undoes DataParallel's `module.`, old endings of LayerNorm and a base model's missing prefix.

    Args:
        tensors: {name: array}.

    Returns:
        (layout or None, {name: array} without buffers).
    """
    layout = layout_of(tensors)
    base = MODEL_CLASSES[layout].base if layout else ""
    renamed = collections.OrderedDict()
    for name, tensor in tensors.items():
        name = re.sub(r"^module\.", "", name)
        if re.match(r"(embeddings|encoder|pooler)\.", name):
            name = "%s.%s" % (base, name)
        match = re.match(r"(.*LayerNorm\.)(gamma|beta)$", name)
        if match:
            name = match.group(1) + _OLD_ENDINGS[match.group(2)]
        if not _BUFFER.search(name):
            renamed[name] = tensor
    return layout, renamed


def retied(tensors):
    """Takes tied tensors out, as TensorFlow's models have them once.

    Args:
        tensors: {name: array} of `canonical`.

    Returns:
        ({name: array} without them, list of notes).
    """
    untied, notes = collections.OrderedDict(tensors), []
    layout = layout_of(tensors)
    for name, (source, is_transposed) in _TIED.items():
        if name not in untied:
            continue
        source = source.format(MODEL_CLASSES[layout].base if layout else "bert")
        tensor = untied.pop(name)
        tensor = tensor.T if is_transposed else tensor
        if source not in untied:
            untied[source] = tensor
            continue
        state = "equal" if np.array_equal(tensor, untied[source]) else "different, and not used"
        notes.append("%s is tied to %s again (in the file it is %s)" % (name, source, state))
    return untied, notes


def to_tf(layout, tensors):
    """Variables of a model.

    Args:
        layout: key of `NAMES`.
        tensors: {name: array} of `retied`.

    Returns:
        ({TensorFlow name: array}, list of names of tensors that no variable stands for).
    """
    arrays, unknown = {}, []
    for name, tensor in tensors.items():
        variable = tf_name(layout, name)
        if variable is None:
            unknown.append(name)
        else:
            arrays[variable[0]] = np.ascontiguousarray(tensor.T) if variable[1] else tensor
    return arrays, unknown


def without_identity_mapping(values):
    """Takes out an E->H mapping of vectors to themselves: with E = H ours has none."""
    kernel, bias = values.get(_MAPPING_IN + "kernel"), values.get(_MAPPING_IN + "bias")
    if kernel is None or bias is None or np.any(bias) or not _is_identity(kernel):
        return values
    return {name: array for name, array in values.items() if not name.startswith(_MAPPING_IN)}


def _is_identity(matrix):
    is_square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1]
    return is_square and np.array_equal(matrix, np.eye(len(matrix)))


def torch_config(config, heads, dtype="float32"):
    """The `config.json` of a Hugging Face folder.

    Args:
        config: `AlbertConfig` without a `refusal`.
        heads: tuple, a key of `CLASS_ENDINGS`.
        dtype: type that the weights are stored in.

    Returns:
        dict.
    """
    names = MODEL_CLASSES[config.layout]
    keys = _COMMON_KEYS + _LAYOUT_KEYS[config.layout]
    torch_settings = {key: getattr(config, key) for key in keys}
    torch_settings.update(
        architectures=[names.prefix + CLASS_ENDINGS[heads]],
        model_type=names.model_type,
        hidden_act=_ACTIVATIONS[config.hidden_act],
        layer_norm_eps=LAYER_NORM_EPSILON,
        torch_dtype=dtype,
    )
    if config.layout in ("bert", "nezha"):
        torch_settings["classifier_dropout"] = CLASSIFIER_DROPOUT
    else:
        torch_settings["classifier_dropout_prob"] = CLASSIFIER_DROPOUT
    if config.layout == "brightmart":
        torch_settings["auto_map"] = {
            auto: "%s.%s%s" % (MODELING_MODULE, names.prefix, ending)
            for auto, ending in _AUTO_CLASSES.items()
        }
    return torch_settings


def tf_config(layout, settings):
    """The config of a PyTorch model's config JSON.

    Args:
        layout: layout of its tensors.
        settings: dict of its config.json, or an `albert_config*.json` of ours.

    Returns:
        (`AlbertConfig`, list of notes on what will not be equal).

    Raises:
        UserError: if a key is missing or says what our model cannot do.
    """
    settings = dict(_KEY_DEFAULTS, **validation.checked("config", settings, CONFIG))
    keys = _COMMON_KEYS + _LAYOUT_KEYS[layout]
    missing = [key for key in keys if key not in settings]
    if missing:
        raise UserError(
            "%s is missing, which a model of the %s layout needs" % (missing[0], layout)
        )
    for key, only in (("position_embedding_type", "absolute"), ("tie_word_embeddings", True)):
        if settings.get(key) not in (None, only):
            raise UserError("%s is %r; only %r has a TensorFlow form" % (key, settings[key], only))
    activation = settings["hidden_act"]
    if activation not in _FROM_ACTIVATIONS:
        raise UserError(
            "hidden_act is %r, expected one of %s"
            % (activation, ", ".join(sorted(_FROM_ACTIVATIONS)))
        )
    tf_settings = {key: settings[key] for key in keys}
    tf_settings["hidden_act"] = _FROM_ACTIVATIONS[activation]
    if layout != "brightmart":
        tf_settings.pop("ln_type", None)
    if layout == "nezha":
        tf_settings["use_relative_position"] = True
    return AlbertConfig.from_dict(tf_settings), _inequalities(settings)


def _inequalities(settings):
    notes = []
    if settings["hidden_act"] == "gelu" and settings.get("model_type") in (
        "albert",
        "bert",
        "nezha",
    ):
        notes.append(
            "hidden_act gelu is the erf form in transformers and the tanh form here: outputs "
            "differ slightly (equal with gelu_new)"
        )
    epsilon = settings.get("layer_norm_eps", LAYER_NORM_EPSILON)
    if epsilon != LAYER_NORM_EPSILON:
        notes.append(
            "layer_norm_eps is %g there and %g here: outputs differ slightly"
            % (epsilon, LAYER_NORM_EPSILON)
        )
    return notes
