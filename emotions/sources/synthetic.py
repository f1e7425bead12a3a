"""The default source: any number of faces drawn from action units, with known regions.

A compound emotion is the blend of its two basic prototypes with random weights; everything else in a picture
(`drawing.Appearance`) is drawn independently of the class, so only the expression reveals the class.
"""

import colorsys
import functools
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from emotions.random_streams import numpy_stream
from emotions.runtime.parallel import cores, end_with_parent, in_order
from emotions.sources.drawing import appearance, draw
from emotions.sources.knobs import ArchiveLimits, SyntheticParams
from emotions.sources.sample import Sample, SourceError
from emotions.taxonomy import (
    ACTION_UNITS,
    BASIC,
    COMPOUND,
    RAFCE_COUNTS,
    SPLITS,
    ClassSet,
    components,
    compound_classes,
)

PROTOTYPES = "action_units.yaml"
_CHUNK = 16  # faces a worker draws before it answers
_MOST_WORKERS = 8  # more take longer to start than they save on a few thousand faces
_WORTH_A_WORKER = 250  # faces that take longer to draw than a worker to start

Share = Annotated[float, Field(ge=0, le=1)]


class Spreads(BaseModel):
    """Spread of single faces around the prototypes; intensities in [0, 1]."""

    model_config = ConfigDict(extra="forbid")

    basic_strength: tuple[Share, Share]
    component_strength: tuple[Share, Share]
    unit_noise: Share
    active_above: Share

    @field_validator("basic_strength", "component_strength")
    @classmethod
    def _ordered(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] > value[1]:
            raise ValueError("the lower end of the range comes first")
        return value


class Prototypes(BaseModel):
    """Action-unit intensities of each basic emotion, as `action_units.yaml` gives them."""

    model_config = ConfigDict(extra="forbid")

    emotions: dict[str, dict[int, Share]]
    spreads: Spreads

    @field_validator("emotions")
    @classmethod
    def _known(cls, emotions: dict[str, dict[int, float]]) -> dict[str, dict[int, float]]:
        if unknown := sorted(set(emotions) - set(BASIC)):
            raise ValueError(f"unknown emotion {unknown[0]!r}; the basic emotions are {', '.join(BASIC)}")
        if missing := [name for name in BASIC if name not in emotions]:
            raise ValueError(f"emotion {missing[0]!r} is missing; give its units, or {{}} for none")
        for name, units in emotions.items():
            if strange := sorted(set(units) - set(ACTION_UNITS)):
                raise ValueError(
                    f"{name}: unknown action unit {strange[0]}; drawn are {', '.join(map(str, ACTION_UNITS))}"
                )
        return emotions


@dataclass(frozen=True, slots=True)
class Planned:
    """One face to be drawn; `index` counts within role and split. `wall`: the class whose colour the wall
    behind the face has; empty for a random room."""

    role: str
    split: str
    index: int
    label: str
    wall: str = ""

    @property
    def source_id(self) -> str:
        return f"{self.role}_{self.split}_{self.index:05d}"


