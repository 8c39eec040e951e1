"""Draws figures with matplotlib without a display; matplotlib is loaded on first use.

pyplot is not used, since the calling program, such as a notebook, may itself use pyplot with a
backend that it has chosen.
"""

import itertools
from typing import Any, Optional, Tuple

from albert_zh.common import library_logs, output_files, package_files


def is_installed() -> bool:
    """Whether matplotlib is installed."""
    try:
        # It logs when it builds its font cache, and where it stores it if there is no HOME.
        with library_logs.errors_only():
            import matplotlib.figure  # noqa: F401
    except ImportError:
        return False
    return True


def subplots(
    rows: int = 1, columns: int = 1, sharey: bool = False, **settings: Any
) -> Tuple[Any, Any]:
    """Returns (figure, axes) like `subplots` of pyplot; `settings` are passed to the figure."""
    from matplotlib.figure import Figure

    figure = Figure(**settings)
    return figure, figure.subplots(rows, columns, sharey=sharey)


def save(figure: Any, path: str) -> None:
    """Writes a figure as PNG, atomically."""
    with output_files.atomic_write(path, "wb") as stream, library_logs.errors_only():
        figure.savefig(stream, format="png", dpi=120, bbox_inches="tight")


def font_for(text: str) -> Optional[Any]:
    """Finds a font with glyphs for all characters of a text: the default, ours or the system's.

    Args:
        text: the text to draw; its whitespace is ignored.

    Returns:
        matplotlib's `FontProperties`; None if no font has all the characters.
    """
    from matplotlib import font_manager

    default = font_manager.findfont(font_manager.FontProperties())
    for path in itertools.chain([default, package_files.FONT], _system_fonts(font_manager)):
        if _has_glyphs(path, text):
            return font_manager.FontProperties(fname=path)
    return None


def _system_fonts(font_manager):
    """Yields paths of installed fonts; the search starts when the first one is requested."""
    yield from sorted(font_manager.findSystemFonts())


def _has_glyphs(path, text):
    from matplotlib.ft2font import FT2Font

    try:
        there = FT2Font(path).get_charmap()
    except (OSError, RuntimeError):  # not a readable font file
        return False
    return all(ord(character) in there for character in text if not character.isspace())
