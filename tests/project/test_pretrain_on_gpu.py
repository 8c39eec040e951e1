"""scripts/pack_text.py and pretrain_on_gpu.py: packed text, batches, encoders, training runs."""

import contextlib
import itertools
import json
import os
import shutil
import signal
import sys
import threading
import time

import numpy as np
import pytest

from albert_zh.common import folder_locks
from albert_zh.common.errors import UserError
from albert_zh.corpus import reader
from albert_zh.text import tokenization
import small_models
from workspace import ROOT

torch = pytest.importorskip("torch", reason="needs PyTorch (requirements-convert.txt)")
safetensors_numpy = pytest.importorskip("safetensors.numpy")
transformers = pytest.importorskip("transformers")

sys.path.insert(0, os.path.join(ROOT, "scripts"))
from albert_zh.conversion import from_pytorch, to_pytorch
from albert_zh.conversion.pytorch import modeling_albert_zh
import pack_text
import packed_encoders
import packed_losses
import packed_text
import pretrain_on_gpu

NEWS = os.path.join(ROOT, "data", "news_sample.txt")
STARTER = os.path.join(ROOT, "albert_starter_zh")
CPU = torch.device("cpu")
PIECES = 1024


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """Fixture: path of the packed news sample, whose first lines are also the held-out text."""
    folder = tmp_path_factory.mktemp("packed")
    path = str(folder / "packed.npz")
    with open(NEWS, encoding="utf-8") as lines:
        (folder / "held_out.txt").write_text("".join(itertools.islice(lines, 60)), encoding="utf-8")
    arguments = ["--input_file=" + NEWS, "--held_out_file=%s/held_out.txt" % folder]
    arguments += ["--num_workers=1"]
    arguments += ["--vocab_file=%s/vocab.txt" % STARTER, "--output_file=" + path]
    small_models.run_command(pack_text, arguments)
    return path


