"""Images per second and memory of `extract` and `preprocess` as an image folder grows, against a plain loop.

Usage: python -m benchmarks.extract_scale [IMAGES ...]

For each number of IMAGES (default 1000 10000 50000): that many JPEGs of 100 x 100 px, distinct noise in 17
classes, are written to a temporary folder, and once more as one zip. `extract` reads the folder, then the
zip; `preprocess` brings what it kept to 224 px on threads, as it does, and on processes up to 10,000 images.
Each runs in a process of its own, whose peak memory is given; seconds are without the imports. The plain loop
is Pillow in one thread, up to 5,000 images: open, to RGB, to 224 px, save. All files are in the page cache.
Then: where the time goes, step by step in one thread. Linux only.
"""

import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from rafce import audit, images, outs
from rafce.images import ImageLimits
from rafce.parallel import cores
from rafce.sources import imagefolder
from rafce.streams import numpy_stream
from rafce.taxonomy import SIX, compound_classes

ROOT = Path(__file__).parent.parent
SIZES = (1_000, 10_000, 50_000)
CLASSES = (*compound_classes("rafdb11"), *SIX)
SPLITS = (*("train",) * 8, "val", "test")
MOST_BY_PROCESSES = 10_000
MOST_PLAIN = 5_000

STAGE = """
import sys, time
from pathlib import Path
import stages.{stage} as stage
from rafce import params
values = params.read(Path("params.yaml"), stage.PARAMS)
{before}
if __name__ == "__main__":
    begun = time.perf_counter()
    stage.main(values)
    print(time.perf_counter() - begun)
    print(Path("/proc/self/status").read_text())
"""
PLAIN = """
import itertools, sys, time
from pathlib import Path
from PIL import Image
out = Path(sys.argv[1])
out.mkdir()
begun = time.perf_counter()
for path in itertools.islice(sorted(Path("data/raw/imagefolder").rglob("*.jpg")), int(sys.argv[2])):
    with Image.open(path) as image:
        image.convert("RGB").resize((224, 224)).save(out / path.name, quality=95)
print(time.perf_counter() - begun)
print(Path("/proc/self/status").read_text())
"""
NOTHING = """
from pathlib import Path
import stages.{stage}
print(0)
print(Path("/proc/self/status").read_text())
"""
FORKED = "import concurrent.futures; stage.ThreadPoolExecutor = concurrent.futures.ProcessPoolExecutor"
SPAWNED = f"import multiprocessing; multiprocessing.set_start_method('spawn', force=True); {FORKED}"


class Done(NamedTuple):
    seconds: float
    peak: float
    """MiB."""


def run(code: str, folder: Path, *arguments: str) -> Done:
    """Run Python code, which prints its seconds, in a process of its own."""
    script = folder / "script.py"
    script.write_text(code)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, script.name, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    seconds, status = done.stdout.split("\n", 1)
    peak = re.search(r"^VmHWM:\s*(\d+) kB", status, re.MULTILINE)
    assert peak
    return Done(float(seconds), int(peak[1]) / 1024)


def name_of(number: int) -> str:
    return f"{SPLITS[number % len(SPLITS)]}/{CLASSES[number // len(SPLITS) % len(CLASSES)]}/{number:06d}.jpg"


