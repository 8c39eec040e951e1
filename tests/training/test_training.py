"""Training: progress, logged metrics, stop requests, and the check against mixed runs."""

import contextlib
import ctypes
import functools
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error

from absl import flags
from google.protobuf import text_format
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from albert_zh.common import cpu_precision, plotting
from albert_zh.common.errors import Interrupted, UserError
from albert_zh.common.messages import readable_seconds
from albert_zh.finetuning import flags as finetuning_flags
from albert_zh.model import start_checks
from albert_zh.model.checkpoints import model_writer
from albert_zh.training import engine, loop, metrics_log, run_folder
from albert_zh.training.hooks import FirstStepHook, ProgressHook, StopHook, StopRequest
from albert_zh.training.model_spec import Spec
from albert_zh.training.session_engine import Engine, RunConfig
from albert_zh.training.training_errors import explained_errors
from crossed_cases import with_slow
from estimators import needs_estimators
from workspace import ROOT, flags_of


@pytest.fixture(name="run_flags", autouse=True)
def run_flags_fixture():
    """Fixture: the flags that every training run has, independent of earlier tests."""
    with flags_of([]):
        yield


@pytest.mark.parametrize("given", ["-1", "0", "nan", "inf"])
@pytest.mark.parametrize("name", ["num_train_epochs", "learning_rate"])
def test_numbers_above_0_are_asked_for_alike(name, given):
    """Negative numbers are refused as for any float flag, 0 by the command, with equal messages."""
    files = "data_dir bert_config_file vocab_file output_dir".split()
    given_flags = dict({path: path for path in files}, task_name="lcqmc", do_train=True)
    given_flags[name] = given
    message = r"^--%s=%s: expected a number above 0$" % (name, float(given))
    with pytest.raises(UserError, match=message):
        finetuning_flags.check_flags(finetuning_flags.of_settings(**given_flags))


def test_metrics_survive_and_a_resumed_run_drops_what_came_after(tmp_path):
    metrics = metrics_log.Metrics(str(tmp_path), 0)
    for step in (1, 2, 3):
        metrics.add(step, loss=step / 2)
    metrics.add(2, dev_accuracy=0.75)
    with open(str(tmp_path / "metrics.jsonl"), "a") as handle:
        handle.write('{"step": 4, "lo')  # a kill truncated the line
    resumed = metrics_log.Metrics(str(tmp_path), 2)
    assert resumed.series("loss") == ([1, 2], [0.5, 1.0])
    assert resumed.last("dev_accuracy", "dev %.2f") == ["dev 0.75"]
    assert resumed.last("other", "%s") == []
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 2]


def test_a_run_that_begins_again_takes_nothing_over(tmp_path):
    """Its folder has lost all checkpoints, also that of the untrained model: step 0."""
    former = metrics_log.Metrics(str(tmp_path), 0)
    former.add(0, dev={"global_step": 0, "eval_accuracy": 0.5})
    former.add(4, loss=1.0)
    assert metrics_log.Metrics.read(str(tmp_path), 0) == []
    assert len(metrics_log.Metrics.read(str(tmp_path), 4)) == 2
    assert metrics_log.Metrics(str(tmp_path), 0).records == []
    assert (tmp_path / "metrics.jsonl").read_text() == ""


def test_losses_of_loops_of_steps_are_recorded_each(tmp_path):
    """Regression: of a TPU's loops of 1,000 steps, only every 31st ended at a multiple of 62."""
    log = metrics_log.Metrics(str(tmp_path), 0)
    hook = ProgressHook(log, 9500, batch_size=8, steps_per_run=1000, record_every=62)
    with tf.Graph().as_default(), tf.Session() as session:
        tf.train.get_or_create_global_step()
        session.run(tf.global_variables_initializer())
        hook.begin()
        hook.after_create_session(session, None)
        for loss in range(10):
            values = tf.train.SessionRunValues({"loss": np.float32(loss)}, None, None)
            hook.after_run(None, values)
        hook.end(session)
    steps = list(range(1000, 10000, 1000)) + [9500]
    assert log.series("loss") == (steps, [float(loss) for loss in range(10)])


