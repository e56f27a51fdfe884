"""Scripted raters with a known order of methods, a known side bias and known bad raters.

They are tables made at once, for tests of the analyses; `study.simulate` goes through a real study.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from study.analysis.table import check_choices, check_ratings

BAD = ("random", "constant", "inverted")


@dataclass(frozen=True)
class Script:
    """What the scripted raters believe and do; points are of the 1 to 5 scale.

    Attributes:
        quality: Each method's true mean, points.
        dimensions: Names; a clip's quality is the same in all but for `halo`.
        items: Contents, shown for every method.
        honest: Raters who score what they see.
        bad: Kinds of bad raters, one rater each: random scores uniformly, constant always gives 4,
            inverted gives 6 - what an honest rater would.
        left_bias: Points that the left side gains over the right.
        drift: Points gained from the first page to the last.
        clip, rater, rater_method, rater_clip, residual: Standard deviations of the random parts,
            points: how a clip came out, a rater's level, their liking of a method and of a clip,
            and what is new at every look.
        halo: Share of the residual's variance that all dimensions of one look have in common.
        repeated: Share of pages shown again, sides swapped.
        attention: Attention pages, expected 1 and 5 in turn.
        ties: Half width, in points, of the zone in which a choice is a tie.
    """

    quality: dict[str, float] = field(
        default_factory=lambda: {
            "A": 4.1,
            "B": 3.6,
            "C": 3.2,
            "D": 2.8,
            "E": 2.5,
            "F": 2.1,
            "G": 1.8,
        }
    )
    dimensions: tuple[str, ...] = ("Text", "Image", "Video", "Overall")
    items: int = 2
    honest: int = 20
    bad: tuple[str, ...] = BAD
    left_bias: float = 0.3
    drift: float = 0.0
    clip: float = 0.3
    rater: float = 0.4
    rater_method: float = 0.2
    rater_clip: float = 0.4
    residual: float = 0.55
    halo: float = 0.5
    repeated: float = 0.1
    attention: int = 2
    ties: float = 0.25


def scripted_ratings(script: Script, seed: int) -> tuple[pd.DataFrame, list[str]]:
    """Returns a filled study of side-by-side pages, and the ids of its bad raters.

    As in the Fig. 16 template, each rater sees each clip on two pages, once on either side.

    Args:
        script: Who rates what, and how.
        seed: Seed of everything drawn.

    Returns:
        A checked ratings table and the bad raters' ids.
    """
    rng = np.random.default_rng(seed)
    methods = list(script.quality)
    clip_part = rng.normal(0, script.clip, (script.items, len(methods)))
    rows: list[dict[str, object]] = []
    kinds = ["honest"] * script.honest + list(script.bad)
    names = [f"r{number:02}" for number in rng.permutation(len(kinds)) + 1]
    for name, kind in zip(names, kinds, strict=True):
        liking = rng.normal(0, script.rater_clip, (script.items, len(methods)))
        liking += rng.normal(0, script.rater) + rng.normal(0, script.rater_method, len(methods))
        pages = _pages(script.items, len(methods), rng)
        chosen = rng.permutation(len(pages))[: round(script.repeated * len(pages))]
        again = [(pages[at][0], pages[at][1][::-1], True) for at in chosen]
        shown = pages + again
        gold_at = np.linspace(0, len(shown), script.attention + 2)[1:-1].astype(int)
        position = 0
        for index, (item, pair, repeat) in enumerate(shown):
            for number in np.flatnonzero(gold_at == index):
                rows += _attention(script, name, kind, int(number), position, rng)
                position += 1
            for side, method in zip(("left", "right"), pair, strict=True):
                mean = script.quality[methods[method]] + clip_part[item, method]
                mean += liking[item, method]
                mean += script.left_bias * (0.5 if side == "left" else -0.5)
                mean += script.drift * (index / max(len(shown) - 1, 1) - 0.5)
                noise = np.sqrt(script.halo) * rng.standard_normal()
                for dimension in script.dimensions:
                    own = np.sqrt(1 - script.halo) * rng.standard_normal()
                    rows.append(
                        {
                            "rater": name,
                            "item": f"item {item + 1:02}",
                            "clip": f"c{item:02}{method:02}",
                            "method": methods[method],
                            "dimension": dimension,
                            "score": _answer(kind, mean + script.residual * (noise + own), rng),
                            "side": side,
                            "position": position,
                            "seconds": round(float(rng.lognormal(3.4, 0.4)), 1),
                            "repeat": repeat,
                            "gold": np.nan,
                        }
                    )
            position += 1
    return check_ratings(pd.DataFrame(rows)), sorted(names[script.honest :])


def scripted_choices(script: Script, seed: int) -> pd.DataFrame:
    """Returns pairwise choices: each honest rater sees every pair of methods once for some item.

    Args:
        script: Who chooses, and how; only honest raters choose.
        seed: Seed of everything drawn.
    """
    rng = np.random.default_rng(seed)
    methods = list(script.quality)
    clip_part = rng.normal(0, script.clip, (script.items, len(methods)))
    rows: list[dict[str, object]] = []
    for rater in range(script.honest):
        pairs = [(a, b) for a in range(len(methods)) for b in range(a)]
        for position, pair in enumerate(rng.permutation(pairs)):
            left, right = (int(one) for one in rng.permutation(pair))
            item = int(rng.integers(script.items))
            quality = [script.quality[methods[m]] + clip_part[item, m] for m in (left, right)]
            noise = rng.normal(0, script.residual * np.sqrt(2))
            lead = quality[0] - quality[1] + script.left_bias + noise
            choice = "tie" if abs(lead) < script.ties else "left" if lead > 0 else "right"
            rows.append(
                {
                    "rater": f"r{rater + 1:02}",
                    "item": f"item {item + 1:02}",
                    "left": methods[left],
                    "right": methods[right],
                    "dimension": script.dimensions[-1],
                    "choice": choice,
                    "position": position,
                }
            )
    return check_choices(pd.DataFrame(rows))


def _pages(
    items: int, methods: int, rng: np.random.Generator
) -> list[tuple[int, tuple[int, int], bool]]:
    """Returns shuffled pages (item, methods shown left to right, repeat)."""
    pages: list[tuple[int, tuple[int, int], bool]] = []
    for item in range(items):
        order = [int(method) for method in rng.permutation(methods)]
        following = order[1:] + order[:1]
        pages += [(item, pair, False) for pair in zip(order, following, strict=True)]
    return [pages[int(index)] for index in rng.permutation(len(pages))]


def _attention(
    script: Script, rater: str, kind: str, number: int, position: int, rng: np.random.Generator
) -> list[dict[str, object]]:
    """Returns the scores of one attention page, one clip shown alone."""
    expected = 1.0 if number % 2 == 0 else 5.0
    return [
        {
            "rater": rater,
            "item": f"attention {number + 1}",
            "clip": f"g{number:02}",
            "method": "attention item",
            "dimension": dimension,
            "score": _answer(kind, expected + rng.normal(0, 0.5), rng),
            "side": "single",
            "position": position,
            "seconds": 10.0,
            "repeat": False,
            "gold": expected,
        }
        for dimension in script.dimensions
    ]


def _answer(kind: str, felt: float, rng: np.random.Generator) -> int:
    """Returns the whole score that a kind of rater gives for what an honest rater feels."""
    honest = int(np.clip(np.rint(felt), 1, 5))
    if kind == "honest":
        return honest
    if kind == "random":
        return int(rng.integers(1, 6))
    if kind == "constant":
        return 4
    if kind == "inverted":
        return 6 - honest
    raise ValueError(f"No raters of kind {kind!r}; known are honest, {', '.join(BAD)}.")
