"""Leakage: no image, near-copy or person of a test split is trained on, and nothing else is thrown away."""

import csv
import io
import itertools
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageEnhance, ImageOps

from emotions.data.images import decode
from emotions.data.knobs import ImageLimits
from emotions.data.manifest import LABELS, Row
from emotions.sources import DataParams, audit, leakage, synthetic
from emotions.sources.knobs import SyntheticParams
from emotions.sources.leakage import Pair
from emotions.sources.sample import SourceError
from emotions.taxonomy import SPLITS, compound_classes
from stages import extract


def row(name: str, split: str, role: str = "compound", pixels: str = "same", group: str = "") -> Row:
    label = LABELS[role][0]
    return Row(f"images/{role}/{split}/{label}/{name}.png", label, role, split, "", group, "", pixels, name)


@pytest.mark.parametrize("order", list(itertools.permutations(SPLITS)))
def test_of_pixel_copies_the_test_image_stays_then_the_validation_one(order: tuple[str, ...]) -> None:
    rows = [row(s, s) for s in order]
    kept, used = leakage.drop(rows, leakage.pixel_copies(rows))
    assert [r.split for r in kept] == ["test"]
    assert {(p.other.split, p.kept.split) for p in used} == {("val", "test"), ("train", "test")}
    rows = [r for r in rows if r.split != "test"]
    assert [r.split for r in leakage.drop(rows, leakage.pixel_copies(rows))[0]] == ["val"]


def test_a_compound_image_stays_before_a_basic_one_whatever_the_split() -> None:
    rows = [row("a", "test", "basic"), row("b", "train")]
    assert leakage.drop(rows, leakage.pixel_copies(rows))[0] == [rows[1]]


ROWS = st.lists(
    st.builds(
        lambda name, split, role, pixels: row(str(name), split, role, pixels),
        st.integers(0, 99),
        st.sampled_from(SPLITS),
        st.sampled_from(sorted(LABELS)),
        st.sampled_from("abcde"),
    ),
    max_size=12,
    unique_by=lambda r: r.image,
)


@given(ROWS, st.randoms())
def test_no_picture_is_kept_twice_none_is_lost_and_the_order_of_the_source_does_not_matter(
    rows: list[Row], shuffle: random.Random
) -> None:
    kept, used = leakage.drop(rows, leakage.pixel_copies(rows))
    assert len({r.pixels for r in kept}) == len(kept)
    assert {r.pixels for r in kept} == {r.pixels for r in rows}
    assert sorted([r.image for r in kept] + [p.other.image for p in used]) == sorted(r.image for r in rows)
    assert all(p.kept in kept and p.kept.pixels == p.other.pixels for p in used)
    shuffled = list(rows)
    shuffle.shuffle(shuffled)
    assert set(leakage.drop(shuffled, leakage.pixel_copies(shuffled))[0]) == set(kept)


@given(ROWS, st.sets(st.tuples(st.integers(0, 11), st.integers(0, 11))))
def test_after_dropping_no_pair_is_whole_and_everything_dropped_had_a_partner_that_stays(
    rows: list[Row], ends: set[tuple[int, int]]
) -> None:
    pairs = []
    for i, j in sorted(ends):
        if max(i, j) < len(rows) and rows[i].split != rows[j].split:
            kept, other = sorted((rows[i], rows[j]), key=leakage.rank)
            pairs.append(Pair(kept, other, "near copy", 0.95))
    left, used = leakage.drop(rows, pairs)
    assert not [p for p in pairs if p.kept in left and p.other in left]
    assert all(p.kept in left and p.other not in left for p in used)
    assert len(left) + len(used) == len(rows)


def test_a_chain_loses_its_middle_only() -> None:
    test, val, train = (row(s, s, pixels=s) for s in ("test", "val", "train"))
    pairs = [Pair(test, val, "near copy", 0.95), Pair(val, train, "near copy", 0.95)]
    assert leakage.drop([train, val, test], pairs)[0] == [train, test]


def test_a_person_stays_in_one_split_with_all_images_there() -> None:
    rows = [
        row(n, s, pixels=n, group="p")
        for n, s in (("a", "train"), ("b", "test"), ("c", "test"), ("d", "val"))
    ]
    others = [
        row("e", "train", pixels="e", group="q"),
        row("f", "train", pixels="f"),
        row("g", "test", pixels="g"),
    ]
    kept, used = leakage.drop(rows + others, leakage.same_persons(rows + others))
    assert [r.source_id for r in kept] == ["b", "c", "e", "f", "g"]
    assert {p.kind for p in used} == {"same person"}