def test_a_helper_goes_on_with_its_own_metrics(tmp_path):
    metrics_log.Metrics(str(tmp_path), 0).add(1, loss=1.0)
    helpers = metrics_log.Metrics(str(tmp_path), 0, "worker1")
    helpers.add(1, loss=2.0)
    helpers.add(2, loss=3.0)
    resumed = metrics_log.Metrics(str(tmp_path), 2, "worker1")
    assert resumed.series("loss") == ([1, 2], [2.0, 3.0])
    assert metrics_log.Metrics(str(tmp_path), 2).series("loss") == ([1], [1.0])


def test_first_signal_asks_second_stops(monkeypatch):
    def end(status):
        raise SystemExit(status)

    monkeypatch.setattr(os, "_exit", end)
    before = signal.getsignal(signal.SIGINT)
    with StopRequest() as stop:
        with pytest.raises(SystemExit):  # there is no step to save yet
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)
        StopHook(stop).after_run(None, None)
        stop.raise_if_made("unused")
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.is_made
        with pytest.raises(Interrupted, match="go on"):
            stop.raise_if_made("go on")
        with pytest.raises(SystemExit):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.fixture
def interruptible():
    """Lets Ctrl-C interrupt this process, even if a script runs the tests in the background."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


@pytest.mark.usefixtures("interruptible")
def test_in_another_program_a_signal_does_what_it_did_before():
    """In a notebook, for example, Ctrl-C ends the cell and not the kernel."""
    with StopRequest(is_command=False), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)
    with StopRequest(is_command=False) as stop:
        StopHook(stop).after_run(None, None)
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.is_made
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(10)


@pytest.mark.usefixtures("interruptible")
def test_in_another_program_sigterm_is_not_lost():
    """After the run has stopped, the program's former handler is called with the SIGTERM."""
    ended = []
    former = signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    try:
        with StopRequest(is_command=False) as stop:
            StopHook(stop).after_run(None, None)
            os.kill(os.getpid(), signal.SIGTERM)
            assert stop.is_made and not ended
        time.sleep(0.01)
        assert ended == [True]
    finally:
        signal.signal(signal.SIGTERM, former)


@pytest.mark.parametrize(
    "given, is_told",
    [
        (["--precision=float32"], False),
        (["--precision=bfloat16"], True),
        pytest.param(["--precision=bfloat16", "--use_tpu"], False, marks=needs_estimators),
    ],
)
def test_precision_that_costs_time_is_told(given, is_told, tmp_path, capsys, monkeypatch):
    path = tmp_path / "cpuinfo"
    path.write_text("flags : avx2\n")
    monkeypatch.setattr(cpu_precision, "_FEATURES_FILE", str(path))
    with flags_of(given + ["--output_dir=" + str(tmp_path)]):
        engine.make_engine(
            flags.FLAGS, lambda features, labels, mode, params: None, 10, train_batch_size=8
        )
    line = "warning: precision bfloat16 is slower than float32 here"
    assert (line in capsys.readouterr().out) == is_told


def save_checkpoint(folder):
    with tf.Graph().as_default(), tf.Session() as session:
        tf.get_variable("x", [1])
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(session, os.path.join(folder, "model.ckpt-1"))


ALLOCATORS = """
import sys
import tensorflow.compat.v1 as tf
from albert_zh.training import allocator
allocator.choose_allocator(plain=sys.argv[1] == "plain")
tf.disable_eager_execution()
trace = tf.RunMetadata()
options = tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE)
tf.Session().run(tf.random.uniform([1000]) + 1.0, options=options, run_metadata=trace)
nodes = [node for device in trace.step_stats.dev_stats for node in device.node_stats]
print(*{memory.allocator_name for node in nodes for memory in node.memory})
"""


