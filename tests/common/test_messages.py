"""Lines for the user appear once on the terminal, and in the log of a run."""

import logging
import sys

import pytest

from albert_zh.common.messages import say
from albert_zh.common.progress import progress_bar


class _Lines(logging.Handler):
    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


@pytest.mark.parametrize("has_log", [False, True])
def test_a_line_is_logged_where_a_run_has_a_log(monkeypatch, capsys, has_log):
    """Without a log, TensorFlow's logger would write the line to the terminal a second time."""
    logger, handler = logging.getLogger("tensorflow"), _Lines()
    monkeypatch.setattr(logger, "handlers", [handler])
    monkeypatch.setattr(logger, "propagate", not has_log)
    monkeypatch.setattr(logger, "level", logging.INFO)
    logger.manager._clear_cache()
    say("%d rows", 3)
    logger.manager._clear_cache()
    assert capsys.readouterr().out == "3 rows\n"
    assert handler.lines == (["3 rows"] if has_log else [])


def test_a_program_without_standard_streams_goes_on(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    logger, handler = logging.getLogger("tensorflow"), _Lines()
    monkeypatch.setattr(logger, "handlers", [handler])
    monkeypatch.setattr(logger, "propagate", False)
    monkeypatch.setattr(logger, "level", logging.INFO)
    logger.manager._clear_cache()
    say("%d rows", 3)
    logger.manager._clear_cache()
    with progress_bar("reading", 2, "row", delay=0, mininterval=0) as bar:
        bar.update(2)
    assert handler.lines == ["3 rows"] and bar.n == 2
