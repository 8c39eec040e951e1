"""Optimizers and schedule, compared with the original, addons' LAMB and NumPy."""

import glob
import os

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.common.errors import UserError
from albert_zh.model import optimization
from optimizer_cases import BUNDLED, Toy
from waiting_operations import depends_on

NO_DECAY = ["LayerNorm", "layer_norm", "bias"]
IS_TF1 = tf.__version__.startswith("1.")

# Golden file -> arguments of `create_optimizer`; the rate 0.01 decays to 0 at step 10.
GOLDEN_TRAIN_OPS = {
    "bm_lamb_w4_t10": {"optimizer": "lamb", "num_warmup_steps": 4},
    "bm_lamb_w0_t10": {"optimizer": "lamb", "num_warmup_steps": 0},
    "bm_adamw_finetune_w4_t10": {"optimizer": "adamw", "num_warmup_steps": 4},
    "google_adamw_w4_t10": {"optimizer": "adamw", "num_warmup_steps": 4, "layout": "google"},
    "google_lamb_w4_t10": {"optimizer": "lamb", "num_warmup_steps": 4, "layout": "google"},
}


@pytest.fixture
def session():
    with tf.Graph().as_default(), tf.Session() as session:
        yield session


def test_bundled_golden_files_are_the_developers(shared):
    paths = glob.glob(os.path.join(BUNDLED, "*.npz"))
    assert paths
    for path in paths:
        original = os.path.join(shared, "golden", "optim", os.path.basename(path))
        with open(path, "rb") as ours, open(original, "rb") as theirs:
            assert ours.read() == theirs.read()


@pytest.mark.parametrize("use_resource, is_compiled", [(True, False), (False, False), (True, True)])
@pytest.mark.parametrize("name", sorted(GOLDEN_TRAIN_OPS))
def test_train_op_equals_the_original(session, name, use_resource, is_compiled, monkeypatch):
    monkeypatch.setattr(optimization, "COMPILED_FROM", 1)
    toy = Toy(name, use_resource)
    settings = dict(init_lr=0.01, num_train_steps=10, use_tpu=False, **GOLDEN_TRAIN_OPS[name])
    train_op = optimization.create_optimizer(toy.loss, is_compiled=is_compiled, **settings)
    rate = tf.get_default_graph().get_tensor_by_name("learning_rate:0")
    session.run(tf.global_variables_initializer())
    calls = [op for op in tf.get_default_graph().get_operations() if "PartitionedCall" in op.type]
    assert len(calls) == (len(toy.gradients) if is_compiled and not IS_TF1 else 0)
    for step in range(12):
        used, _ = session.run([rate, train_op], toy.feed(step))
        np.testing.assert_allclose(used, toy.golden["lr_used"][step], atol=1e-8)
        assert session.run(tf.train.get_global_step()) == step + 1
        toy.check(session, step)


def test_nezha_lamb_equals_the_original(session):
    toy = Toy("lamb_steps", kind="nezha")
    train_op = optimization.create_optimizer(
        toy.loss,
        0.01,
        num_train_steps=10,
        num_warmup_steps=4,
        use_tpu=False,
        optimizer="nezha_lamb",
    )
    rate = tf.get_default_graph().get_tensor_by_name("learning_rate:0")
    session.run(tf.global_variables_initializer())
    for step in range(12):
        used, _ = session.run([rate, train_op], toy.feed(step))
        np.testing.assert_allclose(used, toy.golden["lr_used"][step], atol=1e-8)
        toy.check(session, step)