@pytest.fixture(scope="module")
def faces() -> list[Image.Image]:
    params = SyntheticParams(seed=3, train=24, val=0, test=0, basic=0)
    _, samples = synthetic.read(ROOT / "data/raw/synthetic", "rafdb11", params, workers=1)
    return [decode(s.content, s.source_id).image for s in samples]


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "smaller": lambda i: i.resize((100, 100)),
    "JPEG": lambda i: recompressed(i, 30),
    "darker": lambda i: ImageEnhance.Brightness(i).enhance(0.6),
    "grey": lambda i: ImageOps.grayscale(i).convert("RGB"),
    "another crop": lambda i: i.crop((2, 4, i.width - 2, i.height)).resize(i.size),
    "mirrored": ImageOps.mirror,
    "lettered": lambda i: lettered(i),
}
HARDER = ("another crop", "lettered", "turned by 17 degrees", "zoomed in", "zoomed out")
"""Changes that move more bits of the hash, or lie between the places tried: most such copies are found."""
AUGMENTED: dict[str, Callable[[Image.Image], Image.Image]] = {
    "turned by 5 degrees": lambda i: i.rotate(5),
    "turned by 17 degrees": lambda i: i.rotate(-17),
    "half turn": lambda i: i.rotate(180),
    "upside down": ImageOps.flip,
    "zoomed in": lambda i: i.crop((12, 12, i.width - 12, i.height - 12)).resize(i.size),
    "zoomed out": lambda i: ImageOps.expand(i, 14, "black").resize(i.size),
    "shifted": lambda i: ImageChops.offset(i, 16, -8),
}


def recompressed(image: Image.Image, quality: int) -> Image.Image:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return Image.open(io.BytesIO(out.getvalue()))


def lettered(image: Image.Image) -> Image.Image:
    copy = image.copy()
    copy.paste((200, 200, 200), (0, image.height - 24, 60, image.height - 8))
    return copy


def pairs_among(images: list[Image.Image], splits: list[str]) -> list[Pair]:
    rows = [row(f"{i:02d}", split, pixels=f"{i}") for i, split in enumerate(splits)]
    grey = [leakage.grey(image) for image in images]
    return leakage.near_copies(
        rows, [leakage.perceptual_hash(i) for i in images], lambda r: grey[int(r.source_id)]
    )


@pytest.mark.parametrize("change", [*CHANGES, *AUGMENTED])
def test_a_changed_copy_in_another_split_is_found(faces: list[Image.Image], change: str) -> None:
    copies = [(CHANGES | AUGMENTED)[change](face) for face in faces]
    found = pairs_among(faces + copies, ["train"] * len(faces) + ["test"] * len(copies))
    partners = {(int(p.kept.source_id) - len(faces), int(p.other.source_id)) for p in found}
    right = {(i, i) for i in range(len(faces))}
    assert partners <= right, "different faces taken for copies"
    assert len(partners) >= (0.6 if change in HARDER else 0.9) * len(right)
    assert all(p.mirrored == (change in ("mirrored", "upside down")) for p in found)


def test_near_copies_within_a_split_are_left_alone(faces: list[Image.Image]) -> None:
    copies = [CHANGES["darker"](face) for face in faces]
    assert pairs_among(faces + copies, ["train"] * 2 * len(faces)) == []


def test_different_faces_are_no_copies_of_each_other(faces: list[Image.Image]) -> None:
    assert pairs_among(faces, ["train", "val", "test"] * 8) == []


def tree(folder: Path, faces: list[Image.Image]) -> None:
    """An image folder that has in train a near-copy of a test face and a pixel copy of a validation face."""
    placed = {
        f"{s}/Sadly_Angry/{i}": faces[i] for i, s in enumerate(("train", "train", "val", "val", "test"))
    }
    placed["train/Sadly_Angry/near"] = CHANGES["darker"](faces[4])
    placed["train/Sadly_Angry/same"] = faces[2]
    others = [c for c in compound_classes("rafdb11") if c != "Sadly_Angry"]
    placed |= {f"train/{c}/{i}": faces[5 + i] for i, c in enumerate(others)}
    for name, face in placed.items():
        path = folder / f"data/raw/imagefolder/{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        face.save(path)


