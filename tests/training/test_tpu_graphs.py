"""What use_tpu builds fits a TPU: static shapes, no operation of hosts alone, compiled by XLA.

No TPU is there: cores' sums are of one core, and XLA compiles for the CPU.
"""

import types

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from tensorflow.python.tpu.ops import tpu_ops

from albert_zh.finetuning import flags as finetuning_flags
from albert_zh.finetuning import setup as finetuning_setup
from albert_zh.model import modeling
from albert_zh.model.config import LAYOUTS
from albert_zh.pretraining import model_fn as pretraining_model_fn
from albert_zh.pretraining.objectives import electra
from albert_zh.tasks import input_pipeline
from albert_zh.training import engine, hooks, tpu_summaries
from albert_zh.training.model_spec import ModeKeys
from classification_batches import batches_of
from estimators import needs_estimators
from pretraining_steps import SETTINGS, features_of
import pretraining_workspace as small
import tiny_tasks
from workspace import Workspace

pytestmark = pytest.mark.newest
TRAIN, EVAL, PREDICT = ModeKeys.TRAIN, ModeKeys.EVAL, ModeKeys.PREDICT
CONFIGS = {
    "brightmart": {},
    "google": {"num_hidden_groups": 1},
    "google_fast": {"num_hidden_groups": 1, "ffn_groups": 4},
    "bert": {"embedding_size": None},
    "nezha": {"embedding_size": None, "use_relative_position": True},
    "electra": {"model_type": "electra"},
}
# What XLA cannot compile, or gives shapes that depend on values.
_HOST_ONLY = {
    "EagerPyFunc",
    "PyFunc",
    "PyFuncStateless",
    "StringJoin",
    "AsString",
    "Print",
    "PrintV2",
    "Where",
    "Unique",
    "UniqueWithCounts",
    "NonMaxSuppression",
    "DynamicPartition",
    "BooleanMask",
    "ReadFile",
    "WriteFile",
    "ScalarSummary",
    "MergeSummary",
    "VarHandleString",
}


@pytest.fixture(autouse=True)
def one_core(monkeypatch):
    """Sums over a TPU's cores are those of its only one."""
    alone = lambda value, *_, **__: tf.identity(value)  # noqa: E731
    monkeypatch.setattr(tf.tpu, "cross_replica_sum", alone)
    monkeypatch.setattr(tpu_ops, "cross_replica_sum", alone)


def config_of(layout):
    values = dict(small.CONFIG, **CONFIGS[layout])
    config = modeling.AlbertConfig.from_dict({k: v for k, v in values.items() if v is not None})
    assert config.layout == layout
    return config


def problems_of(graph):
    """Lines about what a TPU cannot run; of functions in the graph too."""
    problems = []
    operations = list(graph.get_operations())
    for name in graph._functions:
        function = graph._get_function(name)
        inner = getattr(function, "graph", None)
        operations += inner.get_operations() if inner is not None else []
    for operation in operations:
        if operation.type in _HOST_ONLY:
            problems.append("%s: %s runs on hosts alone" % (operation.name, operation.type))
        if "redundant_placeholder" in operation.name:  # of a loop's condition, read by nobody
            continue
        for tensor in operation.outputs:
            if tensor.dtype == tf.string:
                problems.append("%s: a string" % tensor.name)
            elif (
                tensor.dtype not in (tf.resource, tf.variant)
                and not tensor.shape.is_fully_defined()
            ):
                problems.append("%s: shape %s" % (tensor.name, tensor.shape))
    return problems


def outputs_of(spec, mode):
    """The tensors that a TPU computes of a spec."""
    if mode == TRAIN:
        with tf.control_dependencies([spec.train_op]):
            return [tf.identity(spec.loss)]
    if mode == EVAL:
        return [spec.loss] + list(spec.eval_metrics[1])
    return [spec.predictions[name] for name in sorted(spec.predictions)]


def check(build, mode, steps=0):
    """Fails for what does not fit in a graph; runs some steps of it compiled, and as it is.

    Args:
        build: function of no arguments -> `Spec`.
        mode: of `ModeKeys`.
        steps: to run; 0 for the graph alone.
    """

    def values(wrap):
        with tf.Graph().as_default() as graph, tf.Session() as session:
            tf.set_random_seed(3)
            tf.get_variable_scope().set_use_resource(True)
            tf.train.get_or_create_global_step()
            outputs = wrap(lambda: outputs_of(build(), mode))
            problems = problems_of(graph)
            assert not problems, "\n".join(problems[:10])
            session.run(tf.global_variables_initializer())
            return [session.run(outputs) for _ in range(steps)]

    plain = values(lambda step: step())
    if steps:
        compiled = values(tf.xla.experimental.compile)
        for expected, found in zip(plain, compiled):
            for one, other in zip(expected, found):
                np.testing.assert_allclose(other, one, atol=1e-4, rtol=1e-4)


