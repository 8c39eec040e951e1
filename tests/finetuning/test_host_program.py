"""A fine-tuning that another program has started: what that program notices of it."""

import threading

import pytest

from albert_zh import finetuning
import whole_runs

CHARACTERS = "今天气好"


@pytest.fixture(name="settings")
def settings_fixture(tmp_path):
    """Settings of a run of two steps."""
    for name, count in (("train", 16), ("dev", 8)):
        rows = ["%s\t%s\t%d" % ("今天好"[n % 3], "天气好"[n % 2], n % 2) for n in range(count)]
        (tmp_path / (name + ".txt")).write_text("\n".join(rows) + "\n", encoding="utf-8")
    return whole_runs.settings_of(tmp_path, CHARACTERS, 2, task_name="lcqmc", do_predict=False)


@pytest.mark.slow
def test_it_runs_in_a_thread(settings):
    """Only the main thread may handle signals."""
    reached = []
    thread = threading.Thread(target=lambda: reached.append(finetuning.run(**settings)))
    thread.start()
    thread.join()
    assert reached[0]["dev"]["global_step"] in (1, 2)