def run_extract(folder: Path, monkeypatch: pytest.MonkeyPatch, **changes: object) -> dict:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())["data"]
    monkeypatch.chdir(folder)
    extract.main({"data": DataParams.model_validate(params | {"source": "imagefolder"} | changes)})
    return json.loads(Path("metrics/data.json").read_text())


def listed(name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(Path("data/extracted", name).read_text())))


def test_by_default_leaks_are_dropped_and_listed(
    tmp_path: Path, faces: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path, faces)
    counts = run_extract(tmp_path, monkeypatch)
    assert counts["compound"]["Sadly_Angry"] == {"train": 2, "val": 2, "test": 1}
    assert {(d["source_id"], d["reason"]) for d in listed("dropped.csv")} == {
        ("train-Sadly_Angry-near", "near copy"),
        ("train-Sadly_Angry-same", "pixel copy"),
    }
    assert Path("data/extracted/near_copies.jpg").read_bytes().startswith(b"\xff\xd8")
    stored = {str(p.relative_to("data/extracted")) for p in Path("data/extracted/images").rglob("*.png")}
    assert stored == {r["image"] for r in listed("manifest.csv")}


def test_with_warn_all_stay_and_the_pairs_are_listed(
    tmp_path: Path,
    faces: list[Image.Image],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tree(tmp_path, faces)
    counts = run_extract(tmp_path, monkeypatch, leakage="warn")
    assert counts["compound"]["Sadly_Angry"] == {"train": 4, "val": 2, "test": 1}
    assert sorted((p["kind"], p["split"], p["other_split"]) for p in listed("pairs.csv")) == [
        ("near copy", "test", "train"),
        ("pixel copy", "val", "train"),
    ]
    assert "2 pairs of images cross the splits and stay" in caplog.text


def test_a_set_that_looks_augmented_is_told_so_and_one_with_a_near_copy_is_not(
    tmp_path: Path,
    faces: list[Image.Image],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tree(tmp_path, faces)
    run_extract(tmp_path, monkeypatch)
    assert "looks augmented" not in caplog.text
    for number, change in enumerate(AUGMENTED.values()):
        change(faces[3]).save(tmp_path / f"data/raw/imagefolder/train/Sadly_Angry/augmented{number}.png")
    run_extract(tmp_path, monkeypatch)
    assert "1 of 3 held-out images have several near-copies in train" in caplog.text


def test_with_error_nothing_is_written_and_what_stood_there_stays(
    tmp_path: Path, faces: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path, faces)
    before = run_extract(tmp_path, monkeypatch)
    manifest = Path("data/extracted/manifest.csv").read_bytes()
    with pytest.raises(SourceError, match="2 pairs of images cross the splits"):
        run_extract(tmp_path, monkeypatch, leakage="error")
    assert Path("data/extracted/manifest.csv").read_bytes() == manifest
    assert json.loads(Path("metrics/data.json").read_text()) == before


def test_an_unusable_image_ends_extract_or_is_left_out_with_its_reason(
    tmp_path: Path, faces: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path, faces)
    broken = tmp_path / "data/raw/imagefolder/train/Sadly_Angry/0.png"
    broken.write_bytes(broken.read_bytes()[:500])
    with pytest.raises(
        SourceError, match=r"1 of 17 listed images cannot be used \(1 truncated\)(.|\n)*/0\.png"
    ):
        run_extract(tmp_path, monkeypatch)
    assert not Path("data/extracted").exists()
    counts = run_extract(tmp_path, monkeypatch, unreadable="drop")
    assert counts["dropped"]["truncated"]["compound"] == {"train": 1, "val": 0, "test": 0}
    assert counts["compound"]["Sadly_Angry"]["train"] == 1
    assert not (Path("data/extracted/images/compound/train/Sadly_Angry/train-Sadly_Angry-0.png")).exists()


def test_hashes_and_pixels_of_the_audit_are_those_that_the_search_compares(faces: list[Image.Image]) -> None:
    out = io.BytesIO()
    faces[0].save(out, "PNG")
    found = audit.identify(audit.Sample("a", "anger", "basic", "train", out.getvalue()), ImageLimits())
    assert isinstance(found, audit.Picture)
    assert found.hashes == leakage.perceptual_hash(faces[0])
    assert leakage.grey(decode(out.getvalue(), "a").image).shape == (leakage.SIDE, leakage.SIDE)
