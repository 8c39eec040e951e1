"""Messages for errors of the operating system."""

import errno
import os

import pytest

from albert_zh.common import files, output_files, system_errors
from albert_zh.common.errors import UserError

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


def test_a_folder_that_takes_nothing_is_not_said_to_be_gone(tmp_path):
    """Linux reports "No such file" when a file or folder is created in /proc."""
    lacking = str(tmp_path / "gone" / "x")
    for path, advice in (
        (lacking, "its folder no longer exists: create it"),
        ("/proc/x", "nothing can be"),
    ):
        with pytest.raises(UserError, match="cannot be written .No such file.*: " + advice):
            try:
                os.mkdir(path)
            except OSError as error:
                raise files.cannot_write(path, error) from error
    with pytest.raises(
        UserError, match="/proc/x: cannot be written .*: nothing can be created in"
    ), output_files.atomic_write("/proc/x") as stream:
        stream.write("x")
