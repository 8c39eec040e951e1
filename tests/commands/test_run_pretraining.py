"""Tests of run_pretraining.py as users run it: training, resuming, evaluation, export, errors."""

import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import types
from unittest import mock

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.common import files
from albert_zh.common.errors import UserError
from albert_zh.corpus import masking, tfrecords
from albert_zh.model import modeling
from albert_zh.model.checkpoints import checkpoint_files, checkpoint_values, expected_variables
from albert_zh.pretraining import flags as pretraining_flags
from albert_zh.pretraining import record_files, record_sources
from albert_zh.pretraining import runner as pretraining_runner
from albert_zh.text import tokenization
from albert_zh.training import engine, metrics_log
from albert_zh.training.hooks import StopRequest
from crossed_cases import with_slow
from estimators import needs_estimators
from isolated_flags import flags_of
import pretraining_workspace as small
from sentencepiece_models import train_sentencepiece
import workspace
from workspace import assert_same_weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Creates a workspace with masked, unmasked and held-out records."""
    workspace = small.Workspace(tmp_path_factory.mktemp("pretraining"))
    workspace.masked = workspace.write_records("masked.tfrecord", small.masked_records(64))
    workspace.unmasked = workspace.write_records("unmasked.tfrecord", small.unmasked_records(64))
    workspace.held_out = workspace.write_records(
        "held_out.tfrecord", small.masked_records(16, first=64)
    )
    return workspace


@pytest.fixture(scope="module")
def run(folder):
    """Returns the output folder of a run of 20 steps with evaluation and export."""
    output = os.path.join(folder.folder, "run")
    small.run_here(
        folder.arguments(
            input_file=folder.masked,
            eval_file=folder.held_out,
            output_dir=output,
            num_train_steps=20,
            save_checkpoints_steps=10,
            do_eval=True,
            export_dir=os.path.join(folder.folder, "exported"),
        )
    )
    return output


def variables_of(output):
    """Returns {name: value} of all variables of a folder's newest checkpoint."""
    reader = tf.train.load_checkpoint(output)
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def lines_of(capsys):
    return capsys.readouterr().out.splitlines()


def test_results_have_the_originals_names(run):
    with open(os.path.join(run, "eval_results.txt"), encoding="utf-8") as handle:
        names = [line.split(" = ")[0] for line in handle]
    assert names == [
        "global_step",
        "loss",
        "masked_lm_accuracy",
        "masked_lm_loss",
        "next_sentence_accuracy",
        "next_sentence_loss",
    ]
    slots = [name for name in variables_of(run) if name.endswith("/lamb_m")]
    assert "bert/embeddings/word_embeddings/lamb_m" in slots


def test_curves_and_metrics_are_recorded(run):
    records = metrics_log.Metrics.read(run, 20)
    losses = [record["loss"] for record in records if "learning_rate" in record]
    assert len(losses) == 20 and losses[-1] < losses[0]
    evaluations = [record["step"] for record in records if "dev_masked_lm_accuracy" in record]
    assert evaluations == [10, 20]  # the last one once, although eval_results.txt has it, too
    with open(os.path.join(run, "learning_curve.png"), "rb") as handle:
        assert handle.read(8) == b"\x89PNG\r\n\x1a\n"


def test_export_is_a_model_folder_without_slots(run, folder):
    exported = os.path.join(folder.folder, "exported")
    assert {"albert_config_small.json", "vocab.txt", "checkpoint"} <= set(os.listdir(exported))
    prefix = checkpoint_files.find_checkpoint(exported)
    values = variables_of(run)
    for name, shape in tf.train.list_variables(prefix):
        assert "lamb" not in name
        assert list(values[name].shape) == shape
    expected_variables.check_fits(os.path.join(exported, "albert_config_small.json"), exported)


@pytest.mark.slow
def test_two_replicas_give_the_weights_of_one_device(run, folder, monkeypatch):
    monkeypatch.setattr(
        pretraining_runner, "_EXPLOSION_FACTOR", 1.5
    )  # a doubled loss would count as diverged
    output = os.path.join(folder.folder, "mirrored")
    small.run_here(
        folder.arguments(
            input_file=folder.masked,
            output_dir=output,
            num_train_steps=20,
            save_checkpoints_steps=10,
            distribution="mirrored",
            devices="/cpu:0,/cpu:1",
        )
    )
    assert_same_weights(variables_of(run), variables_of(output), atol=1e-5)
    one, two = (
        [record for record in metrics_log.Metrics.read(path, 20) if "gradient_norm" in record]
        for path in (run, output)
    )
    assert len(one) == len(two) == 20
    for expected, actual in zip(one, two):
        assert actual == pytest.approx(expected, rel=1e-3, abs=1e-4)


# Two CPUs that reduce as GPUs do: each runs a separate op, which waits for the other one's.
_TRAIN_AS_ON_GPUS = """
import sys
import tensorflow.compat.v1 as tf
from tensorflow.python.distribute import collective_util, cross_device_ops, cross_device_utils
import pretraining_workspace as small
from albert_zh.training import engine

def make_strategy(options):
    with tf.Graph().as_default():
        strategy = tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
    strategy.extended._cross_device_ops = cross_device_ops.CollectiveAllReduce(
        devices=strategy.extended._devices,
        group_size=2,
        options=collective_util.Options(
            implementation=collective_util.CommunicationImplementation.RING
        ),
        collective_keys=cross_device_utils.CollectiveKeys(),
    )
    return strategy

engine.make_strategy = make_strategy
small.run_here(sys.argv[1:])
"""