@pytest.fixture(scope="module")
def text(packed):
    with contextlib.closing(packed_text.PackedText(packed, 1)) as text:
        text.place_on(CPU)
        yield text


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Fixture: folder of the starter model, converted to PyTorch."""
    folder = str(tmp_path_factory.mktemp("start") / "model")
    to_pytorch.convert(os.path.join(STARTER, "albert_model.ckpt"), folder)
    return folder


@pytest.fixture(scope="module")
def batch(text):
    return next(text.batches(0, PIECES, 0.3))


def test_all_pieces_of_the_text_are_packed_in_order(packed):
    tokenizer = tokenization.FullTokenizer(os.path.join(STARTER, "vocab.txt"), True)
    lines = [
        line
        for shard in reader.read_shards([NEWS])
        for document in shard.documents
        for line in document
    ]
    expected = [
        tokenizer.convert_tokens_to_ids(tokens) for tokens in map(tokenizer.tokenize, lines)
    ]
    with np.load(packed) as arrays:
        np.testing.assert_array_equal(arrays["pieces"], np.concatenate(expected))
        assert arrays["counts"][:, 0].sum() == sum(map(len, expected))
        similar = arrays["similar"]
    follows = similar[similar[:, 4] == 0]
    gap = np.where(  # consecutive segments touch, whichever comes first
        follows[:, 0] < follows[:, 2],
        follows[:, 2] - follows[:, 0] - follows[:, 1],
        follows[:, 0] - follows[:, 2] - follows[:, 3],
    )
    assert len(follows) > 20 and not gap.any()


def sequences(batch):
    """[(ids, segments)] of the batch, split at each [CLS]."""
    cuts = batch.starts.tolist() + [int(batch.is_shown.sum())]
    rows = list(zip(batch.ids.tolist(), batch.segments.tolist()))
    return [list(zip(*rows[first:last])) for first, last in zip(cuts, cuts[1:])]


def test_sequences_are_two_segments_of_the_text(packed, batch):
    with np.load(packed) as arrays:
        text = " %s " % " ".join(map(str, arrays["pieces"].tolist()))
    found = sequences(batch)
    assert len(found) == len(batch.labels) > 5
    for ids, segments in found:
        middle = ids.index(3)
        assert ids[0] == 2 and ids[-1] == 3 and ids.count(3) == 2
        assert segments == (0,) * (middle + 1) + (1,) * (len(ids) - middle - 1)
        for segment in (ids[1:middle], ids[middle + 1 : -1]):
            assert " %s " % " ".join(map(str, segment)) in text
    lengths = [len(ids) for ids, _ in found]
    assert sum(lengths) <= PIECES  # nothing is truncated
    positions = np.concatenate([np.arange(length) for length in lengths])
    np.testing.assert_array_equal(batch.positions[: len(positions)], positions)


def test_a_share_of_the_sequences_is_long(text):
    batches = text.batches(0, PIECES, 0.3)
    lengths = torch.cat([batch.bounds[1:-1] - batch.starts for batch in batches])
    of_long = lengths[lengths > 128].sum() / lengths.sum()
    assert lengths.max() <= 512 and 0.2 < of_long < 0.4  # not 0.3: few long pairs


def test_passes_differ_and_are_drawn_alike_again(text):
    first, again, other = (next(text.batches(number, PIECES, 0.3)).ids for number in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def padded(batch):
    """The batch for transformers: dict of int64 [n, F]."""
    found = sequences(batch)
    longest = max(len(ids) for ids, _ in found)
    rows = {"input_ids": [], "token_type_ids": [], "attention_mask": []}
    for ids, segments in found:
        rest = (0,) * (longest - len(ids))
        rows["input_ids"].append(ids + rest)
        rows["token_type_ids"].append(segments + rest)
        rows["attention_mask"].append((1,) * len(ids) + rest)
    return {name: torch.tensor(values) for name, values in rows.items()}


def test_packed_sequences_get_the_scores_of_single_ones(batch, start):
    model = modeling_albert_zh.AlbertZhForPreTraining.from_pretrained(start).eval()
    encoder = packed_encoders.AlbertZh(model.config.to_dict())
    weights = dict(model.state_dict())
    inputs = padded(batch)
    with torch.no_grad():
        expected = model(**inputs)
        rows = encoder.encode(weights, batch, batch.ids)
        words = encoder.word_logits(weights, rows)[batch.is_shown]
        pairs = encoder.pair_logits(weights, rows, batch)
    is_text = inputs["attention_mask"].bool()
    np.testing.assert_allclose(words, expected.prediction_logits[is_text], atol=2e-4)
    np.testing.assert_allclose(pairs, expected.sop_logits, atol=2e-4)


def test_the_teacher_is_an_electra(batch):
    config = transformers.ElectraConfig(
        vocab_size=8000, embedding_size=32, hidden_size=64, num_hidden_layers=2,
        num_attention_heads=2, intermediate_size=128,
    )  # fmt: skip
    encoder = packed_encoders.Electra(config.to_dict())
    torch.manual_seed(0)
    values = {name: value * 5 for name, value in encoder.start_values().items()}
    model = transformers.ElectraModel(config).eval()
    own = {n[len("electra.") :]: v for n, v in values.items() if n.startswith("electra.")}
    missing, unexpected = model.load_state_dict(own, strict=False)
    assert not missing and not unexpected
    inputs = padded(batch)
    with torch.no_grad():
        expected = model(**inputs).last_hidden_state[inputs["attention_mask"].bool()]
        rows = encoder.encode(values, batch, batch.ids)[batch.is_shown]
    np.testing.assert_allclose(rows, expected, atol=2e-4)


def test_masks_have_their_shares(text, start):
    objective = packed_losses.Objective(None, text.special_ids)
    generator = torch.Generator().manual_seed(0)
    masked = shown_as_mask = shown_as_text = total = 0
    for batch in text.batches(0, PIECES, 0.3):
        ids, places, is_chosen = objective._masked(batch, generator)
        chosen = places[is_chosen > 0]
        assert batch.is_text[chosen].all() and len(set(chosen.tolist())) == len(chosen)
        changed = torch.nonzero(ids != batch.ids)[:, 0].tolist()
        assert set(changed) <= set(chosen.tolist())
        masked += len(chosen)
        total += int(batch.is_text.sum())
        shown_as_mask += int((ids[chosen] == 4).sum())
        shown_as_text += int((ids[chosen] == batch.ids[chosen]).sum())
    assert masked / total == pytest.approx(0.15, abs=0.01)
    assert shown_as_mask / masked == pytest.approx(0.8, abs=0.03)
    assert shown_as_text / masked == pytest.approx(0.1, abs=0.03)


def run(packed, start, folder, *further):
    arguments = ["--packed_file=" + packed, "--init_model=" + start, "--output_dir=%s" % folder]
    arguments += ["--steps=6", "--num_pieces=%d" % PIECES, "--nocompile", "--num_workers=1"]
    arguments += ["--teacher_steps=2", "--teacher_layers=1", "--teacher_hidden_size=64"]
    arguments += ["--detection_from=0.5", "--learning_rate=1e-4", "--save_seconds=1"]
    small_models.run_command(pretrain_on_gpu, arguments + list(further))
    return safetensors_numpy.load_file(os.path.join(str(folder), "model.safetensors"))


@pytest.mark.slow
def test_a_training_that_was_cut_off_ends_with_the_same_weights(
    packed, start, tmp_path, monkeypatch, capsys
):
    whole = run(packed, start, tmp_path / "whole")
    assert "model, step 6: held-out masked words 0." in capsys.readouterr().out
    teacher = str(tmp_path / "whole" / "teacher" / "model.safetensors")
    notes = from_pytorch.convert(teacher, str(tmp_path / "teacher"))
    assert "electra layout" in notes[-1]
    before = safetensors_numpy.load_file(os.path.join(start, "model.safetensors"))
    assert set(whole) == set(before)
    assert all(np.abs(whole[name] - before[name]).max() > 0 for name in before)

    take_step, steps = pretrain_on_gpu.Training._step, []

    def step_or_die(self, *arguments):
        steps.append(self._name)
        if steps.count("model") == 5:
            raise KeyboardInterrupt
        self._saved_at = 0  # a state is saved after each step
        return take_step(self, *arguments)

    monkeypatch.setattr(pretrain_on_gpu.Training, "_step", step_or_die)
    with pytest.raises(KeyboardInterrupt):
        run(packed, start, tmp_path / "cut")
    assert not os.path.exists(str(tmp_path / "cut" / "model.safetensors"))
    steps[:] = []
    monkeypatch.setattr(
        pretrain_on_gpu.Training, "_step", lambda *a: steps.append(1) or take_step(*a)
    )
    resumed = run(packed, start, tmp_path / "cut")
    assert len(steps) == 2  # steps 5 and 6 of the model, none of the teacher
    for name, value in whole.items():
        np.testing.assert_array_equal(resumed[name], value)
    with pytest.raises(UserError, match="was begun with another --seed: give the same"):
        run(packed, start, tmp_path / "cut", "--seed=2")


@pytest.mark.slow
def test_a_second_training_waits_for_the_first(packed, start, tmp_path, monkeypatch, capsys):
    folder, steps = str(tmp_path / "both"), []
    take_step = pretrain_on_gpu.Training._step
    monkeypatch.setattr(
        pretrain_on_gpu.Training, "_step", lambda *a: steps.append(1) or take_step(*a)
    )
    with folder_locks.one_at_a_time(folder):
        second = threading.Thread(target=run, args=(packed, start, folder))
        second.start()
        while "waiting for it" not in capsys.readouterr().err:
            assert second.is_alive()
            time.sleep(0.1)
        assert not steps
    second.join()
    assert len(steps) == 8  # two steps of the teacher, six of the model


def test_text_shorter_than_a_step_is_refused(packed, start, tmp_path):
    text = os.path.join(os.path.dirname(packed), "held_out.txt")
    path = str(tmp_path / "short.npz")
    shutil.copy(text, str(tmp_path / "short.txt"))
    arguments = ["--held_out_file=" + text, "--num_workers=1"]
    arguments += ["--vocab_file=%s/vocab.txt" % STARTER, "--output_file=" + path]
    with pytest.raises(UserError, match="held_out.txt is also --held_out_file"):
        small_models.run_command(pack_text, arguments + ["--input_file=" + text])
    both = "--input_file=%s/short.txt,%s/*_out.txt" % (tmp_path, os.path.dirname(text))
    with pytest.raises(UserError, match="only files that .*such as .*held_out.txt"):
        small_models.run_command(pack_text, [*arguments, both])
    small_models.run_command(pack_text, [*arguments, "--input_file=%s/short.txt" % tmp_path])
    with pytest.raises(UserError, match="--num_pieces=4096: the text is shorter"):
        run(path, start, tmp_path / "out", "--num_pieces=4096")


def test_the_order_of_the_text_does_not_depend_on_the_workers(packed, tmp_path):
    with np.load(packed) as arrays:
        whole = dict(arrays)
    half = len(whole["documents"]) // 2  # split into two shards
    cut = whole["documents"][half, 0]
    pieces = whole["sentences"][cut]
    second = whole["sentences"][cut:] - pieces
    whole["sentences"] = np.concatenate([whole["sentences"][: cut + 1], second])
    whole["documents"][half:] -= cut
    rest = [len(whole["pieces"]) - pieces, len(second), len(whole["documents"]) - half]
    whole["counts"] = np.array([[pieces, cut + 1, half], rest])
    np.savez(str(tmp_path / "two.npz"), **whole)
    found = []
    for num_workers in (1, 2):
        text = packed_text.PackedText(str(tmp_path / "two.npz"), num_workers)
        with contextlib.closing(text):
            text.place_on(CPU)
            found.append(torch.cat([batch.ids for batch in text.batches(3, PIECES, 0.1)]))
    assert torch.equal(*found)


@pytest.mark.slow
def test_a_trained_model_can_be_trained_on(packed, start, tmp_path):
    run(packed, start, tmp_path / "first", "--steps=1", "--teacher_steps=0")
    run(packed, str(tmp_path / "first"), tmp_path / "second", "--steps=1", "--teacher_steps=0")
    assert sorted(os.listdir(str(tmp_path / "second"))) == sorted(os.listdir(start) + ["model"])


def test_files_of_other_kinds_are_refused(packed, start, tmp_path):
    (tmp_path / "empty.txt").write_text("")
    arguments = ["--input_file=" + NEWS, "--held_out_file=%s/empty.txt" % tmp_path]
    arguments += ["--vocab_file=%s/vocab.txt" % STARTER, "--output_file=%s/x.npz" % tmp_path]
    with pytest.raises(UserError, match="--held_out_file=.*empty.txt: no pairs in it"):
        small_models.run_command(pack_text, arguments)
    with pytest.raises(
        UserError, match="--packed_file=.*: not a complete file of scripts/pack_text.py"
    ):
        run(NEWS, start, tmp_path / "out")
    with pytest.raises(UserError, match="--packed_file=.*gone.npz: "):
        run(str(tmp_path / "gone.npz"), start, tmp_path / "out")
    with pytest.raises(UserError, match="config.json.*convert_albert_tf_checkpoint_to_pytorch.py"):
        run(packed, STARTER, tmp_path / "out")


def _end_from_outside(shard, **_):
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_killed_ends_the_packing(tmp_path, monkeypatch):
    """Regression: if a worker was killed (out of memory, say), the command waited forever."""
    monkeypatch.setattr(pack_text, "_pack_shard", _end_from_outside)
    arguments = ["--input_file=" + NEWS, "--held_out_file=" + str(tmp_path / "held_out.txt")]
    arguments += ["--vocab_file=%s/vocab.txt" % STARTER, "--output_file=%s/x.npz" % tmp_path]
    shutil.copy(NEWS, str(tmp_path / "held_out.txt"))
    with pytest.raises(UserError, match="killed, usually.*fewer than --num_workers=2"):
        small_models.run_command(pack_text, arguments + ["--num_workers=2"])
    assert not os.path.exists(str(tmp_path / "x.npz"))


def test_models_that_cannot_be_trained_are_refused(packed, start, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(start, str(other))
    (other / "vocab.txt").write_text("[PAD]\n")
    with pytest.raises(UserError, match="packed with another vocabulary, of 8000 entries"):
        run(packed, str(other), tmp_path / "out")
    config = json.loads((other / "config.json").read_text())
    for key, value in (("ln_type", "preln"), ("hidden_act", "relu"), ("num_attention_heads", 5)):
        (other / "config.json").write_text(json.dumps(dict(config, **{key: value})))
        with pytest.raises(UserError, match=key):
            run(packed, str(other), tmp_path / "out")
    with pytest.raises(UserError, match="--teacher_hidden_size=100: expected a multiple of 64"):
        run(packed, start, tmp_path / "out", "--teacher_hidden_size=100")
    with pytest.raises(UserError, match="no GPU; on a CPU --num_pieces is at most 4096"):
        run(packed, start, tmp_path / "out", "--num_pieces=65536")
