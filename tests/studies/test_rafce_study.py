"""An RAF-CE look-alike (official format, quirks included) through the whole pipeline for one epoch."""

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, Study
from PIL import Image
from rafce_lookalike import Listed, build

from emotions.data.manifest import read
from emotions.sources import SOURCES, synthetic
from emotions.taxonomy import RAFCE_COUNTS, compound_classes

COUNTS = {
    label: tuple(max(1, round(n * 100 / 4549)) for n in counts) for label, counts in RAFCE_COUNTS.items()
}
REAL_STUDY = (
    ("source: synthetic ", "source: rafce "),
    ("basic_emotions: {epochs: 3", "basic_emotions: {epochs: 0"),
    ("\n  epochs: 5", "\n  epochs: 1"),
    ("  - 0\n  - 1\n  - 2\n", "  - 0\n"),
    ("  examples: 2 ", "  examples: 1 "),
    ("  - run1\n  - run2\n  - run3\n", "  - run1\n  - run2\n"),
)
RUNS = ("run1", "run2")
FIRST = 730_001
"""Number of the first image: an id that cannot stand in a file by chance."""
MARK = (255, 0, 255)
"""Colour of a patch on every face: a picture that shows a face has it."""


def lookalike(folder: Path, counts: dict) -> list[Listed]:
    """The look-alike with faces of the synthetic source, as 100 x 100 JPEGs, in one outer zip."""
    prototypes = synthetic.load_prototypes(ROOT / "data/raw/synthetic")

    def face(index: int, label: str) -> Image.Image:
        drawn = synthetic.draw_face(synthetic.Planned("compound", "train", index, label), prototypes, seed=1)
        image = Image.open(io.BytesIO(drawn.content)).convert("RGB").resize((100, 100))
        image.paste(MARK, (0, 0, 14, 14))
        return image

    return build(folder, counts, layout="zip", face=face, first=FIRST)


@pytest.fixture(scope="module")
def listed_and_study(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Listed], Study]:
    study = Study(tmp_path_factory.mktemp("rafce"))
    listed = lookalike(study.folder / "data/raw/rafce", COUNTS)
    study.dvc("add", "data/raw/rafce")
    study.params(*REAL_STUDY)
    study.dvc("repro")
    study.commit("real study")
    return listed, study


def test_table_has_the_eleven_classes_with_their_counts(listed_and_study: tuple[list[Listed], Study]) -> None:
    listed, study = listed_and_study
    data = json.loads(study.read("metrics/data.json"))
    classes = compound_classes("rafdb11")
    assert data["classes"] == list(classes)
    expected = {c: dict(zip(("train", "val", "test"), COUNTS[c], strict=True)) for c in classes}
    assert data["compound"] == expected
    assert len(listed) == sum(map(sum, COUNTS.values()))
    for name in RUNS:
        metrics = json.loads(study.read(f"metrics/runs/{name}-0.json"))
        assert list(metrics["selected"]["test"]["per_class"]) == list(classes)
        confusion = metrics["selected"]["test"]["confusion"]
        assert [sum(row) for row in confusion] == [COUNTS[c][2] for c in classes]


def test_labels_reach_the_predictions_unshifted(listed_and_study: tuple[list[Listed], Study]) -> None:
    listed, study = listed_and_study
    rows = read(study.read("data/extracted/manifest.csv"))
    kept = {
        one.source_id: (one.label, one.split) for one in listed if one.label in compound_classes("rafdb11")
    }
    assert {r.source_id: (r.label, r.split) for r in rows} == kept
    predictions = list(csv.DictReader(io.StringIO(study.read("data/predictions/run1-0.csv"))))
    assert {Path(p["image"]).stem: (p["label"], p["split"]) for p in predictions} == kept


def test_every_run_has_a_gallery(listed_and_study: tuple[list[Listed], Study]) -> None:
    _, study = listed_and_study
    for name in RUNS:
        with Image.open(study.folder / f"plots/runs/{name}/gallery.jpg") as gallery:
            assert gallery.width > 400
            assert gallery.height > 1000
            assert shows_a_face(gallery)


def shows_a_face(picture: Image.Image) -> bool:
    red, green, blue = np.asarray(picture.convert("RGB")).astype(int).transpose(2, 0, 1)
    return bool(((red > 180) & (green < 90) & (blue > 180)).sum() > 20)


def test_git_holds_no_picture_of_a_face_and_no_id_with_its_label(
    listed_and_study: tuple[list[Listed], Study],
) -> None:
    listed, study = listed_and_study
    assert not SOURCES["rafce"].pictures_in_git
    assert not SOURCES["rafce"].label_lists_in_git
    tracked = study.git("ls-files").splitlines()
    assert not [f for f in tracked if f.startswith("data/raw/rafce/")]
    assert not [f for f in tracked if f.endswith((".jpg", ".jpeg", ".zip", ".pth", ".html"))]
    outs = [f for f in tracked if f.startswith(("metrics/", "plots/", "report/", "data/")) or f == "dvc.lock"]
    assert {Path(f).suffix for f in outs} >= {".json", ".csv", ".png", ".md"}
    ids = re.compile("|".join(one.source_id for one in listed))
    for name in outs:
        if name.endswith(".png"):
            with Image.open(study.folder / name) as picture:
                assert not shows_a_face(picture), name
        else:
            assert not ids.search(study.read(name)), name
    assert ids.search(study.read("data/extracted/manifest.csv"))
    with Image.open(study.folder / "plots/contact_sheet.jpg") as sheet:
        assert shows_a_face(sheet)


def test_the_audit_counts_every_listed_image_and_finds_no_copy_among_different_faces(
    listed_and_study: tuple[list[Listed], Study],
) -> None:
    listed, study = listed_and_study
    data = json.loads(study.read("metrics/data.json"))
    assert sum(data["listed"]["compound"].values()) == len(listed)
    assert not any(sum(found.values()) for found in data["pairs_across_splits"].values())
    outside = [one for one in listed if one.label not in data["classes"]]
    assert sum(data["dropped"]["other class"]["compound"].values()) == len(outside)
    assert data["formats"] == {"JPEG": len(listed) - len(outside)}
    assert data["soft_labels"]["compound"] == len(listed) - len(outside)


def test_one_fingerprint_goes_with_the_data_the_weights_and_the_metrics(
    listed_and_study: tuple[list[Listed], Study],
) -> None:
    _, study = listed_and_study
    fingerprint = json.loads(study.read("metrics/data.json"))["fingerprint"]
    for name in RUNS:
        weights = torch.load(study.folder / f"models/runs/{name}-0.pth", weights_only=True)
        assert weights["data"] == json.loads(study.read(f"metrics/runs/{name}-0.json"))["data"] == fingerprint
    assert fingerprint in study.read("report/report.md")
