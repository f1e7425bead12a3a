"""The data sources by name; each reads a folder and yields labelled images."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict

from emotions.data.knobs import ImageLimits
from emotions.sources import ferplus, imagefolder, rafce, synthetic
from emotions.sources.knobs import (
    ArchiveLimits,
    FerplusParams,
    ImagefolderParams,
    RafceParams,
    SyntheticParams,
)
from emotions.sources.sample import Sample
from emotions.taxonomy import ClassSet


@dataclass(frozen=True)
class Source:
    """A data source and what its licence allows in git.

    `read(folder, classes, params, limits)` gives the sample count and the samples; `params` is its own model.
    `pictures_in_git`, `label_lists_in_git`: whether a picture of it, or a list of its images with their
    labels, may be committed. If either may not, `extract` refuses raw files that git tracks; all outs with
    pictures or lists lie in the DVC cache anyway. `soft_labels`: whether its images may have votes.
    """

    read: Callable[[Path, ClassSet, Any, ArchiveLimits], tuple[int, Iterator[Sample]]]
    params: type[BaseModel]
    pictures_in_git: bool
    label_lists_in_git: bool
    soft_labels: bool = True


SOURCES: Final[dict[str, Source]] = {
    "synthetic": Source(
        synthetic.read, SyntheticParams, pictures_in_git=True, label_lists_in_git=True, soft_labels=False
    ),
    # on request, for academic research, not to be passed on
    "rafce": Source(rafce.read, RafceParams, pictures_in_git=False, label_lists_in_git=False),
    # the votes are MIT, but the photographs have owners and the list names the photographs
    "ferplus": Source(ferplus.read, FerplusParams, pictures_in_git=False, label_lists_in_git=False),
    # licence unknown, so neither
    "imagefolder": Source(
        imagefolder.read, ImagefolderParams, pictures_in_git=False, label_lists_in_git=False
    ),
}


def _known(name: str) -> str:
    if name not in SOURCES:
        raise ValueError(f"unknown source; use one of {', '.join(SOURCES)}")
    return name


class DataParams(BaseModel):
    """Group `data` of params.yaml: source, classes, strictness, and the knobs of the sources that have any.

    `leakage`: what to do about copies and persons in two splits (see `leakage`). `unreadable`: whether
    an image that cannot be used ends the stage or is left out.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Annotated[str, AfterValidator(_known)]
    classes: ClassSet
    leakage: Literal["error", "drop", "warn"]
    unreadable: Literal["error", "drop"]
    synthetic: SyntheticParams
    ferplus: FerplusParams
    archive_limits: ArchiveLimits
    image_limits: ImageLimits

    def own(self) -> BaseModel:
        """The params of the chosen source; a source without knobs has an empty model."""
        return getattr(self, self.source, None) or SOURCES[self.source].params()
