"""Runs run_pretraining.py on several logical CPU devices; arguments: their number, then its flags.

A worker of --distribution=multi_worker divides its part of a step among its GPUs, or uses one CPU
device. Here it uses several CPU devices, to simulate a pod of hosts with several devices each.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))

import tensorflow.compat.v1 as tf
from tensorflow.python.distribute import collective_all_reduce_strategy

from albert_zh.commands import run_pretraining


def divide_cpu(count):
    """Makes several CPU devices known to this process's server and its multi-worker strategy.

    The server that the strategy starts has the devices of the eager context, not of the session. An
    operation for a device that the server lacks runs on another device, and collective operations
    then wait forever for a missing member of their group.
    """
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * count
    )

    def local_devices(self, resolver, worker):
        return tuple("%s/device:CPU:%d" % (worker, index) for index in range(count)), "CPU"

    extended = collective_all_reduce_strategy.CollectiveAllReduceExtended
    extended._initialize_local_devices = local_devices


if __name__ == "__main__":
    divide_cpu(int(sys.argv.pop(1)))
    run_pretraining.main()
