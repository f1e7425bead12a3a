"""The audit: what the data are is counted, and everything that was left out is on record with its reason."""

import csv
import hashlib
import io
from dataclasses import replace

import numpy as np
import pytest
from conftest import class_picture, png
from PIL import Image

from emotions.data.knobs import ImageLimits
from emotions.data.manifest import LABELS, Row, fingerprint
from emotions.sources import audit
from emotions.sources.audit import Dropped, Picture
from emotions.sources.leakage import Pair
from emotions.sources.sample import Sample, SourceError
from emotions.taxonomy import SPLITS, ClassSet, compound_classes

LIMITS = ImageLimits()


def row(name: str, split: str, role: str = "compound", label: str = "", pixels: str = "same") -> Row:
    label = label or LABELS[role][0]
    return Row(f"images/{role}/{split}/{label}/{name}.png", label, role, split, "", "", "", pixels, name)


def picture(row: Row, size: tuple[int, int] = (48, 48), mode: str = "RGB") -> Picture:
    return Picture(row, {}, (0, 0), "PNG", mode, size)


def identified(sample: Sample) -> Picture:
    found = audit.identify(sample, LIMITS)
    assert isinstance(found, Picture), found
    return found


def test_the_identity_of_a_sample_is_of_its_bytes_and_its_pixels() -> None:
    content = class_picture(0, 0)
    sample = Sample(
        "0001", "Sadly_Angry", "compound", "val", content, "1+4", "person", "0 0 0 0 0.5 0.5", b"map"
    )
    found = identified(sample)
    assert found.row.image == "images/compound/val/Sadly_Angry/0001.png"
    assert found.files == {found.row.image: content, "regions/compound/val/Sadly_Angry/0001.png": b"map"}
    assert found.row.sha256 == hashlib.sha256(content).hexdigest()
    assert (found.row.action_units, found.row.group, found.row.source_id) == ("1+4", "person", "0001")
    assert found.row.shares == "0 0 0 0 0.5 0.5"
    other = identified(replace(sample, source_id="0002", content=class_picture(0, 1), regions=None))
    assert other.row.pixels != found.row.pixels
    assert other.row.regions == ""


def test_a_copy_in_another_container_has_the_same_pixels_and_another_hash_of_bytes() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (32, 32), np.uint8)
    one, other = (
        identified(Sample("a", "anger", "basic", "train", png(p))).row
        for p in (grey, np.stack([grey] * 3, 2))
    )
    assert one.pixels == other.pixels
    assert one.sha256 != other.sha256


def test_the_name_in_the_store_follows_what_the_file_is_not_what_it_is_called() -> None:
    out = io.BytesIO()
    Image.open(io.BytesIO(class_picture(0, 0))).save(out, "JPEG")
    sample = Sample("a", "anger", "basic", "train", out.getvalue(), place="a.png")
    assert identified(sample).row.image == "images/basic/train/anger/a.jpg"


@pytest.mark.parametrize(
    ("sample", "reason", "detail"),
    [
        (
            Sample("a", "anger", "basic", "val", b"", place="raw/a.jpg", fault="missing"),
            "missing",
            "raw/a.jpg",
        ),
        (Sample("a", "anger", "basic", "val", b"no image", place="raw/a.jpg"), "unreadable", "raw/a.jpg"),
        (
            Sample("a", "anger", "basic", "val", class_picture(0, 0)[:-40], place="raw/a.jpg"),
            "truncated",
            "raw",
        ),
        (Sample("a", "anger", "basic", "val", png(np.zeros((32, 32), np.uint8))), "blank", "one colour"),
    ],
)
def test_an_image_that_cannot_be_used_is_a_record_and_never_a_picture(
    sample: Sample, reason: str, detail: str
) -> None:
    found = audit.identify(sample, LIMITS)
    assert isinstance(found, Dropped)
    assert (found.source_id, found.label, found.role, found.split) == ("a", "anger", "basic", "val")
    assert found.reason == reason
    assert detail in found.detail