def test_nezha_adamw_has_the_rates_of_its_program(session):
    """AdamW is computed with NumPy; gradients and rates are from the golden file of LAMB."""
    toy = Toy("lamb_steps", kind="nezha")
    train_op = optimization.create_optimizer(toy.loss, 0.01, 10, 4, False, "nezha_adamw")
    rate = tf.get_default_graph().get_tensor_by_name("learning_rate:0")
    session.run(tf.global_variables_initializer())
    values = {name: np.float64(toy.golden["init/" + name]) for name in toy.variables}
    means = {name: [0.0, 0.0] for name in values}
    squares = [np.square(np.float64(toy.golden["grad/" + name])) for name in values]
    norms = np.sqrt(sum(array.reshape(12, -1).sum(axis=1) for array in squares))
    for step in range(12):
        used, _ = session.run([rate, train_op], toy.feed(step))
        np.testing.assert_allclose(used, toy.golden["lr_used"][step], atol=1e-8)
        for name, value in values.items():
            gradient = toy.golden["grad/" + name][step] / max(1.0, norms[step])
            mean, square = means[name]
            means[name] = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
            update = means[name][0] / (np.sqrt(means[name][1]) + 1e-6)
            is_decayed = "bias" not in name and "LayerNorm" not in name
            values[name] = value - used * (update + 0.01 * is_decayed * value)
        for name, value in session.run(toy.variables).items():
            np.testing.assert_allclose(value, values[name], rtol=1e-5, atol=1e-6)
    slots = {v.op.name.split("/")[-1] for v in tf.global_variables() if "dense/bias" in v.op.name}
    assert slots == {"bias", "adam_m", "adam_v"}


def lamb_by_numpy(values, gradients, rates):
    """Returns {name: array} after steps of LAMB in NumPy, with decay 0.01 except for biases."""
    values = {name: np.float64(value) for name, value in values.items()}
    means = {name: [0.0, 0.0] for name in values}
    norm = np.sqrt(sum(np.square(gradient).sum() for gradient in gradients.values()))
    for rate in rates:
        for name, gradient in gradients.items():
            gradient = gradient * min(1.0, 1.0 / norm)
            mean, square = means[name]
            mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
            means[name] = mean, square
            decay = 0.0 if "bias" in name else 0.01
            update = mean / (np.sqrt(square) + 1e-6) + decay * values[name]
            ratio = np.linalg.norm(values[name]) / np.linalg.norm(update)
            values[name] = values[name] - rate * ratio * update
    return values


def test_create_optimizer_called_as_in_the_original_is_lamb(session):
    generator = np.random.RandomState(3)
    shapes = {"bert/dense/kernel": (4, 3), "bert/dense/bias": (3,)}
    values = {name: generator.standard_normal(shape) for name, shape in shapes.items()}
    gradients = {name: 2 * generator.standard_normal(shape) for name, shape in shapes.items()}
    variables = {n: tf.get_variable(n, initializer=np.float32(v)) for n, v in values.items()}
    loss = tf.add_n([tf.reduce_sum(variables[name] * gradients[name]) for name in variables])
    train_op = optimization.create_optimizer(loss, 0.1, 10, 0, False)
    session.run(tf.global_variables_initializer())
    for _ in range(3):
        session.run(train_op)
    expected = lamb_by_numpy(values, gradients, [0.1, 0.09, 0.08])
    for name, value in session.run(variables).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, atol=1e-6)
        assert np.abs(value - values[name]).max() > 0.05
    assert {v.op.name.split("/")[-1] for v in tf.global_variables()} == {
        *("kernel", "bias", "lamb_m", "lamb_v", "global_step")
    }


def test_subclasses_find_the_settings_under_berts_names(session):
    optimizer = optimization.LAMBOptimizer(0.5, exclude_from_weight_decay=["bias"])
    assert (optimizer.learning_rate, optimizer.weight_decay_rate) == (0.5, 0.01)
    assert (optimizer.beta_1, optimizer.beta_2, optimizer.epsilon) == (0.9, 0.999, 1e-6)
    assert optimizer.exclude_from_weight_decay == ["bias"]


def test_lamb_optimizer_decays_by_a_hundredth_unless_told_otherwise(session):
    """With a gradient of 0 the update is only the decay, whose scale a trust ratio would cancel."""
    weight = tf.get_variable("w", initializer=np.float32([3.0, 4.0]))
    optimizer = optimization.LAMBOptimizer(0.5, exclude_from_layer_adaptation=["w"])
    train_op = optimizer.apply_gradients([(tf.zeros([2]), weight)])
    session.run(tf.global_variables_initializer())
    session.run(train_op)
    np.testing.assert_allclose(session.run(weight), [3 - 0.5 * 0.03, 4 - 0.5 * 0.04], rtol=1e-6)


