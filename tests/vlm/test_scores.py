"""Answers that may be no class are scored as runs of the study are; examples show nothing that is asked."""

import io

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps
from sklearn.metrics import balanced_accuracy_score, f1_score

from emotions.data.manifest import Row
from emotions.evidence import intervals, metrics
from emotions.random_streams import numpy_stream
from emotions.taxonomy import SPLITS, compound_classes
from vlm.shared.examples import ExamplesError, choose, contaminated
from vlm.shared.scores import score, unit_scores

CLASSES = compound_classes("rafdb11")
C = len(CLASSES)


def drawn(seed: int, images: int = 200, outside: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    draws = np.random.default_rng(seed)
    labels = draws.integers(0, C, images)
    answers = np.where(draws.random(images) < 0.5, labels, draws.integers(0, C, images))
    return labels, np.where(draws.random(images) < outside, C, answers)


def test_without_answers_outside_the_scores_are_those_of_the_study() -> None:
    labels, answers = drawn(0)
    found = score(labels, answers, CLASSES, replicates=300, draws=numpy_stream(0, "a"))
    one_hot = np.eye(C)[answers]
    expected = metrics.score(labels, one_hot, CLASSES)
    limits = intervals.intervals(labels, one_hot, CLASSES, replicates=300, generator=numpy_stream(0, "a"))
    for name in ("images", "accuracy", "macro_f1", "balanced_accuracy", "component_score"):
        assert found[name] == pytest.approx(expected[name]), name
    assert found["per_class"] == expected["per_class"]
    for name in ("accuracy", "macro_f1", "balanced_accuracy", "component_score"):
        assert found["intervals"][name] == pytest.approx(limits[name]), name
    assert [row[:C] for row in found["confusion"]] == expected["confusion"]
    assert found["outside"] == 0 and all(row[C] == 0 for row in found["confusion"])


@pytest.mark.filterwarnings("ignore:y_pred contains classes")
def test_an_answer_outside_is_wrong_and_no_class_is_blamed_for_it() -> None:
    labels, answers = drawn(1, outside=0.3)
    found = score(labels, answers, CLASSES, replicates=100, draws=numpy_stream(0, "a"))
    assert found["accuracy"] == np.mean(labels == answers)
    assert found["macro_f1"] == pytest.approx(
        f1_score(labels, answers, labels=range(C), average="macro", zero_division=0)
    )
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, answers))
    assert found["outside"] == np.mean(answers == C)
    low, high = found["intervals"]["outside"]
    assert low < found["outside"] < high
    confusion = np.array(found["confusion"])
    assert confusion.shape == (C, C + 1) and confusion.sum() == len(labels)
    assert confusion[:, C].sum() == (answers == C).sum()
    right = np.where(answers == C, labels, answers)
    better = score(labels, right, CLASSES, replicates=100, draws=numpy_stream(0, "a"))
    assert better["accuracy"] > found["accuracy"]
    for name in CLASSES:
        assert better["per_class"][name]["precision"] >= found["per_class"][name]["precision"] - 1e-9


def test_nothing_but_answers_outside_is_nought() -> None:
    labels, _ = drawn(2)
    found = score(labels, np.full(len(labels), C), CLASSES, replicates=100, draws=numpy_stream(0, "a"))
    assert (found["accuracy"], found["macro_f1"], found["outside"]) == (0, 0, 1)
    assert "macro_f1" not in found["intervals"], "resampling cannot tell"


units_of_images = st.lists(
    st.tuples(
        st.one_of(st.none(), st.frozensets(st.integers(1, 6))),
        st.one_of(st.none(), st.frozensets(st.integers(1, 6))),
    ),
    max_size=12,
)


@given(units_of_images)
def test_units_are_counted_over_images_where_they_are_coded(
    images: list[tuple[frozenset[int] | None, frozenset[int] | None]],
) -> None:
    found = unit_scores([n for n, _ in images], [c for _, c in images], 20, draws=numpy_stream(0, "u"))
    known = [(n, c) for n, c in images if c is not None]
    if not known:
        assert found is None
        return
    assert found is not None
    hits = sum(len((n or frozenset()) & c) for n, c in known)
    named, coded = sum(len(n or ()) for n, _ in known), sum(len(c) for _, c in known)
    assert found["images"] == len(known)
    assert found["said"] == pytest.approx(sum(n is not None for n, _ in known) / len(known))
    assert found["precision"] == (pytest.approx(hits / named) if named else None)
    assert found["recall"] == (pytest.approx(hits / coded) if coded else None)