def test_faulty_images_end_the_stage_with_the_first_ten_the_total_and_the_remedy() -> None:
    faults = [Dropped(f"{i}", "anger", "basic", "val", "missing", f"raw/{i:02d}.jpg") for i in range(12)]
    with pytest.raises(SourceError) as caught:
        audit.refuse_faulty([*faults, Dropped("x", "anger", "basic", "val", "truncated", "raw/x.jpg")], 100)
    message = str(caught.value)
    assert "13 of 100 listed images cannot be used (12 missing, 1 truncated)" in message
    assert "raw/09.jpg" in message
    assert "raw/10.jpg" not in message
    assert "3 more" in message
    assert "data.unreadable=drop" in message


def test_what_a_source_may_lack_and_what_is_of_another_class_is_no_fault() -> None:
    audit.refuse_faulty([Dropped("a", "anger", "basic", "val", r) for r in ("absent", "other class")], 2)


def test_leaks_end_the_stage_with_the_first_ten_the_total_and_the_remedy() -> None:
    pairs = [Pair(row(f"k{i}", "test"), row(f"o{i}", "train"), "near copy", 0.95) for i in range(11)]
    with pytest.raises(SourceError, match="11 pairs of images cross the splits") as caught:
        audit.refuse_leaks(pairs)
    assert "k9.png" in str(caught.value)
    assert "k10.png" not in str(caught.value)
    assert "data.leakage=drop" in str(caught.value)
    audit.refuse_leaks([Pair(row("a", "val"), row("b", "val"), "pixel copy", 1.0)])


def test_only_the_classes_of_the_study_are_kept_and_all_basic_rows() -> None:
    rows = [row(s, s, label="Sadly_Angry") for s in SPLITS]
    basic = row("b", "train", "basic")
    kept, gone = audit.only_classes([*rows, row("x", "train", label="Happily_Sad"), basic], ["Sadly_Angry"])
    assert kept == [*rows, basic]
    assert [(d.source_id, d.label, d.reason) for d in gone] == [("x", "Happily_Sad", "other class")]


@pytest.mark.parametrize("split", SPLITS)
def test_a_split_without_images_of_the_classes_is_named(split: str) -> None:
    rows = [row(s, s, label="Sadly_Angry") for s in SPLITS if s != split]
    with pytest.raises(SourceError, match=f"no compound image of the study's classes in split {split}") as e:
        audit.need_enough([*rows, row("b", split, "basic")], ["Sadly_Angry"])
    assert (f"data.imagefolder.{split}=0.15" in str(e.value)) == (split != "train")


@pytest.mark.parametrize(
    ("absent", "classes", "remedy"),
    [
        ("Happily_Sad", "rafce14", "set data.classes to rafdb11"),
        ("Sadly_Angry", "rafce14", "check how the source's files spell it"),
        ("Sadly_Angry", "rafdb11", "check how the source's files spell it"),
    ],
)
def test_a_class_that_nothing_could_learn_is_refused_at_once(
    absent: str, classes: ClassSet, remedy: str
) -> None:
    names = compound_classes(classes)
    rows = [row(f"{s}{c}", s, label=c) for s in SPLITS for c in names]
    audit.need_enough(rows, names)
    left = [r for r in rows if (r.label, r.split) != (absent, "train")]
    with pytest.raises(
        SourceError, match=f"no training image of {absent}: nothing could learn it; .*{remedy}"
    ):
        audit.need_enough(left, names)


