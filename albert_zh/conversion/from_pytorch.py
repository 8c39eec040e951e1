"""Converts PyTorch weights to a TensorFlow model folder; PyTorch need not be installed.

notes = convert(pytorch_files.find_weights("bert_folder"), "prev_trained_model/my_model")
"""

import contextlib
import os
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Tuple

import numpy as np

from albert_zh.common import files, output_files, storage, validation
from albert_zh.common.errors import UserError
from albert_zh.conversion import pytorch_configs, pytorch_files, pytorch_names, tokenizer_json
from albert_zh.model.checkpoints import (
    checkpoint_files,
    checkpoint_names,
    checkpoint_values,
    expected_variables,
    fine_tuning_notes,
    label_map,
    model_folder,
    model_writer,
    whole_folders,
)
from albert_zh.model.layouts import LAYOUTS
from albert_zh.text import tokenization

if TYPE_CHECKING:
    from albert_zh.model.config import AlbertConfig

POOLER = "bert/pooler/dense/"
_WORDS_HEAD = "cls/predictions/"
POOLER_SEED = 0  # for the initial values of a pooler that a file lacks
TOKENIZER_CONFIG = "tokenizer_config.json"
TOKENIZER_SETTINGS = validation.record({"do_lower_case": validation.or_none(validation.BOOLEAN)})
_USE_ITS_CONFIG = "use the config that came with the weights"
_ADAPTER_FILE = "adapter_model."  # PEFT's file name
_NO_ADAPTER = (
    "%s %s an adapter (LoRA)%s, expected a whole model: merge it in PyTorch, by "
    "model.merge_and_unload().save_pretrained(...), and convert that folder"
)
CONFIG_NAMES = {"bert": "bert_config.json", "nezha": "bert_config.json"}


def convert(
    weights: str, folder: str, config_file: Optional[str] = None, vocab_file: Optional[str] = None
) -> List[str]:
    """Writes the TensorFlow model folder of PyTorch weights.

    Args:
        weights: file of the weights, as returned by `pytorch_files.find_weights`.
        folder: folder to create or to add files to.
        config_file: config JSON file; None: the one next to the weights.
        vocab_file: vocabulary; None: the one next to the weights, if there is one.

    Returns:
        lines to print.

    Raises:
        UserError: if the weights are damaged, unknown or do not fit the config.
    """
    source = os.path.dirname(weights) or "."
    if os.path.basename(weights).startswith(_ADAPTER_FILE):
        raise UserError(_NO_ADAPTER % (weights, "is", ""))
    config_file = config_file or model_folder.config_in_folder(source)
    settings = files.read_json(config_file, pytorch_configs.CONFIG, _USE_ITS_CONFIG)
    config, weights_by_name, notes = read_model(weights, config_file, settings)
    trained = _fine_tuning(source)
    labels = {}
    if "output_bias" in weights_by_name:
        num_outputs = len(weights_by_name["output_bias"])
        labels = _label_map(source, settings, num_outputs, config_file)
        objective = _objective(settings, num_outputs)
        if "objective" not in trained:
            _check_objective(objective, num_outputs, config_file)
        elif settings.get("problem_type") and trained["objective"] != objective:
            notes.append(_other_objective(trained["objective"], settings, source, config_file))
        if objective != "single_label":
            trained.setdefault("objective", objective)
        fine_tuning_notes.check_notes(trained, num_outputs, config_file)
    with whole_folders.filled_folder(folder) as partial:
        notes += _write_vocabulary(partial, source, vocab_file, config)
        if labels:
            output_files.write_json(os.path.join(partial, label_map.LABEL_MAP), labels)
        if trained.get("do_lower_case") is False:
            notes.append("note: letters keep their case, as %s says" % source)
        if trained:
            output_files.write_json(
                os.path.join(partial, fine_tuning_notes.FINE_TUNING_FILE), trained
            )
        config_name = CONFIG_NAMES.get(config.layout, "albert_config.json")
        with output_files.atomic_write(os.path.join(partial, config_name)) as stream:
            stream.write(config.to_json_string())
        model_writer.write_model_checkpoint(partial, weights_by_name)
        check_model_folder(partial, folder)
    count = sum(array.size for array in weights_by_name.values())
    what = "%s layout, %d parameters" % (config.layout, count)
    return notes + ["%s -> %s (%s)" % (weights, folder, what)]


