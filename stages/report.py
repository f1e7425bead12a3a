"""Tabulate, diagnose and draw the measurements: summary, verdicts, figures, report as Markdown and HTML.

Usage: python -m stages.report
"""

from pathlib import Path
from typing import Any

from emotions.command import command
from emotions.data.knobs import PreprocessParams
from emotions.evidence.claims import read_claims
from emotions.evidence.knobs import DiagnosisParams
from emotions.evidence.results import remove_others
from emotions.evidence.study import read
from emotions.params_file import StudyParams
from emotions.reporting import figures, report
from emotions.reporting.knobs import ReportParams
from emotions.reporting.wording import Wording
from emotions.runtime import outs
from emotions.sources import DataParams
from emotions.taxonomy import compound_classes
from emotions.training.knobs import RunParams

PARAMS = {
    "seed": int,
    "study": StudyParams,
    "data": DataParams,
    "preprocess": PreprocessParams,
    "pretrained": dict[str, Any],
    "train": dict[str, Any],
    "runs": dict[str, RunParams],
    "uncertainty": dict[str, Any],
    "diagnosis": DiagnosisParams,
    "report": ReportParams,
}
MEASURED = {
    "data": "metrics/data.json",
    "pretrained": "metrics/pretrained.json",
    "reference": "metrics/reference.json",
    "history": "plots/history/{network}.csv",
    "networks": "metrics/runs/{network}.json",
    "probes": "metrics/probe/{network}.json",
    "attention": "metrics/attention/{run}.json",
    "faithfulness": "metrics/faithfulness/{run}.json",
    "comparisons": "metrics/comparisons.json",
}


def main(values: dict[str, Any]) -> None:
    runs, networks = values["study"].runs, values["study"].networks
    for folder in ("metrics/runs", "metrics/probe", "plots/history"):
        remove_others(Path(folder), [n for names in networks.values() for n in names])
    for folder in ("metrics/attention", "metrics/faithfulness", "plots/runs"):
        remove_others(Path(folder), runs)
    ledger = read_claims(Path("claims.yaml"))
    study = read(MEASURED, values, compound_classes(values["data"].classes), ledger=ledger)
    outs.write_json(Path("metrics/summary.json"), report.summary(study.networks))
    by_name = {
        name: {v["name"]: {"outcome": v["outcome"], "evidence": v["evidence"]} for v in run["verdicts"]}
        for name, run in study.runs.items()
    }
    outs.write_json(Path("metrics/diagnosis.json"), by_name)
    outs.write_text(Path("plots/training_curves.csv"), report.curves_csv(study.history))
    say = Wording(values["report"].language)
    best = study.runs[study.best]
    galleries = [f"plots/runs/{name}/{kind}.jpg" for name in runs for kind in ("gallery", "confusions")]
    drawn = {
        "plots/class_distribution.png": figures.class_distribution(study.data, study.classes, say),
        "plots/training_curves.png": figures.training_curves(study.history, study.titles, say),
        "plots/confusion_matrices.png": figures.confusion_matrices(study.runs, study.classes, say),
        "plots/per_class_f1.png": figures.per_class_f1(
            study.runs, study.classes, study.train_counts, say=say
        ),
        "plots/calibration.png": figures.reliability(study.runs, say),
        "plots/attention.png": figures.attention_story(study.attention, study.titles, say),
        "plots/resnet_final_confusion_matrix.png": figures.final_matrix(best, study.classes, say),
    }
    for name, picture in drawn.items():
        outs.write_bytes(Path(name), picture)
    photographs = {name: Path(name).read_bytes() for name in ("plots/contact_sheet.jpg", *galleries)}
    means = [f"plots/runs/{name}/attention.png" for name in runs]
    drawn |= {name: Path(name).read_bytes() for name in means}
    outs.write_text(Path("report/report.md"), report.markdown_report(study, say))
    outs.write_text(
        Path("report/report.html"), report.html_report(study, say, drawn, photographs=photographs)
    )


if __name__ == "__main__":
    command(main, PARAMS, __doc__)
