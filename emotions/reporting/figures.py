"""Figures of the report: measurements in, PNG bytes out, lettered by a `Wording`.

Run colours suit the colour-blind (Okabe-Ito); markers tell the runs apart in grey print.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image

from emotions.data.images import encoded
from emotions.plotting import plt, png
from emotions.reporting.wording import Wording
from emotions.taxonomy import RAFCE_COUNTS, SPLITS

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
MARKERS: Final = "osD^vPX*"


def training_curves(history: Mapping[str, pd.DataFrame], titles: Mapping[str, str], say: Wording) -> bytes:
    """Accuracy by epoch, one colour a run: validation solid with a band over seeds, training dashed."""
    figure, axes = plt.subplots(figsize=(8, 4.4), layout="constrained")
    for i, (name, frame) in enumerate(history.items()):
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
        label = say("run-title", name=name, title=say.known(titles[name]))
        by_epoch = frame.groupby("epoch")
        mean, low, high = by_epoch.mean(), by_epoch.min(), by_epoch.max()
        axes.fill_between(
            mean.index, 100 * low.val_accuracy, 100 * high.val_accuracy, color=colour, alpha=0.15, lw=0
        )
        axes.plot(mean.index, 100 * mean.val_accuracy, color=colour, marker=marker, ms=4, label=label)
        axes.plot(mean.index, 100 * mean.train_accuracy, color=colour, marker=marker, ms=2, ls="--", lw=1)
    axes.set(xlabel=say("figure-epoch"), ylabel=say("figure-accuracy"), title=say("figure-curves"))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return png(figure)


def confusion_matrices(runs: Mapping[str, dict[str, Any]], classes: Sequence[str], say: Wording) -> bytes:
    """Confusion matrices of all runs on validation, one panel a run.

    A row of counts may have one column more than there are classes, for answers outside them.
    """
    columns = min(len(runs), 3)
    lines = -(-len(runs) // columns)
    figure, axes = plt.subplots(
        lines, columns, figsize=(4.4 * columns + 1.6, 5.6 * lines + 0.4), layout="constrained", squeeze=False
    )
    for panel in axes.flat[len(runs) :]:
        panel.set_visible(False)
    for i, (panel, (name, run)) in enumerate(zip(axes.flat, runs.items(), strict=False)):
        scores = run["selected"]["val"]
        _matrix(panel, scores["confusion"], classes, say=say, rows=i % columns == 0)
        title = say("run-title", name=name, title=say.known(run["title"]))
        panel.set_title(f"{title}\n{say('figure-validation', accuracy=scores['accuracy'])}", fontsize=10)
    return png(figure)


def final_matrix(run: Mapping[str, Any], classes: Sequence[str], say: Wording) -> bytes:
    """The confusion matrix of the best run on test."""
    scores = run["selected"]["test"]
    figure, axes = plt.subplots(figsize=(8, 7), layout="constrained")
    _matrix(axes, scores["confusion"], classes, say=say, rows=True)
    title = say("figure-test", name=run["run"], title=say.known(run["title"]))
    values = {"accuracy": scores["accuracy"], "f1": scores["macro_f1"], "images": scores["images"]}
    axes.set_title(f"{title}\n{say('figure-test-scores', **values)}")
    return png(figure)


def per_class_f1(
    runs: Mapping[str, dict[str, Any]],
    classes: Sequence[str],
    train_counts: Mapping[str, int],
    *,
    say: Wording,
) -> bytes:
    """Validation F1 by class and run; classes ordered by their training images."""
    order = sorted(classes, key=lambda c: train_counts[c])
    figure, axes = plt.subplots(figsize=(8, 0.5 * len(order) + 1.6), layout="constrained")
    height = 0.8 / len(runs)
    for i, (name, run) in enumerate(runs.items()):
        f1 = [run["selected"]["val"]["per_class"][c]["f1"] for c in order]
        place = np.arange(len(order)) + 0.4 - height * (i + 0.5)
        axes.barh(place, f1, height, color=COLOURS[i % len(COLOURS)], label=name)
    axes.set_yticks(range(len(order)), [f"{say(c)} ({say.decimal(train_counts[c], 0)})" for c in order])
    axes.set(xlabel=say("figure-f1-axis"), xlim=(0, 1), title=say("figure-f1"))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: say.decimal(x, 1)))
    axes.grid(axis="x", alpha=0.3)
    figure.legend(frameon=False, loc="outside lower center", ncols=min(len(runs), 6))
    return png(figure)


def class_distribution(data: Mapping[str, Any], classes: Sequence[str], say: Wording) -> bytes:
    """Share of each class in each split, beside its published share in RAF-CE; in class order."""
    figure, axes = plt.subplots(figsize=(8, 0.5 * len(classes) + 1.6), layout="constrained")
    height = 0.8 / len(SPLITS)
    place = np.arange(len(classes))[::-1]
    for i, split in enumerate(SPLITS):
        numbers = np.array([data["compound"][c][split] for c in classes])
        name = say({"train": "figure-train", "val": "figure-val", "test": "figure-test-split"}[split])
        label = f"{name} ({say.decimal(numbers.sum(), 0)})"
        axes.barh(
            place + 0.4 - height * (i + 0.5),
            100 * numbers / numbers.sum(),
            height,
            color=COLOURS[i],
            label=label,
        )
    published = np.array([sum(RAFCE_COUNTS[c]) for c in classes])
    axes.plot(100 * published / published.sum(), place, "k|", ms=18, mew=2, label=say("figure-published"))
    axes.set_yticks(place, [say(c) for c in classes])
    axes.set(xlabel=say("figure-classes-axis"), title=say("figure-classes"))
    axes.grid(axis="x", alpha=0.3)
    figure.legend(frameon=False, loc="outside lower center", ncols=4)
    return png(figure)


def reliability(runs: Mapping[str, dict[str, Any]], say: Wording) -> bytes:
    """Accuracy against confidence on test by run, in bins of equally many images; diagonal: perfect."""
    figure, axes = plt.subplots(figsize=(5.6, 5), layout="constrained")
    axes.plot([0, 100], [0, 100], color="black", lw=1, ls=":", label=say("figure-perfect"))
    for i, (name, run) in enumerate(runs.items()):
        bins = run["selected"]["test"]["reliability"]
        confidence, accuracy = ([100 * b[k] for b in bins] for k in ("confidence", "accuracy"))
        colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
        axes.plot(confidence, accuracy, label=name, lw=1, color=colour, marker=marker, ms=5)
    axes.set(xlabel=say("figure-confidence"), ylabel=say("figure-accuracy"), xlim=(0, 100), ylim=(0, 100))
    axes.set_title(say("figure-calibration"), fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return png(figure)


def attention_story(
    attention: Mapping[str, dict[str, Any]], titles: Mapping[str, str], say: Wording
) -> bytes:
    """Heat relative to area by run and area (1 = no preference) with 95 % intervals. Below: each run's mean
    map and its difference from the first run's."""
    areas = list(dict.fromkeys(area for a in attention.values() for area in a["shares"]))
    first = next(iter(attention))
    others = [name for name in attention if name != first]
    lines = 3 if others else 2
    figure = plt.figure(figsize=(8, 4.2 + 2.6 * (lines - 1)), layout="constrained")
    grid = figure.add_gridspec(lines, len(attention), height_ratios=[1.7] + [1.0] * (lines - 1))
    axes = figure.add_subplot(grid[0, :])
    width = 0.8 / len(attention)
    for i, (name, a) in enumerate(attention.items()):
        found = [a["shares"].get(area, {"ratio": np.nan, "interval": None}) for area in areas]
        ratio = [one["ratio"] for one in found]
        limits = [one["interval"] or (one["ratio"], one["ratio"]) for one in found]
        reach = np.abs(np.array(limits).reshape(-1, 2).T - np.array(ratio))
        label = say("run-title", name=name, title=say.known(titles[name]))
        place = np.arange(len(areas)) - 0.4 + width * (i + 0.5)
        colour = COLOURS[i % len(COLOURS)]
        axes.bar(place, ratio, width, color=colour, label=label, yerr=reach, capsize=2, ecolor="0.3")
    axes.axhline(1, color="black", lw=1)
    axes.set_xticks(range(len(areas)), [say(f"area-{a}") for a in areas])
    axes.set(ylabel=say("figure-attention-axis"), title=say("figure-attention"))
    axes.set_ylim(top=1.3 * axes.get_ylim()[1])  # the legend stands above the bars
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: say.decimal(y, 1)))
    axes.legend(frameon=False)

    maps = {name: np.array(a["mean_map"]) for name, a in attention.items()}
    top = max(1.0, *(float(one.max()) for one in maps.values()))
    changes = {name: maps[name] - maps[first] for name in others}
    reach = max((float(np.abs(one).max()) for one in changes.values()), default=0.0) or 1.0
    rows: list[tuple[dict[str, np.ndarray], str, dict[str, Any]]]
    rows = [(maps, "figure-mean-map", {"cmap": "inferno", "vmin": 0, "vmax": top})]
    if others:
        rows.append((changes, "figure-less-first", {"cmap": "PuOr_r", "vmin": -reach, "vmax": reach}))
    for line, (pictures, message, colours) in enumerate(rows, start=1):
        panels = []
        for i, name in enumerate(attention):
            if name not in pictures:
                continue
            panel = figure.add_subplot(grid[line, i])
            shown = panel.imshow(pictures[name], **colours)
            panel.set_title(say(message, name=name, first=first), fontsize=9)
            panel.set(xticks=[], yticks=[])
            panels.append(panel)
        bar = figure.colorbar(shown, ax=panels, shrink=0.85, pad=0.01)
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: say.decimal(y, 1)))
        bar.ax.tick_params(labelsize=8)
    return png(figure)


