"""Tabulate, diagnose and draw what was measured: summary, verdicts, figures, the report as Markdown and HTML.

Usage: python -m stages.report
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from rafce import outs, render, report
from rafce.claims import Study, read_claims
from rafce.diagnosis import DiagnosisParams, diagnose, evidence
from rafce.images import PreprocessParams
from rafce.params import Group, RunTitles
from rafce.sources import DataParams
from rafce.taxonomy import compound_classes
from rafce.wording import Language, Wording
from stages import command


class ReportParams(Group):
    """`title`: headline of the report; `language`: what it is written in, its figures too."""

    title: str = Field(min_length=1)
    language: Language


PARAMS = {
    "seed": int,
    "data": DataParams,
    "preprocess": PreprocessParams,
    "pretrained": dict[str, Any],
    "train": dict[str, Any],
    "runs": RunTitles,
    "uncertainty": dict[str, Any],
    "diagnosis": DiagnosisParams,
    "report": ReportParams,
}


def read_json(path: str) -> Any:
    """A JSON file that an earlier stage wrote."""
    return json.loads(Path(path).read_text())


def main(values: dict[str, Any]) -> None:
    runs = values["runs"]
    measured = {name: read_json(f"metrics/runs/{name}.json") for name in runs}
    probes = {name: read_json(f"metrics/probe/{name}.json") for name in runs}
    history = {name: pd.read_csv(f"plots/runs/{name}/history.csv") for name in runs}
    verdicts = {
        name: diagnose(evidence(measured[name], history[name], probes[name]), values["diagnosis"])
        for name in runs
    }
    study = Study(
        params=values,
        classes=compound_classes(values["data"].classes),
        data=read_json("metrics/data.json"),
        pretrained=read_json("metrics/pretrained.json"),
        runs={name: run | {"verdicts": verdicts[name]} for name, run in measured.items()},
        attention={name: read_json(f"metrics/attention/{name}.json") for name in runs},
        faithfulness={name: read_json(f"metrics/faithfulness/{name}.json") for name in runs},
        reference=read_json("metrics/reference.json"),
        probes=probes,
        comparisons=read_json("metrics/comparisons.json"),
        ledger=read_claims(Path("claims.yaml")),
        curve=read_json("learning_curve.json"),
        history=history,
    )
    outs.write_json(Path("metrics/summary.json"), report.summary(study.runs))
    by_name = {
        name: {v["name"]: {"outcome": v["outcome"], "evidence": v["evidence"]} for v in found}
        for name, found in verdicts.items()
    }
    outs.write_json(Path("metrics/diagnosis.json"), by_name)
    outs.write_text(Path("plots/training_curves.csv"), report.curves_csv(study.history))
    say = Wording(values["report"].language)
    best = study.runs[study.best]
    galleries = [f"plots/runs/{name}/{kind}.jpg" for name in runs for kind in ("gallery", "confusions")]
    figures = {
        "plots/class_distribution.png": render.class_distribution(study.data, study.classes, say),
        "plots/training_curves.png": render.training_curves(study.history, study.titles, say),
        "plots/confusion_matrices.png": render.confusion_matrices(study.runs, study.classes, say),
        "plots/per_class_f1.png": render.per_class_f1(study.runs, study.classes, study.train_counts, say),
        "plots/calibration.png": render.reliability(study.runs, say),
        "plots/attention.png": render.attention_story(study.attention, study.titles, say),
        "plots/resnet_final_confusion_matrix.png": render.final_matrix(best, study.classes, say),
    }
    for name, picture in figures.items():
        outs.write_bytes(Path(name), picture)
    photographs = {name: Path(name).read_bytes() for name in ("plots/contact_sheet.jpg", *galleries)}
    means = [f"plots/runs/{name}/attention.png" for name in runs]
    figures |= {name: Path(name).read_bytes() for name in means}
    outs.write_text(Path("report/report.md"), report.markdown_report(study, say))
    outs.write_text(Path("report/report.html"), report.html_report(study, say, figures, photographs))


if __name__ == "__main__":
    command(main, PARAMS, __doc__)
