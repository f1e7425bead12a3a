"""The gallery of one run: right and wrong examples of each class, image beside class-activation map."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from rafce.taxonomy import display

SIGNS: Final = {True: "\u2713", False: "\u2717"}
INK: Final = {True: "black", False: "#B00000"}


def draw(rows: Sequence[Mapping[str, Any]], classes: Sequence[str], examples: int, title: str) -> bytes:
    """Right (left half) and wrong (right half) examples of each class, image beside overlay, as JPEG.

    Signs and RAF-CE's class names only, no sentence: the report explains it in its language.

    Args:
        rows: dicts with `label`, `predicted`, `probability`, `right`, `image` (uint8 [H, W, 3]), `heat`
        (float [H, W]).
    """
    columns = 4 * examples
    figure, axes = plt.subplots(
        len(classes), columns, figsize=(1.15 * columns + 1.2, 1.42 * len(classes) + 0.8), squeeze=False
    )
    for panel in axes.flat:
        panel.set_axis_off()
    for label, line in enumerate(axes):
        line[0].text(
            -0.12,
            0.5,
            display(classes[label]).replace(" ", "\n"),
            ha="right",
            va="center",
            fontsize=9,
            transform=line[0].transAxes,
        )
        for right in (True, False):
            found = [r for r in rows if r["label"] == label and r["right"] == right]
            if not found:
                first = line[0 if right else 2 * examples]
                first.text(
                    0.05, 0.5, "\u2013", va="center", fontsize=9, color="0.5", transform=first.transAxes
                )
            for i, row in enumerate(found):
                image, overlay = line[2 * i + (0 if right else 2 * examples) :][:2]
                image.imshow(row["image"])
                overlay.imshow(_overlay(row["image"], row["heat"]))
                answer = display(classes[row["predicted"]])
                image.set_title(
                    f"{SIGNS[right]} {answer} {100 * row['probability']:.0f}%",
                    fontsize=7,
                    loc="left",
                    pad=2,
                    color=INK[right],
                )
    figure.suptitle(title, fontsize=10, x=0.09, ha="left", y=1 - 0.12 / figure.get_figheight(), va="top")
    top = 1 - 0.95 / figure.get_figheight()
    figure.subplots_adjust(left=0.09, right=0.995, top=top, bottom=0.005, wspace=0.04, hspace=0.2)
    for right, place in ((True, 0.09), (False, 0.545)):
        figure.text(place, 1 - 0.62 / figure.get_figheight(), SIGNS[right], fontsize=14, color=INK[right])
    out = io.BytesIO()
    figure.savefig(out, format="jpeg", dpi=100, pil_kwargs={"quality": 85})
    plt.close(figure)
    return out.getvalue()


def _overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The picture in grey, brightened by the map's colours where the heat is. float [H, W, 3] in [0, 1]."""
    grey = np.repeat(image.mean(2, keepdims=True) / 255, 3, 2)
    colour = plt.get_cmap("inferno")(heat)[..., :3]
    weight = 0.25 + 0.5 * heat[..., None]
    return np.clip((1 - weight) * grey + weight * colour, 0, 1)
