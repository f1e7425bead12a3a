"""Test whether the maps of one run depend on its network, and what its answers rest on. Only if asked for:

    dvc exp run -S faithfulness.measure=true

Usage: python -m stages.faithfulness run1 0
"""

from functools import partial
from pathlib import Path
from typing import Any

from emotions.attention.knobs import FaithfulnessParams, MapParams
from emotions.command import command
from emotions.model.knobs import TrainedParams, TrainedRun
from emotions.runtime import outs
from emotions.taxonomy import ClassSet, compound_classes

PARAMS = {
    "seed": int,
    "data.classes": ClassSet,
    "train": TrainedParams,
    "runs.{run}": TrainedRun,
    "gradcam": MapParams,
    "faithfulness": FaithfulnessParams,
}
DATASET = Path("data/dataset_resnet_224.zip")
DECODED = Path(".decoded")


def main(values: dict[str, Any], name: str, seed: int) -> None:
    record = {
        "run": name,
        "seed": seed,
        "title": values["runs.{run}"].title,
        "measured": values["faithfulness"].measure,
    }
    if values["faithfulness"].measure:
        record |= measured(values, name, seed)
    outs.write_json(Path(f"metrics/faithfulness/{name}.json"), record)


def measured(values: dict[str, Any], name: str, trained_with: int) -> dict[str, Any]:
    """What the answers of a run rest on. Slow imports stay in here, since most studies never need them."""
    import pandas as pd

    from emotions import inference
    from emotions.attention import examination, landmarks
    from emotions.data import dataset
    from emotions.model import weight_files

    classes, train, seed = compound_classes(values["data.classes"]), values["train"], values["seed"]
    device = inference.prepare_device(train.threads)
    network = f"{name}-{trained_with}"
    fraction = values["runs.{run}"].fraction or train.fraction
    load = partial(dataset.load_split, DATASET, classes, "compound", params=train, decoded=DECODED)
    splits = {"train": load(split="train", fraction=fraction, seed=seed), "val": load(split="val")}
    val = splits["val"]
    model, _ = weight_files.load_run(Path(f"models/runs/{network}.pth"), classes, val.data, device=device)
    scored = pd.read_csv(f"data/predictions/{network}.csv").query("split == 'val'").set_index("image")
    return examination.examine(
        model,
        splits,
        scored.loc[[row.image for row in val.rows], "predicted"].map(classes.index).tolist(),
        locate=lambda split, title: landmarks.locate(DATASET, split, train, decoded=DECODED, title=title),
        maps=values["gradcam"],
        options=values["faithfulness"],
        image_size=train.image_size,
        seed=seed,
        device=device,
        dtype=inference.resolve_precision(train.precision, device),
        name=name,
    )


if __name__ == "__main__":
    command(main, PARAMS, __doc__, seeded=True)
