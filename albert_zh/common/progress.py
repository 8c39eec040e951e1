"""Progress bars for anything that takes longer than a few seconds."""

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
    """A progress bar that prints each state once, as a line of text."""

    _shown = -1

    def display(self, msg=None, pos=None):
        if msg is None and self.n > self._shown:  # tqdm clears the bar with an empty message
            self._shown = self.n
            super().display(msg, pos)

    def close(self):
        self.fp = io.StringIO()  # swallows the line break with which tqdm ends the bar
        super().close()


def _counted(unit):
    """Returns a unit in the form that follows a number: "row" -> " rows"."""
    if unit in ("", "B"):
        return unit
    return " " + unit + ("es" if unit.endswith("ch") else "s")


def progress_bar(
    description: Optional[str], total: Optional[int], unit: str, **settings: Any
) -> tqdm:
    """Progress bar with rate and remaining time; prints lines if stderr is not a terminal.

    Args:
        description: what is being done; None for no description.
        total: the sum of all calls of `update`; None if it is not known.
        unit: unit in the singular, such as "row"; "B" for bytes.
        **settings: further settings of tqdm, which override the defaults set here.
    """
    on_terminal = sys.stderr is not None and sys.stderr.isatty()
    line = _LINE_WITHOUT_TOTAL if total is None else _LINE
    size = shutil.get_terminal_size()  # without it tqdm shows nothing if the size is unknown
    defaults: Dict[str, Any] = {
        "unit_scale": unit == "B" or (total or 0) >= _SCALED_FROM,
        "mininterval": 0.2 if on_terminal else _SECONDS_BETWEEN_LINES,
        "delay": 0 if on_terminal else _SECONDS_BETWEEN_LINES,
        "bar_format": None if on_terminal else line % _counted(unit),
        "ncols": size.columns,
        "nrows": size.lines,
    }
    if not on_terminal:
        settings.pop("leave", None)  # printed lines cannot be cleared
    if sys.stderr is None:  # it is None in a program without a terminal
        settings["file"] = io.StringIO()
    kind = tqdm if on_terminal else _Lines
    return kind(desc=description, total=total, unit=unit, **dict(defaults, **settings))
