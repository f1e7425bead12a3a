"""Class-activation maps of one run: where the heat falls on validation images, and a gallery of examples.

Usage: python -m stages.gradcam run1
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import from_numpy, tensor

from rafce import attention, dataset, gallery, network, outs, training
from rafce.taxonomy import ClassSet, compound_classes
from rafce.training import InferenceParams
from stages import command

PARAMS = {
    "data.classes": ClassSet,
    "train": InferenceParams,
    "runs.{run}.title": str,
    "gradcam": attention.GradcamParams,
}
DATASET = Path("data/dataset_resnet_224.zip")
DECODED = Path(".decoded")
BATCH = 16


def main(values: dict[str, Any], name: str) -> None:
    classes, train, gradcam = compound_classes(values["data.classes"]), values["train"], values["gradcam"]
    device = training.prepare_device(train.threads)

    path = Path(f"models/runs/{name}.pth")
    weights = network.read_checkpoint(path)
    network.check_classes(weights, classes, str(path))
    model = network.build(len(classes), 0.0, seed=0).to(device)
    network.load_whole(model, weights["state_dict"], str(path))

    val = dataset.load_split(DATASET, classes, "compound", "val", train, DECODED)
    scored = pd.read_csv(f"data/predictions/{name}.csv").query("split == 'val'").set_index("image")
    scored = scored.loc[[row.image for row in val.rows]]
    probabilities = scored[list(classes)].to_numpy()
    predicted = scored["predicted"].map(classes.index).to_numpy()

    # Rows are sorted by class, so evenly spaced ones keep the class shares.
    measured = np.unique(np.linspace(0, len(val) - 1, min(gradcam.images, len(val))).round().astype(int))
    shown = attention.gallery_rows(
        val.labels.numpy(), predicted, probabilities.max(1), len(classes), gradcam.examples
    )
    wanted = np.unique([*measured, *(row["index"] for row in shown)])
    layer, grid = attention.choose_layer(train.image_size, gradcam.min_grid)
    heat = attention.heat_maps(
        model,
        val.take(from_numpy(wanted)),
        predicted[wanted].tolist(),
        gradcam.method,
        layer,
        BATCH,
        device,
        f"{name} {gradcam.method}",
    )
    by_index = dict(zip(wanted.tolist(), heat, strict=True))
    measured_heat = np.stack([by_index[i] for i in measured])
    rows = [val.rows[i] for i in measured]
    exact = all(row.regions for row in rows)
    shares = (
        attention.area_shares(measured_heat, dataset.load_regions(DATASET, rows, train.image_size))
        if exact
        else attention.centre_shares(measured_heat)
    )
    outs.write_json(
        Path(f"metrics/attention/{name}.json"),
        {
            "method": gradcam.method,
            "layer": layer,
            "grid": grid,
            "images": len(measured),
            "empty_maps": int((measured_heat.sum((1, 2)) == 0).sum()),
            "regions": "exact" if exact else "centre and border",
            "shares": shares,
        },
    )
    for row in shown:
        row |= {
            "image": val.take(tensor([row["index"]]))[0].permute(1, 2, 0).numpy(),
            "heat": by_index[row["index"]],
        }
    title = values["runs.{run}.title"]
    heading = f"{name}: {title} · {gradcam.method} {layer} ({grid} × {grid})"
    outs.write_bytes(
        Path(f"plots/runs/{name}/gallery.jpg"), gallery.draw(shown, classes, gradcam.examples, heading)
    )


if __name__ == "__main__":
    command(main, PARAMS, __doc__)
