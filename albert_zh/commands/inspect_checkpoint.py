"""Describes a checkpoint: layout, matching config, parameters, size and step.

    python inspect_checkpoint.py prev_trained_model/albert_tiny_zh
    python inspect_checkpoint.py DIR/model.ckpt-1000 --bert_config_file=DIR/albert_config.json
    python inspect_checkpoint.py DIR/model.safetensors
    python inspect_checkpoint.py DIR/model.ckpt-1000 --drop_optimizer --output_dir=my_model

Reads TensorFlow checkpoints (the .index file alone is enough), safetensors files and `.bin` files;
the argument is a file or its folder. --drop_optimizer writes the model without optimizer slots,
which make training checkpoints three times as large as the model.
"""

import collections
import contextlib
import glob
import os
from typing import Dict, List, Optional, Tuple

from absl import flags
import numpy as np

from albert_zh.common import package_files, storage
from albert_zh.common.errors import (  # first: it silences TensorFlow's log
    UserError,
    printable,
    run_command,
)

# isort: split

from albert_zh.common import config_flag, files, output_files, path_rules
from albert_zh.conversion import pytorch_configs, pytorch_files, pytorch_names
from albert_zh.conversion.tensor_bytes import count_of
from albert_zh.model import sentence_vectors
from albert_zh.model.checkpoints import (
    checkpoint_files,
    checkpoint_names,
    checkpoint_values,
    expected_variables,
    fine_tuning_notes,
    label_map,
    model_folder,
    model_writer,
    packed_weights,
    whole_folders,
)
from albert_zh.model.config import AlbertConfig
from albert_zh.tasks.slots import dictionaries
from albert_zh.text import tokenization

__all__ = [
    "CONFIGS",
    "COPIED_FILES",
    "Contents",
    "Fit",
    "GLOBAL_STEP",
    "MAX_DIFFERENCES",
    "define_flags",
    "description",
    "layout_of",
    "main",
    "read_contents",
    "run",
    "write_without_optimizer",
]

FLAGS = flags.FLAGS
CONFIGS = os.path.join(package_files.CONFIGS, "*.json")
# Files of a model folder that belong to the model, in addition to its weights.
COPIED_FILES = (
    "*config*.json",
    "vocab*.txt",
    tokenization.SENTENCEPIECE_FILE,
    label_map.LABEL_MAP,
    fine_tuning_notes.FINE_TUNING_FILE,
    sentence_vectors.SENTENCE_FILE,
    dictionaries.FILE_NAME,
)
GLOBAL_STEP = "global_step"
MAX_DIFFERENCES = 8
_MEGABYTE = 1e6

# Contents of a checkpoint; shapes are {name: list} with TensorFlow's names, `broken` lists the
# variables that contain NaN or infinite values.
Contents = collections.namedtuple(
    "Contents", ["weights", "state", "step", "files", "kind", "broken"], defaults=((),)
)
Fit = collections.namedtuple("Fit", ["path", "config", "differences"])


def define_flags() -> None:
    """Defines the command's flags."""
    config_flag.define("Config JSON file to compare the checkpoint with.")
    flags.DEFINE_boolean("drop_optimizer", False, "Write the model without its optimizer slots.")
    flags.DEFINE_string(
        "output_dir", None, "Folder to write; default: the checkpoint's with _weights appended."
    )
    path_rules.serve_remote(FLAGS, ("output_dir", "bert_config_file"))


def run(words: List[str]) -> None:
    """Prints the description of a checkpoint, and writes its weights with --drop_optimizer."""
    if len(words) != 1:
        raise UserError("expected one checkpoint (path of a file, prefix or folder)")
    if FLAGS.output_dir and not FLAGS.drop_optimizer:
        raise UserError(
            "--output_dir=%s: nothing is written without --drop_optimizer: give both or neither"
            % FLAGS.output_dir
        )
    path = words[0]
    path_rules.protect_model(path, "the checkpoint")
    for line in description(path, FLAGS.bert_config_file):
        print(printable(line))
    if FLAGS.drop_optimizer:
        print(printable(write_without_optimizer(path, FLAGS.output_dir)))


