"""How the runs' errors fall with the number of training images: experiments, a power law, what it predicts.

Usage: python -m tools.learning_curve --fractions 0.125 0.25 0.5 1 --seeds 0 1 2 [--jobs 2]

Each fraction of the training images (`train.fraction`: of each class, the smaller ones part of the larger) is
trained with each seed, as `tools.repeats` does: through DVC's queue, and run again it goes on. Writes
OUT/report.md, scores.csv and curve.png, and learning_curve.json, by which the report of a study with
these images and settings decides on the claim that it takes millions. Exit statuses as of `tools.repeats`.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import statsmodels.api as sm
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from emotions import params_file
from emotions.evidence.claims import learning_settings
from emotions.plotting import plt, png
from emotions.reporting.figures import COLOURS, MARKERS
from emotions.runtime import outs
from tools import repeats
from tools.referee.committed import CommittedError, git
from tools.repeats import Repeat, RepeatsError

METRIC: Final = "test_accuracy"
LEVEL: Final = 0.05
"""A curve that is bent beyond chance at this level is no power law, and nothing is extrapolated from it."""
AHEAD: Final = (2, 10)
"""Times as many images as there are, for which the law is asked."""
MILLION: Final = 1_000_000
"""Images for which it is asked, too, since the original's claim is about them."""


@dataclass(frozen=True)
class Law:
    """error = scale * images ^ -exponent, fitted to the logarithms by least squares.

    `interval`: 95 % limits of the exponent. `bend_p`: of the square of log(images), were it added: small
    where the curve is no power law; None where three sizes are too few to tell. `mean_at`: by number of
    images, the error that the law predicts and the 95 % limits of its mean.
    """

    scale: float
    exponent: float
    interval: tuple[float, float]
    bend_p: float | None
    mean_at: dict[int, tuple[float, float, float]]

    @property
    def holds(self) -> bool:
        """Whether nothing says that the curve is bent."""
        return self.bend_p is None or self.bend_p >= LEVEL


def power_law(images: Sequence[int], errors: Sequence[float], asked: Sequence[int]) -> Law:
    """Fit a power law, as Hestness et al. 2017 ("Deep learning scaling is predictable, empirically") find it
    between too few images to learn and the error that no data take away.

    Args:
        images, errors: one each of every training; errors in (0, 1]. asked: numbers of images to predict for.

    Raises:
        ValueError: fewer than three sizes, or an error of 0, which has no logarithm.
    """
    sizes = np.unique(images)
    if len(sizes) < 3:
        raise ValueError(f"a curve needs three sizes of training set, here are {len(sizes)}")
    if min(errors) <= 0:
        raise ValueError("an error of 0 has no logarithm: a power law never gets there")
    x, y = np.log(np.asarray(images, float)), np.log(np.asarray(errors, float))
    fit = sm.OLS(y, sm.add_constant(x)).fit()
    low, high = fit.conf_int(0.05)[1]
    bend = None
    if len(sizes) > 3:
        centred = x - x.mean()
        bend = float(sm.OLS(y, sm.add_constant(np.column_stack([centred, centred**2]))).fit().pvalues[2])
    at = np.log(np.asarray(asked, float))
    frame = fit.get_prediction(np.column_stack([np.ones_like(at), at])).summary_frame(0.05)
    predicted = np.exp(frame[["mean", "mean_ci_lower", "mean_ci_upper"]].to_numpy())
    mean_at = {n: (float(a), float(b), float(c)) for n, (a, b, c) in zip(asked, predicted, strict=True)}
    return Law(
        float(np.exp(fit.params[0])), float(-fit.params[1]), (float(-high), float(-low)), bend, mean_at
    )


def planned(
    fractions: Sequence[float],
    seeds: Sequence[int],
    changes: Sequence[str] = (),
    runs: dict[str, Any] | None = None,
) -> list[Repeat]:
    """Every fraction with every seed; `changes`, `runs` as of `tools.repeats.planned`.

    Raises:
        RepeatsError: fewer than three fractions, one outside (0, 1], or one twice.
    """
    if len(set(fractions)) < 3 or len(set(fractions)) < len(fractions):
        raise RepeatsError("a curve needs three different fractions or more")
    if not all(0 < f <= 1 for f in fractions):
        raise RepeatsError("fractions are of the training images: above 0, at most 1")
    return [
        one
        for fraction in fractions
        for one in repeats.planned(
            seeds, [], [*changes, f"train.fraction={fraction}"], f"curve-{fraction:g}", runs
        )
    ]


def laws(frame: pd.DataFrame) -> dict[str, Law]:
    """The law of each run."""
    found = {}
    for run, own in frame.groupby("run", sort=False):
        most = int(own["images"].max())
        found[str(run)] = power_law(
            own["images"].tolist(), (1 - own[METRIC]).tolist(), [most, *(k * most for k in AHEAD), MILLION]
        )
    return found


def for_report(root: Path, frame: pd.DataFrame, commits: dict[str, str]) -> dict[str, Any]:
    """What the study's report reads: the laws, and of which images and settings they are."""
    commit = next(iter(commits.values()))
    values = repeats.values_at(root, commit)
    run = next(iter(values["runs"]))
    data = json.loads(git(root, "show", f"{commit}:{repeats.METRICS.format(run=run)}"))["data"]
    found = {}
    for name, law in laws(frame).items():
        predicted = [
            {"images": n, "accuracy": 1 - error, "low": 1 - high, "high": 1 - low}
            for n, (error, low, high) in law.mean_at.items()
        ]
        found[name] = {
            "images": int(frame[frame["run"] == name]["images"].max()),
            "exponent": law.exponent,
            "interval": law.interval,
            "bend_p": law.bend_p,
            "holds": law.holds,
            "predicted": predicted,
        }
    return {"data": data, "settings": learning_settings(values), "runs": found}


