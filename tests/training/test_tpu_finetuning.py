"""Graphs of fine-tuning with --use_tpu fit a TPU for every kind of task; see test_tpu_graphs.py."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.common.errors import UserError
from albert_zh.finetuning import flags as finetuning_flags
from albert_zh.finetuning import runner
from albert_zh.finetuning import setup as finetuning_setup
from albert_zh.model import heads
from albert_zh.tasks import distillation, input_pipeline, registry
from albert_zh.tasks.embedding.flags import OBJECTIVES
from albert_zh.tasks.kind_interface import Column
from albert_zh.tasks.labelling import granularity
from albert_zh.tasks.labelling import heads as labelling_heads
from albert_zh.training import engine
from albert_zh.training.model_spec import ModeKeys
from classification_batches import batches_of
import tpu_cases
from tpu_cases import CASES
import tpu_graphs

pytestmark = pytest.mark.newest
TRAIN, PREDICT = ModeKeys.TRAIN, ModeKeys.PREDICT
LENGTH, BATCH = 24, 8
REFUSED_KINDS = {
    "generation": (
        "seq2seq",
        "batches of variable length are not supported on TPUs: train on GPUs or a",
    )
}
ONE_OF_A_KIND = list({case.kind: case for case in reversed(CASES)}.values())
IN_CI = (CASES[0], PREDICT)  # without --slow: test_model_fn.py compiles steps of training


@pytest.fixture(autouse=True)
def one_core(monkeypatch):
    tpu_graphs.use_one_core(monkeypatch)


@pytest.fixture(name="workspace", scope="module")
def workspace_fixture(tmp_path_factory):
    return tpu_cases.write_data(tmp_path_factory.mktemp("tasks"))


def setup_of(case, workspace, output, monkeypatch, **changes):
    """Returns the `Setup` of a run whose engine is its `model_fn`."""
    family, settings = tpu_cases.flags_of(case, workspace)
    flags = dict(
        {"bert_config_file": workspace.config, "vocab_file": workspace.vocab},
        output_dir=output, max_seq_length=LENGTH, train_batch_size=BATCH, train_step=4,
        do_train=True, do_eval=True, use_tpu=True, num_tpu_cores=1, learning_rate=1e-3,
    )  # fmt: skip
    options = finetuning_flags.of_settings(family, **dict(flags, **settings, **changes))
    finetuning_flags.check_flags(options, family)
    monkeypatch.setattr(engine, "make_engine", lambda options, model_fn, *_, **__: model_fn)
    setup = finetuning_setup.Setup(options, family, runner.PARTS)
    assert setup.kind.name == case.kind
    return setup


def batch_of(setup, mode, has_values=True):
    """Returns the first batch of a run, or zeros of its shapes; asserts that these are static.

    Returns:
        {name: array}.
    """
    if mode == TRAIN:
        train = setup.features["train"]
        input_fn = input_pipeline.train_input_fn(train, LENGTH, BATCH, 4, 1, use_tpu=True)
    else:
        dev = setup.features["dev"]
        input_fn = input_pipeline.eval_input_fn(dev, LENGTH, BATCH, use_tpu=True)
    with tf.Graph().as_default():
        dataset = input_fn({"batch_size": BATCH})
        shapes, types = tf.data.get_output_shapes(dataset), tf.data.get_output_types(dataset)
    assert all(shape.is_fully_defined() for shape in shapes.values()), shapes
    if has_values:
        return next(batches_of(input_fn, batch_size=BATCH))
    return {n: np.zeros(shapes[n].as_list(), types[n].as_numpy_dtype) for n in shapes}


def build_of(setup, batch, mode):
    """Returns a function that builds the graph of a run on a constant batch."""

    def build():
        features = {name: tf.constant(array) for name, array in batch.items()}
        return setup.engine(features, None, mode, {})

    return build


def _is_of_package(kind):
    """Whether a kind belongs to the toolkit and was not registered by another test."""
    return type(kind).__module__.startswith("albert_zh.")


def test_every_kind_and_objective_has_a_case():
    kinds = {case.kind for case in CASES}
    own = {name for name in registry.names() if _is_of_package(registry.get(name))}
    assert kinds | set(REFUSED_KINDS) == own
    assert not kinds & set(REFUSED_KINDS)
    objectives = {case.settings.get("objective") for case in CASES} - {None}
    assert objectives | {name for name in OBJECTIVES if OBJECTIVES[name].is_of_batch} == set(
        OBJECTIVES
    )


@pytest.mark.parametrize(
    "case",
    [pytest.param(c, marks=() if c in ONE_OF_A_KIND else pytest.mark.slow) for c in CASES],
    ids=str,
)
def test_graphs(workspace, tmp_path, monkeypatch, case):
    setup = setup_of(case, workspace, str(tmp_path), monkeypatch)
    for mode in (TRAIN, PREDICT):
        batch = batch_of(setup, mode, has_values=False)
        tpu_graphs.check(build_of(setup, batch, mode), mode)


COMPILED = [(case, mode) for case in CASES for mode in (TRAIN, PREDICT)]


@pytest.mark.parametrize(
    "case, mode",
    [pytest.param(*pair, marks=() if pair == IN_CI else pytest.mark.slow) for pair in COMPILED],
    ids=str,
)
def test_compiled(workspace, tmp_path, monkeypatch, case, mode):
    """Without dropout, three compiled steps give the numbers of uncompiled steps."""
    for module in (heads, labelling_heads, granularity):
        monkeypatch.setattr(module, "CLASSIFIER_DROPOUT", 0.0)
    monkeypatch.setattr(granularity, "BIGRAM_DROPOUT", 0.0)
    exact = {name: x for name, x in case.settings.items() if name != "precision"}
    case = case._replace(settings=exact)
    changes = {"slot_dropout": 0.0} if "slots" in case.settings else {}
    changes["bert_config_file"] = workspace.without_dropout
    setup = setup_of(case, workspace, str(tmp_path), monkeypatch, **changes)
    tpu_graphs.check(build_of(setup, batch_of(setup, mode), mode), mode, 3)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=str)
def test_compiled_with_dropout(workspace, tmp_path, monkeypatch, case):
    """Only runs the graph: XLA draws other numbers of a seed, and other names give other seeds."""
    setup = setup_of(case, workspace, str(tmp_path), monkeypatch)
    tpu_graphs.check_runs(build_of(setup, batch_of(setup, TRAIN), TRAIN), TRAIN)


def taught_cases():
    """Yields (case, distillation loss) of each kind and head that can learn from teachers."""
    firsts = {}
    for case in CASES:
        firsts.setdefault((case.kind, case.settings.get("head")), case)
    for case in firsts.values():
        of_kind = registry.get(case.kind).distillation
        for loss in of_kind.loss_names if of_kind else ():
            yield case, loss


def taught(case, loss, workspace, output, monkeypatch):
    """Returns a function that builds the graph of a student with random targets."""
    setup = setup_of(case, workspace, output, monkeypatch)
    settings = {"distill_weight": 0.5, "temperature": 2.0, "distill_loss": loss}
    setup.settings = setup.settings._replace(**settings)
    setup.engine = setup._make_engine()
    columns = dict(setup.kind.distillation.columns(setup.task))
    columns[distillation.LABELLED] = Column("float")
    batch, draws = batch_of(setup, TRAIN), np.random.RandomState(1)
    for name, column in columns.items():
        shape = [BATCH] + [LENGTH] * column.is_per_token + list(column.shape)
        batch[name] = draws.uniform(0, 1, shape).astype(np.float32)
    return build_of(setup, batch, TRAIN)


@pytest.mark.slow  # the graphs of `test_graphs` with another loss
@pytest.mark.parametrize("case, loss", taught_cases(), ids=str)
def test_graphs_of_students(workspace, tmp_path, monkeypatch, case, loss):
    tpu_graphs.check(taught(case, loss, workspace, str(tmp_path), monkeypatch), TRAIN)


@pytest.mark.slow
@pytest.mark.parametrize("case, loss", taught_cases(), ids=str)
def test_compiled_students(workspace, tmp_path, monkeypatch, case, loss):
    tpu_graphs.check_runs(taught(case, loss, workspace, str(tmp_path), monkeypatch), TRAIN)


REFUSED = [(kind, task, {}, message) for kind, (task, message) in REFUSED_KINDS.items()]
REFUSED += [  # objectives that compare rows of all cores
    ("sentence_embedding", "sentences", {"objective": name}, "%s compares rows of the" % name)
    for name, objective in sorted(OBJECTIVES.items())
    if objective.is_of_batch
]


@pytest.mark.parametrize("family, task_name, settings, message", REFUSED)
def test_what_needs_more_than_static_graphs_is_refused(
    workspace, tmp_path, family, task_name, settings, message
):
    options = finetuning_flags.of_settings(
        family,
        task_name=task_name,
        output_dir=str(tmp_path),
        do_train=True,
        use_tpu=True,
        bert_config_file=workspace.config,
        vocab_file=workspace.vocab,
        data_dir=workspace.data,
        **settings,
    )
    with pytest.raises(UserError, match="--use_tpu: " + message) as caught:
        finetuning_flags.check_flags(options, family)
    assert "\n" not in str(caught.value)
