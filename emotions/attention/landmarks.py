"""Eyes, nose and mouth in a photograph, located by 68 landmarks, and the areas of any split.

The landmarks are dlib's (Kazemi & Sullivan 2014, CVPR), trained on iBUG 300-W (Sagonas et al. 2016; for
research). The model lies in the package `face_recognition_models`, whose code is not used.
"""

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import cv2
import dlib
import numpy as np
import torch

from emotions.attention import heat_shares
from emotions.data import dataset
from emotions.data.dataset import Split
from emotions.data.knobs import LoadParams
from emotions.runtime.console import progress

MODEL: Final = "models/shape_predictor_68_face_landmarks.dat"
SIDE: Final = 224
"""Image side for face detection, in pixels: dlib's detector needs faces of 80."""
MOST_MISSED: Final = 0.5
"""Greatest share of faces without landmarks; beyond it, landmarks say too little about a split."""

HULLS: Final[dict[str, tuple[tuple[int, ...], ...]]] = {
    "eyes_brows": ((*range(17, 22), *range(36, 42)), (*range(22, 27), *range(42, 48))),
    "nose": (tuple(range(27, 36)),),
    "mouth": (tuple(range(48, 60)),),
}
"""Area -> landmark numbers around each of its parts (300-W's, from 0)."""
FACE: Final = "other_face"
OUTSIDE: Final = "outside"
"""All beyond the jaw and the brows: forehead, hair, background."""
UNLOCATED: Final = "centre and border"
"""Division of images whose areas cannot be located."""


@dataclass(frozen=True)
class Located:
    """Areas of N images. `how`: `exact` | `landmarks` | UNLOCATED. `masks`: area -> bool [N, H, W]. `known`:
    bool [N], images with located areas; the masks of the others are empty."""

    how: str
    masks: dict[str, np.ndarray]
    known: np.ndarray


@cache
def _models() -> tuple[Any, Any]:
    spec = importlib.util.find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("face_recognition_models is not installed; pip install -r requirements.txt")
    path = Path(spec.submodule_search_locations[0]) / MODEL
    return dlib.get_frontal_face_detector(), dlib.shape_predictor(str(path))


def find(image: np.ndarray) -> np.ndarray | None:
    """Landmarks of the largest face, float [68, 2] (x, y) in [0, 1]; None where no face is found.

    Args:
        image: uint8 [H, W, 3]; faces of less than 80 px are missed.
    """
    detector, predictor = _models()
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    faces = detector(grey, 1)
    if not faces:
        return None
    shape = predictor(grey, max(faces, key=lambda box: box.area()))
    size = np.array([image.shape[1], image.shape[0]])
    return np.array([(p.x, p.y) for p in shape.parts()]) / size


def masks_of(points: np.ndarray, side: int) -> dict[str, np.ndarray]:
    """Areas from the convex hulls of landmarks, bool [side, side] each; every pixel is in exactly one.

    Args:
        points: float [68, 2], as `find` gives them.
    """
    pixels = np.round(points * side).astype(np.int32)

    def hull(numbers: tuple[int, ...]) -> np.ndarray:
        inside = np.zeros((side, side), np.uint8)
        cv2.fillConvexPoly(inside, cv2.convexHull(pixels[list(numbers)]), 1)
        return inside > 0

    face = hull(tuple(range(68)))
    found, taken = {}, np.zeros((side, side), bool)
    for area, parts in HULLS.items():
        one = np.logical_or.reduce([hull(numbers) for numbers in parts]) & ~taken
        found[area] = one
        taken |= one
    return found | {FACE: face & ~taken, OUTSIDE: ~(face | taken)}


def locate(path: Path, split: Split, params: LoadParams, *, decoded: Path, title: str = "") -> Located:
    """Locate the areas of all images of a split: from their region maps, else by landmarks. Where more than
    MOST_MISSED of the faces have no landmarks, they are the central square and the border.

    Args:
        path: the dataset zip. split: all or some compound images of one of its splits.
    """
    side, images = split.images.shape[-1], len(split)
    if all(row.regions for row in split.rows):
        masks = heat_shares.area_masks(dataset.load_regions(path, split.rows, side))
        return Located("exact", masks, np.ones(images, bool))
    whole = dataset.load_split(
        path,
        split.classes,
        split.rows[0].role,
        split=split.rows[0].split,
        params=params.model_copy(update={"image_size": SIDE}),
        decoded=decoded,
    )
    place = {row.image: i for i, row in enumerate(whole.rows)}
    masks = {area: np.zeros((images, side, side), bool) for area in (*HULLS, FACE, OUTSIDE)}
    known = np.zeros(images, bool)
    for i, row in progress(title, images, enumerate(split.rows)):
        pixels = whole.take(torch.tensor([place[row.image]]))[0].permute(1, 2, 0).numpy()
        points = find(pixels)
        if points is not None:
            known[i] = True
            for area, mask in masks_of(points, side).items():
                masks[area][i] = mask
    if known.mean() < 1 - MOST_MISSED:
        return Located(UNLOCATED, heat_shares.centre_masks(images, side), np.ones(images, bool))
    return Located("landmarks", masks, known)
