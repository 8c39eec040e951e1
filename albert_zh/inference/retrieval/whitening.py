"""Whitening: a projection that removes correlations of a model's vectors and equalizes variances.

    vectors = encoder.encode_with_lengths(texts)[1]
    write_whitened("model", "whitened", *fitted(vectors, 64))

y = (x - mean) U S^(-power/2), with the largest singular values S of the covariance (Su et al. 2021,
"Whitening Sentence Representations"). The result is an ordinary model folder: its checkpoint
contains the projection, and `sentence_embedding.json` records its width.
"""

import os
from typing import Optional, Tuple

import numpy as np

from albert_zh.common import files, output_files, storage
from albert_zh.common.errors import UserError
from albert_zh.inference import loaded_model
from albert_zh.model import sentence_vectors
from albert_zh.model.checkpoints import (
    checkpoint_values,
    fine_tuning_notes,
    label_map,
    model_folder,
    model_writer,
    whole_folders,
)
from albert_zh.tasks.embedding.scorer import THRESHOLD

_LEAST_SHARE = 1e-6  # of the largest variance; smaller ones are rounding noise


def fitted(vectors: np.ndarray, width: int, power: float = 1.0) -> Tuple[np.ndarray, np.ndarray]:
    """Fits the projection that whitens vectors.

    Args:
        vectors: float [n, W], of any length.
        width: number of directions to keep, in descending order of variance.
        power: 1 makes all variances 1, 0.5 makes them their square roots, 0 leaves them unchanged.

    Returns:
        (kernel float32 [W, width], bias float32 [width]): y = x kernel + bias.

    Raises:
        UserError: if the vectors span fewer directions.
    """
    vectors = np.asarray(vectors, np.float64)
    mean = vectors.mean(axis=0)
    covariance = np.cov(vectors, rowvar=False)
    directions, variances, _ = np.linalg.svd(np.atleast_2d(covariance))
    num_directions = int((variances > _LEAST_SHARE * variances[0]).sum())
    check_number(len(vectors), width)
    if width > num_directions:
        raise UserError(
            "--whitening_width=%d: the vectors of the %d texts span only %d dimensions: add "
            "texts, or choose a smaller width" % (width, len(vectors), num_directions)
        )
    kernel = directions[:, :width] / variances[:width] ** (power / 2)
    largest = np.abs(kernel).argmax(axis=0)
    kernel *= np.sign(kernel[largest, np.arange(width)])  # an SVD leaves the signs open
    return kernel.astype(np.float32), (-mean @ kernel).astype(np.float32)


def check_number(num_texts: int, width: int) -> None:
    """Raises `UserError` if the texts are too few for this number of directions."""
    if width > num_texts - 1:
        raise UserError(
            "--whitening_width=%d: fitted to %d different texts, expected %d or more: add texts "
            "(--whitening_file), or choose a smaller width" % (width, num_texts, width + 1)
        )


def write_whitened(
    source: str,
    target: str,
    kernel: np.ndarray,
    bias: np.ndarray,
    config_file: Optional[str] = None,
    vocab_file: Optional[str] = None,
) -> None:
    """Writes a model folder whose vectors are the projected vectors of another model.

    Args:
        source: model folder or checkpoint prefix; if it has a projection, that is applied first.
        target: the folder to write; an existing folder is replaced.
        kernel: float [W, width] for the vectors of `source` at full width.
        bias: float [width].
        config_file, vocab_file: paths, if they are not in the folder of `source`.
    """
    opened = loaded_model.open_folder(source, config_file, vocab_file)
    folder = os.path.dirname(opened.prefix) or os.curdir
    notes = sentence_vectors.notes_or_mean(folder, opened.config)
    is_trained = sentence_vectors.read_notes(folder) is not None
    weights = checkpoint_values.read_weights(opened.prefix)
    names = [sentence_vectors.PROJECTION + name for name in ("/kernel", "/bias")]
    if notes.projection_width:
        first, first_bias = (weights[name][..., : len(kernel)] for name in names)
        kernel, bias = first @ kernel, first_bias @ kernel + bias
    width = len(bias)
    weights.update(zip(names, (kernel.astype(np.float32), bias.astype(np.float32))))
    notes = notes._replace(
        width=width,
        projection_width=width,
        widths=(),
        normalize=notes.normalize if is_trained else True,
    )
    config_file = config_file or model_folder.config_in_folder(folder)
    contents = {
        model_folder.config_name(config_file): files.read_bytes(config_file),
        opened.tokenizer.name_in_folder: files.read_bytes(opened.vocab_file),
    }
    json_files = dict(_further_notes(folder, notes))
    json_files[sentence_vectors.SENTENCE_FILE] = sentence_vectors.as_json(notes)
    with whole_folders.replaced_folder(target) as partial:
        os.makedirs(partial)
        for name, content in contents.items():
            with output_files.atomic_write(os.path.join(partial, name), "wb") as handle:
                handle.write(content)
        for name, content in json_files.items():
            output_files.write_json(os.path.join(partial, name), content)
        model_writer.write_model_checkpoint(partial, weights)


def _further_notes(folder, notes):
    """Yields (name, content) of a model's training notes, with its new head."""
    kinds = {
        label_map.LABEL_MAP: label_map.LABEL_MAP_KIND,
        fine_tuning_notes.FINE_TUNING_FILE: fine_tuning_notes.NOTES,
    }
    for name, kind in kinds.items():
        path = os.path.join(folder, name)
        if storage.exists(path):
            content = files.read_json(path, kind)
            content.pop(THRESHOLD, None)  # was fitted to the former vectors
            if name == fine_tuning_notes.FINE_TUNING_FILE and "head" in content:
                content["head"] = dict(content["head"], **sentence_vectors.as_json(notes))
            yield name, content
