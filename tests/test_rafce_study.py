"""An RAF-CE look-alike (official format, quirks included) through the whole pipeline at 224 px for one
epoch."""

import csv
import io
import json
from itertools import cycle
from pathlib import Path

import pytest
from conftest import ROOT, Study
from PIL import Image
from rafce_lookalike import Listed, build

from rafce.manifest import read
from rafce.sources import synthetic
from rafce.sources.synthetic import SyntheticParams
from rafce.taxonomy import RAFCE_COUNTS, compound_classes

COUNTS = {
    label: tuple(max(1, round(n * 600 / 4549)) for n in counts) for label, counts in RAFCE_COUNTS.items()
}
REAL_STUDY = (
    ("source: synthetic ", "source: rafce "),
    ("basic_emotions: {epochs: 8", "basic_emotions: {epochs: 0"),
    ("image_size: 96 ", "image_size: 224 "),
    ("  epochs: 10", "  epochs: 1"),
    ("  images: 256 ", "  images: 40 "),
    ("  examples: 2 ", "  examples: 1 "),
)


def lookalike(folder: Path, counts: dict) -> list[Listed]:
    """The look-alike with faces of the synthetic source, as 100 x 100 JPEGs, in one outer zip."""
    total = sum(map(sum, counts.values()))
    params = SyntheticParams(seed=1, train=max(200, total // 4), val=0, test=0, basic=0)
    _, samples = synthetic.read(ROOT / "data/raw/synthetic", "rafce14", params)
    faces: dict[str, list[Image.Image]] = {}
    for s in samples:
        image = Image.open(io.BytesIO(s.content)).convert("RGB").resize((100, 100))
        faces.setdefault(s.label, []).append(image)
    drawn = {label: cycle(enumerate(images)) for label, images in faces.items()}

    def face(index: int, label: str) -> Image.Image:
        _, image = next(drawn[label])
        image = image.rotate(index % 7 - 3)
        image.putpixel((index % 100, index // 100), (index % 251, index % 241, index % 239))  # none is a copy
        return image

    return build(folder, counts, layout="zip", face=face)


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
    for name in ("run1", "run2", "run3"):
        metrics = json.loads(study.read(f"metrics/runs/{name}.json"))
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
    predictions = list(csv.DictReader(io.StringIO(study.read("data/predictions/run1.csv"))))
    assert {Path(p["image"]).stem: (p["label"], p["split"]) for p in predictions} == kept


def test_every_run_has_a_gallery(listed_and_study: tuple[list[Listed], Study]) -> None:
    _, study = listed_and_study
    for name in ("run1", "run2", "run3"):
        with Image.open(study.folder / f"plots/runs/{name}/gallery.jpg") as gallery:
            assert gallery.width > 400
            assert gallery.height > 1000


def test_git_holds_no_picture_of_a_face_and_no_id_with_its_label(
    listed_and_study: tuple[list[Listed], Study],
) -> None:
    listed, study = listed_and_study
    tracked = study.git("ls-files").splitlines()
    assert not [f for f in tracked if f.startswith("data/raw/rafce/")]
    assert not [f for f in tracked if f.endswith((".jpg", ".jpeg", ".zip", ".pth", ".html"))]
    ids = {one.source_id for one in listed}
    for name in tracked:
        if name.startswith(("metrics/", "plots/", "report/")) and not name.endswith(".png"):
            for line in study.read(name).splitlines():
                words = set(
                    line.replace(",", " ").replace("/", " ").replace('"', " ").replace("_", " ").split()
                )
                assert not (ids & words), f"{name}: {line}"