def test_chance_is_what_habits_give_without_looking() -> None:
    habit = [frozenset({1, 2})] * 60
    coded = [frozenset({1}) if i % 2 else frozenset({2, 3}) for i in range(60)]
    found = unit_scores(habit, coded, 50, draws=numpy_stream(0, "u"))
    assert found is not None
    assert found["precision"] == found["chance_precision"] == 0.5
    assert found["recall"] == found["chance_recall"] == pytest.approx(2 / 3)
    seen = unit_scores(coded, coded, 200, draws=numpy_stream(0, "u"))
    assert seen is not None and seen["precision"] == seen["recall"] == 1
    assert seen["chance_recall"] == pytest.approx(0.5, abs=0.05), (
        "the units of another image, drawn by chance"
    )


def face(seed: int) -> Image.Image:
    """Blobs, different enough from one another for a perceptual hash."""
    noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(cv2.resize(noise, (96, 96), interpolation=cv2.INTER_CUBIC))


def row(name: str, label: str, split: str, group: str = "", pixels: str | None = None) -> Row:
    return Row(name, label, "compound", split, "", group, "", pixels or name, name)


@pytest.fixture
def faces() -> tuple[list[Row], dict[str, Image.Image]]:
    rows, pictures = [], {}
    for s, split in enumerate(SPLITS):
        for index, label in enumerate(CLASSES):
            for i in range(4 if split == "train" else 2):
                name = f"{split}/{label}/{i}.png"
                rows.append(row(name, label, split))
                pictures[name] = face(1000 * s + 10 * index + i)
    return rows, pictures


def test_examples_are_training_images_of_every_class_in_turn(
    faces: tuple[list[Row], dict[str, Image.Image]],
) -> None:
    rows, pictures = faces
    chosen = choose(rows, CLASSES, 2, seed=0, read=lambda r: pictures[r.image])
    assert all(r.split == "train" for r in chosen) and len(chosen) == 2 * C
    for block in (chosen[:C], chosen[C:]):
        assert {r.label for r in block} == set(CLASSES)
    assert [r.label for r in chosen[:C]] != list(CLASSES), "not in the order of the prompt's list"
    assert choose(rows[::-1], CLASSES, 2, seed=0, read=lambda r: pictures[r.image]) == chosen
    assert choose(rows, CLASSES, 2, seed=1, read=lambda r: pictures[r.image]) != chosen
    assert set(choose(rows, CLASSES, 1, seed=0, read=lambda r: pictures[r.image])) == set(chosen[:C])


@pytest.mark.parametrize("how", ["pixels", "person", "near copy", "mirrored"])
def test_no_example_shows_what_is_asked_about(
    how: str, faces: tuple[list[Row], dict[str, Image.Image]]
) -> None:
    rows, pictures = faces
    clean = choose(rows, CLASSES, 1, seed=0, read=lambda r: pictures[r.image])
    bad = clean[3]
    if how in ("pixels", "person"):
        rows = [
            r if r != bad else row(r.image, r.label, "train", "someone" * (how == "person"), "same")
            for r in rows
        ]
        rows.append(
            row(
                "val/copy.png",
                CLASSES[0],
                "val",
                "someone" * (how == "person"),
                "same" if how == "pixels" else None,
            )
        )
        pictures["val/copy.png"] = face(77)
    else:
        copy = ImageOps.mirror(pictures[bad.image]) if how == "mirrored" else pictures[bad.image]
        out = io.BytesIO()
        copy.resize((80, 80)).point(lambda v: min(255, int(1.1 * v))).save(out, "JPEG", quality=60)
        rows.append(row("test/copy.png", CLASSES[0], "test"))
        pictures["test/copy.png"] = Image.open(out)
    held_out = [r for r in rows if r.split != "train"]
    assert contaminated([r for r in rows if r.split == "train"], held_out, lambda r: pictures[r.image]) == {
        bad.image
    }
    chosen = choose(rows, CLASSES, 1, seed=0, read=lambda r: pictures[r.image])
    assert bad.image not in {r.image for r in chosen}
    assert {r.image for r in chosen} >= {r.image for r in clean if r != bad}, "the others stay"


def test_a_class_without_clean_examples_is_an_error(faces: tuple[list[Row], dict[str, Image.Image]]) -> None:
    rows, pictures = faces
    with pytest.raises(ExamplesError, match=r"class Happily_Surprised has 4 .* not 5; lower `shots`"):
        choose(rows, CLASSES, 5, seed=0, read=lambda r: pictures[r.image])
