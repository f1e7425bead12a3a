"""Images per second of training: this loop, the bare step, other people's loops, the machine's peak.

Usage: python -m benchmarks.throughput [--size 224] [--batch 16] [--images 96] [--rounds 3]
           [--torchvision-references DIR] [--timm DIR] [--only NAME ...]

On the first GPU where torch finds one, else on the CPU. There take more, e.g. --batch 64 --images 2048.
DIR: a checkout of torchvision's `references/classification`, and one of timm's repository; each runs as a
process of its own. Without it that row is not measured. NAME: one of `ROWS`; without any, all are measured.
Ours and the bare step always are.

All loops train ResNet-50 on the same drawn faces (JPEGs of 224 px, 11 classes) at the same size and batch,
and a whole epoch of IMAGES is timed, after a first one or steps that warm up. The others decode in every
epoch, this one once before the first. They take turns, ROUNDS times; a ratio is of one round, given as
median and range. Of the settings that a loop offers (workers of its DataLoader, how it decodes) the first
round tries all, the others the fastest. Prints Markdown tables. Linux only.
"""

import argparse
import io
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
import torchvision
from accelerate.state import AcceleratorState
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import throughput_others as others
from emotions import inference, params_file
from emotions.data import dataset, manifest
from emotions.data.dataset import Split
from emotions.data.manifest import Row
from emotions.model import resnet
from emotions.model.resnet import PARTS
from emotions.runtime import outs
from emotions.runtime.parallel import cores
from emotions.sources import synthetic
from emotions.sources.knobs import SyntheticParams
from emotions.taxonomy import compound_classes
from emotions.training import distributed, loop
from emotions.training.checkpoints import Checkpoints
from emotions.training.knobs import OptimisationParams, RunParams

ROOT = Path(__file__).parent.parent
CLASSES = compound_classes("rafdb11")
OURS, OURS32 = "ours, bfloat16", "ours, float32"
BARE, BARE32 = "bare step, bfloat16", "bare step, float32"
OURS16, BARE16 = "ours, float16", "bare step, float16"
ROWS = (
    *("float32", "float16", "filled", "whole", "notebook", "torchvision", "timm", "compiled"),
    *("peak", "frozen", "memory", "profile", "first-step"),
)
ON_GPU, ON_CPU = ("float16", "memory"), ("filled", "whole", "torchvision", "first-step")
"""Rows that only one of the two kinds of device has: of the others' recipes torchvision's `--amp` is another
number format there."""
NAMES = {"bfloat16": (OURS, BARE), "float32": (OURS32, BARE32), "float16": (OURS16, BARE16)}
WARM = 2
"""Steps before a measurement: the first allocates the optimizer's state."""

Batch = tuple[torch.Tensor, torch.Tensor]
Speeds = Mapping[str, float]


@dataclass(frozen=True)
class Setting:
    """What all loops have in common, and the images as each wants them."""

    size: int
    batch: int
    images: int
    folder: Path
    device: torch.device
    train: Split
    val: Split
    runs: dict[str, RunParams]

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    def params(self, precision: str) -> OptimisationParams:
        return load_params(self.size, self.batch, precision)


def load_params(size: int, batch: int, precision: str) -> OptimisationParams:
    return OptimisationParams.model_validate(
        {"image_size": size, "precision": precision, "threads": torch.get_num_threads(), "store_gb": 2.0}
        | {"batch_size": batch, "optimizer": "adam", "weight_decay": 0.0}
    )


