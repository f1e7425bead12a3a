"""Check a study as a referee would: rerun a commit in a clean clone and compare it with its claims.

Usage: python -m tools.referee.verify [STAGE] [--commit HEAD] [-S train.threads=1]

Reruns every stage, or those named (train@run2-0, or train for all), without DVC's run cache. Compares
outputs, code, params and data with dvc.lock, and metrics number by number. Neither the working tree nor DVC's
cache changes; a certificate is written, as Markdown and JSON.
Exit status: 0 reproduced, 1 not reproduced, 2 could not be checked.
"""

import argparse
import contextlib
import csv
import hashlib
import io
import json
import re
import signal
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

from dvc.exceptions import DvcException
from dvc.utils.hydra import apply_overrides

from emotions import inference, params_file
from emotions.knobs import Tolerance, VerifyParams
from emotions.model.knobs import InferenceParams
from emotions.runtime import outs
from tools.referee import certificate, rerun
from tools.referee.committed import (
    VERDICTS,
    CommittedError,
    Side,
    Stage,
    commit_of,
    contradictions,
    flat,
    git,
    hashes,
    lock_of,
    overlap,
    top,
    yaml,
)
from tools.referee.rerun import CannotVerifyError, Declared

NUMBERS = {
    r"metrics/summary\.json": r"\w+\.(?!selected_epoch)\w+",
    r"metrics/diagnosis\.json": r"\w+\..+\.evidence\.(gap|train_accuracy|retention|probe)",
    r"metrics/runs/[\w-]+\.json": r"(selected|last)\.\w+\.(accuracy|macro_f1)",
    r"metrics/pretrained\.json": r"selected\.val_accuracy",
    r"metrics/attention/\w+\.json": r"shares\.\w+\.heat",
    r"metrics/faithfulness/\w+\.json": r"rests_on\.\w+\.accuracy\..+",
    r"metrics/reference\.json": r"(test|source_task)\.(accuracy|macro_f1)",
    r"metrics/probe/[\w-]+\.json": r"test\.(accuracy|macro_f1)|retention\.after",
    r"metrics/comparisons\.json": r"pairs\..+\.difference|errors\.\w+\.frequent\.(predicted|true)",
}
"""Metric files -> fractions to compare, by dotted key (both are patterns)."""
HISTORY = r"plots/(pretrain_history|history/[\w-]+)\.csv"
DATA_STAGES = ("extract", "preprocess")
EXACT_STAGES = ("best", "report")
"""Stages without arithmetic that CPUs may round differently."""
CERTIFICATES = "certificates"
IDENTICAL, WITHIN, CHANGED = "identical", "within tolerance", "changed"


class Finding(NamedTuple):
    """A wrong statement of dvc.lock about a stage; `key`: a param, a file, or other."""

    stage: str
    key: str
    recorded: Any
    found: Any


@dataclass
class Output:
    """An out of a stage: its hash in dvc.lock, its hash in the rerun, and the numbers in both files."""

    stage: str
    path: str
    recorded: str
    new: str
    old_numbers: dict[str, float] = field(default_factory=dict)
    new_numbers: dict[str, float] = field(default_factory=dict)
    verdict: str = ""

    def agrees(self, tolerance: Tolerance) -> bool:
        """Whether both files have the same numbers, within `tolerance`; NaN agrees with nothing."""
        old, new = self.old_numbers, self.new_numbers
        return old.keys() == new.keys() and all(abs(new[k] - old[k]) <= tolerance.of(k) for k in new)


def numbers(path: str, content: bytes) -> dict[str, float]:
    """The fractions of a file that are compared; none where it cannot be read."""
    with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
        for file, key in NUMBERS.items():
            if re.fullmatch(file, path):
                leaves = flat(json.loads(content)).items()
                return {k: float(v) for k, v in leaves if re.fullmatch(key, k) and isinstance(v, int | float)}
        if re.fullmatch(HISTORY, path) and (rows := list(csv.DictReader(io.StringIO(content.decode())))):
            best = max(float(row["val_accuracy"]) for row in rows)
            return {"best val_accuracy": best, "last train_accuracy": float(rows[-1]["train_accuracy"])}
    return {}


def rounds_alike(outputs: Sequence[Output]) -> bool:
    """Whether this machine rounds as the one that made the lock: at least one output that holds the digits of
    all arithmetic (trained weights, probabilities, heat maps) has the recorded bytes."""
    trained = {out.stage for out in outputs if re.fullmatch(HISTORY, out.path) and out.new_numbers}
    return any(
        out.recorded == out.new
        for out in outputs
        if (out.path.endswith(".pth") and out.stage in trained)
        or out.path.startswith("data/predictions/")
        or out.path.endswith("/gallery.jpg")
    )


