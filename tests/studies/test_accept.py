"""`make accept` records a refactoring without training, and nothing that moves a byte or more than code."""

import subprocess
from pathlib import Path

import pytest
from conftest import Study, study_in, warm_python

from emotions import params_file
from tools.dev.accept import RefusedError, accept, only_code_moved, record
from tools.referee import committed, rerun


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
        [warm_python(), "-m", "tools.dev.accept"],
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
    _new_knob(study)
    weights = study.folder / "models/last_epoch/run1-0.pth"
    content = weights.read_bytes()
    weights.unlink()  # as in a clone without the cache
    assert "train@run1-0" in study.dvc("status", "dvc.yaml")
    before = params_file.load(study.folder / "dvc.lock")["stages"]
    done = command(study)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "outputs of the study of seconds are the same" in done.stdout
    weights.write_bytes(content)
    assert "up to date" in study.dvc("status", "dvc.yaml")
    assert "nice_round" in study.read("dvc.lock")
    after = params_file.load(study.folder / "dvc.lock")["stages"]
    assert {n: s["outs"] for n, s in after.items()} == {n: s["outs"] for n, s in before.items()}
    changed = {line[3:] for line in study.git("status", "--porcelain").splitlines()}
    code = {"emotions/evidence/metrics.py", "emotions/training/loop.py", "emotions/reporting/knobs.py"}
    assert changed == {"dvc.lock", "params.yaml", *code}


def _new_knob(study: Study) -> None:
    """A knob that changes nothing, in a group that a stage reads."""
    study.params(("  language: en ", "  nice_round: 2\n  language: en "))
    append(study, "emotions/reporting/knobs.py", "    nice_round: int = 2\n")


def test_a_change_of_bytes_is_named_and_not_recorded(study: Study) -> None:
    path = study.folder / "emotions/evidence/metrics.py"
    text = path.read_text()
    assert '"ece": ' in text
    path.write_text(text.replace('"ece": ', '"ece": 1e-6 + '))
    lock = study.read("dvc.lock")
    done = command(study)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "metrics/runs/run1-0.json (evaluate@run1-0): other bytes" in done.stdout
    assert "Not recorded" in done.stdout and "models/runs/run1-0.pth" not in done.stdout
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


def test_a_stage_that_dvc_yaml_has_changed_is_refused(study: Study) -> None:
    text = study.read("dvc.yaml")
    (study.folder / "dvc.yaml").write_text(
        text.replace("outs: [models/best_resnet50.pth]", "outs: [models/b]")
    )
    lock = study.read("dvc.lock")
    now = committed.Side(study.folder, "")
    with pytest.raises(RefusedError, match=r"dvc\.yaml changed more than code of best"):
        record(now, rerun.declared_stages(study.folder))
    assert study.read("dvc.lock") == lock


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
    lock = study.read("dvc.lock")
    record(now, rerun.declared_stages(study.folder))
    assert study.read("dvc.lock") == lock
