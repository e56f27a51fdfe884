"""Scripted raters with known preferences who use a study's own code, for tests and trials.

Their answers are invented. The audit log says so, and with it every report of the study.
"""

import itertools
from dataclasses import dataclass
from typing import Literal

import numpy as np

from study import answers, audit, identities, sessions
from study.answers import Answer
from study.clock import Clock
from study.definition import LEVELS, Definition
from study.errors import StudyError
from study.folder import Clips, Folder, need_phase, read_clips, read_definition
from study.open_study import places, rules
from study.sessions import Consent, Entry
from study.store import Row, Store, rows, run, value

TIE = 0.3
"""Points of difference below which a scripted rater says that two clips are equally good."""

Manner = Literal["honest", "lenient", "severe", "random", "constant", "inverted"]

SHIFT = {"lenient": 1.0, "severe": -1.0}
"""Points that a manner adds to scores of methods' clips; such raters are biased, not careless."""


@dataclass(frozen=True)
class Tastes:
    """What scripted raters see and do, in points of the 1 to 5 scale.

    Attributes:
        quality: of each arm.
        left_bias: what the left side gains.
        rater: standard deviation of raters' severity.
        item: standard deviation of items.
        noise: standard deviation of one score.
        manners: one for each rater; "lenient" and "severe" score methods' clips a point higher or
            lower, "random" scores at random, "constant" always gives 4, "inverted" gives low scores
            to good clips.
        drop_out: share of raters who leave half-way.
    """

    quality: tuple[float, ...]
    left_bias: float = 0.2
    rater: float = 0.3
    item: float = 0.3
    noise: float = 0.6
    manners: tuple[Manner, ...] = ("honest",)
    drop_out: float = 0.0


def even_quality(arms: int) -> tuple[float, ...]:
    """Qualities from 4.2 down to 1.8 in equal steps, arm 0 being the best."""
    return tuple(float(each) for each in np.linspace(4.2, 1.8, arms))


def fill(folder: Folder, raters: int, tastes: Tastes, seed: int, actor: str) -> list[str]:
    """Send scripted raters through an open study that has no raters yet.

    Args:
        folder: of the study; not being served.
        raters: how many come.
        tastes: theirs; `manners` are taken in turn.
        seed: of their answers.
        actor: who asked for it.

    Returns:
        Their sessions, in the order of their coming.

    Raises:
        StudyError: the study is not open, or real raters have begun.
    """
    need_phase(folder, ("open",), "simulate raters in")
    for name, number, low, high in (
        ("raters", raters, 1, 10_000),
        ("seed", seed, 0, 2**63 - 1),
        ("drop_out", tastes.drop_out, 0, 1),
    ):
        if not low <= number <= high:
            raise StudyError(f"{name} is {number}; give {low} to {high}.")
    definition, clips = read_definition(folder), read_clips(folder)
    if len(tastes.quality) != clips.arms:
        raise StudyError(
            f"{len(tastes.quality)} qualities were given for {clips.arms} methods; give one each."
        )
    seconds = itertools.count()
    clock = Clock(monotonic=lambda: float(next(seconds)))  # one second passes with every call
    rng = np.random.default_rng(seed)
    scripted = _Scripted(definition, clips, tastes, rng)
    with Store(folder.database, serving=True, clock=clock) as store:
        with store.transaction() as database:
            if value(database, "select count(*) from sessions"):
                raise StudyError(
                    f"{folder.root.name} has raters already; simulate in a study of its own."
                )
            audit.record(database, clock.now(), actor, "simulate", raters=raters, seed=seed)
        return [
            _go_through(store, folder, scripted, tastes.manners[number % len(tastes.manners)])
            for number in range(raters)
        ]