def read(
    folder: Path,
    classes: ClassSet,
    params: SyntheticParams,
    limits: ArchiveLimits | None = None,
    *,
    workers: int | None = None,
) -> tuple[int, Iterator[Sample]]:
    """The number of faces and the faces themselves: compound train, val, test, then basic train, val, test.

    `limits` is unused: there is no archive. Faces are drawn on demand, on all cores or `workers` processes,
    with the same bytes either way.

    Raises:
        SourceError: `action_units.yaml` in `folder` is missing or wrong; file, key and remedy are named.
    """
    prototypes = load_prototypes(folder)
    faces = plan(classes, params)
    workers = workers or min(cores(), _MOST_WORKERS, len(faces) // _WORTH_A_WORKER)
    return len(faces), _draw_all(faces, prototypes, params.seed, workers=workers)


def load_prototypes(folder: Path) -> Prototypes:
    """Read and check `action_units.yaml`.

    Raises:
        SourceError: as in `read`.
    """
    path = folder / PROTOTYPES
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SourceError(
            f"{path}: not found; it comes with the repository: git checkout -- {path}"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: not valid YAML: {error}; compare it with the version in git") from error
    try:
        return Prototypes.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "top level"
        raise SourceError(
            f"{path}, key {key}: {first['msg']}; correct it, or restore the file from git"
        ) from error


def plan(classes: ClassSet, params: SyntheticParams) -> list[Planned]:
    """List the faces in the order in which they are drawn."""
    faces: list[Planned] = []
    for split, total in zip(SPLITS, (params.train, params.val, params.test), strict=True):
        labels = _shuffled(compound_counts(classes, split, total), params.seed, "compound", split=split)
        walls = _walls(labels, split, params)
        faces += [
            Planned("compound", split, index, label, wall)
            for index, (label, wall) in enumerate(zip(labels, walls, strict=True))
        ]
    held_out = params.basic // 8
    for split, total in zip(SPLITS, (params.basic - 2 * held_out, held_out, held_out), strict=True):
        labels = _shuffled(_apportion(dict.fromkeys(BASIC, 1), total), params.seed, "basic", split=split)
        faces += [Planned("basic", split, index, label) for index, label in enumerate(labels)]
    return faces


def _walls(labels: list[str], split: str, params: SyntheticParams) -> list[str]:
    """Class whose colour each face's wall has, a share `shortcut` of them; else empty."""
    rng = numpy_stream(params.seed, "synthetic", "compound", split, "walls")
    shown = labels if split == "train" else [labels[at] for at in rng.permutation(len(labels))]
    return [
        label if draw < params.shortcut else ""
        for label, draw in zip(shown, rng.random(len(labels)), strict=True)
    ]


def wall_colour(label: str) -> NDArray[np.float64]:
    """The colour of a class's wall, RGB in [0, 255]: hues evenly around the circle."""
    hue = COMPOUND.index(label) / len(COMPOUND)
    return 255 * np.array(colorsys.hsv_to_rgb(hue, 0.75, 0.8))


def compound_counts(classes: ClassSet, split: str, total: int) -> dict[str, int]:
    """Images per class, `total` in all, by RAF-CE's shares in that split; none empty if there are enough."""
    column = SPLITS.index(split)
    counts = _apportion({name: RAFCE_COUNTS[name][column] for name in compound_classes(classes)}, total)
    if total >= len(counts):
        for name in [name for name, count in counts.items() if count == 0]:
            counts[max(counts, key=counts.__getitem__)] -= 1
            counts[name] = 1
    return counts


def _apportion(weights: dict[str, int], total: int) -> dict[str, int]:
    """Whole numbers in proportion to `weights` that sum to `total` (largest remainders)."""
    whole = sum(weights.values())
    counts = {name: total * weight // whole for name, weight in weights.items()}
    by_remainder = sorted(weights, key=lambda name: -(total * weights[name] % whole))
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    return counts


def _shuffled(counts: dict[str, int], seed: int, role: str, *, split: str) -> list[str]:
    labels = [name for name, count in counts.items() for _ in range(count)]
    order = numpy_stream(seed, "synthetic", role, split, "labels").permutation(len(labels))
    return [labels[at] for at in order]


def intensities(face: Planned, prototypes: Prototypes, seed: int) -> dict[int, float]:
    """True intensity in [0, 1] of every action unit of a face, without drawing it."""
    return express(face.label, prototypes, _stream(face, seed))


def _stream(face: Planned, seed: int) -> np.random.Generator:
    return numpy_stream(seed, "synthetic", face.role, face.split, face.index)


def express(label: str, prototypes: Prototypes, rng: np.random.Generator) -> dict[int, float]:
    """Blend the label's prototypes; every label takes as many draws, so later draws cannot depend on it."""
    spreads = prototypes.spreads
    draws, noise = rng.random(2), rng.normal(0, spreads.unit_noise, len(ACTION_UNITS))
    emotions = components(label) if label in COMPOUND else (label,)
    low, high = spreads.component_strength if label in COMPOUND else spreads.basic_strength
    strengths = low + (high - low) * draws
    total = dict.fromkeys(ACTION_UNITS, 0.0)
    for emotion, strength in zip(emotions, strengths, strict=False):
        for unit, intensity in prototypes.emotions[emotion].items():
            total[unit] += float(strength) * intensity
    return {
        unit: float(np.clip(value + stray, 0, 1))
        for (unit, value), stray in zip(total.items(), noise, strict=True)
    }


def coded(units: dict[int, float], active_above: float) -> str:
    """Units that a coder would note, such as `1+2+12`, or `none`."""
    return "+".join(str(unit) for unit, value in sorted(units.items()) if value > active_above) or "none"


def draw_face(face: Planned, prototypes: Prototypes, seed: int) -> Sample:
    rng = _stream(face, seed)
    units = express(face.label, prototypes, rng)
    picture, regions = draw(appearance(rng), units, wall_colour(face.wall) if face.wall else None)
    return Sample(
        source_id=face.source_id,
        label=face.label,
        role=face.role,
        split=face.split,
        content=_png(picture[..., ::-1]),
        action_units=coded(units, prototypes.spreads.active_above),
        group=face.source_id,  # every face is a new person
        regions=_png(regions),
    )


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """PNG of a grey or BGR picture; level 1, because noise does not compress any better at a higher one."""
    return cv2.imencode(".png", np.ascontiguousarray(pixels), [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def _draw_chunk(faces: Sequence[Planned], prototypes: Prototypes, seed: int) -> list[Sample]:
    return [draw_face(face, prototypes, seed) for face in faces]


def _begin_worker() -> None:
    cv2.setNumThreads(1)
    end_with_parent()


def _draw_all(
    faces: Sequence[Planned], prototypes: Prototypes, seed: int, *, workers: int
) -> Iterator[Sample]:
    """Draw in order, a few chunks ahead of the consumer: memory does not grow with the data set."""
    chunks = [faces[at : at + _CHUNK] for at in range(0, len(faces), _CHUNK)]
    if min(workers, len(chunks)) <= 1:
        for chunk in chunks:
            yield from _draw_chunk(chunk, prototypes, seed)
        return
    spawn = multiprocessing.get_context("spawn")  # a fork would copy locks of parent threads (cv2, torch)
    with ProcessPoolExecutor(min(workers, len(chunks)), spawn, initializer=_begin_worker) as pool:
        draw_chunk = functools.partial(_draw_chunk, prototypes=prototypes, seed=seed)
        for samples in in_order(pool, draw_chunk, chunks, ahead=2 * workers):
            yield from samples
