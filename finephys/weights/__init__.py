"""Weights on disk: checkpoints of this project, and public weights fetched, locked and verified."""