def check_model_folder(path: str, name: str) -> None:
    """Reads a model folder like the commands: weights, labels and vocabulary.

    Args:
        path: path of the folder.
        name: name of the folder in errors.

    Raises:
        UserError: if one of its files is invalid.
    """
    try:
        expected_variables.check_fits(model_folder.config_in_folder(path), path)
        checkpoint_values.check_readable(checkpoint_files.find_checkpoint(path))
        label_map.notes_of_model([path])
        vocabulary = os.path.join(path, tokenization.VOCABULARY_FILE)
        if storage.exists(vocabulary):
            tokenization.FullTokenizer(vocabulary)
    except UserError as error:
        raise UserError(str(error).replace(path, name)) from error


def _label_map(folder, settings, num_outputs, config_file):
    """{label: number} of a classifier; {} if its labels have no names.

    Names come from a label_map.json next to it, else from the config's `id2label` or `label2id`.
    """
    name = os.path.join(folder, label_map.LABEL_MAP)
    if storage.exists(name):
        labels = label_map.labels_of_map(name)
    else:
        name, labels = config_file + ": id2label or label2id", _named_labels(settings, config_file)
    if not labels:
        return {}
    label_map.check_num_labels(name, labels, num_outputs)
    return label_map.numbers_of(labels)


def _named_labels(settings, config_file):
    """The labels of a config, in the order of their numbers; () if they have no names."""
    by_number = settings.get("id2label") or {}
    for number in by_number:
        if not number.isdecimal():
            raise UserError(
                "%s: id2label: expected numbers as keys, found %s"
                % (config_file, validation.shown(number))
            )
    sides = {
        "id2label": {label: int(number) for number, label in by_number.items()},
        "label2id": settings.get("label2id") or {},
    }
    found = [
        label_map.labels_of_numbers(numbers, "%s: %s" % (config_file, name))
        for name, numbers in sides.items()
        if numbers and "LABEL_0" not in numbers
    ]
    if found and found[0] != found[-1]:
        raise UserError(
            "%s: id2label has the labels %s, label2id %s: expected the same: correct one"
            % (config_file, validation.shown(list(found[0])), validation.shown(list(found[-1])))
        )
    return found[0] if found else ()


def _objective(settings, num_outputs):
    """The objective that transformers infers for a classifier; a single output is a regression."""
    kind = settings.get("problem_type")
    for objective, name in pytorch_configs.PROBLEM_TYPES.items():
        if kind == name:
            return objective
    return "regression" if num_outputs == 1 else "single_label"


def _check_objective(objective, num_outputs, config_file):
    """Raises `UserError` for a regression of several numbers, which is not supported here."""
    if objective == "regression" and num_outputs > 1:
        raise UserError(
            "%s: problem_type is regression, but the model has %d outputs: expected one; correct "
            "problem_type if they are class logits" % (config_file, num_outputs)
        )


def _other_objective(trained, settings, folder, config_file):
    """The note on a config whose kind of model differs from the one that fine-tuning wrote."""
    return (
        "note: %s: problem_type is %s, but %s, which takes precedence, has the objective %s of "
        "the training: to change it, change objective there"
        % (
            config_file,
            settings["problem_type"],
            os.path.join(folder, fine_tuning_notes.FINE_TUNING_FILE),
            trained,
        )
    )


def _fine_tuning(folder):
    """What a folder of PyTorch weights records about preparing texts: {name: value}.

    The notes of fine-tuning if the weights were converted from this project, else the tokenizer's
    case.
    """
    trained = dict(fine_tuning_notes.notes_of_folder(folder))
    if trained:
        return trained
    do_lower_case = None
    path = os.path.join(folder, TOKENIZER_CONFIG)
    if storage.exists(path):
        do_lower_case = files.read_json(path, TOKENIZER_SETTINGS).get("do_lower_case")
    path = os.path.join(folder, tokenizer_json.FILE)
    if do_lower_case is None and storage.exists(path):
        do_lower_case = tokenizer_json.read(path).do_lower_case
    return {"do_lower_case": False} if do_lower_case is False else {}


