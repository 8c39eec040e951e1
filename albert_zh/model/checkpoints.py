"""What a checkpoint and a graph have in common, and what to say when they don't fit.

Training never starts silently from random weights: an encoder variable that a given checkpoint
lacks, or has in another shape, is an error that names both sides and the likely cause.
"""

import collections
import contextlib
import copy
import filecmp
import fnmatch
import glob
import os
import re
import shutil
import tempfile
import warnings

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.common import files, package_files, path_rules, system_errors
from albert_zh.common.errors import UserError
from albert_zh.model import inference_graph
from albert_zh.model.config import LAYOUTS, AlbertConfig
from albert_zh.model.encoder import AlbertModel
from albert_zh.model.heads import classification_head, masked_lm_head, sentence_order_head
from albert_zh.model.variables import variable_name

ENCODER_SCOPE = "bert/"
CHECKPOINT_NAME = "albert_model.ckpt"  # in a model folder, as in the released archives
MODEL_PARTS = ("encoder", "masked_lm", "sentence_order", "classification")
# The pre-trained models that commands take where none is named, the better one first.
PRETRAINED = (os.path.join("prev_trained_model", "albert_tiny_zh"), "albert_starter_zh")

# What checkpoints of training hold beside the weights: optimizer state, counts, a head.
_SLOT = re.compile(
    r"(/(adam|lamb)_[mv]|/(Adam|Momentum)\w*|^beta[12]_power|^global_step"
    r"|^(skipped_steps|loss_scale|good_steps)|^cls/replaced_tokens/.*)(:0)?$"
)
_FILE_ENDING = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")
_PYTORCH_ENDINGS = (".bin", ".pt", ".pth", ".safetensors")
_PATTERN_CHARACTERS = frozenset("[\\")  # with * and ? a name still matches itself
_END_OF_INDEX = bytes.fromhex("57fb808b247547db")  # what tables of TensorFlow end with
_CONFIG_PATTERNS = ("albert_config*.json", "bert_config*.json", "config.json")
_NAMES_SHOWN = 4

# What the names of a checkpoint's variables say about its layout.
_LAYOUT_MARKS = (
    ("brightmart", re.compile(r"encoder/layer_shared/")),
    ("google", re.compile(r"encoder/transformer/group_\d+/")),
    ("bert", re.compile(r"encoder/layer_\d+/")),
)

Assignment = collections.namedtuple("Assignment", ["names", "new", "reshaped"])
Assignment.__doc__ = """Which variables of a graph a checkpoint fills.

Fields:
    names: {name in the checkpoint: name in the graph}.
    new: names in the graph that the checkpoint lacks (a new classifier, say).
    reshaped: {name in the graph: (shape there, shape in the checkpoint)}, which start anew.
"""


def find_checkpoint(path: str) -> str:
    """The prefix of the checkpoint that a user means.

    Args:
        path: a prefix, one of the checkpoint's files, or the folder it lies in. A folder's
            `checkpoint` file may name a path of another machine; its last part is then looked for
            in the folder.

    Returns:
        the prefix.

    Raises:
        UserError: if there is none; says what is there instead.
    """
    path_rules.check_local(path)
    path = _FILE_ENDING.sub("", path)
    check_no_pattern(path)
    if tf.gfile.Exists(path + ".index"):
        if not _has_weights(path):
            raise UserError(
                "%s.index is there, but not its weights (%s.data-00000-of-00001): "
                "copy all files of the checkpoint" % (path, path)
            )
        return path
    if tf.gfile.IsDirectory(path):
        return _checkpoint_in_folder(path)
    if path.endswith(_PYTORCH_ENDINGS):
        raise UserError(_pytorch_message(path))
    if _has_weights(path):
        raise UserError("%s.index is missing beside its .data file: copy it too" % path)
    folder = os.path.dirname(path) or "."
    there = [name[: -len(".index")] for name in _index_files(folder)]
    raise UserError(
        "no checkpoint %s (neither this folder nor %s.index is there); in %s there %s"
        % (path, path, folder, "is " + ", ".join(there) if there else "is no checkpoint at all")
    )


