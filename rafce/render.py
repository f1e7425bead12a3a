"""Figures: measurements in, PNG or JPEG bytes out. Colours tell apart for the colour-blind (Okabe-Ito,
cividis)."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from rafce.taxonomy import display

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
AREA_NAMES: Final = {
    "eyes_brows": "eyes + brows",
    "other_face": "other face",
}


def training_curves(history: Mapping[str, pd.DataFrame], titles: Mapping[str, str]) -> bytes:
    """Accuracy by epoch: one colour a run, solid validation, dashed train."""
    figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
    for colour, (name, frame) in zip(_cycle(len(history)), history.items(), strict=True):
        axes.plot(
            frame.epoch,
            100 * frame.val_accuracy,
            color=colour,
            marker="o",
            ms=3,
            label=f"{name}: {titles[name]}",
        )
        axes.plot(frame.epoch, 100 * frame.train_accuracy, color=colour, ls="--", lw=1)
    axes.set(xlabel="Epoch", ylabel="Accuracy, %", title="Solid: validation. Dashed: train. Clean images")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return _png(figure)


def confusion_matrices(runs: Mapping[str, dict[str, Any]], classes: Sequence[str]) -> bytes:
    """Confusion matrices of all runs on validation, one panel a run."""
    columns = min(len(runs), 3)
    lines = -(-len(runs) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(4.4 * columns + 1.6, 5.6 * lines + 0.4), layout="constrained", squeeze=False
    )
    for panel in axes.flat[len(runs) :]:
        panel.set_visible(False)
    for i, (panel, (name, run)) in enumerate(zip(axes.flat, runs.items(), strict=False)):
        scores = run["selected"]["val"]
        _matrix(panel, scores["confusion"], classes, rows=i % columns == 0)
        panel.set_title(f"{name}: {run['title']}\nvalidation {100 * scores['accuracy']:.1f} %", fontsize=10)
    return _png(figure)


def final_matrix(run: Mapping[str, Any], classes: Sequence[str]) -> bytes:
    """The confusion matrix of the best run on test."""
    scores = run["selected"]["test"]
    figure, axes = plt.subplots(figsize=(8, 7), layout="constrained")
    _matrix(axes, scores["confusion"], classes, rows=True)
    axes.set_title(
        f"{run['run']}: {run['title']}, test\naccuracy {100 * scores['accuracy']:.1f} %, "
        f"macro-F1 {scores['macro_f1']:.3f}, {scores['images']} images"
    )
    return _png(figure)


def per_class_f1(
    runs: Mapping[str, dict[str, Any]], classes: Sequence[str], train_counts: Mapping[str, int]
) -> bytes:
    """Validation F1 by class and run; classes ordered by their training images."""
    order = sorted(classes, key=lambda c: train_counts[c])
    figure, axes = plt.subplots(figsize=(8, 0.45 * len(order) + 1.2), layout="constrained")
    height = 0.8 / len(runs)
    for i, (colour, (name, run)) in enumerate(zip(_cycle(len(runs)), runs.items(), strict=True)):
        f1 = [run["selected"]["val"]["per_class"][c]["f1"] for c in order]
        place = np.arange(len(order)) + 0.4 - height * (i + 0.5)
        axes.barh(place, f1, height, color=colour, label=name)
    axes.set_yticks(range(len(order)), [f"{display(c)} ({train_counts[c]})" for c in order])
    axes.set(xlabel="F1, validation", xlim=(0, 1), title="F1 by class (training images)")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(frameon=False, loc="lower right")
    return _png(figure)


def attention_bars(attention: Mapping[str, dict[str, Any]], titles: Mapping[str, str]) -> bytes:
    """Heat relative to area by run and area of the picture; 1 = no preference."""
    areas = list(dict.fromkeys(area for a in attention.values() for area in a["shares"]))
    figure, axes = plt.subplots(figsize=(8, 3.8), layout="constrained")
    width = 0.8 / len(attention)
    for i, (colour, (name, a)) in enumerate(zip(_cycle(len(attention)), attention.items(), strict=True)):
        ratio = [a["shares"].get(area, {"ratio": np.nan})["ratio"] for area in areas]
        axes.bar(
            np.arange(len(areas)) - 0.4 + width * (i + 0.5),
            ratio,
            width,
            color=colour,
            label=f"{name}: {titles[name]}",
        )
    axes.axhline(1, color="black", lw=1)
    axes.set_xticks(range(len(areas)), [AREA_NAMES.get(a, a) for a in areas])
    axes.set(ylabel="Share of heat / share of area", title="Class-activation maps: 1 = no preference")
    axes.legend(frameon=False)
    return _png(figure)


def gallery(rows: Sequence[Mapping[str, Any]], classes: Sequence[str], examples: int, title: str) -> bytes:
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
                said = f"no {'right' if right else 'wrong'} answer"
                first = line[0 if right else 2 * examples]
                first.text(0.05, 0.5, said, va="center", fontsize=8, color="0.5", transform=first.transAxes)
            for i, row in enumerate(found):
                image, overlay = line[2 * i + (0 if right else 2 * examples) :][:2]
                image.imshow(row["image"])
                overlay.imshow(_overlay(row["image"], row["heat"]))
                said = display(classes[row["predicted"]])
                image.set_title(
                    f"{said} {100 * row['probability']:.0f} %",
                    fontsize=7,
                    loc="left",
                    pad=2,
                    color="black" if right else "#B00000",
                )
    figure.suptitle(
        f"{title}\nleft half: right answers; right half: wrong answers (most confident first)", fontsize=10
    )
    figure.subplots_adjust(
        left=0.09, right=0.995, top=1 - 0.95 / figure.get_figheight(), bottom=0.005, wspace=0.04, hspace=0.2
    )
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


def _matrix(axes: Any, confusion: Sequence[Sequence[int]], classes: Sequence[str], rows: bool) -> None:
    """Counts in the cells, colour by share of the true class."""
    counts = np.array(confusion)
    share = counts / counts.sum(1, keepdims=True).clip(1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    names = [display(c) for c in classes]
    axes.set_xticks(range(len(classes)), names, rotation=55, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_yticks(range(len(classes)), names if rows else [""] * len(classes), fontsize=8)
    for i, j in np.argwhere(counts > 0):
        axes.text(
            j,
            i,
            counts[i, j],
            ha="center",
            va="center",
            fontsize=8,
            color="white" if share[i, j] > 0.6 else "black",
        )
    axes.set(xlabel="Predicted")
    if rows:
        axes.set(ylabel="True")


def _cycle(runs: int) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(runs)]


def _png(figure: Figure) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=100, metadata={"Software": None})
    plt.close(figure)
    return out.getvalue()