def draw(number: int) -> bytes:
    rng = numpy_stream(0, "benchmark", "extract_scale", number)
    coarse = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
    picture = cv2.resize(coarse, (100, 100), interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()


def write_raw(folder: Path, number: int) -> None:
    with zipfile.ZipFile(folder / "raw.zip", "w") as archive, ProcessPoolExecutor(cores()) as pool:
        for at, content in enumerate(pool.map(draw, range(number), chunksize=100)):
            outs.add_to_folder(folder / "data/raw/imagefolder", name_of(at), content)
            outs.add_to_zip(archive, name_of(at), content)


def tell(title: str, number: int, done: Done, bare: Done, plain: float) -> None:
    speed = number / done.seconds
    print(
        f"{number:7,} images  {title:24} {speed:7,.0f} images/s, {speed / plain:5.2f} x the plain loop; "
        f"peak {done.peak:5.0f} MiB, {done.peak - bare.peak:4.0f} MiB above the imports alone",
        flush=True,
    )


def measure(number: int, folder: Path) -> None:
    write_raw(folder, number)
    text = (ROOT / "params.yaml").read_text().replace("source: synthetic ", "source: imagefolder ")
    (folder / "params.yaml").write_text(text)
    bare, later = (run(NOTHING.format(stage=stage), folder) for stage in ("extract", "preprocess"))
    loop = run(PLAIN, folder, "plain", str(MOST_PLAIN))
    plain = min(number, MOST_PLAIN) / loop.seconds
    print(
        f"{number:7,} images  {'plain loop':24} {plain:7,.0f} images/s; peak {loop.peak:5.0f} MiB", flush=True
    )

    extract = run(STAGE.format(stage="extract", before=""), folder)
    tell("extract, folder", number, extract, bare, plain)
    raw = folder / "data/raw/imagefolder"
    raw.rename(folder / "tree")
    raw.mkdir()
    (folder / "raw.zip").rename(raw / "raw.zip")
    tell("extract, zip", number, run(STAGE.format(stage="extract", before=""), folder), bare, plain)

    threads = run(STAGE.format(stage="preprocess", before=""), folder)
    tell("preprocess, threads", number, threads, later, plain)
    both = Done(extract.seconds + threads.seconds, max(extract.peak, threads.peak))
    tell("extract and preprocess", number, both, bare, plain)
    if number <= MOST_BY_PROCESSES:
        for title, before in (("forked", FORKED), ("spawned", SPAWNED)):
            processes = run(STAGE.format(stage="preprocess", before=before), folder)
            tell(f"preprocess, {title}", number, processes, later, plain)
            print(
                f"{'':16}{title} processes take {processes.seconds / threads.seconds:.2f} x the threads' time"
            )


def steps(folder: Path, number: int) -> None:
    """What an image costs, in microseconds, one thread."""
    write_raw(folder, number)
    raw = folder / "data/raw/imagefolder"
    _, stream = imagefolder.read(raw, "rafdb11", imagefolder.ImagefolderParams())

    def timed(title: str, work: Callable[[Any], Any], items: Iterable[Any]) -> list[Any]:
        begun = time.perf_counter()
        results = [work(item) for item in items]
        print(f"  {title:42} {(time.perf_counter() - begun) / number * 1e6:6.0f} us")
        return results

    samples = timed("extract: read", lambda sample: sample, stream)
    identify = functools.partial(audit.identify, limits=ImageLimits())
    found = timed("extract: decode, check, hash", identify, samples)
    timed("  of which decode and check", lambda s: images.inspect(s.content, "", ImageLimits()), samples)
    timed(
        "extract: write",
        lambda p: outs.add_to_folder(folder / "store", p.row.image, p.files[p.row.image]),
        found,
    )
    squares = timed(
        "preprocess: decode, resize, encode", lambda s: images.to_square(s.content, "", 224), samples
    )
    with zipfile.ZipFile(folder / "new.zip", "w") as archive:
        timed(
            "preprocess: write",
            lambda p: outs.add_to_zip(archive, *p),
            [(str(n), c) for n, c in enumerate(squares)],
        )


def main() -> None:
    if not all(argument.isdigit() for argument in sys.argv[1:]):
        sys.exit(__doc__)
    for number in [int(argument) for argument in sys.argv[1:]] or SIZES:
        folder = Path(tempfile.mkdtemp())
        try:
            measure(number, folder)
        finally:
            shutil.rmtree(folder)
    print("an image costs, in one thread:")
    with tempfile.TemporaryDirectory() as place:
        steps(Path(place), 1000)


if __name__ == "__main__":
    main()
