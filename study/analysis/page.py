"""Pieces of the report's page: its style, its tables and its numbers. No scripts, no requests."""

from collections.abc import Callable
from html import escape

import numpy as np
import pandas as pd

STYLE = """
:root{color-scheme:light dark;--page:#fff;--ink:#1b1f24;--soft:#5b6470;--line:#d9dde3;
--tint:#f4f6f8;--own:#1f5fbf;--other:#6b7480;--bad:#b3412c;--s1:#b8553a;--s2:#e0a58c;--s3:#d5d8dc;--s4:#8fb3dd;
--s5:#2f6bb3;--on1:#fff;--on2:#1b1f24;--on3:#1b1f24;--on4:#1b1f24;--on5:#fff}
@media (prefers-color-scheme:dark){:root{--page:#14171b;--ink:#e7eaee;--soft:#a2abb6;--line:#343a42;
--tint:#1d2127;--own:#7db2ff;--other:#98a2ae;--bad:#ff9a80;--s1:#c9674b;--s2:#8a5544;--s3:#4a5058;
--s4:#41658f;--s5:#6ea6ea;--on1:#14171b;--on2:#fff;--on3:#fff;--on4:#fff;--on5:#14171b}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI","Noto Sans","Noto Sans CJK SC",sans-serif}
main{max-width:1080px;margin:0 auto;padding:20px 18px 60px}
h1{font-size:1.7rem;line-height:1.2;margin:.4em 0 .2em}
h2{font-size:1.25rem;margin:2.4em 0 .4em;padding-top:.5em;border-top:1px solid var(--line)}
h3{font-size:1rem;margin:1.4em 0 .3em}
p,ul{max-width:46em;margin:.5em 0}
a{color:var(--own)}
nav{margin:1em 0;line-height:2}
nav a{margin-right:1em;white-space:nowrap}
.soft{color:var(--soft)}
.warn{border-left:4px solid var(--bad);background:var(--tint);padding:.6em 1em;max-width:46em}
.answer{border-left:4px solid var(--own);background:var(--tint);padding:.6em 1em;max-width:46em}
dl.facts{display:grid;grid-template-columns:max-content 1fr;gap:.1em 1.2em;margin:1em 0}
dl.facts dt{color:var(--soft)}
dl.facts dd{margin:0;overflow-wrap:anywhere}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,400px),1fr));
gap:1.2em 2.5em}
figure{margin:.6em 0;break-inside:avoid;max-width:520px}
figcaption{font-weight:600;font-size:.92rem;margin-bottom:.3em}
svg{display:block;width:100%;height:auto;overflow:visible}
svg text{font:12px system-ui,-apple-system,"Segoe UI","Noto Sans",sans-serif;fill:var(--ink)}
svg .tick{fill:var(--soft);font-size:11px;text-anchor:middle}
svg .value{text-anchor:end}
svg .none{fill:var(--soft);font-style:italic}
svg .strong{font-weight:700}
svg .grid{stroke:var(--line);stroke-width:.7}
svg .mark{stroke:var(--ink);stroke-width:1;stroke-dasharray:3 3}
svg .inner{stroke:var(--other);stroke-width:9;opacity:.32}
svg .outer{stroke:var(--other);stroke-width:1.5;fill:none}
svg .inner.strong,svg .outer.strong{stroke:var(--own)}
svg .dot{fill:var(--page);stroke:var(--other);stroke-width:2}
svg .dot.strong{fill:var(--own);stroke:var(--own)}
svg .out{fill:var(--bad);stroke:var(--page);stroke-width:1}
svg .named{fill:var(--bad);font-size:11px}
svg .named.left{text-anchor:end}
svg .score1{fill:var(--s1)}svg .score2{fill:var(--s2)}svg .score3{fill:var(--s3)}
svg .score4{fill:var(--s4)}svg .score5{fill:var(--s5)}
svg [class^=on]{text-anchor:middle;font-size:10.5px}
svg .on1{fill:var(--on1)}svg .on2{fill:var(--on2)}svg .on3{fill:var(--on3)}
svg .on4{fill:var(--on4)}svg .on5{fill:var(--on5)}
.key{display:flex;flex-wrap:wrap;gap:.2em 1.2em;font-size:.88rem;color:var(--soft)}
.key i{display:inline-block;width:.9em;height:.9em;vertical-align:-.1em;margin-right:.35em}
.scroll{overflow-x:auto;margin:.8em 0;max-width:100%}
.scroll:focus-visible{outline:2px solid var(--own);outline-offset:2px}
table{border-collapse:collapse;font-size:.88rem;font-variant-numeric:tabular-nums}
caption{text-align:left;font-weight:600;padding:.2em 0;white-space:nowrap}
th,td{padding:.25em .7em;border-bottom:1px solid var(--line);text-align:right;white-space:pre}
th{color:var(--soft);font-weight:600}
th[scope=row],th.text,td.text{text-align:left}
th[scope=row]{position:sticky;left:0;background:var(--page);white-space:normal;max-width:16em}
td.text.long{white-space:normal;min-width:14em}
tr.strong th[scope=row],tr.strong td{font-weight:700;color:inherit}
@media (max-width:520px){dl.facts{display:block}dl.facts dd{margin:0 0 .4em}
th[scope=row]{max-width:8em}}
@media print{:root{color-scheme:light;--page:#fff;--ink:#000;--soft:#444;--line:#bbb;--tint:#f2f2f2;
--own:#1f5fbf;--other:#555;--bad:#a33018;--s1:#b8553a;--s2:#e0a58c;--s3:#d5d8dc;--s4:#8fb3dd;
--s5:#2f6bb3;--on1:#fff;--on2:#000;--on3:#000;--on4:#000;--on5:#fff}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}
body{font-size:11px}nav{display:none}h2,h3{break-after:avoid}main{padding:0;max-width:none}
.figures{grid-template-columns:1fr 1fr}.scroll{overflow:visible}table{font-size:9px}
th,td{padding:.15em .4em;white-space:pre-line}th[scope=row]{position:static}tr{break-inside:avoid}}
"""


