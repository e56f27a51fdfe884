"""The video generator: text and limb heatmaps to 16 frames, by a diffusion U-Net.

`protocol` says what a generator is and lists them; everything heavy is imported when one is loaded.
"""

from finephys.generator.protocol import GENERATORS, VideoGenerator, load_generator

__all__ = ["GENERATORS", "VideoGenerator", "load_generator"]
