"""Exports a folder for sentence-transformers and transformers: weights, tokenizer, pooling.

    SentenceTransformer(folder)  # brightmart layout: with trust_remote_code=True
    AutoModel.from_pretrained(folder)

The files have the names and keys of older releases (2.x), which later releases also read. A
projection becomes a Dense module; vectors are truncated by `truncate_dim` before normalization.
"""

import contextlib
import os
from typing import TYPE_CHECKING, Optional

import numpy as np

from albert_zh.common import output_files
from albert_zh.common.errors import UserError
from albert_zh.conversion import pytorch_files, to_pytorch
from albert_zh.export import common as export_common
from albert_zh.model import sentence_vectors
from albert_zh.model.checkpoints import checkpoint_values

if TYPE_CHECKING:
    from albert_zh.export.comparison import Comparison, Examples
    from albert_zh.export.exported_model import Model, Options

MODULES_FILE = "modules.json"
# Our poolings -> their names in sentence-transformers, which pools only the last layer.
POOLINGS = {"mean": "mean_tokens", "cls": "cls_token", "max": "max_tokens"}
_MODES = (
    "cls_token mean_tokens max_tokens mean_sqrt_len_tokens weightedmean_tokens lasttoken".split()
)
_TYPE = "sentence_transformers.models.%s"


def check_possible(model: "Model") -> None:
    """Raises `UserError` for vectors that no module of sentence-transformers computes."""
    notes = model.sentence_notes
    if notes.pooling not in POOLINGS:
        raise UserError(
            "--format=sentence_transformers: the vectors are pooled by %s, which "
            "sentence-transformers does not have (it pools the last layer): train with --pooling=%s"
            % (notes.pooling, " or ".join(sorted(POOLINGS)))
        )
    if model.tokenizer is None:
        raise UserError("--format=sentence_transformers: %s has no vocabulary" % model.folder)


def write(
    model: "Model", examples: "Examples", path: str, options: "Options"
) -> Optional["Comparison"]:
    """Writes the folder.

    Args:
        model: the exported model.
        examples: `comparison.Examples`, texts with the checkpoint's outputs.
        path: the folder to write.
        options: options of the export.

    Returns:
        `Comparison` of the folder with the checkpoint; None if PyTorch and transformers, which run
        it, are not installed.
    """
    check_possible(model)
    with export_common.folder_to_export(path, MODULES_FILE) as partial:
        to_pytorch.convert(model.prefix, partial, encoder_only=True, config=model.config)
        modules = list(_write_modules(model, partial))
        sentence_vectors.write_notes(partial, model.sentence_notes)
        entries = [
            {"idx": index, "name": str(index), "path": folder, "type": _TYPE % kind}
            for index, (kind, folder) in enumerate(modules)
        ]
        output_files.write_json(os.path.join(partial, MODULES_FILE), entries)
        run = _runner(partial, model)
        return run and examples.check(run, options.limits, path)


def _write_modules(model, folder):
    """Writes all modules' files but the encoder's weights; yields (kind, folder) of each module."""
    notes, width = model.sentence_notes, model.config.hidden_size
    lengths = {"max_seq_length": notes.max_seq_length, "do_lower_case": False}  # by the tokenizer
    _write(folder, "sentence_bert_config.json", lengths)
    settings = {"prompts": {}, "default_prompt_name": None, "similarity_fn_name": "cosine"}
    _write(folder, "config_sentence_transformers.json", settings)
    yield "Transformer", ""
    modes = {"pooling_mode_" + mode: mode == POOLINGS[notes.pooling] for mode in _MODES}
    _write(folder, "1_Pooling/config.json", dict({"word_embedding_dimension": width}, **modes))
    yield "Pooling", "1_Pooling"
    if _has_projection(model):
        _write_dense(folder, *_projection(model))
        yield "Dense", "2_Dense"
    if notes.normalize:
        # As in sentence-transformers 6; without a file, a bucket would not have the folder.
        names = dict.fromkeys(("module_input_name", "module_output_name"), "sentence_embedding")
        _write(folder, "3_Normalize/config.json", names)
        yield "Normalize", "3_Normalize"


def _has_projection(model):
    notes = model.sentence_notes
    return bool(notes.projection_width) or notes.width < model.config.hidden_size


def _projection(model):
    """(kernel [H, W], bias [W]) of the vectors' projection, at their width."""
    notes = model.sentence_notes
    if not notes.projection_width:
        return np.eye(model.config.hidden_size, notes.width, dtype=np.float32), None
    weights = checkpoint_values.read_weights(model.prefix)
    scope = sentence_vectors.PROJECTION
    kernel, bias = (weights[scope + name][..., : notes.width] for name in ("/kernel", "/bias"))
    return kernel, bias


def _write_dense(folder, kernel, bias):
    settings = {
        "in_features": kernel.shape[0],
        "out_features": kernel.shape[1],
        "bias": bias is not None,
        "activation_function": "torch.nn.modules.linear.Identity",
    }
    _write(folder, "2_Dense/config.json", settings)
    tensors = {"linear.weight": np.ascontiguousarray(kernel.T)}
    if bias is not None:
        tensors["linear.bias"] = bias
    pytorch_files.write_safetensors(
        os.path.join(folder, "2_Dense", pytorch_files.WEIGHTS_NAME), tensors, "float32"
    )


def _write(folder, name, content):
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    output_files.write_json(path, content)


@contextlib.contextmanager
def _one_thread(torch):
    """Runs PyTorch with one thread: for a single row, several threads only wait for each other.

    They wait by spinning, which takes a hundred times as long if the cores are busy.
    """
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(num_threads)


def _runner(folder, model):
    """A function from a row {name: array [1, F]} to outputs, as `Examples.check` takes it.

    It uses transformers' `AutoModel`; None if transformers or PyTorch is not installed.
    """
    try:
        import torch
        from transformers import AutoModel
    except ImportError:
        return None
    loaded = AutoModel.from_pretrained(folder, trust_remote_code=True).eval()
    kernel, bias = _projection(model) if _has_projection(model) else (None, None)
    pooled = {"mean": lambda rows: rows.mean(0), "cls": lambda rows: rows[0]}
    pooled["max"] = lambda rows: rows.max(0)

    def run(row):
        names = ("input_ids", "attention_mask", "token_type_ids")
        with torch.no_grad(), _one_thread(torch):
            tensors = {n: torch.from_numpy(a).long() for n, a in zip(names, row.values())}
            tokens = loaded(**tensors).last_hidden_state[0].numpy()  # [F, H]
        vector = pooled[model.sentence_notes.pooling](tokens)
        if kernel is not None:
            vector = vector @ kernel + (0 if bias is None else bias)
        length = np.linalg.norm(vector) if model.sentence_notes.normalize else 1
        return [vector[None] / length]

    return run
