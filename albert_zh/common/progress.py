"""A progress bar for whatever takes longer than a few seconds."""

import io
import shutil
import sys
from typing import Any, Dict, Optional

from tqdm import tqdm

_LINE = "{desc}: {percentage:.0f}%% of {total_fmt}%s, {remaining} left\n"
_LINE_WITHOUT_TOTAL = "{desc}: {n_fmt}%s in {elapsed}\n"
_SECONDS_BETWEEN_LINES = 10
_SCALED_FROM = 10000  # larger numbers are shown as 12.3k


class _Lines(tqdm):
    """A bar whose states are lines of text, each of them shown once."""

    _shown = -1

    def display(self, msg=None, pos=None):
        if msg is None and self.n > self._shown:  # an empty message would clear the bar
            self._shown = self.n
            super().display(msg, pos)

    def close(self):
        self.fp = io.StringIO()  # gets the line break that would end the bar
        super().close()


def _counted(unit):
    """What follows a number of such units: "row" -> " rows"."""
    if unit in ("", "B"):
        return unit
    return " " + unit + ("es" if unit.endswith("ch") else "s")


def progress_bar(
    description: Optional[str], total: Optional[int], unit: str, **settings: Any
) -> tqdm:
    """A bar with rate and time left; a line now and then where stderr is no terminal.

    Args:
        description: what is being done; None for nothing.
        total: what `update` adds up to at the end; None where that is not known.
        unit: as "row"; "B" for bytes.
        **settings: further settings of tqdm, in place of those here.
    """
    on_terminal = sys.stderr is not None and sys.stderr.isatty()
    line = _LINE_WITHOUT_TOTAL if total is None else _LINE
    size = shutil.get_terminal_size()  # tqdm shows nothing on a terminal of unknown size
    defaults: Dict[str, Any] = {
        "unit_scale": unit == "B" or (total or 0) >= _SCALED_FROM,
        "mininterval": 0.2 if on_terminal else _SECONDS_BETWEEN_LINES,
        "delay": 0 if on_terminal else _SECONDS_BETWEEN_LINES,
        "bar_format": None if on_terminal else line % _counted(unit),
        "ncols": size.columns,
        "nrows": size.lines,
    }
    if not on_terminal:
        settings.pop("leave", None)  # nothing can be cleared there
    if sys.stderr is None:  # as of a program without a terminal
        settings["file"] = io.StringIO()
    kind = tqdm if on_terminal else _Lines
    return kind(desc=description, total=total, unit=unit, **dict(defaults, **settings))
