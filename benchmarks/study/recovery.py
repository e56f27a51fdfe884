"""Do the report's statistics find what scripted raters were given? Many studies of Fig. 16's size.

Twenty raters score seven methods of even quality, with a side bias, a lenient and a severe rater
and three who do not look. `exact_order` counts studies whose methods come out in the true order in
every dimension, `bias_inside` those whose interval of the side bias holds the true one,
`careless_found` those that left out all who did not look, `honest_lost` raters left out wrongly.
"""

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np

from benchmarks.study.made import row
from study import acts, outcome, sessions
from study.analysis.bias import side_and_order
from study.analysis.mos import opinion_scores
from study.analysis.raters import rater_table, screened
from study.blinding import read_map
from study.commands import DEMO_CLIPS
from study.folder import Folder
from study.reading import template
from study.simulate import Tastes, even_quality, fill

CARELESS = ("random", "constant", "inverted")
MANNERS = ("lenient", "random", *("honest",) * 8, "constant", "severe", "inverted") + (
    ("honest",) * 7
)
LEFT_BIAS = 0.3


def filled(root: Path, seed: int) -> tuple[Folder, dict[str, str]]:
    """The demo as a study, filled with a seed, closed and unblinded, and each rater's manner."""
    folder = Folder(root / f"study{seed}")
    fig16 = template("fig16")
    ways = replace(fig16.recruiting, open_link=True)
    acts.new(folder, replace(fig16, name="recovery", recruiting=ways), DEMO_CLIPS, None, "script")
    acts.open_for_raters(folder, "script")
    tastes = Tastes(quality=even_quality(7), left_bias=LEFT_BIAS, manners=MANNERS)
    # Each rater's pages are ordered by a lot of the server's; here that comes from the seed too.
    rng = np.random.default_rng(seed)
    with patch.object(sessions.secrets, "randbits", lambda bits: int(rng.integers(1 << bits))):
        came = fill(folder, len(MANNERS), tastes, seed=seed, actor="script")
    acts.close(folder, "script")
    acts.unblind(folder, "script")
    return folder, dict(zip(came, MANNERS, strict=True))


def one(root: Path, seed: int) -> dict[str, int]:
    """What is found in one study."""
    folder, manners = filled(root, seed)
    ratings, _ = outcome.tables(folder)
    people = rater_table(ratings)
    left_out = set(people.loc[~people["kept"], "rater"])
    careless = {rater for rater, manner in manners.items() if manner in CARELESS}
    kept = screened(ratings, people)
    methods = list(read_map(folder).methods)  # by arm, the best first
    orders = [
        part.sort_values("mos", ascending=False)["method"].tolist()
        for _, part in opinion_scores(kept, resamples=20).groupby("dimension")
    ]
    effects = side_and_order(kept).set_index(["dimension", "effect"])
    left = effects.loc[("all together", "left side")]
    return {
        "exact_order": int(all(order == methods for order in orders)),
        "bias_inside": int(left["low"] <= LEFT_BIAS <= left["high"]),
        "careless_found": int(careless <= left_out),
        "honest_lost": len(left_out - careless),
    }


def measure(studies: int) -> None:
    """Print how many of `studies` came out right."""
    with TemporaryDirectory() as place:
        rows = [one(Path(place), seed) for seed in range(studies)]
    row(
        "what was planted is found",
        studies=studies,
        **{name: sum(each[name] for each in rows) for name in rows[0]},
        reach="all; bias in 95 %; all; none",
    )
