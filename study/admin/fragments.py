"""Pieces of HTML of the administrator's page; every text in them is escaped."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from study.folder import Milestones

PHASES = ("draft", "open", "closed", "unblinded")


def note(sentence: str, kind: str = "") -> str:
    """One sentence; `kind` is "", "good" or "bad"."""
    return f'<p class="st-note {kind}" role="status">{escape(sentence)}</p>'


def problems(error: Exception) -> str:
    """What is wrong: one sentence, or all of them as a list."""
    several = getattr(error, "problems", ()) or (str(error),)
    if len(several) == 1:
        return note(several[0], "bad")
    listed = "".join(f"<li>{escape(each)}</li>" for each in several)
    head = f"{len(several)} problems; nothing was changed."
    return f'<div class="st-note bad" role="alert"><b>{head}</b><ul>{listed}</ul></div>'


def milestones(name: str, done: Milestones) -> str:
    """Where a study stands, with the hashes that were published when it opened."""
    when = {"open": done.opened, "closed": done.closed, "unblinded": done.unblinded}
    place = PHASES.index(done.phase)
    current = ' aria-current="step"'
    steps = "".join(
        f'<li class="{"now" if number == place else "past" if number < place else ""}"'
        f"{current if number == place else ''}><b>{phase}</b>"
        f"<small>{escape(_day(when.get(phase, '')))}</small></li>"
        for number, phase in enumerate(PHASES)
    )
    return f'<ol class="st-steps" aria-label="{escape(name)}">{steps}</ol>'


def hashes(done: Milestones) -> str:
    """What was fixed when the study opened."""
    if not done.opened:
        return ""
    shown = {
        "study.yaml": done.definition_sha256,
        "clips.json": done.clips_sha256,
        "secret/map.json": done.map_sha256,
    }
    rows = "".join(
        f"<tr><th>{escape(file)}</th><td><code>{escape(digest)}</code></td></tr>"
        for file, digest in shown.items()
    )
    return (
        "<p>Publish these SHA-256 now: they prove later that neither the study nor the map was "
        f'changed.</p><div class="st-scroll"><table>{rows}</table></div>'
    )


def board(seen: Mapping[str, Any], phase: str, snapshots: Mapping[str, object], name: str) -> str:
    """The live board (see `study.board`), which knows no method and no score."""
    minutes = seen["minutes_per_page"]
    checks = seen["attention"]
    numbers = {
        "invited": seen["invited"],
        "entered": seen["entered"],
        "active": seen["active"],
        "stalled": seen["stalled"],
        "abandoned": seen["abandoned"],
        "incomplete": seen["incomplete"],
        "done": seen["done"],
        "withdrawn": seen["withdrawn"],
        "answers": seen["answers"],
        "minutes per page": "–" if minutes is None else f"{minutes:.2f}",
        "checks passed": f"{checks['passed']} of {checks['passed'] + checks['failed']}",
        "cells without a score": seen["missing"]["cells"],
    }
    tiles = "".join(
        f"<div><dt>{escape(what)}</dt><dd>{escape(str(number))}</dd></div>"
        for what, number in numbers.items()
    )
    raters = table(
        ("rater", "came by", "state", "pages", "min a page", "silent", "checks", "skipped"),
        [
            (
                each["id"],
                each["source"],
                each["state"],
                f"{each['position']} of {each['pages']}",
                "–" if each["minutes_per_page"] is None else f"{each['minutes_per_page']:.2f}",
                _silence(each["silent_seconds"]),
                f"{each['passed']} of {each['passed'] + each['failed']}",
                each["skipped"],
            )
            for each in seen["raters"]
        ],
        "No rater has come yet.",
    )
    sequences = table(
        ("sequence", "done", "active"),
        [(number, *counts.values()) for number, counts in sorted(seen["sequences"].items())],
        "No place in the design is taken yet.",
    )
    unplayable = table(
        ("could not be played because", "pages"),
        [(each["reason"], each["pages"]) for each in seen["missing"]["unplayable"]],
        "Every video could be played so far.",
    )
    people = table(
        tuple(each.replace("_", " ") for each in seen["people"][0]) if seen["people"] else (),
        [tuple(each.values()) for each in seen["people"]],
        "No rater has come yet.",
    )
    last = _day(str(snapshots["last"])) or "none yet"
    trouble = str(snapshots["trouble"])
    every = float(str(snapshots["every_seconds"])) / 60
    place = str(snapshots["place"])
    window = (
        f"They go to {place}; answers given between two snapshots ({every:.0f} minutes) are lost "
        "with the disk."
        if place
        else "They are on this disk; if it is lost, so are they."
    )
    return (
        f"<h3>{escape(name)} is {escape(phase)}</h3>"
        f'<dl class="st-tiles">{tiles}</dl>'
        f"<p class='st-soft'>Snapshot every {every:.0f} minutes; the last: {escape(last)}. "
        f"{escape(window)}</p>"
        f"{note(trouble, 'bad') if trouble else ''}"
        f"<h4>Raters</h4>{raters}<h4>Places in the design</h4>{sequences}"
        f"<h4>Videos</h4>{unplayable}"
        f"<h4>About the raters</h4>{people}"
        f'<p><a class="st-button" href="codes/{escape(name)}" download>Completion codes as CSV</a> '
        f'<a class="st-button" href="raters/{escape(name)}" download>Raters as CSV</a></p>'
    )


def table(head: Sequence[str], rows: Sequence[Sequence[object]], empty: str) -> str:
    """A table that scrolls horizontally on a phone, or a sentence when it has no rows."""
    if not rows:
        return f'<p class="st-soft">{escape(empty)}</p>'
    heads = "".join(f"<th scope='col'>{escape(each)}</th>" for each in head)
    lines = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    return (
        f'<div class="st-scroll" tabindex="0"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def log(acts: Sequence[Mapping[str, Any]], broken: int | None) -> str:
    """The audit log, and whether it is intact."""
    rows = [
        (
            act["id"],
            _day(datetime.fromtimestamp(act["at"], UTC).isoformat(timespec="seconds")),
            act["actor"],
            act["act"],
            ", ".join(f"{name} {value}" for name, value in act["detail"].items()),
            act["hash"][:12],
        )
        for act in acts
    ]
    verdict = (
        note("Every act follows from the ones before it: the log is intact.", "good")
        if broken is None
        else note(f"The log was changed: act {broken} does not follow from the rest.", "bad")
    )
    return verdict + table(("", "when", "who", "act", "detail", "hash"), rows, "No act yet.")


def downloads(name: str, files: Sequence[str]) -> str:
    """Links to what the report wrote; the page itself first and in a tab of its own."""
    if not files:
        return note("The report is not written yet.")
    base = f"results/{escape(name)}"
    links = "".join(
        f'<li><a href="{base}/{escape(file)}" download>{escape(file)}</a></li>'
        for file in files
        if file != "report.html"
    )
    page = (
        f'<p><a class="st-button" href="{base}/report.html" target="_blank">Open the report</a> '
        f'<a href="{base}/report.html" download="{escape(name)}-report.html">download it</a></p>'
        if "report.html" in files
        else ""
    )
    return f'{page}<h4>Numbers and tables</h4><ul class="st-files">{links}</ul>'


def preview(number: str) -> str:
    """The rater's own page in a frame, and by itself."""
    address = f"preview/{escape(number)}/"
    return (
        f'<p><a class="st-button" href="{address}" target="_blank">Open it in a tab</a> '
        '<span class="st-soft">Answers given here are thrown away.</span></p>'
        f'<iframe class="st-preview" src="{address}" title="What a rater sees"></iframe>'
    )


def _day(time: str) -> str:
    """An ISO time in UTC as people read it, with its zone: other times on the page are local."""
    return f"{time.replace('T', ' ').partition('+')[0]} UTC" if time else ""


def _silence(seconds: int) -> str:
    return f"{seconds} s" if seconds < 120 else f"{seconds // 60} min"
