"""Charts as inline SVG: each has a title for screen readers, a tooltip a mark, and colours from the page's own variables."""

from __future__ import annotations

import math
from collections.abc import Sequence

from headrace_governance.reports.html import Child, Element, el

WIDTH = 1000
_LABEL, _VALUE, _ROW = 190, 110, 24


def bars(title: str, rows: Sequence[tuple[str, float, str]], *, label: int = _LABEL, width: int = WIDTH) -> Element:
    """Horizontal bars: (name, value, value as shown), drawn in the order given."""
    most = max((value for _, value, _ in rows), default=0.0) or 1.0
    room = width - label - _VALUE
    marks: list[Child] = []
    for i, (name, value, shown) in enumerate(rows):
        y = i * _ROW
        marks += [
            el("text", name, x=label - 10, y=y + 16, text_anchor="end"),
            el(
                "rect",
                el("title", f"{name}: {shown}"),
                x=label,
                y=y + 4,
                width=_length(value, most, room),
                height=_ROW - 8,
                rx=2,
                class_="s3",
            ),
            el("text", shown, x=label + _length(value, most, room) + 8, y=y + 16, class_="soft"),
        ]
    return _svg(title, marks, len(rows) * _ROW, width)


def waterfall(title: str, steps: Sequence[tuple[str, float, str]], *, width: int = WIDTH) -> Element:
    """What remains step by step, with what each step lost drawn above it: (name, value, value as shown)."""
    height, base = 230, 196
    most = max((value for _, value, _ in steps), default=0.0) or 1.0
    pitch = width / max(1, len(steps))
    marks: list[Child] = [el("line", x1=0, x2=width, y1=base, y2=base, class_="grid")]
    before: float | None = None
    for i, (name, value, shown) in enumerate(steps):
        tall, x, wide = _length(value, most, base - 34), i * pitch + pitch * 0.16, pitch * 0.68
        lost = 0.0
        if before is not None and before > value:
            lost = _length(before - value, most, base - 34)
            gone = el("title", f"{name}: {1 - value / before:.0%} of the step before is gone")
            marks.append(el("rect", gone, x=x, y=base - tall - lost, width=wide, height=lost, class_="lost"))
        share = "" if before is None else f" ({value / before:.0%})" if before else ""
        marks += [
            el("rect", el("title", f"{name}: {shown}"), x=x, y=base - tall, width=wide, height=tall, rx=2, class_=f"s{min(4, i + 1)}"),
            el("text", f"{shown}{share}", x=x + wide / 2, y=base - tall - 8 - (lost if lost < 20 else 0), text_anchor="middle"),
            el("text", name, x=x + wide / 2, y=base + 20, text_anchor="middle", class_="soft"),
        ]
        before = value
    return _svg(title, marks, height, width)


def nested(title: str, rows: Sequence[tuple[str, Sequence[float], str]], *, label: int = _LABEL) -> Element:
    """One bar a row in which each value lies within the one before it: (name, values from the largest, value as shown)."""
    most = max((values[0] for _, values, _ in rows if values), default=0.0) or 1.0
    room = WIDTH - label - _VALUE
    marks: list[Child] = []
    for i, (name, values, shown) in enumerate(rows):
        y = i * _ROW
        marks.append(el("text", name, x=label - 10, y=y + 16, text_anchor="end"))
        for level, value in enumerate(values):
            inset = 3 + level * 1.5
            tip = el("title", f"{name}: {value:,.0f}")
            wide = _length(value, most, room)
            marks.append(el("rect", tip, x=label, y=y + inset, width=wide, height=_ROW - 2 * inset, rx=2, class_=f"s{min(4, level + 1)}"))
        marks.append(el("text", shown, x=label + _length(values[0] if values else 0, most, room) + 8, y=y + 16, class_="soft"))
    return _svg(title, marks, len(rows) * _ROW, WIDTH)


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
) -> Element:
    """A line over a measured quantity: the points as they are (pale), smoothed (dark), a level to compare with, places that are marked.

    Args:
        raw: (x, y), x ascending; a point without a finite y is left out.
        limit: a level and its name.
        marks: (x, what happened there).
    """
    points = [(x, y) for x, y in raw if math.isfinite(y)]
    if not points:
        return el("p", "no point to draw yet", class_="quiet")
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

    drawn: list[Child] = []
    for y in steps:
        _, place = at(first, y)
        drawn += [
            el("line", x1=left, x2=width - right, y1=place, y2=place, class_="grid"),
            el("text", f"{y:g}", x=left - 8, y=place + 4, text_anchor="end", class_="soft"),
        ]
    for x in ticks(first, last):
        if first <= x <= last:
            place, _ = at(x, low)
            drawn.append(el("text", short(x), x=place, y=base + 18, text_anchor="middle", class_="soft"))
    drawn.append(el("line", x1=left, x2=width - right, y1=base, y2=base, class_="axis"))
    if limit:
        _, place = at(first, limit[0])
        drawn += [
            el("line", x1=left, x2=width - right, y1=place, y2=place, class_="limit"),
            el("text", limit[1], x=width - right, y=place + 14, text_anchor="end", class_="soft"),
        ]
    for x, what in marks:
        if first <= x <= last:
            place, _ = at(x, low)
            drawn += [
                el("line", el("title", what), x1=place, x2=place, y1=top, y2=base, class_="launch"),
                el("text", what, x=place + 5, y=top + 10, class_="launched"),
            ]
    for line, kind in ((points, "l1" if smooth else "l2"), (smooth, "l2")):
        if line:
            drawn.append(el("polyline", points=" ".join(f"{x},{y}" for x, y in (at(*p) for p in thinned(line, width))), class_=kind))
    drawn += [
        el("text", y_name, x=left, y=top - 3, class_="soft"),
        el("text", x_name, x=width - right, y=base + 32, text_anchor="end", class_="soft"),
    ]
    return _svg(title, drawn, height, width)


def sparkline(title: str, points: Sequence[tuple[float, float]]) -> Element:
    """A line without axes, for a table's cell."""
    some = thinned([(x, y) for x, y in points if math.isfinite(y)], 80)
    if len(some) < 2:
        return Element("")
    width, height = 120, 24
    first, last = some[0][0], some[-1][0]
    low, high = min(y for _, y in some), max(y for _, y in some)
    drawn = " ".join(
        f"{(x - first) / ((last - first) or 1) * width:.1f},{2 + (high - y) / ((high - low) or 1) * (height - 4):.1f}" for x, y in some
    )
    line = el("polyline", points=drawn, class_="l2")
    return el("svg", el("title", title), line, viewBox=f"0 0 {width} {height}", role="img", aria_label=title, class_="spark")


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


def legend(*names: str) -> Element:
    """The key of a chart of steps."""
    return el("div", [el("span", el("i", class_=f"k{min(4, i + 1)}"), name) for i, name in enumerate(names)], class_="key")


def _length(value: float, most: float, room: float) -> float:
    return round(max(0.0, value) / most * room, 1)


def _svg(title: str, marks: list[Child], height: float, width: int) -> Element:
    return el("svg", el("title", title), *marks, viewBox=f"0 0 {width} {max(height, 1):g}", role="img", aria_label=title)
