"""benchmarks/training_costs.py, and the table of docs/tpu.md, which is its output."""

import os
import re
import subprocess
import sys

import pytest

from workspace import ROOT

PROGRAM = os.path.join(ROOT, "benchmarks", "training_costs.py")


def printed(*arguments):
    """(exit status, the cells of each row, standard error)."""
    command = [sys.executable, PROGRAM] + list(arguments)
    done = subprocess.run(command, capture_output=True, text=True)
    rows = [line.strip("| \n").split(" | ") for line in done.stdout.split("\n")[2:] if line]
    return done.returncode, rows, done.stderr


def number_of(cell):
    """The number in a cell; 5.86e+08 equals the page's 5.86 × 10^8."""
    plain = re.sub(r" × 10\^(\d+)", r"e\1", cell).replace(",", "")
    return float(plain) if re.match(r"[\d.]+(e[+\d]+)?$", plain) else plain


@pytest.mark.parametrize("page", ["tpu.md", "tpu_zh.md"])
def test_the_page_has_what_the_command_prints(page):
    with open(os.path.join(ROOT, "docs", page), encoding="utf-8") as handle:
        lines = [line for line in handle if re.match(r"\| [a-z_]+ \| [\d.]+ × 10", line)]
    of_page = [list(map(number_of, line.strip("| \n").split(" | "))) for line in lines]
    _, rows, _ = printed("--prices=v3-8=8,8xA100=24")
    prices = [[cell.split(" = ")[1] for cell in row if " = " in cell] for row in rows]
    hours = [[cell.split(" = ")[0] for cell in row] for row in rows]
    expected = [list(map(number_of, row + more)) for row, more in zip(hours, prices)]
    assert of_page == expected and len(rows) == 5


# Multiplications per token of base, by hand: 12 layers of 768 x (4 x 768 + 2 x 3072) weights and
# 2 x 512 x 768 for attention; the look-up of 21128 words with 128 values, projected to 768; 77 of
# 512 positions projected back to words.
WEIGHTS_OF_LAYER = 7077888
BASE = 12 * (WEIGHTS_OF_LAYER + 786432) + 2704384 + 98304 + (98304 + 2704384) * 77 / 512


def test_operations_hours_and_prices():
    _, ((_, operations, hours, *_),), _ = printed(
        "--configs=base", "--machines=v3-8,v3-16", "--prices=v3-8=2.5"
    )
    assert operations == "%.2e" % (6 * BASE)
    expected = 125000 * 4096 * 512 * 6 * BASE / (8 * 52.5e12 * 0.4) / 3600
    assert hours == "%.0f = %.0f" % (expected, 2.5 * expected)


@pytest.mark.parametrize(
    "slow, seconds",
    [("--records_of_core=10", 1000 * 8 / (10 * 8)), ("--megabytes_of_host=0.01", 8000 * 0.2754)],
)
def test_input_that_is_slower_than_the_devices_counts(slow, seconds):
    numbers = ["--configs=tiny", "--machines=8xA100", "--steps=1000", "--batch=8"]
    _, ((*_, hours, least, most),), _ = printed(slow, *numbers)
    assert hours == "%.1f (input)" % (seconds / 3600)
    assert least == most == f"{8000 / seconds:,.0f}"


def test_shorter_records_are_read_and_parsed_as_much_faster():
    """A quarter of the tokens takes a quarter of the time, unless --record_bytes is given."""
    slow = "--megabytes_of_host=0.01"
    numbers = ["--configs=tiny", "--machines=8xA100", "--steps=1000", "--batch=8", "--length=128"]
    _, ((*_, hours, _, _),), _ = printed(slow, *numbers)
    assert hours == "%.1f (input)" % (8000 * 0.2754 / 4 / 3600)
    _, ((*_, hours, _, _),), _ = printed(slow, "--record_bytes=2754", *numbers)
    assert hours == "%.1f (input)" % (8000 * 0.2754 / 3600)
    _, ((*_, least, _),), _ = printed("--parsing_cores=1", "--usage=1e6", *numbers[:3], numbers[4])
    assert least == f"{4 * 9962:,}"


@pytest.mark.parametrize(
    "argument, message",
    [
        ("--machines=a100", "--machines: a100: expected names such as v3-32 or 8xA100"),
        ("--prices=v3-8", "--prices=v3-8: expected MACHINE=PRICE"),
        ("--length=0", "--length=0: expected more than 0"),
        ("--usage=0", "--usage=0.0: expected more than 0"),
    ],
)
def test_mistakes_are_named(argument, message):
    status, _, error = printed(argument)
    assert status == 2 and "error: " + message in error and "Traceback" not in error
