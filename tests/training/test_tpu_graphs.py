"""Graphs of pre-training with --use_tpu fit a TPU: static shapes, no host operations, XLA.

The tests need no TPU: sums over cores are those of one core, and XLA compiles for the CPU.
"""

import types

import pytest
import tensorflow.compat.v1 as tf

from albert_zh.model import modeling, optimization
from albert_zh.model.layouts import LAYOUTS
from albert_zh.pretraining import model_fn as pretraining_model_fn
from albert_zh.pretraining import objective_flags
from albert_zh.pretraining.objectives import electra_masks, generator_settings
from albert_zh.training import engine, hooks, tpu_summaries
from albert_zh.training.model_spec import ModeKeys
from crossed_cases import with_slow
from estimators import needs_estimators
from pretraining_steps import SETTINGS, features_of
import pretraining_workspace as small
import tpu_graphs
from tpu_graphs import check, check_runs

pytestmark = pytest.mark.newest
TRAIN, EVAL = ModeKeys.TRAIN, ModeKeys.EVAL
LAYOUT_SETTINGS = {
    "brightmart": {},
    "google": {"num_hidden_groups": 1},
    "google_fast": {"num_hidden_groups": 1, "ffn_groups": 4},
    "bert": {"embedding_size": None},
    "nezha": {"embedding_size": None, "use_relative_position": True},
    "electra": {"model_type": "electra"},
}


@pytest.fixture(autouse=True)
def one_core(monkeypatch):
    tpu_graphs.use_one_core(monkeypatch)


def config_of(layout):
    values = dict(small.CONFIG, **LAYOUT_SETTINGS[layout])
    config = modeling.AlbertConfig.from_dict({k: v for k, v in values.items() if v is not None})
    assert config.layout == layout
    return config


def pretraining(layout, mode, folder=None, **changes):
    settings = SETTINGS._replace(use_tpu=True, **changes)
    build = pretraining_model_fn.model_fn_builder(
        config_of(layout), settings, None, summary_folder=folder
    )
    return lambda: build(features_of(), None, mode, {})


TRAININGS = [(layout, TRAIN, 2.0) for layout in sorted(LAYOUT_SETTINGS)]  # with replaced tokens
EVALUATIONS = [(layout, EVAL, 0.0) for layout in sorted(LAYOUT_SETTINGS)]
MASKED_ALONE = [(layout, TRAIN, 0.0) for layout in sorted(LAYOUT_SETTINGS)]


def test_all_layouts_and_optimizers_are_checked():
    assert set(LAYOUT_SETTINGS) == set(LAYOUTS)
    checked = {settings.get("optimizer", "lamb") for settings in FURTHER_SETTINGS}
    assert checked == set(optimization.OPTIMIZERS)


@pytest.mark.parametrize(
    "layout, mode, weight, steps",
    with_slow(
        [case + (0,) for case in TRAININGS + EVALUATIONS]
        + [case + (2,) for case in TRAININGS + EVALUATIONS + MASKED_ALONE],
        [case + (0,) for case in TRAININGS[1:3] + EVALUATIONS[:1]],
    ),
)
def test_pretraining(layout, mode, weight, steps):
    changes = {"replaced_token_weight": weight}
    check(pretraining(layout, mode, **changes), mode, 0 if weight else steps)
    if steps and weight:  # XLA draws other replaced pieces: the graph is only run
        check_runs(pretraining(layout, mode, **changes), mode)


# Values of --objective: list of (layout, changes of the settings).
ELECTRA = {
    "electra": generator_settings.Settings(generator_hidden_size=0.5),
    "sentence_task": False,
}
ORIGINAL_MASKS = electra_masks.OriginalMasks(
    0.15, small.SEQUENCE, small.MASK, (small.CLS, small.SEP, small.MASK)
)
WORDS_ALONE = generator_settings.Settings(disc_weight=0, untied_generator=False)
OBJECTIVES = {
    "masked_lm": [("brightmart", {"span_boundary_weight": 1.0, "sentence_task": False})],
    "unilm": [("brightmart", {"unilm": True})],
    "electra": [
        ("google", ELECTRA),
        ("electra", ELECTRA),
        (
            "electra",
            dict(ELECTRA, electra=ELECTRA["electra"]._replace(original_masks=ORIGINAL_MASKS)),
        ),
        ("electra", dict(ELECTRA, electra=WORDS_ALONE)),
    ],
}
CASES = [case for name in objective_flags.OBJECTIVES for case in OBJECTIVES[name]]


def first_of_each_objective():
    """Returns the cases; all but the first of each objective are marked slow."""
    firsts = [cases[0] for cases in OBJECTIVES.values()]
    return [pytest.param(*c, marks=() if c in firsts else pytest.mark.slow) for c in CASES]


@pytest.mark.parametrize("layout, changes", first_of_each_objective())
@pytest.mark.parametrize("mode", with_slow([TRAIN, EVAL], [TRAIN]))
def test_objectives(layout, changes, mode):
    check(pretraining(layout, mode, **changes), mode)


@pytest.mark.slow
@pytest.mark.parametrize("layout, changes", CASES)
@pytest.mark.parametrize("mode", [TRAIN, EVAL])
def test_compiled_objectives(layout, changes, mode):
    check_runs(pretraining(layout, mode, **changes), mode)


FURTHER_SETTINGS = [
    {"precision": "bfloat16", "optimizer": "adamw"},
    {"gradient_accumulation_steps": 2, "optimizer": "nezha_lamb"},
    {"skip_nan_steps": True, "recompute": True},
    {"optimizer": "nezha_adamw"},
]


@pytest.mark.parametrize("changes", with_slow(FURTHER_SETTINGS, FURTHER_SETTINGS[1:2]))
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
    """On a TPU, TPUEstimator's saver writes a checkpoint when the session ends normally."""
    stop = types.SimpleNamespace(is_made=True, is_deferred=False)
    asked = []
    context = types.SimpleNamespace(request_stop=lambda: asked.append(True))
    hooks.StopHook(stop).after_run(context, None)
    assert asked == [True]
