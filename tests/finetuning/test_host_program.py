"""Fine-tuning that is called by another program: its threads, logs, warnings and processes."""

import fcntl
import json
import logging
import os
import subprocess
import sys
import threading
import warnings

import pytest

from albert_zh import finetuning
from albert_zh.common.errors import UserError
from albert_zh.training import run_folder
import small_models
import whole_runs

CHARACTERS = "今天气好"


@pytest.fixture(name="settings")
def settings_fixture(tmp_path):
    """Writes the files of a run of two steps and returns its settings."""
    for name, count in (("train", 16), ("dev", 8)):
        rows = ["%s\t%s\t%d" % ("今天好"[n % 3], "天气好"[n % 2], n % 2) for n in range(count)]
        (tmp_path / (name + ".txt")).write_text("\n".join(rows) + "\n", encoding="utf-8")
    return whole_runs.settings_of(tmp_path, CHARACTERS, 2, task_name="lcqmc", do_predict=False)


@pytest.mark.slow
def test_it_runs_in_a_thread(settings):
    """Python allows signal handlers in the main thread only; other threads do without them."""
    reached = []
    thread = threading.Thread(target=lambda: reached.append(finetuning.run(**settings)))
    thread.start()
    thread.join()
    assert reached[0]["dev"]["global_step"] in (1, 2)


@pytest.fixture(name="logger")
def logger_fixture(monkeypatch):
    """Returns (TensorFlow's logger as a host program configures it, the lines that it logs)."""
    logger, lines = logging.getLogger("tensorflow"), []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    monkeypatch.setattr(logger, "handlers", [handler])
    monkeypatch.setattr(logger, "propagate", True)
    return logger, lines


@pytest.mark.slow
def test_the_host_logs_and_warns_as_before_and_the_folder_is_free(settings, logger):
    level = logger[0].level
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        finetuning.run(**settings)
        del warned[:]
        warnings.warn("a warning of the host", stacklevel=1)
    assert [str(warning.message) for warning in warned] == ["a warning of the host"]
    logger[0].warning("a line of the host")
    assert logger[1][-1] == "a line of the host"
    assert (logger[0].propagate, logger[0].level) == (True, level)
    path = os.path.join(settings["output_dir"], run_folder.LOG_FILE)
    with open(path, encoding="utf-8") as log:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails if the lock is held
        assert "of the host" not in log.read()


FORKED = """
import json, os, signal, sys
sys.path[:0] = json.loads(sys.argv[1])
from albert_zh import Predictor, UserError, finetuning
with Predictor(sys.argv[2]) as model:
    model.predict(["今天"])
if os.fork() == 0:
    signal.alarm(120)  # no child that waits outlives the test
    try:
        finetuning.run(**json.loads(sys.argv[3]))
    except UserError as error:
        print(error, flush=True)
    os._exit(0)
os.wait()
"""


@pytest.mark.slow
def test_in_a_child_that_was_forked_after_a_model_was_loaded_it_is_refused(settings, tmp_path):
    """The child lacks TensorFlow's threads: its first step would wait for them forever."""
    folder = small_models.write_model(tmp_path / "model")
    command = [sys.executable, "-c", FORKED, json.dumps(sys.path), folder, json.dumps(settings)]
    shown = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=300, check=True)
    assert shown.stdout.startswith("no model can be trained in this process: it was forked from")
    assert "get_context('spawn')" in shown.stdout
    assert len(shown.stdout.splitlines()) == 1


def test_one_run_at_a_time(settings, monkeypatch):
    """A second run would take over the log, lock and signal handlers of the first one."""
    from albert_zh.finetuning import runner

    refused = []

    def run_another(**_):
        with pytest.raises(UserError, match="^another fine-tuning is running in this process: "):
            finetuning.run(**settings)
        refused.append(True)

    monkeypatch.setattr(runner, "run", run_another)
    finetuning.run(**settings)
    finetuning.run(**settings)
    assert len(refused) == 2
