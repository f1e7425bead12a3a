"""How far the results of the default study move: other starts, threads, number formats, processes.

Usage: python -m benchmarks.spread FOLDER [VARIANT ...]

Runs the study of HEAD once for each variant, with the first seed, in FOLDER/<variant>. Prints the scores, and
by kind of metric the largest change against the first variant, of all numbers that `tools.referee.verify`
compares. The clones share DVC's cache of this working tree: what was computed with `tools.repro` is not
computed again. On 2 cores a variant takes 5 to 10 minutes. The spread over seeds stands in the study's own
summary.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from emotions import params_file
from emotions.knobs import Tolerance
from emotions.params_file import StudyParams
from tools.referee import verify

ROOT = Path(__file__).parent.parent
STARTS = [f"start {seed}" for seed in range(6)]
VARIANTS: dict[str, list[str]] = {
    **{name: [f"seed={name.split()[1]}"] for name in STARTS},
    "2 threads": ["train.threads=2"],
    "float32": ["train.precision=float32"],
    "2 processes": ["launcher=torchrun --standalone --nproc-per-node=2"],
}
"""Changes of params.yaml by variant; the first is the study as it is."""
METRICS = ("val_accuracy", "test_accuracy", "val_macro_f1", "test_macro_f1", "train_accuracy")


def run(folder: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed in {folder}:\n{done.stdout[-2000:]}")


def study(place: Path, changes: list[str]) -> None:
    """Run the study of HEAD with these knobs and its first seed in a clone."""
    if not place.exists():
        run(ROOT, "git", "clone", "-q", str(ROOT), str(place))
        cache = str(ROOT / ".dvc" / "cache")
        run(place, sys.executable, "-m", "dvc", "config", "--local", "cache.dir", cache)
    first = params_file.read(ROOT / "params.yaml", {"study": StudyParams})["study"].seeds[0]
    knobs = [part for change in (f"study.seeds=[{first}]", *changes) for part in ("-S", change)]
    run(place, sys.executable, "-m", "tools.repro", *knobs)


def numbers(place: Path) -> dict[tuple[str, str], float]:
    """All numbers that `verify` compares, by file and key."""
    paths = (*place.glob("metrics/**/*.json"), *place.glob("plots/**/*.csv"))
    return {
        (str(path.relative_to(place)), key): value
        for path in sorted(paths)
        for key, value in verify.numbers(str(path.relative_to(place)), path.read_bytes()).items()
    }


def kind(key: str) -> str:
    """The field of `Tolerance` that holds for a metric."""
    marked = Tolerance(accuracy=0, macro_f1=0.5, heat=1).of(key)
    return {0: "accuracy", 0.5: "macro_f1", 1: "heat"}[marked]


def main() -> None:
    usage = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="benchmarks.spread"
    )
    usage.add_argument("folder", type=Path)
    usage.add_argument("variants", nargs="*", metavar="VARIANT", help=f"of {', '.join(VARIANTS)}")
    arguments = usage.parse_args()
    if unknown := set(arguments.variants) - set(VARIANTS):
        usage.error(f"no such variant: {', '.join(unknown)}; there are {', '.join(VARIANTS)}")
    folder, names = arguments.folder.absolute(), arguments.variants or list(VARIANTS)
    folder.mkdir(parents=True, exist_ok=True)
    places = {name: folder / name.replace(" ", "-") for name in names}
    for name, place in places.items():
        study(place, VARIANTS[name])
    summaries = {n: json.loads((p / "metrics/summary.json").read_text()) for n, p in places.items()}
    print("| run | metric | " + " | ".join(names) + " | mean | standard deviation |")
    print("|:--|:--|" + "--:|" * (len(names) + 2))
    for name in summaries[names[0]]:
        for metric in METRICS:
            found = [100 * summaries[variant][name][metric] for variant in names]
            spread = statistics.stdev(found) if len(found) > 1 else 0.0
            cells = " | ".join(f"{value:.1f}" for value in (*found, statistics.fmean(found), spread))
            print(f"| {name} | {metric} | {cells} |")
    base = numbers(places[names[0]])
    moved: dict[str, dict[str, float]] = defaultdict(dict)
    for name in names[1:]:
        other = numbers(places[name])
        for (path, key), value in base.items():
            if (path, key) in other:
                change = abs(other[path, key] - value)
                moved[kind(key)][name] = max(moved[kind(key)].get(name, 0.0), change)
    print(f"\nLargest change against {names[0]} of a metric of a kind, fractions\n")
    print("| kind | " + " | ".join(names[1:]) + " |")
    print("|:--|" + "--:|" * (len(names) - 1))
    for what, changes in moved.items():
        print(f"| {what} | " + " | ".join(f"{changes[name]:.3f}" for name in names[1:]) + " |")


if __name__ == "__main__":
    main()
