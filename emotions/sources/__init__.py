"""The data sources by name; each reads a folder and yields labelled images."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict

from emotions.data.knobs import ImageLimits
from emotions.sources import ferplus, imagefolder, rafce, rafdb, synthetic
from emotions.sources.archive import Archive
from emotions.sources.knobs import (
    ArchiveLimits,
    FerplusParams,
    ImagefolderParams,
    RafceParams,
    RafdbParams,
    SyntheticParams,
)
from emotions.sources.reading import open_archive
from emotions.sources.sample import Sample, SourceError
from emotions.taxonomy import ClassSet


@dataclass(frozen=True)
class Source:
    """A data source and what its licence allows in git.

    `read(folder, classes, params, limits)` gives the sample count and the samples; `params` is its own model.
    `pictures_in_git`, `label_lists_in_git`: whether a picture of it, or a list of its images with their
    labels, may be committed. If either may not, `extract` refuses raw files that git tracks; all outs with
    pictures or lists lie in the DVC cache anyway. `soft_labels`: whether its images may have votes.
    `recognises(archive)`: whether files of it lie there; one without files of its own recognises none.
    """

    read: Callable[[Path, ClassSet, Any, ArchiveLimits], tuple[int, Iterator[Sample]]]
    params: type[BaseModel]
    pictures_in_git: bool
    label_lists_in_git: bool
    soft_labels: bool = True
    recognises: Callable[[Archive], bool] = lambda _: False


SOURCES: Final[dict[str, Source]] = {
    "synthetic": Source(
        synthetic.read, SyntheticParams, pictures_in_git=True, label_lists_in_git=True, soft_labels=False
    ),
    # on request, for academic research, not to be passed on
    "rafce": Source(
        rafce.read,
        RafceParams,
        pictures_in_git=False,
        label_lists_in_git=False,
        recognises=rafce.recognises,
    ),
    # the same
    "rafdb": Source(
        rafdb.read,
        RafdbParams,
        pictures_in_git=False,
        label_lists_in_git=False,
        soft_labels=False,
        recognises=rafdb.recognises,
    ),
    # the votes are MIT, but the photographs have owners and the list names the photographs
    "ferplus": Source(
        ferplus.read,
        FerplusParams,
        pictures_in_git=False,
        label_lists_in_git=False,
        recognises=ferplus.recognises,
    ),
    # licence unknown, so neither
    "imagefolder": Source(
        imagefolder.read,
        ImagefolderParams,
        pictures_in_git=False,
        label_lists_in_git=False,
        recognises=imagefolder.recognises,
    ),
}


def source_of(folder: Path, limits: ArchiveLimits | None = None) -> str | None:
    """The source whose files lie in a folder, its zips and tars; None where no file lies there.

    Raises:
        SourceError: files of several sources, or of none; or a file that cannot be read.
    """
    with open_archive(folder, limits) as archive, archive:
        found = [name for name, source in SOURCES.items() if source.recognises(archive)]
        if archive.names and len(found) != 1:
            raise SourceError(
                f"{folder}: data of {' and '.join(found) or 'no known kind'}; docs/data says how those of "
                "each source lie: leave those of one there"
            )
        return found[0] if found else None


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
    rafdb: RafdbParams
    imagefolder: ImagefolderParams
    archive_limits: ArchiveLimits
    image_limits: ImageLimits

    def own(self) -> BaseModel:
        """The params of the chosen source; a source without knobs has an empty model."""
        return getattr(self, self.source, None) or SOURCES[self.source].params()