def read_model(
    weights: str, config_file: str, settings: Dict[str, Any]
) -> Tuple["AlbertConfig", Dict[str, np.ndarray], List[str]]:
    """Reads the model of PyTorch weights with TensorFlow's names.

    Args:
        weights: file of the weights.
        config_file: source of the settings, for errors.
        settings: content of the config JSON.

    Returns:
        (`AlbertConfig`, {name: float32 array}, notes).

    Raises:
        UserError: if the weights do not fit the config.
    """
    layout, tensors = _known_tensors(weights, settings)
    tensors, notes = pytorch_names.retied(tensors)
    weights_by_name, unknown = pytorch_names.to_tf(layout, tensors)
    if not any(name.startswith(_WORDS_HEAD) for name in weights_by_name):
        settings = dict(settings, tie_word_embeddings=True)  # there is nothing to tie
    try:
        config, inequalities = pytorch_configs.tf_config(layout, settings)
    except UserError as error:
        raise UserError("%s: %s" % (config_file, error)) from error
    weights_by_name = checkpoint_values.as_float32(
        weights, pytorch_names.without_identity_mapping(weights_by_name)
    )
    if pytorch_names.has_mapping(weights_by_name) and config.word_width == config.hidden_size:
        raise UserError(
            "%s: maps word vectors to others of the same size (embedding_size and hidden_size are "
            "%d), which has no TensorFlow form: ALBERTs with a smaller embedding_size can be "
            "converted" % (weights, config.hidden_size)
        )
    notes += inequalities + _without_other_heads(settings, weights_by_name)
    notes += _add_missing_pooler(config, weights_by_name)
    _check(weights, config_file, config, weights_by_name, unknown)
    if unknown:
        notes.append("not converted, as our models have no such part: " + ", ".join(unknown))
    return config, weights_by_name, notes


def _known_tensors(weights, settings):
    """(layout, {name: array}) from `pytorch_names.canonical`; raises `UserError` if unsupported."""
    layout, tensors = pytorch_names.canonical(pytorch_files.read_tensors(weights), settings)
    adapter = pytorch_names.adapter_of(tensors)
    if adapter:
        raise UserError(_NO_ADAPTER % (weights, "has", " in it (%s)" % validation.shown(adapter)))
    if layout is None:
        raise UserError(
            "%s is no ALBERT or BERT: its tensors begin with %s"
            % (weights, ", ".join(list(tensors)[:3]))
        )
    foreign = pytorch_names.foreign_base(layout, tensors)
    if foreign in pytorch_names.MODEL_CLASSES:
        raise UserError(
            "%s: found tensors %s.*, but the config's model_type is %s: %s"
            % (weights, foreign, validation.shown(settings.get("model_type")), _USE_ITS_CONFIG)
        )
    if foreign:
        raise UserError(
            "%s: found tensors %s.*, a class of models that is not supported: expected a BERT "
            "(Chinese RoBERTa-wwm-ext and MacBERT are such), ALBERT, ELECTRA or NEZHA; a teacher "
            "may be a file of the model's logits (docs/distillation.md)" % (weights, foreign)
        )
    outer = pytorch_names.outer_prefix(layout, tensors)
    if outer:
        raise UserError(
            "%s: the names of its tensors begin with %s, as in a model that is part of another: "
            "save the inner one with its save_pretrained(...), or remove that prefix from the "
            "names" % (weights, validation.shown(outer))
        )
    return layout, tensors


def _without_other_heads(settings, weights_by_name):
    """Drops a token-labelling head that has a classifier's names; returns a note on it."""
    kinds = settings.get("architectures") or []
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if (
        "output_bias" not in weights_by_name
        or not kinds
        or "ForSequenceClassification" in "".join(kinds)
    ):
        return []
    del weights_by_name["output_weights"], weights_by_name["output_bias"]
    return ["the head was not converted, as %s is not a text classifier" % ", ".join(kinds)]


def _add_missing_pooler(config, weights_by_name):
    """Adds a pooler if masked-LM models were saved without one; returns a note on it."""
    has_pooler = any(name.startswith(POOLER) for name in weights_by_name)
    if has_pooler or not LAYOUTS[config.layout].has_pooler:
        return []
    size = config.hidden_size
    noise = np.random.RandomState(POOLER_SEED).standard_normal([size, size])
    weights_by_name[POOLER + "kernel"] = (config.initializer_range * noise).astype(np.float32)
    weights_by_name[POOLER + "bias"] = np.zeros(size, np.float32)
    return ["the file has no pooler (it is a masked LM): the pooler is initialized randomly"]


