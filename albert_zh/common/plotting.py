"""Pictures without a screen: matplotlib, loaded only when one is drawn."""

import itertools
import logging

from albert_zh.common import output_files, package_files


def pyplot():
    """matplotlib's pyplot; None where it is not installed."""
    # It reports when it builds its cache, and where: a folder for temporary files, without a HOME.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    try:
        import matplotlib
    except ImportError:
        return None
    matplotlib.use("Agg")
    from matplotlib import pyplot as loaded

    return loaded


def save(figure, path):
    """Writes a figure as PNG, whole or not at all, and closes it."""
    with output_files.atomic_write(path, "wb") as stream:
        figure.savefig(stream, format="png", dpi=120, bbox_inches="tight")
    pyplot().close(figure)


def font_for(text):
    """A font that has all characters of a text: ours, or one of the system's.

    Args:
        text: str.

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
