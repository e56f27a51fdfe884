"""The benchmark's classifier finds a method where there is something to find, and nothing else."""

from fractions import Fraction

import numpy as np
import pytest

from benchmarks.blinding import auc, features, interval, judge, out_of_fold
from study.encoding import Form, common_sizes, encode, write_mp4

ITEMS, METHODS = 40, 7
METHOD = np.tile(np.arange(METHODS), ITEMS)
ITEM = np.repeat(np.arange(ITEMS), METHODS)


def test_one_telling_feature_among_many_is_found():
    """A classifier too weak to find a leak would prove nothing by finding none."""
    rows = np.random.default_rng(0).normal(size=(len(METHOD), 40))
    rows[:, 7] += 3 * (METHOD == 3)
    found = judge("leak", rows, METHOD, ITEM, draws=40)
    assert found["low"] > 0.51


def test_methods_of_another_variance_alone_are_not_overlooked():
    rows = np.random.default_rng(0).normal(size=(len(METHOD), 3))
    rows[:, 0] = 1000.0 * METHOD  # what a file size does
    assert judge("size", rows, METHOD, ITEM, draws=40)["low"] > 0.7


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_called_noise(seed):
    rows = np.random.default_rng(seed).normal(size=(len(METHOD), 30))
    found = judge("noise", rows, METHOD, ITEM, seed, draws=40)
    assert found["low"] < 0.5 < found["high"]


def test_equal_files_are_worth_nothing():
    scores = out_of_fold(np.ones((len(METHOD), 5)), METHOD, ITEM, 0)
    assert auc(scores, METHOD) == 0.5
    assert interval(np.ones((len(METHOD), 5)), METHOD, ITEM, 0, draws=3) == (0.5, 0.5)


def test_a_perfect_score_is_one_and_its_reverse_none():
    assert auc(np.eye(METHODS)[METHOD], METHOD) == 1.0
    assert auc(-np.eye(METHODS)[METHOD], METHOD) == 0.0


def test_features_see_an_unpadded_file_and_not_a_padded_one(tmp_path):
    """Without the padding the noisy clip is longer; the same features must notice."""
    form = Form(64, 64, 8, Fraction(8))
    calm = np.zeros((8, 64, 64, 3), np.uint8)
    busy = np.random.default_rng(0).integers(0, 255, calm.shape, np.uint8)
    units = [encode(calm, form), encode(busy, form)]
    seen: dict[str, list[list[float]]] = {}
    for what, sizes in (
        ("alike", [common_sizes(units)] * 2),
        ("as they are", [common_sizes([each]) for each in units]),
    ):
        seen[what] = []
        for name, unit, size in zip("ab", units, sizes, strict=True):
            path = tmp_path / f"{name}.mp4"
            write_mp4(path, unit, size, form)
            seen[what].append(features(path, 0))
    end, name = 32, 2  # the last bytes are the picture's; name and its time are not encoded
    alike = np.array(seen["alike"])[:, 4 : -end - 1200 - name]
    assert (alike[0] == alike[1]).all()
    different = np.array(seen["as they are"])[:, 4 : -end - 1200 - name]
    assert (different[0] != different[1]).sum() > 3