@dataclass(frozen=True)
class Formats:
    """Number formats of the matrix products: in the commit's metrics, and as its params choose here."""

    recorded: list[str]
    here: str

    @property
    def differ(self) -> bool:
        return any(name != self.here for name in self.recorded)


def formats(claimed: Side, folder: Path) -> Formats:
    """Number formats of the scores of the commit's runs, and of the clone's params on this machine."""
    metrics = sorted(f for f in claimed.files if re.fullmatch(r"metrics/runs/[\w-]+\.json", f))
    recorded = {claimed.parsed(f, json.loads).get("precision") for f in metrics} - {None}
    train = params_file.read(folder / "params.yaml", {"train": InferenceParams})["train"]
    dtype = inference.resolve_precision(train.precision, inference.default_device())
    return Formats(sorted(recorded), inference.dtype_name(dtype))


def judge(
    outputs: Sequence[Output], tolerance: Tolerance, same_inputs: Collection[str], *, same_format: bool = True
) -> None:
    """Set the verdict on every output. `same_inputs`: stages whose inputs match the lock. `same_format`:
    whether the rerun computed in the recorded number format.

    Different bytes are within tolerance only under three conditions. This machine rounds differently; the
    output is not data, and its stage rounds or had moved inputs; its numbers agree. For an output without
    numbers, some numbers must have moved in this rerun, and all of these must agree.
    """
    alike, none_allowed = same_format and rounds_alike(outputs), not any(tolerance.model_dump().values())
    moved = [out for out in outputs if out.recorded != out.new and (out.old_numbers or out.new_numbers)]
    all_agree = bool(moved) and all(out.agrees(tolerance) for out in moved)
    for out in outputs:
        kind = out.stage.partition("@")[0]
        exact = kind in DATA_STAGES or (kind in EXACT_STAGES and out.stage in same_inputs)
        if out.recorded == out.new:
            out.verdict = IDENTICAL
        elif alike or exact or none_allowed or not out.recorded or not out.new:
            out.verdict = CHANGED
        else:
            agrees = out.agrees(tolerance) if out in moved else all_agree
            out.verdict = WITHIN if agrees else CHANGED


def exchanged(outputs: Sequence[Output]) -> list[tuple[str, str]]:
    """Pairs of runs each of which has the other's results in the rerun, rather than its own.

    Rounding moves numbers; it does not make two runs change places. A pair counts where the distance to the
    other's numbers is less than half of that to its own.
    """
    summary = next((out for out in outputs if out.path == "metrics/summary.json"), None)
    if summary is None or summary.old_numbers.keys() != summary.new_numbers.keys():
        return []
    runs = list(dict.fromkeys(key.partition(".")[0] for key in summary.old_numbers))
    metrics = {key.partition(".")[2] for key in summary.old_numbers}

    def distance(new: str, old: str) -> float:
        keys = [(f"{new}.{m}", f"{old}.{m}") for m in metrics if f"{new}.{m}" in summary.new_numbers]
        return sum(abs(summary.new_numbers[a] - summary.old_numbers[b]) for a, b in keys)

    return [
        (a, b)
        for a, b in combinations(runs, 2)
        if 2 * (distance(a, b) + distance(b, a)) < distance(a, a) + distance(b, b)
    ]


def verdict_changes(claimed: Side, measured: Side) -> list[str]:
    """Verdicts on runs that the rerun does not share, one line each."""
    path = "metrics/diagnosis.json"
    if path not in claimed.files or path not in measured.files:
        return []
    old, new = (side.parsed(path, VERDICTS.validate_json) for side in (claimed, measured))
    return [
        f"{run}: {name} was {old[run][name].outcome}, is {found.outcome}"
        for run in new
        for name, found in new[run].items()
        if run in old and name in old[run] and old[run][name].outcome != found.outcome
    ]


