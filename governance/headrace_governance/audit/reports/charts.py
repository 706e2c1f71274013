"""Charts as inline SVG: where each mark lies, and how long it is; `charts.html.j2` draws them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from headrace_governance.audit.reports.html import environment

WIDTH = 1000
_LABEL, _VALUE, _ROW = 190, 110, 24


def bars(title: str, rows: Sequence[tuple[str, float, str]], *, label: int = _LABEL, width: int = WIDTH) -> Markup:
    """Horizontal bars: (name, value, value as shown), drawn in the order given."""
    most = max((value for _, value, _ in rows), default=0.0) or 1.0
    marks = [
        {"name": name, "shown": shown, "y": i * _ROW, "length": _length(value, most, width - label - _VALUE), "height": _ROW - 8}
        for i, (name, value, shown) in enumerate(rows)
    ]
    return _drawn("bars", title, width, len(rows) * _ROW, label=label, marks=marks)


def waterfall(title: str, steps: Sequence[tuple[str, float, str]], *, width: int = WIDTH) -> Markup:
    """What remains step by step, with what each step lost drawn above it: (name, value, value as shown)."""
    height, base = 230, 196
    most = max((value for _, value, _ in steps), default=0.0) or 1.0
    pitch = width / max(1, len(steps))
    marks: list[dict[str, Any]] = []
    before: float | None = None
    for i, (name, value, shown) in enumerate(steps):
        lost = before is not None and before > value
        marks.append(
            {
                "name": name,
                "shown": shown,
                "share": f" ({value / before:.0%})" if before else "",
                "gone": f"{1 - value / before:.0%}" if lost and before else "",
                "lost": _length(before - value, most, base - 34) if lost and before else 0.0,
                "tall": _length(value, most, base - 34),
                "x": i * pitch + pitch * 0.16,
                "wide": pitch * 0.68,
                "colour": min(4, i + 1),
            }
        )
        before = value
    return _drawn("waterfall", title, width, height, base=base, marks=marks)


def nested(title: str, rows: Sequence[tuple[str, Sequence[float], str]], *, label: int = _LABEL) -> Markup:
    """One bar a row in which each value lies within the one before it: (name, values from the largest, value as shown)."""
    most = max((values[0] for _, values, _ in rows if values), default=0.0) or 1.0
    room = WIDTH - label - _VALUE
    drawn = []
    for i, (name, values, shown) in enumerate(rows):
        insets = [3 + level * 1.5 for level in range(len(values))]
        within = [
            {
                "inset": inset,
                "length": _length(value, most, room),
                "height": _ROW - 2 * inset,
                "shown": f"{value:,.0f}",
                "colour": min(4, level + 1),
            }
            for level, (value, inset) in enumerate(zip(values, insets, strict=True))
        ]
        length = _length(values[0] if values else 0, most, room)
        drawn.append({"name": name, "shown": shown, "y": i * _ROW, "bars": within, "length": length})
    return _drawn("nested", title, WIDTH, len(rows) * _ROW, label=label, rows=drawn)


def curve(
    title: str,
    raw: Sequence[tuple[float, float]],
    *,
    smooth: Sequence[tuple[float, float]] = (),
    limit: tuple[float, str] | None = None,
    marks: Sequence[tuple[float, str]] = (),
    x_name: str,
    y_name: str,
    width: int = WIDTH,
) -> Markup:
    """A line over a measured quantity: the points as they are (pale), smoothed (dark), a level to compare with, places that are marked.

    Args:
        raw: (x, y), x ascending; a point without a finite y is left out.
        limit: a level and its name.
        marks: (x, what happened there).
    """
    points = [(x, y) for x, y in raw if math.isfinite(y)]
    if not points:
        return Markup('<p class="quiet">no point to draw yet</p>')
    left, right, top, height = 56, 16, 14, 270
    base = height - 34
    values = [y for _, y in points] + ([limit[0]] if limit else [])
    low, high = min(values), max(values)
    steps = ticks(low, high)
    low, high = min(low, steps[0]), max(high, steps[-1])
    first, last = points[0][0], points[-1][0]

    def at(x: float, y: float) -> tuple[float, float]:
        across = (x - first) / ((last - first) or 1)
        return round(left + across * (width - left - right), 1), round(base - (y - low) / ((high - low) or 1) * (base - top), 1)

    lines = ((points, "l1" if smooth else "l2"), (smooth, "l2"))
    return _drawn(
        "curve",
        title,
        width,
        height,
        left=left,
        right=right,
        top=top,
        base=base,
        levels=[(at(first, y)[1], f"{y:g}") for y in steps],
        places=[(at(x, low)[0], short(x)) for x in ticks(first, last) if first <= x <= last],
        limit=(at(first, limit[0])[1], limit[1]) if limit else None,
        marks=[(at(x, low)[0], what) for x, what in marks if first <= x <= last],
        lines=[(" ".join(f"{x},{y}" for x, y in (at(*p) for p in thinned(line, width))), kind) for line, kind in lines if line],
        x_name=x_name,
        y_name=y_name,
    )


def sparkline(title: str, points: Sequence[tuple[float, float]]) -> Markup:
    """A line without axes, for a table's cell."""
    some = thinned([(x, y) for x, y in points if math.isfinite(y)], 80)
    if len(some) < 2:
        return Markup("")
    width, height = 120, 24
    first, last = some[0][0], some[-1][0]
    low, high = min(y for _, y in some), max(y for _, y in some)
    drawn = " ".join(
        f"{(x - first) / ((last - first) or 1) * width:.1f},{2 + (high - y) / ((high - low) or 1) * (height - 4):.1f}" for x, y in some
    )
    return _drawn("sparkline", title, width, height, points=drawn)


def thinned(points: Sequence[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """At most about so many points; of each stretch the lowest and the highest, so that no spike is lost."""
    if len(points) <= most:
        return list(points)
    stretch = math.ceil(2 * len(points) / most)
    kept: list[tuple[float, float]] = []
    for i in range(0, len(points), stretch):
        some = points[i : i + stretch]
        kept += sorted({min(some, key=lambda p: p[1]), max(some, key=lambda p: p[1])})
    return kept


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers from at most `low` to at least `high`."""
    span = (high - low) or abs(high) or 1.0
    size = 10 ** math.floor(math.log10(span / most))
    step = next(size * m for m in (1, 2, 5, 10) if span / (size * m) <= most)
    count = max(1, math.ceil(high / step) - math.floor(low / step))
    return [round((math.floor(low / step) + i) * step, 10) for i in range(count + 1)]


def short(value: float) -> str:
    """A large number for people: `1.2 M`."""
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f}"


def _length(value: float, most: float, room: float) -> float:
    return round(max(0.0, value) / most * room, 1)


def _drawn(macro: str, title: str, width: int, height: float, **values: Any) -> Markup:
    """A chart of `charts.html.j2`."""
    module = environment().get_template("headrace_governance.audit.reports/charts.html.j2").module
    return Markup(getattr(module, macro)(title, width, f"{max(height, 1):g}", **values))