@pytest.mark.parametrize("use_resource", [True, False])
def test_lamb_with_fixed_rate_and_without_clipping_equals_the_original(session, use_resource):
    toy = Toy("google_lamb_constlr_noclip_layeradapt_all", use_resource)
    optimizer = optimization.LAMBOptimizer(
        learning_rate=0.01,
        weight_decay_rate=0.01,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-6,
        exclude_from_weight_decay=NO_DECAY,
        exclude_from_layer_adaptation=None,
        slot_names=("adam_m", "adam_v"),
    )
    train_op = optimizer.minimize(toy.loss)
    session.run(tf.global_variables_initializer())
    for step in range(12):
        session.run(train_op, toy.feed(step))
        toy.check(session, step)


def test_clipping_scales_all_gradients_alike(session):
    """After the first step, the mean of the gradients is a tenth of the clipped gradient."""
    toy = Toy("bm_lamb_w0_t10", True)
    train_op = optimization.create_adamw_optimizer(toy.loss, 0.01, 10, 0, False)
    session.run(tf.global_variables_initializer())
    session.run(train_op, toy.feed(0))
    means = {v.op.name: v for v in tf.global_variables() if v.op.name.endswith("adam_m")}
    scale = toy.golden["clip_scale"][0]
    assert scale < 0.1  # gradients are clipped in this case
    for name, mean in session.run(means).items():
        expected = 0.1 * scale * toy.golden["grad/" + name[: -len("/adam_m")]][0]
        np.testing.assert_allclose(mean, expected, rtol=1e-5)


def original_rate(step, rate, total, warmup, power=1.0, start=0):
    """Computes the original's learning rate at a step."""
    if warmup and step < start + warmup:
        return rate * (step - start) / warmup
    return rate * (1 - min(step, total) / total) ** power


@pytest.mark.parametrize(
    ("total", "warmup", "power", "start"),
    [(10, 4, 1.0, 0), (10, 0, 1.0, 0), (10, None, 2.0, 0), (20, 5, 0.5, 3), (5, 8, 1.0, 0)],
)
def test_schedule(session, total, warmup, power, start):
    step = tf.placeholder(tf.int64, [])
    rate = optimization.learning_rate(0.02, total, warmup, step, power, start)
    assert rate.dtype == tf.float32 and rate.shape == []
    for value in range(25):
        expected = original_rate(value, 0.02, total, warmup, power, start)
        np.testing.assert_allclose(session.run(rate, {step: value}), expected, rtol=2e-6, atol=1e-9)
    if start:
        assert session.run(rate, {step: 0}) < 0


def test_schedule_of_a_number_and_of_far_steps(session):
    assert session.run(optimization.learning_rate(1.0, 4, 0, 1)) == 0.75
    assert session.run(optimization.learning_rate(1.0, 4, 0, 10**12)) == 0.0
    rate = optimization.learning_rate(0.00176, 125000, 3125, np.int64(3124))
    np.testing.assert_allclose(session.run(rate), 0.00176 * 3124 / 3125, rtol=1e-6)


