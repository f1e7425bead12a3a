"""`make accept` records a refactoring without training, and nothing that moves a byte or more than code."""

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Study, study_in

from emotions import params_file
from tools.dev.accept import RefusedError, accept, only_code_moved, outputs_are_recorded
from tools.referee import committed


@pytest.fixture
def study(one_run: Study, tmp_path: Path) -> Study:
    """A clone with all outputs, free to be changed, that shares the cache."""
    clone = study_in(tmp_path / "study")
    one_run.git("clone", "-q", str(one_run.folder), str(clone.folder))
    clone.dvc("config", "--local", "cache.dir", str(one_run.folder / ".dvc/cache"))
    clone.dvc("checkout", "-q")
    return clone


def append(study: Study, name: str, text: str) -> None:
    with (study.folder / name).open("a") as file:
        file.write(text)


def refusal(study: Study) -> str:
    lock = study.read("dvc.lock")
    with pytest.raises(RefusedError) as refused:
        accept(study.folder)
    assert study.read("dvc.lock") == lock
    return str(refused.value)


def command(study: Study) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.dev.accept"],
        cwd=study.folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_refactoring_is_recorded_and_nothing_is_due_afterwards(study: Study) -> None:
    path = study.folder / "emotions/evidence/metrics.py"
    text = path.read_text()
    assert "def majority(" in text
    path.write_text(text.replace("def majority(", "def majority_share(") + "\n\nmajority = majority_share\n")
    append(study, "emotions/training/loop.py", "\n# a remark that retrains\n")
    assert "train@run1" in study.dvc("status", "dvc.yaml")
    before = params_file.load(study.folder / "dvc.lock")["stages"]
    done = command(study)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "outputs of the study of seconds are the same" in done.stdout
    assert "up to date" in study.dvc("status", "dvc.yaml")
    after = params_file.load(study.folder / "dvc.lock")["stages"]
    assert {n: s["outs"] for n, s in after.items()} == {n: s["outs"] for n, s in before.items()}
    changed = {line[3:] for line in study.git("status", "--porcelain").splitlines()}
    assert changed == {"dvc.lock", "emotions/evidence/metrics.py", "emotions/training/loop.py"}


def test_a_change_of_bytes_is_named_and_not_recorded(study: Study) -> None:
    path = study.folder / "emotions/evidence/metrics.py"
    text = path.read_text()
    assert '"ece": ' in text
    path.write_text(text.replace('"ece": ', '"ece": 1e-6 + '))
    lock = study.read("dvc.lock")
    done = command(study)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "metrics/runs/run1.json (evaluate@run1): other bytes" in done.stdout
    assert "Not recorded" in done.stdout and "models/runs/run1.pth" not in done.stdout
    assert study.read("dvc.lock") == lock


def test_what_is_more_than_code_is_refused(study: Study) -> None:
    append(study, "emotions/evidence/metrics.py", "\n# a remark\n")
    study.params(("  epochs: 2", "  epochs: 3"))
    assert "params.yaml changed as well (train.epochs)" in refusal(study)
    study.git("checkout", "params.yaml")
    append(study, "requirements.txt", "# another package\n")
    assert "requirements.txt changed as well" in refusal(study)
    study.git("checkout", "requirements.txt")
    append(study, "data/raw/synthetic/action_units.yaml", "# other faces\n")
    assert "data/raw/synthetic, which extract reads, changed as well" in refusal(study)
    study.git("checkout", "data")
    append(study, "claims.yaml", "# another rule\n")
    assert "claims.yaml, which report reads, changed as well" in refusal(study)


def test_an_output_that_is_missing_or_tampered_with_is_refused(study: Study) -> None:
    append(study, "emotions/evidence/metrics.py", "\n# a remark\n")
    metric = study.folder / "metrics/runs/run1.json"
    metric.write_text(metric.read_text().replace('"accuracy"', '"accuracy" '))
    assert "metrics/runs/run1.json of evaluate@run1 is modified" in refusal(study)
    study.git("checkout", "metrics")
    weights = study.folder / "models/last_epoch/run1.pth"
    weights.chmod(0o644)
    weights.unlink()
    assert "models/last_epoch/run1.pth of train@run1 is deleted" in refusal(study)
    weights.write_bytes(b"better weights")
    assert "models/last_epoch/run1.pth of train@run1 is modified" in refusal(study)


def test_a_commit_that_was_never_run_is_refused(study: Study) -> None:
    append(study, "emotions/evidence/metrics.py", "\n# committed without a run\n")
    study.commit("not run")
    append(study, "emotions/evidence/metrics.py", "# a remark\n")
    said = refusal(study)
    assert "dvc.lock does not match commit" in said and "emotions/evidence of " in said
    append(study, "dvc.lock", "# by hand\n")
    assert "dvc.lock is not that of the last commit" in refusal(study)


def test_where_nothing_moved_the_checks_pass(study: Study) -> None:
    _, commit = committed.commit_of(study.folder, "HEAD")
    before, now = committed.Side(study.folder, commit), committed.Side(study.folder, "")
    only_code_moved(before, now, committed.lock_of(before))
    outputs_are_recorded(study.folder)
