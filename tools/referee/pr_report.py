"""Report a change of the study, as Markdown for its pull request: knobs, metrics, verdicts, outputs.

Usage: python -m tools.referee.pr_report --base main [--head COMMIT] [--images DIR | --image-url TEMPLATE]

Compares head (by default the working tree) with the commit where it left BASE, as a pull request does. Reads
git alone: neither DVC's cache nor a remote is needed. Exit status 2, with one line on stderr, if the two
cannot be compared.
"""

import argparse
import itertools
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from statsmodels.stats.proportion import confint_proportions_2indep

from tools.referee.committed import (
    Change,
    CommittedError,
    Results,
    Side,
    Stage,
    changes,
    commit_of,
    contradictions,
    git,
    results,
    top,
)

METRICS = {
    "val_macro_f1": "val macro-F1",
    "test_macro_f1": "test macro-F1",
    "val_balanced_accuracy": "val balanced accuracy, %",
    "test_balanced_accuracy": "test balanced accuracy, %",
    "val_accuracy": "val accuracy, %",
    "test_accuracy": "test accuracy, %",
    "train_accuracy": "train accuracy, %",
    "gap": "gap, points",
    "last_epoch_gap": "gap at the last epoch, points",
}
TESTED = ("val_accuracy", "test_accuracy")
BUDGET = 8_000
"""Most characters of one section: GitHub takes comments of 65,536, and strangers' texts have no limit."""

Link = Callable[[Side, str], str]


@dataclass(frozen=True)
class Movement:
    """A run's metric on both sides, as fractions (None: not there). `interval`: 95 %, of the difference in
    accuracy."""

    run: str
    metric: str
    old: float | None
    new: float | None
    interval: tuple[float, float] | None

    def shown(self, value: float | None, sign: str = "") -> str:
        """`value` as text: an F1 to three decimals, a percentage to one."""
        if value is None:
            return "-"
        return f"{value:{sign}.3f}" if self.metric.endswith("f1") else f"{100 * value:{sign}.1f}"

    @property
    def difference(self) -> str:
        """New minus old: `=` where nothing moved, `added` or `removed` where one side lacks it."""
        if self.old is None or self.new is None:
            return "added" if self.old is None else "removed"
        return "=" if self.old == self.new else self.shown(self.new - self.old, "+")

    @property
    def chance(self) -> str:
        """Whether the difference is within chance, that is, its interval covers 0."""
        if self.interval is None:
            return "" if self.difference in ("=", "added", "removed") else "not tested"
        return "within chance" if self.interval[0] <= 0 <= self.interval[1] else "beyond chance"

    @property
    def cells(self) -> list[str]:
        """Row of the comparison table."""
        limits = " ({:+.1f} to {:+.1f})".format(*(100 * x for x in self.interval)) if self.interval else ""
        answer = f"**{self.chance}**" if self.chance == "beyond chance" else self.chance
        values = [self.shown(self.old), self.shown(self.new), self.difference]
        return [literal(self.run), METRICS[self.metric], *values, answer + limits]


def stale(side: Results) -> list[str]:
    """Why a side's numbers do not come from its own params, code and inputs: one line for each difference
    from dvc.lock."""
    knobs, files = [], []
    for name, kind, key, then, current in contradictions(side.knobs, side.lock, side.held):
        if kind == "param":
            said = f"{literal(key)} is {shown(current)} in params.yaml, was {shown(then)} when run"
            knobs.append((said, name))
        else:
            files.append((f"{literal(key)} is not what the run {'read' if kind == 'dep' else 'wrote'}", name))
    stages: dict[str, list[str]] = {}
    for line, name in knobs + files:
        stages.setdefault(line, []).append(name)
    several = {
        line: ", ".join(map(literal, n)) if len(n) < 4 else f"{len(n)} stages" for line, n in stages.items()
    }
    return [f"{line} ({names})" for line, names in several.items()]


