"""How far the study's numbers move from seed to seed: scores in, report and picture out."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy import stats

from emotions.evidence.intervals import holm, mean_interval
from emotions.evidence.knobs import DiagnosisParams
from emotions.evidence.verdicts import unstable
from emotions.plotting import plt, png
from emotions.reporting.figures import COLOURS, MARKERS

METRICS: Final = {
    "train_accuracy": "train accuracy, %",
    "val_accuracy": "validation accuracy, %",
    "test_accuracy": "test accuracy, %",
    "val_macro_f1": "validation macro-F1",
    "test_macro_f1": "test macro-F1",
}
TESTED: Final = ("val_accuracy", "test_accuracy", "val_macro_f1", "test_macro_f1")
"""By which runs are compared."""
LEVEL: Final = 0.05
"""At which a comparison named in advance is decided."""
ORIGINAL: Final = ("run1", "run2", "run3")
"""The original's order, by validation accuracy: 43, 36 and 31 %."""


@dataclass(frozen=True)
class Spread:
    """Of one number over seeds: mean, its 95 % limits (Student's t), and the standard deviation."""

    mean: float
    interval: tuple[float, float]
    deviation: float


def spread(values: Sequence[float]) -> Spread:
    """Raises:
    ValueError: fewer than two values.
    """
    found = mean_interval(values)
    low, high = found["interval"]
    return Spread(found["mean"], (low, high), float(np.std(values, ddof=1)))


def pairs(frame: pd.DataFrame, metric: str) -> list[dict[str, Any]]:
    """Every run against every later one on the same experiments.

    Returns:
        For each pair `first`, `second`; `wins`, `ties`, `losses` of the first; the `difference`, first less
        second, as a `Spread`; `p` of the paired t test, Holm's adjustment over the pairs of this metric; None
        where the difference does not vary.
    """
    table = frame.pivot(index="experiment", columns="run", values=metric)
    found: list[dict[str, Any]] = []
    for first, second in itertools.combinations(dict.fromkeys(frame["run"]), 2):
        both = table[[first, second]].dropna()
        if len(both) < 2:
            continue
        differences = (both[first] - both[second]).round(12)
        p = float(stats.ttest_rel(both[first], both[second]).pvalue) if np.ptp(differences) > 0 else None
        found.append(
            {
                "first": first,
                "second": second,
                "wins": int((differences > 0).sum()),
                "ties": int((differences == 0).sum()),
                "losses": int((differences < 0).sum()),
                "difference": spread(differences.tolist()),
                "p": p,
            }
        )
    adjusted = holm({str(i): one["p"] for i, one in enumerate(found) if one["p"] is not None})
    for number, value in adjusted.items():
        found[int(number)]["p"] = value
    return found


def in_original_order(frame: pd.DataFrame) -> tuple[int, int] | None:
    """Experiments in which runs 1, 2 and 3 come in that order by validation accuracy, of how many; None where
    the study lacks one of them."""
    table = frame.pivot(index="experiment", columns="run", values="val_accuracy")
    if not set(ORIGINAL) <= set(table):
        return None
    one, two, three = (table[run] for run in ORIGINAL)
    return int(((one > two) & (two > three)).sum()), len(table)


def in_advance(frame: pd.DataFrame, first: str, second: str, metric: str) -> str:
    """The comparison that was named before the numbers were there, as a sentence.

    Raises:
        ValueError: a run or metric that the scores do not have.
    """
    if metric not in METRICS:
        raise ValueError(f"{metric} is no metric; it may be {', '.join(METRICS)}")
    table = frame.pivot(index="experiment", columns="run", values=metric)
    if missing := [run for run in (first, second) if run not in table]:
        raise ValueError(f"{missing[0]} is none of the runs {', '.join(map(str, table))}")
    found = next(
        pair
        for pair in pairs(frame[frame["run"].isin([first, second])], metric)
        if {pair["first"], pair["second"]} == {first, second}
    )
    difference, sign = found["difference"], 1 if found["first"] == first else -1
    low, high = sorted(sign * limit for limit in difference.interval)
    wins = found["wins"] if sign == 1 else found["losses"]
    p = found["p"]
    verdict = "no difference beyond chance"
    if p is not None and p < LEVEL:
        verdict = f"**{first if sign * difference.mean > 0 else second} is better**"
    by = with_interval(sign * difference.mean, (low, high), metric, "+")
    return (
        f"Named in advance: {first} less {second}, {METRICS[metric]}: {by}, {first} better in {wins} of "
        f"{len(table)}; paired t test, {_p(p)}: {verdict}."
    )


