"""The results of objectives.py: a Markdown table and a chart.

print("\n".join(table(rows, plan)))
draw(rows, titles, "objectives.png")
"""

import statistics

from albert_zh.common import plotting


def table(rows, plan):
    """Yields the lines of a Markdown table.

    Args:
        rows: {objective: {column: scores of the seeds}}.
        plan: {objective: steps}.
    """
    names = list(next(iter(rows.values())))
    yield "| objective | steps | %s |" % " | ".join(names)
    yield "|---|---:|%s" % ("---:|" * len(names))
    for name, scores in rows.items():
        cells = [_cell(scores[what]) for what in names]
        yield "| %s | %s | %s |" % (name, format(plan[name], ","), " | ".join(cells))


def _cell(scores):
    if scores[0] != scores[0]:
        return "–"
    spread = " ± %.2f" % statistics.stdev(scores) if len(scores) > 1 else ""
    return "%.2f%s" % (statistics.mean(scores), spread)


def draw(rows, titles, path):
    """Draws a panel for each score: means and standard deviations over the seeds.

    Args:
        rows: as for `table`.
        titles: {column: title of its panel}.
        path: file to write.
    """
    names = list(next(iter(rows.values())))
    figure, panels = plotting.subplots(
        1, len(names), figsize=(2.6 * len(names) + 2, 3.2), sharey=True, squeeze=False
    )
    labels = list(rows)[::-1]
    for panel, what in zip(panels[0], names):
        means = [statistics.mean(rows[name][what]) for name in labels]
        spreads = [
            statistics.stdev(rows[name][what]) if len(rows[name][what]) > 1 else 0.0
            for name in labels
        ]
        panel.errorbar(means, labels, xerr=spreads, fmt="o", capsize=3)
        panel.margins(x=0.2, y=0.15)
        panel.set_title(titles.get(what, what))
        panel.grid(axis="x", alpha=0.3)
    plotting.save(figure, path)
    print("chart: %s" % path)