@pytest.mark.parametrize("use_resource", [True, False])
@pytest.mark.parametrize(
    "settings",
    [
        {"num_warmup_steps": 0},
        {"num_warmup_steps": 4},
        {"num_warmup_steps": 4, "start_warmup_step": 2, "poly_power": 2.0},
    ],
)
def test_each_step_uses_the_rate_of_the_step_before_it(session, use_resource, settings):
    """A weight whose Adam update is always 1 moves by the rate alone."""
    weight = tf.get_variable("w/bias", initializer=np.float32(0), use_resource=use_resource)
    train_op = optimization.create_adamw_optimizer(
        weight * 1e-8, 0.01, 10, use_tpu=False, **settings
    )
    session.run(tf.global_variables_initializer())
    slots = {v.op.name: v for v in tf.global_variables()}
    power, start = settings.get("poly_power", 1.0), settings.get("start_warmup_step", 0)
    for step in range(12):
        slots["w/bias/adam_m"].load(1e8, session)
        slots["w/bias/adam_v"].load(1e16, session)
        before = session.run(weight)
        session.run(train_op)
        rate = original_rate(step, 0.01, 10, settings["num_warmup_steps"], power, start)
        moved = (before - session.run(weight)) / (0.9 / np.sqrt(0.999))
        np.testing.assert_allclose(moved, rate, atol=1e-7)
        assert session.run(tf.train.get_global_step()) == step + 1


def test_rate_continues_from_the_step_of_a_checkpoint(session):
    weight = tf.get_variable("w", initializer=np.ones(3, np.float32))
    train_op = optimization.create_optimizer(tf.reduce_sum(weight), 0.01, 10, 0, False)
    session.run(tf.global_variables_initializer())
    tf.train.get_global_step().load(6, session)
    rate = tf.get_default_graph().get_tensor_by_name("learning_rate:0")
    np.testing.assert_allclose(session.run([rate, train_op])[0], 0.004, rtol=1e-6)
    assert session.run(tf.train.get_global_step()) == 7


@pytest.mark.parametrize("use_resource", [True, False])
@pytest.mark.parametrize("name", ["AdamWeightDecayOptimizer", "LAMBOptimizer"])
def test_sparse_gradient_equals_the_dense_one(session, name, use_resource):
    """Some rows are used twice; unused rows decay, too, and count in LAMB's norms."""
    start = np.arange(1, 13, dtype=np.float32).reshape(6, 2) / 7
    ids = tf.constant([[4, 1], [4, 3]])
    losses = []
    for way in "gathered", "one_hot":
        table = tf.get_variable(way, initializer=start, use_resource=use_resource)
        if way == "gathered":
            rows = tf.gather(table, ids)
            assert isinstance(tf.gradients(rows, table)[0], tf.IndexedSlices)
        else:
            rows = tf.tensordot(tf.one_hot(ids, 6), table, 1)
        losses.append(tf.reduce_sum(rows * rows * rows))
    train_op = getattr(optimization, name)(0.1, weight_decay_rate=0.1).minimize(tf.add_n(losses))
    session.run(tf.global_variables_initializer())
    for _ in range(3):
        session.run(train_op)
    values = session.run({v.op.name: v for v in tf.global_variables()})
    assert len(values) == 6
    for variable, value in values.items():
        if variable.startswith("gathered"):
            other = values[variable.replace("gathered", "one_hot")]
            np.testing.assert_allclose(value, other, rtol=1e-6, err_msg=variable)
    assert np.all(values["gathered"] != start)  # decay reaches unused rows


@pytest.mark.parametrize(
    ("weight", "gradient", "ratio"),
    [
        ([3.0, 4.0], [1.0, 1.0], 5 / (2**0.5 * 10**0.5)),  # update is 0.1 / sqrt(0.001)
        ([-3.0, -4.0], [1.0, 1.0], 5 / (2**0.5 * 10**0.5)),
        ([0.0, 0.0], [1.0, 1.0], 1.0),
        ([3.0, 4.0], [0.0, 0.0], 1.0),
        ([0.0, 0.0], [0.0, 0.0], 1.0),
    ],
)
def test_trust_ratio(session, weight, gradient, ratio):
    var = tf.get_variable("w", initializer=np.float32(weight))
    optimizer = optimization.LAMBOptimizer(0.1, weight_decay_rate=0.0, epsilon=1e-12)
    train_op = optimizer.apply_gradients([(tf.constant(gradient), var)])
    session.run(tf.global_variables_initializer())
    session.run(train_op)
    step = np.multiply(gradient, 0.1 * ratio * 10**0.5)
    np.testing.assert_allclose(session.run(var), np.subtract(weight, step), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("name", "is_decayed"),
    [
        ("bert/encoder/dense/kernel", True),
        ("bert/encoder/dense/bias", False),
        ("cls/predictions/output_bias", False),
        ("bert/LayerNorm_1/gamma", False),
        ("a/layer_normalization/scale", False),
        ("a/layernorm/beta", True),
    ],
)
def test_which_variables_decay(session, name, is_decayed):
    var = tf.get_variable(name, initializer=np.float32([2.0]))
    train_op = optimization.create_adamw_optimizer(tf.reduce_sum(var * 0.0), 0.5, 10, 0, False)
    session.run(tf.global_variables_initializer())
    session.run(train_op)
    expected = 2.0 - 0.5 * 0.01 * 2.0 if is_decayed else 2.0
    np.testing.assert_allclose(session.run(var), [expected], rtol=1e-6)


