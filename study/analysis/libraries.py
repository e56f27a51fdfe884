"""Warnings of two statistics libraries that use what pandas 3.1 deprecates."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pandas as pd

# (beginning of the message, who says it)
_KNOWN = (
    ("Substitution is deprecated", "statsmodels 0.14.6, when imported"),
    ("Appender is deprecated", "statsmodels 0.14.6, when imported"),
    ("The inplace keyword in DataFrame.dropna", "pingouin 0.7.0, intraclass_corr"),
)


@contextmanager
def known_deprecations_ignored() -> Iterator[None]:
    """Ignores the deprecations of pandas that pinned libraries raise, and no other warning."""
    with warnings.catch_warnings():
        for message, _ in _KNOWN:
            warnings.filterwarnings("ignore", message, category=pd.errors.Pandas4Warning)
        yield
