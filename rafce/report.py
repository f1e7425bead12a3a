"""From the metrics of all runs to the summary, the sentences of the report, and the report as Markdown and
HTML."""

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import markdown
import numpy as np
import pandas as pd
from pydantic import BaseModel

from rafce import scoring
from rafce.taxonomy import RAFCE_COUNTS, SPLITS, components, display

ATTENTION_MARGIN = 0.1
"""Relative heat on two areas that differs by less speaks for neither."""
BIAS_MARGIN = 0.05
"""Shares of predictions and of images that differ by less speak for neither."""

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Study:
    """All that was measured. `runs`, `attention`, `history`: by run name, in the order of params.yaml."""

    params: dict[str, Any]
    classes: tuple[str, ...]
    data: dict[str, Any]
    pretrained: dict[str, Any]
    runs: dict[str, dict[str, Any]]
    attention: dict[str, dict[str, Any]]
    history: dict[str, pd.DataFrame]

    @property
    def titles(self) -> dict[str, str]:
        """Title of each run."""
        return {name: run["title"] for name, run in self.runs.items()}

    @property
    def train_counts(self) -> dict[str, int]:
        """Training images of each class."""
        return {c: self.data["compound"][c]["train"] for c in self.classes}

    @property
    def best(self) -> str:
        """Name of the best run by validation."""
        return scoring.best_run(self.runs)


@dataclass(frozen=True)
class Claim:
    """A claim of the original beside what was measured. `verdict`: supported, not supported, contradicted or
    not measured."""

    claim: str
    measured: str
    verdict: str