@pytest.mark.parametrize("optimizer", ["adamw", "lamb"])
def test_a_step_is_as_long_as_the_factor_of_the_rate_says(session, optimizer):
    start = np.float32([[1.0, -2.0], [0.5, 3.0]])
    variables = {name: tf.get_variable(name, initializer=start) for name in ("whole", "quarter")}
    loss = tf.add_n([tf.reduce_sum(tf.square(variable)) for variable in variables.values()])
    step = optimization.assemble_train_step(
        lambda chosen: chosen.compute_gradients(loss),
        optimization.Schedule(0.1, 10),
        optimizer,
        rate_scales={"quarter": 0.25},
    )
    session.run(tf.global_variables_initializer())
    rate, _ = session.run([step.rate, step.op])
    moved = {name: start - value for name, value in session.run(variables).items()}
    assert rate == np.float32(0.1) and session.run(tf.train.get_global_step()) == 1
    assert np.abs(moved["whole"]).min() > 0.01
    np.testing.assert_allclose(moved["quarter"], 0.25 * moved["whole"], rtol=1e-5)


def _variables_of(layout, optimizer):
    with tf.Graph().as_default():
        with tf.variable_scope("bert/embeddings"):
            var = tf.get_variable("word_embeddings", [2, 3])
        loss = tf.reduce_sum(var)
        optimization.create_optimizer(loss, 0.1, 10, 0, False, optimizer, layout=layout)
        return sorted(v.op.name for v in tf.global_variables())


@pytest.mark.parametrize(
    ("layout", "optimizer", "slots"),
    [
        ("brightmart", "adamw", "adam"),
        ("brightmart", "lamb", "lamb"),
        ("bert", "lamb", "lamb"),
        ("google", "lamb", "adam"),
        ("google_fast", "lamb", "adam"),
        ("google", "adamw", "adam"),
    ],
)
def test_names_in_checkpoints(layout, optimizer, slots):
    name = "bert/embeddings/word_embeddings"
    expected = [name, "%s/%s_m" % (name, slots), "%s/%s_v" % (name, slots), "global_step"]
    assert _variables_of(layout, optimizer) == expected


def test_slots_are_slots_of_tensorflow(session):
    var = tf.get_variable("w", [4, 2])
    optimizer = optimization.LAMBOptimizer(0.1)
    optimizer.minimize(tf.reduce_sum(var))
    assert optimizer.get_slot_names() == ["lamb_m", "lamb_v"]
    slot = optimizer.get_slot(var, "lamb_m")
    assert isinstance(optimizer, tf.train.Optimizer)
    assert (slot.op.name, slot.dtype.base_dtype, slot.shape) == ("w/lamb_m", tf.float32, [4, 2])
    session.run(tf.global_variables_initializer())
    assert not session.run(slot).any()
    assert set(optimizer.variables()) == {slot, optimizer.get_slot(var, "lamb_v")}


