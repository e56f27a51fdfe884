"""Readers and preparation of training data."""