def report(frame: pd.DataFrame, command: str, commit: str, failed: Sequence[str]) -> str:
    """The report as Markdown."""
    sizes = sorted(frame["images"].unique())
    seeds = frame["seed"].nunique()
    lines = ["# Accuracy by number of training images", "", f"`{command}` at commit `{commit[:12]}`.", ""]
    if failed:
        lines += [f"**Failed and left out: {', '.join(failed)}** (`dvc queue logs NAME`).", ""]
    lines += ["![Test error by training images, and the fitted laws](curve.png)", ""]
    lines += [f"Test accuracy, %, mean of {seeds} seeds (lowest to highest):", ""]
    lines += [
        "| run | " + " | ".join(f"{n} images" for n in sizes) + " |",
        "|:--" + "|--:" * len(sizes) + "|",
    ]
    for run, own in frame.groupby("run", sort=False):
        cells = []
        for n in sizes:
            values = 100 * own[own["images"] == n][METRIC]
            cells.append(
                f"{values.mean():.1f} ({values.min():.1f} to {values.max():.1f})" if len(values) else ""
            )
        lines.append(f"| {run} | " + " | ".join(cells) + " |")
    lines += ["", "## The law", ""]
    lines += [
        "error = a * images^-b, least squares of the logarithms, every seed a point. In brackets 95%",
        "intervals: of the exponent, and of the mean accuracy that the law predicts. They assume that the",
        "law goes on, which no data here can show; where the curve is bent beyond chance",
        f"(p < {LEVEL:g}) nothing is predicted.",
        "",
        "| run | b | bent? p | at most images here | "
        + " | ".join(f"{k} times as many" for k in AHEAD)
        + " |",
        "|:--|--:|--:|--:|" + "--:|" * len(AHEAD),
    ]
    for run, law in laws(frame).items():
        cells = [f"{law.exponent:.2f} ({law.interval[0]:.2f} to {law.interval[1]:.2f})"]
        cells.append("too few sizes" if law.bend_p is None else f"{law.bend_p:.3f}")
        most = int(frame[frame["run"] == run]["images"].max())
        for n in (most, *(k * most for k in AHEAD)):
            error, low, high = law.mean_at[n]
            shown = f"{100 * (1 - error):.1f} ({100 * (1 - high):.1f} to {100 * (1 - low):.1f})"
            cells.append(shown if law.holds else "*not a power law*")
        lines.append(f"| {run} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def picture(frame: pd.DataFrame) -> bytes:
    """Test error by training images on logarithmic axes: every training a dot, the laws as lines, broken
    beyond the data (PNG)."""
    figure, axes = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
    fitted = laws(frame)
    for i, (run, own) in enumerate(frame.groupby("run", sort=False)):
        law, colour = fitted[str(run)], COLOURS[i % len(COLOURS)]
        axes.plot(
            own["images"], 100 * (1 - own[METRIC]), MARKERS[i % len(MARKERS)], color=colour, alpha=0.6, mew=0
        )
        few, most = own["images"].min(), own["images"].max()
        inside, beyond = np.geomspace(few, most, 50), np.geomspace(most, AHEAD[-1] * most, 50)
        axes.plot(inside, 100 * law.scale * inside**-law.exponent, color=colour, label=str(run))
        if law.holds:
            axes.plot(beyond, 100 * law.scale * beyond**-law.exponent, color=colour, ls="--", lw=1)
    axes.set(xscale="log", yscale="log", xlabel="training images", ylabel="test error, %")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    return png(figure)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, prog="tools.learning_curve"
    )
    parser.add_argument("--fractions", type=float, nargs="+", default=[0.125, 0.25, 0.5, 1.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    repeats.add_arguments(parser)
    parser.add_argument("--out", type=Path, default=Path("learning_curve"))
    arguments = parser.parse_args()
    root = Path.cwd()
    try:
        blocks = repeats.chosen_runs(repeats.values_at(root, "HEAD"), arguments.runs)
        experiments = planned(arguments.fractions, arguments.seeds, arguments.set, blocks)
        stages = [repeats.SCORES] if arguments.scores_only else []
        commits = repeats.run(
            root,
            experiments,
            arguments.jobs,
            [arguments.out],
            lambda x: print(x, flush=True),
            stages,
        )
        frame = repeats.scores(root, experiments, commits)
        failed = [one.name for one in experiments if one.name not in commits]
        fractions, seeds = (
            " ".join(f"{x:g}" for x in given) for given in (arguments.fractions, arguments.seeds)
        )
        command = f'make learning-curve FRACTIONS="{fractions}" SEEDS="{seeds}"'
        command = " ".join([command, *repeats.typed(arguments)])
        text = report(frame, command, git(root, "rev-parse", "HEAD").decode().strip(), failed)
        outs.write_text(arguments.out / "report.md", text)
        outs.write_text(arguments.out / "scores.csv", frame.to_csv(index=False, lineterminator="\n"))
        outs.write_bytes(arguments.out / "curve.png", picture(frame))
        outs.write_json(root / repeats.CURVE, for_report(root, frame, commits))
    except KeyboardInterrupt:
        return 130
    except (RepeatsError, CommittedError, params_file.ParamsError, ValueError) as error:
        print(f"learning_curve: {error}", file=sys.stderr)
        return 2
    print(
        f"The report: {arguments.out / 'report.md'}; {repeats.CURVE} decides in the study's own: "
        "dvc repro report"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
