"""Counting memory without running: benchmarks/tensor_count.py."""

import torch
from torch import nn

from benchmarks.tensor_count import BytesAlive, operations, shapes_only


def test_bytes_alive_are_those_held() -> None:
    """Catches views counted twice, what was let go still counted, and a peak that is forgotten."""
    with shapes_only(), BytesAlive() as alive:
        kept = torch.zeros(1000)
        assert alive.now == 4000
        view = kept.reshape(10, 100).T
        kept.add_(1)
        assert alive.now == 4000
        double = torch.cat((kept, kept)).half()
        assert alive.now == 4000 + 4000
        assert alive.peak == 4000 + 8000 + 4000
        del double
        assert alive.now == 4000
        del kept
        assert alive.now == 4000  # the view holds it
        del view
        assert alive.now == 0


def test_counted_memory_is_that_of_a_run() -> None:
    """Catches shapes that count otherwise than numbers do."""

    def peak() -> int:
        with BytesAlive() as alive:
            layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.SiLU(), nn.Conv2d(8, 2, 1))
            layers(torch.zeros(2, 3, 16, 16))
        return alive.peak

    with torch.inference_mode():
        real = peak()
        with shapes_only():
            assert peak() == real


def test_operations_of_a_product() -> None:
    with shapes_only():
        left, right = torch.zeros(3, 5), torch.zeros(5, 7)
        assert operations(lambda: left @ right) == 2 * 3 * 5 * 7