def against(frame: pd.DataFrame, other: pd.DataFrame, name: str) -> list[str]:
    """Each run less the same run in other scores, seed by seed, as lines of the report.

    Raises:
        ValueError: no run and seed that both have.
    """
    keys = ["run", "seed", "data_seed"]
    both = frame.astype({"data_seed": float}).merge(
        other.astype({"data_seed": float}), on=keys, suffixes=("", "_other")
    )
    if both.empty:
        raise ValueError(f"{name} has no run and seed of these")
    lines = [f"## Against {name}, seed by seed", ""]
    lines += [
        "| run | metric | seeds | here | there | better here | mean difference (95% interval) | p |",
        "|:--|:--|--:|--:|--:|--:|--:|--:|",
    ]
    for run, own in both.groupby("run", sort=False):
        for metric, title in METRICS.items():
            here, there = own[metric], own[f"{metric}_other"]
            differences = (here - there).round(12)
            cells = [str(len(own)), shown(here.mean(), metric), shown(there.mean(), metric)]
            cells.append(str(int((differences > 0).sum())))
            p = None
            if len(own) < 2:
                cells.append(shown(differences.iloc[0], metric, "+"))
            else:
                one = spread(differences.tolist())
                cells.append(with_interval(one.mean, one.interval, metric, "+"))
                p = float(stats.ttest_rel(here, there).pvalue) if np.ptp(differences) > 0 else None
            lines.append(f"| {run} | {title} | " + " | ".join([*cells, _cell(p)]) + " |")
    return [*lines, "", "Paired t test over seeds, not adjusted.", ""]


def _pairwise(frame: pd.DataFrame) -> list[str]:
    """The tests between runs, as a section; none where there is one run."""
    if frame["run"].nunique() < 2:
        return []
    lines = ["", "## Run against run, seed by seed", ""]
    lines.append(
        "| first, second | metric | first better, equal, worse | mean difference (95% interval) | p, Holm |"
    )
    lines.append("|:--|:--|--:|--:|--:|")
    for metric in TESTED:
        for pair in pairs(frame, metric):
            difference = pair["difference"]
            p = _cell(pair["p"])
            counts = f"{pair['wins']}, {pair['ties']}, {pair['losses']}"
            lines.append(
                f"| {pair['first']}, {pair['second']} | {METRICS[metric]} | {counts} | "
                f"{with_interval(difference.mean, difference.interval, metric, '+')} | {p} |"
            )
    return [*lines, "", "Paired t test over seeds; Holm's adjustment over the pairs of a metric."]


