"""A case with a known answer: training faces in front of walls whose colour tells their class, or not.

Usage: python -m benchmarks.shortcut FOLDER [--seeds 3]

Runs a smaller study of run 1 alone, `data.synthetic.shortcut` at 0 and at 1, once for each seed, in
FOLDER/<shortcut>-<seed>, and prints the table of docs/attention.md. With 1 the network should learn the wall:
train accuracy up, validation (where walls are shuffled) down, and every measure of attention should say so.
What is finished in FOLDER is not run again. On 2 cores each takes 4 to 8 minutes.
"""

import argparse
import json
import re
import shutil
import statistics
import sys
import time
from pathlib import Path

import yaml

from benchmarks.spread import ROOT, run
from emotions import params_file

SMALLER = {
    "data": {"synthetic": {"train": 400, "val": 150, "test": 150, "basic": 400}},
    "pretrained": {"basic_emotions": {"epochs": 5}},
    "train": {"epochs": 8},
    "uncertainty": {"simulations": 100},
    "faithfulness": {"measure": True, "images": 32},
}
CLAIMS = {1: "memorised background", 4: "background or hair"}
"""Number of a claim of the report -> words of its sentence."""


def changed(values: dict, changes: dict) -> dict:
    """`values` with `changes` put in, group by group."""
    for key, value in changes.items():
        values[key] = changed(values[key], value) if isinstance(value, dict) else value
    return values


def study(folder: Path, shortcut: int, seed: int) -> Path:
    """The folder of a study, which is run where it is not finished."""
    place = folder / f"{shortcut}-{seed}"
    if not (place / "done").exists():
        if not place.exists():
            run(ROOT, "git", "clone", "-q", str(ROOT), str(place))
        path = place / "params.yaml"
        values = changed(params_file.load(path), SMALLER)
        values["seed"] = values["data"]["synthetic"]["seed"] = seed
        values["data"]["synthetic"]["shortcut"] = float(shortcut)
        values["study"] = {"runs": ["run1"], "seeds": [seed]}
        path.write_text(yaml.safe_dump(values, sort_keys=False))
        begun = time.monotonic()
        run(place, "dvc", "repro", "--no-commit", "--no-run-cache")
        (place / "done").write_text(f"{(time.monotonic() - begun) / 60:.1f}")
    print(f"{place.name}: {(place / 'done').read_text()} minutes", file=sys.stderr, flush=True)
    return place


def measures(place: Path) -> dict[str, float]:
    """What one study says of run 1."""
    (network,) = (place / "metrics/runs").glob("run1-*.json")
    scores = json.loads(network.read_text())["selected"]
    heat = json.loads((place / "metrics/attention/run1.json").read_text())["shares"]
    tested = json.loads((place / "metrics/faithfulness/run1.json").read_text())
    train, val = (tested["rests_on"][split] for split in ("train", "val"))
    return {
        "train accuracy %": 100 * scores["train"]["accuracy"],
        "validation accuracy %": 100 * scores["val"]["accuracy"],
        "heat on background, relative to area": heat["background"]["ratio"],
        "the same less random weights": tested["random_weights"]["background"]["difference"],
        "heat on mouth, relative to area": heat["mouth"]["ratio"],
        "background alone, train accuracy %": 100 * train["accuracy"]["only background"],
        "background swapped, train, points": 100 * train["background"]["swapped"]["difference"],
        "background swapped, validation, points": 100 * val["background"]["swapped"]["difference"],
        "answers that go with a borrowed background, validation, points beyond chance": 100
        * val["follows"]["difference"],
        "mouth covered, train, points beyond equal cover": 100 * train["covers"]["mouth"]["difference"],
        "ROAD less random maps": tested["road"]["less_random"]["mean"],
        "rank correlation with random weights": tested["correlation"]["all"]["mean"],
    }


def ledger(place: Path) -> dict[str, str]:
    """Verdicts on the claims that attention decides."""
    lines = (place / "report/report.md").read_text().splitlines()
    found = {}
    for number, words in CLAIMS.items():
        (line,) = [one for one in lines if one.startswith(f"| {number}. ") and words in one]
        verdicts = re.findall(r"\*\*([^*]+)\*\*", line)
        found[f"claim {number} ({words})"] = verdicts[-1]
    return found


def main() -> None:
    usage = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="benchmarks.shortcut"
    )
    usage.add_argument("folder", type=Path)
    usage.add_argument("--seeds", type=int, default=3)
    usage.add_argument("--pictures", type=Path, help="folder for the mean maps of the first seed")
    arguments = usage.parse_args()
    folder = arguments.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    places = {s: [study(folder, s, seed) for seed in range(arguments.seeds)] for s in (0, 1)}
    rows = {s: [measures(place) for place in some] for s, some in places.items()}
    print("| mean (range) | shortcut 0 | shortcut 1 |\n|:--|--:|--:|")
    for name in rows[0][0]:
        cells = []
        for s in (0, 1):
            values = [one[name] for one in rows[s]]
            digits = 1 if "%" in name or "points" in name else 2
            shown = [f"{v:.{digits}f}" for v in (statistics.mean(values), min(values), max(values))]
            cells.append(f"{shown[0]} ({shown[1]} to {shown[2]})")
        print(f"| {name} | " + " | ".join(cells) + " |")
    verdicts = {s: [ledger(place) for place in some] for s, some in places.items()}
    for name in verdicts[0][0]:
        cells = [", ".join(one[name] for one in verdicts[s]) for s in (0, 1)]
        print(f"| {name} | " + " | ".join(cells) + " |")
    if arguments.pictures:
        for s in (0, 1):
            shutil.copy(
                places[s][0] / "plots/runs/run1/attention.png", arguments.pictures / f"shortcut_{s}.png"
            )


if __name__ == "__main__":
    main()
