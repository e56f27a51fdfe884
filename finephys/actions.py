"""The 35 FineGym classes of the supplement's Table 3: ids, labels and captions.

Design choice: the captions are written by hand in the style of supplement A.4 ("as if explaining to
someone who is unfamiliar with gymnastics").
"""

from dataclasses import dataclass

from finephys.errors import RequestError


@dataclass(frozen=True)
class Action:
    """One class of Gym99's floor exercise.

    Attributes:
        id: 6 to 40, the class number in Table 3.
        subset: "FX-JUMP", "FX-TURN" or "FX-SALTO".
        label: the category as printed in Table 3.
        caption: a sentence for the generator.
    """

    id: int
    subset: str
    label: str
    caption: str


PLAIN_CAPTION = "A person performs a gymnastics exercise."
"""Caption of a clip whose action is not known."""

_TABLE: tuple[tuple[int, str, str], ...] = (
    (6, "Switch leap with 0.5 turn", "A person leaps off one foot, swings the front leg back and the rear leg forward into a split in mid-air, and makes half a turn before landing."),
    (7, "Switch leap with 1 turn", "A person leaps off one foot, swaps the legs in mid-air into a split, and completes one full turn before landing."),
    (8, "Split leap with 1 turn", "A person leaps forward off one foot with the legs opened wide into a front split and completes one full turn in the air before landing."),
    (9, "Split leap with 1.5 turn or more", "A person leaps forward off one foot into a front split and rotates one and a half times or more in the air before landing."),
    (10, "Switch leap (leap forward with leg change to cross split)", "A person leaps forward, kicks one leg up, and changes legs in mid-air so that they open into a cross split."),
    (11, "Split jump with 1 turn", "A person jumps straight up off both feet, opens the legs into a split, and completes one full turn before landing."),
    (12, "Split jump (leg separation 180 degree parallel to the floor)", "A person jumps straight up off both feet and opens the legs 180 degrees, one forward and one back, parallel to the floor."),
    (13, "Johnson with additional 0.5 turn", "A person leaps with a leg change and a quarter turn into a side split, and adds another half turn before landing."),
    (14, "Straddle pike or side split jump with 1 turn", "A person jumps off both feet, lifts both legs out to the sides into a straddle with the body folded forward, and completes one full turn."),
    (15, "Switch leap to ring position", "A person leaps with a leg change into a split, arches the back, and bends the rear leg up so that the foot comes close to the head, forming a ring."),
    (16, "Stag jump", "A person jumps with one leg bent in front, its foot near the other knee, and the other leg stretched back."),
    (17, "2 turn with free leg held upward in 180 split position throughout turn", "A person spins two full turns on one foot while holding the other leg straight up beside the head in a standing split."),
    (18, "2 turn in tuck stand on one leg, free leg straight throughout turn", "A person crouches low on one bent leg with the free leg stretched straight in front and spins two full turns."),
    (19, "3 turn on one leg, free leg optional below horizontal", "A person spins three full turns on the toes of one foot with the lifted leg kept below hip level."),
    (20, "2 turn on one leg, free leg optional below horizontal", "A person executes two complete turns while balancing on one leg, with the lifted leg kept below hip level throughout."),
    (21, "1 turn on one leg, free leg optional below horizontal", "A person makes one complete turn on the toes of one foot with the lifted leg kept below hip level."),
    (22, "2 turn or more with heel of free leg forward at horizontal throughout turn", "A person spins two or more turns on one foot while holding the other leg straight out in front at hip level."),
    (23, "1 turn with heel of free leg forward at horizontal throughout turn", "A person makes one complete turn on one foot while holding the other leg straight out in front at hip level."),
    (24, "Arabian double salto tucked", "A person takes off backward, makes half a twist, and rotates forward through two somersaults with the knees tucked to the chest."),
    (25, "Salto forward tucked", "A person jumps and rotates forward through one somersault in the air with the knees tucked to the chest."),
    (26, "Aerial walkover forward", "A person swings one leg over the other and turns forward heel over head with legs split, landing one foot after the other without touching the floor with the hands."),
    (27, "Salto forward stretched with 2 twist", "A person rotates forward through one somersault with the body straight while twisting twice about its long axis."),
    (28, "Salto forward stretched with 1 twist", "A person rotates forward through one somersault with the body straight while twisting once about its long axis."),
    (29, "Salto forward stretched with 1.5 twist", "A person rotates forward through one somersault with the body straight while twisting one and a half times."),
    (30, "Salto forward stretched, feet land together", "A person rotates forward through one somersault with the body held straight and lands on both feet together."),
    (31, "Double salto backward stretched", "A person takes off backward and rotates through two somersaults in one flight with the body held straight."),
    (32, "Salto backward stretched with 3 twist", "A person rotates backward through one somersault with the body straight while twisting three times."),
    (33, "Salto backward stretched with 2 twist", "A person rotates backward through one somersault with the body straight while twisting twice."),
    (34, "Salto backward stretched with 2.5 twist", "A person rotates backward through one somersault with the body straight while twisting two and a half times."),
    (35, "Salto backward stretched with 1.5 twist", "A person rotates backward through one somersault with the body straight while twisting one and a half times."),
    (36, "Double salto backward tucked with 2 twist", "A person rotates backward through two somersaults with the knees tucked while twisting twice."),
    (37, "Double salto backward tucked with 1 twist", "A person rotates backward through two somersaults with the knees tucked while twisting once."),
    (38, "Double salto backward tucked", "A person rotates backward through two somersaults in one flight with the knees tucked to the chest."),
    (39, "Double salto backward piked with 1 twist", "A person rotates backward through two somersaults, legs straight and body folded at the hips, while twisting once."),
    (40, "Double salto backward piked", "A person rotates backward through two somersaults in one flight, legs straight and body folded at the hips."),
)  # fmt: skip


def _subset(action: int) -> str:
    return "FX-JUMP" if action <= 16 else "FX-TURN" if action <= 23 else "FX-SALTO"


ACTIONS = tuple(
    Action(number, _subset(number), label, caption) for number, label, caption in _TABLE
)
"""All 35 classes, in the order of Table 3."""

_BY_ID = {action.id: action for action in ACTIONS}


def action_by_id(number: int) -> Action:
    """Return the class with this id.

    Raises:
        RequestError: there is none.
    """
    if number not in _BY_ID:
        raise RequestError(
            f"action {number} does not exist; choose a class id from 6 to 40 "
            "(`python -m finephys actions` lists them).",
            "python -m finephys actions",
        )
    return _BY_ID[number]
