"""A progress bar for whatever takes longer than a few seconds."""

import shutil
import sys

from tqdm import tqdm

_LINE = "{desc}: {percentage:.0f}% of {total_fmt}{unit}, {rate_fmt}, {remaining} left\n"
_SECONDS_BETWEEN_LINES = 10


def progress_bar(description, total, unit, **settings):
    """A bar with rate and time left; a line now and then where stderr is no terminal.

    Args:
        description: str, what is being done; None for nothing.
        total: int, what `update` adds up to at the end.
        unit: str.
        **settings: further settings of tqdm, in place of those here.

    Returns:
        `tqdm.tqdm`.
    """
    on_terminal = sys.stderr is not None and sys.stderr.isatty()
    size = shutil.get_terminal_size()  # tqdm shows nothing on a terminal that tells it none
    defaults = {
        "unit_scale": True,
        "mininterval": 0.2 if on_terminal else _SECONDS_BETWEEN_LINES,
        "delay": 0 if on_terminal else _SECONDS_BETWEEN_LINES,
        "bar_format": None if on_terminal else _LINE,
        "ncols": size.columns,
        "nrows": size.lines,
    }
    if not on_terminal:
        settings.pop("leave", None)  # nothing can be cleared there
    return tqdm(desc=description, total=total, unit=unit, **dict(defaults, **settings))
