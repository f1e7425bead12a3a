"""Where landmarks put the parts of a face, against region maps that are exact, and against a template.

Usage: python -m benchmarks.landmarks [--photographs ZIP]

Drawn faces of the study's validation split (`dvc repro preprocess` first), shrunk to 100 px (as RAF-CE's
aligned faces) and 48 px (as FER2013's) and enlarged again. Printed: share of faces found; mean distance of a
part's centre from the drawn one, percent of the image's side, by landmarks and by the mean place of the part
in all faces (what a template of unaligned faces could reach); milliseconds a face. ZIP: the share of its
first 300 pictures in which a face is found.
"""

import argparse
import io
import time
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from rafce import dataset, landmarks, shares
from rafce.dataset import LoadParams
from rafce.taxonomy import compound_classes

DATASET = Path("data/dataset_resnet_224.zip")
PARTS = tuple(landmarks.HULLS)
MOST = 300


def centre(mask: np.ndarray) -> np.ndarray:
    return np.array([axis.mean() for axis in np.nonzero(mask)]) / len(mask)


def enlarged(image: Image.Image) -> np.ndarray:
    return np.array(image.convert("RGB").resize((landmarks.SIDE, landmarks.SIDE), Image.Resampling.BICUBIC))


def main() -> None:
    usage = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="benchmarks.landmarks"
    )
    usage.add_argument("--photographs", type=Path)
    arguments = usage.parse_args()
    params = LoadParams(image_size=landmarks.SIDE, threads=2, store_gb=8)
    classes = compound_classes("rafdb11")
    val = dataset.load_split(DATASET, classes, "compound", "val", params, Path(".decoded"))
    masks = shares.area_masks(dataset.load_regions(DATASET, val.rows, landmarks.SIDE))
    exact = {p: np.array([centre(m) if m.any() else (np.nan, np.nan) for m in masks[p]]) for p in PARTS}
    print("| px | found | " + " | ".join(f"{p}: landmarks, template" for p in PARTS) + " | ms |")
    print("|--:|--:|" + "--:|" * (len(PARTS) + 1))
    for side in (100, 48):
        found: dict[str, list[float]] = {part: [] for part in PARTS}
        faces, seconds = 0, 0.0
        for i, image in enumerate(val.images.permute(0, 2, 3, 1).numpy()):
            shown = enlarged(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))
            begun = time.perf_counter()
            points = landmarks.find(shown)
            seconds += time.perf_counter() - begun
            if points is None:
                continue
            faces += 1
            for part, mask in landmarks.masks_of(points, landmarks.SIDE).items():
                if part in PARTS:
                    found[part].append(float(np.linalg.norm(centre(mask) - exact[part][i])))
        cells = []
        for part in PARTS:
            template = np.linalg.norm(exact[part] - np.nanmean(exact[part], 0), axis=1)
            cells.append(f"{100 * np.nanmean(found[part]):.1f}, {100 * np.nanmean(template):.1f}")
        print(f"| {side} | {faces} of {len(val)} | {' | '.join(cells)} | {1000 * seconds / len(val):.0f} |")
    if arguments.photographs:
        with zipfile.ZipFile(arguments.photographs) as archive:
            names = [n for n in archive.namelist() if n.endswith(".png")][:MOST]
            pictures = [enlarged(Image.open(io.BytesIO(archive.read(n)))) for n in names]
        hits = sum(landmarks.find(picture) is not None for picture in pictures)
        print(f"\n{hits} of {len(names)} photographs")


if __name__ == "__main__":
    main()
