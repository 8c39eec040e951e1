"""run_pretraining.py as a worker with two CPU devices, where TensorFlow would use one."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tensorflow.python.distribute import collective_all_reduce_strategy

from albert_zh.commands import run_pretraining
from albert_zh.training import engine

_NUM_DEVICES = 2
_make_run_config = engine.make_run_config


def _run_config(*args, **settings):
    config = _make_run_config(*args, **settings)
    config.session_config.device_count["CPU"] = _NUM_DEVICES
    return config


def _local_devices(_, cluster_resolver, worker_device):
    del cluster_resolver
    devices = ["%s/device:CPU:%d" % (worker_device, index) for index in range(_NUM_DEVICES)]
    return tuple(devices), "CPU"


if __name__ == "__main__":
    engine.make_run_config = _run_config
    strategy = collective_all_reduce_strategy.CollectiveAllReduceExtended
    strategy._initialize_local_devices = _local_devices
    run_pretraining.main()
