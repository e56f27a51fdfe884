"""Physically correct simulation of the 35 classes, motion capture, and rendering."""
