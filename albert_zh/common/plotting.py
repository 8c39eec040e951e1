"""Pictures without a screen: matplotlib, loaded only when one is drawn."""

import logging

from albert_zh.common import files


def pyplot():
    """matplotlib's pyplot; None where it is not installed."""
    try:
        import matplotlib
    except ImportError:
        return None
    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # it tells when it builds its cache
    matplotlib.use("Agg")
    from matplotlib import pyplot as loaded

    return loaded


def save(figure, path):
    """Writes a figure as PNG, whole or not at all, and closes it."""
    with files.atomic_write(path, "wb") as handle:
        figure.savefig(handle, format="png", dpi=120, bbox_inches="tight")
    pyplot().close(figure)
