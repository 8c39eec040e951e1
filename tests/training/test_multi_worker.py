"""Who is who among several machines, by TF_CONFIG."""

import json

import pytest

from albert_zh.common.errors import UserError
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
