"""Maps names of TensorFlow variables to names of PyTorch tensors, layout by layout.

google and bert use the names of Hugging Face's ALBERT and BERT; brightmart uses the names of the
albert_pytorch project, as does `pytorch/modeling_albert_zh.py`.
"""

import collections
import re
from typing import Any, Collection, Dict, Iterable, List, Mapping, Optional, Tuple

import numpy as np

from albert_zh.model.config import AlbertConfig

# Endings of a layer's variables -> (ending of the tensor, whether it is transposed).
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
_ELECTRA_NAMES = (
    tuple(  # the encoder's; transformers' heads differ
        (kind, scope.replace("bert/", "electra/"), name.replace("bert.", "electra."))
        for kind, scope, name in _BERT_NAMES[:4]
    )
    + ((_DENSE, "electra/embeddings_project", "electra.embeddings_project"),)
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
    """BERT's rows with another name of the encoder."""
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
    "electra": _ELECTRA_NAMES
    + _in_block("electra/encoder/layer_{}/", "electra.encoder.layer.{}.", _BERT_BLOCK),
    "nezha": _of_base("nezha", _BERT_NAMES)  # (without a position table)
    + _in_block("bert/encoder/layer_{}/", "nezha.encoder.layer.{}.", _BERT_BLOCK),
}

# Patterns of tensor names that identify the layout.
_LAYOUT_MARKS = (
    ("brightmart", re.compile(r"encoder\.layer_shared\.")),
    ("google", re.compile(r"encoder\.albert_layer_groups\.\d+\.")),
    ("electra", re.compile(r"electra\.encoder\.layer\.\d+\.|(^|\.)embeddings_project\.")),
    ("nezha", re.compile(r"nezha\.encoder\.layer\.\d+\.|\.relative_positions_encoding\.")),
    ("bert", re.compile(r"encoder\.layer\.\d+\.")),
)

# Tensors that a model ties to another tensor: name -> (other name, whether it is transposed); {}
# stands for the base model.
_TIED = {
    "cls.predictions.decoder.weight": ("{}.embeddings.word_embeddings.weight", False),
    "cls.predictions.decoder.bias": ("cls.predictions.bias", False),
    "cls.predictions.project_layer.weight": ("bert.embeddings.word_embeddings_2.weight", True),
    "predictions.decoder.weight": ("albert.embeddings.word_embeddings.weight", False),
    "predictions.decoder.bias": ("predictions.bias", False),
}
_BUFFER = re.compile(  # constants, not weights
    r"\.embeddings\.(position_ids|token_type_ids)$|\.relative_positions_encoding\."
)
_ADAPTER = re.compile(r"\.(lora_\w+|base_layer|modules_to_save)\.")  # PEFT's names
_OLD_ENDINGS = {"gamma": "weight", "beta": "bias"}  # LayerNorm's, before Hugging Face renamed them

# transformers' classes (brightmart: classes of modeling_albert_zh.py) by the available heads.
ModelClass = collections.namedtuple("ModelClass", ["model_type", "prefix", "base"])
MODEL_CLASSES = {
    "brightmart": ModelClass("albert_zh", "AlbertZh", "bert"),
    "google": ModelClass("albert", "Albert", "albert"),
    "bert": ModelClass("bert", "Bert", "bert"),
    "electra": ModelClass("electra", "Electra", "electra"),
    "nezha": ModelClass("nezha", "Nezha", "nezha"),
}
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


def torch_name(layout: str, variable: str) -> Optional[TorchName]:
    """`TorchName` of a TensorFlow variable, or None if the layout has no such variable."""
    for pattern, _, _, template, is_transposed in _COMPILED[layout]:
        match = pattern.match(variable)
        if match:
            return TorchName(template.format(*match.groups()), is_transposed)
    return None


def tf_name(layout: str, tensor: str) -> Optional[Tuple[str, bool]]:
    """(name, whether it is transposed) of a tensor's TensorFlow variable; None if unknown."""
    for _, template, pattern, _, is_transposed in _COMPILED[layout]:
        match = pattern.match(tensor)
        if match:
            return template.format(*match.groups()), is_transposed
    return None


def layout_of(names: Collection[str]) -> Optional[str]:
    """The layout that the names of tensors indicate, or None."""
    for layout, mark in _LAYOUT_MARKS:
        if any(mark.search(name) for name in names):
            return layout
    return None


def foreign_base(layout: str, names: Iterable[str]) -> Optional[str]:
    """The encoder's name in tensors of an unsupported class of models; None if it is supported."""
    for name in names:
        match = re.match(r"(\w+)\.encoder\.layer\.\d+\.", name)
        if match and match.group(1) != MODEL_CLASSES[layout].base:
            return match.group(1)
    return None


def adapter_of(names: Iterable[str]) -> Optional[str]:
    """The first tensor name that belongs to an adapter (LoRA) rather than to a model; or None."""
    return next(filter(_ADAPTER.search, names), None)


def outer_prefix(layout: str, names: Iterable[str]) -> str:
    """The prefix before the encoder's own name, if the model is part of another one; else "".

    Args:
        layout: layout of the tensors.
        names: names from `canonical`.
    """
    base = MODEL_CLASSES[layout].base + "."
    for name in names:
        match = re.match(r"(.+\.)embeddings\.word_embeddings\.weight$", name)
        if match and match.group(1) != base:
            return re.sub(r"(^|(?<=\.))%s$" % re.escape(base), "", match.group(1))
    return ""


