"""Sizes of the video generators; a tier is one literal of the same dataclass."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class GeneratorConfig:
    """Size of a tier's video generator.

    Checkpoints store these fields under these names, all but the last two.

    Attributes:
        size: width and height of the canvas in pixels.
        autoencoder: "small" (convolutional, trained beforehand) or "kl" (SD 1.5's VAE).
        autoencoder_channels: widths of the small one, that of 4 x 4 pixels first.
        patch: downsampling factor of the autoencoder, canvas pixels per latent pixel.
        latent_channels: channels of the latents.
        channels: U-Net channels per scale, finest first.
        attention: per scale, whether the spatial layers have self- and cross-attention.
        layers: residual layers per scale.
        heads: attention heads, spatial and temporal (supplement A.1: 8).
        groups: groups of the group normalizations.
        heatmap_detail: upsampling factor of the limb heatmaps, heatmap pixels per latent pixel.
        guidance_channels: skeleton features concatenated to the latent; 0: none.
        skeleton_channels: width of the skeleton encoder per scale.
        painter_channels: width of the painter per scale, full resolution first; empty: no painter.
        style: dimensions of the painter's style.
        text_width: width of the CLIP text encoder and of cross-attention.
        text_layers: layers of the text encoder.
        text_heads: attention heads of the text encoder.
        text_length: tokens of a prompt, with its start and end token.
        text_vocabulary: size of the tokenizer's vocabulary.
        pooled_text: also use the pooled text features: they are added to the time embedding and
            modulate the skeleton features.
        prediction: target of the U-Net: "sample" (the clean latent) or "epsilon" (the noise).
        zero_terminal_snr: rescale the betas so that the last time step is pure noise.
        shared_noise: share of the noise's variance that all frames of a clip have in common.
        default_steps: denoising steps.
        default_guidance: classifier-free guidance scale.
    """

    size: int
    autoencoder: str
    autoencoder_channels: tuple[int, ...]
    patch: int
    latent_channels: int
    channels: tuple[int, ...]
    attention: tuple[bool, ...]
    layers: int
    heads: int
    groups: int
    heatmap_detail: int
    guidance_channels: int
    skeleton_channels: tuple[int, ...]
    painter_channels: tuple[int, ...]
    style: int
    text_width: int
    text_layers: int
    text_heads: int
    text_length: int
    text_vocabulary: int
    pooled_text: bool
    prediction: str
    zero_terminal_snr: bool
    shared_noise: float
    default_steps: int
    default_guidance: float

    @property
    def scales(self) -> tuple[int, ...]:
        """Width and height of the latents at each scale of the U-Net, finest first."""
        return tuple(self.size // self.patch >> level for level in range(len(self.channels)))

    @property
    def heatmap_levels(self) -> tuple[int, ...]:
        """Width and height of the limb heatmaps at each scale, finest first."""
        return tuple(scale * self.heatmap_detail for scale in self.scales)


TINY_GENERATOR = GeneratorConfig(
    size=128,
    autoencoder="small",
    autoencoder_channels=(64, 128),
    patch=8,
    latent_channels=16,
    channels=(64, 112, 128),
    attention=(False, True, True),
    layers=1,
    heads=4,
    groups=16,
    heatmap_detail=8,
    guidance_channels=32,
    skeleton_channels=(96, 80, 80),
    painter_channels=(24, 48, 64, 96),
    style=16,
    text_width=96,
    text_layers=2,
    text_heads=4,
    text_length=56,
    text_vocabulary=1024,
    pooled_text=True,
    prediction="sample",
    zero_terminal_snr=True,
    shared_noise=0.5,
    default_steps=8,
    default_guidance=2.0,
)
"""Design choice: two CPU cores train it in two hours and run it in two seconds."""

SD15_GENERATOR = GeneratorConfig(
    size=512,
    autoencoder="kl",
    autoencoder_channels=(),
    patch=8,
    latent_channels=4,
    channels=(320, 640, 1280, 1280),
    attention=(True, True, True, False),
    layers=2,
    heads=8,
    groups=32,
    heatmap_detail=1,
    guidance_channels=0,
    skeleton_channels=(64, 128, 256, 256),
    painter_channels=(),
    style=0,
    text_width=768,
    text_layers=12,
    text_heads=12,
    text_length=77,
    text_vocabulary=49408,
    pooled_text=False,
    prediction="epsilon",
    zero_terminal_snr=False,
    shared_noise=0.0,
    default_steps=50,
    default_guidance=7.5,
)
"""Stable Diffusion 1.5 with the paper's motion module (supplement A.1). Design choices: sampling
steps and guidance scale, which the paper does not give, and the skeleton encoder's widths."""

SD15_CONTROLNET_GENERATOR = replace(SD15_GENERATOR, default_steps=25)
"""Stable Diffusion 1.5 on public weights alone. Design choice: 25 steps of DPM-Solver++; more
change little."""

TIERS = {
    "tiny": TINY_GENERATOR,
    "sd15-controlnet": SD15_CONTROLNET_GENERATOR,
    "sd15": SD15_GENERATOR,
}
"""Size of each tier's video generator; the tier's name is also a folder under checkpoints/."""

DEFAULT_TIER = "tiny"
"""The tier whose weights are shipped."""

POSE_TIER = "tiny"
"""Folder under checkpoints/ with lifting, PhysNet and projection. Design choice: all tiers share
them; the paper's own are not public."""


DYNAMICS_TITLES = {
    "euler-lagrange": "M(q) learned, C derived from it by the supplement's Eq. 40",
    "anthropometric": "M of body segments from published tables, C = 0",
    "free": "M, J and C learned independently, as in PhysMoP",
    "none": "no acceleration: the control",
}
"""PhysNet's dynamics by name, with their assumptions."""