def pretraining(layout, mode, folder=None, **changes):
    settings = SETTINGS._replace(use_tpu=True, **changes)
    build = pretraining_model_fn.model_fn_builder(
        config_of(layout), settings, None, summary_folder=folder
    )
    return lambda: build(features_of(), None, mode, {})


TRAININGS = [(layout, TRAIN, 2.0) for layout in sorted(CONFIGS)]  # with replaced tokens
EVALUATIONS = [(layout, EVAL, 0.0) for layout in sorted(CONFIGS)]
MASKED_ALONE = [(layout, TRAIN, 0.0) for layout in sorted(CONFIGS)]


def test_all_layouts_are_checked():
    assert set(CONFIGS) == set(LAYOUTS)


@pytest.mark.parametrize(
    "layout, mode, weight, steps",
    [case + (0,) for case in TRAININGS + EVALUATIONS]
    + [
        pytest.param(*case, 2, marks=pytest.mark.slow)
        for case in TRAININGS + EVALUATIONS + MASKED_ALONE
    ],
)
def test_pretraining(layout, mode, weight, steps):
    changes = {"replaced_token_weight": weight}
    if steps:  # replaced pieces are drawn otherwise by XLA: each step by itself
        steps = 1 if weight else steps
    check(pretraining(layout, mode, **changes), mode, steps if not weight else 0)
    if steps and weight:
        runs(pretraining(layout, mode, **changes), mode)


def runs(build, mode):
    with tf.Graph().as_default(), tf.Session() as session:
        tf.get_variable_scope().set_use_resource(True)
        tf.train.get_or_create_global_step()
        outputs = tf.xla.experimental.compile(lambda: outputs_of(build(), mode))
        session.run(tf.global_variables_initializer())
        assert np.isfinite(session.run(outputs)[0])


# Of fine-tuning: (kind, settings); None is a classifier of pairs.
TASKS = [
    (None, {}),
    (None, {"rdrop_alpha": 1.0, "fgm_epsilon": 0.5, "pooling": "max"}),
    ("reading_comprehension", {}),
    ("sequence_labelling", {"head": "softmax"}),
    ("sequence_labelling", {"head": "crf"}),
    ("sequence_labelling", {"head": "global_pointer"}),
    ("sequence_labelling", {"head": "efficient_global_pointer"}),
    ("sentence_embedding", {"objective": "cosine"}),
]


@pytest.fixture(name="folder", scope="module")
def folder_fixture(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("tasks"), num_train=48, num_dev=12, num_test=6)
    for family in tiny_tasks.KINDS:
        tiny_tasks.write(workspace, family)
    return workspace


def finetuning_of(folder, family, output, monkeypatch, **settings):
    """(`Setup` of a run with use_tpu whose engine is its `model_fn`, function mode -> batch)."""
    of_kind = tiny_tasks.settings_of("%s/%s" % (folder.folder, family), family) if family else {}
    flags = dict(
        {"task_name": "lcqmc", "data_dir": folder.data, "bert_config_file": folder.config},
        vocab_file=folder.vocab, output_dir=output, max_seq_length=24, train_batch_size=8,
        train_step=4, do_train=True, do_eval=True, use_tpu=True, num_tpu_cores=1,
        learning_rate=1e-3, **settings
    )  # fmt: skip
    family = of_kind.pop("family", finetuning_flags.CLASSIFICATION)
    options = finetuning_flags.of_settings(family, **dict(flags, **of_kind))
    finetuning_flags.check_flags(options, family)
    monkeypatch.setattr(engine, "make_engine", lambda options, model_fn, *_, **__: model_fn)
    setup = finetuning_setup.Setup(options, family)

    def batch_of(mode):
        if mode == TRAIN:
            input_fn = input_pipeline.train_input_fn(
                setup.features["train"], 24, 8, 4, 1, use_tpu=True
            )
        else:
            input_fn = input_pipeline.eval_input_fn(setup.features["dev"], 24, 8, use_tpu=True)
        with tf.Graph().as_default():
            shapes = tf.data.get_output_shapes(input_fn({"batch_size": 8}))
            assert all(shape.is_fully_defined() for shape in shapes.values()), shapes
        return next(batches_of(input_fn, batch_size=8))

    return setup, batch_of


