"""Files that benchmarks/objectives.py exchanges with objectives_on_gpu.py.

write_records("segment_pair.tfrecord", "gpu/records_segment_pair.npz")
write_start("run/model.ckpt-1", "gpu/electra_start.npz")
settings = training_settings(objective, config, steps=2000, batch_size=256)
take_back("gpu/electra_trained.npz", "run", step=8000)
"""

import io
import os

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.common import output_files
from albert_zh.model.checkpoints import checkpoint_values
from albert_zh.pretraining.objectives import generator_settings


def write_records(source, path):
    """Writes records of --masking=dynamic as arrays, in which all pieces are concatenated.

    Args:
        source: str, TFRecord file.
        path: str, the .npz to write.
    """
    columns = {name: [] for name in ("pieces", "word_starts", "lengths", "first_lengths", "labels")}
    for record in tf.python_io.tf_record_iterator(source):
        features = tf.train.Example.FromString(record).features.feature
        length = sum(features["input_mask"].int64_list.value)
        columns["pieces"].append(features["input_ids"].int64_list.value[:length])
        columns["word_starts"].append(features["token_boundary"].int64_list.value[:length])
        columns["lengths"].append(length)
        columns["first_lengths"].append(length - sum(features["segment_ids"].int64_list.value))
        columns["labels"].append(features["next_sentence_labels"].int64_list.value[0])
    arrays = {name: np.hstack(column).astype(np.int16) for name, column in columns.items()}
    _write_arrays(path, dict(arrays, word_starts=np.packbits(arrays["word_starts"] == 1)))


def write_start(prefix, path):
    """Writes the weights of a checkpoint as arrays, including the weights of the objective."""
    values = checkpoint_values.read_weights(prefix, with_objectives=True)
    del values["global_step"]
    _write_arrays(path, values)


def _write_arrays(path, arrays):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    with output_files.atomic_write(path, "wb") as stream:
        stream.write(buffer.getvalue())


def training_settings(objective, config, **of_training):
    """The fields of `objectives_on_gpu.Settings`.

    Args:
        objective: `objectives.Objective`.
        config: `AlbertConfig`.
        of_training: the fields steps, batch_size, learning_rate, num_warmup_steps.
    """
    is_electra = objective.flags.get("objective") == "electra"
    return dict(
        of_training,
        format=objective.format,
        has_spans=objective.flags.get("span", False),
        has_sentences=objective.flags.get("sentence_task", not is_electra),
        span_boundary_weight=objective.flags.get("span_boundary_weight", 0.0),
        generator=_generator(config) if is_electra else None,
        heads=config.num_attention_heads,
        layers=config.num_hidden_layers,
        has_relative_positions=config.use_relative_position,
    )


def _generator(config):
    settings = generator_settings.Settings()
    own = generator_settings.generator_config(config, settings)
    return {
        "heads": own.num_attention_heads,
        "layers": own.num_hidden_layers,
        "gen_weight": settings.gen_weight,
        "disc_weight": settings.disc_weight,
    }


def take_back(path, folder, step):
    """Writes trained values as the checkpoint of a step to a training folder."""
    with np.load(path) as arrays:
        values = {name: arrays[name] for name in arrays.files}
    prefix = os.path.join(folder, "model.ckpt-%d" % step)
    checkpoint_values.write_checkpoint(prefix, dict(values, global_step=np.int64(step)))
