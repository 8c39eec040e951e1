"""What is said of errors of the system."""

import errno
import os

import pytest

from albert_zh.common import files, system_errors

GRAPH_ERROR = """Graph execution error:

Detected at node 'save/SaveV2' defined at (most recent call last):
    File "run_classifier.py", line 19, in <module>
Node: 'save/SaveV2'
{{function_node __wrapped__SaveV2}} /out/model.ckpt; No space left on device
\t [[{{node save/SaveV2}}]]
"""


def test_the_reason_of_tensorflow_is_not_its_heading():
    error = RuntimeError(GRAPH_ERROR)
    assert system_errors.reason(error) == "/out/model.ckpt; No space left on device"
    assert system_errors.number_of(error) == errno.ENOSPC
    without = RuntimeError("Graph execution error:\n\nDetected at node 'x'\nNode: 'x'\nbad shape\n")
    assert system_errors.reason(without) == "bad shape"


@pytest.mark.parametrize(
    "number, advice",
    [
        (errno.ENOSPC, "free space"),
        (errno.EDQUOT, "free space"),
        (errno.EACCES, "permissions"),
        (errno.EROFS, "can only be read"),
        (errno.ENAMETOOLONG, "shorter name"),
        (errno.EMFILE, "ulimit -n"),
        (errno.ENOTDIR, "a file stands where a folder"),
        (errno.ELOOP, "form a loop"),
        (errno.EIO, "check the disk"),
        (errno.EXDEV, "choose another place"),
    ],
)
def test_each_error_has_its_own_advice(number, advice):
    message = str(files.cannot_write("x", OSError(number, os.strerror(number))))
    assert message.startswith("x: cannot be written (%s): " % os.strerror(number))
    assert advice in message
    assert ("free space" in message) == (number in (errno.ENOSPC, errno.EDQUOT))