def check_no_pattern(path, place=None):
    """Refuses names that TensorFlow would take for patterns when it looks for a checkpoint.

    Args:
        path: a folder or a prefix.
        place: what names it, for the error; the path itself where it is left out.

    Raises:
        UserError: if there is a character in it with which a pattern does not match itself.
    """
    found = sorted(set(path) & _PATTERN_CHARACTERS)
    if found:
        raise UserError(
            "%s: TensorFlow finds no checkpoints below a name with %s in it: rename the folder"
            % (place or path, " ".join(found))
        )


def _checkpoint_in_folder(folder):
    state = tf.train.get_checkpoint_state(folder)
    named = [] if state is None else [os.path.basename(state.model_checkpoint_path)]
    there = [name[: -len(".index")] for name in _index_files(folder)]
    for name in named + sorted(there, key=checkpoint_step, reverse=True):
        if name in there:
            return find_checkpoint(os.path.join(folder, name))
    foreign = sorted(name for name in _listing(folder) if name.endswith(_PYTORCH_ENDINGS))
    if foreign:
        raise UserError(_pytorch_message(os.path.join(folder, foreign[0])))
    if any(".data-" in name for name in _listing(folder)):
        raise UserError(
            "%s: the .index file beside the checkpoint's .data file is missing" % folder
        )
    raise UserError(
        "%s holds no TensorFlow checkpoint (no *.index file): expected a model folder" % folder
    )


def _pytorch_message(path):
    return "%s is a PyTorch file, expected a TensorFlow checkpoint (%s.index and its .data)" % (
        path,
        CHECKPOINT_NAME,
    )


def pretrained_folder(flag="model_dir"):
    """The folder of the pre-trained model that a command takes where none is named.

    Args:
        flag: the flag that would name one, for the error.

    Returns:
        the released model's folder where its weights have been downloaded, else the bundled one;
        those of the current folder come before those of the clone or the installed package.

    Raises:
        UserError: if neither holds weights.
    """
    for name in PRETRAINED:
        for place in package_files.places_of_models():
            folder = os.path.normpath(os.path.join(place, name))
            if _index_files(folder):
                path_rules.protect_model(folder, "--" + flag)
                return folder
    raise UserError(
        "no pre-trained model: neither %s holds weights: download one (python "
        "scripts/fetch_assets.py albert_tiny_489k), or name one with --%s"
        % (" nor ".join(PRETRAINED), flag)
    )


def _index_files(folder):
    return sorted(name for name in _listing(folder) if name.endswith(".index"))


def _has_weights(prefix):
    folder, name = os.path.split(prefix)
    return any(there.startswith(name + ".data-") for there in _listing(folder or "."))


def _listing(folder):
    return tf.gfile.ListDirectory(folder) if tf.gfile.IsDirectory(folder) else []


def checkpoint_step(prefix: str) -> int:
    """The step in a training checkpoint's name (`model.ckpt-120` -> 120); -1 without one."""
    match = re.search(r"-(\d+)$", prefix)
    return int(match.group(1)) if match else -1


def checkpoints_of_training(folder):
    """Prefixes of all `model.ckpt-STEP` checkpoints of a training folder, by step.

    One that is being written, or was when its run was killed, is left out.
    """
    names = [name[: -len(".index")] for name in _index_files(folder)]
    names = [name for name in names if name.startswith("model.ckpt-")]
    prefixes = sorted((os.path.join(folder, name) for name in names), key=checkpoint_step)
    if all(map(_has_whole_index, prefixes)):
        return prefixes
    recorded = _recorded_checkpoints(folder)
    return [
        prefix
        for prefix in prefixes
        if os.path.basename(prefix) in recorded or _has_whole_index(prefix)
    ]


def _recorded_checkpoints(folder):
    """Names in the folder's `checkpoint` file, which gets each once it is written."""
    state = tf.train.get_checkpoint_state(folder)
    if state is None:
        return set()
    paths = [state.model_checkpoint_path] + list(state.all_model_checkpoint_paths)
    return set(map(os.path.basename, paths))


def _has_whole_index(prefix):
    with open(prefix + ".index", "rb") as handle:
        return handle.read().endswith(_END_OF_INDEX)


