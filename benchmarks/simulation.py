"""Is every simulated motion what its class says, and does it obey mechanics?

One JSON row per class with its worst figures, then a row that compares them with their limits. All
is measured from joint positions, by routines that share nothing with the solver.

    python -m benchmarks.simulation --seeds 20 [--first 100000] [--fps 240] [--classes 24 32]
"""

import argparse
import importlib.util
import json
import time

import numpy as np

from benchmarks.rigid_body import pinocchio_figures
from finephys.actions import ACTIONS
from finephys.motion.figures import (
    TURNS,
    count_turns,
    counted_frames,
    flight_figures,
    floor_figures,
    jumps,
)
from finephys.motion.joint_limits import excess
from finephys.motion.library import HELD_OUT_SEED
from finephys.motion.simulation import simulate
from finephys.motion.take_off import NoFlightError
from finephys.skeleton import limb_lengths


def row(action: int, seeds: range, fps: float) -> dict[str, object]:
    """Worst figures of one class over its seeds, and how many of them have no solution."""
    compare = importlib.util.find_spec("pinocchio") is not None
    rows: list[dict[str, float]] = []
    failed, tightest = 0, (-np.inf, "")
    for seed in seeds:
        begun = time.process_time()
        try:
            motion = simulate(action, seed, fps)
        except NoFlightError:
            failed += 1
            continue
        seconds = time.process_time() - begun
        joints = motion.joints.astype(np.float64)
        somersault, twist, tilt = count_turns(joints[counted_frames(motion)])
        wanted = TURNS[action]
        tightest = max(tightest, excess(joints))
        rows.append(
            {
                "somersault_error": abs(somersault - wanted[0]),
                "twist_error": abs(abs(twist) - wanted[1]),
                "tilt_degrees": tilt,
                "bone_std_mm": 1e3 * float(limb_lengths(joints).std(0).max()),
                "velocity_jump": jumps(motion),
                "seconds": seconds,
                **flight_figures(motion),
                **(pinocchio_figures(motion) if compare else {}),
                **floor_figures(motion),
            }
        )
    names = list(dict.fromkeys(name for one in rows for name in one))
    worst = {name: round(max(one.get(name, 0.0) for one in rows), 6) for name in names}
    return {
        "class": action,
        "seeds": len(seeds),
        "unsolved": failed,
        **worst,
        "median_seconds": round(float(np.median([one["seconds"] for one in rows])), 3),
        "angle_excess": round(tightest[0], 2),
        "tightest_angle": tightest[1],
    }


LIMITS: dict[str, float] = {
    "unsolved": 0, "somersault_error": 0.03, "twist_error": 0.03, "gravity_error": 0.02,
    "momentum_drift": 0.005, "halving_off": 0.15, "bone_std_mm": 0.01, "slip_mm": 5,
    "penetration_mm": 10, "angle_excess": 0, "median_seconds": 1.5, "pinocchio_center_mm": 1,
    "pinocchio_momentum": 1e-3,
}  # fmt: skip
"""Figure -> largest accepted value: counts in turns, gravity in m/s^2, others as shares."""


def summary(rows: list[dict[str, object]]) -> dict[str, object]:
    """Every figure: its limit, the worst value, and the class that has it."""
    table: dict[str, object] = {}
    for name, limit in LIMITS.items():
        values = {one["class"]: float(str(one[name])) for one in rows if name in one}
        if not values:
            table[name] = {"limit": limit, "worst": None, "good": None}
            continue
        worst = max(values, key=lambda number: values[number])
        table[name] = {
            "limit": limit, "worst": values[worst], "class": worst, "good": values[worst] <= limit
        }  # fmt: skip
    return {"summary": table, "good": all(one["good"] is not False for one in table.values())}  # type: ignore[index]


def main() -> None:
    """Print one JSON row per class, then the summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=HELD_OUT_SEED)
    parser.add_argument("--fps", type=float, default=240.0)
    parser.add_argument("--classes", type=int, nargs="*", default=[one.id for one in ACTIONS])
    options = parser.parse_args()
    rows = []
    for action in options.classes:
        rows.append(row(action, range(options.first, options.first + options.seeds), options.fps))
        print(json.dumps(rows[-1]), flush=True)
    print(json.dumps(summary(rows)))


if __name__ == "__main__":
    main()
