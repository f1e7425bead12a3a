"""How far the results of the default study move: other seeds, threads, precision, processes.

Usage: python -m benchmarks.spread FOLDER [VARIANT ...] [--runs run1 ...]

Trains and scores the study of HEAD once for each variant, in FOLDER/<variant>, and prints the table. The data
are those of this working tree's cache (`dvc repro` first). A variant that is finished in FOLDER is not run
again, one that was interrupted goes on; without names all are run. On 2 cores each takes 7 to 15 minutes;
`--runs` leaves the other runs out.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

ROOT = Path(__file__).parent.parent
SEEDS = [f"seed {seed}" for seed in range(5)]
VARIANTS: dict[str, dict[str, str]] = {
    **{name: {"seed: 0 ": f"seed: {name.split()[1]} "} for name in SEEDS},
    "1 thread": {"threads: 2 ": "threads: 1 "},
    "float32": {"precision: auto ": "precision: float32 "},
    "2 processes": {
        "launcher: python ": "launcher: torchrun --standalone --nproc-per-node=2 ",
        "threads: 2 ": "threads: 1 ",
    },
}
"""What each replaces in params.yaml. Two processes have a thread each: compare them with `1 thread`."""
BASE = SEEDS[0]
RUNS = ["run1", "run2", "run3"]
DATA = ("data/dataset_resnet_224.zip", "data/extracted", "plots/contact_sheet.jpg")


def run(folder: Path, *command: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        command, cwd=folder, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed in {folder}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return done.stdout


def study(folder: Path, variant: str, runs: list[str]) -> dict[str, dict[str, float]]:
    """Scores by run, of a study that is run where it is not finished."""
    place = folder / variant.replace(" ", "-")
    finished = place / f"minutes-{'-'.join(runs)}"
    if not finished.exists():
        if not place.exists():
            run(ROOT, "git", "clone", "-q", str(ROOT), str(place))
            run(place, "dvc", "config", "--local", "cache.dir", str(ROOT / ".dvc" / "cache"))
            text = (place / "params.yaml").read_text()
            for old, new in VARIANTS[variant].items():
                if old not in text:
                    sys.exit(f"{old!r} is not in params.yaml")
                text = text.replace(old, new)
            (place / "params.yaml").write_text(text)
            run(place, "dvc", "checkout", *DATA)
        begun = time.monotonic()
        stages = [f"evaluate@{name}" for name in runs]
        run(place, "dvc", "repro", "--no-commit", "--no-run-cache", *stages)
        finished.write_text(f"{(time.monotonic() - begun) / 60:.1f}")
    print(f"{variant}: {finished.read_text()} minutes", file=sys.stderr, flush=True)
    scores = {}
    for name in runs:
        selected = json.loads((place / f"metrics/runs/{name}.json").read_text())["selected"]
        scores[name] = {
            **{f"{split} accuracy": selected[split]["accuracy"] for split in ("train", "val", "test")},
            **{f"{split} macro-F1": selected[split]["macro_f1"] for split in ("val", "test")},
        }
    return scores


def distance(folder: Path, one: str, other: str, name: str) -> float:
    """Between the last weights of two variants, relative."""
    vectors = []
    for variant in (one, other):
        path = folder / variant.replace(" ", "-") / "models" / "last_epoch" / f"{name}.pth"
        state = torch.load(path, weights_only=True)["state_dict"]
        vectors.append(torch.cat([v.flatten().double() for v in state.values()]))
    return float((vectors[0] - vectors[1]).norm() / vectors[0].norm())


def main() -> None:
    usage = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="benchmarks.spread"
    )
    usage.add_argument("folder", type=Path)
    usage.add_argument("variants", nargs="*", metavar="VARIANT", help=f"one of {', '.join(VARIANTS)}")
    usage.add_argument("--runs", nargs="+", choices=RUNS, default=RUNS)
    arguments = usage.parse_args()
    if unknown := set(arguments.variants) - set(VARIANTS):
        usage.error(f"no such variant: {', '.join(unknown)}; there are {', '.join(VARIANTS)}")
    folder, names = arguments.folder.absolute(), arguments.variants or list(VARIANTS)
    folder.mkdir(parents=True, exist_ok=True)
    found = {name: study(folder, name, arguments.runs) for name in names}
    print("| run | metric | " + " | ".join(names) + " |")
    print("|:--|:--|" + "--:|" * len(names))
    for name, scores in found[names[0]].items():
        for metric in scores:
            cells = [f"{100 * found[v][name][metric]:.1f}" for v in names]
            print(f"| {name} | {metric} | " + " | ".join(cells) + " |")
    seeds = [name for name in names if name in SEEDS]
    if len(seeds) > 1:
        print("\nOver seeds, in points:\n\n| run | metric | mean | standard deviation | range |")
        print("|:--|:--|--:|--:|--:|")
        for name, scores in found[seeds[0]].items():
            for metric in scores:
                values = [100 * found[v][name][metric] for v in seeds]
                spread = f"{statistics.stdev(values):.1f} | {max(values) - min(values):.1f}"
                print(f"| {name} | {metric} | {statistics.mean(values):.1f} | {spread} |")
    if BASE in names:
        print("\nAgainst seed 0: largest change of a metric, points; relative distance of the weights\n")
        print("| variant | " + " | ".join(found[BASE]) + " |\n|:--|" + "--:|" * len(found[BASE]))
        for variant in names:
            if variant != BASE:
                cells = []
                for name, scores in found[BASE].items():
                    moved = max(abs(found[variant][name][m] - scores[m]) for m in scores)
                    cells.append(f"{100 * moved:.1f}, {distance(folder, BASE, variant, name):.3f}")
                print(f"| {variant} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