def report(
    frame: pd.DataFrame,
    thresholds: DiagnosisParams,
    command: str,
    commit: str,
    failed: Sequence[str],
    named_in_advance: Sequence[str] | None = None,
    compared: Sequence[str] = (),
) -> str:
    """The report as Markdown.

    Args:
        frame: as of `tools.repeats.scores`. command: what makes it anew. commit: of code and data.
        failed: experiments without scores. named_in_advance: as of `in_advance`.
        compared: lines of `against`.
    """
    experiments = frame.drop_duplicates("experiment")
    several_data = experiments.data_seed.nunique() > 1
    seeds = ", ".join(map(str, dict.fromkeys(experiments.seed)))
    of_data = (
        f", data seeds {', '.join(str(int(s)) for s in experiments.data_seed.unique())}"
        if several_data
        else ""
    )
    varies = (
        "Training and the drawn faces differ between them."
        if several_data
        else "The images are the same in all of them: intervals say how far chance in training moves a "
        "number on these images, not what other images would give."
    )
    lines = [
        f"# Over {len(experiments)} seeds",
        "",
        f"`{command}` at commit `{commit[:12]}`; seeds {seeds}{of_data}. {varies}",
        "",
    ]
    if failed:
        lines += [f"**Failed and left out: {', '.join(failed)}** (`dvc queue logs NAME`).", ""]
    if named_in_advance:
        lines += [in_advance(frame, *named_in_advance), ""]
    lines += ["![Each seed, mean and interval by run](repeats.png)", "", "## Each run", ""]
    lines += [
        "| run | metric | mean (95% interval) | standard deviation | lowest to highest |",
        "|:--|:--|--:|--:|--:|",
    ]
    for run, own in frame.groupby("run", sort=False):
        for metric, title in METRICS.items():
            values = own[metric].dropna()
            if len(values) < 2:
                continue
            one = spread(values.tolist())
            cells = [with_interval(one.mean, one.interval, metric), shown(one.deviation, metric)]
            cells.append(f"{shown(values.min(), metric)} to {shown(values.max(), metric)}")
            lines.append(f"| {run} | {title} | " + " | ".join(cells) + " |")
    lines += [*_pairwise(frame), ""]
    lines += compared
    ordered = in_original_order(frame)
    if ordered:
        lines += [
            f"The original's order, run 1 before run 2 before run 3 by validation accuracy, holds in "
            f"{ordered[0]} of {ordered[1]}.",
            "",
        ]
    lines += ["## Is it unstable?", ""]
    lines += [
        "Standard deviation of the validation accuracy against `diagnosis.seed_deviation`, "
        f"{100 * thresholds.seed_deviation:.1f} points, 95% interval included:",
        "",
    ]
    for run, own in frame.groupby("run", sort=False):
        verdict = unstable(own.val_accuracy.tolist(), thresholds)
        numbers = verdict.evidence
        lines.append(
            f"- {run}: **{verdict.outcome}** ({100 * numbers['deviation']:.1f} points, "
            f"{100 * numbers['low']:.1f} to {100 * numbers['high']:.1f})"
        )
    return "\n".join(lines) + "\n"


def picture(frame: pd.DataFrame) -> bytes:
    """Every seed a dot, mean and 95 % interval beside them, by run: accuracy and macro-F1 (PNG)."""
    runs = list(dict.fromkeys(frame["run"]))
    figure, panels = plt.subplots(1, len(TESTED), figsize=(3.0 * len(TESTED), 3.6), layout="constrained")
    for panel, metric in zip(panels, TESTED, strict=True):
        scale = 1 if metric.endswith("f1") else 100
        for i, run in enumerate(runs):
            own = frame[frame["run"] == run]
            values = scale * own[metric].dropna()
            colour, marker = COLOURS[i % len(COLOURS)], MARKERS[i % len(MARKERS)]
            panel.plot([i - 0.15] * len(values), values, marker, color=colour, ms=5, alpha=0.6, mew=0)
            one = spread(values.tolist())
            reach = one.interval[1] - one.mean
            panel.errorbar(i + 0.15, one.mean, reach, fmt="_", color=colour, ms=12, capsize=4)
        panel.set(
            title=METRICS[metric], xticks=range(len(runs)), xticklabels=runs, xlim=(-0.6, len(runs) - 0.4)
        )
        panel.title.set_fontsize(10)
        panel.grid(axis="y", alpha=0.3)
    return png(figure)


def _p(p: float | None) -> str:
    return "p not defined" if p is None else "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _cell(p: float | None) -> str:
    return "-" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def shown(value: float, metric: str, sign: str = "") -> str:
    """A score or a difference of two, as reports print it: accuracies in points, macro-F1 as it is."""
    return f"{value:{sign}.3f}" if metric.endswith("f1") else f"{100 * value:{sign}.1f}"


def with_interval(value: float, limits: tuple[float, float], metric: str, sign: str = "") -> str:
    """The same with its 95 % limits."""
    low, high = (shown(limit, metric, sign) for limit in limits)
    return f"{shown(value, metric, sign)} ({low} to {high})"
