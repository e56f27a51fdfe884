"""The stages of training, declared once: what trains, on what, from what, and by which function.

Source: supplement A.1; the tiny tier trains the same parts on data that can be had by anyone.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from finephys.errors import RequestError
from finephys.marks import Kind
from finephys.preflight import Input, Output, check_files
from finephys.weights.checkpoints import checkpoints_root

if TYPE_CHECKING:
    from finephys.training.loop import LoopSettings
    from finephys.training.poses import PoseData

logger = logging.getLogger(__name__)

DEFAULT_LIBRARY = Path("runs/simulation/library.npz")
"""Simulated motions; `python -m finephys.motion.library` makes them."""


@dataclass(frozen=True)
class StageOptions:
    """Where a stage reads and writes, and how far it goes.

    Attributes:
        run: folder of the resumable state and log.
        out: the checkpoint to write; what the stage starts from is read beside it.
        capture: folder of motion capture, None when it was not given.
        start: checkpoint whose weights a new run begins with, None: it begins from nothing.
        steps: optimiser steps in all, None: the stage's own.
        library: simulated motions.
    """

    run: Path
    out: Path
    capture: Path | None
    start: Path | None = None
    steps: int | None = None
    library: Path = DEFAULT_LIBRARY

    def beside(self, name: str) -> Path:
        """Another stage's checkpoint."""
        return self.out.with_name(f"{name}.safetensors")


@dataclass(frozen=True)
class Stage:
    """One entry of the table.

    Attributes:
        name: how it is asked for.
        step: number of the paper's training step (supplement A.1); 0 for what the paper took ready.
        trains: exact module names.
        starts_from: checkpoints that must be there; their modules are frozen.
        data: what it is trained on.
        losses: names as they stand in the log.
        function: trains from nothing or goes on with an interrupted run.
        tier: whose checkpoint it writes.
        checkpoint: its name; empty: the stage's own.
    """

    name: str
    step: int
    trains: tuple[str, ...]
    starts_from: tuple[str, ...]
    data: str
    losses: tuple[str, ...]
    function: Callable[[StageOptions], None]
    tier: str = "tiny"
    checkpoint: str = ""


def _capture(asked: StageOptions) -> Path:
    if asked.capture is None:
        raise RequestError(
            "this stage trains on motion capture; name its folder with --capture FOLDER."
        )
    return asked.capture


def _pose_data(asked: StageOptions) -> "PoseData":
    from finephys.training.poses import load_pose_data

    return load_pose_data(_capture(asked), asked.library)


def _loop(settings: "LoopSettings", asked: StageOptions) -> "LoopSettings":
    return replace(settings, start=asked.start, steps=asked.steps or settings.steps)


def _lifting(asked: StageOptions) -> None:
    from finephys.training.lifting import LIFTING_LOOP, train_lifting

    train_lifting(asked.run, asked.out, _pose_data(asked), _loop(LIFTING_LOOP, asked))


def _physnet(asked: StageOptions) -> None:
    from finephys.training.physics import PHYSNET_LOOP, train_physnet

    lifting = asked.beside("lifting")
    train_physnet(asked.run, asked.out, _pose_data(asked), _loop(PHYSNET_LOOP, asked), lifting)


def _projection(asked: StageOptions) -> None:
    from finephys.training.physics import PROJECTION_LOOP, train_projection

    lifting, physnet = asked.beside("lifting"), asked.beside("physnet")
    train_projection(
        asked.run, asked.out, _pose_data(asked), _loop(PROJECTION_LOOP, asked), lifting, physnet
    )


def _filmed(asked: StageOptions, name: str, count: int, seed: int, size: int) -> Path:
    """Rendered clips of captured and simulated motions, made beside the runs once."""
    from finephys.data.rendered import capture_captions, render_dataset

    folder = asked.run.parent / name
    data = _pose_data(asked)
    motions = [*data.captured, *data.simulated]
    captions = capture_captions(_capture(asked), motions)
    logger.info("rendering %d clips into %s", count, folder)
    render_dataset(motions, count, seed, folder, 2, size, captions)
    return folder


def _tiny_clips(asked: StageOptions) -> Path:
    from finephys.config import TINY_GENERATOR
    from finephys.training.generator import TRAINING_CLIPS

    return _filmed(asked, "tiny-rendered", TRAINING_CLIPS, 13, TINY_GENERATOR.size)


def _autoencoder(asked: StageOptions) -> None:
    from finephys.training.autoencoder import AUTOENCODER_LOOP, train_autoencoder

    train_autoencoder(asked.run, asked.out, _tiny_clips(asked), _loop(AUTOENCODER_LOOP, asked))


def _generator(asked: StageOptions) -> None:
    from finephys.training.generator import GENERATOR_LOOP, train_generator

    settings = _loop(GENERATOR_LOOP, asked)
    autoencoder = asked.beside("autoencoder")
    train_generator(asked.run, asked.out, _tiny_clips(asked), settings, autoencoder=autoencoder)


def _sd15_clips(asked: StageOptions) -> Path:
    from finephys.config import TIERS
    from finephys.training.adaptation import ADAPTATION_CLIPS

    return _filmed(asked, "sd15-rendered", ADAPTATION_CLIPS, 3, TIERS["sd15"].size)


