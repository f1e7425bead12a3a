"""The gallery: right answers left, wrong ones right, and nothing in it that needs a language."""

import io
import re
from pathlib import Path

import numpy as np
from PIL import Image
from small_study import CLASSES

from emotions.attention import gallery


def pixels(picture: bytes) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(picture)).convert("RGB"))


def drawn(right: int = 2, wrong: int = 1, heat: float = 1.0) -> bytes:
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
    return gallery.draw(rows, CLASSES, 2, title="Title")


def test_the_gallery_is_a_jpeg_with_the_same_bytes_each_time() -> None:
    picture = drawn()
    assert Image.open(io.BytesIO(picture)).format == "JPEG"
    assert drawn() == picture
    assert gallery.plt.get_fignums() == []


def test_the_gallery_has_right_answers_in_its_left_half_and_wrong_ones_in_its_right_half() -> None:
    empty, right, wrong = (pixels(drawn(r, w)).astype(int) for r, w in ((0, 0), (2, 0), (0, 2)))
    middle = int(empty.shape[1] * (0.09 + 0.995) / 2)
    margin = 8  # JPEG smears over blocks of 8 px
    assert np.abs(right - empty)[:, middle + margin :].max() < 30
    assert np.abs(wrong - empty)[:, : middle - margin].max() < 30
    assert np.abs(right - empty).max() > 90
    assert np.abs(wrong - empty).max() > 90


def test_heat_changes_the_overlay() -> None:
    assert not np.array_equal(pixels(drawn(heat=0.0)), pixels(drawn(heat=1.0)))


def test_the_picture_carries_signs_and_class_names_and_no_sentence() -> None:
    texts = re.findall(r'(?:text|set_title|suptitle)\(.*?"([^"]*)"', Path(gallery.__file__).read_text())
    assert not [t for t in texts if re.search(r"[a-z]{3,} [a-z]{2,}", re.sub(r"\{.*?\}", "", t))]


def test_mean_maps_are_a_png_that_changes_with_the_map_and_outlines_the_mean_face() -> None:
    even, hot = np.ones((12, 12)), np.ones((12, 12))
    hot[8:10, 5:7] = 5
    outline = np.zeros((96, 96))
    outline[60:80, 30:60] = 0.4
    pictures = [
        gallery.draw_means(maps, outlines, 96, title="Title")
        for maps, outlines in (
            ({"all": even, "one": hot}, {}),
            ({"all": even, "one": even}, {}),
            ({"all": even, "one": hot}, {"mouth": outline}),
        )
    ]
    assert all(Image.open(io.BytesIO(p)).format == "PNG" for p in pictures)
    assert len(set(pictures)) == 3
    assert gallery.draw_means({"all": even, "one": hot}, {}, 96, title="Title") == pictures[0]


def test_confusions_have_a_line_each_and_none_is_no_error() -> None:
    row = {
        "label": 0,
        "predicted": 1,
        "probability": 0.9,
        "right": False,
        "image": np.full((32, 32, 3), 128, np.uint8),
        "heat": np.ones((32, 32), np.float32),
    }
    heights = [
        pixels(gallery.draw_confusions([("Sadly angry", [row])] * lines, CLASSES, 2, title="Title")).shape[0]
        for lines in (0, 1, 3)
    ]
    assert heights[0] == heights[1] < heights[2]