def claims(lock: Mapping[str, Stage], stages: Mapping[str, Declared], held: Collection[str]) -> list[Finding]:
    """Where dvc.lock differs from dvc.yaml or contradicts itself about a file. `held`: paths in git."""
    found = []
    for name, declared in stages.items():
        if name not in lock:
            found.append(Finding(name, "the stage", "no such stage", "a stage of dvc.yaml"))
            continue
        stage = lock[name]
        if stage.cmd != declared.cmd:
            found.append(Finding(name, "cmd", stage.cmd, declared.cmd))
        recorded = {e.path for e in (*stage.deps, *stage.outs)} | {*stage.params.get("params.yaml", {})}
        wanted = declared.deps | declared.params | declared.outs.keys()
        found += [Finding(name, key, "not named", "named in dvc.yaml") for key in sorted(wanted - recorded)]
        found += [Finding(name, key, "named", "not in dvc.yaml") for key in sorted(recorded - wanted)]
        in_git = [p for p, cached in declared.outs.items() if not cached]
        missing = [path for path in in_git if not any(overlap(path, file) for file in held)]
        found += [Finding(name, path, "written to git", "not in the commit") for path in missing]
    written = {out.path: (name, out.md5) for name, stage in lock.items() for out in stage.outs}
    for name, stage in lock.items():
        for dep in stage.deps:
            writer, md5 = written.get(dep.path, (name, dep.md5))
            if md5 != dep.md5:
                found.append(
                    Finding(name, dep.path, f"read {dep.md5}", f"{writer} wrote {md5}, says dvc.lock")
                )
    return found


def inputs(
    old: Mapping[str, Stage], new: Mapping[str, Stage], moved: Collection[str]
) -> tuple[list[Finding], set[str]]:
    """Deps that differ from the record in the rerun though no output in them `moved`, and the stages whose
    deps are all as recorded."""
    found, same = [], set()
    for name, stage in new.items():
        recorded = {dep.path: dep.md5 for dep in old[name].deps} if name in old else {}
        differ = [dep for dep in stage.deps if recorded.get(dep.path) != dep.md5]
        if not differ:
            same.add(name)
        for dep in differ:
            if not any(overlap(dep.path, path) for path in moved):
                found.append(Finding(name, dep.path, recorded.get(dep.path), f"the rerun read {dep.md5}"))
    return found, same


def outputs_of(chosen: Sequence[str], old: Side, new: Side) -> list[Output]:
    """Every out of the chosen stages, from the locks of both sides, without a verdict."""
    found = []
    locks = lock_of(old), lock_of(new)
    for name in chosen:
        recorded, again = ({e.path: e.md5 for e in lock[name].outs} if name in lock else {} for lock in locks)
        for path in dict.fromkeys([*again, *recorded]):
            before, after = (
                numbers(path, side.read(path)) if path in side.files else {} for side in (old, new)
            )
            found.append(Output(name, path, recorded.get(path, ""), again.get(path, ""), before, after))
    return found


def conclusion(
    outputs: Sequence[Output], findings: Collection[Finding], tolerance: Tolerance, *, found: Formats
) -> tuple[str, str]:
    """The verdict on the study, and the rule by which differences were judged."""
    changed = sum(out.verdict == CHANGED for out in outputs)
    within = sum(out.verdict == WITHIN for out in outputs)
    verdict = "Reproduced: every output is identical."
    if changed or findings:
        verdict = f"Not as claimed: {changed} outputs changed, {len(findings)} findings."
    elif within:
        verdict = f"Reproduced within the tolerance: {within} outputs differ in rounding."
    digits = "output with the digits of all arithmetic (trained weights, probabilities, heat maps)"
    if not changed + within:
        rule = ""
    elif found.differ:
        rule = f"This machine computes in {found.here}, the one that made dvc.lock in "
        rule += f"{', '.join(found.recorded)} (train.precision): differences up to these may be rounding: "
        rule += f"{tolerance}."
    elif rounds_alike(outputs):
        rule = f"At least one {digits} is identical: this machine rounds as the one that made "
        rule += "dvc.lock, and no difference is allowed."
    else:
        rule = f"No {digits} is identical, so differences up to these may be rounding: {tolerance}."
    return verdict, rule


