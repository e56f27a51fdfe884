"""The stages of training, declared once: what trains, on what, from what, and by which function.

Source: supplement A.1; the tiny tier trains the same parts on data that anyone can get.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from finephys.errors import RequestError
from finephys.marks import Kind
from finephys.preflight import Input, Output, check_files
from finephys.weights.checkpoints import checkpoints_root

if TYPE_CHECKING:
    from finephys.training.poses import PoseData

logger = logging.getLogger(__name__)

DEFAULT_LIBRARY = Path("runs/simulation/library.npz")
"""Simulated motions; `python -m finephys.motion.library` makes them."""


@dataclass(frozen=True)
class StageOptions:
    """Where a stage reads and writes.

    Attributes:
        run: folder of the resumable state and log; rendered clips are kept beside it.
        out: the checkpoint to write.
        capture: folder of motion capture, None when it was not given.
        library: simulated motions.
    """

    run: Path
    out: Path
    capture: Path | None
    library: Path = DEFAULT_LIBRARY


@dataclass(frozen=True)
class Stage:
    """One entry of the table.

    Attributes:
        name: the command's argument.
        step: number of the paper's training step (supplement A.1); 0 for what the paper took ready.
        trains: exact module names.
        starts_from: checkpoints that must be there, beside the one to write or else in the tier's
            folder; their modules are frozen.
        data: what it is trained on.
        losses: names as they stand in the log.
        read: loads or renders the data.
        train: "module:function" of run folder, checkpoint to write, data, LoopSettings, and one
            path for each of `starts_from`. Named, not imported: the command line reads this table
            and must start without torch.
        loop: "module:constant", its LoopSettings.
        tier: the tier of its checkpoint.
        checkpoint: its name; empty: the stage's own.
    """

    name: str
    step: int
    trains: tuple[str, ...]
    starts_from: tuple[str, ...]
    data: str
    losses: tuple[str, ...]
    read: Callable[[StageOptions], Any]
    train: str
    loop: str
    tier: str = "tiny"
    checkpoint: str = ""


def _capture(options: StageOptions) -> Path:
    if options.capture is None:
        raise RequestError(
            "this stage trains on motion capture; name its folder with --capture FOLDER."
        )
    return options.capture


def read_poses(options: StageOptions) -> "PoseData":
    """Captured and simulated motions."""
    from finephys.training.poses import load_pose_data

    return load_pose_data(_capture(options), options.library)


def render_clips(options: StageOptions, folder: str, count: int, seed: int, size: int) -> Path:
    """Render clips of captured and simulated motions beside the runs, once.

    Args:
        options: the stage's.
        folder: name of the clips' folder.
        count: clips in all.
        seed: of motions, cameras and looks.
        size: side of the frames in pixels.

    Returns:
        The folder.
    """
    from finephys.data.rendered import capture_captions, render_dataset

    out = options.run.parent / folder
    data = read_poses(options)
    motions = [*data.captured, *data.simulated]
    captions = capture_captions(_capture(options), motions)
    logger.info("rendering %d clips into %s", count, out)
    render_dataset(motions, count, seed, out, 2, size, captions)
    return out


def tiny_clips(options: StageOptions) -> Path:
    """Rendered clips of the tiny tier."""
    from finephys.config import TINY_GENERATOR
    from finephys.training.generator import TRAINING_CLIPS

    return render_clips(options, "tiny-rendered", TRAINING_CLIPS, 13, TINY_GENERATOR.size)


def sd15_clips(options: StageOptions) -> Path:
    """Rendered clips of the sd15 tier."""
    from finephys.config import TIERS
    from finephys.training.adaptation import ADAPTATION_CLIPS

    return render_clips(options, "sd15-rendered", ADAPTATION_CLIPS, 3, TIERS["sd15"].size)


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
            read=tiny_clips,
            train="finephys.training.autoencoder:train_autoencoder",
            loop="finephys.training.autoencoder:AUTOENCODER_LOOP",
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
            read=tiny_clips,
            train="finephys.training.generator:train_generator",
            loop="finephys.training.generator:GENERATOR_LOOP",
        ),
        Stage(
            name="lifting",
            step=2,
            trains=("pose3d.lifting.network.LiftingNetwork",),
            starts_from=(),
            data=_POSE_DATA,
            losses=("position", "pose", "velocity"),
            read=read_poses,
            train="finephys.training.lifting:train_lifting",
            loop="finephys.training.lifting:LIFTING_LOOP",
        ),
        Stage(
            name="physnet",
            step=2,
            trains=("pose3d.physics.network.PhysNetwork",),
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
                "nll",
                "flight",
                "distance",
            ),
            read=read_poses,
            train="finephys.training.physics:train_physnet",
            loop="finephys.training.physics:PHYSNET_LOOP",
        ),
        Stage(
            name="projection",
            step=3,
            trains=("pose3d.projection.ProjectionNetwork",),
            starts_from=("lifting", "physnet"),
            data=_POSE_DATA,
            losses=("xy", "camera", "distance"),
            read=read_poses,
            train="finephys.training.physics:train_projection",
            loop="finephys.training.physics:PROJECTION_LOOP",
        ),
        Stage(
            name="sd15-encoder",
            step=1,
            trains=("generator.skeleton_encoder",),
            starts_from=(),
            data="single frames of renders, where the paper takes HumanArt",
            losses=("still",),
            read=sd15_clips,
            train="finephys.training.adaptation:train_encoder",
            loop="finephys.training.adaptation:ENCODER_LOOP",
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
            read=sd15_clips,
            train="finephys.training.adaptation:train_adaptation",
            loop="finephys.training.adaptation:ADAPTATION_LOOP",
            tier="sd15",
            checkpoint="generator",
        ),
    )
}
"""Stages by name."""


def _checkpoint(stage: Stage, needed: str, out: Path) -> Path:
    """The checkpoint of another stage that a stage starts from."""
    own = checkpoints_root() / stage.tier
    for folder in (out.parent, own):
        path = folder / f"{needed}.safetensors"
        if path.is_file():
            logger.info("stage %s starts from %s", stage.name, path)
            return path
    command = f"python -m finephys train {needed}"
    raise RequestError(
        f"stage {stage.name} starts from {needed}.safetensors, which is neither in {out.parent} "
        f"nor in {own}; run `{command}` first.",
        command,
    )


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
        start: checkpoint that a new run takes its weights from, for the tiny tier's stages.
        steps: optimiser steps in all, also of a resumed run; None: the stage's own.
        overwrite: replace `out` even if it is not a checkpoint.

    Raises:
        RequestError: when the stage does not exist, something it starts from is missing, or `run`
            holds a run that `start` would not apply to.
        WeightsError: when `start` does not fit.
    """
    from finephys.training.loop import check_start

    if name not in STAGES:
        raise RequestError(f"stage {name!r} does not exist; choose one of {', '.join(STAGES)}.")
    stage = STAGES[name]
    options = StageOptions(
        run=run or Path("runs") / name,
        out=out or checkpoints_root() / stage.tier / f"{stage.checkpoint or name}.safetensors",
        capture=capture,
    )
    if steps is not None and steps < 1:
        raise RequestError(f"--steps is {steps}; give 1 or more, or leave it out.")
    if start is not None and stage.tier != "tiny":
        raise RequestError(
            f"stage {name} starts from the public weights and resumes the run in {options.run}; "
            "leave --start out."
        )
    if start is not None and not start.is_file():
        raise RequestError(f"{start} does not exist; --start takes a .safetensors file.")
    needed = [_checkpoint(stage, each, options.out) for each in stage.starts_from]
    inputs = [Input(f"the {path.stem} checkpoint", path) for path in needed]
    if start is not None:
        inputs.append(Input("--start", start))
    outputs = [Output("--out", options.out, Kind.CHECKPOINT)]
    for own in ("state.pt", "log.jsonl"):
        outputs.append(Output("--run", options.run / own, Kind.CHECKPOINT, known=True))
    check_files(inputs, outputs, overwrite=overwrite)
    check_start(start, options.run)
    settings = resolve_name(stage.loop)
    settings = replace(settings, start=start, steps=steps or settings.steps)
    data = stage.read(options)
    resolve_name(stage.train)(options.run, options.out, data, settings, *needed)
