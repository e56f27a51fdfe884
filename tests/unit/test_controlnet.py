"""AnimateDiff with an OpenPose ControlNet: real classes at a narrow width, fetched and loaded.

What every generator must do is in `contracts/test_generators`; what is proved of the real size, in
`test_controlnet_sizes`.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import CLIPTextModel

from finephys.errors import WeightsError, WeightsMissingError
from finephys.generator.controlnet import PoseVideoGenerator
from finephys.generator.memory import Memory
from finephys.generator.protocol import Sampling
from finephys.generator.registry import load_generator, weights_file
from finephys.generator.text import encode_text, tokenize
from finephys.guidance.framing import frame_body
from finephys.observe import simulated
from finephys.pipeline import Pipeline
from finephys.skeleton import FRAMES
from finephys.types import Request, Stage, VideoClip
from finephys.weights.lock import read_lock, write_lock
from tests.narrow import CONTROLNET
from tests.unit.test_methods import some_poses


@pytest.fixture(scope="module")
def generator(public_weights: Path) -> PoseVideoGenerator:
    return PoseVideoGenerator.load("cpu", public_weights, CONTROLNET)


def poses(generator: PoseVideoGenerator, action: int = 12) -> VideoClip:
    pose = simulated(Request(action=action)).detected
    return generator.draw(pose, frame_body(pose))


def run(generator: PoseVideoGenerator, guide: VideoClip | None, **changed: Any) -> np.ndarray:
    params = {"prompt": "a person", "seed": 5, "steps": 2, "guidance_scale": 2.0, "fps": 8.0}
    return list(generator.denoise(Sampling(guide, **params | changed)))[-1].frames  # type: ignore[arg-type]


def test_every_weight_comes_from_the_files(
    public_weights: Path, generator: PoseVideoGenerator
) -> None:
    """Catches a part left random, and motion modules that were not put in."""
    state = generator._network.state_dict()
    places = {
        "unet.": public_weights
        / "stable-diffusion"
        / "unet"
        / "diffusion_pytorch_model.safetensors",
        "controlnet.": public_weights / "controlnet" / "diffusion_pytorch_model.safetensors",
        "autoencoder.vae.": public_weights
        / "stable-diffusion/vae/diffusion_pytorch_model.safetensors",
    }
    left = set(state)
    for prefix, path in places.items():
        for name, tensor in load_file(path).items():
            torch.testing.assert_close(state[prefix + name], tensor)
            left.discard(prefix + name)
    for name, tensor in load_file(
        public_weights / "motion-adapter" / "diffusion_pytorch_model.safetensors"
    ).items():
        torch.testing.assert_close(state[f"unet.{name}"], tensor)
        left.discard(f"unet.{name}")
    text = load_file(public_weights / "stable-diffusion" / "text_encoder" / "model.safetensors")
    own = {name for name in left if name.startswith("text_encoder.")}
    for name in own:
        old = f"text_model.{name.removeprefix('text_encoder.').removeprefix('text_model.')}"
        torch.testing.assert_close(state[name], text[old])
    assert left - own == set()


def test_text_is_read_as_diffusers_reads_it(
    generator: PoseVideoGenerator, public_weights: Path
) -> None:
    """The last hidden state after the final norm, padding included."""
    model = CLIPTextModel.from_pretrained(public_weights / "stable-diffusion" / "text_encoder")
    ids, mask = tokenize(generator._tokenizer, ["a person turns"], CONTROLNET.text_length)
    assert len(set(ids[0].tolist())) > 3  # the tokenizer read its words
    wanted = model(ids)[0]
    with torch.no_grad():
        found = encode_text(generator._network.text_encoder, ids, mask).tokens
    torch.testing.assert_close(found, wanted.detach())


def test_a_silent_controlnet_equals_plain_animatediff(public_weights: Path) -> None:
    """Catches a ControlNet wired to other layers, and text or frames in another order."""
    made = PoseVideoGenerator.load("cpu", public_weights, CONTROLNET)
    network = made._network
    for part in (
        *network.controlnet.controlnet_down_blocks,
        network.controlnet.controlnet_mid_block,
    ):
        nn.init.zeros_(part.weight)
        nn.init.zeros_(part.bias)
    assert np.array_equal(run(made, poses(made)), run(made, None))


def test_a_step_is_the_public_pipelines(generator: PoseVideoGenerator) -> None:
    """One step's prediction against AnimateDiffControlNetPipeline's own, the same latents."""
    from diffusers import AnimateDiffControlNetPipeline, DDIMScheduler
    from diffusers.utils import logging as diffusers_logging

    diffusers_logging.disable_progress_bar()
    network = generator._network
    scheduler = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="linear", clip_sample=False
    )
    seen: list[torch.Tensor] = []
    network.unet.register_forward_hook(lambda *call: seen.append(call[-1].sample))
    pipeline = AnimateDiffControlNetPipeline.__new__(AnimateDiffControlNetPipeline)
    pipeline.__init__(  # type: ignore[misc]
        vae=network.autoencoder.vae,
        text_encoder=network.text_encoder,
        tokenizer=generator._tokenizer,
        unet=network.unet,
        motion_adapter=None,
        controlnet=network.controlnet,
        scheduler=scheduler,
    )
    pipeline.set_progress_bar_config(disable=True)
    generator._tokenizer.model_max_length = CONTROLNET.text_length
    guide = poses(generator)
    from PIL import Image

    latents = torch.randn(1, 4, FRAMES, 8, 8, generator=torch.Generator().manual_seed(1))
    pipeline(
        prompt="a person",
        num_frames=FRAMES,
        height=64,
        width=64,
        num_inference_steps=1,
        guidance_scale=1.0,
        conditioning_frames=[Image.fromarray(frame) for frame in guide.frames],
        latents=latents.clone(),
        output_type="latent",
    )
    time = scheduler.timesteps[:1]
    text, pictures = generator._encode_text(["a person"]), generator._pictures([guide])
    assert pictures is not None
    with torch.no_grad():
        mine = network(latents, time, text, pictures)
        inverted = network(latents, time, text, 1 - pictures)
        late = network(latents, time, text, pictures.roll(1, 1))
    network.unet._forward_hooks.clear()
    torch.testing.assert_close(mine, seen[0], atol=1e-4, rtol=1e-3)
    # The comparison above is worth something only if other pictures would have failed it.
    for other in (inverted, late):
        assert (mine - other).abs().max() > 0.01


def test_frames_read_a_few_at_a_time_are_the_same(generator: PoseVideoGenerator) -> None:
    guide = poses(generator)
    network = generator._network
    kept = network.frames_at_once
    clips = []
    for count in (16, 3):
        network.frames_at_once = count
        clips.append(run(generator, guide).astype(int))
    network.frames_at_once = kept
    assert np.abs(clips[0] - clips[1]).max() <= 1


def test_the_pipeline_gives_it_pictures_of_s_re_proj(generator: PoseVideoGenerator) -> None:
    """Catches a pipeline that knows heatmaps only."""
    pipeline = Pipeline("sd15-controlnet", "cpu")
    pipeline.models.generators["sd15-controlnet"] = generator
    found = some_poses()
    request = Request(action=25, steps=1, guidance_scale=1.0)
    updates = {update.stage: update.value for update in pipeline.stream_from_poses(found, request)}
    drawn = updates[Stage.HEATMAPS]
    assert isinstance(drawn, VideoClip)
    assert np.array_equal(
        drawn.frames, generator.draw(found.reprojected, frame_body(found.reprojected)).frames
    )
    assert isinstance(updates[Stage.VIDEO], VideoClip)
    assert pipeline.resolved(Request(action=25)).steps == 25


# -- loading ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "change", "said"),
    [
        ("controlnet/diffusion_pytorch_model.safetensors", "drop", "controlnet"),
        ("stable-diffusion/unet/diffusion_pytorch_model.safetensors", "drop", "unet"),
        ("stable-diffusion/unet/diffusion_pytorch_model.safetensors", "shape", "unet"),
        ("motion-adapter/diffusion_pytorch_model.safetensors", "extra", "motion-adapter"),
        ("stable-diffusion/text_encoder/model.safetensors", "drop", "text_encoder"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    public_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    change: str,
    said: str,
) -> None:
    """Catches layers left at random, which diffusers only warns of."""
    shutil.copytree(public_weights, tmp_path / "w")
    tensors = load_file(tmp_path / "w" / file)
    name = next(name for name in sorted(tensors) if name.endswith("weight"))
    if change == "drop":
        del tensors[name]
    elif change == "shape":
        tensors[name] = torch.zeros(3)
    else:
        tensors["more.weight"] = torch.zeros(3)
    save_file(tensors, tmp_path / "w" / file, metadata={"format": "pt"})
    with pytest.raises(WeightsError, match="not what was fetched"):
        PoseVideoGenerator.load("cpu", tmp_path / "w", CONTROLNET)
    monkeypatch.setattr("finephys.generator.controlnet.verify", lambda *_: {})
    with pytest.raises(WeightsError, match=said):
        PoseVideoGenerator.load("cpu", tmp_path / "w", CONTROLNET)


def test_missing_weights_name_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FINEPHYS_WEIGHTS", str(tmp_path))
    for ask in (lambda: load_generator("sd15-controlnet"), lambda: weights_file("sd15-controlnet")):
        with pytest.raises(WeightsMissingError, match="python -m finephys fetch sd15"):
            ask()  # type: ignore[no-untyped-call]


def test_weights_fetched_for_another_system_are_not_taken_for_all(
    public_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After `fetch t2v-zero` the tier looked ready, and failed once the poses were computed."""
    monkeypatch.setenv("FINEPHYS_WEIGHTS", str(tmp_path))
    parts = read_lock(public_weights)
    shutil.copytree(public_weights / "stable-diffusion", tmp_path / "stable-diffusion")
    write_lock(tmp_path, {"stable-diffusion": parts["stable-diffusion"]})
    with pytest.raises(
        WeightsMissingError, match=r"incompletely downloaded \(controlnet, motion-adapter\)"
    ):
        weights_file("sd15-controlnet")
    shutil.copytree(public_weights, tmp_path, dirs_exist_ok=True)
    assert weights_file("sd15-controlnet").parent == tmp_path
    (tmp_path / "controlnet" / "config.json").unlink()
    with pytest.raises(WeightsMissingError, match=r"downloaded \(controlnet/config\.json\)"):
        weights_file("sd15-controlnet")


# -- memory ----------------------------------------------------------------------------------------


def test_half_precision_runs(public_weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan: Callable[[str], Memory] = lambda _: Memory(torch.bfloat16)  # noqa: E731
    monkeypatch.setattr("finephys.generator.controlnet.memory_for", plan)
    made = PoseVideoGenerator.load("cpu", public_weights, CONTROLNET)
    assert made._network.unet.dtype == torch.bfloat16
    assert run(made, poses(made)).std() > 1