def _check(weights, config_file, config, weights_by_name, unknown):
    """Raises `UserError` if the values do not match the config's encoder and known heads."""
    shapes = {name: list(array.shape) for name, array in weights_by_name.items()}
    shapes_by_head = expected_variables.expected_shapes_by_part(
        config, checkpoint_names.num_labels(shapes)
    )
    encoder = shapes_by_head["encoder"]
    problems = ["%s is missing" % name for name in encoder if name not in weights_by_name]
    for shapes in shapes_by_head.values():
        if shapes is not encoder and 0 < len(set(shapes) & set(weights_by_name)) < len(shapes):
            problems += ["%s is missing" % name for name in shapes if name not in weights_by_name]
    expected = {
        name: shape for of_head in shapes_by_head.values() for name, shape in of_head.items()
    }
    for name, array in sorted(weights_by_name.items()):
        if name not in expected:
            problems.append("%s is not in the config's model" % name)
        elif list(array.shape) != expected[name]:
            problems.append("%s is %s, not %s" % (name, list(array.shape), expected[name]))
    base = pytorch_names.MODEL_CLASSES[config.layout].base + "."
    problems += ["%s is unknown" % name for name in unknown if name.startswith(base)]
    if problems:
        raise UserError(
            "%s does not fit %s: %s%s: %s"
            % (
                weights,
                config_file,
                "; ".join(problems[:3]),
                "; ..." if problems[3:] else "",
                _USE_ITS_CONFIG,
            )
        )


def _write_vocabulary(folder, source, vocab_file, config):
    """Writes the named vocabulary, or the one in the folder `source`; returns notes."""
    beside = tokenization.vocabulary_in_folder(source)
    path = os.path.join(source, tokenizer_json.FILE)
    notes = []
    if not vocab_file and storage.exists(beside):
        vocab_file, notes = beside, _notes_on_other_ids(beside, path) + _case_notes(source, path)
    if vocab_file:
        if not tokenization.is_sentencepiece(vocab_file):
            tokenization.FullTokenizer(vocab_file)  # so that errors name this file, not its copy
        name = tokenization.name_in_folder(vocab_file)
        output_files.copy_file(vocab_file, os.path.join(folder, name))
        return notes + _vocabulary_notes(vocab_file, config)
    missing = (
        "no vocab.txt in %s: the model folder is written without one (--vocab_file names one)"
        % source
    )
    if not storage.exists(path):
        return [missing]
    tokenizer = tokenizer_json.read(path)
    if tokenizer.entries is None:
        return [missing] + tokenizer.notes
    written = os.path.join(folder, tokenization.VOCABULARY_FILE)
    with output_files.atomic_write(written) as stream:
        stream.writelines(token + "\n" for token in tokenizer.entries)
    return tokenizer.notes + _vocabulary_notes(written, config, path)


def _case_notes(source, path):
    """Notes on how a tokenizer treats texts, other than case, from the file that records it."""
    if tokenization.is_sentencepiece(tokenization.vocabulary_in_folder(source)):
        return []
    if storage.exists(path):
        with contextlib.suppress(UserError):
            return tokenizer_json.read(path).notes
        return []
    path = os.path.join(source, TOKENIZER_CONFIG)
    return tokenizer_json.notes_of_config(path) if storage.exists(path) else []


def _notes_on_other_ids(vocab_file, path):
    """A note if the tokenizer.json at `path` has other ids than the vocab.txt next to it."""
    if tokenization.is_sentencepiece(vocab_file) or not storage.exists(path):
        return []
    ids = {}
    with contextlib.suppress(UserError):  # an unsupported file is not needed
        entries = tokenizer_json.read(path).entries
        ids = {token: number for number, token in enumerate(entries or ())}
    for token, number in tokenization.load_vocab(vocab_file).items():
        if ids.get(token, number) != number:
            return [
                "note: the token %s has the id %d in %s and %d in %s, which transformers reads "
                "first: the former is used; if the latter fits the weights, move the former away"
                % (validation.shown(token), number, vocab_file, ids[token], path)
            ]
    return []


def _vocabulary_notes(vocab_file, config, name=None):
    if tokenization.is_sentencepiece(vocab_file):
        return []
    size = tokenization.num_entries(vocab_file)
    if size == config.vocab_size:
        return []
    way_out = "use the vocabulary that came with the model"
    if size < config.vocab_size:
        way_out += ", or, if it is this one, add lines such as [unused1] at its end"
    return [
        "%s has %d entries, the config's vocab_size is %d: the commands here need equal "
        "numbers: %s" % (name or vocab_file, size, config.vocab_size, way_out)
    ]
