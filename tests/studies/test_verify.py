"""`make verify`: a true study passes, forgeries are found, nothing but a certificate is left behind."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import A_WHILE, ROOT, Study, class_picture, study_in, warm_path, warm_python

from emotions import params_file
from emotions.knobs import Tolerance, VerifyParams
from emotions.taxonomy import SPLITS, compound_classes
from tools.referee import committed, verify
from tools.referee.committed import Entry, Stage
from tools.referee.rerun import Declared
from tools.referee.verify import CHANGED, IDENTICAL, WITHIN, Output

FORGED = "0123456789abcdef" * 2


class Referee:
    """A study and what `python -m tools.referee.verify` says of its last commit; clones go to `temporary`."""

    def __init__(self, study: Study, temporary: Path) -> None:
        self.study, self.temporary = study, temporary
        self.temporary.mkdir(exist_ok=True)

    def start(self, *arguments: str, python: str = "") -> subprocess.Popen[str]:
        return subprocess.Popen(
            [python or warm_python(), "-m", "tools.referee.verify", *arguments],
            cwd=self.study.folder,
            env=os.environ | {"PATH": warm_path(), "TMPDIR": str(self.temporary)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str, status: int) -> tuple[str, str]:
        """What it prints on stdout and stderr; it must end with `status` and leave no clone."""
        process = self.start(*arguments)
        said, complaint = process.communicate()
        assert process.returncode == status, said + complaint
        assert self.clones() == []
        return said, complaint

    def clones(self) -> list[Path]:
        return list(self.temporary.glob("verify_*"))

    def refusal(self, *arguments: str) -> str:
        """The last line on stderr where the study could not be verified, which leaves no certificate."""
        said, complaint = self(*arguments, status=2)
        assert said == ""
        assert "Traceback" not in complaint
        assert not (self.study.folder / "certificates").exists()
        return complaint.splitlines()[-1]

    def certificate(self) -> dict[str, Any]:
        """The one certificate there is, which is taken away."""
        (path,) = (self.study.folder / "certificates").glob("*.json")
        content = json.loads(path.read_text())
        shutil.rmtree(path.parent)
        return content


@pytest.fixture(scope="module")
def done(one_run: Study, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A copy of it, in which a certificate may be written."""
    folder = tmp_path_factory.mktemp("done") / "study"
    shutil.copytree(one_run.folder, folder, symlinks=True)
    return study_in(folder)


@pytest.fixture
def referee(done: Study, tmp_path: Path) -> Referee:
    """A clone of the study, free to be forged, that shares its cache."""
    study = study_in(tmp_path / "study")
    done.git("clone", "-q", str(done.folder), str(study.folder))
    study.dvc("config", "--local", "cache.dir", str(done.folder / ".dvc/cache"))
    return Referee(study, tmp_path / "temporary")


def rewrite(path: Path, change: Callable[[Any], Any]) -> None:
    """Change a YAML or JSON file in place."""
    content = params_file.load(path)
    change(content)
    dumped = (
        yaml.safe_dump(content, sort_keys=False) if path.suffix != ".json" else json.dumps(content, indent=2)
    )
    path.write_text(dumped)


def forge(study: Study, hashes: dict[str, str]) -> None:
    """Put other hashes of files into dvc.lock wherever it names them."""

    def everywhere(lock: Any) -> None:
        entries = [e for stage in lock["stages"].values() for e in (*stage["deps"], *stage["outs"])]
        for entry in entries:
            entry["md5"] = hashes.get(entry["path"], entry["md5"])

    rewrite(study.folder / "dvc.lock", everywhere)


def append(study: Study, name: str, text: str) -> None:
    with (study.folder / name).open("a") as file:
        file.write(text)


def files(folder: Path) -> dict[str, int]:
    """Every file with its time of change."""
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def changed(certificate: dict[str, Any]) -> set[str]:
    return {out["path"] for out in certificate["outputs"] if out["verdict"] == CHANGED}


