"""The output folder of a run: its lock, its log, and the settings it was started with."""

import contextlib
import fcntl
import logging
import os
import re
from typing import Any, Dict, Iterator, List, Optional
import warnings

import tensorflow.compat.v1 as tf

from albert_zh.common import files, output_files, path_rules, storage, transfer, validation
from albert_zh.common.errors import UserError, UserNotice
from albert_zh.common.messages import say
from albert_zh.model.checkpoints import checkpoint_files

LOG_FILE = "train.log"

RUN_SETTINGS_FILE = "run_settings.json"
RUN_SETTINGS = validation.record(
    {"fixed": validation.record(), "variable": validation.record()}, ["fixed", "variable"]
)

_DIGEST = re.compile("[0-9a-f]{64}$")


class _RunLog(logging.FileHandler):
    """The log of a run, whose file is its lock too."""


@contextlib.contextmanager
def logs_of_host() -> Iterator[None]:
    """Has the program that a run is a part of log and warn as before, once the run has ended.

    The run's log is closed then, and with it the lock of its folder.
    """
    loggers = _loggers()
    former = [(logger, _without_run_log(logger), logger.propagate) for logger in loggers]
    level, show = tf.get_logger().level, warnings.showwarning
    try:
        yield
    finally:
        _close_run_logs(loggers)
        for logger, handlers, propagate in former:
            logger.handlers, logger.propagate = handlers, propagate
        tf.get_logger().setLevel(level)
        warnings.showwarning = show


def _loggers():
    """Those of TensorFlow and of Python's warnings."""
    return tf.get_logger(), logging.getLogger("py.warnings")


def _without_run_log(logger):
    return [handler for handler in logger.handlers if not isinstance(handler, _RunLog)]


def _close_run_logs(loggers):
    for logger in loggers:
        for handler in logger.handlers:
            if isinstance(handler, _RunLog):
                handler.close()


def open_output_folder(folder: str, worker: Optional[str] = None) -> None:
    """Makes the output folder and sends TensorFlow's log and Python's warnings to a file in it.

    The log file is locked, so that two runs in one folder don't mix. Where the folder is remote, it
    is in the scratch folder until the run ends, and keeps two runs of this machine apart.

    Args:
        folder: the output folder.
        worker: name of a process that only helps another one, see `flags.helper_name`; None of
            the one that saves.

    Raises:
        UserError: if the folder cannot be written to, or another run is at work in it.
    """
    target = path_rules.output_folder(folder, "--output_dir=%s" % folder)
    checkpoint_files.check_no_pattern(storage.absolute(folder), "--output_dir=%s" % folder)
    path = _log_file(folder, worker)
    try:
        storage.make_folders(target)
        handler: Any = _RunLog(path, encoding="utf-8")
        handler.handleError = lambda record: None  # a full disk: what the run writes reports it
    except OSError as error:
        named = folder if storage.is_remote(folder) else path
        raise files.cannot_write(named, error) from error
    loggers = _loggers()
    _close_run_logs(loggers)
    try:
        fcntl.flock(handler.stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError("--output_dir=%s: another run is at work in it" % folder) from error
    except OSError:
        tf.get_logger().info("this file system has no locks")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    warnings.showwarning = _show_warning
    for logger in loggers:
        logger.handlers = [handler]
        logger.propagate = False
    tf.logging.set_verbosity(tf.logging.INFO)
    if storage.is_remote(folder):
        say("log and lock until the run ends: %s", path)


def _show_warning(message, category, filename, lineno, file=None, line=None):
    """Logs a warning of Python's; one for the user is on the screen too."""
    del file
    if issubclass(category, UserNotice):
        say("warning: %s", message)
        return
    shown = warnings.formatwarning(message, category, filename, lineno, line)
    logging.getLogger("py.warnings").warning("%s", shown)


def _log_file(folder, worker):
    """The path of a run's log, which is its lock too; local where the output folder is remote."""
    path = os.path.join(folder, "train.%s.log" % worker if worker else LOG_FILE)
    return transfer.local_stand_in(path)


@contextlib.contextmanager
def uploaded_log(folder: Optional[str], worker: Optional[str] = None) -> Iterator[None]:
    """Puts the log of a run into its output folder at the end, where that is remote.

    Args:
        folder, worker: as in `open_output_folder`; no folder where the flags name none.
    """
    try:
        yield
    finally:
        if folder is not None and storage.is_remote(folder):
            path = _log_file(folder, worker)
            if os.path.exists(path):
                with contextlib.suppress(OSError, UserError):  # the run's own error is reported
                    transfer.upload(path, os.path.join(folder, os.path.basename(path)))


def check_same_run(
    folder: str, fixed: Dict[str, Any], variable: Optional[Dict[str, Any]] = None
) -> List[str]:
    """Keeps two different runs from mixing in one output folder.

    Args:
        folder: the output folder; looked at only if it holds a checkpoint.
        fixed: {name: value} of what makes a model (data, config, vocabulary, rate ...): a
            difference to the run that the folder holds is an error.
        variable: {name: value} of what may change when a run goes on (epochs): reported.

    Returns:
        the names of `variable` whose values are others.

    Raises:
        UserError: if the folder holds checkpoints of another run.
    """
    former, variable = former_settings(folder), variable or {}
    for name in sorted(set(fixed) & set(former["fixed"])):
        if former["fixed"][name] != fixed[name]:
            raise UserError(
                "%s holds a run with another %s%s: name another folder (--output_dir, OUTPUT_DIR "
                "for the scripts) or remove this one"
                % (folder, name, _from_to(former["fixed"][name], fixed[name]))
            )
    former_values = dict(variable, **former["variable"])
    changed = [n for n, value in sorted(variable.items()) if former_values[n] != value]
    for name in changed:
        say(
            "note: the run in %s goes on with another %s: %s, formerly %s",
            folder,
            name,
            variable[name],
            former_values[name],
        )
    return changed


def tensorflow_version() -> Dict[str, str]:
    """{"TensorFlow": "2.15"}: may change when a run goes on, as its weights may by rounding."""
    return {"TensorFlow": ".".join(tf.__version__.split(".")[:2])}


def former_settings(folder: str) -> Dict[str, Dict[str, Any]]:
    """What `remember_settings` wrote of a folder's checkpoints; empty dicts without any."""
    path = os.path.join(folder, RUN_SETTINGS_FILE)
    has_checkpoint = bool(checkpoint_files.checkpoints_of_training(folder))
    if not (has_checkpoint and storage.exists(path)):
        return {"fixed": {}, "variable": {}}
    return files.read_json(path, RUN_SETTINGS, "put it back, or name another folder")


def remember_settings(folder: str, fixed: Dict[str, Any], variable: Dict[str, Any]) -> None:
    """Writes down what a folder's checkpoints are made from."""
    fixed = dict(former_settings(folder)["fixed"], **fixed)
    output_files.write_json(
        os.path.join(folder, RUN_SETTINGS_FILE), {"fixed": fixed, "variable": variable}
    )


def _from_to(former, now):
    """A text such as " (a, now b)"; empty for what would not help a reader: digests, configs."""
    words = " (%s, now %s)" % (former, now)
    is_readable = len(words) < 100 and not isinstance(now, dict) and not _DIGEST.match(str(now))
    return words if is_readable else ""
