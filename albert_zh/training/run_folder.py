"""The output folder of a run: its lock, its log, and the settings that it was started with."""

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

_IN_WORDS = {"ngram_length": "length of n-grams"}  # of settings that are no flags
_DIGEST = re.compile("[0-9a-f]{64}$")


class _RunLog(logging.FileHandler):
    """The log of a run; its file also serves as the lock."""


@contextlib.contextmanager
def logs_of_host() -> Iterator[None]:
    """Restores the logging and warnings of the surrounding program when a run has ended.

    This also closes the log of the run, which releases the lock of its folder.
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
    """The loggers of TensorFlow and of Python's warnings."""
    return tf.get_logger(), logging.getLogger("py.warnings")


def _without_run_log(logger):
    return [handler for handler in logger.handlers if not isinstance(handler, _RunLog)]


def _close_run_logs(loggers):
    for logger in loggers:
        for handler in logger.handlers:
            if isinstance(handler, _RunLog):
                handler.close()


def open_output_folder(folder: str, worker: Optional[str] = None) -> None:
    """Creates the output folder and sends TensorFlow's log and Python's warnings to a file in it.

    The log file is locked, so that two runs cannot write to the same folder. If the folder is
    remote, the log is in the scratch folder until the run ends, and the lock only works between
    runs on this machine.

    Args:
        folder: the output folder.
        worker: name of a worker that only helps the process that saves, see `flags.helper_name`;
            None for that process.

    Raises:
        UserError: if the folder cannot be written to, or another run is using it.
    """
    target = path_rules.output_folder(folder, "--output_dir=%s" % folder)
    checkpoint_files.check_no_pattern(storage.absolute(folder), "--output_dir=%s" % folder)
    path = _log_file(folder, worker)
    try:
        storage.make_folders(target)
        handler: Any = _RunLog(path, encoding="utf-8")
        handler.handleError = lambda record: None  # full disk: the run's own writes report it
    except OSError as error:
        named = folder if storage.is_remote(folder) else path
        raise files.cannot_write(named, error) from error
    loggers = _loggers()
    _close_run_logs(loggers)
    try:
        fcntl.flock(handler.stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserError("--output_dir=%s: another run is using it" % folder) from error
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
    """Logs a Python warning; a warning for the user is also printed."""
    del file
    if issubclass(category, UserNotice):
        say("warning: %s", message)
        return
    shown = warnings.formatwarning(message, category, filename, lineno, line)
    logging.getLogger("py.warnings").warning("%s", shown)


def _log_file(folder, worker):
    """The path of a run's log, also its lock; it is local even if the output folder is remote."""
    path = os.path.join(folder, "train.%s.log" % worker if worker else LOG_FILE)
    return transfer.local_stand_in(path)


@contextlib.contextmanager
def uploaded_log(folder: Optional[str], worker: Optional[str] = None) -> Iterator[None]:
    """Uploads the log of a run to its output folder at the end, if the folder is remote.

    Args:
        folder, worker: as in `open_output_folder`; `folder` is None if the flags name none.
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
    """Checks that an output folder does not hold a different run.

    Args:
        folder: the output folder; it is only checked if it holds a checkpoint.
        fixed: {name: value} of the settings that determine a model (data, config, vocabulary, rate
            ...): if one differs from the run in the folder, that is an error.
        variable: {name: value} of the settings that may change when a run is resumed (epochs);
            changes are reported.

    Returns:
        the names in `variable` whose values have changed.

    Raises:
        UserError: if the folder holds checkpoints of another run.
    """
    former, variable = former_settings(folder), variable or {}
    recorded = former["fixed"] and _with_values_before(former["fixed"])
    for name in sorted(set(fixed) & set(recorded)):
        if recorded[name] != fixed[name]:
            raise UserError(
                "%s contains a run with another %s%s: name another folder (--output_dir, "
                "OUTPUT_DIR for the scripts) or remove this one"
                % (folder, _IN_WORDS.get(name, name), _from_to(recorded[name], fixed[name]))
            )
    former_values = dict(variable, **former["variable"])
    changed = [n for n, value in sorted(variable.items()) if former_values[n] != value]
    for name in changed:
        say(
            "note: the run in %s continues with another %s: %s, formerly %s",
            folder,
            name,
            variable[name],
            former_values[name],
        )
    return changed


def _with_values_before(fixed):
    """Recorded settings, with the values of those that earlier versions neither had nor recorded.

    Their tables of n-grams had pairs; a run without a table has no length of n-grams.
    """
    of_table = {"ngram_length": 2} if fixed.get("ngram_rows") else {}
    return {"ngram_rows": 0, **of_table, **fixed}


def tensorflow_version() -> Dict[str, str]:
    """{"TensorFlow": "2.15"}: it may change on resumption, as weights may change by rounding."""
    return {"TensorFlow": ".".join(tf.__version__.split(".")[:2])}


def former_settings(folder: str) -> Dict[str, Dict[str, Any]]:
    """The settings that `remember_settings` wrote to a folder; empty dicts if there are none."""
    path = os.path.join(folder, RUN_SETTINGS_FILE)
    has_checkpoint = bool(checkpoint_files.checkpoints_of_training(folder))
    if not (has_checkpoint and storage.exists(path)):
        return {"fixed": {}, "variable": {}}
    settings = files.read_json(path, RUN_SETTINGS, "restore it, or name another folder")
    config = settings["fixed"].get("config")
    if isinstance(config, dict) and isinstance(config.get("hidden_act"), str):
        config["hidden_act"] = config["hidden_act"].lower()  # earlier versions kept "GELU"
    return settings


def remember_settings(folder: str, fixed: Dict[str, Any], variable: Dict[str, Any]) -> None:
    """Saves the settings from which a folder's checkpoints are trained."""
    fixed = dict(former_settings(folder)["fixed"], **fixed)
    output_files.write_json(
        os.path.join(folder, RUN_SETTINGS_FILE), {"fixed": fixed, "variable": variable}
    )


def _from_to(former, now):
    """A text such as " (a, now b)"; empty for values that do not help users: digests, configs."""
    words = " (%s, now %s)" % (former, now)
    is_readable = len(words) < 100 and not isinstance(now, dict) and not _DIGEST.match(str(now))
    return words if is_readable else ""