def description(path: str, config_file: Optional[str] = None) -> List[str]:
    """Describes a checkpoint.

    Args:
        path: TensorFlow checkpoint (prefix, one of its files, or folder) or PyTorch weights.
        config_file: config JSON to compare with; None: the configs of `albert_config/`.

    Returns:
        lines to print.

    Raises:
        UserError: if there is no readable checkpoint.
    """
    name, contents = read_contents(path)
    layout = layout_of(contents.weights)
    rows = [("checkpoint", "%s (%s)" % (name, contents.kind)), ("layout", layout or "unknown")]
    if layout is None:
        first = ", ".join(list(contents.weights)[:3])
        rows.append(("", "not a BERT or ALBERT; its variables begin with " + first))
    else:
        rows += _config_rows(name, contents.weights, layout, config_file)
    rows += _size_rows(contents) + _broken_rows(contents.broken)
    return ["%-11s %s" % row for row in rows]


def read_contents(path: str) -> Tuple[str, Contents]:
    """Finds the checkpoint at a path and reads its shapes.

    Args:
        path: as in `description`.

    Returns:
        (path or prefix of the checkpoint, `Contents`).
    """
    if pytorch_files.is_pytorch(path) and not _has_index(path):
        return _read_pytorch(pytorch_files.find_weights(path))
    prefix = _find_prefix(path)
    checkpoint_values.read_shapes(prefix)  # raises if it cannot be read
    reader = checkpoint_values.open_reader(prefix)
    shapes = reader.get_variable_to_shape_map()
    shapes = collections.OrderedDict((n, list(s)) for n, s in sorted(shapes.items()))
    state = {n: s for n, s in shapes.items() if checkpoint_values.is_training_state(n)}
    weights = {n: s for n, s in shapes.items() if n not in state}
    data = [path for path in _files_of_checkpoint(prefix) if ".data-" in os.path.basename(path)]
    step, broken = None, []
    if data:
        checkpoint_values.check_readable(prefix)
        step = int(reader.get_tensor(GLOBAL_STEP)) if GLOBAL_STEP in state else None
        broken = [name for name in weights if not _is_finite(reader.get_tensor(name))]
    kind = "TensorFlow" if data else "TensorFlow, index only: the weights (.data) are missing"
    paths = _users_files(prefix, [prefix + ".index"] + data)
    if paths[0].endswith(packed_weights.PACKED_FILE):
        kind = "TensorFlow, packed as 8-bit integers"
    return packed_weights.as_named(prefix), Contents(weights, state, step, paths, kind, broken)


def _is_finite(values):
    """Whether all numbers of an array are finite; true for strings and integers."""
    values = np.asarray(values)
    is_float = values.dtype.kind == "f" or values.dtype.name == "bfloat16"
    with np.errstate(over="ignore"):  # float64 values may overflow
        return not is_float or bool(np.isfinite(values.astype(np.float32)).all())


def _users_files(prefix, paths):
    """Files of a checkpoint; for an unpacked copy, the packed file it was extracted from."""
    if packed_weights.as_named(prefix) == prefix:
        return paths
    return [os.path.join(packed_weights.folder_of(prefix), packed_weights.PACKED_FILE)]


def _has_index(path):
    return storage.is_folder(path) and bool(storage.in_folder(path, "*.index"))


def _find_prefix(path):
    """Like `checkpoint_files.find_checkpoint`, but also accepts an index without its weights."""
    try:
        return checkpoint_files.find_checkpoint(path)
    except UserError:
        indices = storage.in_folder(path, "*.index")
        prefix = indices[0] if len(indices) == 1 else path
        prefix = prefix[: -len(".index")] if prefix.endswith(".index") else prefix
        if storage.is_file(prefix + ".index"):
            return prefix
        raise


def _read_pytorch(path):
    tensors = pytorch_files.read_tensors(path)
    broken = [name for name, values in tensors.items() if not _is_finite(values)]
    layout, tensors = pytorch_names.canonical(tensors)
    tensors, notes = pytorch_names.retied(tensors)
    if layout is None:
        weights = collections.OrderedDict((n, list(t.shape)) for n, t in tensors.items())
    else:
        values, unknown = pytorch_names.to_tf(layout, tensors)
        values = pytorch_names.without_identity_mapping(values)
        weights = {name: list(value.shape) for name, value in values.items()}
        weights.update((name, list(tensors[name].shape)) for name in unknown)
    kind = "PyTorch, %d tied tensors" % len(notes) if notes else "PyTorch"
    return path, Contents(weights, {}, None, pytorch_files.files_of_weights(path), kind, broken)


