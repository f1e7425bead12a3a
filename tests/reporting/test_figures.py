"""Figures: the same measurements give the same bytes, and other measurements give others."""

import io
import itertools
import re
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from colorspacious import cspace_convert
from matplotlib.colors import to_rgb
from PIL import Image
from small_study import CLASSES, TRAIN, measured, seen, study

from emotions.evidence.study import Study
from emotions.reporting import figures
from emotions.reporting.wording import Wording

EN, FR = Wording("en"), Wording("fr")

FIGURES: dict[str, Callable[[Study], bytes]] = {
    "training_curves": lambda s: figures.training_curves(s.history, s.titles, EN),
    "confusion_matrices": lambda s: figures.confusion_matrices(s.runs, s.classes, EN),
    "final_matrix": lambda s: figures.final_matrix(s.runs[s.best], s.classes, EN),
    "per_class_f1": lambda s: figures.per_class_f1(s.runs, s.classes, s.train_counts, say=EN),
    "class_distribution": lambda s: figures.class_distribution(s.data, s.classes, EN),
    "reliability": lambda s: figures.reliability(s.runs, EN),
    "attention_story": lambda s: figures.attention_story(s.attention, s.titles, EN),
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
    fewer = {c: {"train": 9 - i, "val": 1, "test": 1} for i, c in enumerate(CLASSES)}
    other = study(
        ("run1",),
        runs={"run1": better},
        attention={"run1": seen(away=0.8)},
        history={"run1": frame},
        data=study().data | {"compound": fewer},
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
    assert figures.attention_story({"run1": empty}, {"run1": "Title"}, EN)
    assert figures.attention_story({"run1": empty, "run2": seen()}, {"run1": "a", "run2": "b"}, EN)


def test_a_figure_leaves_no_open_canvas_behind() -> None:
    for draw in FIGURES.values():
        draw(study())
    assert figures.plt.get_fignums() == []


def test_classes_of_the_f1_figure_are_ordered_by_their_training_images() -> None:
    s = study()
    other = dict(zip(TRAIN, (10, 30, 60), strict=True))
    assert figures.per_class_f1(s.runs, CLASSES, TRAIN, say=EN) != figures.per_class_f1(
        s.runs, CLASSES, other, say=EN
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_lettered_in_french_with_signs_that_the_font_has(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    english = pixels(FIGURES[name](study()))
    monkeypatch.setitem(globals(), "EN", FR)
    french = pixels(FIGURES[name](study()))
    assert english.shape != french.shape or not np.array_equal(english, french)


def test_axes_of_french_figures_count_with_a_decimal_comma(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(figures, "png", lambda figure: made.append(figure) or b"")
    s = study()
    figures.per_class_f1(s.runs, s.classes, s.train_counts, say=FR)
    figures.attention_story(s.attention, s.titles, FR)
    for figure, axis in zip(made, ("xaxis", "yaxis"), strict=True):
        figure.canvas.draw()
        labels = [x.get_text() for x in getattr(figure.axes[0], axis).get_ticklabels()]
        assert labels
        assert all(re.fullmatch(r"\d,\d", x) for x in labels), labels
        figures.plt.close(figure)


def test_a_picture_that_is_small_enough_is_left_as_it_is() -> None:
    picture = noise(64)
    assert figures.fit_jpeg(picture, len(picture)) is picture


def test_a_picture_that_is_too_large_is_made_smaller_until_it_fits() -> None:
    picture = noise(600)
    small = figures.fit_jpeg(picture, 40_000)
    assert len(small) <= 40_000 < len(picture)
    image = Image.open(io.BytesIO(small))
    assert image.format == "JPEG"
    assert image.width == image.height > 64


def noise(size: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (size, size, 3), np.uint8)).save(out, "JPEG")
    return out.getvalue()


def seen_by(kind: str, colour: str) -> np.ndarray:
    """A colour as someone with no working cones of one kind sees it, in a space of even differences."""
    space = {"name": "sRGB1+CVD", "cvd_type": kind, "severity": 100}
    return cspace_convert(to_rgb(colour), space, "CAM02-UCS")


@pytest.mark.parametrize("kind", ["deuteranomaly", "protanomaly", "tritanomaly"])
def test_colours_of_the_first_six_runs_tell_apart_for_the_colour_blind(kind: str) -> None:
    seen = [seen_by(kind, c) for c in figures.COLOURS[:6]]
    closest = min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2))
    assert closest > 10  # a difference of 1 is just seen
