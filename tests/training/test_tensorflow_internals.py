"""Every private name that the package uses is in a table here, and exists in this TensorFlow."""

import ast
import functools
import glob
import importlib
import os

import pytest
import tensorflow.compat.v1 as tf

from albert_zh.model import optimization
from albert_zh.training import tensorflow_internals
from albert_zh.training.hooks import GridTimer, SaverHook
from project_root import ROOT

# One of the two names that the package looks for.
REGISTERED_GRADIENTS = (
    "gradient_registry" if tf.__version__.startswith("2") else "_gradient_registry"
)
PUBLIC_MODULES = {"tensorflow.lite"}  # in addition to compat.v1
# Names in modules that are not part of TensorFlow's API: {file of the package: {module: names}}.
PRIVATE_MODULES = {
    "training/tensorflow_internals.py": {
        "tensorflow.python.training.training_util": [
            "_get_or_create_global_step_read",
            "GLOBAL_STEP_READ_KEY",
        ],
        "tensorflow.python.distribute.distribute_coordinator": [
            "run_distribute_coordinator",
            "CoordinatorMode",
        ],
    },
    "model/sessions.py": {
        "tensorflow.core.protobuf.config_pb2": ["CallableOptions"],
        "tensorflow.python.framework.ops": [REGISTERED_GRADIENTS, "dismantle_graph"],
    },
    "export/graph_transforms.py": {"tensorflow.python.framework.op_def_registry": []},
    "export/kernel_scales.py": {
        "tensorflow.lite.python.schema_py_generated": ["BufferT", "BuiltinOperator"],
        "tensorflow.lite.tools.flatbuffer_utils": [
            "convert_bytearray_to_object",
            "convert_object_to_bytearray",
        ],
    },
    "export/tflite_metadata.py": {
        "tensorflow.lite.python.schema_py_generated": ["BufferT", "MetadataT"],
        "tensorflow.lite.tools.flatbuffer_utils": [
            "convert_bytearray_to_object",
            "convert_object_to_bytearray",
        ],
    },
}
# Private attributes of objects of libraries: {file of the package: names}.
PRIVATE_ATTRIBUTES = {
    "training/tensorflow_internals.py": {
        "_get_or_create_global_step_read",
        "_is_loss_scaled_by_optimizer",
        "_scale_loss_for_estimator_enabled",
    },
    "training/hooks.py": {
        "_checkpoint_dir",
        "_global_step_tensor",
        "_listeners",
        "_summary_writer",
    },
    "model/sessions.py": {"_gradient_registry", "_make_callable_from_options", "_registry"},
    "model/optimization.py": {"_use_locking", "_zeros_slot"},
    "export/to_onnx.py": {"_optimizers"},  # of tf2onnx
    "common/errors.py": {"_exit"},  # of os
    "corpus/pipeline.py": {"_exit"},
}
OF_NAMED_TUPLES = {"_asdict", "_fields", "_make", "_replace"}


@functools.lru_cache(maxsize=None)
def trees():
    """Returns {path in the package: syntax tree} of all its modules."""
    package = os.path.join(ROOT, "albert_zh")
    found = {}
    for path in glob.glob(os.path.join(package, "**", "*.py"), recursive=True):
        with open(path, encoding="utf-8") as source:
            found[os.path.relpath(path, package)] = ast.parse(source.read())
    return found


def imported_modules(tree):
    """Returns the names of all modules that a module may import, including names in modules."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.update("%s.%s" % (node.module, alias.name) for alias in node.names)
    return names


def private_attributes(tree):
    """Returns the attributes that begin with a single underscore."""
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return {name for name in names if name.startswith("_") and not name.startswith("__")}


def defined_names(tree):
    """Returns the functions, classes, variables and attributes that a module defines."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(getattr(node, "ctx", None), ast.Store):
            names.add(getattr(node, "attr", None) or getattr(node, "id", None))
    return names


def test_private_modules_are_imported_where_the_table_says():
    found = {
        path: {
            name
            for name in imported_modules(tree)
            if name.startswith("tensorflow.") and not name.startswith("tensorflow.compat.v1")
        }
        - PUBLIC_MODULES
        for path, tree in trees().items()
    }
    found = {path: names for path, names in found.items() if names}
    assert found == {path: set(modules) for path, modules in PRIVATE_MODULES.items()}


@pytest.mark.parametrize(
    "module, names", [item for modules in PRIVATE_MODULES.values() for item in modules.items()]
)
def test_private_modules_have_their_names(module, names):
    if tf.__version__.startswith("1.") and module.startswith("tensorflow.lite."):
        pytest.skip("no .tflite files are made there")
    assert [name for name in names if not hasattr(importlib.import_module(module), name)] == []


def test_private_attributes_are_used_where_the_table_says():
    of_modules = trees()
    own = set().union(*[defined_names(tree) for tree in of_modules.values()])
    found = {
        path: private_attributes(tree) - own - OF_NAMED_TUPLES for path, tree in of_modules.items()
    }
    assert {path: names for path, names in found.items() if names} == PRIVATE_ATTRIBUTES


def test_the_read_of_the_global_step_is_that_of_optimizers():
    with tf.Graph().as_default() as graph:
        tf.train.create_global_step()
        tensorflow_internals.add_global_step_read()
        num_operations = len(graph.get_operations())
        assert num_operations > 1
        tensorflow_internals.add_global_step_read()
        assert len(graph.get_operations()) == num_operations


def test_a_strategy_scales_losses_and_says_how_they_are_reduced():
    with tf.Graph().as_default():
        strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
        with strategy.scope(), tensorflow_internals.scaled_losses(strategy):
            tf.train.create_global_step()
            tensorflow_internals.add_shared_global_step_read(strategy)
            assert tensorflow_internals.loss_reduction() == tf.distribute.ReduceOp.SUM
            assert tf.distribute.get_loss_reduction() == tf.distribute.ReduceOp.MEAN
        assert tf.distribute.get_loss_reduction() == tf.distribute.ReduceOp.SUM


def test_a_worker_function_runs_with_the_strategy(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    seen = []
    with tf.Graph().as_default():
        strategy = tf.distribute.MirroredStrategy(["/cpu:0"])
        tensorflow_internals.run_as_worker(strategy, tf.ConfigProto(), seen.append)
    assert [type(own) for own in seen] == [type(strategy)]


def test_estimators_are_where_they_were():
    version = tuple(int(number) for number in tf.__version__.split(".")[:2])
    assert tensorflow_internals.has_estimators() == (version < (2, 16))


def test_what_the_saver_hook_overrides_and_reads_is_there(tmp_path):
    with tf.Graph().as_default():
        tf.train.create_global_step()
        hook = tf.train.CheckpointSaverHook(str(tmp_path), save_steps=1)
        hook.begin()
    names = PRIVATE_ATTRIBUTES["training/hooks.py"] | {"_save", "_timer"}
    assert [name for name in sorted(names) if not hasattr(hook, name)] == []
    assert isinstance(SaverHook(str(tmp_path), 2)._timer, GridTimer)


def test_what_optimizers_override_and_read_is_there():
    optimizer = tf.train.Optimizer(use_locking=False, name="any")
    overridden = {
        name
        for kind in (optimization.AdamWeightDecayOptimizer, optimization.NezhaLAMBOptimizer)
        for name in vars(kind)
        if name.startswith(("_apply_", "_resource_apply_", "_create_slots", "_prepare"))
    }
    assert len(overridden) >= 6
    names = PRIVATE_ATTRIBUTES["model/optimization.py"] | overridden
    assert [name for name in sorted(names) if not hasattr(optimizer, name)] == []