@pytest.mark.skipif(tf.__version__.startswith("1."), reason="adds up GPUs' values by other ops")
@pytest.mark.slow
def test_replicas_that_wait_for_one_another_end(folder):
    arguments = folder.arguments(
        input_file=folder.masked,
        output_dir=os.path.join(folder.folder, "waiting"),
        num_train_steps=2,
        num_warmup_steps=0,
        distribution="mirrored",
        devices="/cpu:0,/cpu:1",
    )
    command = [sys.executable, "-c", _TRAIN_AS_ON_GPUS] + arguments
    paths = os.pathsep.join([workspace.ROOT, os.path.dirname(small.__file__)])
    done = subprocess.run(
        command, env=dict(os.environ, PYTHONPATH=paths), timeout=200, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "step 2 of 2" in done.stdout + done.stderr


def test_workers_drop_positions_of_their_own():
    """Each worker is the only replica of its machine, in the same name scope."""

    def dropped(replica):
        context = types.SimpleNamespace(replica_id_in_sync_group=replica)
        with tf.Graph().as_default(), tf.Session() as session:
            tf.set_random_seed(1)
            tf.train.get_or_create_global_step()
            with mock.patch.object(tf.distribute, "has_strategy", lambda: True), mock.patch.object(
                tf.distribute, "get_replica_context", lambda: context
            ):
                kept = modeling.dropout(tf.ones([99]), 0.5)
            session.run(tf.global_variables_initializer())
            return session.run(kept)

    assert (dropped(0) != dropped(1)).any()
    assert (dropped(1) == dropped(1)).all()


@pytest.mark.slow
def test_a_run_goes_on_from_its_own_start(folder, run, capsys):
    """A run stopped before step 1 resumes without --init_checkpoint; other starts are refused."""
    output = os.path.join(folder.folder, "started")
    common = {"input_file": folder.masked, "output_dir": output}
    small.run_here(folder.arguments(init_checkpoint=run, num_train_steps=4, **common))
    for path in glob.glob(os.path.join(output, "model.ckpt-4*")):
        os.remove(path)  # as after killing a run with only step 0 saved
    with open(os.path.join(output, "checkpoint"), "w", encoding="utf-8") as handle:
        handle.write('model_checkpoint_path: "model.ckpt-0"\n')
    capsys.readouterr()
    way_out = ".*, or leave --init_checkpoint out: the run then continues from its own weights"
    for start, message in (
        (folder.folder + "/exported", "did not start from the weights of --init_checkpoint="),
        ("moved", "no checkpoint moved"),
    ):
        with pytest.raises(UserError, match=message + way_out):
            small.run_here(folder.arguments(init_checkpoint=start, **common))
    small.run_here(folder.arguments(num_train_steps=1, num_warmup_steps=0, **common))
    assert "start from" not in capsys.readouterr().out
    begun = os.path.join(folder.folder, "begun")
    small.run_here(folder.arguments(input_file=folder.masked, output_dir=begun, num_train_steps=4))
    with pytest.raises(UserError, match="contains a run that did not start from the weights of"):
        small.run_here(
            folder.arguments(input_file=folder.masked, output_dir=begun, init_checkpoint=run)
        )


def test_other_records_are_another_run(folder, run):
    longer = dict(small.masked_records(64), more=np.zeros([64, 1], np.int64))
    other = folder.write_records("other.tfrecord", longer)
    for path, word in ((other, "bytes of records"), (folder.unmasked, "another (bytes|masking)")):
        with pytest.raises(UserError, match=word):
            small.run_here(folder.arguments(input_file=path, output_dir=run, num_train_steps=20))


@pytest.mark.slow
def test_files_of_records_in_another_order_are_another_run(folder, capsys):
    """The files have equal sizes, and the progress of a run is a position in their order."""
    names = [folder.write_records(name, small.masked_records(32)) for name in ("a.tf", "b.tf")]
    output = os.path.join(folder.folder, "in_order")
    common = {"output_dir": output, "num_warmup_steps": 0, "eval_file": names[0]}
    common["export_dir"] = os.path.join(folder.folder, "no_vocabulary")
    common["bert_config_file"] = folder.write("alone/albert_config.json", json.dumps(small.CONFIG))
    small.run_here(folder.arguments(input_file=",".join(names), num_train_steps=1, **common))
    out = capsys.readouterr().out
    assert "note: --eval_file has no effect without --do_eval=true" in out
    assert "no_vocabulary will have no vocabulary, without which no command can load it" in out
    with pytest.raises(UserError, match="contains a run with another files of records"):
        small.run_here(
            folder.arguments(input_file=",".join(names[::-1]), num_train_steps=2, **common)
        )


def test_a_tpu_evaluates_full_batches(folder):
    source = types.SimpleNamespace(num_records=16, is_static=True)
    arguments = folder.arguments(input_file=folder.masked, eval_batch_size=64)
    with flags_of(arguments, pretraining_flags.define_flags), pytest.raises(
        UserError, match="--eval_batch_size=64: a TPU .* 16 records"
    ):
        record_sources.num_eval_steps(pretraining_flags.FLAGS, source)


def _worker_environments(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    workers = ["127.0.0.1:%d" % one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    for index in range(count):
        config = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
        yield dict(os.environ, TF_CONFIG=json.dumps(config))


@pytest.mark.slow
def test_two_workers_give_the_weights_of_one_device(folder):
    alone, output = (os.path.join(folder.folder, name) for name in ("alone", "workers"))
    settings = {"input_file": folder.masked, "num_train_steps": 20, "save_checkpoints_steps": 10}
    small.run_here(folder.arguments(output_dir=alone, input_lanes=2, **settings))
    arguments = folder.arguments(output_dir=output, distribution="multi_worker", **settings)
    workers = [small.run_process(arguments, env=env) for env in _worker_environments(2)]
    outputs = [worker.communicate(timeout=300)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], outputs
    assert_same_weights(variables_of(alone), variables_of(output), atol=1e-5)


POD = {"num_train_steps": 50, "save_checkpoints_steps": 10}


@pytest.fixture(name="alone", scope="module")
def alone_fixture(folder):
    """Returns the output folder of a one-device run that a pod of four hosts must reproduce."""
    output = os.path.join(folder.folder, "alone_of_4")
    small.run_here(
        folder.arguments(input_file=folder.masked, output_dir=output, input_lanes=4, **POD)
    )
    return output


def _start_pod(arguments, num_devices):
    words = [str(num_devices)] + arguments
    program = "tests/support/logical_devices.py"
    return [small.run_process(words, program, env=env) for env in _worker_environments(4)]


@pytest.mark.slow
@pytest.mark.parametrize("num_devices", [1, pytest.param(2, marks=pytest.mark.newest)])
def test_a_pod_killed_and_resumed_gives_the_weights_of_one_device(folder, alone, num_devices):
    """Four workers with one or two devices each share one folder, like the hosts of a pod."""
    output = os.path.join(folder.folder, "pod_of_%d" % num_devices)
    arguments = folder.arguments(
        input_file=folder.masked, output_dir=output, distribution="multi_worker", **POD
    )
    workers = _start_pod(arguments, num_devices)
    while checkpoint_files.checkpoints_of_training(output)[-1:] < [output + "/model.ckpt-20"]:
        assert all(worker.poll() is None for worker in workers)
        time.sleep(0.1)
    for worker in workers:  # as if all machines were preempted at once
        worker.kill()
    for worker in workers:
        worker.communicate()
    assert checkpoint_files.checkpoints_of_training(output)[-1] < output + "/model.ckpt-50"
    workers = _start_pod(arguments, num_devices)
    outputs = [worker.communicate(timeout=500)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0] * 4, outputs
    assert "continuing from step" in outputs[0]
    assert_same_weights(variables_of(alone), variables_of(output), atol=1e-5)


OBJECTIVES = {
    "replaced": {"replaced_token_weight": 2.0, "warm_start": True},
    "electra": {"objective": "electra", "generator_hidden_size": 0.5},
    "original_masks": {"objective": "electra", "original_masks": True},
    "spans": {"span_boundary_weight": 1.0, "span": True, "sentence_task": False},
    "unilm": {"objective": "unilm"},
}


@pytest.mark.parametrize(
    "objective",
    [
        pytest.param("replaced", marks=pytest.mark.slow),
        pytest.param("electra", marks=[pytest.mark.newest, pytest.mark.slow]),
        pytest.param("original_masks", marks=[pytest.mark.newest, pytest.mark.slow]),
        pytest.param("spans", marks=[pytest.mark.newest, pytest.mark.slow]),
        pytest.param("unilm", marks=[pytest.mark.newest, pytest.mark.slow]),
    ],
)
def test_a_killed_run_goes_on_as_if_nothing_had_happened(folder, objective):
    """Weights, slots, order of the data and masks are restored: all values are bit-identical."""
    arguments = {
        "input_file": folder.unmasked,
        "num_train_steps": 40,
        "save_checkpoints_steps": 10,
        "optimizer": "adamw",
    }
    arguments.update(OBJECTIVES[objective])
    straight, killed = (
        os.path.join(folder.folder, objective, name) for name in ("straight", "killed")
    )
    small.run_here(folder.arguments(output_dir=straight, **arguments))
    process = small.run_process(folder.arguments(output_dir=killed, **arguments))
    while process.poll() is None and checkpoint_files.newest_of_training(killed) is None:
        time.sleep(0.02)
    while process.poll() is None and not checkpoint_files.newest_of_training(killed).endswith(
        "-10"
    ):
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    small.run_here(folder.arguments(output_dir=killed, **arguments))
    assert_same_weights(variables_of(straight), variables_of(killed))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, ffn_groups, shape",
    [
        ("google", None, (16, 32)),
        ("google_fast", 16, (1, 2, 16)),
    ],
)
def test_google_commands_keep_flags_defaults_and_metrics(folder, name, ffn_groups, shape):
    config = folder.write(
        "model_google/albert_config.json", json.dumps(dict(small.CONFIG, num_hidden_groups=2))
    )
    output, exported = (os.path.join(folder.folder, name + end) for end in ("", "_export"))
    left_out = "bert_config_file learning_rate save_checkpoints_steps do_train".split()
    arguments = folder.arguments(
        albert_config_file=config,
        input_file=folder.masked,
        output_dir=output,
        export_dir=exported,
        num_train_steps=4,
        num_warmup_steps=1,
        do_eval=True,
        init_from_group0=False,
        masked_lm_budget=0,
        **dict.fromkeys(left_out),
    )
    process = small.run_process(arguments, "run_pretraining_%s.py" % name)
    shown, _ = process.communicate(timeout=300)
    assert process.returncode == 0, shown
    with open(os.path.join(output, "eval_results.txt"), encoding="utf-8") as handle:
        assert "sentence_order_accuracy = " in handle.read()
    shapes = {name: value.shape for name, value in variables_of(output).items()}
    kernel = "bert/encoder/transformer/group_1/inner_group_0/ffn_1/intermediate/dense/kernel"
    assert shapes[kernel] == shape and kernel + "/adam_m" in shapes
    exported_config = files.read_json(os.path.join(exported, "albert_config.json"))
    assert exported_config.get("ffn_groups") == ffn_groups


WORD_TRIPLES = (1.0, 1 / 2.0, 1 / 3.0)  # Google's default: whole words, up to three in a row


@pytest.mark.parametrize(
    "define_flags, arguments, expected",
    [
        (pretraining_flags.define_flags, [], (0.15, 20, masking.WHOLE_WORDS, False)),
        (
            pretraining_flags.define_flags,
            ["--masked_lm_prob=0.3", "--max_predictions_per_seq=7", "--do_whole_word_mask"],
            (0.3, 7, masking.WHOLE_WORDS, True),
        ),
        (pretraining_flags.define_flags, ["--ngram=2"], (0.15, 20, WORD_TRIPLES[:2], False)),
        (
            pretraining_flags.define_flags,
            ["--span", "--masked_lm_prob=0.3", "--masked_lm_budget=0.2"],
            (0.2, 20, masking.span_weights(), False),
        ),
        (pretraining_flags.define_google_flags, [], (0.15, 20, WORD_TRIPLES, True)),
    ],
)
def test_flags_choose_how_unmasked_records_are_masked(define_flags, arguments, expected):
    with flags_of(arguments, define_flags):
        choice = record_sources.masking_choice(pretraining_flags.FLAGS)
    assert choice == masking.MaskingChoice(*expected, permute=False)


def test_the_most_pieces_are_shown_beside_their_share():
    """Regression: 15 % was shown for sequences of 512, although 20 pieces are at most 4 %."""
    choice = masking.MaskingChoice(0.15, 20, WORD_TRIPLES, True, permute=False)
    shown = record_sources.described_masking(choice)
    assert "15 % of the pieces, at most 20 of a sequence, whole words" in shown


@pytest.mark.parametrize(
    "arguments, named",
    [
        (["--do_whole_word_mask", "--ngram=3"], ""),
        (["--do_whole_word_mask=false", "--ngram=1"], "--ngram or --span, --do_whole_word_mask"),
        (
            ["--do_whole_word_mask", "--ngram=3", "--replacement_method=span"],
            "--replacement_method",
        ),
    ],
)
def test_an_evaluation_with_other_masks_is_noted(arguments, named, capsys, monkeypatch):
    """Regression: single pieces, which are easier, were evaluated after training on whole words."""
    learnt = masking.MaskingChoice(0.15, 20, WORD_TRIPLES, True, permute=False)
    fixed = {
        "masking": record_sources.masking_settings(learnt),
        "replacement_method": "word_piece",
    }
    if not named:
        del fixed["replacement_method"]  # as in a run that began before the flag existed
    former = {"fixed": fixed, "variable": {}}
    monkeypatch.setattr(record_sources.run_folder, "former_settings", lambda folder: former)
    with flags_of(["--output_dir=out"] + arguments, pretraining_flags.define_flags):
        options = pretraining_flags.FLAGS
        for choice in (record_sources.masking_choice(options), None):
            source = types.SimpleNamespace(masking=choice)
            record_sources.say_other_masks(options, source)
    notes = [line for line in lines_of(capsys) if line.startswith("note: ")]
    start = "note: out was trained with other masks: give %s as in training" % named
    assert [note.startswith(start) for note in notes] == [True] * bool(named)


@pytest.mark.slow
def test_init_from_group0_starts_all_groups_from_the_first(folder, run):
    config = dict(small.CONFIG, num_hidden_groups=1)
    one = folder.write("group0/albert_config_one.json", json.dumps(config))
    two = folder.write(
        "group0/albert_config_two.json", json.dumps(dict(config, num_hidden_groups=2))
    )
    common = {"input_file": folder.masked, "num_train_steps": 2, "num_warmup_steps": 1}
    outputs = [os.path.join(folder.folder, "group0", name) for name in ("one", "two")]
    small.run_here(folder.arguments(bert_config_file=one, output_dir=outputs[0], **common))
    small.run_here(
        folder.arguments(
            bert_config_file=two,
            output_dir=outputs[1],
            init_checkpoint=outputs[0],
            init_from_group0=True,
            **common,
        )
    )
    source = variables_of(outputs[0])
    reader = tf.train.load_checkpoint(os.path.join(outputs[1], "model.ckpt-0"))
    name = "bert/encoder/transformer/group_%d/inner_group_0/attention_1/self/query/kernel"
    for group in (0, 1):
        np.testing.assert_array_equal(reader.get_tensor(name % group), source[name % 0])


@pytest.mark.slow
def test_the_rate_fits_the_batch_where_none_is_given(folder, capsys):
    for name, flags_of_rate, expected in (
        ("rate_left_out", {"learning_rate": None}, "learning rate 7.78e-05: 0.00176 at a batch"),
        ("rate_too_high", {"learning_rate": 0.00176}, "warning: --learning_rate=0.00176 is known"),
    ):
        small.run_here(
            folder.arguments(
                input_file=folder.masked,
                output_dir=os.path.join(folder.folder, name),
                num_train_steps=1,
                num_warmup_steps=0,
                **flags_of_rate,
            )
        )
        assert any(line.startswith(expected) for line in lines_of(capsys))


def test_flags_reach_the_model_and_the_session(folder):
    model = {"poly_power": 2.0, "start_warmup_step": 3, "gradient_accumulation_steps": 4}
    arguments = folder.arguments(
        input_file=folder.masked,
        output_dir=os.path.join(folder.folder, "flags"),
        num_threads=2,
        **model,
    )
    with flags_of(arguments, pretraining_flags.define_flags):
        job = pretraining_runner.Pretraining(pretraining_flags.FLAGS, "next_sentence")
        settings = job._model_settings()
    assert {name: getattr(settings, name) for name in model} == model
    assert job._engine.config.session_config.intra_op_parallelism_threads == 2


@needs_estimators
def test_flags_reach_the_configuration_of_a_tpu(folder):
    arguments = folder.arguments(input_file=folder.masked, iterations_per_loop=7)
    with flags_of(arguments, pretraining_flags.define_flags):
        config = engine.make_tpu_config(pretraining_flags.FLAGS, 10)
    assert (config.save_checkpoints_steps, config.tpu_config.iterations_per_loop) == (10, 7)


def test_an_evaluation_has_no_more_steps_than_asked_for(run, folder):
    """Four batches exist, but only three are evaluated."""
    output = os.path.join(folder.folder, "evaluated")
    shutil.copytree(run, output)
    arguments = folder.arguments(
        input_file=folder.held_out,
        output_dir=output,
        do_train=None,
        do_eval=True,
        eval_batch_size=4,
        max_eval_steps=3,
    )
    with flags_of(arguments, pretraining_flags.define_flags), StopRequest() as stop:
        job = pretraining_runner.Pretraining(pretraining_flags.FLAGS, "next_sentence")
        evaluate = job._engine.evaluate
        with mock.patch.object(job._engine, "evaluate", wraps=evaluate) as spy:
            job.evaluate_newest(stop)
    assert [call[1]["steps"] for call in spy.call_args_list] == [3]


@pytest.mark.slow
@pytest.mark.newest
def test_electra_is_measured_and_leaves_a_model_without_a_generator(folder):
    output, model = (os.path.join(folder.folder, "electra", name) for name in ("run", "model"))
    arguments = {
        "input_file": folder.masked,
        "eval_file": folder.held_out,
        "do_eval": True,
        "num_train_steps": 4,
        "save_checkpoints_steps": 4,
        "export_dir": model,
    }
    small.run_here(folder.arguments(output_dir=output, **dict(arguments, **OBJECTIVES["electra"])))
    with open(os.path.join(output, "eval_results.txt")) as handle:
        results = dict(line.strip().split(" = ") for line in handle)
    assert {name for name in results if name not in ("global_step", "loss")} == {
        "masked_lm_accuracy",
        "masked_lm_loss",
        *["replaced_token_" + name for name in "accuracy auc loss precision recall".split()],
    }
    assert 0 < float(results["replaced_token_auc"]) < 1
    names = [name for name, _ in tf.train.list_variables(os.path.join(model, "albert_model.ckpt"))]
    assert "bert/pooler/dense/kernel" in names
    assert not [name for name in names if name.startswith(("generator", "discriminator"))]
    with open(os.path.join(output, "metrics.jsonl")) as handle:
        assert "replaced_token_accuracy" in handle.read()
    with pytest.raises(UserError, match="another run|another objective"):
        small.run_here(folder.arguments(output_dir=output, input_file=folder.masked))
    evaluated = folder.arguments(
        output_dir=output, input_file=folder.masked, do_train=False, do_eval=True
    )
    with pytest.raises(UserError, match="have no .*cls/.* it was trained with --objective=electra"):
        small.run_here(evaluated)
    halved = folder.arguments(
        output_dir=output,
        input_file=folder.masked,
        do_train=False,
        do_eval=True,
        **dict(OBJECTIVES["electra"], generator_layers=0.5),
    )
    for arguments in (halved, halved + ["--eval_timeout=2"]):
        with pytest.raises(
            UserError, match="with another generator, trained with --generator_layers=1.0"
        ):
            small.run_here(arguments)


@pytest.mark.slow
@pytest.mark.newest
def test_each_pattern_of_unilm_is_measured(folder, capfd):
    output = os.path.join(folder.folder, "unilm", "run")
    arguments = {
        "input_file": folder.unmasked,
        "eval_file": folder.held_out,
        "do_eval": True,
        "num_train_steps": 4,
        "objective": "unilm",
    }
    small.run_here(folder.arguments(output_dir=output, **arguments))
    with open(os.path.join(output, "eval_results.txt")) as handle:
        results = dict(line.strip().split(" = ") for line in handle)
    tasks = "masked_lm next_sentence bidirectional left_to_right right_to_left".split()
    expected = {task + end for task in tasks for end in ("_accuracy", "_loss")}
    expected |= {"sequence_to_sequence_accuracy", "sequence_to_sequence_loss"}
    assert set(results) - {"global_step", "loss"} == expected
    losses = {name: float(results[name + "_loss"]) for name in tasks + ["sequence_to_sequence"]}
    of_patterns = [losses[name] for name in list(losses) if name not in tasks[:2]]
    assert min(of_patterns) <= losses["masked_lm"] <= max(of_patterns)
    assert "with that flag each attention pattern is" not in capfd.readouterr().out
    arguments.update(do_train=False, objective="masked_lm")
    for waits in ({}, {"eval_timeout": 2}):
        small.run_here(folder.arguments(output_dir=output, **arguments, **waits))
        assert capfd.readouterr().out.count("was trained with --objective=unilm, but") == 1


# Mistake -> (changed flags, words of the message).
MISTAKES = {
    "no electra": ({"disc_weight": 20}, "--disc_weight needs --objective=electra"),
    "temperature": (
        {"objective": "electra", "generator_temperature": 0},
        "--generator_temperature=0: expected a number above 0",
    ),
    "no separate generator": (
        {"objective": "electra", "untied_generator": False, "generator_layers": 0.5},
        "--generator_layers is for a separate generator: leave it or --untied_generator=false out",
    ),
    "nothing detected": (
        {"objective": "electra", "disc_weight": 0},
        "--disc_weight=0: only masked words are learned: add --untied_generator=false",
    ),
    "spans of electra": (
        {"objective": "electra", "span_boundary_weight": 1},
        "--span_boundary_weight and --objective=electra are mutually exclusive",
    ),
    "spans of unilm": (
        {"objective": "unilm", "span_boundary_weight": 1},
        "--span_boundary_weight and --objective=unilm are mutually exclusive",
    ),
    "replaced pieces of unilm": (
        {"objective": "unilm", "replaced_token_weight": 1},
        "--replaced_token_weight and --objective=unilm are mutually exclusive",
    ),
    "masks of no electra": ({"original_masks": True}, "--original_masks needs --objective=electra"),
    "no generator": (
        {"objective": "electra", "generator_hidden_size": 4},
        "--generator_hidden_size=4: expected a share of the model's, above 0 and up to 1",
    ),
    "no_input": ({"input_file": None}, "--input_file is required"),
    "no_file": ({"input_file": "nowhere/*.tfrecord"}, "no such file"),
    "length": ({"max_seq_length": 32}, "record 1: input_ids has 16 values, expected "),
    "too_long": ({"max_seq_length": 64}, "--max_seq_length=64: expected at most"),
    "predictions": ({"max_predictions_per_seq": 4}, "masked_lm_positions has 3 values"),
    "nothing_to_do": ({"do_train": None}, "nothing to do"),
    "parts": ({"gradient_accumulation_steps": 3}, "is not a multiple of"),
    "warmup": ({"num_warmup_steps": 8}, "--num_warmup_steps=8: expected 0 or more and less"),
    "negative warmup": ({"num_warmup_steps": -5}, "--num_warmup_steps=-5: expected 0 or more"),
    "two_ways": (
        {"span": True, "ngram": 3},
        "--span and --ngram are mutually exclusive: leave",
    ),
    "share": ({"masked_lm_prob": 15}, "--masked_lm_prob=15: expected a share from 0 to 1"),
    "budget": ({"masked_lm_budget": -1}, "--masked_lm_budget=-1.0: expected a number, 0 or more"),
    "weight": ({"replaced_token_weight": -1}, "--replaced_token_weight=-1.0: expected a number"),
    "no_cluster": ({"distribution": "multi_worker"}, "TF_CONFIG has no cluster"),
    "two_starts": ({"warm_start": True, "init_checkpoint": "x"}, "give one of them"),
    "one_folder": ({"export_dir": "{output}/"}, "is the --output_dir, whose checkpoints"),
    "no_groups": ({"init_from_group0": True}, "--init_from_group0 spreads the groups of --init_"),
    "no_checkpoint": ({"do_train": None, "export_dir": "e"}, "contains no checkpoint to export"),
}


@pytest.mark.parametrize("name", sorted(MISTAKES))
def test_mistakes_are_one_clear_line(folder, name):
    changes, words = MISTAKES[name]
    arguments = dict({"input_file": folder.masked}, **changes)
    output = os.path.join(folder.folder, "mistakes", name)
    if "export_dir" in arguments:
        arguments["export_dir"] = arguments["export_dir"].format(output=output)
    with pytest.raises(UserError, match=words) as caught:
        small.run_here(folder.arguments(output_dir=output, **arguments))
    assert "\n" not in str(caught.value)


def test_weights_that_no_training_starts_from_are_noted(folder, capsys):
    output = os.path.join(folder.folder, "in_vain")
    changes = {"do_train": None, "export_dir": output + "_e", "init_checkpoint": "x"}
    with pytest.raises(UserError, match="contains no checkpoint to export"):
        small.run_here(folder.arguments(input_file=folder.masked, output_dir=output, **changes))
    assert "note: --init_checkpoint has no effect without --do_train" in capsys.readouterr().out


def test_unmasked_records_need_a_vocabulary(folder):
    config = folder.write("alone/albert_config.json", json.dumps(small.CONFIG))
    with pytest.raises(UserError, match="--vocab_file is required"):
        small.run_here(
            folder.arguments(
                input_file=folder.unmasked,
                bert_config_file=config,
                output_dir=os.path.join(folder.folder, "alone_out"),
            )
        )


def test_another_models_folder_is_refused(run, folder):
    config = folder.write(
        "other/albert_config.json", json.dumps(dict(small.CONFIG, hidden_size=32))
    )
    shutil.copy(folder.vocab, os.path.dirname(config))
    with pytest.raises(UserError, match="contains a run with another config"):
        small.run_here(
            folder.arguments(input_file=folder.masked, bert_config_file=config, output_dir=run)
        )


def _damaged(folder, name, change):
    features = small.masked_records(20)
    framed = tfrecords.frame_records(tfrecords.encode_examples(features))
    return folder.write(name, b"".join(change(framed)))


def _with_bad_byte(framed):
    record = bytearray(framed[6])
    record[40] ^= 0xFF
    return framed[:6] + [bytes(record)] + framed[7:]


@pytest.mark.slow
def test_damaged_records_are_named_or_left_out(folder, capsys):
    cut = _damaged(folder, "cut", lambda framed: [b"".join(framed)[:-30]])
    damaged = _damaged(folder, "damaged", _with_bad_byte)
    for path, words in (
        (cut, "cut, record 20 is truncated"),
        (damaged, "damaged, record 7 is dam"),
    ):
        with pytest.raises(UserError, match=words):
            small.run_here(
                folder.arguments(input_file=path, output_dir=path + "_out", pack_by_length=False)
            )
    small.run_here(
        folder.arguments(
            input_file="%s,%s" % (cut, damaged),
            output_dir=os.path.join(folder.folder, "skipping"),
            skip_corrupt_records=True,
            num_train_steps=4,
        )
    )
    lines = lines_of(capsys)
    assert any("1 damaged records were skipped" in line for line in lines)
    assert any(line.startswith("training: 38 records in 2 files") for line in lines)


def test_empty_records_are_left_out(folder, tmp_path):
    path = str(tmp_path / "records")
    payloads = tfrecords.encode_examples(small.masked_records(3))
    with tf.io.TFRecordWriter(path) as writer:
        for payload in payloads[:1] + [b""] + payloads[1:]:
            writer.write(payload)
    fault = record_files.first_fault([path], 16, 3, None)
    assert fault == path + ", record 2 is damaged (its checksum differs)"
    (copy,) = record_files.repaired([path], str(tmp_path / "repaired"))
    assert [bytes(record) for record in tf.python_io.tf_record_iterator(copy)] == payloads


def test_a_wrong_size_names_the_flag_that_it_belongs_to(folder):
    sizes = dict.fromkeys(("input_ids", "input_mask", "segment_ids"), 20)
    sizes.update(masked_lm_positions=20, masked_lm_ids=19, masked_lm_weights=20)
    record = {name: np.zeros(size, int) for name, size in sizes.items()}
    record["next_sentence_labels"] = np.zeros(2, int)
    assert record_files.fault_of(record, 20, 20) == (
        "next_sentence_labels has 2 values, expected 1"
    )
    record["next_sentence_labels"] = np.zeros(1, int)
    assert record_files.fault_of(record, 20, 20) == (
        "masked_lm_ids has 19 values, expected --max_predictions_per_seq=20"
    )


@pytest.mark.slow
def test_files_of_one_name_are_repaired_apart(folder, capsys):
    train = _damaged(folder, "train/records", _with_bad_byte)
    held_out = _damaged(folder, "held_out/records", lambda framed: _with_bad_byte(framed)[:9])
    output = os.path.join(folder.folder, "repairing")
    small.run_here(
        folder.arguments(
            input_file=train,
            eval_file=held_out,
            output_dir=output,
            skip_corrupt_records=True,
            num_train_steps=4,
        )
    )
    assert any(line.startswith("training: 19 records") for line in lines_of(capsys))
    copies = [os.path.join(output, "repaired", flag) for flag in ("input_file", "eval_file")]
    sizes = [os.path.getsize(os.path.join(copy, "0_records")) for copy in copies]
    assert sizes[0] > sizes[1] > 0


@pytest.mark.parametrize(
    "role", with_slow(["input_file", "eval_file", "warm_start"], ["input_file", "warm_start"])
)
def test_ids_beyond_the_vocabulary_are_named(folder, role):
    features = small.masked_records(20)
    features["input_ids"][11, 3] = small.CONFIG["vocab_size"]
    path = folder.write_records("beyond", features)
    flags = {"input_file": path, "output_dir": path + role}
    if role == "warm_start":
        flags["warm_start"] = True
    if role == "eval_file":
        flags.update(input_file=folder.masked, eval_file=path, do_eval=True)
    with pytest.raises(UserError, match="beyond, record 12: input_ids has 37: expected ids below"):
        small.run_here(folder.arguments(**flags))


def test_warm_start_names_a_damaged_record(folder):
    path = _damaged(folder, "damaged_for_warm_start", _with_bad_byte)
    with pytest.raises(UserError, match="record 7 is damaged"):
        small.run_here(folder.arguments(input_file=path, output_dir=path + "_out", warm_start=True))


def test_export_leaves_other_files_of_its_folder(folder, run):
    mine = folder.write("export with notes/notes.txt", "mine")
    small.run_here(
        folder.arguments(
            input_file=folder.masked,
            output_dir=run,
            num_train_steps=20,
            save_checkpoints_steps=10,
            do_train=None,
            export_dir=os.path.dirname(mine) + os.sep,
        )
    )
    names = os.listdir(os.path.dirname(mine))
    assert {"notes.txt", "vocab.txt", "albert_config_small.json"} < set(names)
    assert checkpoint_files.find_checkpoint(os.path.dirname(mine)).endswith("albert_model.ckpt")


@pytest.mark.slow
def test_a_sentencepiece_model_beside_the_config_masks_and_is_exported(folder):
    letters = ["".join(chr(97 + (i * j) % 26) for j in range(1, 9)) for i in range(1, 60)]
    own = os.path.dirname(folder.write("sentencepiece/config.json", "{}"))
    size = small.CONFIG["vocab_size"] + 20
    os.rename(train_sentencepiece(own, letters, size), os.path.join(own, "spiece.model"))
    config = folder.write(
        "sentencepiece/config.json", json.dumps(dict(small.CONFIG, vocab_size=size))
    )
    exported = os.path.join(own, "exported")
    small.run_here(
        folder.arguments(
            input_file=folder.unmasked,
            bert_config_file=config,
            output_dir=os.path.join(own, "run"),
            num_train_steps=1,
            num_warmup_steps=0,
            export_dir=exported,
        )
    )
    assert "spiece.model" in os.listdir(exported) and "vocab.txt" not in os.listdir(exported)
    vocab = tokenization.load_vocab(os.path.join(exported, "spiece.model"))
    assert (vocab["[CLS]"], vocab["[MASK]"], len(vocab)) == (3, 5, size)


@pytest.mark.slow
def test_nan_ends_training_with_the_way_out(folder):
    output = os.path.join(folder.folder, "exploded")
    with pytest.raises(UserError, match="not finite"):
        small.run_here(
            folder.arguments(
                input_file=folder.masked,
                output_dir=output,
                learning_rate=1e30,
                optimizer="adamw",
                num_train_steps=40,
            )
        )
    for value in variables_of(output).values():
        assert np.isfinite(value).all()


@pytest.mark.slow
def test_a_loss_far_above_that_of_guessing_ends_training_with_the_way_out(folder, monkeypatch):
    output = os.path.join(folder.folder, "far")
    monkeypatch.setattr(pretraining_runner, "_EXPLOSION_FACTOR", 0.01)
    with pytest.raises(UserError, match="far above the loss of guessing.*\\n?.*learning_rate"):
        small.run_here(folder.arguments(input_file=folder.masked, output_dir=output))


@pytest.mark.parametrize(
    "change, added",
    [
        ({"skip_nan_steps": True}, {"skipped_steps": 0}),
        ({"precision": "mixed_float16"}, {"skipped_steps": 0, "good_steps": 4}),
    ],
)
@pytest.mark.slow
def test_a_run_goes_on_with_steps_skipped_or_in_lower_precision(folder, change, added):
    output = os.path.join(folder.folder, "goes_on_" + "".join(change))
    settings = {"input_file": folder.masked, "output_dir": output}
    small.run_here(folder.arguments(num_train_steps=4, **settings))
    former = variables_of(output)
    names = set(added).union(["loss_scale"] if "precision" in change else [])
    small.run_here(folder.arguments(num_train_steps=8, **dict(settings, **change)))
    after = variables_of(output)
    assert set(after) - set(former) == names and after["global_step"] == 8
    for name, value in added.items():
        assert after[name] == value
    newest = checkpoint_files.newest_of_training(output)
    assert not names & set(checkpoint_values.read_weights(newest))


@pytest.mark.slow
def test_a_run_with_nezhas_optimizer_goes_on_as_if_it_had_not_stopped(folder):
    settings = {"input_file": folder.masked, "learning_rate": None, "optimizer": "nezha_lamb"}
    settings.update(num_train_steps=4, num_warmup_steps=2, save_checkpoints_steps=2)
    outputs = [os.path.join(folder.folder, "nezha_lamb_%d" % number) for number in range(2)]
    for output in outputs:
        small.run_here(folder.arguments(output_dir=output, **settings))
    for path in glob.glob(os.path.join(outputs[1], "model.ckpt-4.*")):
        os.remove(path)
    small.run_here(folder.arguments(output_dir=outputs[1], **settings))
    whole, resumed = map(variables_of, outputs)
    assert whole["global_step"] == 4 and any(name.endswith("/lamb_v") for name in whole)
    assert_same_weights(whole, resumed)


@pytest.mark.slow
def test_a_killed_worker_that_is_started_again_is_waited_for(folder):
    output = os.path.join(folder.folder, "killed_worker")
    arguments = folder.arguments(
        input_file=folder.masked,
        output_dir=output,
        num_train_steps=200,
        save_checkpoints_steps=20,
        distribution="multi_worker",
    )
    environments = list(_worker_environments(2))
    first, second = (small.run_process(arguments, env=env) for env in environments)
    while (
        checkpoint_files.checkpoint_step(checkpoint_files.newest_of_training(output) or "x-0") < 20
    ):
        assert first.poll() is None and second.poll() is None
        time.sleep(0.1)
    second.kill()
    second.communicate()
    second = small.run_process(arguments, env=environments[1])
    outputs = [worker.communicate(timeout=500)[0] for worker in (first, second)]
    assert first.returncode == second.returncode == 0, outputs
    assert "is gone: starting again" in outputs[0] and "continuing from step" in outputs[0]
    assert variables_of(output)["global_step"] == 200
