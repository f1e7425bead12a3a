"""The data sources by name; each reads a folder and yields labelled images."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from rafce.sources import ferplus, imagefolder, rafce, synthetic
from rafce.sources.base import Sample
from rafce.sources.ferplus import FerplusParams
from rafce.sources.synthetic import SyntheticParams
from rafce.taxonomy import ClassSet


@dataclass(frozen=True)
class Source:
    """`read(folder, classes, params)` gives how many samples and the samples; `params` is its own model."""

    read: Callable[[Path, ClassSet, Any], tuple[int, Iterator[Sample]]]
    params: type[BaseModel]


SOURCES: Final[dict[str, Source]] = {
    "synthetic": Source(synthetic.read, SyntheticParams),
    "rafce": Source(rafce.read, rafce.RafceParams),
    "ferplus": Source(ferplus.read, FerplusParams),
    "imagefolder": Source(imagefolder.read, imagefolder.ImagefolderParams),
}


class DataParams(BaseModel):
    """Group `data` of params.yaml: which source, which classes, and the knobs of sources that have any."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: Literal["synthetic", "rafce", "ferplus", "imagefolder"]
    classes: ClassSet
    synthetic: SyntheticParams
    ferplus: FerplusParams

    def own(self) -> BaseModel:
        """The params of the chosen source; a source without knobs has an empty model."""
        return getattr(self, self.source, None) or SOURCES[self.source].params()