def newest_of_training(folder):
    """The newest `model.ckpt-STEP` of a training folder, or None; checks that it is readable.

    Mends the folder's `checkpoint` file, by which TensorFlow finds it, if that names another.
    """
    prefixes = checkpoints_of_training(folder)
    if not prefixes:
        return None
    check_readable(prefixes[-1])
    if tf.train.latest_checkpoint(folder) != prefixes[-1]:
        names = [os.path.basename(prefix) for prefix in prefixes]
        # From a relative folder TensorFlow would take the names for paths from where one stands.
        tf.train.update_checkpoint_state(os.path.abspath(folder), names[-1], names)
    return prefixes[-1]


def remove_all_but(folder, prefixes):
    """Removes the `model.ckpt-STEP` checkpoints of a training folder, all but some.

    Args:
        folder: the folder.
        prefixes: those to keep, by step; at least one.
    """
    names = [os.path.basename(prefix) for prefix in prefixes]
    tf.train.update_checkpoint_state(os.path.abspath(folder), names[-1], names)
    paths = glob.glob(os.path.join(glob.escape(folder), "model.ckpt-*"))
    # The index first: without it a checkpoint is none, should this be interrupted.
    for path in sorted(paths, key=lambda path: not path.endswith(".index")):
        match = re.match(r"(model\.ckpt-\d+)\.", os.path.basename(path))
        if match and match.group(1) not in names:
            os.remove(path)


def read_shapes(prefix):
    """{name: shape} of a checkpoint's weights, optimizer state aside.

    Raises:
        UserError: if the files are no readable checkpoint.
    """
    try:
        variables = tf.train.list_variables(prefix)
    except (tf.errors.OpError, ValueError) as error:
        raise UserError(
            "%s: not a readable TensorFlow checkpoint (damaged, or cut off while it was copied?): "
            "%s" % (prefix, system_errors.reason(error))
        ) from error
    return collections.OrderedDict(
        (name, list(shape)) for name, shape in variables if not _SLOT.search(name)
    )


def check_readable(prefix):
    """Reads every value of a checkpoint, which checks the sums that it holds of them.

    Raises:
        UserError: if it is damaged.
    """
    try:
        reader = tf.train.load_checkpoint(prefix)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except (tf.errors.OpError, RuntimeError, IndexError, ValueError) as error:
        raise UserError(
            "%s: the checkpoint is damaged or was cut off while it was copied (%s): copy it again, "
            "or remove its files so that an older one is used"
            % (prefix, system_errors.reason(error))
        ) from error


def as_float32(source, values):
    """Weights as a model folder has them; refuses what no model can work with.

    Args:
        source: where they are from, for errors.
        values: {name: array}.

    Returns:
        {name: float32 array}.

    Raises:
        UserError: for values that are integers, or no finite numbers; names the tensor.
    """
    result = {}
    for name, value in values.items():
        if value.dtype.kind != "f" and value.dtype.name != "bfloat16":
            raise UserError(
                "%s: %s has values of the type %s, expected floating-point numbers: convert the "
                "model before it is quantized" % (source, name, value.dtype.name)
            )
        with np.errstate(over="ignore"):
            result[name] = value.astype(np.float32)
        if not np.isfinite(result[name]).all():
            raise UserError(
                "%s: %s has values that are infinite or no numbers (NaN): take a checkpoint from "
                "before training went wrong" % (source, name)
            )
    return result


def is_training_state(name):
    """Whether a checkpoint's variable is an optimizer slot or the global step, not a weight."""
    return _SLOT.search(name) is not None


def layout_of(names):
    """The layout that variable names show, or None."""
    for layout, mark in _LAYOUT_MARKS:
        if any(mark.search(name) for name in names):
            return layout
    return None


def assign(shapes, init_checkpoint):
    """Matches the variables of a graph with those of a checkpoint.

    Understands checkpoints whose names end in `:0`, lack the `bert/` scope or have one more around.

    Args:
        shapes: {name: shape} of the graph's trainable variables.
        init_checkpoint: checkpoint prefix, as of `find_checkpoint`.

    Returns:
        `Assignment`.

    Raises:
        UserError: if a variable of the encoder is missing in the checkpoint or has another shape.
    """
    there = read_shapes(init_checkpoint)
    source = _by_canonical_name(there)
    result = Assignment(collections.OrderedDict(), [], {})
    for name, shape in shapes.items():
        if name not in source:
            result.new.append(name)
        elif there[source[name]] != list(shape):
            result.reshaped[name] = (list(shape), there[source[name]])
        else:
            result.names[source[name]] = name
    missing = [name for name in result.new if name.startswith(ENCODER_SCOPE)]
    differing = {n: pair for n, pair in result.reshaped.items() if n.startswith(ENCODER_SCOPE)}
    if missing or differing:
        raise UserError(_misfit_message(init_checkpoint, shapes, there, missing, differing))
    return result


