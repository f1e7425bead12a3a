"""Compare the metrics in the working tree with those of a commit, run by run.

Usage: python -m tools.agree [--base HEAD] [--tolerance 0.0]

The same commit on the same kind of machine gives the same numbers (tolerance 0). Another CPU type rounds
otherwise and training amplifies that: allow for a tolerance there. Exit status 1 where a metric moved by more
than it.
"""

import argparse
import json
import sys
from pathlib import Path

from tools.committed import CommittedError, git

SUMMARY = "metrics/summary.json"


def moved(old: dict, new: dict, tolerance: float) -> list[str]:
    """A line for every metric that differs by more than `tolerance`, or that only one side has."""
    lines = []
    for run in sorted(old.keys() | new.keys()):
        if run not in old or run not in new:
            lines.append(f"{run}: only in the {'new' if run in new else 'old'} summary")
            continue
        for name in sorted(old[run].keys() | new[run].keys()):
            before, after = old[run].get(name), new[run].get(name)
            if name == "selected_epoch" and tolerance > 0:
                continue  # rounding may make another epoch the best one
            if before is None or after is None or abs(after - before) > tolerance:
                lines.append(f"{run}.{name}: {before} -> {after}")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", default="HEAD", help="commit whose metrics are the reference")
    parser.add_argument("--tolerance", type=float, default=0.0, help="largest difference of a fraction")
    arguments = parser.parse_args()
    try:
        old = json.loads(git(Path(), "show", f"{arguments.base}:{SUMMARY}"))
    except CommittedError as error:
        print(f"{arguments.base} has no {SUMMARY}: {error}", file=sys.stderr)
        return 2
    lines = moved(old, json.loads(Path(SUMMARY).read_text()), arguments.tolerance)
    print(
        "\n".join(lines) if lines else f"all metrics agree with {arguments.base} within {arguments.tolerance}"
    )
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main())
