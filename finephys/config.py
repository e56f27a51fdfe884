"""Sizes of every model, as frozen dataclasses; a tier is one literal of the same type."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Config:
    """Everything that differs between tiers.

    Attributes:
        name: tier name, also the folder under checkpoints/.
    """

    name: str
