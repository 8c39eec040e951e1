"""Matches the variables of a graph with those of a checkpoint and explains mismatches.

Training never starts silently from random weights: if a checkpoint lacks an encoder variable, or
has it in another shape, an error names both sides and the likely cause.
"""

import collections
import os
import re
from typing import Any, Callable, Iterable, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import tensorflow.compat.v1 as tf

from albert_zh.common.errors import UserError
from albert_zh.model.checkpoints import checkpoint_values, packed_weights
from albert_zh.model.checkpoints.checkpoint_names import (
    ENCODER_SCOPES,
    POSITION_TABLE,
    by_canonical_name,
    classifier_parts,
    has_position_table,
    layout_of,
)
from albert_zh.model.variables import variable_name

_NAMES_SHOWN = 4

Assignment = collections.namedtuple("Assignment", ["names", "new", "reshaped"])
Assignment.__doc__ = """Which variables of a graph a checkpoint fills.

Fields:
    names: {name in the checkpoint: name in the graph}.
    new: names of graph variables that the checkpoint lacks (a new classifier, say).
    reshaped: {name in the graph: (shape in the graph, shape in the checkpoint)} of variables whose
        shapes differ; they are initialized, not restored.
"""


def assign(shapes: Mapping[str, Sequence[int]], init_checkpoint: str) -> Assignment:
    """Matches the variables of a graph with those of a checkpoint.

    Checkpoints whose names end in `:0`, lack the scope `bert/` or have an extra outer scope work.

    Args:
        shapes: {name: shape} of the graph's trainable variables.
        init_checkpoint: checkpoint prefix, as returned by `find_checkpoint`.

    Returns:
        `Assignment`.

    Raises:
        UserError: if a variable of the encoder is missing in the checkpoint or has another shape.
    """
    there = checkpoint_values.read_shapes(init_checkpoint, with_objectives=True)
    source = by_canonical_name(there)
    assignment = Assignment(collections.OrderedDict(), [], {})
    for name, shape in shapes.items():
        if name not in source:
            assignment.new.append(name)
        elif there[source[name]] != list(shape):
            assignment.reshaped[name] = (list(shape), there[source[name]])
        else:
            assignment.names[source[name]] = name
    missing = [name for name in assignment.new if name.startswith(ENCODER_SCOPES)]
    _check_positions(init_checkpoint, shapes, source)
    differing = {n: pair for n, pair in assignment.reshaped.items() if n.startswith(ENCODER_SCOPES)}
    if missing or differing:
        raise UserError(_misfit_message(init_checkpoint, shapes, there, missing, differing))
    return assignment


def _check_positions(prefix, shapes, names):
    """Rejects a config with relative positions if the checkpoint has a position table."""
    has_encoder = any(name.startswith(ENCODER_SCOPES) for name in shapes)
    if has_encoder and has_position_table(names) and not has_position_table(shapes):
        raise UserError(
            "%s has a table of absolute positions (%s), and the config has use_relative_position "
            "(NEZHA): use the config that came with the checkpoint" % (prefix, POSITION_TABLE)
        )


def _misfit_message(prefix, shapes, there, missing, differing):
    sentences = ["%s does not fit the config" % prefix]
    if missing:
        sentences.append("it lacks %s" % _some(missing))
        unused = [name for name in there if name not in shapes]
        sentences.append("it has %s" % (_some(unused) if unused else "no other variables"))
    for name in list(differing)[:_NAMES_SHOWN]:
        sentences.append("%s is %s there and %s in the config" % ((name,) + differing[name][::-1]))
    sentences.append(_likely_cause(shapes, there, differing))
    return "; ".join(sentences)


def _some(names):
    shown = ", ".join(names[:_NAMES_SHOWN])
    rest = len(names) - _NAMES_SHOWN
    return shown + (" and %d more" % rest if rest > 0 else "")