def test_a_true_study_is_identical_in_every_output_and_only_a_certificate_is_left(
    done: Study, tmp_path: Path
) -> None:
    before = files(done.folder)
    said, shown = Referee(done, tmp_path / "temporary")(status=0)
    names = list(committed.lock_of(committed.Side(done.folder, "")))
    ended = re.findall(r"^\[\d+/\d+\] (\S+) done in ", shown, re.M)
    assert sorted(ended) == sorted(names), "every stage was run"
    commit = done.git("rev-parse", "HEAD").strip()
    new = {f"certificates/{commit[:12]}.{kind}" for kind in ("md", "json")}
    after = files(done.folder)
    assert {f for f in after.keys() - before.keys() if "__pycache__" not in f} == new
    untouched = {f: t for f, t in before.items() if not f.startswith((".git/", "tools/__pycache__"))}
    assert {f: after[f] for f in untouched} == untouched

    text = (done.folder / f"certificates/{commit[:12]}.md").read_text()
    certificate = Referee(done, tmp_path / "temporary").certificate()
    assert {out["verdict"] for out in certificate["outputs"]} == {IDENTICAL}
    lock = committed.lock_of(committed.Side(done.folder, ""))
    recorded = {(name, out.path): out.md5 for name, stage in lock.items() for out in stage.outs}
    assert {(o["stage"], o["path"]): o["new"] for o in certificate["outputs"]} == recorded
    assert "**Reproduced: every output is identical.**" in said
    assert certificate["reproduced"] and certificate["findings"] == [] and certificate["commit"] == commit
    scored_in = json.loads(done.read("metrics/runs/run1-0.json"))["precision"]
    assert certificate["precision"] == {"recorded": [scored_in], "here": scored_in}
    assert certificate["data"]["fingerprint"] == json.loads(done.read("metrics/data.json"))["fingerprint"]
    assert certificate["params"] == params_file.load(done.folder / "params.yaml")
    assert not certificate["working_tree_differs"]
    assert all(seconds >= 0 for seconds in certificate["seconds"].values()) and certificate["seconds"]
    assert sum(bool(out["new_numbers"]) for out in certificate["outputs"]) == 10
    for private in (os.uname().nodename, str(tmp_path), str(done.folder), str(Path.home())):
        assert private not in text + json.dumps(certificate)


def test_forged_weights_are_found_even_where_the_whole_lock_tells_of_them(referee: Referee) -> None:
    forge(referee.study, {"models/runs/run1-0.pth": FORGED})
    referee.study.commit("better weights")
    said, shown = referee("train@run1-0", status=1)
    assert re.findall(r"Running stage '(.*)'", shown) == ["train@run1-0"]
    certificate = referee.certificate()
    assert changed(certificate) == {"models/runs/run1-0.pth"}
    assert certificate["findings"] == []
    assert "this machine rounds as the one that made dvc.lock" in said


def test_edited_metrics_code_and_knobs_are_found_together(referee: Referee) -> None:
    study = referee.study
    attention = study.folder / "metrics/attention/run1.json"
    rewrite(attention, lambda metric: metric["shares"]["mouth"].update(heat=0.2))
    forge(study, {"metrics/attention/run1.json": committed.md5(attention.read_bytes())})
    lock = committed.lock_of(committed.Side(study.folder, ""))
    held = committed.hashes(committed.Side(study.folder, ""), lock)
    forge(study, {"metrics/attention": held["metrics/attention"]})
    rewrite(study.folder / "metrics/summary.json", lambda summary: summary["run1"].update(test_accuracy=0.99))
    append(study, "emotions/reporting/wording.py", "# a comment that the lock does not know\n")
    append(study, "emotions/attention/gallery.py", "# another\n")
    study.params(("  batch_size: 64", "  batch_size: 65"))
    study.commit("better numbers")

    said, _ = referee("gradcam", status=1)
    certificate = referee.certificate()
    assert changed(certificate) == {"metrics/attention/run1.json"}
    assert re.search(
        r"^\| `metrics/attention/run1.json` +\| `shares.mouth.heat` +\| 0.200000 \| ", said, re.M
    )
    assert {(finding["stage"], finding["key"]) for finding in certificate["findings"]} == {
        ("report", "metrics/summary.json"),
        ("report", "emotions/reporting"),
        ("gradcam@run1", "emotions/attention"),
        ("faithfulness@run1", "emotions/attention"),
        ("evaluate@run1-0", "evaluate.batch_size"),
    }
    assert "- `evaluate.batch_size`: dvc.lock says `64`, found `65` (`evaluate@run1-0`)" in said


