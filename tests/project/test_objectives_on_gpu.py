"""benchmarks/objectives_on_gpu.py trains like run_pretraining.py: losses, weights, masks."""

import json
import os
import shutil
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.model.checkpoints import checkpoint_values
from albert_zh.model.config import AlbertConfig
from albert_zh.pretraining.objectives import electra, generator_settings
from crossed_cases import with_slow
from isolated_flags import flags_of
import pretraining_steps
import pretraining_workspace as small
from workspace import ROOT

torch = pytest.importorskip("torch", reason="needs PyTorch (requirements-convert.txt)")

sys.path.append(os.path.join(ROOT, "benchmarks"))

import objectives
import objectives_hand_over
import objectives_in_pytorch as in_pytorch
import objectives_on_gpu as on_gpu

RATE, STEPS, WARMUP = 1e-2, 6, 2
SPECIAL = on_gpu.Special(small.MASK, small.SEP, small.CONFIG["vocab_size"])


def settings_of(name, config=small.CONFIG, **changes):
    objective = objectives.OBJECTIVES[name]
    config = AlbertConfig.from_dict(dict(config, **objective.config))
    settings = objectives_hand_over.training_settings(
        objective,
        config,
        steps=STEPS,
        batch_size=8,
        learning_rate=RATE,
        num_warmup_steps=WARMUP,
    )
    return on_gpu.Settings(**dict(settings, **changes))


def in_tensorflow(name, num_steps):
    """(losses, {name: value}) of the package's own training steps."""
    objective = objectives.OBJECTIVES[name]
    is_electra = objective.flags.get("objective") == "electra"
    return pretraining_steps.trained(
        num_steps,
        objective.config,
        learning_rate=RATE,
        num_train_steps=STEPS,
        num_warmup_steps=WARMUP,
        optimizer="adamw",
        sentence_task=settings_of(name).has_sentences,
        span_boundary_weight=objective.flags.get("span_boundary_weight", 0.0),
        electra=generator_settings.Settings() if is_electra else None,
    )


def weights_of(values):
    """The variables that are weights, without the step and the optimizer's state."""
    return {
        name: value
        for name, value in values.items()
        if name != "global_step" and not checkpoint_values.is_training_state(name)
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    with_slow(list(objectives.OBJECTIVES), ["ELECTRA", "relative positions"]),
)
def test_steps_equal_those_of_the_command(name, monkeypatch):
    """In both implementations, ELECTRA's generator draws the most probable words."""
    monkeypatch.setattr(in_pytorch, "drawn_words", lambda logits: logits.argmax(-1))
    monkeypatch.setattr(
        electra,
        "drawn_words",
        lambda logits, *_: tf.argmax(logits, axis=-1, output_type=tf.int32)[:, None],
    )
    expected_losses, expected = in_tensorflow(name, 4)
    _, start = in_tensorflow(name, 0)
    values = {
        key: torch.from_numpy(value).requires_grad_() for key, value in weights_of(start).items()
    }
    batch = dict(small.masked_records(8))
    batch["next_sentence_labels"] = batch["next_sentence_labels"][:, 0]
    settings, optimizer = settings_of(name), in_pytorch.Optimizer(values)
    losses = []
    for step in range(4):
        loss, _ = in_pytorch.losses_of(settings)(values, on_gpu.on_device(batch, "cpu"), settings)
        loss.backward()
        optimizer.step(on_gpu.rate_of(step, settings))
        losses.append(loss.item())
    np.testing.assert_allclose(losses, expected_losses, rtol=2e-5)
    for key, value in weights_of(expected).items():
        np.testing.assert_allclose(values[key].detach().numpy(), value, atol=2e-5, err_msg=key)


@pytest.fixture
def records(tmp_path):
    """Fixture: (features that were written, `Records` that read them)."""
    features = small.unmasked_records(40)
    features["token_boundary"][:, 2] = 0
    path = small.Workspace(tmp_path).write_records("records.tfrecord", features)
    objectives_hand_over.write_records(path, str(tmp_path / "records_x.npz"))
    return features, on_gpu.Records(str(tmp_path / "records_x.npz"))


