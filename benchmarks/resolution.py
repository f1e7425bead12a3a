"""How well class-activation maps localise: by layer, method and image size, where the answer is known.

Usage: python -m benchmarks.resolution [--matters any mouth ...] [--sizes 96 112 224] [--epochs 10]

Faces of the study's dataset (`dvc repro preprocess` first) get a new task, in which four colours that tint
parts of the picture are the classes. `any`: one part of each image, drawn by chance, is tinted (eyes and
brows, nose, mouth, hair or background). A part: all five are tinted, each in a colour of its own, and that
of this part is the class, so that the network must know where it looks. Either way the part that matters is
known. A ResNet-50 learns that, and on held-out faces that it recognises every map is compared with the part.
`told`: share of the images whose heat, relative to area, is greatest on the part that matters (by chance one
in five); `itself`, `elsewhere`: the relative heat there, and the greatest on another part, means over parts.
The ideal map has what the grid alone would allow (`emotions.attention.heat_shares.ideal_maps`).
"""

import argparse
import itertools
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from pytorch_grad_cam import GradCAM, HiResCAM, LayerCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from emotions.attention import heat_shares
from emotions.data import dataset
from emotions.data.knobs import LoadParams
from emotions.model import preprocessing, resnet
from emotions.random_streams import numpy_stream
from emotions.taxonomy import compound_classes

DATASET = Path("data/dataset_resnet_224.zip")
PARTS = ("eyes_brows", "nose", "mouth", "hair", "background")
COLOURS = np.array([[220, 40, 40], [40, 200, 60], [50, 80, 230], [230, 210, 40]], np.float32)
TINT = 0.6
METHODS = {
    "LayerCAM": (LayerCAM, 1),
    "HiResCAM": (HiResCAM, 1),
    "Grad-CAM": (GradCAM, 1),
    "Grad-CAM, this layer and the one before": (GradCAM, 2),
}
LAYERS = ("layer1", "layer2", "layer3", "layer4")
STRIDES = {"layer1": 4, "layer2": 8, "layer3": 16, "layer4": 32}
BATCH = 32
THREADS = 2


def task(
    split: dataset.Split, seed: int, name: str, matters: str
) -> tuple[torch.Tensor, torch.Tensor, np.ndarray, dict]:
    """Images, their classes, the part that matters in each, and the masks of all parts.

    `matters`: `any`: one part, drawn by chance, is tinted; else all are, and the colour of this part counts.
    """
    size = split.images.shape[-1]
    masks = heat_shares.area_masks(dataset.load_regions(DATASET, split.rows, size))
    rng = numpy_stream(seed, "resolution", name)
    images = split.images.permute(0, 2, 3, 1).numpy().astype(np.float32)
    labels, parts = rng.integers(0, len(COLOURS), len(images)), np.empty(len(images), int)
    for i, image in enumerate(images):
        has = [k for k, part in enumerate(PARTS) if masks[part][i].any()]
        parts[i] = rng.choice(has) if matters == "any" else PARTS.index(matters)
        for k in has:
            if k != parts[i] and matters == "any":
                continue
            at = masks[PARTS[k]][i]
            colour = COLOURS[labels[i] if k == parts[i] else rng.integers(len(COLOURS))]
            image[at] = (1 - TINT) * image[at] + TINT * colour
    tensor = torch.from_numpy(images.round().astype(np.uint8)).permute(0, 3, 1, 2).contiguous()
    return tensor, torch.from_numpy(labels), parts, {part: masks[part] for part in PARTS}