def test_tpu_optimizer_is_wrapped(session, monkeypatch):
    wrapped = []

    class Recorded(tf.tpu.CrossShardOptimizer):
        def __init__(self, optimizer):
            wrapped.append(optimizer)
            super().__init__(optimizer)

    monkeypatch.setattr(tf.tpu, "CrossShardOptimizer", Recorded)
    var = tf.get_variable("w", initializer=np.float32([3.0, 4.0]))
    loss = tf.reduce_sum(var * var)
    optimization.create_optimizer(loss, 0.1, 10, 0, use_tpu=False)
    assert wrapped == []
    train_op = optimization.create_optimizer(loss, 0.1, 10, 0, use_tpu=True)
    assert [type(optimizer) for optimizer in wrapped] == [optimization.LAMBOptimizer]
    sums = [op for op in tf.get_default_graph().get_operations() if op.type == "CrossReplicaSum"]
    norms = [op for op in tf.get_default_graph().get_operations() if "global_norm" in op.name]
    assert len(sums) == 1 and norms
    assert depends_on(train_op, sums[0])
    clipped_after_sum = [op for op in norms if depends_on(op, sums[0])]
    assert clipped_after_sum  # the norm is computed after summing over all cores


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"init_lr": -1e-4}, "--learning_rate=-0.0001: expected at least 0"),
        ({"init_lr": float("nan")}, "--learning_rate=nan"),
        ({"num_train_steps": 0}, "--num_train_steps=0: expected at least 1"),
        ({"num_warmup_steps": -1}, "--num_warmup_steps=-1"),
        ({"poly_power": -1.0}, "--poly_power=-1.0"),
        ({"start_warmup_step": -5}, "--start_warmup_step=-5"),
        ({"optimizer": "sgd"}, "--optimizer=sgd: expected one of adamw, lamb"),
        ({"layout": "pytorch"}, "layout=pytorch: expected one of bert, brightmart, electra, g"),
    ],
)
def test_impossible_settings(session, changed, message):
    settings = {"init_lr": 0.1, "num_train_steps": 10, "num_warmup_steps": 2, "use_tpu": False}
    with pytest.raises(UserError, match=message):
        optimization.create_optimizer(tf.get_variable("w", []), **dict(settings, **changed))


@pytest.mark.skipif(IS_TF1, reason="tensorflow-addons 0.23 needs TensorFlow 2")
@pytest.mark.parametrize("not_decayed", [[], ["bias"]])
@pytest.mark.parametrize("not_adapted", [[], ["bias"]])
def test_lamb_equals_addons_where_the_definitions_agree(session, not_decayed, not_adapted):
    """Both agree in trust ratio, decay and exclusions, but differ in bias correction.

    addons' LAMB corrects the bias of Adam's means (m / (1 - beta_1^t), v / (1 - beta_2^t)); ours,
    like the original's, does not. So addons' update is c * m / (sqrt(v) + eps') + decay * w with
    c = sqrt(1 - beta_2^t) / (1 - beta_1^t) and eps' = eps * sqrt(1 - beta_2^t), and
    - if a variable is adapted, the trust ratio cancels a common factor: both agree if our decay is
      divided by c, as it is here, and epsilon is negligible;
    - if it is not adapted, our step is theirs divided by c, so our rate is multiplied by c.
    Also, addons replaces an empty `exclude_from_layer_adaptation` by the list of weight decay; ours
    excludes nothing.
    """
    addons = pytest.importorskip("tensorflow_addons")
    decay, rate, betas = 0.1, 0.05, (0.9, 0.99)
    draw = np.random.RandomState(5)
    starts = {name: draw.randn(3, 4).astype(np.float32) for name in ("kernel", "bias")}
    feeds = [{name: draw.randn(3, 4) for name in starts} for _ in range(6)]
    factors = [(1 - betas[1] ** t) ** 0.5 / (1 - betas[0] ** t) for t in range(1, 7)]
    grads = {name: tf.placeholder(tf.float32, [3, 4]) for name in starts}
    factor = tf.placeholder(tf.float32, [])

    theirs = {name: tf.get_variable("theirs/" + name, initializer=v) for name, v in starts.items()}
    reference = addons.optimizers.LAMB(
        rate,
        *betas,
        epsilon=1e-12,
        weight_decay=decay,
        exclude_from_weight_decay=not_decayed,
        exclude_from_layer_adaptation=not_adapted or ["no variable"],
    )
    their_op = reference.apply_gradients([(grads[name], theirs[name]) for name in starts])

    ours = {name: tf.get_variable("ours/" + name, initializer=v) for name, v in starts.items()}
    our_ops = []
    for name, var in ours.items():
        our_rate = rate * factor if name in not_adapted else rate
        optimizer = optimization.LAMBOptimizer(
            our_rate, decay / factor, *betas, 1e-12, not_decayed, not_adapted
        )
        our_ops.append(optimizer.apply_gradients([(grads[name], var)]))

    session.run(tf.global_variables_initializer())
    session.run([v.initializer for v in reference.variables()])
    for step, (feed, factor_now) in enumerate(zip(feeds, factors)):
        values = {grads[name]: value for name, value in feed.items()}
        values[factor] = factor_now
        session.run([their_op, our_ops], values)
        for name in starts:
            expected, actual = session.run([theirs[name], ours[name]])
            assert np.abs(expected - starts[name]).max() > 1e-2
            np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6, err_msg=str(step))


