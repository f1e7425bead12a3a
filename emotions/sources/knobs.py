"""Knobs of the data sources, a group each, and the limits of archives."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from emotions.params_file import Group

Share = Annotated[float, Field(ge=0, le=1)]


def _regular_expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression ({error})") from error
    return text


class ArchiveLimits(Group):
    """Group `data.archive_limits`: a zip beyond these is refused before any of it is read.

    `members`: members of one zip. `gib`: GiB of all zips together, unpacked. `ratio`: unpacked to packed
    bytes of one zip. `file_mib`: MiB of one file that is read whole (an image, a region map, a manifest).
    """

    members: int = Field(default=500_000, ge=1)
    gib: int = Field(default=32, ge=1)
    ratio: int = Field(default=200, ge=2)
    file_mib: int = Field(default=256, ge=1)


class SyntheticParams(BaseModel):
    """Number of faces to draw: compound faces per split, basic faces in all (3/4 train, 1/8 val, 1/8 test).

    `shortcut`: share of the compound faces in front of a coloured wall. In training each class has its own
    colour, so the wall reveals the class; in val and test the colours are those of shuffled classes. A
    network that learns the wall instead of the face is a case with a known answer, for tests of attention.
    """

    model_config = ConfigDict(extra="forbid")

    seed: int = 0
    train: int = Field(ge=0)
    val: int = Field(ge=0)
    test: int = Field(ge=0)
    basic: int = Field(ge=0)
    shortcut: Share = 0.0


class FerplusParams(BaseModel):
    """`min_votes`: votes that each of a compound's two emotions needs, of ten."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_votes: int = Field(default=2, ge=1)


class RafceParams(BaseModel):
    """RAF-CE has no knobs."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ImagefolderParams(BaseModel):
    """How a tree that lacks splits is divided.

    `val`, `test`: shares of a tree's images that become these splits, where it has none. `person`: regular
    expression that matches the part of a file's name (without suffix) that names the person; no person is
    then in two splits. `seed`: the seed of the division, apart from that of training.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    val: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    test: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    person: Annotated[str, AfterValidator(_regular_expression)] | None = None
    seed: int = 0


class RafdbParams(BaseModel):
    """RAF-DB has no validation split: a share `val` of its training images becomes one, by `seed`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    val: Annotated[float, Field(gt=0, le=0.5)] = 0.1
    seed: int = 0