def fit_jpeg(picture: bytes, most: int) -> bytes:
    """Shrink `picture` until it has at most `most` bytes or a side of 64 px."""
    if len(picture) <= most:
        return picture
    with Image.open(io.BytesIO(picture)) as image:
        small = image.convert("RGB")
    while len(picture) > most and min(small.size) > 64:
        small = small.resize(
            (round(0.85 * small.width), round(0.85 * small.height)), Image.Resampling.LANCZOS
        )
        picture = encoded(small, "JPEG", quality=80)
    return picture


def _matrix(
    axes: Any, confusion: Sequence[Sequence[int]], classes: Sequence[str], *, say: Wording, rows: bool
) -> None:
    """Counts in the cells, colour by share of the true class."""
    counts = np.array(confusion)
    share = counts / counts.sum(1, keepdims=True).clip(1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    names = [say(c) for c in classes]
    columns = names + [say("vlm-other")] * (counts.shape[1] - len(names))
    axes.set_xticks(range(len(columns)), columns, rotation=55, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_yticks(range(len(classes)), names if rows else [""] * len(classes), fontsize=8)
    for i, j in np.argwhere(counts > 0):
        colour = "white" if share[i, j] > 0.6 else "black"
        axes.text(j, i, counts[i, j], ha="center", va="center", fontsize=8, color=colour)
    axes.set(xlabel=say("predicted"))
    if rows:
        axes.set(ylabel=say("true"))