@pytest.mark.parametrize("mode, steps", [(TRAIN, 0), (PREDICT, 0)] + [
    pytest.param(mode, 1, marks=pytest.mark.slow) for mode in (TRAIN, PREDICT)
])  # fmt: skip
@pytest.mark.parametrize("family, settings", TASKS)
def test_finetuning(folder, tmp_path, monkeypatch, family, settings, mode, steps):
    setup, batch_of = finetuning_of(folder, family, str(tmp_path), monkeypatch, **settings)
    batch = batch_of(mode)

    def build():
        features = {name: tf.constant(array) for name, array in batch.items()}
        return setup.engine(features, None, mode, {})

    check(build, mode, steps)


@pytest.mark.parametrize("layout", ["google", "electra"])
@pytest.mark.parametrize("mode", [TRAIN, EVAL])
def test_electra(layout, mode):
    objective = electra.Settings(generator_hidden_size=0.5)
    check(pretraining(layout, mode, electra=objective, sentence_task=False), mode)


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bfloat16"},
        {"gradient_accumulation_steps": 2},
        {"skip_nan_steps": True},
        {"span_boundary_weight": 1.0, "sentence_task": False},
        {"unilm": True},
    ],
)
def test_settings_of_pretraining(changes):
    check(pretraining("brightmart", TRAIN, **changes), TRAIN)


def test_bfloat16_leaves_variables_and_losses_in_float32():
    with tf.Graph().as_default() as graph:
        tf.get_variable_scope().set_use_resource(True)
        spec = pretraining("google", TRAIN, precision="bfloat16")()
        products = [op for op in graph.get_operations() if op.type in ("MatMul", "BatchMatMulV2")]
        kinds = {product.outputs[0].dtype for product in products}
        assert spec.loss.dtype == tf.float32 and tf.bfloat16 in kinds
        floats = [v.dtype.base_dtype for v in tf.global_variables() if v.dtype.is_floating]
        assert set(floats) == {tf.float32}


@needs_estimators
def test_the_host_writes_what_the_cores_measure(tmp_path):
    with tf.Graph().as_default(), tf.Session() as session:
        tf.train.get_or_create_global_step()
        write, tensors = tpu_summaries.host_call(str(tmp_path), {"loss": tf.constant(1.5)})
        assert [tensor.shape.as_list() for tensor in tensors] == [[1], [1]]
        of_two_cores = [tf.constant([7, 7], tf.int64), tf.constant([1.0, 2.0])]
        written = write(*of_two_cores)
        session.run(tf.global_variables_initializer())
        session.run(_writers())
        session.run(written)
        session.run(tf.get_collection("_SUMMARY_WRITER_FLUSH") or tf.no_op())
    (path,) = tmp_path.iterdir()
    events = [event for event in tf.train.summary_iterator(str(path)) if event.summary.value]
    found = [(event.step, value.tag) for event in events for value in event.summary.value]
    assert found == [(7, "loss")]
    assert tf.make_ndarray(events[0].summary.value[0].tensor) == 1.5


def _writers():
    from tensorflow.python.ops import summary_ops_v2

    return summary_ops_v2.summary_writer_initializer_op()


def test_a_spec_of_training_has_the_call_and_one_of_evaluation_has_none(tmp_path):
    with tf.Graph().as_default():
        tf.get_variable_scope().set_use_resource(True)
        spec = pretraining("google", TRAIN, str(tmp_path))()
        assert spec.host_call is not None and len(spec.host_call[1]) > 4
        assert all(tensor.shape.as_list() == [1] for tensor in spec.host_call[1])


@needs_estimators
def test_flags_reach_the_config_of_a_tpu(tmp_path):
    options = types.SimpleNamespace(
        use_tpu=True, tpu_name=None, tpu_zone=None, gcp_project=None, devices=[], num_threads=0,
        master=None, output_dir=str(tmp_path), seed=1, keep_checkpoint_max=20,
        iterations_per_loop=250, num_tpu_cores=8,
    )  # fmt: skip
    config = engine.make_tpu_config(options, 1000)
    assert config.tpu_config.iterations_per_loop == 250
    assert config.tpu_config.num_shards == 8
    per_host = tf.estimator.tpu.InputPipelineConfig.PER_HOST_V2
    assert config.tpu_config.per_host_input_for_training == per_host
    assert config.save_checkpoints_steps == 1000 and config.keep_checkpoint_max == 20


def test_a_stop_ends_the_loop_so_that_the_estimator_saves():
    """On a TPU its own saver writes a checkpoint when the session ends in order."""
    stop = types.SimpleNamespace(is_made=True, is_deferred=False)
    asked = []
    context = types.SimpleNamespace(request_stop=lambda: asked.append(True))
    hooks.StopHook(stop).after_run(context, None)
    assert asked == [True]