def over_images_and_seeds(run: str, metric: str, old: Results, new: Results) -> tuple[float, float]:
    """95 % interval of new minus old accuracy: Newcombe's over images, widened by the seeds' scatter."""
    split = metric.removesuffix("_accuracy")
    scores = [side.summary[run] for side in (old, new)]
    before, after = (getattr(one, metric) for one in scores)
    images = [getattr(side.runs[run].selected, split).images for side in (old, new)]
    low, high = newcombe(before, images[0], after, images[1])
    scatter = [getattr(one, f"{metric}_sd") or 0.0 for one in scores]
    seeds = 1.96 * sum(sd**2 / side.seeds for sd, side in zip(scatter, (old, new), strict=True)) ** 0.5
    middle = after - before
    return middle - math.hypot(middle - low, seeds), middle + math.hypot(high - middle, seeds)


def newcombe(old: float, old_images: int, new: float, new_images: int) -> tuple[float, float]:
    """95 % interval of new minus old accuracy, by Newcombe's method for independent samples."""
    counts = round(new * new_images), new_images, round(old * old_images), old_images
    low, high = confint_proportions_2indep(*counts, method="newcomb", compare="diff")
    return float(low), float(high)


def movements(old: Results, new: Results) -> list[Movement]:
    """Every metric of every run, runs of `new` first."""
    found = []
    for run in [*new.summary, *(r for r in old.summary if r not in new.summary)]:
        for metric in METRICS:
            was, now = (getattr(side.summary.get(run), metric, None) for side in (old, new))
            interval = None
            if metric in TESTED and was is not None and now is not None and was != now:
                interval = over_images_and_seeds(run, metric, old, new)
            if (was, now) != (None, None):
                found.append(Movement(run, metric, was, now, interval))
    return found


def literal(value: Any, html: bool = False) -> str:
    """A stranger's value as code: one line of ASCII that neither Markdown nor GitHub interprets. `html`: for
    a place without Markdown."""
    text = " ".join((value if isinstance(value, str) else json.dumps(value)).split()) or '""'
    text = text if len(text) <= 100 else f"{text[:96]} ..."
    if not html and re.fullmatch(r"""(?:[\w !#%'"()*+,./:;=?\[\]{}~-]|(?<=\w)@)+""", text, re.ASCII):
        return f"`{text}`"
    text = "".join(c if c.isprintable() else "?" for c in text)
    return "<code>" + re.sub(r"[^A-Za-z0-9 ]", lambda c: f"&#{ord(c[0])};", text) + "</code>"


def shown(value: Any) -> str:
    """A value as code, or `absent`."""
    return "absent" if value is None else literal(value)


def within_budget(lines: Sequence[str]) -> str:
    """As many whole lines as BUDGET allows, and how many were left out."""
    sizes = itertools.accumulate(len(line) + 1 for line in lines)
    kept = sum(size <= BUDGET for size in sizes)
    left_out = [] if kept == len(lines) else ["", f"*{len(lines) - kept} more lines are left out here.*"]
    return "\n".join([*lines[:kept], *left_out])


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the cells are escaped already."""
    return within_budget([f"| {' | '.join(cells)} |" for cells in (head, [":--"] * len(head), *rows)])


def folded(summary: str, lines: Sequence[str]) -> str:
    """A list that opens on a click."""
    listed = within_budget([f"- {line}" for line in lines])
    return f"<details><summary>{summary}</summary>\n\n{listed}\n\n</details>"


def alert(kind: str, text: str) -> str:
    """A coloured box: GitHub's alert."""
    return "\n".join(f"> {line}".rstrip() for line in (f"[!{kind}]", *text.splitlines()))


def headline(
    knobs: list[Change], moved: list[Movement], verdicts: list[list[str]], *, old: Results, new: Results
) -> str:
    """The change and the largest movement with it, in one sentence."""
    named = [f"{literal(key)} from {shown(was)} to {shown(now)}" for key, was, now in knobs]
    subject = " and ".join(named) if 0 < len(named) < 3 else f"{len(named) or 'No'} knobs changed"
    parts = []
    both = [m for m in moved if m.old is not None and m.new is not None and m.old != m.new]
    if both:
        top = max([m for m in both if m.interval] or both, key=lambda m: abs((m.new or 0) - (m.old or 0)))
        among = " of validation and test accuracy" if top.interval else ""
        metric, _, unit = METRICS[top.metric].partition(",")
        moved_by = f"{top.difference} points" if unit else top.difference
        answer = f", {top.chance}" if top.interval else ""
        values = f"{top.shown(top.old)} to {top.shown(top.new)}{unit}"
        what = f"{metric} of {literal(top.run)}, {values} ({moved_by}{answer})"
        parts.append(f"the largest movement{among} is {what}")
    runs = [c for c in changes(old.summary, new.summary) if None in c]
    parts += [f"run {literal(run)} is {'new' if was is None else 'gone'}" for run, was, _ in runs[:3]]
    if not parts:
        parts.append("nothing measured changed")
    elif new.best:
        before = "as before" if new.best == old.best else f"before it was {literal(old.best)}"
        f1 = new.summary[new.best].val_macro_f1 or 0
        parts.append(f"the best run by validation is {literal(new.best)} (macro-F1 {f1:.3f}), {before}")
    for run, verdict, was, now, _ in verdicts[:3]:
        parts.append(f"verdict on {run} changed: {verdict} {was}, now {now}")
    if len(verdicts) > 3:
        parts.append(f"{len(verdicts) - 3} more verdicts changed")
    return f"**{subject}**: {'; '.join(parts)}."