def summary(runs: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """The flat metric of the study: run -> name -> value. `gap` = train minus val accuracy."""
    return {
        name: {
            "train_accuracy": run["selected"]["train"]["accuracy"],
            "val_accuracy": run["selected"]["val"]["accuracy"],
            "test_accuracy": run["selected"]["test"]["accuracy"],
            "val_macro_f1": run["selected"]["val"]["macro_f1"],
            "test_macro_f1": run["selected"]["test"]["macro_f1"],
            "gap": run["selected"]["train"]["accuracy"] - run["selected"]["val"]["accuracy"],
            "last_epoch_gap": run["last"]["train"]["accuracy"] - run["last"]["val"]["accuracy"],
            "selected_epoch": run["selected"]["epoch"],
        }
        for name, run in runs.items()
    }


def curves_csv(history: Mapping[str, pd.DataFrame]) -> str:
    """Training curves of all runs in long form: run, split, epoch, accuracy, loss."""
    parts = [
        frame.assign(run=name, split=split, accuracy=frame[f"{split}_accuracy"], loss=frame[f"{split}_loss"])
        for name, frame in history.items()
        for split in ("train", "val")
    ]
    columns = ["run", "split", "epoch", "accuracy", "loss"]
    return pd.concat(parts)[columns].to_csv(index=False, lineterminator="\n")


def per_class_csv(runs: Mapping[str, dict[str, Any]]) -> str:
    """Validation F1 of every class and run in long form: run, class, f1."""
    rows = [
        {"run": name, "class": label, "f1": round(scores["f1"], 6)}
        for name, run in runs.items()
        for label, scores in run["selected"]["val"]["per_class"].items()
    ]
    return pd.DataFrame(rows).to_csv(index=False, lineterminator="\n")


def class_bias(
    run: Mapping[str, Any], classes: Sequence[str], train_counts: Mapping[str, int]
) -> dict[str, Any]:
    """How a run treats frequent and rare classes, on validation.

    Returns recall of the most and least frequent training class, the share of predictions and of images that
    fall on the three most frequent classes, and the classes never predicted.
    """
    confusion = np.array(run["selected"]["val"]["confusion"])
    by_count = sorted(classes, key=lambda c: -train_counts[c])
    frequent = [classes.index(c) for c in by_count[:3]]
    per_class = run["selected"]["val"]["per_class"]
    present = [c for c in by_count if per_class[c]["support"]]
    return {
        "largest": present[0],
        "largest_recall": per_class[present[0]]["recall"],
        "smallest": present[-1],
        "smallest_recall": per_class[present[-1]]["recall"],
        "predicted_frequent": float(confusion[:, frequent].sum() / confusion.sum()),
        "true_frequent": float(confusion[frequent].sum() / confusion.sum()),
        "frequent": [classes[i] for i in frequent],
        "never": [c for i, c in enumerate(classes) if not confusion[:, i].any()],
    }


def confusions(run: Mapping[str, Any], classes: Sequence[str], most: int = 5) -> dict[str, Any]:
    """The most frequent confusions of a run on validation, and how many errors share a basic emotion with the
    truth.

    `expected` is that share if each wrong answer had been drawn with the frequencies of the run's own
    predictions.
    """
    confusion = np.array(run["selected"]["val"]["confusion"], float)
    wrong = confusion * (1 - np.eye(len(classes)))
    shares = np.array([[len(set(components(a)) & set(components(b))) for b in classes] for a in classes]) > 0
    drawn = np.tile(confusion.sum(0), (len(classes), 1)) * (1 - np.eye(len(classes)))
    drawn = drawn / drawn.sum(1, keepdims=True).clip(1e-12) * wrong.sum(1, keepdims=True)
    pairs = [
        (int(wrong[i, j]), i, j) for i in range(len(classes)) for j in range(len(classes)) if wrong[i, j]
    ]
    pairs.sort(key=lambda p: (-p[0], p[1], p[2]))
    errors = wrong.sum()
    return {
        "errors": int(errors),
        "share": float((wrong * shares).sum() / errors) if errors else 0.0,
        "expected": float((drawn * shares).sum() / errors) if errors else 0.0,
        "pairs": [
            {"true": classes[i], "predicted": classes[j], "count": n, "share": n / confusion[i].sum()}
            for n, i, j in pairs[:most]
        ],
    }


def facts(study: Study) -> dict[str, Any]:
    """Everything the template prints, computed from the measurements."""
    return {
        "study": study,
        "summary": summary(study.runs),
        "best": study.best,
        "totals": {
            role: {s: sum(row[s] for row in study.data[role].values()) for s in SPLITS}
            for role in ("compound", "basic")
        },
        "published": RAFCE_COUNTS,
        "bias": {
            name: class_bias(run, study.classes, study.train_counts) for name, run in study.runs.items()
        },
        "confusions": {name: confusions(run, study.classes) for name, run in study.runs.items()},
        "claims": claims(study),
        "ranking": sorted(study.runs, key=lambda n: -study.runs[n]["selected"]["val"]["accuracy"]),
        "params": {k: v.model_dump() if isinstance(v, BaseModel) else v for k, v in study.params.items()},
    }


def claims(study: Study) -> list[Claim]:
    """The original's claims, each beside the measurement that decides it here, or said to be not measured."""
    found: list[Claim] = []

    def verdict_claim(name: str, verdict: str, claim: str, also: str) -> None:
        if name in study.runs:
            match = next(v for v in study.runs[name]["verdicts"] if v["name"] == verdict)
            found.append(Claim(claim, match["evidence"], match["outcome"]))
            found.append(Claim(also, "no measurement in this report decides it", "not measured"))

    verdict_claim(
        "run1",
        "overfitting",
        "Run 1 overfits (train 87 %, validation 43 %)",
        "Run 1 memorised background noise, lighting and specific pixels",
    )
    verdict_claim(
        "run2",
        "underfitting",
        "Run 2 underfits (validation 36 %, gap about 10 points)",
        "Generic ImageNet features do not suffice for subtle classes such as Happily disgusted",
    )
    if "run3" in study.runs:
        forgetting = next(v for v in study.runs["run3"]["verdicts"] if v["name"] == "catastrophic forgetting")
        found.append(
            Claim(
                "Run 3 forgets catastrophically (validation 31 %): fine-tuning destroyed what was "
                "pre-trained",
                forgetting["evidence"],
                forgetting["outcome"],
            )
        )
    found.append(_attention_claim(study))
    found.extend(_bias_claims(study))
    found.append(
        Claim(
            "Emotions that share an obvious geometry (open mouth) are confused",
            "; ".join(
                f"{name}: {100 * c['share']:.0f} % of errors share a basic emotion with the truth, "
                f"{100 * c['expected']:.0f} % if drawn by frequency"
                for name, c in ((n, confusions(r, study.classes)) for n, r in study.runs.items())
            )
            + ". Geometry itself is not measured",
            "not measured",
        )
    )
    found.append(
        Claim(
            "Without millions of images a deep CNN cannot learn these micro-features",
            "one data size only; it needs a learning curve",
            "not measured",
        )
    )
    return found


def _attention_claim(study: Study) -> Claim:
    claim = "The maps often light up on background or hair rather than on eyes and mouth"
    if any(a["regions"] != "exact" for a in study.attention.values()):
        return Claim(
            claim, "no region maps for these images: only centre against border is known", "not measured"
        )
    if not all(a["shares"] for a in study.attention.values()):
        return Claim(claim, "all maps of a run are empty", "not measured")
    texts, differences = [], []
    for name, attention in study.attention.items():
        ratio = {}
        for group, areas in (("away", ("background", "hair")), ("facial", ("eyes_brows", "mouth"))):
            heat = sum(attention["shares"][a]["heat"] for a in areas)
            area = sum(attention["shares"][a]["area"] for a in areas)
            if area == 0:
                return Claim(claim, f"these images show none of {' and '.join(areas)}", "not measured")
            ratio[group] = heat / area
        differences.append(ratio["away"] - ratio["facial"])
        texts.append(
            f"{name}: {ratio['away']:.2f} on background and hair, {ratio['facial']:.2f} on eyes, brows, mouth"
        )
    return Claim(
        claim,
        "heat relative to area (1 = no preference): " + "; ".join(texts),
        _direction(differences, ATTENTION_MARGIN),
    )


def _direction(differences: Sequence[float], margin: float) -> str:
    """What several runs say together: a difference within `margin` speaks for neither side."""
    yes, no = (sum(sign * d > margin for d in differences) for sign in (1, -1))
    if yes == len(differences):
        return "supported"
    if no == len(differences):
        return "contradicted"
    return "supported for some runs" if yes else "not supported"


def _bias_claims(study: Study) -> list[Claim]:
    found = []
    train_counts = study.train_counts
    name = "Angrily_Disgusted"
    if name in study.classes:
        rank = sorted(train_counts, key=lambda c: -train_counts[c]).index(name) + 1
        published = sorted(RAFCE_COUNTS, key=lambda c: -RAFCE_COUNTS[c][0]).index(name) + 1
        found.append(
            Claim(
                "Angrily disgusted is a rare class",
                f"number {rank} of {len(train_counts)} by training images here ({train_counts[name]}), "
                f"number "
                f"{published} of 14 in RAF-CE as published ({RAFCE_COUNTS[name][0]})",
                "contradicted"
                if rank <= 3
                else "supported"
                if rank > len(train_counts) / 2
                else "not supported",
            )
        )
        scores = {n: r["selected"]["val"]["per_class"][name] for n, r in study.runs.items()}
        if all(s["support"] for s in scores.values()):
            failing = sum(s["recall"] == 0 for s in scores.values())
            some = "supported for some runs" if failing else "contradicted"
            found.append(
                Claim(
                    "The network fails totally on Angrily disgusted",
                    "recall on validation: "
                    + ", ".join(f"{n} {100 * s['recall']:.0f} %" for n, s in scores.items()),
                    "supported" if failing == len(scores) else some,
                )
            )
        else:
            found.append(
                Claim(
                    "The network fails totally on Angrily disgusted",
                    "validation holds no such image",
                    "not measured",
                )
            )
    bias = {n: class_bias(r, study.classes, train_counts) for n, r in study.runs.items()}
    found.append(
        Claim(
            "The network is biased towards the frequent classes",
            "predictions on the three most frequent classes against the images there: "
            + "; ".join(
                f"{n} {100 * b['predicted_frequent']:.1f} % against {100 * b['true_frequent']:.1f} %"
                for n, b in bias.items()
            ),
            _direction([b["predicted_frequent"] - b["true_frequent"] for b in bias.values()], BIAS_MARGIN),
        )
    )
    return found


def markdown_report(study: Study) -> str:
    """The report as Markdown; figures are linked relative to `report/`, galleries are left to the HTML."""
    return _environment().get_template("report.md.j2").render(facts(study), galleries=False)


def html_report(study: Study, figures: Mapping[str, bytes], galleries: Mapping[str, bytes]) -> str:
    """The report as one self-contained HTML file.

    Args:
        figures: path from the root -> PNG bytes. galleries: run -> JPEG bytes.
    """
    body = markdown.markdown(
        _environment().get_template("report.md.j2").render(facts(study), galleries=True),
        extensions=["tables", "toc", "fenced_code"],
    )
    for name, picture in figures.items():
        body = body.replace(f'src="../{name}"', f'src="{_data_uri(picture, "png")}"')
    for name, picture in galleries.items():
        body = body.replace(f'src="../plots/runs/{name}/gallery.jpg"', f'src="{_data_uri(picture, "jpeg")}"')
    body = body.replace("<table>", '<div class="table"><table>').replace("</table>", "</table></div>")
    if 'src="../' in body:
        raise ValueError("report.html would not be self-contained: a picture is linked and not embedded")
    return _environment().get_template("report.html.j2").render(title=study.params["report"].title, body=body)


def _data_uri(picture: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - Markdown; names come from the taxonomy and from params.yaml
    )
    environment.filters["percent"] = lambda x: f"{round(100 * round(x, 6), 1) + 0.0:.1f}"  # + 0.0: no "-0.0"
    environment.filters["cell"] = lambda text: html.escape(text, quote=False).replace("|", "\\|")
    environment.filters["display"] = display
    return environment
