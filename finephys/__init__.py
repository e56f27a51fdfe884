"""FinePhys: a clip of a gymnast, or an action's name, becomes a video that obeys mechanics."""

__version__ = "0.1.0"
