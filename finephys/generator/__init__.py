"""The video generator: text and limb heatmaps to 16 frames, by a diffusion U-Net.

`protocol` is the interface, `registry` lists the generators; heavy imports happen on loading one.
"""

from finephys.generator.protocol import VideoGenerator
from finephys.generator.registry import GENERATORS, load_generator

__all__ = ["GENERATORS", "VideoGenerator", "load_generator"]
