"""What each ingredient of a run carries: added alone to a base run, and left out of the whole.

Usage: python -m tools.ablation --run run4 --base run1 --seeds 0 1 2 [--ways with without] [--jobs 2]

An ingredient is a key in which the two blocks of params.yaml (under `runs` or `further_runs`) differ. Each
variant is a run of one experiment a seed, as `tools.repeats` does: through DVC's queue, and run again it goes
on. Only validation is looked at: what is chosen here can then be compared on test, once. Writes OUT/report.md
and scores.csv. Exit statuses as of `tools.repeats`.
"""

import argparse
import copy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import pandas as pd

from emotions import params_file
from emotions.runtime import outs
from tools import over_seeds, repeats
from tools.referee.committed import CommittedError, git
from tools.repeats import RepeatsError

Way = Literal["with", "without"]
WAYS: Final[tuple[Way, ...]] = ("with", "without")
TOGETHER: Final = (("schedule", "warmup_epochs"),)
"""Keys that are one ingredient."""
METRICS: Final = {"val_macro_f1": "validation macro-F1", "val_accuracy": "validation accuracy, %"}


def ingredients(base: dict[str, Any], whole: dict[str, Any]) -> list[tuple[str, ...]]:
    """The keys in which two runs differ, those of one ingredient together.

    Raises:
        RepeatsError: they differ in their titles alone.
    """
    one, other = (repeats.leaves(block, "") for block in (base, whole))
    keys = [key[1:] for key in dict.fromkeys([*one, *other]) if one.get(key) != other.get(key)]
    keys = [key for key in keys if key != "title"]
    if not keys:
        raise RepeatsError("the two runs do not differ: nothing to add or to leave out")
    found: list[tuple[str, ...]] = []
    for key in keys:
        group = next((g for g in TOGETHER if key in g), (key,))
        own = tuple(k for k in group if k in keys)
        if own not in found:
            found.append(own)
    return found


def variant(start: dict[str, Any], other: dict[str, Any], keys: Sequence[str], title: str) -> dict[str, Any]:
    """`start` with `keys` as `other` has them, left out where `other` lacks them."""
    block = copy.deepcopy(start)
    for key in keys:
        *groups, last = key.split(".")
        node, source = block, other
        for group in groups:
            node, source = node.setdefault(group, {}), source.get(group, {})
        if last in source:
            node[last] = source[last]
        else:
            node.pop(last, None)
            if groups and not node:  # a group without keys is none to `dvc exp run -S`
                del block[groups[0]]
    block["title"] = title
    return block


def variants(
    name: str, base_name: str, blocks: dict[str, dict[str, Any]], ways: Sequence[Way]
) -> dict[str, dict[str, Any]]:
    """The runs of the ablation: base, whole, and each ingredient alone or left out."""
    base, whole = blocks[base_name], blocks[name]
    found = {base_name: base, name: whole}
    apart = ingredients(base, whole)
    for way in ways:
        for keys in apart if len(apart) > 1 else []:
            title = " and ".join(keys)
            start, other = (base, whole) if way == "with" else (whole, base)
            found[f"{way}_{keys[0].replace('.', '_')}"] = variant(start, other, keys, f"{way} {title}")
    return found


def report(
    frame: pd.DataFrame, base: str, whole: str, command: str, commit: str, failed: Sequence[str]
) -> str:
    """The report as Markdown. `frame`: as of `tools.repeats.scores`."""
    seeds = ", ".join(map(str, dict.fromkeys(frame["seed"])))
    lines = [f"# What carries {whole}", "", f"`{command}` at commit `{commit[:12]}`; seeds {seeds}.", ""]
    if failed:
        lines += [f"**Failed and left out: {', '.join(failed)}** (`dvc queue logs NAME`).", ""]
    differences = [f"difference in {title.removeprefix('validation ')}" for title in METRICS.values()]
    head = ["run", *METRICS.values(), "against", *differences, "better in"]
    numbers = "--:|" * len(METRICS)
    lines += [
        f"`with_...`: {base} with this alone, against {base}. `without_...`: {whole} without it, against",
        f"{whole}. Means over seeds on validation; in brackets the 95% interval of the paired difference",
        "(Student's t).",
        "",
        "| " + " | ".join(head) + " |",
        f"|:--|{numbers}:--|{numbers}--:|",
    ]
    for run, own in frame.groupby("run", sort=False):
        cells = [over_seeds.shown(own[metric].mean(), metric) for metric in METRICS]
        against = whole if str(run).startswith("without_") else base
        if run == base:
            cells += [""] * (2 + len(METRICS))
        else:
            cells.append(against)
            pair = frame[frame["run"].isin([run, against])]
            for metric in METRICS:
                by_seed = pair.pivot(index="experiment", columns="run", values=metric)
                found = (by_seed[run] - by_seed[against]).dropna().tolist()
                if len(found) < 2:
                    cells.append(over_seeds.shown(found[0], metric, "+"))
                    continue
                one = over_seeds.spread(found)
                cells.append(over_seeds.with_interval(one.mean, one.interval, metric, "+"))
            first = pair.pivot(index="experiment", columns="run", values=next(iter(METRICS))).dropna()
            cells.append(f"{int((first[run] > first[against]).sum())} of {len(first)}")
        lines.append(f"| {run} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="tools.ablation"
    )
    parser.add_argument("--run", default="run4", help="the whole")
    parser.add_argument("--base", default="run1")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="for all of them")
    parser.add_argument("--jobs", type=int, default=1, help="experiments at once")
    parser.add_argument("--out", type=Path, default=Path("ablation"))
    arguments = parser.parse_args()
    root = Path.cwd()
    try:
        named = [arguments.base, arguments.run]
        blocks = repeats.chosen_runs(repeats.values_at(root, "HEAD"), named)
        assert blocks is not None
        runs = variants(arguments.run, arguments.base, blocks, arguments.ways)
        name = "-".join(["ablation", arguments.run, *arguments.ways])
        planned = repeats.planned(arguments.seeds, [], arguments.set, name, runs)
        commits = repeats.run(
            root,
            planned,
            arguments.jobs,
            [arguments.out],
            lambda line: print(line, flush=True),
            [repeats.SCORES],
        )
        frame = repeats.scores(root, planned, commits)
        failed = [one.name for one in planned if one.name not in commits]
        if frame.empty:
            raise RepeatsError("nothing finished")
        words = [f"RUN={arguments.run}", f"BASE_RUN={arguments.base}", f'WAYS="{" ".join(arguments.ways)}"']
        words.append(f'SEEDS="{" ".join(map(str, arguments.seeds))}"')
        if arguments.set:
            words.append(f'SET="{" ".join(arguments.set)}"')
        head = git(root, "rev-parse", "HEAD").decode().strip()
        text = report(frame, arguments.base, arguments.run, " ".join(["make ablation", *words]), head, failed)
        outs.write_text(arguments.out / "report.md", text)
        outs.write_text(arguments.out / "scores.csv", frame.to_csv(index=False, lineterminator="\n"))
    except KeyboardInterrupt:
        return 130
    except (RepeatsError, CommittedError, params_file.ParamsError) as error:
        print(f"ablation: {error}", file=sys.stderr)
        return 2
    print(f"The report: {arguments.out / 'report.md'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
