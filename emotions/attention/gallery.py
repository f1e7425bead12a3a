"""Pictures of one run's class-activation maps: examples beside their maps, and mean maps by class.

They carry signs and RAF-CE's class names, no sentences: the report explains them in its language.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from emotions.plotting import jpeg, plt, png
from emotions.taxonomy import display

SIGNS: Final = {True: "\u2713", False: "\u2717"}
INK: Final = {True: "black", False: "#B00000"}


def draw(rows: Sequence[Mapping[str, Any]], classes: Sequence[str], examples: int, *, title: str) -> bytes:
    """Right (left half) and wrong (right half) examples of each class, image beside overlay, as JPEG.

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
                _example(line[2 * i + (0 if right else 2 * examples) :][:2], row, classes)
    figure.suptitle(title, fontsize=10, x=0.09, ha="left", y=1 - 0.12 / figure.get_figheight(), va="top")
    top = 1 - 0.95 / figure.get_figheight()
    figure.subplots_adjust(left=0.09, right=0.995, top=top, bottom=0.005, wspace=0.04, hspace=0.2)
    for right, place in ((True, 0.09), (False, 0.545)):
        figure.text(place, 1 - 0.62 / figure.get_figheight(), SIGNS[right], fontsize=14, color=INK[right])
    return jpeg(figure)


def draw_confusions(
    pairs: Sequence[tuple[str, Sequence[Mapping[str, Any]]]],
    classes: Sequence[str],
    examples: int,
    *,
    title: str,
) -> bytes:
    """A line of examples for each confusion, image beside overlay, as JPEG.

    Args:
        pairs: text before the line, and its rows as for `draw`, at most `examples`.
    """
    lines = max(len(pairs), 1)
    figure, axes = plt.subplots(
        lines, 2 * examples, figsize=(1.15 * 2 * examples + 2.4, 1.42 * lines + 0.8), squeeze=False
    )
    for panel in axes.flat:
        panel.set_axis_off()
    for line, (name, rows) in zip(axes, pairs, strict=False):
        line[0].text(-0.12, 0.5, name, ha="right", va="center", fontsize=9, transform=line[0].transAxes)
        for i, row in enumerate(rows):
            _example(line[2 * i : 2 * i + 2], row, classes)
    left = 1.9 / figure.get_figwidth()
    figure.suptitle(title, fontsize=10, x=left, ha="left", y=1 - 0.12 / figure.get_figheight(), va="top")
    top = 1 - 0.7 / figure.get_figheight()
    figure.subplots_adjust(left=left, right=0.995, top=top, bottom=0.005, wspace=0.04, hspace=0.2)
    return jpeg(figure)


def draw_means(
    maps: Mapping[str, np.ndarray], outlines: Mapping[str, np.ndarray], side: int, *, title: str
) -> bytes:
    """Mean maps as PNG, one panel each, with the outlines of the mean face but no picture of a face.

    Args:
        maps: title of the panel -> float [G, G], 1 = even heat. outlines: area -> share of the images that
        have it at a pixel, float [side, side]; a line is drawn at half the maximum.
    """
    columns = 4
    lines = -(-len(maps) // columns)
    figure, axes = plt.subplots(
        lines,
        columns,
        figsize=(1.75 * columns + 0.7, 1.95 * lines + 0.4),
        layout="constrained",
        squeeze=False,
    )
    top = max((float(one.max()) for one in maps.values()), default=1.0)
    shown = None
    for panel in axes.flat:
        panel.set_axis_off()
    for panel, (name, one) in zip(axes.flat, maps.items(), strict=False):
        shown = show_map(panel, one, outlines, side=side, cmap="inferno", vmin=0, vmax=max(top, 1.0))
        panel.set_title(name, fontsize=8)
    if shown is not None:
        figure.colorbar(shown, ax=axes, shrink=0.6, aspect=30, pad=0.01).ax.tick_params(labelsize=7)
    figure.suptitle(title, fontsize=9)
    return png(figure)


def show_map(
    panel: Any, one: np.ndarray, outlines: Mapping[str, np.ndarray], *, side: int, **colours: Any
) -> Any:
    """Draw a coarse map in a panel, one square a cell, under the outlines of the mean face."""
    shown = panel.imshow(one, extent=(0, side, side, 0), interpolation="nearest", **colours)
    for outline in outlines.values():
        half = float(outline.max()) / 2
        if half > outline.min():
            panel.contour(
                np.arange(side) + 0.5, np.arange(side) + 0.5, outline, [half], colors="0.6", linewidths=0.9
            )
    panel.set_xticks([])
    panel.set_yticks([])
    return shown


def _example(panels: Sequence[Any], row: Mapping[str, Any], classes: Sequence[str]) -> None:
    """An image and its overlay, with the answer above."""
    image, overlay = panels
    image.imshow(row["image"])
    overlay.imshow(_overlay(row["image"], row["heat"]))
    answer = display(classes[row["predicted"]])
    image.set_title(
        f"{SIGNS[row['right']]} {answer} {100 * row['probability']:.0f}%",
        fontsize=7,
        loc="left",
        pad=2,
        color=INK[row["right"]],
    )


def _overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """The picture in grey, brightened by the map's colours where the heat is. float [H, W, 3] in [0, 1]."""
    grey = np.repeat(image.mean(2, keepdims=True) / 255, 3, 2)
    colour = plt.get_cmap("inferno")(heat)[..., :3]
    weight = 0.25 + 0.5 * heat[..., None]
    return np.clip((1 - weight) * grey + weight * colour, 0, 1)
