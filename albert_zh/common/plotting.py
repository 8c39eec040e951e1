"""Pictures without a screen: matplotlib, loaded only when one is drawn.

Its pyplot is left alone: the program that this is a part of, a notebook say, may show figures by
it, on a screen that it has chosen.
"""

import itertools
from typing import Any, Optional, Tuple

from albert_zh.common import library_logs, output_files, package_files


def is_installed() -> bool:
    """Whether there is matplotlib."""
    try:
        # It logs when it builds its cache, and where: a folder for temporary files, without a HOME.
        with library_logs.errors_only():
            import matplotlib.figure  # noqa: F401
    except ImportError:
        return False
    return True


def subplots(
    rows: int = 1, columns: int = 1, sharey: bool = False, **settings: Any
) -> Tuple[Any, Any]:
    """(figure, its axes) as of pyplot's function of that name; settings are the figure's."""
    from matplotlib.figure import Figure

    figure = Figure(**settings)
    return figure, figure.subplots(rows, columns, sharey=sharey)


def save(figure: Any, path: str) -> None:
    """Writes a figure as PNG, whole or not at all."""
    with output_files.atomic_write(path, "wb") as stream, library_logs.errors_only():
        figure.savefig(stream, format="png", dpi=120, bbox_inches="tight")


def font_for(text: str) -> Optional[Any]:
    """A font that has all characters of a text: ours, or one of the system's.

    Args:
        text: its blanks do not count.

    Returns:
        matplotlib's `FontProperties`; None where no font has them all.
    """
    from matplotlib import font_manager

    default = font_manager.findfont(font_manager.FontProperties())
    for path in itertools.chain([default, package_files.FONT], _system_fonts(font_manager)):
        if _has_glyphs(path, text):
            return font_manager.FontProperties(fname=path)
    return None


def _system_fonts(font_manager):
    """Yields paths of installed fonts; looked for only when the first is asked for."""
    yield from sorted(font_manager.findSystemFonts())


def _has_glyphs(path, text):
    from matplotlib.ft2font import FT2Font

    try:
        there = FT2Font(path).get_charmap()
    except (OSError, RuntimeError):  # no font that can be read
        return False
    return all(ord(character) in there for character in text if not character.isspace())