def test_a_run_that_rounds_otherwise_is_told_from_a_forgery(referee: Referee) -> None:
    scored_in = json.loads(referee.study.read("metrics/runs/run1-0.json"))["precision"]
    other = "bfloat16" if scored_in == "float32" else "float32"  # than `auto` chose on this machine
    said, _ = referee("train", "-S", f"train.precision={other}", status=0)
    certificate = referee.certificate()
    assert {(out["path"], out["verdict"]) for out in certificate["outputs"]} == {
        ("models/last_epoch/run1-0.pth", WITHIN),
        ("models/runs/run1-0.pth", WITHIN),
        ("plots/history/run1-0.csv", WITHIN),
    }
    assert "**Reproduced within the tolerance: 3 outputs differ in rounding.**" in said
    assert certificate["precision"] == {"recorded": [scored_in], "here": other}
    assert f"This machine computes in {other}, the one that made dvc.lock in {scored_in}" in said
    assert certificate["set"] == [f"train.precision={other}"]
    assert certificate["params"]["train"]["precision"] == other


def test_a_stage_that_fails_and_a_lock_that_cannot_be_read_leave_no_certificate(referee: Referee) -> None:
    study = referee.study
    append(study, "stages/best.py", "raise RuntimeError('no best run')\n")
    study.git("commit", "-aqm", "broken")
    _, complaint = referee("best", status=2)
    assert "no best run" in complaint and "stages/best.py" in complaint
    assert "a stage failed" in complaint.splitlines()[-1]
    assert "name one of extract, preprocess" in referee.refusal("banana")
    assert "no commit 'banana'" in referee.refusal("--commit", "banana")
    (study.folder / "dvc.lock").write_text("stages: [\n")
    study.git("commit", "-aqm", "no lock")
    assert "dvc.lock of commit" in referee.refusal()


def test_weights_that_are_not_in_the_cache_are_asked_for_by_name(referee: Referee, tmp_path: Path) -> None:
    referee.study.dvc("config", "--local", "cache.dir", str(tmp_path / "empty"))
    refusal = referee.refusal("evaluate@run1-0")
    assert "models/runs/run1-0.pth" in refusal and "verify the whole study, or `dvc pull`" in refusal


def test_ctrl_c_ends_the_stage_and_removes_the_clone(referee: Referee) -> None:
    process = referee.start("train@run1-0", python=sys.executable)
    assert process.stderr
    while not [log for clone in referee.clones() for log in clone.rglob("logs/train@run1-0.log")]:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=A_WHILE)
    assert process.returncode == 130
    assert referee.clones() == []
    running = [Path(f"/proc/{p.name}/cwd") for p in Path("/proc").iterdir() if p.name.isdecimal()]
    assert not [p for p in running if os.access(p, os.R_OK) and str(referee.temporary) in str(p.readlink())]


def test_raw_data_come_from_the_cache_else_from_the_working_tree_if_they_are_what_git_records(
    tmp_path: Path,
) -> None:
    (tmp_path / "study").mkdir()
    study = Study(tmp_path / "study")
    referee = Referee(study, tmp_path / "temporary")
    shutil.rmtree(study.folder / "certificates", ignore_errors=True)
    study.params(("source: synthetic", "source: imagefolder"))
    folder = study.folder / "data/raw/imagefolder"
    for number, split in enumerate(SPLITS):
        for index, label in enumerate(compound_classes("rafdb11")):
            picture = folder / split / label / f"{index}.png"
            picture.parent.mkdir(parents=True)
            picture.write_bytes(class_picture(index, number))
    study.dvc("repro", "extract")
    study.commit("data that only this working tree has")
    assert "`dvc add data/raw/imagefolder`" in referee.refusal("extract")

    study.dvc("add", "data/raw/imagefolder")
    study.commit("data tracked")
    absent = {"preprocess", "pretrain", "best", "report"} | {f"train@run{i}-0" for i in (1, 2, 3)}
    for source in ("cache", "working tree"):
        referee("extract", status=1)
        certificate = referee.certificate()
        assert {out["verdict"] for out in certificate["outputs"]} == {IDENTICAL}, source
        found = {f["stage"] for f in certificate["findings"]}
        assert "extract" not in found and absent <= found, "stages that were never run are findings"
        shutil.rmtree(study.folder / ".dvc/cache", ignore_errors=True)

    picture = next(folder.rglob("*.png"))
    picture.write_bytes(class_picture(0, 99))
    assert "data/raw/imagefolder.dvc records" in referee.refusal("extract")
    shutil.rmtree(folder)
    assert "`dvc pull data/raw/imagefolder.dvc`" in referee.refusal("extract")