def verify(root: Path, commit: str, target: str, *, changes: list[str], folder: Path) -> dict[str, Any]:
    """The certificate of the commit, from a rerun in the clone at `folder`; `changes`: params to override.

    Raises:
        CannotVerifyError: the commit cannot be rerun, or a stage failed. CommittedError, ParamsError,
        DvcException: a file of the commit cannot be read.
    """
    claimed = Side(root, commit)
    recorded = lock_of(claimed)
    tolerance = params_file.read(folder / "params.yaml", {"verify": VerifyParams})["verify"].tolerance
    stages = rerun.declared_stages(folder)
    # Entries that DVC leaves in the lock for a deleted run claim nothing any more.
    lock = {name: stage for name, stage in recorded.items() if name in stages}
    chosen = [name for name in stages if not target or target in (name, name.partition("@")[0])]
    if not chosen:
        raise CannotVerifyError(f"dvc.yaml has no stage {target}: name one of {', '.join(stages)}")
    knobs = flat(claimed.parsed("params.yaml", yaml))
    found = {(f.stage, f.key): f for f in claims(lock, stages, claimed.files)}
    for stage, _, key, recorded, there in contradictions(knobs, lock, hashes(claimed, lock)):
        found.setdefault((stage, key), Finding(stage, key, recorded, there))
    print(certificate.findings([f._asdict() for f in found.values()]), file=sys.stderr, flush=True)
    rerun.bring(root, folder, claimed, stages=stages, chosen=chosen)

    begun = datetime.now(UTC)
    if changes:
        apply_overrides(folder / "params.yaml", changes)
    formats_found = formats(claimed, folder)
    rerun.run(folder, chosen if target else [])
    measured = Side(folder, "")
    outputs = outputs_of(chosen, claimed, measured)
    again = {name: stage for name, stage in lock_of(measured).items() if name in chosen}
    read, same_inputs = inputs(lock, again, [out.path for out in outputs if out.recorded != out.new])
    for finding in read:
        found.setdefault((finding.stage, finding.key), finding)
    judge(outputs, tolerance, same_inputs, same_format=not formats_found.differ)
    for one, other in exchanged(outputs):
        pair = (f"{one} and {other}", "results")
        found[pair] = Finding(*pair, "each its own", "each has the other's")
    verdict, rule = conclusion(outputs, found.values(), tolerance, found=formats_found)

    data = measured.parsed("metrics/data.json", json.loads)
    head = git(root, "rev-parse", "HEAD").decode().strip()
    edited = git(root, "status", "--porcelain", "--", ":/", f":(top,exclude){CERTIFICATES}")
    return {
        "verdict": verdict,
        "rule": rule,
        "reproduced": not found and all(out.verdict != CHANGED for out in outputs),
        "commit": commit,
        "working_tree_differs": commit != head or bool(edited),
        "target": target,
        "set": changes,
        "data": {key: data.get(key) for key in ("source", "fingerprint")},
        "requirements_sha256": hashlib.sha256(claimed.read("requirements.txt")).hexdigest(),
        "begun": begun.isoformat(timespec="seconds"),
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "tolerance": tolerance.model_dump(),
        "precision": vars(formats_found),
        "findings": [f._asdict() for f in found.values()],
        "verdicts_changed": verdict_changes(claimed, measured),
        "outputs": [vars(out) for out in outputs],
        "params": yaml(measured.read("params.yaml")),
        "machine": certificate.machine(),
        "seconds": {name: certificate.seconds(folder / "logs", name) for name in chosen},
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", nargs="?", default="", help="stage to rerun (default: all)")
    parser.add_argument("--commit", default="HEAD", help="commit to check")
    parser.add_argument("--certificate-folder", type=Path, default=Path(CERTIFICATES))
    parser.add_argument(
        "-S",
        "--set-param",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="override a param, e.g. train.threads=1 on busy cores",
    )
    arguments = parser.parse_args()
    for ending in (signal.SIGTERM, signal.SIGHUP):  # as Ctrl-C: end the stages, remove the clone
        signal.signal(ending, signal.default_int_handler)
    try:
        root = top(Path())
        _, commit = commit_of(root, arguments.commit)
        with rerun.clean_clone(root, commit) as folder:
            result = verify(root, commit, arguments.target, changes=arguments.set_param, folder=folder)
    except KeyboardInterrupt:
        print("verify: interrupted; the clone is removed", file=sys.stderr)
        return 130
    except (CannotVerifyError, CommittedError, params_file.ParamsError, DvcException) as error:
        text = " ".join(re.sub(r"\S*/verify_\w+/study/", "", str(error)).split())
        print(f"verify: {text[:500]}", file=sys.stderr)
        return 2
    name = "-".join(map(certificate.file_name, filter(None, (commit[:12], arguments.target))))
    written = arguments.certificate_folder / f"{name}.md"
    outs.write_text(written.with_suffix(".json"), json.dumps(result, indent=2) + "\n")
    outs.write_text(written, certificate.markdown(result))
    print(f"{certificate.results(result)}\n\nThe certificate: {written}")
    return 0 if result["reproduced"] else 1


if __name__ == "__main__":
    sys.exit(main())
