"""An RAF-CE look-alike of full size (4,549 faces, official format) through the whole pipeline at 224 px, one
epoch.

Usage: PYTHONPATH=tests python -m benchmarks.full_size_lookalike FOLDER

Copies the tracked files into FOLDER (which must not exist), builds the look-alike there, runs `dvc repro`,
and prints the counts, the seconds of each stage and the largest process.
"""

import json
import resource
import sys
import time
from pathlib import Path

from conftest import Study  # type: ignore[import-not-found]
from test_rafce_study import REAL_STUDY, lookalike  # type: ignore[import-not-found]

from rafce.taxonomy import RAFCE_COUNTS

STAGES = ["extract", "preprocess", "pretrain"]
STAGES += [f"{stage}@{run}" for run in ("run1", "run2", "run3") for stage in ("train", "evaluate", "gradcam")]
STAGES += ["best", "report"]


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True)
    study = Study(folder)
    listed = lookalike(folder / "data/raw/rafce", RAFCE_COUNTS)
    study.dvc("add", "data/raw/rafce")
    study.params(*[pair for pair in REAL_STUDY if not pair[0].startswith("threads")])
    print(f"{len(listed)} faces listed", flush=True)
    total = time.perf_counter()
    for stage in STAGES:
        start = time.perf_counter()
        study.dvc("repro", "--single-item", stage)
        print(f"{stage:16} {time.perf_counter() - start:7.1f} s", flush=True)
    print(f"{'all':16} {time.perf_counter() - total:7.1f} s")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"largest process {peak:.2f} GiB")
    data = json.loads(study.read("metrics/data.json"))
    print("images:", {s: sum(row[s] for row in data["compound"].values()) for s in ("train", "val", "test")})
    print("summary:", study.read("metrics/summary.json"))


if __name__ == "__main__":
    main()
