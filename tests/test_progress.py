"""The progress bar where there is no terminal."""

import io

from albert_zh.common import progress


def test_lines_now_and_then_and_nothing_for_what_is_quick(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("tqdm.std.time", lambda: clock[0])
    shown = io.StringIO()
    bar = progress.progress_bar("counting", 200, "row", leave=False, file=shown)
    for _ in range(40):
        clock[0] += 1.0
        bar.update(5)
    bar.close()
    lines = shown.getvalue().replace("\r", "").strip("\n ").split("\n")
    assert 2 <= len(lines) <= 6
    assert lines[0].startswith("counting: ") and "row" in lines[0] and "left" in lines[0]
    assert lines[-1].startswith("counting: 100% of 200row")
    quick = io.StringIO()
    with progress.progress_bar("counting", 10, "row", leave=False, file=quick) as bar:
        bar.update(10)
    assert quick.getvalue() == ""