def learn(images: torch.Tensor, labels: torch.Tensor, epochs: int, seed: int) -> torch.nn.Module:
    model = resnet.build(len(COLOURS), 0.0, seed).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-4)
    for epoch in range(epochs):
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed * 100 + epoch))
        for rows in order.split(BATCH):
            if len(rows) < 2:
                continue
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(preprocessing.normalise(preprocessing.to_float(images[rows])))
            loss = F.cross_entropy(logits.float(), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model.eval()


def localised(heat: np.ndarray, parts: np.ndarray, masks: dict) -> tuple[float, float, float]:
    """`told`, `itself`, `elsewhere` as in the module's text."""
    found = heat_shares.by_image(heat, masks)
    of = parts[found.kept]
    ratios = np.where(found.area > 0, found.heat / np.maximum(found.area, 1e-9), -1.0)
    told = float((ratios.argmax(1) == of).sum() / len(heat))
    itself, elsewhere = [], []
    for k, part in enumerate(PARTS):
        rows = of == k
        if rows.any():
            by_area = {name: one["ratio"] for name, one in heat_shares.summary(found, rows).items()}
            itself.append(by_area.pop(part))
            elsewhere.append(max(by_area.values()))
    return told, float(np.mean(itself)), float(np.mean(elsewhere))


def main() -> None:
    usage = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        prog="benchmarks.resolution",
    )
    usage.add_argument("--sizes", type=int, nargs="+", default=[96, 112, 224])
    usage.add_argument("--images", type=int, default=800, help="training images, at most those there are")
    usage.add_argument("--epochs", type=int, default=10)
    usage.add_argument("--matters", nargs="+", choices=("any", *PARTS), default=["any"])
    arguments = usage.parse_args()
    torch.set_num_threads(THREADS)
    classes = compound_classes("rafdb11")
    print(
        "| matters | px | accuracy % | map | layer | grid | told % | itself | elsewhere | told by the grid |"
    )
    print("|:--|--:|--:|:--|:--|--:|--:|--:|--:|:--|")
    for matters, size in itertools.product(arguments.matters, arguments.sizes):
        params = LoadParams(image_size=size, threads=THREADS, store_gb=8)
        train, val = (
            dataset.load_split(DATASET, classes, "compound", split=s, params=params, decoded=Path(".decoded"))
            for s in ("train", "val")
        )
        images, labels, _, _ = task(train, 0, "train", matters)
        model = learn(images[: arguments.images], labels[: arguments.images], arguments.epochs, 0)
        images, labels, parts, masks = task(val, 0, "val", matters)
        inputs = preprocessing.normalise(preprocessing.to_float(images))
        with torch.inference_mode():
            right = torch.cat([model(b).argmax(1) for b in inputs.split(64)]) == labels
        accuracy = float(right.float().mean())
        kept = right.numpy()
        inputs, labels, parts = inputs[right], labels[right], parts[kept]
        masks = {part: mask[kept] for part, mask in masks.items()}
        model.requires_grad_(False)
        for layer in LAYERS:
            grid = -(-size // STRIDES[layer])
            apart = heat_shares.resolvable(heat_shares.resolution(masks, grid))
            chosen = np.array(
                [heat_shares.ideal_maps(masks[PARTS[k]][i : i + 1], grid)[0] for i, k in enumerate(parts)]
            )
            lines = {"ideal": localised(chosen, parts, masks)}
            for name, (kind, layers) in METHODS.items():
                at = LAYERS.index(layer)
                if at + 1 < layers:
                    continue
                blocks = [getattr(model, one)[-1] for one in LAYERS[at + 1 - layers : at + 1]]
                heat = []
                with kind(model, blocks) as cam:
                    for rows in torch.arange(len(inputs)).split(16):
                        targets = [ClassifierOutputTarget(int(t)) for t in labels[rows]]
                        heat.append(cam(inputs[rows].clone().requires_grad_(True), targets))
                lines[name] = localised(np.concatenate(heat), parts, masks)
            for name, (told, itself, elsewhere) in lines.items():
                print(
                    f"| {matters} | {size} | {100 * accuracy:.1f} | {name} | {layer} | {grid} | "
                    f"{100 * told:.0f} | "
                    f"{itself:.1f} | {elsewhere:.1f} | {', '.join(apart) if name == 'ideal' else ''} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