def _by_canonical_name(there):
    """{name as graphs have it: name in the checkpoint}."""
    source = {name: name for name in there}
    for name in there:
        source.setdefault(canonical_name(name), name)
    return source


def canonical_name(name):
    """A checkpoint's name as graphs have it: without `:0`, in the scope `bert/` alone."""
    plain = name[:-2] if name.endswith(":0") else name
    if re.match(r"(embeddings|encoder|pooler)/", plain):
        plain = ENCODER_SCOPE + plain
    wrapped = re.search(r"/(bert/(embeddings|encoder|pooler)/.*)$", plain)
    return wrapped.group(1) if wrapped else plain


def num_labels(shapes):
    """Classes of the classifier that is among {canonical name: shape}; 2 where none is."""
    for name in ("output_weights", "output_bias"):
        if shapes.get(name):  # not of a single number
            return max(1, shapes[name][0])
    return 2


def with_canonical_names(shapes):
    """{name as graphs have it: shape} of a checkpoint's {name: shape}."""
    return {canonical_name(name): shape for name, shape in shapes.items()}


def _misfit_message(prefix, shapes, there, missing, differing):
    parts = ["%s does not fit the config" % prefix]
    if missing:
        parts.append("it lacks %s" % _some(missing))
        unused = [name for name in there if name not in shapes]
        parts.append("it has %s" % (_some(unused) if unused else "no other variables"))
    for name in list(differing)[:_NAMES_SHOWN]:
        parts.append("%s is %s there and %s in the config" % ((name,) + differing[name][::-1]))
    parts.append(_likely_cause(shapes, there, differing))
    return "; ".join(parts)


def _some(names):
    shown = ", ".join(names[:_NAMES_SHOWN])
    rest = len(names) - _NAMES_SHOWN
    return shown + (" and %d more" % rest if rest > 0 else "")


def _likely_cause(shapes, there, differing):
    wanted, found = layout_of(shapes), layout_of(there)
    if found is None:
        return "likely cause: it is no BERT or ALBERT checkpoint of TensorFlow"
    if wanted != found:
        return (
            "likely cause: the checkpoint has the %s layout, the config the %s layout: "
            "use the config that came with the checkpoint" % (found, wanted)
        )
    word_table = ENCODER_SCOPE + "embeddings/word_embeddings"
    if list(differing) == [word_table]:
        return (
            "likely cause: vocab_size of the config is not this model's: "
            "use the config and vocabulary that came with the checkpoint"
        )
    if any(len(here) != len(found) for here, found in differing.values()):
        return "likely cause: ffn_groups: only one side has grouped feed-forward kernels"
    return "likely cause: a config of another size: use the config that came with the checkpoint"


def initialize_from(init_checkpoint, variables, use_tpu=False):
    """Makes a graph's variables start from a checkpoint's values.

    Args:
        init_checkpoint: checkpoint prefix, as of `find_checkpoint`.
        variables: the graph's trainable variables.
        use_tpu: bool; on TPU the assignment has to happen in a scaffold.

    Returns:
        (`Assignment`, scaffold function for `TPUEstimatorSpec` or None).
    """
    shapes = {variable_name(v): v.shape.as_list() for v in variables}
    assignment = assign(shapes, init_checkpoint)
    if not use_tpu:
        tf.train.init_from_checkpoint(init_checkpoint, assignment.names)
        return assignment, None

    def scaffold():
        tf.train.init_from_checkpoint(init_checkpoint, assignment.names)
        return tf.train.Scaffold()

    return assignment, scaffold


def report(assignment, init_checkpoint):
    """Lines for the user: what came from a checkpoint and what starts anew."""
    lines = ["%d variables start from %s" % (len(assignment.names), init_checkpoint)]
    if assignment.new:
        lines.append("new, with random start values: " + ", ".join(assignment.new))
    for name, (shape, found) in sorted(assignment.reshaped.items()):
        lines.append("%s starts anew: %s here, %s in the checkpoint" % (name, shape, found))
    return lines