def metrics_section(moved: Sequence[Movement]) -> str:
    """The comparison table, with an explanation of its last column."""
    head = ("run", "metric", "old", "new", "difference", "beyond chance? (95 % interval)")
    tested = sum(m.interval is not None for m in moved)
    note = (
        f"{tested} accuracies moved; each is tested by the Newcombe interval of the difference, in points. "
        "It takes both runs for independent samples of images, which is conservative where the images are "
        "the same; the standard deviations over seeds widen it. Of twenty differences that are pure chance, "
        "about one lies beyond it."
    )
    still = {m.run for m in moved} - {m.run for m in moved if m.difference != "="}
    moving = [m.cells for m in moved if m.run not in still]
    parts = [table(head, moving)] if moving else []
    parts.append(note if tested else "No accuracy of validation or test moved.")
    if still:
        rows = table(head, (m.cells for m in moved if m.run in still))
        names = ", ".join(literal(run, html=True) for run in sorted(still))
        parts.append(f"<details><summary>Nothing moved: {names}</summary>\n\n{rows}\n\n</details>")
    return "\n\n".join(parts)


def verdict_rows(old: Results, new: Results) -> list[list[str]]:
    """Rows of the changed verdicts, for runs on both sides: run, verdict, old and new outcome, and the
    numbers that moved."""
    rows = []
    for run in (r for r in new.verdicts if r in old.verdicts):
        was, now = old.verdicts[run], new.verdicts[run]
        outcomes = [{name: v.outcome for name, v in side.items()} for side in (was, now)]
        for name, before, after in changes(*outcomes):
            numbers = [side[name].evidence if name in side else {} for side in (was, now)]
            evidence = "; ".join(
                f"{literal(key)} {' to '.join('absent' if x is None else f'{x:.3f}' for x in both)}"
                for key, *both in changes(*numbers)
            )
            rows.append([literal(run), literal(name), shown(before), shown(after), evidence])
    return rows


def outputs_section(old: Mapping[str, Stage], new: Mapping[str, Stage]) -> str:
    """Outputs whose hash in dvc.lock changed, by stage."""
    was, now = ({n: {o.path: o.md5 for o in s.outs} for n, s in lock.items()} for lock in (old, new))
    lines = []
    for stage, before, after in changes(was, now):
        outs = changes(before or {}, after or {})
        marks = [" added" if a is None else " removed" if b is None else "" for _, a, b in outs]
        paths = [literal(out[0]) + mark for out, mark in zip(outs, marks, strict=True)]
        lines.append(f"{literal(stage)}: {', '.join(paths)}")
    same = len(was.keys() | now.keys()) - len(lines)
    if not lines:
        return f"All {same} stages wrote the same bytes."
    return folded(f"Stages that wrote other bytes: {len(lines)}; the same bytes: {same}", lines)


def figures_section(old: Side, new: Side, link: Link | None) -> str:
    """Figures whose bytes changed, side by side where `link` gives their addresses."""
    figures = [{f: s.read(f) for f in s.files if re.fullmatch(r"plots/[^/]+\.png", f)} for s in (old, new)]
    changed = sorted(changes(*figures))
    if not changed:
        return "No figure changed."
    if link is None:
        names = ", ".join(literal(name) for name, _, _ in changed)
        return within_budget([f"{names} changed; `make pr-report` puts both versions side by side."])
    rows = []
    for name, was, now in changed:
        alt = re.sub(r"[^\w. -]", "_", Path(name).name, flags=re.ASCII)
        before = "not there" if was is None else f"![{alt}, old]({link(old, name)})"
        after = "not there" if now is None else f"![{alt}, new]({link(new, name)})"
        rows.append([f"{literal(name)}<br>{before}", f"{literal(name)}<br>{after}"])
    return table(("old", "new"), rows)


