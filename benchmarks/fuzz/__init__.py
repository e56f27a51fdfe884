"""Malformed uploads and requests against the running app."""