def expected_shapes(config, num_labels=None):
    """{name: shape} of the variables that a config asks for: the encoder, and a classifier on it.

    Args:
        config: `AlbertConfig`.
        num_labels: classes of the classifier; None for the encoder alone.
    """
    parts = ("encoder", "classification") if num_labels else ("encoder",)
    shapes = expected_shapes_by_part(config, num_labels or 2, parts)
    return {name: shape for part in parts for name, shape in shapes[part].items()}


def expected_shapes_by_part(config, num_labels=2, parts=MODEL_PARTS):
    """Names and shapes of the variables that a config asks for; nothing is allocated.

    Args:
        config: `AlbertConfig`.
        num_labels: number of classes of the classification head.
        parts: those of `MODEL_PARTS` that are wanted.

    Returns:
        OrderedDict, part -> {name: shape}.
    """
    config = copy.copy(config)
    if "{layer}" not in LAYOUTS[config.layout].layer_scope:
        groups = config.num_hidden_groups or 1
        config.num_hidden_layers = min(groups, config.num_hidden_layers)  # more would share weights
    shapes = collections.OrderedDict()
    with tf.Graph().as_default():
        zero = tf.zeros([1, 1], tf.int32)
        model = AlbertModel(config, False, zero)
        pooled = model.get_pooled_output()
        heads = {
            "encoder": lambda: None,
            "masked_lm": lambda: masked_lm_head(config, model, zero, zero, zero),
            "sentence_order": lambda: sentence_order_head(config, pooled, zero),
            "classification": lambda: classification_head(
                config, pooled, None, num_labels, is_training=False
            ),
        }
        seen = set()
        for part in parts:
            heads[part]()
            variables = [v for v in tf.trainable_variables() if v.op.name not in seen]
            shapes[part] = {v.op.name: v.shape.as_list() for v in variables}
            seen.update(shapes[part])
    return shapes


def check_fits(config_file, path):
    """Checks that a checkpoint holds the encoder of a config.

    Args:
        config_file: config JSON.
        path: prefix or folder of a checkpoint.

    Raises:
        UserError: if it does not; says what is missing.
    """
    config = AlbertConfig.from_json_file(config_file)
    assign(expected_shapes(config), find_checkpoint(path))


def complete_checkpoint(prefix, shapes, folder):
    """A checkpoint that TensorFlow restores by the graph's names, made aside if this is none.

    Args:
        prefix: checkpoint prefix.
        shapes: {name: shape} of the graph's variables, all of which the checkpoint must hold.
        folder: where a copy goes if names differ or the global step is missing.

    Returns:
        the prefix of the checkpoint or of its copy.

    Raises:
        UserError: if a variable is missing or has another shape.
    """
    assignment = assign(shapes, prefix)
    for name in assignment.new:
        raise UserError(
            "%s lacks %s: it is not fine-tuned; train first (--do_train=true)" % (prefix, name)
        )
    for name, (shape, found) in assignment.reshaped.items():
        raise UserError(
            "%s was fine-tuned for another task: %s is %s there and %s here"
            % (prefix, name, found, shape)
        )
    values = read_weights(prefix)
    if "global_step" in values and all(name in values for name in shapes):
        return prefix
    renamed = {name: values[source] for source, name in assignment.names.items()}
    renamed["global_step"] = np.int64(values.get("global_step", 0))
    copied = os.path.join(folder, "renamed.ckpt")
    write_checkpoint(copied, renamed)
    return copied


def write_checkpoint(prefix, values):
    """Writes a checkpoint of given values; its index, which makes it visible, comes last.

    Args:
        prefix: checkpoint prefix to write.
        values: {name: array}.
    """
    names = sorted(values)
    with tf.Graph().as_default(), tf.Session() as session:
        tensors = [tf.placeholder(values[n].dtype, values[n].shape) for n in names]
        save = tf.raw_ops.SaveV2(
            prefix=prefix, tensor_names=names, shape_and_slices=[""] * len(names), tensors=tensors
        )
        session.run(save, {tensor: values[name] for tensor, name in zip(tensors, names)})