def test_counts_tell_classes_splits_reasons_pairs_and_what_the_files_are() -> None:
    kept = [
        picture(replace(row("a", "train", label="Sadly_Angry"), shares="0 0 0 0 0.5 0.5")),
        picture(replace(row("b", "train", label="Sadly_Angry"), action_units="none"), (10, 90), "L"),
        picture(replace(row("c", "val", label="Sadly_Fearful"), shares="0.1 0.4 0 0 0.1 0.4")),
        picture(row("d", "test", "basic", "anger"), (100, 100)),
    ]
    dropped = [
        Dropped("e", "Sadly_Fearful", "compound", "train", "pixel copy", kept=kept[0].row),
        Dropped("f", "Sadly_Angry", "compound", "val", "near copy", kept=kept[0].row),
        Dropped("g", "anger", "basic", "train", "missing", "raw/g.png"),
    ]
    pairs = [
        Pair(kept[2].row, kept[0].row, "near copy", 0.95),
        Pair(kept[0].row, kept[1].row, "pixel copy", 1.0),
    ]
    counts = audit.counts("files", kept, dropped, pairs=pairs, classes=("Sadly_Fearful", "Sadly_Angry"))
    assert counts["fingerprint"] == fingerprint(p.row for p in kept)
    assert counts["classes"] == list(counts["compound"]) == ["Sadly_Fearful", "Sadly_Angry"]
    assert counts["compound"]["Sadly_Angry"] == {"train": 2, "val": 0, "test": 0}
    assert counts["basic"]["anger"] == {"train": 0, "val": 0, "test": 1}
    assert len(counts["basic"]) == 7
    assert counts["listed"] == {
        "compound": {"train": 3, "val": 2, "test": 0},
        "basic": {"train": 1, "val": 0, "test": 1},
    }
    assert counts["dropped"]["pixel copy"]["compound"] == {"train": 1, "val": 0, "test": 0}
    assert counts["dropped"]["missing"]["basic"] == {"train": 1, "val": 0, "test": 0}
    assert sum(sum(r.values()) for d in counts["dropped"].values() for r in d.values()) == len(dropped)
    assert counts["dropped_copies_with_another_label"] == 1
    assert counts["pairs_across_splits"]["near copy"] == {"test-val": 0, "test-train": 0, "val-train": 1}
    assert counts["pairs_across_splits"]["pixel copy"] == {"test-val": 0, "test-train": 0, "val-train": 0}
    assert counts["formats"] == {"PNG": 4}
    assert counts["modes"] == {"L": 1, "RGB": 3}
    sizes = {"different": 3, "smallest": [10, 90], "largest": [100, 100], "most_frequent": [48, 48]}
    assert counts["sizes"] == sizes
    assert counts["with_action_units"] == {"compound": 1, "basic": 0}
    assert counts["soft_labels"] == {
        "compound": 2,
        "basic": 0,
        "compound_whose_two_highest_are_the_label": 1,
    }


def test_counts_name_no_image() -> None:
    kept = [picture(row("secret", s, label="Sadly_Angry")) for s in SPLITS]
    dropped = [Dropped("secret", "anger", "basic", "val", "missing", "secret.png")]
    pairs = [Pair(kept[0].row, kept[1].row, "near copy", 0.95)]
    assert "secret" not in str(audit.counts("files", kept, dropped, pairs=pairs, classes=("Sadly_Angry",)))


def test_the_lists_name_what_was_dropped_what_was_kept_instead_and_every_pair() -> None:
    kept, other = row("b", "test", label="Sadly_Angry"), row("a", "train", label="Sadly_Fearful")
    pair = Pair(kept, other, "near copy", 0.9514, mirrored=True)
    (dropped,) = csv.DictReader(io.StringIO(audit.dropped_csv([audit.dropped_for(pair)])))
    assert dropped == {
        "source_id": "a",
        "role": "compound",
        "label": "Sadly_Fearful",
        "split": "train",
        "reason": "near copy",
        "detail": "0.951 mirrored",
        "kept": kept.image,
        "kept_label": "Sadly_Angry",
        "kept_split": "test",
    }
    (listed,) = csv.DictReader(io.StringIO(audit.pairs_csv([pair])))
    assert (listed["image"], listed["other"]) == (kept.image, other.image)
    assert (listed["kind"], listed["correlation"], listed["mirrored"]) == ("near copy", "0.951", "1")


def test_rows_are_ordered_compound_first_then_by_split_and_name() -> None:
    rows = [row(f"{s}{n}", s, r) for r in LABELS for s in SPLITS for n in "ab"]
    assert sorted([*rows[5:], *rows[:5]], key=audit.manifest_order) == rows
