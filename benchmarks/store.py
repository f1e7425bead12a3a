"""Images decoded once: memory and speed of the mapped file against tensors in memory.

Usage: python -m benchmarks.store [IMAGES]

Writes a dataset zip of IMAGES (20,000 unless given) JPEGs of 224 px into a temporary folder, then, each in a
process of its own: decodes it, opens it again, prepares one epoch of batches as training does, and trains ten
steps.
"""

import io
import multiprocessing
import resource
import sys
import tempfile
import time
import zipfile
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from rafce import dataset, manifest, network, outs, processes, training
from rafce.manifest import Row
from rafce.streams import numpy_stream
from rafce.taxonomy import compound_classes
from rafce.training import LearningRates, OptimisationParams, RunParams

CLASSES = compound_classes("rafdb11")
SIZE, BATCH, STEPS, DIFFERENT = 224, 16, 10, 200


def write(path: Path, images: int) -> None:
    """Pictures of coarse noise, each of `DIFFERENT` ones many times: decoding does not know."""
    pictures = []
    for number in range(DIFFERENT):
        coarse = numpy_stream(0, "benchmark", "picture", number).integers(0, 256, (14, 14, 3), dtype=np.uint8)
        out = io.BytesIO()
        Image.fromarray(coarse).resize((SIZE, SIZE), Image.Resampling.BICUBIC).save(out, "JPEG", quality=95)
        pictures.append(out.getvalue())
    with zipfile.ZipFile(path, "w") as archive:
        rows = []
        for number in range(images):
            label = CLASSES[number % len(CLASSES)]
            row = Row(f"images/{number:06d}.jpg", label, "compound", "train", "", "", "", "", str(number))
            outs.add_to_zip(archive, row.image, pictures[number % DIFFERENT])
            rows.append(row)
        outs.add_to_zip(archive, manifest.FILE_NAME, manifest.write(rows).encode())


def measure(folder: Path, store_gb: float, answer: Connection) -> None:
    params = OptimisationParams(
        image_size=SIZE,
        precision="auto",
        threads=2,
        store_gb=store_gb,
        batch_size=BATCH,
        optimizer="adam",
        weight_decay=0.0,
    )
    run = RunParams(
        title="All",
        trainable_parts=list(network.PARTS),
        lr=LearningRates(body=1e-4, head=1e-4),
        mixup_alpha=0.0,
        dropout=0.0,
        augmentation="standard",
    )
    device = training.prepare_device(2)
    begun = time.perf_counter()
    split = dataset.load_split(folder / "d.zip", CLASSES, "compound", "train", params, folder / "decoded")
    loaded = time.perf_counter() - begun
    accelerator = processes.start(device, training.resolve_precision(params.precision, device))
    model = network.build(len(CLASSES), 0.0, 0)
    work = training._Training(model, split, params, run, accelerator, lambda _: 1.0, None)
    network.train_mode(work.model)
    begun = time.perf_counter()
    for _ in training._batches(work, split, params, run, 0, 1, slice(0, BATCH)):
        pass
    prepared = len(split) / (time.perf_counter() - begun)
    for step, batch in enumerate(training._batches(work, split, params, run, 0, 1, slice(0, BATCH))):
        if step == STEPS:
            break
        work.step(*batch)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    answer.send((split.mapping is not None, loaded, prepared, peak))


def main() -> None:
    if len(sys.argv) > 2 or not all(a.isdigit() for a in sys.argv[1:]):
        sys.exit(__doc__)
    images = int(sys.argv[1]) if sys.argv[1:] else 20_000
    context = multiprocessing.get_context("spawn")
    decoded = images * 3 * SIZE * SIZE / 1e9
    print(f"{images:,} images at {SIZE} px, {decoded:.2f} GB decoded; torch {torch.__version__}")
    print("| images in | loaded in | batches prepared | peak resident memory |\n|:--|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as name:
        write(Path(name) / "d.zip", images)
        for title, gigabytes in (
            ("a mapped file, made", 0.0),
            ("the same, again", 0.0),
            ("memory", 1e6),
        ):
            ours, theirs = context.Pipe()
            process = context.Process(target=measure, args=(Path(name), gigabytes, theirs))
            process.start()
            theirs.close()
            mapped, loaded, prepared, peak = ours.recv()
            process.join()
            if mapped != (gigabytes == 0):
                sys.exit("the store was not where this benchmark wants it")
            print(f"| {title} | {loaded:.1f} s | {prepared:.0f} images/s | {peak:.2f} GiB |", flush=True)


if __name__ == "__main__":
    main()