def outputs(**changes: dict[str, Any]) -> list[Output]:
    """Outs of a rerun on a machine that rounds otherwise, where numbers move by 0.01; `changes` by file."""
    moved = {"old_numbers": {"accuracy": 0.5}, "new_numbers": {"accuracy": 0.51}}
    history = {"old_numbers": {"best": 0.5}, "new_numbers": {"best": 0.51}}
    found = [
        Output("extract", "data/extracted", "a", "a"),
        Output("train@run1-0", "models/runs/run1-0.pth", "a", "b"),
        Output("train@run1-0", "plots/history/run1-0.csv", "a", "b", **history),
        Output("evaluate@run1-0", "metrics/runs/run1-0.json", "a", "b", **moved),
        Output("evaluate@run1-0", "data/predictions/run1-0.csv", "a", "b"),
        Output("gradcam@run1", "plots/runs/run1/gallery.jpg", "a", "b"),
        Output("best", "models/best_resnet50.pth", "a", "b"),
        Output("report", "plots/attention.png", "a", "b"),
    ]
    for out in found:
        for key, value in changes.get(short(out), {}).items():
            setattr(out, key, value)
    return found


def short(out: Output) -> str:
    """What these tests call an out."""
    return "history" if out.path.startswith("plots/history/") else Path(out.path).stem


def verdicts(
    found: list[Output], tolerance: float | Tolerance = 0.1, same: tuple[str, ...] = ()
) -> dict[str, str]:
    if isinstance(tolerance, float):
        tolerance = Tolerance(accuracy=tolerance, macro_f1=tolerance, heat=tolerance)
    verify.judge(found, tolerance, same)
    return {short(out): out.verdict for out in found}


def test_where_the_cpu_rounds_otherwise_numbers_decide() -> None:
    found = verdicts(outputs())
    assert found.pop("extracted") == IDENTICAL
    assert set(found.values()) == {WITHIN}
    assert set(verdicts(outputs(), tolerance=0.001).values()) == {IDENTICAL, CHANGED}
    same_number = {"new_numbers": {"best": 0.5}}
    assert verdicts(outputs(history=same_number), tolerance=0.0)["history"] == CHANGED
    assert verdicts(outputs(history={"new_numbers": {"best": float("nan")}}))["history"] == CHANGED
    assert verdicts(outputs(history={"new_numbers": {}}))["history"] == CHANGED


@pytest.mark.parametrize("evidence", ["run1-0", "gallery"])
def test_one_identical_piece_of_arithmetic_allows_no_difference_anywhere(evidence: str) -> None:
    found = verdicts(outputs(**{evidence: {"new": "a"}}))
    assert found["history"] == CHANGED
    assert found["best_resnet50"] == CHANGED


def test_weights_that_nothing_trained_do_not_tell_how_a_machine_rounds() -> None:
    untrained = Output("pretrain", "models/pretrained.pth", "a", "a")
    assert verdicts([untrained, *outputs()])["history"] == WITHIN


def summary(**runs: float) -> dict[str, float]:
    return {
        f"{run}.{metric}": score
        for run, score in runs.items()
        for metric in ("val_macro_f1", "test_accuracy")
    }


@pytest.mark.parametrize(
    ("new", "pairs"),
    [
        (summary(run1=0.62, run2=0.31, run3=0.40), []),
        (summary(run1=0.31, run2=0.62, run3=0.40), [("run1", "run2")]),
        (summary(run1=0.50, run2=0.40, run3=0.40), []),
        (summary(run1=0.40, run2=0.31, run3=0.62), [("run1", "run3")]),
    ],
)
def test_two_runs_that_have_each_others_results_are_not_rounding(
    new: dict[str, float], pairs: list[tuple[str, str]]
) -> None:
    old = summary(run1=0.60, run2=0.30, run3=0.41)
    out = Output("report", "metrics/summary.json", "a", "b", old, new)
    assert verify.exchanged([out]) == pairs


def test_data_and_copies_of_what_did_not_move_have_no_tolerance() -> None:
    assert verdicts(outputs(extracted={"new": "b"}))["extracted"] == CHANGED
    assert verdicts(outputs(), same=("best", "report"))["best_resnet50"] == CHANGED
    assert verdicts(outputs(), same=("best", "report"))["attention"] == CHANGED


