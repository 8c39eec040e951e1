"""What use_tpu builds fits a TPU: static shapes, no operation of hosts alone, compiled by XLA.

No TPU is there: cores' sums are of one core, and XLA compiles for the CPU.
"""

import json
import types

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from tensorflow.python.tpu.ops import tpu_ops

from albert_zh.common.errors import UserError
from albert_zh.finetuning import flags as finetuning_flags
from albert_zh.finetuning import runner
from albert_zh.finetuning import setup as finetuning_setup
from albert_zh.model import heads, modeling
from albert_zh.model.layouts import LAYOUTS
from albert_zh.pretraining import model_fn as pretraining_model_fn
from albert_zh.pretraining.objectives import generator_settings
from albert_zh.tasks import input_pipeline
from albert_zh.tasks.labelling import heads as labelling_heads
from albert_zh.training import engine, hooks, tpu_summaries
from albert_zh.training.model_spec import ModeKeys
from classification_batches import batches_of
from estimators import needs_estimators
from pretraining_steps import SETTINGS, features_of
import pretraining_workspace as small
import tiny_tasks
from workspace import CONFIG, Workspace

pytestmark = pytest.mark.newest
TRAIN, EVAL, PREDICT = ModeKeys.TRAIN, ModeKeys.EVAL, ModeKeys.PREDICT
LAYOUT_SETTINGS = {
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
    values = dict(small.CONFIG, **LAYOUT_SETTINGS[layout])
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

    def values(wrap, start=None):
        with tf.Graph().as_default() as graph, tf.Session() as session:
            tf.set_random_seed(3)
            tf.get_variable_scope().set_use_resource(True)
            tf.train.get_or_create_global_step()
            outputs = wrap(lambda: outputs_of(build(), mode))
            problems = problems_of(graph)
            assert not problems, "\n".join(problems[:10])
            session.run(tf.global_variables_initializer())
            variables = {variable.name: variable for variable in tf.global_variables()}
            for name, value in (start or {}).items():
                variables[name].load(value, session)
            start = session.run(variables)
            return start, [session.run(outputs) for _ in range(steps)]

    start, plain = values(lambda step: step())
    if steps:  # of equal start values: initializers draw by the number of their operation
        _, compiled = values(tf.xla.experimental.compile, start)
        for expected, found in zip(plain, compiled):
            for one, other in zip(expected, found):
                np.testing.assert_allclose(other, one, atol=1e-4, rtol=1e-4)


def pretraining(layout, mode, folder=None, **changes):
    settings = SETTINGS._replace(use_tpu=True, **changes)
    build = pretraining_model_fn.model_fn_builder(
        config_of(layout), settings, None, summary_folder=folder
    )
    return lambda: build(features_of(), None, mode, {})


TRAININGS = [(layout, TRAIN, 2.0) for layout in sorted(LAYOUT_SETTINGS)]  # with replaced tokens
EVALUATIONS = [(layout, EVAL, 0.0) for layout in sorted(LAYOUT_SETTINGS)]
MASKED_ALONE = [(layout, TRAIN, 0.0) for layout in sorted(LAYOUT_SETTINGS)]


def test_all_layouts_are_checked():
    assert set(LAYOUT_SETTINGS) == set(LAYOUTS)


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
# Kinds and objectives that compare rows of all cores, or write texts of any length.
REFUSED = [
    (
        "sentence_embedding",
        "sentences",
        {"objective": "simcse"},
        "--use_tpu: simcse compares rows of the whole",
    ),
    (
        "sentence_embedding",
        "sentences",
        {"objective": "infonce"},
        "--use_tpu: infonce compares rows of the",
    ),
    (
        "generation",
        "seq2seq",
        {},
        "--use_tpu: rows of any length are written: train on GPUs or a CPU",
    ),
]


@pytest.fixture(name="folder", scope="module")
def folder_fixture(tmp_path_factory):
    workspace = Workspace(tmp_path_factory.mktemp("tasks"), num_train=48, num_dev=12, num_test=6)
    for family in tiny_tasks.KINDS:
        tiny_tasks.write(workspace, family)
    none = dict.fromkeys(("hidden_dropout_prob", "attention_probs_dropout_prob"), 0.0)
    settings = dict(CONFIG, initializer_range=0.3, **none)
    workspace.without_dropout = workspace.write("model/without_dropout.json", json.dumps(settings))
    return workspace


def finetuning_of(folder, family, output, monkeypatch, **settings):
    """(`Setup` of a run with use_tpu whose engine is its `model_fn`, function mode -> batch)."""
    of_kind = tiny_tasks.settings_of("%s/%s" % (folder.folder, family), family) if family else {}
    flags = dict(
        {"task_name": "lcqmc", "data_dir": folder.data, "bert_config_file": folder.config},
        vocab_file=folder.vocab, output_dir=output, max_seq_length=24, train_batch_size=8,
        train_step=4, do_train=True, do_eval=True, use_tpu=True, num_tpu_cores=1,
        learning_rate=1e-3,
    )  # fmt: skip
    family = of_kind.pop("family", finetuning_flags.CLASSIFICATION)
    options = finetuning_flags.of_settings(family, **dict(flags, **of_kind, **settings))
    finetuning_flags.check_flags(options, family)
    monkeypatch.setattr(engine, "make_engine", lambda options, model_fn, *_, **__: model_fn)
    setup = finetuning_setup.Setup(options, family, runner.PARTS)

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


def build_of(folder, output, monkeypatch, family, mode, settings):
    """Function that builds the graph of a fine-tuning run on a constant batch."""
    setup, batch_of = finetuning_of(folder, family, output, monkeypatch, **settings)
    batch = batch_of(mode)

    def build():
        features = {name: tf.constant(array) for name, array in batch.items()}
        return setup.engine(features, None, mode, {})

    return build


@pytest.mark.parametrize("mode", [TRAIN, PREDICT])
@pytest.mark.parametrize("family, settings", TASKS)
def test_finetuning(folder, tmp_path, monkeypatch, family, settings, mode):
    check(build_of(folder, str(tmp_path), monkeypatch, family, mode, settings), mode)


@pytest.mark.slow
@pytest.mark.parametrize("mode", [TRAIN, PREDICT])
@pytest.mark.parametrize("family, settings", TASKS)
def test_compiled_finetuning(folder, tmp_path, monkeypatch, family, settings, mode):
    """Three steps give the numbers of uncompiled ones, where nothing is drawn."""
    for module in (heads, labelling_heads):
        monkeypatch.setattr(module, "CLASSIFIER_DROPOUT", 0.0)
    settings = dict(settings, bert_config_file=folder.without_dropout)
    check(build_of(folder, str(tmp_path), monkeypatch, family, mode, settings), mode, 3)


@pytest.mark.slow
@pytest.mark.parametrize("family, settings", TASKS)
def test_compiled_finetuning_with_dropout(folder, tmp_path, monkeypatch, family, settings):
    """XLA draws other numbers of a seed (and names, of which seeds are made, are others)."""
    runs(build_of(folder, str(tmp_path), monkeypatch, family, TRAIN, settings), TRAIN)


@pytest.mark.parametrize("family, task_name, settings, message", REFUSED)
def test_what_needs_more_than_static_graphs_is_refused(
    folder, tmp_path, family, task_name, settings, message
):
    named = {"bert_config_file": folder.config, "vocab_file": folder.vocab, "data_dir": folder.data}
    options = finetuning_flags.of_settings(
        family,
        task_name=task_name,
        output_dir=str(tmp_path),
        do_train=True,
        use_tpu=True,
        **dict(named, **settings),
    )
    with pytest.raises(UserError, match=message) as caught:
        finetuning_flags.check_flags(options, family)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("layout", ["google", "electra"])
@pytest.mark.parametrize("mode", [TRAIN, EVAL])
def test_electra(layout, mode):
    objective = generator_settings.Settings(generator_hidden_size=0.5)
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
    batches = {"train_batch_size": 64, "eval_batch_size": 32, "predict_batch_size": 16}
    options.distribution = "none"
    context = engine.make_engine(options, lambda *_: None, 1000, **batches)._ctx
    assert context._eval_on_tpu and context._use_tpu
    sizes = context._train_batch_size, context._eval_batch_size, context._predict_batch_size
    assert sizes == (64, 32, 16)


def test_a_stop_ends_the_loop_so_that_the_estimator_saves():
    """On a TPU its own saver writes a checkpoint when the session ends in order."""
    stop = types.SimpleNamespace(is_made=True, is_deferred=False)
    asked = []
    context = types.SimpleNamespace(request_stop=lambda: asked.append(True))
    hooks.StopHook(stop).after_run(context, None)
    assert asked == [True]
