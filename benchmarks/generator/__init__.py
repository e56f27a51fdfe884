"""Figures of the video generator, read from its clips; see `__main__`."""
