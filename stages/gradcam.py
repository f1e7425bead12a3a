"""Class-activation maps of one network over validation: where their heat falls, and pictures of them.

Usage: python -m stages.gradcam run1 0
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import arange, tensor

from emotions import inference
from emotions.attention import cam, gallery, heat_shares, landmarks
from emotions.attention.knobs import GradcamParams, choose_cam_layer
from emotions.command import command
from emotions.data import dataset
from emotions.model import weight_files
from emotions.model.knobs import InferenceParams
from emotions.runtime import outs
from emotions.taxonomy import ClassSet, compound_classes, display

PARAMS = {
    "data.classes": ClassSet,
    "train": InferenceParams,
    "runs.{run}.title": str,
    "gradcam": GradcamParams,
}
DATASET = Path("data/dataset_resnet_224.zip")
DECODED = Path(".decoded")
BATCH = 16
CONFUSIONS = 10
"""Confusions shown in the gallery of errors, one line each."""


def main(values: dict[str, Any], name: str, seed: int) -> None:
    classes, train, gradcam = compound_classes(values["data.classes"]), values["train"], values["gradcam"]
    device = inference.prepare_device(train.threads)

    network = f"{name}-{seed}"
    path = Path(f"models/runs/{network}.pth")
    val = dataset.load_split(DATASET, classes, "compound", split="val", params=train, decoded=DECODED)
    model, _ = weight_files.load_run(path, classes, val.data, device=device)
    scored = pd.read_csv(f"data/predictions/{network}.csv").query("split == 'val'").set_index("image")
    scored = scored.loc[[row.image for row in val.rows]]
    confidence = scored[list(classes)].to_numpy().max(1)
    predicted = scored["predicted"].map(classes.index).to_numpy()
    labels = val.labels.numpy()

    layer, grid = choose_cam_layer(train.image_size, gradcam.min_grid)
    heat = cam.heat_maps(
        model,
        val.take(arange(len(val))),
        predicted.tolist(),
        method=gradcam.method,
        layer=layer,
        batch_size=BATCH,
        device=device,
        title=f"{name} {gradcam.method}",
    )
    located = landmarks.locate(DATASET, val, train, decoded=DECODED, title=f"{name} landmarks")
    known = np.flatnonzero(located.known)
    masks = {area: mask[known] for area, mask in located.masks.items()}
    resolution = heat_shares.resolution(masks, grid)
    reported = heat_shares.resolvable(resolution)
    found = heat_shares.by_image(heat[known], {area: masks[area] for area in reported})
    kept = known[found.kept]
    right = labels[kept] == predicted[kept]
    by_area = heat_shares.summary(found)
    units = [val.rows[i].action_units for i in kept]
    maps = {f"Σ ({len(val)})": heat} | {
        f"{sign} ({rows.sum()})": heat[rows]
        for sign, rows in (("✓", labels == predicted), ("✗", labels != predicted))
    }
    maps |= {
        f"{display(c)} ({(labels == i).sum()})": heat[labels == i]
        for i, c in enumerate(classes)
        if (labels == i).any()
    }
    means = {title: heat_shares.mean_map(one, grid) for title, one in maps.items()}
    outlines = {area: masks[area].mean(0) for area in reported} if located.how != landmarks.UNLOCATED else {}
    outs.write_json(
        Path(f"metrics/attention/{name}.json"),
        {
            "seed": seed,
            "method": gradcam.method,
            "layer": layer,
            "grid": grid,
            "images": len(val),
            "empty_maps": int((~found.kept).sum()),
            "regions": located.how,
            "located": len(known),
            "resolution": resolution,
            "shares": by_area,
            "by_class": {
                c: {"images": int(rows.sum()), "shares": heat_shares.summary(found, rows)}
                for i, c in enumerate(classes)
                if (rows := labels[kept] == i).sum() >= heat_shares.FEWEST
            },
            "right_less_wrong": {
                area: heat_shares.difference(found, area, first=right, second=~right) for area in found.areas
            },
            "action_units": heat_shares.unit_agreement(found, units),
            "mean_map": next(iter(means.values())).round(4).tolist(),
        },
    )
    outs.write_text(
        Path(f"plots/runs/{name}/attention.csv"),
        pd.DataFrame(
            [(area, one["ratio"]) for area, one in by_area.items()], columns=["area", "ratio"]
        ).to_csv(index=False, lineterminator="\n"),
    )
    title = values["runs.{run}.title"]
    heading = f"{name}: {title} · {gradcam.method} {layer} ({grid} × {grid})"
    outs.write_bytes(
        Path(f"plots/runs/{name}/attention.png"),
        gallery.draw_means(means, outlines, train.image_size, title=heading),
    )

    def pictured(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            row
            | {
                "image": val.take(tensor([row["index"]]))[0].permute(1, 2, 0).numpy(),
                "heat": heat[row["index"]],
            }
            for row in rows
        ]

    shown = cam.gallery_rows(labels, predicted, confidence, classes=len(classes), examples=gradcam.examples)
    outs.write_bytes(
        Path(f"plots/runs/{name}/gallery.jpg"),
        gallery.draw(pictured(shown), classes, gradcam.examples, title=heading),
    )
    confused = cam.confusion_rows(
        labels, predicted, confidence, classes=len(classes), most=CONFUSIONS, examples=2 * gradcam.examples
    )
    lines = [(display(classes[rows[0]["label"]]).replace(" ", "\n"), pictured(rows)) for rows in confused]
    outs.write_bytes(
        Path(f"plots/runs/{name}/confusions.jpg"),
        gallery.draw_confusions(lines, classes, 2 * gradcam.examples, title=heading),
    )


if __name__ == "__main__":
    command(main, PARAMS, __doc__, seeded=True)