class _Scripted:
    """What scripted raters think of the videos of a study."""

    def __init__(
        self, definition: Definition, clips: Clips, tastes: Tastes, rng: np.random.Generator
    ) -> None:
        self.definition, self.clips, self.tastes, self.rng = definition, clips, tastes, rng
        self.design, self.rules = places(definition, clips), rules(definition, clips)
        self._items = {item.id: rng.normal(0, tastes.item) for item in definition.items}
        self._arms = {f"{clip.id}.mp4": clip.arm for clip in clips.clips}
        files = {each.id: (f"{each.left}.mp4", f"{each.right}.mp4") for each in clips.extras}
        self._spoilt = {
            file
            for extra in (*definition.training, *definition.gold)
            for file, shown in zip(files[extra.id], (extra.left, extra.right), strict=True)
            if shown is not None and shown.made in ("noise", "frozen")
        }

    def felt(self, file: str, item: str, side: str) -> float:
        """Points that a video deserves; whatever is no method's clip is real or spoilt."""
        if file not in self._arms:
            return 1.0 if file in self._spoilt else 4.5
        bias = self.tastes.left_bias if side == "left" else 0.0
        return float(self.tastes.quality[self._arms[file]] + self._items[item] + bias)

    def score(
        self, shown: dict[str, str], item: str, side: str, manner: Manner, rater: float
    ) -> int:
        """What a rater answers for one side, or for a pair in a study of choices."""
        noise = self.rng.normal(0, self.tastes.noise)
        if manner == "random":
            return int(self.rng.choice(self.rules.scores))
        if manner == "constant":
            return self.rules.scores[-2]
        sign = -1 if manner == "inverted" else 1
        if self.definition.kind == "choice":
            better = self.felt(shown["right"], item, "right") - self.felt(
                shown["left"], item, "left"
            )
            better = sign * better + noise
            return (
                2 if abs(better) < TIE and self.definition.tie_allowed else 3 if better > 0 else 1
            )
        middle = (1 + LEVELS) / 2
        felt = middle + sign * (self.felt(shown[side], item, side) - middle) + rater + noise
        felt += SHIFT.get(manner, 0.0) * (shown[side] in self._arms)
        return int(np.clip(round(felt), 1, LEVELS))


def _go_through(store: Store, folder: Folder, scripted: _Scripted, manner: Manner) -> str:
    """One rater from the link to the last page, or half the way."""
    definition, rng = scripted.definition, scripted.rng
    leaves = rng.random() < scripted.tastes.drop_out
    severity = float(rng.normal(0, scripted.tastes.rater))
    keys = identities.keyring(folder.identity_key)
    agreed = Consent("0" * 64, definition.languages[0])
    session = sessions.enter(store, keys, scripted.design, Entry("open", {}), agreed)
    if definition.demographics:
        sessions.answer_questions(store, session, {})
    sessions.check_playback(store, session, "ok")
    with store.view() as database:
        pages = rows(
            database, "select * from assignments where session = ? order by position", session
        )
    for page in pages[: len(pages) // 2 if leaves else None]:
        shown = _watch(store, scripted, session, page)
        for side, dimension in itertools.product(scripted.rules.sides, scripted.rules.dimensions):
            score = scripted.score(shown, page["item"], side, manner, severity)
            key = f"{session}-{page['position']}-{side}-{dimension}"
            seconds = float(rng.uniform(3, 20))
            answer = Answer(page["position"], side, dimension, score, seconds, key)
            answers.save(store, scripted.rules, session, answer)
    if leaves:
        with store.transaction() as database:  # long ago, so that the place is free again
            run(
                database,
                "update sessions set last_seen = last_seen - ? where id = ?",
                *(2 * sessions.ACTIVE_SECONDS, session),
            )
    else:
        sessions.finish(store, session)
    return session


def _watch(store: Store, scripted: _Scripted, session: str, page: Row) -> dict[str, str]:
    """Open a page and let the time pass that its videos take; slot -> file."""
    answers.open_page(store, session, page["position"])
    with store.transaction() as database:
        run(
            database,
            "update assignments set shown_at = shown_at - ? where id = ?",
            *(scripted.rules.watch_seconds, page["id"]),
        )
        files = rows(database, "select slot, file from media where assignment = ?", page["id"])
    answers.confirm_watched(store, scripted.rules, session, page["position"], lambda _: True)
    return {row["slot"]: row["file"] for row in files}