SLOTS_OF_W = ("w/adam_m", "w/adam_v", "w/lamb_m", "w/lamb_v")


def loss_of_weights(inputs, looks_up):
    with tf.variable_scope("", reuse=tf.AUTO_REUSE):
        weights = tf.get_variable("w", [3, 2], initializer=tf.constant_initializer(0.5))
    if looks_up:  # repeated rows, whose gradients are clipped before they are summed
        rows = tf.cast(tf.abs(inputs) / 5, tf.int32) % 2
        return tf.reduce_mean(tf.reduce_sum(tf.square(5 * tf.gather(weights, rows) - 9.0), 1))
    return tf.reduce_mean(tf.square(tf.matmul(inputs, weights) - 1.0))


@pytest.mark.parametrize("looks_up", [False, True])
@pytest.mark.parametrize("optimizer", ["adamw", "lamb"])
def test_two_mirrored_replicas_equal_one_device(optimizer, looks_up):
    """Such large gradients are clipped by the norm of the whole batch, not of each half."""
    inputs = 5 * np.random.RandomState(0).standard_normal([8, 3]).astype(np.float32)

    def step(part):
        loss = loss_of_weights(part, looks_up)
        return optimization.create_optimizer(loss, 0.1, 10, 0, use_tpu=False, optimizer=optimizer)

    def trained(build, weights_of):
        with tf.Graph().as_default():
            train_op = build()
            settings = tf.ConfigProto(device_count={"CPU": 2}, allow_soft_placement=True)
            with tf.Session(config=settings) as session:
                session.run(tf.global_variables_initializer())
                for _ in range(3):
                    session.run(train_op)
                slots = [v for v in tf.global_variables() if v.op.name in SLOTS_OF_W]
                return session.run([weights_of(), slots]), session.run(tf.train.get_global_step())

    def on_one():
        return step(tf.constant(inputs))

    def on_two():
        strategy = tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
        halves = tf.reshape(tf.constant(inputs), [2, 4, 3])

        def replica_step():
            context = tf.distribute.get_replica_context()
            # Estimator scales a replica's loss, so that gradients sum to those of the mean loss.
            return step(halves[context.replica_id_in_sync_group])

        with strategy.scope():
            tf.train.get_or_create_global_step()
            return strategy.group(strategy.extended.call_for_each_replica(replica_step))

    def weights():
        return [v for v in tf.global_variables() if v.op.name == "w"][0]

    one, two = trained(on_one, weights), trained(on_two, weights)
    np.testing.assert_allclose(one[0][0], two[0][0], atol=1e-5)
    assert len(one[0][1]) == 2
    for expected, actual in zip(one[0][1], two[0][1]):  # weights hardly depend on the norm
        np.testing.assert_allclose(actual, expected, rtol=1e-4)
    assert one[1] == two[1] == 3
