"""Published results on public ratings, where a copy of the data is at hand.

The data are those of Netflix's sureal repository (Apache-2.0) and are not shipped: put
NFLX_dataset_public_raw.py, NFLX_dataset_public_raw_last4outliers.py and the P.910 demonstration's
sample_data.csv and small_sample_data.csv into ../shared/data/sureal, or name their folder in
SUREAL_DATA.
"""

import ast
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from study.analysis.p910 import recover
from study.analysis.screening import biases, bt500, without_bias

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("SUREAL_DATA", ROOT.parent / "shared" / "data" / "sureal"))
pytestmark = pytest.mark.skipif(
    not (DATA / "sample_data.csv").is_file(), reason=f"sureal's public data are not in {DATA}"
)


def panel(matrix: np.ndarray) -> pd.DataFrame:
    clip, rater = np.nonzero(~np.isnan(matrix))
    return pd.DataFrame(
        {"clip": clip, "rater": rater, "dimension": "d", "score": matrix[clip, rater]}
    )


def demonstration(name: str) -> pd.DataFrame:
    return panel(np.loadtxt(DATA / name, delimiter=","))


def nflx(name: str) -> pd.DataFrame:
    """Reads the `os` lists of a dataset's videos without running the file."""
    text = (DATA / name).read_text(encoding="utf-8")
    lists = [
        ast.literal_eval(value)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and key.value == "os"
    ]
    return panel(np.array(lists, float))


def test_recovery_of_the_p910_demonstration() -> None:
    """Values printed in the demonstration's README, to all printed digits."""
    found = recover(demonstration("sample_data.csv"))
    assert found.score[0] == pytest.approx(4.926232195563247, abs=1e-12)
    assert found.score[9] == pytest.approx(1.3750512302890123, abs=1e-12)
    assert found.deviation[0] == pytest.approx(0.1548785178603921, abs=1e-12)
    assert found.bias[0] == pytest.approx(-0.189852445792812, abs=1e-12)
    assert found.bias[9] == pytest.approx(0.8101475542071879, abs=1e-12)
    assert found.inconsistency[0] == pytest.approx(1.8339364220090855, abs=1e-12)
    assert found.inconsistency[25] == pytest.approx(0.4806602532869842, abs=1e-12)


def test_recovery_of_the_small_demonstration() -> None:
    """Missing votes weigh nothing; 3.727373 before the biases, of mean 4.9286e-5, are centred."""
    assert recover(demonstration("small_sample_data.csv")).score.mean() == pytest.approx(
        3.7273730649 + 4.92855e-5, abs=1e-9
    )


def test_scores_of_the_nflx_public_set() -> None:
    """First MOS 4.884615 and mean 3.544791, which biases that sum to zero do not move."""
    table = nflx("NFLX_dataset_public_raw.py")
    mos = table.groupby("clip")["score"].mean()
    assert mos.iloc[0] == pytest.approx(4.884615, abs=5e-7)
    assert mos.mean() == pytest.approx(3.544791, abs=5e-7)
    assert recover(table).score.mean() == pytest.approx(3.544791, abs=5e-7)
    assert without_bias(table)["score"].mean() == pytest.approx(3.544791, abs=5e-7)
    assert biases(table).var(ddof=0) == pytest.approx(0.089032585621522, abs=1e-12)


def test_rejections_of_the_nflx_public_set() -> None:
    """With the deviation over n, as sureal has it, the same raters are rejected."""
    found = bt500(nflx("NFLX_dataset_public_raw.py"), ddof=0)
    assert list(found.index[found["rejected"]]) == [2]
    found = bt500(nflx("NFLX_dataset_public_raw_last4outliers.py"), ddof=0)
    assert list(found.index[found["rejected"]]) == [26, 28, 29]
    found = bt500(nflx("NFLX_dataset_public_raw_last4outliers.py"))
    assert list(found.index[found["rejected"]]) == [26, 29]
