"""The progress bar in output that is not a terminal."""

import io

import pytest

from albert_zh.common import progress


@pytest.mark.parametrize(
    "total, unit, expected",
    [(9, "batch", "9 batches"), (240000, "row", "240k rows"), (5000, "B", "5.00kB"), (9, "", "9")],
)
def test_numbers_of_a_line(total, unit, expected, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("tqdm.std.time", lambda: clock[0])
    shown = io.StringIO()
    with progress.progress_bar("counting", total, unit, file=shown) as bar:
        clock[0] += 30
        bar.update(total)
    assert shown.getvalue().strip("\r ") == "counting: 100%% of %s, 00:00 left\n" % expected


def test_lines_now_and_then_and_nothing_for_what_is_quick(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("tqdm.std.time", lambda: clock[0])
    shown = io.StringIO()
    bar = progress.progress_bar("counting", 200, "row", leave=False, file=shown)
    for _ in range(40):
        clock[0] += 1.0
        if bar.update(5):  # a line was due
            bar.refresh()  # as tqdm's monitor does when lines are rare
    bar.close()
    lines = shown.getvalue().replace("\r", "").strip("\n ").split("\n")
    assert 2 <= len(lines) <= 6
    assert lines[0].startswith("counting: ") and "row" in lines[0] and "left" in lines[0]
    assert lines[-1].startswith("counting: 100% of 200 rows, 00:00 left")
    assert len(set(lines)) == len(lines) and "\n\n" not in shown.getvalue()
    quick = io.StringIO()
    with progress.progress_bar("counting", 10, "row", leave=False, file=quick) as bar:
        bar.update(10)
    assert quick.getvalue() == ""


def test_work_of_unknown_size_shows_what_is_done(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("tqdm.std.time", lambda: clock[0])
    shown = io.StringIO()
    with progress.progress_bar("counting", None, "batch", file=shown) as bar:
        clock[0] += 30
        bar.update(12)
    assert shown.getvalue().strip("\r ") == "counting: 12 batches in 00:30\n"
