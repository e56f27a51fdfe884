"""Figures of the user study, one JSON row each: `python -m benchmarks.study --help`."""
