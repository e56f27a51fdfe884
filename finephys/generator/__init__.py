"""The video generator: text and limb heatmaps to 16 frames, by a diffusion U-Net.

`protocol` says what a generator is, `registry` lists them; heavy imports happen when one is loaded.
"""

from finephys.generator.protocol import VideoGenerator
from finephys.generator.registry import GENERATORS, load_generator

__all__ = ["GENERATORS", "VideoGenerator", "load_generator"]
