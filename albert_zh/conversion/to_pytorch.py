"""Converts a checkpoint to a Hugging Face folder of weights, config and tokenizer, without PyTorch.

    notes = convert("lcqmc_output/best/albert_model.ckpt", "lcqmc_pytorch")

google_fast's grouped feed-forward layers become dense layers with zeros between the groups, which
transformers' ALBERT supports; the outputs are the same.
"""

import os
from typing import TYPE_CHECKING, Dict, List, Optional, Tuple

from albert_zh.common import files, package_files, storage
from albert_zh.common.errors import UserError
from albert_zh.common.output_files import copy_file, write_json
from albert_zh.conversion import pytorch_configs, pytorch_files, pytorch_names
from albert_zh.model import ngram_table, slot_fusion
from albert_zh.model.checkpoints import (
    checkpoint_matching,
    checkpoint_names,
    checkpoint_values,
    expected_variables,
    fine_tuning_notes,
    label_map,
    model_folder,
    packed_weights,
    whole_folders,
)
from albert_zh.model.config import AlbertConfig
from albert_zh.text import sentencepiece_models, tokenization

if TYPE_CHECKING:
    import numpy as np

MODELING_FILE = os.path.join(package_files.PYTORCH, pytorch_configs.MODELING_MODULE + ".py")
BERT_TOKENIZER = {
    "tokenizer_class": "BertTokenizer",
    "tokenize_chinese_chars": True,
    "strip_accents": None,
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
# Keys of config.json for token ids.
ID_KEYS = {"pad_token_id": "[PAD]", "bos_token_id": "[CLS]", "eos_token_id": "[SEP]"}

# {scope of variables: what a classifier with them does}.
PARTS_NOT_CONVERTED = {
    slot_fusion.SCOPE: "takes slots",
    ngram_table.SCOPE: "has a table of n-grams",
}


def convert(
    prefix: str,
    folder: str,
    config_file: Optional[str] = None,
    vocab_file: Optional[str] = None,
    dtype: str = "float32",
    write_bin: bool = False,
    encoder_only: bool = False,
    do_lower_case: Optional[bool] = None,
    config: Optional[AlbertConfig] = None,
) -> List[str]:
    """Writes the Hugging Face folder of a checkpoint.

    Args:
        prefix: checkpoint prefix.
        folder: folder to create or to add files to.
        config_file: config JSON file; None: the one next to the checkpoint.
        vocab_file: vocabulary; None: the one next to the checkpoint, if there is one.
        dtype: one of `pytorch_files.DTYPES`.
        write_bin: whether to write pytorch_model.bin in addition.
        encoder_only: whether to convert the encoder without its heads.
        do_lower_case: value for the tokenizer's config; None: as in fine-tuning, or True.
        config: `AlbertConfig`, if it has already been read.

    Returns:
        lines to print.

    Raises:
        UserError: if the parts do not fit together, or the layout has no PyTorch form.
    """
    source = os.path.dirname(prefix) or "."
    config = _convertible(config, config_file, source)
    vocab_file, notes = _vocabulary(vocab_file, source, config)
    trained = fine_tuning_notes.notes_of_folder(source)
    if do_lower_case is None:
        do_lower_case = trained.get("do_lower_case", True)
    kind = trained.get("objective", "single_label")
    values, heads = _read_parts(prefix, config, encoder_only, kind, notes)
    config, values = _without_groups(config, values, notes)
    tensors = pytorch_names.to_torch(config, values)
    settings = pytorch_configs.torch_config(config, heads, dtype)
    if "classification" in heads:
        settings.update(_about_classifier(source, kind, len(values["output_bias"])))
        notes += _notes_on_pooling(trained)
    with whole_folders.filled_folder(folder) as partial:
        settings.update(_write_vocabulary(partial, vocab_file, config, do_lower_case))
        if "auto_map" in settings:
            copy_file(MODELING_FILE, os.path.join(partial, os.path.basename(MODELING_FILE)))
        if "classification" in heads and trained:  # to convert it back; PyTorch ignores it
            write_json(os.path.join(partial, fine_tuning_notes.FINE_TUNING_FILE), trained)
        _write_weights(partial, tensors, dtype, write_bin)
        write_json(os.path.join(partial, "config.json"), settings)
        _check_written(partial, config, sorted(tensors))
    count = sum(value.size for value in values.values())
    what = "%s, %d parameters, %s" % (settings["architectures"][0], count, dtype)
    return notes + ["%s -> %s (%s)" % (packed_weights.as_named(prefix), folder, what)]


def _convertible(config, config_file, folder):
    """The config from `convert`'s arguments; raises `UserError` if it has no PyTorch form."""
    if config is None:
        config_file = config_file or model_folder.config_in_folder(folder)
        config = AlbertConfig.from_json_file(config_file)
    if pytorch_names.refusal(config):
        raise UserError("%s: %s" % (config_file or folder, pytorch_names.refusal(config)))
    return config


def _read_parts(prefix, config, encoder_only, kind, notes):
    """(values, heads) from `read_model`, without the head if its kind is no classifier."""
    values, heads, left_out = read_model(prefix, config, encoder_only)
    if "classification" in heads and kind not in pytorch_configs.PROBLEM_TYPES:
        values, heads, left_out = read_model(prefix, config, encoder_only=True)
        folder = os.path.dirname(prefix) or "."
        notes.append(
            "note: only the encoder is converted: %s is not a text classifier (%s)" % (folder, kind)
        )
    if left_out:
        notes.append("not converted: " + ", ".join(left_out))
    return values, heads


def _without_groups(config, values, notes):
    """(config, values) of a google_fast model in the google layout; unchanged for other layouts."""
    if config.layout != "google_fast":
        return config, values
    notes.append("feed-forward layers of groups are written as dense ones with zeros")
    return pytorch_names.with_dense_layers(config, values)


def _write_weights(folder, tensors, dtype, write_bin):
    pytorch_files.write_safetensors(
        os.path.join(folder, pytorch_files.WEIGHTS_NAME), tensors, dtype
    )
    if write_bin:
        pytorch_files.write_bin(os.path.join(folder, pytorch_files.BIN_NAME), tensors, dtype)


def _check_written(folder, config, names):
    """Reads the result like the conversion back does; raises `UserError` if that fails."""
    for name in (pytorch_files.WEIGHTS_NAME, pytorch_files.BIN_NAME):
        path = os.path.join(folder, name)
        if storage.exists(path) and sorted(pytorch_files.read_tensors(path)) != names:
            raise UserError("%s: its tensors differ from those that were written" % path)
    settings = files.read_json(os.path.join(folder, "config.json"), pytorch_configs.CONFIG)
    pytorch_configs.tf_config(config.layout, settings)


def read_model(
    prefix: str, config: AlbertConfig, encoder_only: bool = False
) -> Tuple[Dict[str, "np.ndarray"], Tuple[str, ...], List[str]]:
    """Reads the weights of a checkpoint, with the names that belong to its config.

    Args:
        prefix: checkpoint prefix.
        config: its `AlbertConfig`.
        encoder_only: whether to read the encoder without its heads.

    Returns:
        (values {name: array}, heads, names of skipped variables); heads is a key of
        `pytorch_configs.CLASS_ENDINGS`.

    Raises:
        UserError: if the checkpoint does not match the config.
    """
    there = checkpoint_values.read_shapes(prefix)
    checkpoint_values.check_readable(prefix)
    num_labels = checkpoint_names.num_labels(checkpoint_names.with_canonical_names(there))
    parts = expected_variables.expected_shapes_by_part(config, num_labels)
    expected = {name: shape for part in parts.values() for name, shape in part.items()}
    assignment = checkpoint_matching.assign(expected, prefix)
    for name, (shape, found) in assignment.reshaped.items():
        raise UserError("%s: %s is %s, expected %s" % (prefix, name, found, shape))
    if not encoder_only:
        _check_classifier(prefix, there)
    if config.layout == "electra":
        encoder_only = True  # transformers' heads differ
    heads = () if encoder_only else _heads(parts, set(assignment.names.values()))
    wanted = set(parts["encoder"]).union(*(parts[head] for head in heads))
    reader = checkpoint_values.open_reader(prefix)
    values = {
        name: reader.get_tensor(source)
        for source, name in assignment.names.items()
        if name in wanted
    }
    values = checkpoint_values.as_float32(prefix, values)
    left_out = [name for name in there if assignment.names.get(name) not in wanted]
    return values, heads, left_out


def _check_classifier(prefix, names):
    """Raises `UserError` for a classifier with parts that PyTorch's models lack."""
    for scope, part in PARTS_NOT_CONVERTED.items():
        if scope in checkpoint_names.classifier_parts(names):
            raise UserError(
                "%s: its classifier %s, which PyTorch's models do not support: convert only "
                "the encoder (--encoder_only=true)" % (prefix, part)
            )


def _notes_on_pooling(trained):
    if trained.get("pooling", "cls") == "cls":
        return []
    return [
        "note: the model was fine-tuned with --pooling=%s, but the classes of PyTorch use [CLS]: "
        "pool last_hidden_state yourself (docs/conversion.md)" % trained["pooling"]
    ]


def _write_vocabulary(folder, vocab_file, config, do_lower_case):
    """Copies the vocabulary into a folder; returns the settings for config.json."""
    if vocab_file is None:
        return {}
    if tokenization.is_sentencepiece(vocab_file):  # transformers' ALBERT reads it directly
        copy_file(vocab_file, os.path.join(folder, tokenization.SENTENCEPIECE_FILE))
        _write_tokenizer(folder, config, do_lower_case, {"tokenizer_class": "AlbertTokenizer"})
        return {}
    copy_file(vocab_file, os.path.join(folder, tokenization.VOCABULARY_FILE))
    _write_tokenizer(folder, config, do_lower_case, BERT_TOKENIZER)
    return _token_ids(vocab_file)


def _heads(parts, there):
    """The first kind of model all of whose heads are available."""
    for heads in pytorch_configs.CLASS_ENDINGS:
        if all(set(parts[head]) <= there for head in heads):
            return heads
    raise AssertionError("the last kind has no heads")


def _vocabulary(vocab_file, folder, config):
    """(path or None, notes) of the vocabulary; raises `UserError` if a vocab.txt's size differs.

    A SentencePiece model is copied unread, so that its package need not be installed.
    """
    if vocab_file is None:
        vocab_file = tokenization.vocabulary_in_folder(folder)
        if not storage.exists(vocab_file):
            return None, [
                "no vocab.txt in %s: no tokenizer is written (--vocab_file names one)" % folder
            ]
    if tokenization.is_sentencepiece(vocab_file):
        return vocab_file, _notes_on_algorithm(vocab_file)
    size = tokenization.num_entries(vocab_file)
    tokenization.check_num_entries(vocab_file, size, config.vocab_size)
    return vocab_file, []


def _notes_on_algorithm(vocab_file):
    """A note on a SentencePiece model whose algorithm transformers' class does not support."""
    algorithm = sentencepiece_models.algorithm_of(vocab_file)
    if algorithm in (None, "unigram"):
        return []
    return [
        "note: %s is a %s model, and transformers' AlbertTokenizer splits texts as a unigram "
        "model does: take the ids from the package sentencepiece, or from FullTokenizer here"
        % (vocab_file, algorithm)
    ]


def _about_classifier(folder, kind, num_labels):
    """The settings of a classifier for config.json: its labels and the kind of its outputs."""
    return dict(_labels(folder, num_labels), problem_type=pytorch_configs.PROBLEM_TYPES[kind])


def _labels(folder, num_labels):
    """Names of the classes for config.json, from the model folder's label map if there is one."""
    path = os.path.join(folder, label_map.LABEL_MAP)
    if not storage.exists(path):
        return {"num_labels": num_labels}
    labels = label_map.labels_of_map(path)
    label_map.check_num_labels(path, labels, num_labels)
    return {
        "id2label": {str(class_id): label for class_id, label in enumerate(labels)},
        "label2id": {label: class_id for class_id, label in enumerate(labels)},
    }


def _token_ids(vocab_file):
    ids = tokenization.load_vocab(vocab_file)
    return {key: ids[token] for key, token in ID_KEYS.items() if token in ids}


def _write_tokenizer(folder, config, do_lower_case, kind):
    length = config.max_position_embeddings
    settings = dict(kind, do_lower_case=do_lower_case, model_max_length=length)
    write_json(os.path.join(folder, "tokenizer_config.json"), settings)