def number(value: object, digits: int = 2) -> str:
    """Returns a number as text, and a dash for one that is missing."""
    if value is None or not np.isfinite(float(str(value))):
        return "–"
    return f"{float(str(value)):.{digits}f}".replace("-", "−")


def whole(value: object) -> str:
    """Returns a count as text, and a dash for one that is missing."""
    return number(value, 0)


def probability(value: object) -> str:
    """Returns a p value as text."""
    if value is None or not np.isfinite(float(str(value))):
        return "–"
    p = float(str(value))
    return "< .001" if p < 0.001 else f"{p:.3f}".lstrip("0") if p < 1 else "1"


def between(low: object, high: object, digits: int = 2) -> str:
    """Returns an interval as text, and a dash for one that is missing."""
    if not np.isfinite([float(str(low)), float(str(high))]).all():
        return "–"
    return f"[{number(low, digits)}, {number(high, digits)}]"


def table(
    caption: str, heads: list[str], rows: list[list[str]], *, text: int = 1, strong: str = ""
) -> str:
    """Returns a table that scrolls horizontally on a narrow page.

    Args:
        caption: What it shows.
        heads: Names of the columns, not escaped.
        rows: Cells, not escaped; the first names the row.
        text: How many of the first columns are text; a last column named "note" is too.
        strong: Rows whose first cell is this are printed bold.
    """
    if not rows:
        return ""
    last = len(heads) - 1

    def kind(at: int) -> str:
        if at == last and heads[at] == "note":
            return ' class="text long"'
        return ' class="text"' if at < text else ""

    head = "".join(
        f'<th scope="col"{kind(at)}>{escape(name)}</th>' for at, name in enumerate(heads)
    )
    body = []
    for row in rows:
        cells = "".join(
            f'<th scope="row">{escape(cell)}</th>'
            if at == 0
            else f"<td{kind(at)}>{escape(cell)}</td>"
            for at, cell in enumerate(row)
        )
        style = ' class="strong"' if strong and row[0] == strong else ""
        body.append(f"<tr{style}>{cells}</tr>")
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(caption)}">'
        f"<table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def rows_of(
    frame: pd.DataFrame, columns: dict[str, Callable[[pd.Series], str]]
) -> tuple[list[str], list[list[str]]]:
    """Returns heads and text rows of a frame.

    Args:
        frame: Any frame.
        columns: By head, how a row's cell is written.
    """
    rows = [[write(row) for write in columns.values()] for _, row in frame.iterrows()]
    return list(columns), rows


def grid(
    caption: str,
    frame: pd.DataFrame,
    by: tuple[str, str],
    order: tuple[list[str], list[str]],
    titles: tuple[Callable[[str], str], Callable[[str], str]],
    write: Callable[[pd.Series], str],
    *,
    corner: str = "",
    strong: str = "",
) -> str:
    """Returns a frame's rows as the cells of a two-way table; a cell without a row is a dash.

    Args:
        caption: What it shows.
        frame: A row for each cell.
        by: Names of the columns that give a cell's row and column.
        order: Rows and columns to show, by their values in the frame.
        titles: How rows and columns are printed.
        write: A cell's text; a line break starts a new line.
        corner: Head of the first column.
        strong: The row printed bold, by its value in the frame.
    """
    cells = {(row[by[0]], row[by[1]]): write(row) for _, row in frame.iterrows()}
    rows = [
        [titles[0](one), *(cells.get((one, other), "–") for other in order[1])] for one in order[0]
    ]
    heads = [corner or by[0], *(titles[1](other) for other in order[1])]
    return table(caption, heads, rows, strong=titles[0](strong) if strong else "")


def figure(caption: str, drawing: str) -> str:
    """Returns a drawing with its caption."""
    return f"<figure><figcaption>{escape(caption)}</figcaption>{drawing}</figure>"


def paragraphs(text: str) -> str:
    """Returns plain text as paragraphs, which empty lines part."""
    parts = [part.strip() for part in text.split("\n\n")]
    return "".join(f"<p>{escape(part)}</p>" for part in parts if part)


def document(title: str, body: str) -> str:
    """Returns the whole page; it loads nothing and runs nothing."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><main>{body}</main></body></html>\n"
    )