def test_records_are_handed_over_whole(records):
    features, read = records
    chosen = np.array([3, 39, 0, 17])
    found = read.features(chosen)
    assert set(found) == set(features)
    np.testing.assert_array_equal(
        found.pop("next_sentence_labels"), features["next_sentence_labels"][chosen, 0]
    )
    width = found["input_ids"].shape[1]
    assert width % 8 == 0 and width >= read.lengths[chosen].max()
    for name, values in found.items():
        np.testing.assert_array_equal(values, features[name][chosen, :width], err_msg=name)


def test_each_record_comes_once_in_an_epoch():
    lengths = np.random.RandomState(0).randint(8, 16, 40)
    batches = list(on_gpu.planned_batches(lengths, settings_of("MLM + SOP", steps=12), 1))
    assert len(batches) == 12 and {len(batch) for batch in batches} == {8}
    for epoch in (batches[:5], batches[5:10]):
        assert sorted(np.concatenate(epoch)) == list(range(40))
    assert np.concatenate(batches[:5]).tolist() != np.concatenate(batches[5:10]).tolist()
    spread = np.mean([np.ptp(lengths[batch]) for batch in batches])
    assert spread < 3  # in batches that ignore the lengths, up to 7


@pytest.mark.parametrize("name", ["MLM + SOP", "MLM + SOP + spans + SBO"])
def test_masks_are_those_of_the_objective(records, name):
    _, read = records
    job = (np.arange(40), [1, 0])
    masked = on_gpu.masked_batch(job, read, on_gpu.masking_choice(settings_of(name)), SPECIAL)
    plain = read.features(np.arange(40))["input_ids"]
    is_used = masked["masked_lm_weights"] > 0
    rows = np.broadcast_to(np.arange(40)[:, None], is_used.shape)[is_used]
    places = masked["masked_lm_positions"][is_used]
    np.testing.assert_array_equal(masked["masked_lm_ids"][is_used], plain[rows, places])
    share = is_used.sum() / (plain > 0).sum()
    assert 0.1 < share < 0.2
    shown = masked["input_ids"][rows, places]
    assert 0.7 < np.mean(shown == small.MASK) < 0.9
    unchanged = np.ones(plain.shape, bool)
    unchanged[rows, places] = False
    np.testing.assert_array_equal(masked["input_ids"][unchanged], plain[unchanged])


@pytest.mark.slow
def test_a_training_learns_and_is_not_repeated(records, tmp_path, monkeypatch):
    settings = settings_of(
        "MLM + SOP", steps=600, format="x", num_warmup_steps=60, learning_rate=1e-3
    )
    _, start = in_tensorflow("MLM + SOP", 0)
    folder = str(tmp_path / "gpu")
    (tmp_path / "gpu").mkdir()
    shutil.move(str(tmp_path / "records_x.npz"), folder)
    np.savez(on_gpu.start_file(folder, "mlm"), **weights_of(start))
    plan = {"special": SPECIAL._asdict(), "objectives": {"mlm": settings._asdict()}}
    (tmp_path / "gpu" / "plan.json").write_text(json.dumps(plan))
    with flags_of(["--output_dir=%s" % tmp_path, "--num_workers=1"], on_gpu.define_flags):
        on_gpu.main()
        monkeypatch.setattr(on_gpu, "train", None)
        on_gpu.main()
    first, *_, last = map(json.loads, (tmp_path / "gpu" / "mlm.jsonl").read_text().splitlines())
    assert last["step"] == 600 and last["sentences"] < 0.3 < 0.6 < first["sentences"]
    run = str(tmp_path / "run")
    os.makedirs(run)
    objectives_hand_over.take_back(on_gpu.trained_file(folder, "mlm"), run, 160)
    read = checkpoint_values.read_weights(os.path.join(run, "model.ckpt-160"))
    assert read.pop("global_step") == 160 and set(read) == set(weights_of(start))
