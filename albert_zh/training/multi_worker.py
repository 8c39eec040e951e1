"""Multi-worker training: reads the workers from TF_CONFIG and handles the death of a worker.

{"cluster": {"worker": ["host1:5000", "host2:5000"]}, "task": {"type": "worker", "index": 0}}
"""

import contextlib
import itertools
import json
import os
import re
import socket
import sys
import threading
from typing import Callable, Dict, List, Optional

import tensorflow.compat.v1 as tf

from albert_zh.common import checks, errors, files, validation
from albert_zh.common.errors import UserError

_SECONDS_BETWEEN_LOOKS = 1.0
_MOST_DIGITS = 9  # maximum length of a worker's index
_ADDRESS = re.compile(r".+:\d{1,5}")
_LOOKS = 2  # failed connection attempts before a worker counts as dead


def cluster() -> Dict[str, List[str]]:
    """{kind: ["HOST:PORT", ...]} of TF_CONFIG; {} if it has no cluster.

    Raises:
        UserError: if TF_CONFIG is not a JSON object, or its cluster is not an object of lists.
    """
    hosts = _tf_config().get("cluster", {})
    is_table = isinstance(hosts, dict) and all(
        _is_of_strings(addresses) for addresses in hosts.values()
    )
    if not is_table:
        raise _unfit('cluster is %s: expected {"worker": ["HOST:PORT", ...]}' % json.dumps(hosts))
    return hosts


def _is_of_strings(entries):
    return isinstance(entries, list) and all(isinstance(entry, str) for entry in entries)


def _unfit(fault):
    return UserError("TF_CONFIG=%s: its %s" % (os.environ["TF_CONFIG"], fault))


def _tf_config():
    text = os.environ.get("TF_CONFIG", "{}")
    name = "TF_CONFIG=%s" % validation.shortened(text)
    return checks.checked(name, files.parse_json(text, name), validation.record())


def _task():
    """(kind, index) of this process; raises `UserError` if TF_CONFIG does not have them."""
    task = _tf_config().get("task", {})
    fields = task if isinstance(task, dict) else {"index": None}
    kind, index = fields.get("type", "worker"), str(fields.get("index", 0))
    # Some launchers write the index as text.
    if not (isinstance(kind, str) and index.isdecimal() and len(index) <= _MOST_DIGITS):
        raise _unfit('task is %s: expected {"type": "worker", "index": 0}' % json.dumps(task))
    return kind, int(index)


def num_machines() -> int:
    """The number of workers in TF_CONFIG; 0 if it has none or is not readable."""
    with contextlib.suppress(UserError):
        return sum(len(cluster().get(kind, ())) for kind in ("chief", "worker"))
    return 0


def check_place() -> None:
    """Raises `UserError` unless this process is one of the workers that TF_CONFIG names."""
    hosts, (kind, index) = cluster(), _task()
    if kind not in ("chief", "worker") or index >= len(hosts.get(kind, ())):
        raise _unfit(
            "task is %s %d, and its cluster %s: expected one of the machines there, a worker or "
            "the chief" % (kind, index, json.dumps(hosts))
        )
    for address in itertools.chain.from_iterable(hosts.values()):
        if not _ADDRESS.fullmatch(address):
            raise _unfit("cluster has the address %r: expected HOST:PORT" % address)


def helper_name() -> Optional[str]:
    """A name such as "worker1" of a helping worker; None for the process that saves."""
    kind, index = _task()
    is_saving = kind == "chief" or (index == 0 and "chief" not in cluster())
    return None if is_saving else "%s%d" % (kind, index)


def _addresses_of_others():
    own = _task()
    return [
        address
        for kind, addresses in sorted(cluster().items())
        for index, address in enumerate(addresses)
        if (kind, index) != own
    ]


class WatchHook(tf.train.SessionRunHook):
    """Restarts this process when another worker dies.

    Workers wait for each other in every step, without a timeout. After the restart, this worker
    waits for the successor of the dead worker, and both resume from the last checkpoint.
    """

    def __init__(self, last_step: int, say: Callable[[str], None]) -> None:
        """Initializes the watch hook.

        Args:
            last_step: step at which training ends; after it other workers may exit.
            say: function that shows a line to the user.
        """
        self._last_step = last_step
        self._say = say
        self._is_over = threading.Event()
        self._thread: Optional[threading.Thread] = None

    def begin(self) -> None:
        self._global_step = tf.train.get_global_step()

    def before_run(self, run_context: tf.train.SessionRunContext) -> tf.train.SessionRunArgs:
        return tf.train.SessionRunArgs(self._global_step)

    def after_run(
        self, run_context: tf.train.SessionRunContext, run_values: tf.train.SessionRunValues
    ) -> None:
        if run_values.results >= self._last_step - 1:
            self._is_over.set()
        elif self._thread is None:  # all workers are up: they have run a step together
            self._thread = threading.Thread(target=self._watch, daemon=True)
            self._thread.start()

    def end(self, session: tf.Session) -> None:
        self._is_over.set()

    def _watch(self):
        misses = dict.fromkeys(_addresses_of_others(), 0)
        while not self._is_over.wait(_SECONDS_BETWEEN_LOOKS):
            for address in misses:
                misses[address] = 0 if _answers(address) else misses[address] + 1
                if misses[address] >= _LOOKS and not self._is_over.is_set():
                    self._say("the worker at %s is gone: starting again to wait for it" % address)
                    os.execv(sys.executable, errors.own_words())


def _answers(address):
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except OSError:
        return False
    return True
