"""Landmarks against region maps that are known exactly, and what is said where no face is found."""

import io
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, write_dataset
from PIL import Image

from emotions.attention import heat_shares, landmarks
from emotions.data import dataset
from emotions.data.knobs import LoadParams
from emotions.sources import synthetic
from emotions.sources.synthetic import Planned
from emotions.taxonomy import compound_classes

CLASSES = compound_classes("rafdb11")


@pytest.fixture(scope="module")
def faces() -> list[tuple[np.ndarray, np.ndarray]]:
    """Drawn faces and their region maps, uint8 at 224 px."""
    prototypes = synthetic.load_prototypes(ROOT / "data/raw/synthetic")
    found = []
    for i in range(24):
        drawn = synthetic.draw_face(Planned("compound", "val", i, CLASSES[i % 11]), prototypes, seed=5)
        image = Image.open(io.BytesIO(drawn.content)).convert("RGB").resize((224, 224), Image.BICUBIC)
        regions = Image.open(io.BytesIO(drawn.regions)).resize((224, 224), Image.NEAREST)
        found.append((np.array(image), np.array(regions)))
    return found


def centre(mask: np.ndarray) -> np.ndarray:
    return np.array([axis.mean() for axis in np.nonzero(mask)]) / len(mask)


def shrunk(image: np.ndarray, side: int) -> np.ndarray:
    """As an image of `side` pixels looks when it is enlarged again."""
    small = Image.fromarray(image).resize((side, side), Image.BICUBIC)
    return np.array(small.resize((224, 224), Image.BICUBIC))


@pytest.mark.parametrize("side", [224, 100, 48])
def test_areas_by_landmarks_lie_where_the_drawn_ones_do(
    faces: list[tuple[np.ndarray, np.ndarray]], side: int
) -> None:
    """At 100 px as RAF-CE's aligned faces, at 48 px as FER2013's. In shares of the image's side."""
    errors: dict[str, list[float]] = {"eyes_brows": [], "nose": [], "mouth": []}
    missed = 0
    for image, regions in faces:
        points = landmarks.find(shrunk(image, side))
        if points is None:
            missed += 1
            continue
        exact, guessed = heat_shares.area_masks(regions[None]), landmarks.masks_of(points, 224)
        for area, distances in errors.items():
            distances.append(float(np.linalg.norm(centre(guessed[area]) - centre(exact[area][0]))))
    assert missed <= 2
    assert np.mean(errors["mouth"]) < 0.02
    assert np.mean(errors["eyes_brows"]) < 0.03
    assert np.mean(errors["nose"]) < 0.06


def test_every_pixel_is_in_exactly_one_area(faces: list[tuple[np.ndarray, np.ndarray]]) -> None:
    points = landmarks.find(faces[0][0])
    assert points is not None and points.shape == (68, 2)
    for side in (48, 96):
        masks = landmarks.masks_of(points, side)
        assert set(masks) == {*landmarks.HULLS, landmarks.FACE, landmarks.OUTSIDE}
        assert (sum(mask.astype(int) for mask in masks.values()) == 1).all()
        assert all(mask.any() for mask in masks.values())


def test_there_is_no_face_in_noise() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (224, 224, 3)).astype(np.uint8)
    assert landmarks.find(noise) is None


def test_photographs_without_faces_are_told_by_centre_and_border(tmp_path: Path) -> None:
    path = tmp_path / "dataset.zip"
    write_dataset(path, per_class=1)
    params = LoadParams(image_size=64, threads=1, store_gb=1)
    split = dataset.load_split(path, CLASSES, "compound", split="val", params=params, decoded=tmp_path)
    located = landmarks.locate(path, split, params, decoded=tmp_path)
    assert located.how == "centre and border"
    assert located.known.all()
    assert set(located.masks) == {"centre", "border"}


def test_drawn_faces_keep_their_exact_areas_and_photographs_get_landmarks(
    tmp_path: Path, faces: list[tuple[np.ndarray, np.ndarray]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "dataset.zip"
    rows = write_dataset(path, per_class=1)
    params = LoadParams(image_size=96, threads=1, store_gb=1)
    split = dataset.load_split(path, CLASSES, "compound", split="val", params=params, decoded=tmp_path)
    shown = iter([image for image, _ in faces[:8]] + [np.zeros((224, 224, 3), np.uint8)] * 3)
    real = landmarks.find
    monkeypatch.setattr(landmarks, "find", lambda _: real(next(shown)))
    located = landmarks.locate(path, split, params, decoded=tmp_path)
    assert located.how == "landmarks"
    assert len(located.known) == len([r for r in rows if r.role == "compound" and r.split == "val"])
    assert located.known[:8].sum() >= 7 and not located.known[8:].any()
    assert not any(mask[8:].any() for mask in located.masks.values())
    assert located.masks["mouth"].shape == (11, 96, 96)