def add_missing(prefix, values):
    """Adds to a checkpoint what it lacks; killed at any moment, it is the old one or the new one.

    Args:
        prefix: checkpoint prefix.
        values: {name: array}; of those that are there, the checkpoint's own stay.
    """
    reader = tf.train.load_checkpoint(prefix)
    missing = {name: value for name, value in values.items() if not reader.has_tensor(name)}
    if not missing:
        return
    former = glob.glob(glob.escape(prefix) + ".data-*")
    names = sorted(reader.get_variable_to_shape_map())
    # One file more than there are, so that none has a name that the old index speaks of.
    parts = [names[number :: len(former)] for number in range(len(former))]
    parts = [{name: reader.get_tensor(name) for name in part} for part in parts] + [missing]
    folder, basename = os.path.split(prefix)
    with tempfile.TemporaryDirectory(dir=folder or ".") as partial:
        _write_in_parts(os.path.join(partial, basename), parts)
        made = glob.glob(os.path.join(partial, glob.escape(basename) + ".*"))
        for path in sorted(made):  # .data before .index
            os.replace(path, os.path.join(folder, os.path.basename(path)))
    for path in former:
        os.remove(path)


def _write_in_parts(prefix, parts):
    """Writes a checkpoint whose values lie in a file for each dict of `parts`."""
    prefixes = ["%s_part_%d" % (prefix, number) for number in range(len(parts))]
    for part, values in zip(prefixes, parts):
        write_checkpoint(part, values)
    with tf.Graph().as_default(), tf.Session() as session:
        session.run(
            tf.raw_ops.MergeV2Checkpoints(
                checkpoint_prefixes=prefixes, destination_prefix=prefix, delete_old_dirs=False
            )
        )


def fingerprint(prefix):
    """What tells a checkpoint's weights from others: of its index, which holds the sums of all."""
    return files.sha256_of_file(prefix + ".index")


def read_weights(prefix):
    """{name: array} of a checkpoint's weights and its global step, without optimizer slots."""
    reader = tf.train.load_checkpoint(prefix)
    names = list(read_shapes(prefix))
    if reader.has_tensor("global_step"):
        names.append("global_step")
    return {name: reader.get_tensor(name) for name in names}


def with_group0_everywhere(prefix, shapes, target):
    """Writes a checkpoint in which every group of layers has the weights of group 0.

    Args:
        prefix: checkpoint prefix of a model of google's layouts.
        shapes: {name: shape} of the variables of the model that is to start from it, which may have
            more groups.
        target: checkpoint prefix to write.

    Returns:
        `target`.

    Raises:
        UserError: if it is no such checkpoint.
    """
    values = read_weights(prefix)
    source = _by_canonical_name(values)
    renamed = {name: re.sub(r"/group_\d+/", "/group_0/", name) for name in shapes}
    if not any("/group_0/" in name for name in source):
        raise UserError(
            "--init_from_group0: %s has no group 0: it is not of google's layouts" % prefix
        )
    write_checkpoint(
        target, {name: values[source[old]] for name, old in renamed.items() if old in source}
    )
    return target


def fill_model_folder(folder, checkpoint, contents, json_files=()):
    """Writes what makes a model folder: config, vocabulary, weights without optimizer slots.

    Args:
        folder: the folder, which is there.
        checkpoint: prefix of the checkpoint to take the weights from.
        contents: {name: bytes} of config, vocabulary ..., as the run has read them.
        json_files: {name: value} of further JSON files.
    """
    for name, content in contents.items():
        with files.atomic_write(os.path.join(folder, name), "wb") as handle:
            handle.write(content)
    for name, value in dict(json_files).items():
        files.write_json(os.path.join(folder, name), value)
    write_model_checkpoint(folder, read_weights(checkpoint))


def replace_model_folder(folder, checkpoint, contents, json_files=()):
    """Makes a model folder that is the program's own, in place of the one that is there.

    `filled_folder` is for folders of users, who may have put other files there.

    Args:
        folder: the folder to make.
        checkpoint, contents, json_files: as in `fill_model_folder`.
    """
    with replaced_folder(folder) as partial:
        os.makedirs(partial)
        fill_model_folder(partial, checkpoint, contents, json_files)


