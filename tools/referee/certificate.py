"""Certificate of a rerun of the study, as Markdown: findings, outputs, numbers, verdict, machine."""

import importlib.metadata
import json
import os
import platform
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import torch

from tools.referee.committed import flat
from tools.referee.pr_report import literal

PACKAGES: Final = (
    *("torch", "torchvision", "numpy", "pillow", "opencv-python-headless", "pandas", "scikit-learn"),
    *("matplotlib", "grad-cam", "accelerate", "imagehash", "faiss-cpu", "dvc"),
)


def file_name(text: str) -> str:
    """A text as a file name, by the rule that the stages use for logs."""
    return re.sub(r"[^\w@-]", "_", text)


def seconds(logs: Path, stage: str) -> float | None:
    """Seconds from the first to the last line of a stage's log; None without a log. A stage that takes the
    first seed as an argument, gradcam@run1, has a log with it, gradcam@run1-0."""
    name = file_name(stage)
    log = next((p for p in (logs / f"{name}.log", *sorted(logs.glob(f"{name}-*.log"))) if p.exists()), None)
    text = log.read_text(encoding="utf-8") if log else ""
    times = [
        datetime.fromisoformat(t) for t in re.findall(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) ", text, re.M)
    ]
    return round((times[-1] - times[0]).total_seconds(), 1) if times else None


def machine() -> dict[str, Any]:
    """Facts that decide how numbers are rounded; none identifies the machine or its owner."""
    cpuinfo = Path("/proc/cpuinfo")
    facts = cpuinfo.read_text(encoding="utf-8", errors="replace") if cpuinfo.exists() else ""
    model = re.search(r"^model name\s*:\s*(.+)", facts, re.M)
    return {
        "cpu": model[1] if model else platform.machine(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table whose columns also line up on a terminal."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join(f"| {' | '.join(c.ljust(w) for c, w in zip(r, widths, strict=True))} |" for r in lines)


def brief(value: Any) -> str:
    """A finding's value as one line of Markdown; hashes are cut to eight characters."""
    return (
        "nothing"
        if value is None
        else literal(re.sub(r"\b([0-9a-f]{8})[0-9a-f]{24}\b(\.dir)?", r"\1", str(value)))
    )


def findings(found: Sequence[Mapping[str, Any]]) -> str:
    """A line for each finding; stages that share it are listed together."""
    stages: dict[tuple[str, ...], list[str]] = {}
    for finding in found:
        line = (literal(finding["key"]), brief(finding["recorded"]), brief(finding["found"]))
        stages.setdefault(line, []).append(literal(finding["stage"]))
    lines = [
        f"- {key}: dvc.lock says {recorded}, found {there} ({', '.join(names)})"
        for (key, recorded, there), names in stages.items()
    ]
    return "\n".join(lines) or "dvc.lock, dvc.yaml, params, code and files in git agree."


def results(certificate: Mapping[str, Any]) -> str:
    """Findings, outputs, numbers and the verdict."""
    rows, moved, same = [], [], 0
    for out in certificate["outputs"]:
        stage, path = literal(out["stage"]), literal(out["path"])
        rows.append([stage, path, out["recorded"][:8], out["new"][:8], out["verdict"]])
        old, new = out["old_numbers"], out["new_numbers"]
        for key in dict.fromkeys([*old, *new]):
            if old.get(key) == new.get(key):
                same += 1
                continue
            cells = [f"{side[key]:.6f}" if key in side else "-" for side in (old, new)]
            difference = f"{new[key] - old[key]:+.6f}" if key in old and key in new else "-"
            moved.append([path, literal(key), *cells, difference])
    sections = [
        ("Findings", findings(certificate["findings"])),
        ("Outputs", table(["stage", "output", "recorded", "new", "verdict"], rows)),
        ("Numbers", f"{same + len(moved)} compared, {same} equal."),
        (
            "Verdicts on runs",
            "\n".join(f"- {literal(line)}" for line in certificate["verdicts_changed"])
            or "All are as the commit has them.",
        ),
        ("Verdict", f"**{certificate['verdict']}** {certificate['rule']}".strip()),
    ]
    if moved:
        sections[2] = ("Numbers", table(["file", "number", "old", "new", "difference"], moved))
    return "\n\n".join(f"## {title}\n\n{text}" for title, text in sections)


def markdown(certificate: Mapping[str, Any]) -> str:
    """The whole certificate."""
    other = ", which the working tree differs from; that was not looked at"
    source, fingerprint = (literal(certificate["data"][key]) for key in ("source", "fingerprint"))
    facts = [
        f"- commit `{certificate['commit']}`{other if certificate['working_tree_differs'] else ''}",
        f"- stages: {literal(certificate['target'] or 'all')}",
        *(f"- run with {literal(change)}, unlike the commit" for change in certificate["set"]),
        f"- data: {source}, fingerprint {fingerprint}",
        f"- computed in {literal(certificate['precision']['here'])}; the metrics of the commit in "
        f"{literal(', '.join(certificate['precision']['recorded']) or 'nothing that they name')}",
        f"- requirements.txt: sha256 `{certificate['requirements_sha256']}`",
        f"- from {certificate['begun']} to {certificate['ended']}",
    ]
    blocks = [
        f"## {title}\n\n```json\n{json.dumps(flat(certificate[title.lower()]), indent=2)}\n```"
        for title in ("Machine", "Seconds", "Params")
    ]
    return "\n\n".join(["# The study, run again", "\n".join(facts), results(certificate), *blocks]) + "\n"