@pytest.mark.reference
@pytest.mark.parametrize(
    "way, given, is_kept",
    with_slow(
        [("fast", {}, True), ("plain", {}, False), ("fast", {"USE_BFC": "false"}, False)],
        [("fast", {}, True)],
    ),
)
def test_memory_of_tensors_is_kept_unless_plain_or_otherwise_asked_for(way, given, is_kept):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TF_CPU_")}
    environment.update({"TF_CPU_ALLOCATOR_" + name: value for name, value in given.items()})
    command = [sys.executable, "-c", ALLOCATORS, way]
    printed = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    # TensorFlow's allocator is "cpu", or "mklcpu" on processors for which oneDNN is enabled.
    assert printed.startswith("bfc" if is_kept else ("cpu", "mklcpu")), printed
    assert len(printed.split()) == 1


HEAPS = """
import ctypes
import os
import sys
import threading

os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])  # before numpy starts its threads
from albert_zh.training import allocator

library = ctypes.CDLL(None)
library.fdopen.restype = ctypes.c_void_p
output = ctypes.c_void_p(library.fdopen(1, b"w"))
allocator.choose_allocator(plain=sys.argv[1] == "plain")
library.malloc_info(0, output)
threads = [threading.Thread(target=library.malloc, args=[100]) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
library.malloc_info(0, output)
library.fflush(output)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="needs glibc")
@pytest.mark.parametrize("way, maximum, grows", [("fast", 0, 0), ("plain", 0, 1), ("fast", 8, 1)])
def test_threads_share_one_heap_unless_plain_or_otherwise_asked_for(way, maximum, grows):
    environment = {k: v for k, v in os.environ.items() if k != "MALLOC_ARENA_MAX"}
    environment.update({"MALLOC_ARENA_MAX": str(maximum)} if maximum else {})
    command = [sys.executable, "-c", HEAPS, way]
    printed = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    before, after = (text.count("<heap nr") for text in printed.split("</malloc>")[:2])
    assert (after > before) == grows, (before, after)


def test_another_run_in_the_same_folder_is_refused_only_once_it_has_a_checkpoint(tmp_path, capsys):
    folder = str(tmp_path)
    run_folder.remember_settings(folder, {"task": "a"}, {"epochs": 1})
    run_folder.check_same_run(folder, {"task": "b"}, {"epochs": 1})
    run_folder.remember_settings(folder, {"task": "b"}, {"epochs": 1})
    save_checkpoint(folder)
    fixed, variable = {"task": "b", "dev data": "new"}, {"epochs": 2, "precision": "float32"}
    assert run_folder.check_same_run(folder, fixed, variable) == ["epochs"]
    run_folder.remember_settings(folder, {"dev data": "new"}, {"epochs": 2})
    assert run_folder.former_settings(folder)["fixed"] == {"task": "b", "dev data": "new"}
    assert "another epochs: 2, formerly 1" in capsys.readouterr().out
    with pytest.raises(UserError, match="another task"):
        run_folder.check_same_run(folder, {"task": "c"}, {"epochs": 2})


def test_runs_of_earlier_versions_are_recognized(tmp_path):
    """They recorded an activation as it was written, and nothing about a table of n-grams."""
    save_checkpoint(str(tmp_path))
    run_folder.remember_settings(str(tmp_path), {"config": {"hidden_act": "GELU"}}, {})
    now = {"config": {"hidden_act": "gelu"}, "ngram_rows": 0}
    assert run_folder.check_same_run(str(tmp_path), now) == []
    for change, name in (
        ({"config": {"hidden_act": "relu"}}, "config"),
        ({"ngram_rows": 1024, "ngram_length": 3}, r"ngram_rows \(0, now 1024\)"),
    ):
        with pytest.raises(UserError, match="contains a run with another " + name):
            run_folder.check_same_run(str(tmp_path), dict(now, **change))


def test_a_run_of_another_tensorflow_goes_on_and_says_so(tmp_path, capsys):
    save_checkpoint(str(tmp_path))
    now = run_folder.tensorflow_version()
    assert tf.__version__.startswith(now["TensorFlow"] + ".")
    run_folder.remember_settings(str(tmp_path), {}, {"TensorFlow": "1.14"})
    run_folder.check_same_run(str(tmp_path), {}, now)
    said = "continues with another TensorFlow: %s, formerly 1.14" % now["TensorFlow"]
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("seconds, text", [(0, "0:00"), (75.4, "1:15"), (3600 + 62, "1:01:02")])
def test_durations_read_as_people_write_them(seconds, text):
    assert readable_seconds(seconds) == text


def test_learning_curve_is_a_picture(tmp_path):
    pytest.importorskip("matplotlib")
    metrics = metrics_log.Metrics(str(tmp_path), 0)
    for step in range(1, 30):
        metrics.add(step, loss=1.0 / step)
    metrics.add(10, dev_accuracy=0.6)
    path = metrics_log.draw_learning_curve(metrics, str(tmp_path / "curve.png"))
    with open(path, "rb") as handle:
        assert handle.read(8) == b"\x89PNG\r\n\x1a\n"
    assert os.path.getsize(path) > 10000


def test_the_axis_of_the_learning_curve_says_the_metric(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    figures = []
    monkeypatch.setattr(plotting, "save", lambda figure, path: figures.append(figure))
    metrics = metrics_log.Metrics(str(tmp_path), 0)
    metrics.add(10, loss=0.5, dev_macro_f1=0.6)
    curves = [("dev_macro_f1", "dev macro_f1")]
    metrics_log.draw_learning_curve(metrics, "curve.png", curves, "macro_f1")
    loss_axes, metric_axes = figures[0].axes
    assert (loss_axes.get_ylabel(), metric_axes.get_ylabel()) == ("loss", "macro_f1")
    (line,) = metric_axes.get_lines()
    assert line.get_label() == "dev macro_f1" and list(line.get_ydata()) == [0.6]


@pytest.mark.parametrize(
    "error, words",
    [
        (tf.errors.ResourceExhaustedError(None, None, "x; No space left on device"), "no space"),
        (tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"), "train_batch_size"),
        (tf.train.NanLossDuringTrainingError(), "learning_rate"),
        (tf.errors.PermissionDeniedError(None, None, "x; Permission denied"), "cannot be written"),
    ],
)
def test_tensorflows_errors_are_explained(tmp_path, error, words):
    with pytest.raises(UserError, match=words), explained_errors(str(tmp_path)):
        raise error


def test_a_start_with_nan_is_named(tmp_path):
    weights = {"a": np.ones([2], np.float32), "b": np.full([2], np.nan, np.float32)}
    model_writer.write_model_checkpoint(str(tmp_path / "model"), weights)
    nan = tf.train.NanLossDuringTrainingError()
    for start, words in (
        (tmp_path / "model", "model/albert_model.ckpt: b has infinite or NaN val"),
        (tmp_path / "gone", "there is no checkpoint yet: a smaller --learning_rate"),
        (None, "there is no checkpoint yet: a smaller --learning_rate"),
    ):
        check = functools.partial(start_checks.check_start, start and str(start))
        with pytest.raises(UserError, match=words), explained_errors(str(tmp_path / "out"), check):
            raise nan


@needs_estimators
def test_tpu_flags_reach_the_cluster_resolver(monkeypatch):
    calls = []

    class StubResolver:
        def __init__(self, **settings):
            calls.append(settings)
            raise KeyboardInterrupt  # stops here, since there is no TPU

    monkeypatch.setattr(tf.distribute.cluster_resolver, "TPUClusterResolver", StubResolver)
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        name = "grpc://127.0.0.1:%d" % listener.getsockname()[1]
        arguments = ["--use_tpu=true", "--tpu_name=" + name, "--tpu_zone=z", "--gcp_project=p"]
        with flags_of(arguments), pytest.raises(KeyboardInterrupt):
            engine.make_tpu_config(flags.FLAGS, 10)
    assert calls == [{"tpu": name, "zone": "z", "project": "p"}]


@needs_estimators
@pytest.mark.parametrize(
    "arguments, problem",
    [
        (["--tpu_name=grpc://127.0.0.1:1"], "--tpu_name=grpc://127.0.0.1:1: nothing answers there"),
        (["--master=grpc://127.0.0.1:1"], "--master=grpc://127.0.0.1:1: nothing answers there"),
        (["--tpu_name=mine"], "--tpu_name=mine: cannot be looked up .no such name.: run this on a"),
    ],
)
def test_a_tpu_that_cannot_be_had_is_one_line(monkeypatch, arguments, problem):
    """Regression: sessions waited forever, and outside the cloud a name ended in a traceback."""

    def look_up(**_):
        raise urllib.error.URLError("no such name")

    monkeypatch.setattr(tf.distribute.cluster_resolver, "TPUClusterResolver", look_up)
    with flags_of(["--use_tpu=true"] + arguments), pytest.raises(UserError, match=problem):
        engine.make_tpu_config(flags.FLAGS, 10)


def test_training_leaves_input_pipelines_as_written_and_writes_the_graph(tmp_path):
    mapped_by = []

    def input_fn(params):
        del params

        def as_float(number):
            mapped_by.append(sys._getframe().f_code.co_filename)
            return tf.cast(number, tf.float32)

        return tf.data.Dataset.range(4).map(as_float)

    def model_fn(features, labels, mode, params):
        del labels, params
        slope = tf.get_variable("slope", [])
        step = tf.train.get_or_create_global_step()
        train_op = tf.group(slope.assign_sub(0.5), step.assign_add(1))
        return Spec(mode, loss=slope * features, train_op=train_op)

    trained = Engine(model_fn, RunConfig(str(tmp_path)))
    loop.train_with_checkpoints(flags.FLAGS, trained, input_fn, max_steps=3, save_steps=2, hooks=[])
    assert mapped_by == [__file__]  # not a file generated by TensorFlow
    graph = text_format.Parse((tmp_path / "graph.pbtxt").read_text(), tf.GraphDef())
    assert "slope" in {node.name for node in graph.node}
    prefixes = tf.train.get_checkpoint_state(str(tmp_path)).all_model_checkpoint_paths
    assert [os.path.basename(prefix) for prefix in prefixes] == [
        "model.ckpt-0",
        "model.ckpt-2",
        "model.ckpt-3",
    ]
    assert all(os.path.exists(prefix + ".meta") for prefix in prefixes)


def test_in_the_first_step_only_the_native_side_is_sent_to_the_log(tmp_path, capfd, monkeypatch):
    handler = logging.FileHandler(str(tmp_path / "train.log"))
    monkeypatch.setattr(tf.get_logger(), "handlers", [handler])  # without those of other tests
    hook = FirstStepHook()
    try:
        hook.before_run(None)
        os.write(2, b"compiled\n")
        print("stopped", file=sys.stderr)
    finally:
        hook.restore()
        handler.close()
    os.write(2, b"later\n")
    assert capfd.readouterr().err == "stopped\nlater\n"
    assert (tmp_path / "train.log").read_text() == "compiled\n"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_freed_memory_goes_back_to_the_system():
    """100 MB in small blocks are freed, except for the last block at the top of the heap."""
    program = """
from albert_zh.training import allocator

def megabytes():
    with open("/proc/self/statm") as numbers:
        return int(numbers.read().split()[1]) * 4096 / 1e6

before = megabytes()
pieces = [bytearray(2000) for _ in range(50000)]
last = bytearray(2000)
del pieces
kept = megabytes() - before
allocator.give_back_freed()
print(kept, megabytes() - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    kept, left = map(float, done.stdout.split())
    assert kept > 90 and left < 20
