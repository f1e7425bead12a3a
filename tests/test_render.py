"""Figures: the same measurements give the same bytes, and other measurements give others."""

import io
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_study import CLASSES, TRAIN, measured, seen, study

from rafce import render
from rafce.report import Study

FIGURES: dict[str, Callable[[Study], bytes]] = {
    "training_curves": lambda s: render.training_curves(s.history, s.titles),
    "confusion_matrices": lambda s: render.confusion_matrices(s.runs, s.classes),
    "final_matrix": lambda s: render.final_matrix(s.runs[s.best], s.classes),
    "per_class_f1": lambda s: render.per_class_f1(s.runs, s.classes, s.train_counts),
    "attention_bars": lambda s: render.attention_bars(s.attention, s.titles),
}


def pixels(picture: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(picture)).convert("RGB"))


@pytest.mark.parametrize("name", FIGURES)
def test_the_same_measurements_give_the_same_png_bytes(name: str) -> None:
    first, again = FIGURES[name](study()), FIGURES[name](study())
    assert first == again
    image = Image.open(io.BytesIO(first))
    assert image.format == "PNG"
    assert not {"Software", "Creation Time", "date"} & set(image.info)


@pytest.mark.parametrize("name", FIGURES)
def test_other_measurements_give_another_figure(name: str) -> None:
    better = measured("run1", "Title of run1", [[6, 0, 0], [0, 2, 1], [0, 0, 1]])
    frame = pd.DataFrame({"epoch": [1, 2], "train_accuracy": [0.1, 0.2], "val_accuracy": [0.9, 0.8]})
    other = study(
        ("run1",), runs={"run1": better}, attention={"run1": seen(away=0.8)}, history={"run1": frame}
    )
    assert not np.array_equal(pixels(FIGURES[name](other)), pixels(FIGURES[name](study(("run1",)))))


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("runs", [("only",), tuple(f"run{i}" for i in range(10))])
def test_figures_are_drawn_for_one_run_and_for_more_runs_than_colours(
    name: str, runs: tuple[str, ...]
) -> None:
    assert pixels(FIGURES[name](study(runs))).std() > 5


def test_maps_without_any_heat_still_give_a_figure() -> None:
    empty = seen() | {"shares": {}}
    assert render.attention_bars({"run1": empty}, {"run1": "Title"})
    assert render.attention_bars({"run1": empty, "run2": seen()}, {"run1": "a", "run2": "b"})


def test_a_figure_leaves_no_open_canvas_behind() -> None:
    for draw in FIGURES.values():
        draw(study())
    assert render.plt.get_fignums() == []


def gallery(right: int = 2, wrong: int = 1, heat: float = 1.0) -> bytes:
    rows = [
        {
            "label": 0,
            "predicted": 0 if kind else 1,
            "probability": 0.9,
            "right": kind,
            "image": np.full((32, 32, 3), 128, np.uint8),
            "heat": np.full((32, 32), heat, np.float32),
        }
        for kind, number in ((True, right), (False, wrong))
        for _ in range(number)
    ]
    return render.gallery(rows, CLASSES, 2, "Title")


def test_the_gallery_is_a_jpeg_with_the_same_bytes_each_time() -> None:
    picture = gallery()
    assert Image.open(io.BytesIO(picture)).format == "JPEG"
    assert gallery() == picture
    assert render.plt.get_fignums() == []


def test_the_gallery_has_right_answers_in_its_left_half_and_wrong_ones_in_its_right_half() -> None:
    empty, right, wrong = (pixels(gallery(r, w)).astype(int) for r, w in ((0, 0), (2, 0), (0, 2)))
    middle = int(empty.shape[1] * (0.09 + 0.995) / 2)
    margin = 8  # JPEG smears over blocks of 8 px
    assert np.abs(right - empty)[:, middle + margin :].max() < 30
    assert np.abs(wrong - empty)[:, : middle - margin].max() < 30
    assert np.abs(right - empty).max() > 90
    assert np.abs(wrong - empty).max() > 90


def test_heat_changes_the_overlay() -> None:
    assert not np.array_equal(pixels(gallery(heat=0.0)), pixels(gallery(heat=1.0)))


def test_classes_of_the_f1_figure_are_ordered_by_their_training_images() -> None:
    s = study()
    other = dict(zip(TRAIN, (10, 30, 60), strict=True))
    assert render.per_class_f1(s.runs, CLASSES, TRAIN) != render.per_class_f1(s.runs, CLASSES, other)