def test_weights_that_moved_while_no_number_did_are_changed() -> None:
    still = {"new": "a", "new_numbers": {"best": 0.5}}
    assert verdicts(outputs(history=still)[1:3])["run1-0"] == CHANGED


def test_an_output_that_the_lock_does_not_record_is_changed() -> None:
    assert verdicts(outputs(gallery={"recorded": ""}))["gallery"] == CHANGED


def stage(cmd: str = "python -m a", **changes: Any) -> Stage:
    content = {
        "cmd": cmd,
        "deps": [Entry(path="in", md5="1")],
        "outs": [Entry(path="out", md5="2")],
        "params": {"params.yaml": {"seed": 0}},
    }
    return Stage(**content | changes)


DECLARED = Declared("python -m a", frozenset({"in"}), frozenset({"seed"}), {"out": False})


def test_the_lock_must_be_of_the_stages_in_dvc_yaml() -> None:
    def keys(lock: dict[str, Stage], held: tuple[str, ...] = ("out",)) -> list[tuple[str, str]]:
        return [(f.stage, f.key) for f in verify.claims(lock, {"a": DECLARED}, held)]

    assert keys({"a": stage()}) == []
    assert keys({}) == [("a", "the stage")]
    assert keys({"a": stage(), "b": stage()}) == []  # what DVC leaves of a run that was deleted
    assert keys({"a": stage("python -m b")}) == [("a", "cmd")]
    assert keys({"a": stage(deps=[])}) == [("a", "in")]
    assert keys({"a": stage(params={})}) == [("a", "seed")]
    assert keys({"a": stage(outs=[Entry(path="other", md5="2")])}) == [("a", "out"), ("a", "other")]
    assert keys({"a": stage()}, held=()) == [("a", "out")]


def test_what_one_stage_wrote_another_must_have_read() -> None:
    reader = Declared("python -m b", frozenset({"out"}), frozenset(), {})
    for md5, expected in (("2", []), ("3", [("b", "out")])):
        lock = {"a": stage(), "b": Stage(cmd="python -m b", deps=[Entry(path="out", md5=md5)])}
        found = verify.claims(lock, {"a": DECLARED, "b": reader}, ["out"])
        assert [(f.stage, f.key) for f in found] == expected


def test_an_input_that_moved_is_a_finding_unless_an_output_in_it_moved() -> None:
    old = {"a": stage(deps=[Entry(path="metrics/runs", md5="1")])}
    new = {"a": stage(deps=[Entry(path="metrics/runs", md5="2")])}
    assert verify.inputs(old, old, []) == ([], {"a"})
    found, same = verify.inputs(old, new, ["metrics/runs2.json"])
    assert [(f.stage, f.key) for f in found] == [("a", "metrics/runs")] and same == set()
    assert verify.inputs(old, new, ["metrics/runs/run1-0.json"]) == ([], set())


def test_every_committed_metric_has_numbers_to_compare() -> None:
    paths = [p for pattern in ("metrics/**/*.json", "plots/**/*history.csv") for p in ROOT.glob(pattern)]
    for path in paths:
        name = str(path.relative_to(ROOT))
        found = verify.numbers(name, path.read_bytes())
        without = name == "metrics/data.json" or name.startswith("metrics/faithfulness/")  # not asked for
        assert bool(found) != without, name
        assert all(0 <= abs(value) <= 1 for value in found.values()), name
    assert len(paths) >= 17
    assert (
        verify.numbers("metrics/summary.json", b"[") == {} == verify.numbers("metrics/summary.json", b"\xff")
    )


def test_the_study_has_a_tolerance() -> None:
    read = params_file.read(ROOT / "params.yaml", {"verify": VerifyParams})["verify"]
    assert all(0 < allowed <= 0.25 for _, allowed in read.tolerance)


def test_each_kind_of_metric_has_its_own_tolerance() -> None:
    numbers = {"selected.val.accuracy": 0.5, "selected.val.macro_f1": 0.5, "shares.eyes.heat": 0.5}
    for key, allowed in zip(numbers, (0.1, 0.2, 0.3), strict=True):
        tolerance = Tolerance(accuracy=0.1, macro_f1=0.2, heat=0.3)
        for off in (-0.01, 0.01):
            out = Output("evaluate@run1-0", "m", "a", "b", numbers, numbers | {key: 0.5 + allowed + off})
            assert out.agrees(tolerance) == (off < 0), key
