"""Emotion classes and their order. This module is the only place where an order of classes is decided.

Every label file, folder name, confusion axis, report table and weight file takes its names and their order
from here, so that every id is read in the order in which it was written.
"""

import re
from typing import Final, Literal

BASIC: Final = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
"""Basic emotions in RAF-DB's order."""

SIX: Final = BASIC[:6]
"""The emotions that compounds and soft labels are made of, in the order of RAF-CE's `distribution.txt`."""

COMPOUND: Final = (
    "Happily_Surprised",
    "Happily_Disgusted",
    "Sadly_Fearful",
    "Sadly_Angry",
    "Sadly_Surprised",
    "Sadly_Disgusted",
    "Fearfully_Angry",
    "Fearfully_Surprised",
    "Fearfully_Disgusted",
    "Angrily_Surprised",
    "Angrily_Disgusted",
    "Disgustedly_Surprised",
    "Happily_Fearful",
    "Happily_Sad",
)
"""RAF-CE's compound emotions; the position is the id in `RAFCE_emolabel.txt`."""

NOT_IN_RAFDB: Final = ("Fearfully_Disgusted", "Happily_Fearful", "Happily_Sad")

ClassSet = Literal["rafdb11", "rafce14"]

SPLITS: Final = ("train", "val", "test")

RAFCE_COUNTS: Final[dict[str, tuple[int, int, int]]] = dict(
    zip(
        COMPOUND,
        (
            (394, 156, 126),
            (171, 54, 54),
            (109, 26, 36),
            (136, 50, 44),
            (71, 24, 25),
            (495, 162, 178),
            (120, 32, 43),
            (352, 138, 113),
            (24, 6, 6),
            (124, 42, 44),
            (582, 201, 194),
            (108, 32, 37),
            (6, 4, 1),
            (17, 4, 8),
        ),
        strict=True,
    )
)
"""Published image counts of RAF-CE's classes: (train, val, test)."""

ACTION_UNITS: Final[dict[int, str]] = {
    1: "inner brow raiser",
    2: "outer brow raiser",
    4: "brow lowerer",
    5: "upper lid raiser",
    6: "cheek raiser",
    7: "lid tightener",
    9: "nose wrinkler",
    10: "upper lip raiser",
    12: "lip corner puller",
    15: "lip corner depressor",
    17: "chin raiser",
    20: "lip stretcher",
    23: "lip tightener",
    25: "lips part",
    26: "jaw drop",
}
"""The action units that the synthetic faces draw, by FACS number."""

_STEM: Final = {
    "Happily": "happiness",
    "Happy": "happiness",
    "Sadly": "sadness",
    "Sad": "sadness",
    "Fearfully": "fear",
    "Fearful": "fear",
    "Angrily": "anger",
    "Angry": "anger",
    "Disgustedly": "disgust",
    "Disgusted": "disgust",
    "Surprised": "surprise",
}


def compound_classes(name: ClassSet) -> tuple[str, ...]:
    """Class names of a class set, in the order of the model's outputs: RAF-CE's order without the
    classes that the set lacks."""
    if name == "rafce14":
        return COMPOUND
    return tuple(c for c in COMPOUND if c not in NOT_IN_RAFDB)


def components(compound: str) -> tuple[str, str]:
    """The two basic emotions of a compound: `Happily_Surprised` -> `("happiness", "surprise")`."""
    first, second = compound.split("_")
    return _STEM[first], _STEM[second]


def compound_of(first: str, second: str) -> str | None:
    """The compound made of two basic emotions, in either order, or None where RAF-CE has no such class."""
    pair = {first, second}
    return next((c for c in COMPOUND if set(components(c)) == pair), None)


def display(label: str) -> str:
    """A label as prose prints it: `Happily_Surprised` -> `Happily surprised`."""
    return label.replace("_", " ").capitalize()


_UNIT: Final = re.compile(r"[LRTB]*[1-9]\d?", re.ASCII)


def parse_units(token: str) -> str:
    """Action units of RAF-CE's label file in the manifest's form: `L12+t23` -> `L12+T23`, `null` -> `none`.

    Raises:
        ValueError: a part is not a unit from 1 to 99 with optional prefixes L, R, T, B.
    """
    if token == "null":  # noqa: S105
        return "none"
    units = token.upper().split("+")
    wrong = next((unit for unit in units if not _UNIT.fullmatch(unit)), None)
    if wrong is not None:
        raise ValueError(f"{wrong!r} in {token!r} is not an action unit such as 12, L12, RB18, nor 'null'")
    return "+".join(units)


def unit_numbers(action_units: str) -> frozenset[int] | None:
    """FACS numbers of a manifest's action units: `1+L12` -> {1, 12}, without sides and strengths. `none`
    gives the empty set; units that are not coded give None."""
    return frozenset(int(number) for number in re.findall(r"\d+", action_units)) if action_units else None