def layout_of(weights: Dict[str, List[int]]) -> Optional[str]:
    """The layout, from the variables: google_fast has kernels of rank 3, unlike google."""
    layout = checkpoint_names.layout_of(weights)
    has_groups = any("ffn_1/" in name and len(shape) == 3 for name, shape in weights.items())
    return "google_fast" if layout == "google" and has_groups else layout


def _config_rows(name, weights, layout, config_file):
    """Rows about the config to compare with, or else albert_config/ and the checkpoint's folder."""
    if config_file:
        return _comparison_rows(_fit(config_file, _config(config_file), weights))
    configs = [(path, _config(path)) for path in sorted(glob.glob(CONFIGS)) + _config_beside(name)]
    fits = [_fit(path, config, weights) for path, config in configs if config.layout == layout]
    fitting = [fit for fit in fits if not fit.differences]
    rows = [("fits", _shown_path(fit.path)) for fit in fitting]
    if not fitting:
        rows.append(("fits", "no config of albert_config/"))
        for fit in sorted(fits, key=lambda fit: len(fit.differences))[:1]:
            rows += [("nearest", _shown_path(fit.path))] + _difference_rows(fit)
    rows += [("sizes", _sizes(weights))]
    if layout not in ("bert", "nezha", "electra"):
        rows.append(("", "(shared layers: only the config has the numbers of layers and heads)"))
    return rows


def _shown_path(path):
    return path if storage.is_remote(path) else os.path.relpath(path)


def _config_beside(name):
    """The config next to a checkpoint; in a training folder, the config of its best/."""
    folder = name if storage.is_folder(name) else os.path.dirname(name) or "."
    for place in (folder, os.path.join(folder, "best")):
        with contextlib.suppress(UserError):
            return [model_folder.config_in_folder(place)]
    return []


def _fit(path, config, weights):
    """`Fit` of a config: the encoder must have equal shapes, heads may be missing."""
    found = checkpoint_names.with_canonical_names(weights)
    parts = expected_variables.expected_shapes_by_part(config, checkpoint_names.num_labels(found))
    differences = []
    for part, shapes in parts.items():
        for name, shape in shapes.items():
            if name not in found:
                if part == "encoder":
                    differences.append("%s %s is not in the checkpoint" % (name, shape))
            elif found[name] != shape:
                differences.append("%s is %s, in the config %s" % (name, found[name], shape))
    expected = set().union(*parts.values())
    for name, shape in found.items():
        if name not in expected and name.startswith(checkpoint_names.ENCODER_SCOPES):
            differences.append("%s %s is not in the config's model" % (name, shape))
    return Fit(path, config, differences)


def _config(path):
    """The config of a JSON file in this project's format or Hugging Face's."""
    settings = files.read_json(path)
    types = {names.model_type: layout for layout, names in pytorch_names.MODEL_CLASSES.items()}
    kind = settings.get("model_type") if isinstance(settings, dict) else None
    is_read_alike = kind == "electra"  # both formats have the same keys
    if not isinstance(kind, str) or kind not in types or is_read_alike:
        return AlbertConfig.from_json_file(path)
    try:
        return pytorch_configs.tf_config(types[kind], settings)[0]
    except UserError as error:
        raise UserError("%s: %s" % (path, error)) from error


def _comparison_rows(fit):
    if not fit.differences:
        return [("fits", "%s (%s layout)" % (fit.path, fit.config.layout))]
    does_not = "%s (%s layout) does not" % (fit.path, fit.config.layout)
    return [("fits", does_not)] + _difference_rows(fit)


def _difference_rows(fit):
    rows = [("", difference) for difference in fit.differences[:MAX_DIFFERENCES]]
    more = len(fit.differences) - len(rows)
    return rows + ([("", "and %d more differences" % more)] if more > 0 else [])


def _sizes(weights):
    """Sizes that the shapes of any layout reveal."""
    found = checkpoint_names.with_canonical_names(weights)
    is_electra = checkpoint_names.layout_of(found) == "electra"
    scope, square = "bert/", "pooler/dense/kernel"
    if is_electra:
        scope, square = "electra/", "encoder/layer_0/attention/output/dense/kernel"
    dimensions = (
        ("vocab_size", "embeddings/word_embeddings", 0),
        ("embedding_size", "embeddings/word_embeddings", 1),
        ("hidden_size", square, 0),
        ("max_position_embeddings", "embeddings/position_embeddings", 0),
    )
    return ", ".join(
        "%s %s" % (name, (list(found.get(scope + variable, [])) + ["?", "?"])[axis])
        for name, variable, axis in dimensions
    )