def _encoder(asked: StageOptions) -> None:
    from finephys.training.adaptation import ENCODER_LOOP, train_encoder

    train_encoder(asked.run, asked.out, _sd15_clips(asked), _loop(ENCODER_LOOP, asked))


def _adaptation(asked: StageOptions) -> None:
    from finephys.training.adaptation import ADAPTATION_LOOP, train_adaptation

    encoder = asked.beside("sd15-encoder")
    settings = _loop(ADAPTATION_LOOP, asked)
    train_adaptation(asked.run, asked.out, _sd15_clips(asked), settings, encoder)


_POSE_DATA = "CMU motion capture and simulated gymnastics, random cameras, detection noise"

STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage(
            name="autoencoder",
            step=0,
            trains=("generator.autoencoder",),
            starts_from=(),
            data="single frames of renders, with and without their figure",
            losses=("square",),
            function=_autoencoder,
        ),
        Stage(
            name="generator",
            step=0,
            trains=(
                "generator.text_encoder",
                "generator.skeleton_encoder",
                "generator.painter",
                "generator.unet",
            ),
            starts_from=("autoencoder",),
            data="renders of CMU motion capture and simulated gymnastics",
            losses=("still", "clip", "change", "paint", "style"),
            function=_generator,
        ),
        Stage(
            name="lifting",
            step=2,
            trains=("lifting.network.LiftingNetwork",),
            starts_from=(),
            data=_POSE_DATA,
            losses=("position", "pose", "velocity"),
            function=_lifting,
        ),
        Stage(
            name="physnet",
            step=2,
            trains=("physics.network.PhysNetwork",),
            starts_from=("lifting",),
            data=_POSE_DATA,
            losses=(
                "position",
                "pose",
                "velocity",
                "acceleration",
                "force",
                "center",
                "spin",
                "rigid",
                "doubt",
                "flight",
                "distance",
            ),
            function=_physnet,
        ),
        Stage(
            name="projection",
            step=3,
            trains=("projection.ProjectionNetwork",),
            starts_from=("lifting", "physnet"),
            data=_POSE_DATA,
            losses=("xy", "camera", "distance"),
            function=_projection,
        ),
        Stage(
            name="sd15-encoder",
            step=1,
            trains=("generator.skeleton_encoder",),
            starts_from=(),
            data="single frames of renders, where the paper takes HumanArt",
            losses=("still",),
            function=_encoder,
            tier="sd15",
        ),
        Stage(
            name="sd15",
            step=4,
            trains=(
                "generator.skeleton_encoder",
                "generator.unet: motion modules",
                "generator.unet: LoRA of every attention",
            ),
            starts_from=("sd15-encoder",),
            data="renders of CMU motion capture and simulated gymnastics",
            losses=("clip",),
            function=_adaptation,
            tier="sd15",
            checkpoint="generator",
        ),
    )
}
"""Stages by name."""


def train_stage(
    name: str,
    run: Path | None = None,
    out: Path | None = None,
    capture: Path | None = None,
    start: Path | None = None,
    steps: int | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Train one stage, resuming an interrupted run.

    Args:
        name: a key of STAGES.
        run: folder of the resumable state and log; None: runs/NAME.
        out: the checkpoint to write; None: its tier's own.
        capture: folder of motion capture, for the stages that need it.
        start: checkpoint whose weights a new run begins with, of the tiny tier's stages.
        steps: optimiser steps in all, also of a run that goes on; None: the stage's own.
        overwrite: replace `out` also if it is not a checkpoint.

    Raises:
        RequestError: when the stage does not exist or something it starts from is missing.
        WeightsError: when `start` does not fit.
    """
    if name not in STAGES:
        raise RequestError(f"stage {name!r} does not exist; choose one of {', '.join(STAGES)}.")
    stage = STAGES[name]
    asked = StageOptions(
        run=run or Path("runs") / name,
        out=out or checkpoints_root() / stage.tier / f"{stage.checkpoint or name}.safetensors",
        capture=capture,
        start=start,
        steps=steps,
    )
    if steps is not None and steps < 1:
        raise RequestError(f"--steps is {steps}; give 1 or more, or leave it out.")
    if start is not None and stage.tier != "tiny":
        raise RequestError(
            f"stage {name} begins with the public weights and goes on from {asked.run}; leave "
            "--start out."
        )
    if start is not None and not start.is_file():
        raise RequestError(f"{start} does not exist; --start takes a .safetensors file.")
    for needed in stage.starts_from:
        if not asked.beside(needed).is_file():
            command = f"python -m finephys train {needed}"
            raise RequestError(
                f"stage {name} starts from {asked.beside(needed)}, which is missing; run "
                f"`{command}` first.",
                command,
            )
    inputs = [
        Input(f"the {needed} checkpoint", asked.beside(needed)) for needed in stage.starts_from
    ]
    if start is not None:
        inputs.append(Input("--start", start))
    outputs = [Output("--out", asked.out, Kind.CHECKPOINT)]
    for own in ("state.pt", "log.jsonl"):
        outputs.append(Output("--run", asked.run / own, Kind.CHECKPOINT, known=True))
    check_files(inputs, outputs, overwrite=overwrite)
    stage.function(asked)
