"""Figures of the report as inline SVG: no script, readable in light and dark, with text for all.

Colours are classes that the page's style sheet defines. Widths are in units of a 360 unit wide
drawing, so that 12 unit text is readable on a phone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape

import numpy as np

_WIDTH = 360
_LABELS = 112  # units kept for labels on the left
_VALUES = 44  # units kept for values on the right
_ROW = 22


@dataclass(frozen=True)
class Row:
    """One line of an interval chart.

    Attributes:
        label: Its name.
        value: The estimate; nothing is drawn when it is NaN.
        inner: The narrower interval, drawn thick; None for none.
        outer: The wider interval, drawn thin; None for none.
        strong: Whether it is the chosen method.
    """

    label: str
    value: float
    inner: tuple[float, float] | None = None
    outer: tuple[float, float] | None = None
    strong: bool = False


def interval_chart(
    title: str, rows: list[Row], low: float, high: float, *, mark: float | None = None
) -> str:
    """Returns a chart of estimates and intervals, one line each.

    Args:
        title: Its name, also read aloud.
        rows: From top to bottom.
        low: Left end of the axis.
        high: Right end of the axis.
        mark: Where to draw a reference line, such as 0; None for none.
    """
    height = _ROW * len(rows) + 30
    bottom = _ROW * len(rows) + 6

    def x(value: float) -> float:
        share = (min(max(value, low), high) - low) / (high - low)
        return _LABELS + share * (_WIDTH - _LABELS - _VALUES)

    parts = [_axis(low, high, x, bottom)]
    if mark is not None:
        parts.append(
            f'<line class="mark" x1="{x(mark):.1f}" x2="{x(mark):.1f}" y1="0" y2="{bottom}"/>'
        )
    spoken_parts = []
    for number, row in enumerate(rows):
        y = _ROW * number + _ROW / 2 + 2
        strong = " strong" if row.strong else ""
        parts.append(_label(row.label, y, strong))
        if np.isnan(row.value):
            spoken_parts.append(f"{row.label}: not computed")
            parts.append(f'<text class="none" x="{_LABELS}" y="{y + 4:.1f}">not computed</text>')
            continue
        for ends, style in ((row.inner, "inner"), (row.outer, "outer")):
            if ends is None or np.isnan(ends).any():
                continue
            left, right = x(ends[0]), x(ends[1])
            caps = f"M{left:.1f} {y - 5:.1f}v10M{right:.1f} {y - 5:.1f}v10" * (style == "outer")
            path = f"M{left:.1f} {y:.1f}H{right:.1f}{caps}"
            parts.append(f'<path class="{style}{strong}" d="{path}"/>')
        parts.append(f'<circle class="dot{strong}" cx="{x(row.value):.1f}" cy="{y:.1f}" r="4"/>')
        parts.append(
            f'<text class="value{strong}" x="{_WIDTH}" y="{y + 4:.1f}">{_signed(row.value)}</text>'
        )
        drawn = [ends for ends in (row.outer, row.inner) if ends and not np.isnan(ends).any()]
        spoken = f" ({drawn[0][0]:.2f} to {drawn[0][1]:.2f})" if drawn else ""
        spoken_parts.append(f"{row.label}: {row.value:.2f}{spoken}")
    return _svg(title, "; ".join(spoken_parts), height, parts)


def share_chart(title: str, rows: list[tuple[str, list[int]]]) -> str:
    """Returns how often each method got each score, as bars that fill the width.

    Args:
        title: Its name, also read aloud.
        rows: (method, counts of the scores 1 to 5), from top to bottom.
    """
    parts, spoken_parts = [], []
    width = _WIDTH - _LABELS
    for number, (label, counts) in enumerate(rows):
        y = _ROW * number + 2
        parts.append(_label(label, y + _ROW / 2, ""))
        total = sum(counts)
        left = float(_LABELS)
        for score, count in enumerate(counts, start=1):
            share = count / total if total else 0.0
            if share == 0:
                continue
            parts.append(
                f'<rect class="score{score}" x="{left:.1f}" y="{y + 2}" '
                f'width="{max(share * width - 1, 0.5):.1f}" height="{_ROW - 6}"/>'
            )
            if share > 0.09:
                parts.append(
                    f'<text class="on{score}" x="{left + share * width / 2:.1f}" '
                    f'y="{y + _ROW / 2 + 3:.1f}">{share:.0%}</text>'
                )
            left += share * width
        spoken_parts.append(
            f"{label}: " + ", ".join(f"{n} times {s}" for s, n in enumerate(counts, start=1))
        )
    return _svg(title, "; ".join(spoken_parts), _ROW * len(rows) + 6, parts)


def rater_chart(title: str, raters: list[tuple[str, float, float, bool]], least: float) -> str:
    """Returns raters by their agreement with the others and their mean score.

    Args:
        title: Its name, also read aloud.
        raters: (name, correlation, mean score, kept); those without a correlation are left out.
        least: The least correlation that the screening keeps.
    """
    top, bottom, left, right = 8, 150, 34, _WIDTH - 8

    def x(correlation: float) -> float:
        return left + (correlation + 1) / 2 * (right - left)

    def y(mean: float) -> float:
        return bottom - (mean - 1) / 4 * (bottom - top)

    parts = [
        f'<line class="mark" x1="{x(least):.1f}" x2="{x(least):.1f}" y1="{top}" y2="{bottom}"/>'
    ]
    for tick in (-1.0, -0.5, 0.0, 0.5, 1.0):
        parts.append(
            f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{top}" y2="{bottom}"/>'
        )
        parts.append(
            f'<text class="tick" x="{x(tick):.1f}" y="{bottom + 15}">{_short(tick)}</text>'
        )
    for score in range(1, 6):
        parts.append(
            f'<line class="grid" x1="{left}" x2="{right}" y1="{y(score):.1f}" y2="{y(score):.1f}"/>'
        )
        parts.append(f'<text class="tick" x="{left - 12}" y="{y(score) + 4:.1f}">{score}</text>')
    parts.append(
        f'<text class="tick" x="{(left + right) / 2}" y="{bottom + 31}">'
        "correlation with the other raters</text>"
    )
    parts.append(
        f'<text class="tick" transform="translate(10 {(top + bottom) / 2}) rotate(-90)">'
        "mean score</text>"
    )
    spoken_parts = []
    for name, correlation, mean, kept in raters:
        if np.isnan(correlation) or np.isnan(mean):
            continue
        at = f'{x(correlation):.1f}" cy="{y(mean):.1f}'
        tip = f"<title>{escape(name)}: {correlation:.2f}, mean {mean:.2f}</title>"
        if kept:
            parts.append(f'<circle class="dot" cx="{at}" r="4">{tip}</circle>')
        else:
            parts.append(f'<circle class="out" cx="{at}" r="5">{tip}</circle>')
            side, shift = ("named left", -9) if correlation > 0.5 else ("named", 9)
            parts.append(
                f'<text class="{side}" x="{x(correlation) + shift:.1f}" y="{y(mean) + 4:.1f}">'
                f"{escape(name)}</text>"
            )
        spoken_parts.append(f"{name}: {correlation:.2f}, {'kept' if kept else 'left out'}")
    return _svg(title, "; ".join(spoken_parts), bottom + 38, parts)


def axis_range(values: list[float], *, around_zero: bool = False) -> tuple[float, float]:
    """Returns ends of an axis that hold all values, in whole or half units."""
    kept = [value for value in values if not np.isnan(value)]
    if not kept:
        return (-1.0, 1.0)
    step = 0.5 if max(kept) - min(kept) < 4 else 1.0
    low = float(np.floor(min(kept) / step) * step)
    high = float(np.ceil(max(kept) / step) * step)
    if around_zero:
        low, high = min(low, 0.0), max(high, 0.0)
    return (low, high) if high > low else (low - step, high + step)


def _axis(low: float, high: float, x: Callable[[float], float], bottom: int) -> str:
    span = high - low
    step = next(size for size in (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 1e9) if span / size <= 6)
    parts = []
    tick = float(np.ceil(low / step - 1e-9) * step)
    while tick <= high + 1e-9:
        at = x(tick)
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="0" y2="{bottom}"/>')
        parts.append(f'<text class="tick" x="{at:.1f}" y="{bottom + 15}">{_short(tick)}</text>')
        tick += step
    return "".join(parts)


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _short(value: float) -> str:
    return f"{value if abs(value) > 1e-9 else 0:g}".replace("-", "−")


def _label(label: str, y: float, strong: str) -> str:
    short = label if len(label) <= 15 else label[:14] + "…"
    return (
        f'<text class="label{strong}" x="0" y="{y + 4:.1f}"><title>{escape(label)}</title>'
        f"{escape(short)}</text>"
    )


def _svg(title: str, description: str, height: int, parts: list[str]) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}. {escape(description)}."><title>{escape(title)}</title>'
        + "".join(parts)
        + "</svg>"
    )