def write_images(folder: Path, images: int) -> Path:
    """Faces as JPEGs of 224 px: a tree `<split>/<class>/*`, and a dataset zip of the same files.

    A third as many for validation, as RAF-CE has.
    """
    wanted = SyntheticParams(train=images, val=max(images // 3, len(CLASSES)), test=0, basic=0)
    _, samples = synthetic.read(ROOT / "data/raw/synthetic", "rafdb11", wanted, workers=cores())
    path, rows = folder / "dataset.zip", []
    with zipfile.ZipFile(path, "w") as archive:
        for sample in samples:
            jpeg = io.BytesIO()
            picture = Image.open(io.BytesIO(sample.content)).convert("RGB").resize((224, 224))
            picture.save(jpeg, "JPEG", quality=95)
            name = f"{sample.split}/{sample.label}/{sample.source_id}.jpg"
            outs.add_to_folder(folder / "tree", name, jpeg.getvalue())
            outs.add_to_zip(archive, f"images/compound/{name}", jpeg.getvalue())
            values = ("compound", sample.split, "", "", "", "", sample.source_id)
            rows.append(Row(f"images/compound/{name}", sample.label, *values))
        outs.add_to_zip(archive, manifest.FILE_NAME, manifest.write(rows).encode())
    return path


def setting(folder: Path, size: int, batch: int, images: int, device: torch.device) -> Setting:
    path, load = write_images(folder, images), load_params(size, batch, "float32")
    begun = time.perf_counter()
    train = dataset.load_split(
        path, CLASSES, "compound", split="train", params=load, decoded=folder / "decoded"
    )
    print(f"Decoding once: {(time.perf_counter() - begun) / images * 1e3:.1f} ms an image.")
    val = dataset.load_split(path, CLASSES, "compound", split="val", params=load, decoded=folder / "decoded")
    named = params_file.load(ROOT / "params.yaml")["runs"]
    runs = {name: RunParams.model_validate(run) for name, run in named.items()}
    return Setting(size, batch, images, folder, device, train, val, runs)


def begin(s: Setting, precision: str, run: RunParams) -> loop._Training:
    """A network about to train, on one process; dropout, whose cost is that of the head alone, is off."""
    AcceleratorState._reset_state(reset_partial_state=True)  # one of another precision may come before
    p = s.params(precision)
    accelerator = distributed.start(s.device, inference.resolve_precision(p.precision, s.device))
    model = resnet.build(len(CLASSES), 0.0, seed=0)
    work = loop._Training(
        model, s.train, p, run=run, accelerator=accelerator, lr_factor=lambda _: 1.0, checkpoints=None
    )
    resnet.train_mode(model)
    for _ in range(WARM):
        work.step(*random_batch(s))
    work.reached.steps = 0
    return work


def random_batch(s: Setting) -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(s.batch, 3, s.size, s.size, generator=generator)
    labels = torch.arange(s.batch) % len(CLASSES)
    images = images.contiguous(memory_format=torch.channels_last)
    return images.to(s.device), F.one_hot(labels, len(CLASSES)).float().to(s.device)


def batches(s: Setting, work: loop._Training, precision: str) -> Iterator[Batch]:
    run = s.runs["run1"]
    return loop._batches(work, s.train, s.params(precision), run=run, seed=0, epoch=1, own=slice(0, s.batch))


def take_steps(work: loop._Training, stream: Iterable[Batch]) -> None:
    for batch in stream:
        work.step(*batch)


def seconds_of(function: Callable[[], object]) -> float:
    """Until all that the function asked of the device is done."""
    begun = time.perf_counter()
    function()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - begun


def paired_epoch(s: Setting, precision: str, notes: dict[str, list[float]]) -> Speeds:
    """An epoch of ours, with the bare step after each of its steps: what disturbs one disturbs both. On a
    GPU, where one step's work is asked for while that of the last goes on, one epoch after the other."""
    work, fixed, ours, bare, step = begin(s, precision, s.runs["run1"]), random_batch(s), 0.0, 0.0, 0.0
    steps, names = s.images // s.batch, NAMES[precision]
    if s.device.type == "cuda":
        take_steps(work, batches(s, work, precision))
        work.reached.steps = 0
        alone = seconds_of(partial(deque, batches(s, work, precision), 0))
        notes.setdefault(f"Batches alone, {precision}, images/s", []).append(s.images / alone)
        ours = seconds_of(partial(take_steps, work, batches(s, work, precision)))
        bare = seconds_of(partial(take_steps, work, [fixed] * steps))
        return {names[0]: s.images / ours, names[1]: s.images / bare}
    stream = batches(s, work, precision)
    for _ in range(steps):
        begun = time.perf_counter()
        batch = next(stream)
        ready = time.perf_counter()
        work.step(*batch)
        done = time.perf_counter()
        ours, step = ours + done - begun, step + done - ready
        bare += seconds_of(partial(work.step, *fixed))
    notes.setdefault(f"Of our seconds in {precision}, % outside the step", []).append(100 * (1 - step / ours))
    return {names[0]: s.images / ours, names[1]: s.images / bare}


def filled(s: Setting) -> Speeds:
    """The bare step where deterministic algorithms fill new memory, as torch does unless told otherwise."""
    torch.utils.deterministic.fill_uninitialized_memory = True  # type: ignore[attr-defined]
    try:
        work, fixed, steps = begin(s, "bfloat16", s.runs["run1"]), random_batch(s), s.images // s.batch
        seconds = sum(seconds_of(partial(work.step, *fixed)) for _ in range(steps))
    finally:
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    return {"bare step, bfloat16, new memory filled": steps * s.batch / seconds}


def spans_of(owner: type, name: str, spans: list[tuple[float, float]]) -> Any:
    """A patch that notes when each call of a method begins and ends."""
    real = getattr(owner, name)

    def noted(*arguments: Any) -> Any:
        begun = time.perf_counter()
        result = real(*arguments)
        spans.append((begun, time.perf_counter()))
        return result

    return mock.patch.object(owner, name, noted)


def whole(s: Setting, notes: dict[str, list[float]]) -> Speeds:
    """The second epoch of `training.fit`, from the first's checkpoint to its own."""
    AcceleratorState._reset_state(reset_partial_state=True)
    accelerator, p = distributed.start(s.device, torch.bfloat16), s.params("bfloat16")
    model, checkpoints = resnet.build(len(CLASSES), 0.0, seed=0), Checkpoints(s.folder / "checkpoints", {})
    scored: list[tuple[float, float]] = []
    saved: list[tuple[float, float]] = []
    with spans_of(loop._Training, "scored", scored), spans_of(Checkpoints, "save", saved):
        loop.fit(
            model,
            s.train,
            s.val,
            params=p,
            run=s.runs["run1"],
            seed=0,
            accelerator=accelerator,
            epochs=2,
            on_epoch=lambda _: None,
            checkpoints=checkpoints,
        )
    checkpoints.discard()
    notes[f"Scoring of {2 * len(s.val)} images after an epoch, s"].append(scored[1][1] - scored[1][0])
    notes["Checkpoint after an epoch, however many images it has, s"].append(saved[1][1] - saved[1][0])
    return {"ours, with scoring and checkpoint": s.images / (saved[1][1] - saved[0][1])}


def matrix_peak(dtype: torch.dtype, device: torch.device) -> float:
    """The largest GFLOP/s of a square matrix product, of several sizes and two layouts."""
    best = 0.0
    for side in (1024, 2048, 4096, 8192) if device.type == "cuda" else (1024, 2048, 4096):
        one, other = torch.randn(2, side, side, device=device).to(dtype)
        for work in (partial(torch.mm, one, other), partial(F.linear, one, other)):
            work()
            times = [seconds_of(work) for _ in range(max(3, 2**14 // side))]
            best = max(best, 2e-9 * side**3 / min(times))
    return best


def flops(parts: Sequence[resnet.Part], size: int) -> float:
    """GFLOP of an image's forward and backward pass, counted; a multiplication and an addition are two."""
    with torch.device("meta"):
        model = torchvision.models.resnet50(num_classes=len(CLASSES))
        images, targets = torch.randn(2, 3, size, size), torch.zeros(2, dtype=torch.int64)
    resnet.freeze(model, parts)
    resnet.train_mode(model)
    with FlopCounterMode(display=False) as counter:
        F.cross_entropy(model(images), targets).backward()
    return counter.get_total_flops() / 2e9


def frozen(s: Setting, rounds: int) -> None:
    """The bare step of each run's trainable parts, in turn, against what the FLOPs would save.

    More than that is possible: frozen parts save the optimizer's work and batch statistics, too.
    """
    regimes = {name: run.trainable_parts for name, run in s.runs.items()} | {"head only": ["head"]}
    works = {
        name: begin(s, "bfloat16", s.runs["run1"].model_copy(update={"trainable_parts": parts}))
        for name, parts in regimes.items()
    }
    fixed, seconds, steps = random_batch(s), defaultdict(list), max(s.images // s.batch // 2, 1)
    for _ in range(rounds * steps):
        for name, work in works.items():
            seconds[name].append(seconds_of(partial(work.step, *fixed)))
    print("\n| trained | images/s | x run1 | by FLOPs, x run1 | share of that |\n|---|--:|--:|--:|--:|")
    all_parts = flops(PARTS, s.size)
    for name, parts in regimes.items():
        gain = statistics.median(seconds["run1"]) / statistics.median(seconds[name])
        ideal = all_parts / flops(parts, s.size)
        speed = s.batch / statistics.median(seconds[name])
        told = f"{speed:.1f} | {gain:.2f} | {ideal:.2f} | {gain / ideal:.0%}"
        print(f"| {name}: {', '.join(parts)} | {told} |")


def memory(s: Setting) -> None:
    """The most that a step of each run takes of the GPU, by number format."""
    formats = ("float32", "bfloat16", "float16")
    print(f"\n| GiB at the highest, batch {s.batch} | {' | '.join(formats)} |\n|---|--:|--:|--:|")
    for name, run in s.runs.items():
        peaks = []
        for precision in formats:
            torch.cuda.empty_cache()
            work = begin(s, precision, run)
            torch.cuda.reset_peak_memory_stats()
            work.step(*next(batches(s, work, precision)))
            peaks.append(f"{torch.cuda.max_memory_allocated() / 2**30:.2f}")
            del work
        print(f"| {name} | {' | '.join(peaks)} |")


GROUPS = {
    "batches: augmentation": "^batches$",
    "optimizer": r"^Optimizer\.",
    "convolution, backward": "ConvolutionBackward",
    "convolution, forward": "aten::conv2d",
    "batch norm, backward": "BatchNormBackward",
    "batch norm, forward": "aten::batch_norm",
    "ReLU, both ways": "relu|Relu|threshold",
    "other conversions and copies": "aten::_to_copy|ToCopyBackward|aten::copy_",
}
"""Operators: those that match, or that run within one that does; the first group that fits."""


def group_of(event: Any) -> str:
    if (
        event.name == "aten::fill_"
    ):  # of any operator that asks for new memory: deterministic algorithms do it
        return "filling memory"
    names = []
    while event is not None:
        names.append(event.name)
        event = event.cpu_parent
    return next((g for g, what in GROUPS.items() if any(re.search(what, n) for n in names)), "other")


def profile_cpu(s: Setting) -> None:
    """The operators that a step of ours spends its time in."""
    work = begin(s, "bfloat16", s.runs["run1"])
    stream, steps = batches(s, work, "bfloat16"), min(3, s.images // s.batch)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        for _ in range(steps):
            with torch.profiler.record_function("batches"):
                batch = next(stream)
            work.step(*batch)
    taken: Counter[str] = Counter()
    for event in profiler.events():
        taken[group_of(event)] += event.self_cpu_time_total
    print(f"\n| operators | share of {sum(taken.values()) / steps / 1e6:.2f} s a step |\n|---|--:|")
    for group, microseconds in taken.most_common():
        print(f"| {group} | {microseconds / sum(taken.values()):.1%} |")


def profile_gpu(s: Setting, rounds: int) -> None:
    """What bounds a step: the CPU, which asks for its kernels one by one, or the GPU, which computes them."""
    few, steps = 6, s.images // s.batch
    print("\n| a step, ms | the CPU asks | kernels | the GPU computes | bare step | ours | batches alone |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for precision in NAMES:
        work, fixed = begin(s, precision, s.runs["run1"]), random_batch(s)
        small = (fixed[0][:2, :, :32, :32].contiguous(memory_format=torch.channels_last), fixed[1][:2])
        times: dict[str, list[float]] = defaultdict(list)
        for _ in range(rounds + 1):  # the first warms up
            times["asked"].append(seconds_of(partial(take_steps, work, [small] * steps)))
            times["bare"].append(seconds_of(partial(take_steps, work, [fixed] * steps)))
            work.reached.steps = 0
            times["ours"].append(seconds_of(partial(take_steps, work, batches(s, work, precision))))
            work.reached.steps = 0
            times["alone"].append(seconds_of(partial(deque, batches(s, work, precision), 0)))
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
            seconds_of(partial(take_steps, work, [fixed] * few))
        kernels = [e for e in profiler.events() if e.device_type == torch.autograd.DeviceType.CUDA]
        computing = sum(e.device_time for e in kernels) / 1e3 / few
        asked, bare, ours, alone = (1e3 * statistics.median(t[1:]) / steps for t in times.values())
        told = f"{asked:.1f} | {len(kernels) / few:.0f} | {computing:.1f}"
        print(f"| {precision} | {told} | {bare:.1f} | {ours:.1f} | {alone:.1f} |")


def span(values: Sequence[float], digits: int = 2) -> str:
    """Median and range."""
    middle, low, high = (f"{v:.{digits}f}" for v in (statistics.median(values), min(values), max(values)))
    return f"{middle} ({low} - {high})"


def commit(where: Path | None) -> str:
    command = ["git", "-C", str(where), "rev-parse", "--short=12", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def facts(arguments: argparse.Namespace) -> str:
    found = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    gpu = f"{torch.cuda.get_device_name()}; " if torch.cuda.is_available() else ""
    bf16 = "with" if torch.cpu._is_avx512_bf16_supported() else "without"
    peers = {"torchvision references": arguments.torchvision_references, "timm": arguments.timm}
    commits = "".join(f", {name} at {commit(where)}" for name, where in peers.items() if where)
    return (
        f"{gpu}{found[1] if found else platform.processor()}, {torch.backends.cpu.get_cpu_capability()} "
        f"{bf16} AVX512-BF16, {torch.get_num_threads()} threads, torch {torch.__version__}, torchvision "
        f"{torchvision.__version__}{commits}; {arguments.images} images of {arguments.size} px, batch "
        f"{arguments.batch}."
    )


def works_of(
    s: Setting, arguments: argparse.Namespace, asked: Callable[[str], bool], notes: dict[str, list[float]]
) -> tuple[list[Callable[[], Speeds]], dict[str, others.Fastest]]:
    """What is measured in each round, and, among it, the loops of others by their titles."""
    works: list[Callable[[], Speeds]] = [partial(paired_epoch, s, "bfloat16", notes)]
    works += [partial(paired_epoch, s, "float32", notes)] if asked("float32") else []
    works += [partial(paired_epoch, s, "float16", notes)] if asked("float16") else []
    works += [partial(filled, s)] if asked("filled") else []
    works += [partial(whole, s, notes)] if asked("whole") else []
    loops: dict[str, others.Fastest] = {}
    common = (s.tree, s.size, s.batch, s.device)
    if asked("notebook"):
        loops["notebook: ImageFolder, PIL, float32"] = others.notebook(*common)
    if asked("torchvision") and (where := arguments.torchvision_references):
        one = others.torchvision_references(where, *common, s.images)
        loops["torchvision's reference recipe, float32"] = one
    for name, title in (("timm", ""), ("compiled", ", torch.compile")):
        if asked(name) and arguments.timm:
            one = others.timm_loop(arguments.timm, *common, s.images, name == "compiled")
            loops[f"timm, bfloat16, channels_last{title}"] = one
    return works + [lambda t=title, m=measure: {t: m()} for title, measure in loops.items()], loops


def compare(s: Setting, arguments: argparse.Namespace, asked: Callable[[str], bool]) -> None:
    speeds: dict[str, list[float]] = defaultdict(list)
    notes: dict[str, list[float]] = defaultdict(list)
    works, loops = works_of(s, arguments, asked, notes)
    peaks: dict[torch.dtype, float] = defaultdict(float)
    for number in range(arguments.rounds):
        for work in tuple(works):
            try:
                measured = work()
            except others.LoopError as error:  # the rows of the others still count
                works.remove(work)
                print(error, file=sys.stderr)
                continue
            for title, speed in measured.items():
                speeds[title].append(speed)
                print(f"round {number + 1}: {title} {speed:.2f} images/s", file=sys.stderr, flush=True)
        for dtype in (torch.bfloat16, torch.float32) if asked("peak") else ():
            peaks[dtype] = max(peaks[dtype], matrix_peak(dtype, s.device))

    print("\n| loop | images/s | ours in bfloat16 is x | ours in float32 is x |\n|---|--:|--:|--:|")
    for title, found in speeds.items():
        ratios = [[a / b for a, b in zip(speeds.get(own, ()), found, strict=False)] for own in (OURS, OURS32)]
        print(f"| {title} | {span(found, 1)} | {' | '.join(span(r) if r else '' for r in ratios)} |")
    for name, flag in (("torchvision", "torchvision-references"), ("timm", "timm"), ("compiled", "timm")):
        if asked(name) and not getattr(arguments, flag.replace("-", "_")):
            print(f"| {name} | not measured: pass --{flag} DIR | | |")
    print()
    for precision, (own, bare) in NAMES.items():
        pairs = [a / b for a, b in zip(speeds.get(own, ()), speeds.get(bare, ()), strict=True)]
        if pairs:
            print(f"Ours is x the bare step, {precision}, {len(pairs)} rounds: {span(pairs)}.")
    for title, values in notes.items():
        print(f"{title}: {span(values)}.")
    for title, one in loops.items():
        tried = "; ".join(f"{name} {speed:.1f}" for name, speed in one.tried.items())
        print(f"Settings of {title}, images/s in the first round: {tried or 'failed, see above'}.")
    if peaks:
        gflop = flops(PARTS, s.size)
        print(f"\nForward and backward of an image: {gflop:.1f} GFLOP, counted.")
        for title, dtype in ((OURS, torch.bfloat16), (OURS32, torch.float32)):
            if title in speeds:
                reached, peak = gflop * statistics.median(speeds[title]), peaks[dtype]
                share = f"{reached / peak:.0%} of the matrix peak"
                print(f"{title}: {reached:.0f} GFLOP/s, {share}, {peak:.0f} GFLOP/s measured.")


def main() -> None:
    usage = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        prog="benchmarks.throughput",
    )
    for name, value in {"size": 224, "batch": 16, "images": 96, "rounds": 3}.items():
        usage.add_argument(f"--{name}", type=int, default=value)
    for name in ("torchvision-references", "timm"):
        usage.add_argument(f"--{name}", type=Path)
    usage.add_argument("--only", nargs="+", choices=ROWS, default=ROWS)
    arguments = usage.parse_args()
    if arguments.images % arguments.batch or arguments.images < len(CLASSES):
        usage.error("--images: whole batches, and at least one image a class")

    print(facts(arguments))
    device = inference.prepare_device(torch.get_num_threads())
    missing = ON_CPU if device.type == "cuda" else ON_GPU

    def asked(name: str) -> bool:
        return name in arguments.only and name not in missing

    with tempfile.TemporaryDirectory() as place:
        s = setting(Path(place), arguments.size, arguments.batch, arguments.images, device)
        compare(s, arguments, asked)
        if asked("frozen"):
            frozen(s, arguments.rounds)
        if asked("memory"):
            memory(s)
        if asked("profile"):
            profile_gpu(s, arguments.rounds) if device.type == "cuda" else profile_cpu(s)
    if asked("first-step"):
        print("\n| from `dvc repro train@run1-0` to the first step | seconds |\n|---|--:|")
        for title, seconds in others.first_step(arguments.rounds).items():
            print(f"| {title} | {span(seconds)} |")


if __name__ == "__main__":
    main()
