"""The roles of several machines, as given by TF_CONFIG."""

import json

import pytest

from albert_zh.common.errors import UserError
from albert_zh.finetuning import flags as finetuning_flags
from albert_zh.training import flags as run_flags
from albert_zh.training import multi_worker

CLUSTER = {"worker": ["a:1", "b:1"]}


def set_config(monkeypatch, **config):
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))


def test_the_first_worker_saves_unless_there_is_a_chief(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert multi_worker.cluster() == {} and multi_worker.helper_name() is None
    for index, expected in ((0, None), ("1", "worker1")):
        set_config(monkeypatch, cluster=CLUSTER, task={"type": "worker", "index": index})
        assert multi_worker.helper_name() == expected
    with_chief = dict(CLUSTER, chief=["c:1"])
    set_config(monkeypatch, cluster=with_chief, task={"type": "worker", "index": 0})
    assert multi_worker.cluster() == with_chief and multi_worker.helper_name() == "worker0"
    set_config(monkeypatch, cluster=with_chief, task={"type": "chief", "index": 0})
    assert multi_worker.helper_name() is None


@pytest.mark.parametrize(
    "cluster, task, message",
    [
        (CLUSTER, {"type": "worker", "index": 2}, "its task is worker 2, and its cluster"),
        (CLUSTER, {"type": "chief", "index": 0}, "its task is chief 0"),
        (CLUSTER, {"type": "evaluator", "index": 0}, "its task is evaluator 0"),
        ({"worker": []}, {"type": "worker", "index": 0}, "its task is worker 0"),
        ({"worker": ["127.0.0.1"]}, {"index": 0}, "the address '127.0.0.1': expected HOST:PORT"),
    ],
)
def test_who_is_none_of_the_machines_is_told(cluster, task, message, monkeypatch):
    set_config(monkeypatch, cluster=cluster, task=task)
    with pytest.raises(UserError, match="TF_CONFIG=.*" + message):
        multi_worker.check_place()


def test_machines_that_are_not_used_are_noted(monkeypatch, capsys):
    options = finetuning_flags.of_settings()
    for config, is_noted in ({"cluster": CLUSTER}, True), ({"cluster": {"worker": ["a:1"]}}, False):
        set_config(monkeypatch, **config)
        run_flags.say_what_has_no_effect(options)
        assert ("TF_CONFIG names 2 machines" in "".join(capsys.readouterr())) == is_noted


@pytest.mark.parametrize(
    "config, message",
    [
        ({"cluster": ["a:1"]}, 'its cluster is \\["a:1"\\]: expected {"worker": '),
        ({"cluster": {"worker": "a:1"}}, 'its cluster is {"worker": "a:1"}: expected'),
        ({"cluster": CLUSTER, "task": {"index": "one"}}, 'its task is {"index": "one"}: expected'),
        ({"cluster": CLUSTER, "task": {"index": -1}}, "its task is .*: expected"),
        ({"cluster": CLUSTER, "task": 1}, "its task is 1: expected"),
        ([], "expected a JSON object"),
    ],
)
def test_a_config_that_tells_nothing_is_explained(config, message, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    with pytest.raises(UserError, match="TF_CONFIG=.*" + message):
        multi_worker.helper_name() or multi_worker.cluster()
