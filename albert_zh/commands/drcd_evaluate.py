"""Scores predictions for DRCD with exact match and F1, by the rules of CMRC 2018, as is usual.

    python drcd_evaluate.py DRCD_test.json reading_output/dev_predictions.json
    python drcd_evaluate.py DRCD_test.json reading_output/dev_predictions.json metric.txt

Arguments and output are the same as those of cmrc2018_evaluate.py.
"""

from albert_zh.commands.cmrc2018_evaluate import define_flags, metric_line, run
from albert_zh.common.errors import run_command

__all__ = [
    "define_flags",
    "main",
    "metric_line",
    "run",
]


def main() -> None:
    """Runs the command line."""
    run_command(run, takes_words=True, description=__doc__)
