"""Clothes and place of a rendered gymnast, and how a prompt describes them."""

from dataclasses import dataclass

import numpy as np

from finephys.errors import RequestError

Color = tuple[float, float, float]

LEOTARDS: dict[str, Color] = {
    "red": (0.80, 0.06, 0.09),
    "blue": (0.08, 0.20, 0.80),
    "green": (0.04, 0.55, 0.20),
    "purple": (0.45, 0.10, 0.65),
    "yellow": (0.95, 0.80, 0.08),
    "black": (0.05, 0.05, 0.07),
    "white": (0.95, 0.95, 0.96),
    "pink": (0.96, 0.42, 0.66),
    "orange": (0.95, 0.42, 0.04),
    "turquoise": (0.04, 0.66, 0.70),
}
"""Leotard colours, linear in [0, 1]."""

SKINS: dict[str, Color] = {
    "pale": (0.94, 0.76, 0.66),
    "fair": (0.88, 0.68, 0.55),
    "tan": (0.78, 0.56, 0.42),
    "brown": (0.58, 0.39, 0.28),
    "dark": (0.40, 0.26, 0.19),
}
"""Skin tones."""

HAIRS: dict[str, Color] = {
    "black": (0.07, 0.06, 0.06),
    "dark brown": (0.17, 0.10, 0.06),
    "brown": (0.32, 0.19, 0.10),
    "blonde": (0.72, 0.55, 0.30),
    "red": (0.45, 0.17, 0.07),
}
"""Hair colours."""

BACKGROUNDS = (
    "bright gym hall",
    "dark arena",
    "blue wall with banners",
    "audience stand",
    "white training hall",
    "outdoor sky",
    "red curtain",
    "brick wall",
)
"""Backgrounds, all textured; `scenery` paints each."""

FLOORS = ("blue floor", "beige floor", "grey floor", "green floor", "wooden floor")
"""Floors; `scenery` paints each."""


@dataclass(frozen=True)
class Look:
    """Colours, place and light of one rendered clip.

    Attributes:
        leotard: a name of LEOTARDS.
        skin: a name of SKINS.
        hair: a name of HAIRS.
        background: a name of BACKGROUNDS.
        floor: a name of FLOORS.
        light: unit vector towards the light, world axes, z > 0.
        sleeves: whether the leotard has long sleeves.
        build: girth of the body relative to the average, about 1.
        seed: of the details of the scenery, 0 to 2**31 - 1.
    """

    leotard: str = "red"
    skin: str = "fair"
    hair: str = "dark brown"
    background: str = "bright gym hall"
    floor: str = "blue floor"
    light: tuple[float, float, float] = (0.36, 0.48, 0.80)
    sleeves: bool = False
    build: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value, accepted in (
            ("leotard", self.leotard, tuple(LEOTARDS)),
            ("skin", self.skin, tuple(SKINS)),
            ("hair", self.hair, tuple(HAIRS)),
            ("background", self.background, BACKGROUNDS),
            ("floor", self.floor, FLOORS),
        ):
            if value not in accepted:
                raise RequestError(f"{name} is {value!r}; choose one of {', '.join(accepted)}.")

    def words(self) -> str:
        """Describe the look, e.g. "a red leotard, a dark arena, a blue floor"."""
        return describe(self.leotard, self.background, self.floor)


def describe(leotard: str, background: str, floor: str) -> str:
    """Name a leotard colour, a background and a floor in the words of the training prompts."""
    things = (f"{leotard} leotard", background, floor)
    return ", ".join(f"{'an' if thing[0] in 'aeiou' else 'a'} {thing}" for thing in things)


def prompt(caption: str, look: Look) -> str:
    """Write the prompt of a rendered clip.

    Args:
        caption: one sentence about what the person does.
        look: clothes and place.

    Returns:
        E.g. "A person makes one complete turn. A red leotard, a dark arena, a blue floor."
    """
    words = look.words()
    return f"{caption.strip().rstrip('.')}. {words[0].upper()}{words[1:]}."


def sample_look(rng: np.random.Generator) -> Look:
    """Draw a look; leotard, background and floor are uniform over their names."""
    azimuth, height = rng.uniform(-np.pi, np.pi), rng.uniform(0.55, 0.92)
    flat = np.sqrt(1 - height**2)
    return Look(
        leotard=str(rng.choice(list(LEOTARDS))),
        skin=str(rng.choice(list(SKINS))),
        hair=str(rng.choice(list(HAIRS))),
        background=str(rng.choice(BACKGROUNDS)),
        floor=str(rng.choice(FLOORS)),
        light=(float(flat * np.cos(azimuth)), float(flat * np.sin(azimuth)), float(height)),
        sleeves=bool(rng.random() < 0.4),
        build=float(rng.uniform(0.92, 1.10)),
        seed=int(rng.integers(2**31)),
    )