def _size_rows(contents):
    weights = sum(map(count_of, contents.weights.values()))
    slots = sum(count_of(s) for name, s in contents.state.items() if name != GLOBAL_STEP)
    size = sum(storage.size(path) for path in contents.files)
    with_slots = f"{slots:,} values in slots, {weights + slots:,} with the parameters"
    return [
        ("parameters", f"{weights:,} in {len(contents.weights)} variables"),
        ("optimizer", with_slots if slots else "no slots"),
        ("size", f"{size:,} bytes in {_counted(len(contents.files), 'file')}"),
        ("step", "unknown" if contents.step is None else f"{contents.step:,}"),
        ("heads", ", ".join(_heads(contents.weights)) or "none"),
    ]


def _broken_rows(names):
    """A row about variables that contain NaN or infinite values."""
    if not names:
        return []
    text = "%s with infinite or NaN values, such as %s: no command accepts this checkpoint"
    return [("damaged", text % (_counted(len(names), "variable"), names[0]))]


def _counted(number, noun):
    return "%d %s%s" % (number, noun, "" if number == 1 else "s")


def _heads(weights):
    found = checkpoint_names.with_canonical_names(weights)
    heads = checkpoint_names.heads_of(found)
    if "classification" in heads:
        parts = ["%d classes" % checkpoint_names.num_labels(found)]
        heads[0] = "classification (%s)" % ", ".join(
            parts + checkpoint_names.classifier_parts(found)
        )
    return heads + [
        name
        for name, scopes in checkpoint_values.OBJECTIVE_SCOPES
        if any(variable.startswith(scopes) for variable in found)
    ]


def _files_of_checkpoint(prefix):
    folder, name = os.path.split(prefix)
    return storage.in_folder(folder or ".", glob.escape(name) + ".*")


def _files_of_model(folder):
    """Paths of `COPIED_FILES`; fine-tuning saves some of them only in the folder best/."""
    paths = []
    for pattern in COPIED_FILES:
        of_places = (storage.in_folder(place, pattern) for place in (folder, folder + "/best"))
        paths += next(filter(None, of_places), [])
    return paths


def write_without_optimizer(path: str, output_dir: Optional[str] = None) -> str:
    """Writes a model folder with the weights of a TensorFlow checkpoint, without optimizer slots.

    Args:
        path: the checkpoint.
        output_dir: folder to create or to add files to; None: the checkpoint's with _weights
            appended.

    Returns:
        a line to print.

    Raises:
        UserError: if it is no TensorFlow checkpoint, or the folder is the checkpoint's own folder.
    """
    if pytorch_files.is_pytorch(path) and not _has_index(path):
        raise UserError(
            "--drop_optimizer: %s is a PyTorch file, which has no optimizer slots" % path
        )
    prefix = checkpoint_files.find_checkpoint(path)
    source = storage.absolute(packed_weights.folder_of(prefix))
    output_dir = output_dir or source + "_weights"
    if files.is_same_path(output_dir, source):
        raise UserError("--output_dir is the checkpoint's own folder: name another one")
    checkpoint_values.check_readable(prefix)
    with whole_folders.filled_folder(output_dir) as partial:
        for found in _files_of_model(source):
            output_files.copy_file(found, os.path.join(partial, os.path.basename(found)))
        weights = checkpoint_values.read_weights(prefix, with_objectives=True)
        model_writer.write_model_checkpoint(partial, weights)
    written = os.path.join(output_dir, checkpoint_files.CHECKPOINT_NAME)
    before, after = (
        sum(map(storage.size, _users_files(stem, _files_of_checkpoint(stem))))
        for stem in (prefix, written)
    )
    has_config = storage.in_folder(output_dir, COPIED_FILES[0])
    return "%s: the model without optimizer slots, %.1f MB of %.1f MB%s" % (
        output_dir,
        after / _MEGABYTE,
        before / _MEGABYTE,
        "" if has_config else "; copy its config and vocabulary there",
    )


def main() -> None:
    """Runs the command line."""
    define_flags()
    run_command(run, takes_words=True, description=__doc__)