@contextlib.contextmanager
def replaced_folder(folder):
    """Lets a folder appear whole, in place of the one that is there, or not at all.

    `restore_model_folder` mends what a kill between the two renames left.

    Args:
        folder: the folder to make or replace.

    Yields:
        path of a folder beside it that does not exist yet, to be made.

    Raises:
        UserError: if the folder cannot be written.
    """
    folder = path_rules.output_folder(folder)
    path_rules.check_not_replaced(folder)
    partial, old = folder + ".partial", folder + ".old"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        yield partial
        restore_model_folder(folder)
        if os.path.isdir(folder):
            os.rename(folder, old)
        os.rename(partial, folder)
        shutil.rmtree(old, ignore_errors=True)
    except (OSError, tf.errors.OpError) as error:
        raise files.cannot_write(folder, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_model_checkpoint(folder, values):
    """Writes the checkpoint of a model folder, the file that names it, and the graph for its use.

    Args:
        folder: the folder, which is there, with config and settings in it if it is to have them.
        values: {name: array}.
    """
    prefix = os.path.join(folder, CHECKPOINT_NAME)
    write_checkpoint(prefix, values)
    _write_meta_graph(folder, prefix + ".meta", values)
    with files.atomic_write(os.path.join(folder, "checkpoint")) as handle:
        for field in ("model_checkpoint_path", "all_model_checkpoint_paths"):
            handle.write('%s: "%s"\n' % (field, CHECKPOINT_NAME))


def _write_meta_graph(folder, path, values):
    """Writes the .meta file, with which `freeze_graph` works; none without a config that fits."""
    try:
        config_file = config_in_folder(folder)
    except UserError:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # reading the model says it
        config = AlbertConfig.from_json_file(config_file)
    settings = inference_graph.notes_of_folder(folder)
    shapes = {name: list(value.shape) for name, value in values.items()}
    inference_graph.write_meta_graph(path, config, shapes, settings)


@contextlib.contextmanager
def filled_folder(folder, replaces_model=False):
    """Fills a folder aside: a new one appears whole, into one that is there the files are moved.

    Other files of a folder that is there stay; nothing of it is touched before all is written.

    Args:
        folder: the folder to make or to add to.
        replaces_model: bool; whether a model that is there may give way to another one.

    Yields:
        path of an empty folder to write to.

    Raises:
        UserError: when it cannot be written, or holds another model.
    """
    folder = path_rules.output_folder(folder)
    partial = files.partial_path(folder)
    files.remove_left_behind(folder)
    try:
        os.makedirs(partial)
        yield partial
        if not os.path.isdir(folder):
            os.rename(partial, folder)
            return
        _check_may_be_moved(partial, folder, replaces_model)
        # What makes a model visible comes last.
        for name in sorted(os.listdir(partial), key=lambda name: name.endswith(".index")):
            os.replace(os.path.join(partial, name), os.path.join(folder, name))
    except (OSError, tf.errors.OpError) as error:
        raise files.cannot_write(folder, error) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _check_may_be_moved(partial, folder, replaces_model):
    """Raises `UserError` if files would replace an input, or those of another model."""
    for name in sorted(os.listdir(partial)):
        source, target = (os.path.join(place, name) for place in (partial, folder))
        path_rules.output_file(target)
        is_same = not os.path.exists(target) or filecmp.cmp(source, target, shallow=False)
        if not (replaces_model or is_same):
            raise UserError(
                "%s holds another model (its %s differs): name another folder, or remove that one"
                % (folder, name)
            )


def restore_model_folder(folder):
    """Puts the former folder back where a kill struck between the two renames."""
    old = folder + ".old"
    if not os.path.isdir(old):
        return
    if os.path.isdir(folder):
        shutil.rmtree(old)
    else:
        os.rename(old, folder)


def config_name(path):
    """The name under which a config goes into a model folder: its own if it shows what it is."""
    name = os.path.basename(path)
    is_plain = any(fnmatch.fnmatch(name, pattern) for pattern in _CONFIG_PATTERNS)
    return name if is_plain else "albert_config.json"


def config_in_folder(folder):
    """The config JSON of a model folder.

    Raises:
        UserError: if there is none, or more than one could be meant.
    """
    for pattern in _CONFIG_PATTERNS:
        found = sorted(glob.glob(os.path.join(glob.escape(folder), pattern)))
        if len(found) == 1:
            return found[0]
        if found:
            raise UserError("%s holds several configs (%s): keep one" % (folder, ", ".join(found)))
    raise UserError(
        "%s holds no config JSON (albert_config*.json): expected a model folder" % folder
    )
