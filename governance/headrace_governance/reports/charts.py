"""Charts as inline SVG: each has a title for screen readers, a tooltip a mark, and colours from the page's own variables."""

from __future__ import annotations

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


def legend(*names: str) -> Element:
    """The key of a chart of steps."""
    return el("div", [el("span", el("i", class_=f"k{min(4, i + 1)}"), name) for i, name in enumerate(names)], class_="key")


def _length(value: float, most: float, room: float) -> float:
    return round(max(0.0, value) / most * room, 1)


def _svg(title: str, marks: list[Child], height: float, width: int) -> Element:
    return el("svg", el("title", title), *marks, viewBox=f"0 0 {width} {max(height, 1):g}", role="img", aria_label=title)