def _likely_cause(shapes, there, differing):
    wanted, present = layout_of(shapes), layout_of(there)
    if present is None:
        return "likely cause: it is not a TensorFlow checkpoint of BERT or ALBERT"
    if wanted != present:
        cause = (
            "likely cause: the checkpoint has the %s layout, the config the %s layout: "
            "use the config that came with the checkpoint" % (present, wanted)
        )
        if present == "electra":
            cause += ', with "model_type": "electra" added if it lacks that'
        return cause
    if has_position_table(shapes) and not has_position_table(there):
        return "likely cause: use_relative_position is missing in the config"
    word_tables = [scope + "embeddings/word_embeddings" for scope in ENCODER_SCOPES]
    if len(differing) == 1 and list(differing)[0] in word_tables:
        return (
            "likely cause: vocab_size of the config is not this model's: "
            "use the config and vocabulary that came with the checkpoint"
        )
    if any(len(here) != len(present) for here, present in differing.values()):
        return "likely cause: ffn_groups: only one side has grouped feed-forward kernels"
    return "likely cause: a config of another size: use the config that came with the checkpoint"


def initialize_from(
    init_checkpoint: str, variables: Sequence[tf.Variable], use_tpu: bool = False
) -> Tuple[Assignment, Optional[Callable[[], Any]]]:
    """Initializes a graph's variables from a checkpoint.

    Args:
        init_checkpoint: checkpoint prefix, as returned by `find_checkpoint`.
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


def report(assignment: Assignment, init_checkpoint: str) -> List[str]:
    """Lines for the user: which variables come from the checkpoint and which are initialized."""
    source = packed_weights.as_named(init_checkpoint)
    lines = ["%d variables start from %s" % (len(assignment.names), source)]
    if assignment.new:
        lines.append("new, with random start values: " + ", ".join(assignment.new))
    for name, (shape, given) in sorted(assignment.reshaped.items()):
        lines.append("%s is initialized: %s here, %s in the checkpoint" % (name, shape, given))
    built = [*assignment.names.values(), *assignment.new, *assignment.reshaped]
    for scope in parts_left_out(init_checkpoint, built):
        lines.append("note: the classifier of %s has %s, which are left out" % (source, scope))
    return lines


def parts_left_out(prefix: str, names: Iterable[str]) -> List[str]:
    """Scopes of parts of a checkpoint's classifier of which a graph has no variables.

    Args:
        prefix: checkpoint prefix.
        names: names of the graph's variables.
    """
    built = classifier_parts(names)
    there = classifier_parts(checkpoint_values.read_shapes(prefix))
    return [scope for scope in there if scope not in built]


def complete_checkpoint(prefix: str, shapes: Mapping[str, Sequence[int]], folder: str) -> str:
    """Returns a checkpoint whose names match the graph's; if necessary, writes such a copy.

    Args:
        prefix: checkpoint prefix.
        shapes: {name: shape} of the graph's variables, all of which the checkpoint must hold.
        folder: where a copy is written if names differ or the global step is missing.

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
    for name, (shape, given) in assignment.reshaped.items():
        raise UserError(
            "%s was fine-tuned for another task: %s is %s there and %s here"
            % (prefix, name, given, shape)
        )
    for scope in parts_left_out(prefix, shapes):
        raise UserError(
            "%s: its classifier has %s (variables %s/...), and fine_tuning.json next to it does "
            "not describe them: restore that file" % (packed_weights.as_named(prefix), scope, scope)
        )
    weights = checkpoint_values.read_weights(prefix)
    if "global_step" in weights and all(name in weights for name in shapes):
        return prefix
    renamed = {name: weights[source] for source, name in assignment.names.items()}
    renamed["global_step"] = np.int64(weights.get("global_step", 0))
    copied = os.path.join(folder, "renamed.ckpt")
    checkpoint_values.write_checkpoint(copied, renamed)
    return copied


def with_group0_everywhere(prefix: str, shapes: Mapping[str, Sequence[int]], target: str) -> str:
    """Writes a checkpoint in which every group of layers has the weights of group 0.

    Args:
        prefix: checkpoint prefix of a model with one of Google's layouts.
        shapes: {name: shape} of the variables of the model to initialize, which may have more
            groups.
        target: checkpoint prefix to write.

    Returns:
        `target`.

    Raises:
        UserError: if the checkpoint has no group 0.
    """
    weights = checkpoint_values.read_weights(prefix, with_objectives=True)
    source = by_canonical_name(weights)
    renamed = {name: re.sub(r"/group_\d+/", "/group_0/", name) for name in shapes}
    if not any("/group_0/" in name for name in source):
        raise UserError(
            "--init_from_group0: %s has no group 0: its layout is not one of Google's" % prefix
        )
    checkpoint_values.write_checkpoint(
        target, {name: weights[source[old]] for name, old in renamed.items() if old in source}
    )
    return target