def report(old: Side, new: Side, compared: str, *, link: Link | None) -> str:
    """The whole report. `compared`: line that names the two states. `link`: address of a side's figure."""
    before, after = results(old), results(new)
    knobs, verdicts = changes(before.knobs, after.knobs), verdict_rows(before, after)
    moved, blocks = movements(before, after), []
    if reasons := stale(after):
        why = folded(f"{len(reasons)} differences from what dvc.lock records", reasons)
        said = "**Stale: these numbers are not of this code. Run `dvc repro` and commit what it writes.**"
        blocks.append(alert("WARNING", f"{said}\n{why}"))
    if stale(before):
        blocks.append(alert("NOTE", "The old numbers are stale, too: not all that moved is of this change."))
    blocks.append(headline(knobs, moved, verdicts, old=before, new=after))
    if before.images != after.images:
        blocks.append("**The images differ: levels on the two sides do not compare.**")
    knob_table = table(("key", "old", "new"), [(literal(k), shown(a), shown(b)) for k, a, b in knobs])
    verdict_table = table(("run", "verdict", "old", "new", "evidence, as fractions"), verdicts)
    blocks += ["### Knobs", knob_table if knobs else "No knob changed."]
    blocks += ["### Metrics", metrics_section(moved)]
    blocks += ["### Verdicts", verdict_table if verdicts else "No verdict changed."]
    blocks += ["### Outputs", outputs_section(before.lock, after.lock)]
    blocks += ["### Figures", figures_section(old, new, link), compared]
    return "\n\n".join(blocks)


def sides(base: str, head: str) -> tuple[Side, Side, str]:
    """The commit where head left base, head (empty: the working tree), and a line that names both."""
    root = top(Path())
    (base_name, base_commit), (_, head_commit) = commit_of(root, base), commit_of(root, head or "HEAD")
    fork = git(root, "merge-base", base_commit, head_commit, no=1).decode().strip()
    if not fork:
        raise CommittedError(
            f"{base_name} ({base_commit[:7]}) and {head_commit[:7]} have no common ancestor here: "
            "`git fetch --unshallow` in a shallow clone, else name the branch that the change left"
        )
    new = f"`{head_commit[:7]}`" if head else f"the working tree on `{head_commit[:7]}`"
    compared = f"Old: `{fork[:7]}`, where this change left {literal(base_name)}. New: {new}."
    return Side(root, fork), Side(root, head_commit if head else ""), compared


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", default="main", help="branch that the change targets")
    parser.add_argument("--head", default="", help="commit with the change (default: the working tree)")
    pictures = parser.add_mutually_exclusive_group()
    pictures.add_argument("--images", type=Path, help="folder for both versions of changed figures")
    pictures.add_argument("--image-url", help="web address of a figure, with {commit} and {path}")
    arguments = parser.parse_args()

    def copied(side: Side, path: str) -> str:
        target = arguments.images / ("base" if side is old else "head") / Path(path).name
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(side.read(path))
        except OSError as error:
            raise CommittedError(f"{error}: name another folder with --images") from error
        return quote(os.fsencode(os.path.relpath(target)))

    def addressed(side: Side, path: str) -> str:
        quoted = quote(os.fsencode(path))
        return arguments.image_url.replace("{commit}", side.commit).replace("{path}", quoted)

    if arguments.images:  # remove pictures of an earlier report
        for side in ("base", "head"):
            for picture in (arguments.images / side).glob("*.png"):
                picture.unlink()
    link = copied if arguments.images else addressed if arguments.image_url else None
    try:
        if arguments.image_url and not arguments.head:
            raise CommittedError("--image-url needs --head COMMIT: files of the working tree have no address")
        old, new, compared = sides(arguments.base, arguments.head)
        print(report(old, new, compared, link=link))
    except CommittedError as error:
        print(f"pr_report: {' '.join(str(error).split())[:500]}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