def refusal(config: AlbertConfig) -> Optional[str]:
    """The reason why PyTorch's classes cannot represent a model; None if they can."""
    groups = config.num_hidden_groups or 0
    if config.layout.startswith("google") and groups > config.num_hidden_layers:
        return (
            "it has more groups than layers (num_hidden_groups %d, num_hidden_layers %d), and "
            "transformers' ALBERT would ask for weights of all groups"
            % (groups, config.num_hidden_layers)
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


def with_dense_layers(
    config: AlbertConfig, values: Mapping[str, np.ndarray]
) -> Tuple[AlbertConfig, Dict[str, np.ndarray]]:
    """Converts a google_fast model to the google layout, with the same outputs.

    Args:
        config: `AlbertConfig`.
        values: {name: array}; kernels of groups are [in / G, out / G, G].

    Returns:
        (`AlbertConfig`, {name: array}): kernels [in, out], 0 outside of the groups.
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


def to_torch(config: AlbertConfig, values: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """Converts a model's variables to PyTorch tensors.

    Args:
        config: `AlbertConfig` without a `refusal`.
        values: {TensorFlow name: array}.

    Returns:
        {PyTorch name: array}.
    """
    values = dict(values)
    if config.layout == "google" and config.word_width == config.hidden_size:
        # Hugging Face's ALBERT always has the mapping of embeddings to the hidden size.
        values[_MAPPING_IN + "kernel"] = np.eye(config.hidden_size, dtype=np.float32)
        values[_MAPPING_IN + "bias"] = np.zeros(config.hidden_size, np.float32)
    tensors = {}
    for variable, array in values.items():
        found = torch_name(config.layout, variable)
        name, is_transposed = found  # type: ignore[misc] # the tables have all of a layout
        tensors[name] = np.ascontiguousarray(array.T) if is_transposed else array
    return tensors


_ENCODERS_LIKE_BERT = ("nezha", "electra")  # names without a prefix may belong to these
_POSITION_TABLE = "embeddings.position_embeddings.weight"


def _layout_by_config(tensors, settings):
    """`layout_of` the tensors; the config decides if the names fit several layouts like BERT's."""
    layout = layout_of(tensors)
    if layout != "bert":
        return layout
    if not settings:
        return "bert"
    has_table = any(name.endswith(_POSITION_TABLE) for name in tensors)
    kind = settings.get("model_type") or ("bert" if has_table else "nezha")
    return kind if kind in _ENCODERS_LIKE_BERT else "bert"


def canonical(
    tensors: Mapping[str, np.ndarray], settings: Optional[Mapping[str, Any]] = None
) -> Tuple[Optional[str], Dict[str, np.ndarray]]:
    """Renames tensors to the names in this module's tables.

    Removes DataParallel's `module.`, renames old endings of LayerNorm, adds a base model's missing
    prefix and replaces the `bert.` of Huawei's own program by `nezha.`.

    Args:
        tensors: {name: array}.
        settings: content of the config JSON, if there is one.

    Returns:
        (layout or None, {name: array} without buffers).
    """
    layout = _layout_by_config(tensors, settings or {})
    base = MODEL_CLASSES[layout].base if layout else ""
    renamed = collections.OrderedDict()
    for name, tensor in tensors.items():
        name = re.sub(r"^module\.", "", name)
        if base and re.match(r"(embeddings|embeddings_project|encoder|pooler)\.", name):
            name = "%s.%s" % (base, name)
        if layout == "nezha":
            name = re.sub(r"^bert\.", "nezha.", name)
        match = re.match(r"(.*LayerNorm\.)(gamma|beta)$", name)
        if match:
            name = match.group(1) + _OLD_ENDINGS[match.group(2)]
        if not _BUFFER.search(name):
            renamed[name] = tensor
    return layout, renamed


def retied(tensors: Mapping[str, np.ndarray]) -> Tuple[Dict[str, np.ndarray], List[str]]:
    """Removes tied tensors, which TensorFlow models store once.

    Args:
        tensors: {name: array} from `canonical`.

    Returns:
        ({name: array} without them, notes).
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
        notes.append("%s is tied to %s (in the file it is %s)" % (name, source, state))
    return untied, notes


def to_tf(
    layout: str, tensors: Mapping[str, np.ndarray]
) -> Tuple[Dict[str, np.ndarray], List[str]]:
    """Converts tensors to TensorFlow variables.

    Args:
        layout: key of `NAMES`.
        tensors: {name: array} from `retied`.

    Returns:
        ({TensorFlow name: array}, names of tensors without a variable).
    """
    arrays, unknown = {}, []
    for name, tensor in tensors.items():
        variable = tf_name(layout, name)
        if variable is None:
            unknown.append(name)
        else:
            arrays[variable[0]] = np.ascontiguousarray(tensor.T) if variable[1] else tensor
    return arrays, unknown


def has_mapping(values: Mapping[str, np.ndarray]) -> bool:
    """Whether TensorFlow's variables {name: array} map embeddings to the hidden size."""
    return _MAPPING_IN + "kernel" in values


def without_identity_mapping(values: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """Removes an E->H mapping that is the identity: with E = H, our models have none."""
    kernel, bias = values.get(_MAPPING_IN + "kernel"), values.get(_MAPPING_IN + "bias")
    if kernel is None or bias is None or np.any(bias) or not _is_identity(kernel):
        return values
    return {name: array for name, array in values.items() if not name.startswith(_MAPPING_IN)}


def _is_identity(matrix):
    is_square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1]
    return is_square and np.array_equal(matrix, np.eye(len(matrix)))
