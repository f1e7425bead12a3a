"""Repeats through DVC's own queue, of a study of a second: finished, cut off, failed, foreign experiments."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import yaml
from conftest import A_WHILE, ROOT, wait_for

from tools import repeats
from tools.repeats import Repeat, RepeatsError

STAGE = """
import json, os, pathlib, random, sys, time
import yaml

values = yaml.safe_load(open("params.yaml"))
if values["seed"] == 2 and "HASTE" not in os.environ:
    time.sleep(values["seconds"])
if values["seed"] == 13:
    sys.exit("unlucky")
draw = random.Random(values["seed"])
folder = pathlib.Path("metrics/runs")
folder.mkdir(parents=True, exist_ok=True)
for name, run in values["runs"].items():
    bonus = run.get("bonus", 0)
    images = int(800 * values["train"]["fraction"])
    score = lambda: {"accuracy": draw.random() + bonus, "macro_f1": draw.random(), "images": images}
    selected = {split: score() for split in ("train", "val", "test")}
    if values["train"]["fraction"] < 1:
        selected["test"]["accuracy"] = 1 - 2 * images**-0.3
    (folder / f"{name}.json").write_text(json.dumps({"selected": selected, "data": "abc"}))
"""
PIPELINE = """
stages:
  evaluate:
    cmd: python stages/best.py
    deps: [stages/best.py]
    params: [seed, seconds, runs, train]
    outs:
      - metrics/runs: {cache: false}
  report:
    cmd: echo all > whole.txt
    deps: [metrics/runs]
    outs:
      - whole.txt: {cache: false}
"""
RUNS = {"run1": {"title": "One"}, "run2": {"title": "Two", "lr": {"body": 1e-4, "decay": 0.5}}}
FURTHER = {
    "run4": {
        "title": "Four: more, and better",
        "lr": {"body": 1e-4},
        "bonus": 5,
        "parts": ["stem", "head"],
        "epochs": None,
    }
}
THRESHOLDS = yaml.safe_load((ROOT / "params.yaml").read_text())["diagnosis"]
ENVIRONMENT = os.environ | {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "PYTHONPATH": str(ROOT),
    "DVC_NO_ANALYTICS": "1",
}


class Tiny:
    """A git repository with a pipeline of one stage, which takes `seconds` with seed 2, unless in haste."""

    def __init__(self, folder: Path, seconds: int = 0) -> None:
        self.folder = folder
        (folder / "stages").mkdir()
        (folder / "stages/best.py").write_text(STAGE)
        (folder / "dvc.yaml").write_text(PIPELINE)
        params = {"seed": 0, "seconds": seconds, "diagnosis": THRESHOLDS, "runs": RUNS}
        params |= {
            "further_runs": FURTHER,
            "train": {"fraction": 1.0, "epochs": 3},
            "pretrained": {"lr": 1e-3},
        }
        (folder / "params.yaml").write_text(yaml.safe_dump(params))
        self.do("git", "init", "-q")
        self.do("git", "config", "user.name", "test")
        self.do("git", "config", "user.email", "test@example.org")
        self.do(sys.executable, "-m", "dvc", "init", "-q")
        self.commit()

    def do(self, *command: str) -> str:
        done = subprocess.run(
            command, cwd=self.folder, env=ENVIRONMENT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def commit(self) -> None:
        self.do("git", "add", "-A")
        self.do("git", "commit", "-qm", "change")

    def start(self, *arguments: str, tool: str = "repeats", **environment: str) -> subprocess.Popen[str]:
        script = f"import sys; from tools import repeats, {tool}; repeats.POLL_SECONDS = 1.0; "
        return subprocess.Popen(
            [sys.executable, "-c", f"{script}sys.exit({tool}.main())", *arguments],
            cwd=self.folder,
            env=ENVIRONMENT | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def repeat(self, *arguments: str, tool: str = "repeats", **environment: str) -> tuple[int, str, str]:
        process = self.start(*arguments, tool=tool, **environment)
        out, error = process.communicate(timeout=A_WHILE)
        return process.returncode, out, error

    def processes(self) -> list[psutil.Process]:
        """Of DVC's workers and their experiments."""
        found = []
        for process in psutil.process_iter(["cwd", "status", "cmdline", "create_time"]):
            inside = str(process.info["cwd"] or "").startswith(str(self.folder))
            if inside and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process)
        return found

    def seeds_at_work(self) -> list[int]:
        """Of the experiments whose stage runs."""
        found = []
        for process in self.processes():
            if "stages/best.py" in (process.info["cmdline"] or []):
                with contextlib.suppress(OSError):  # it has ended
                    values = yaml.safe_load((Path(process.info["cwd"]) / "params.yaml").read_text())
                    found.append(values["seed"])
        return found


def test_seeds_are_run_and_reported_and_never_run_again(tmp_path: Path) -> None:
    study = Tiny(tmp_path)
    code, out, error = study.repeat("--seeds", "0", "13", "1")
    assert (code, error) == (1, "")
    assert "0 of 3 finished before" in out
    assert "repeat-13 failed; what it said: dvc queue logs repeat-13" in out
    report = (tmp_path / "repeats/report.md").read_text()
    assert "# Over 2 seeds" in report
    assert "**Failed and left out: repeat-13**" in report
    assert (tmp_path / "repeats/repeats.png").stat().st_size > 5000
    scores = (tmp_path / "repeats/scores.csv").read_bytes()
    assert scores.count(b"\n") == 5

    assert study.do("git", "show", f"{commits(study)[0]}:whole.txt") == "all\n", "the whole study"

    code, _, error = study.repeat("--seeds", "0", "1", "--set", "seconds=1")
    assert code == 2
    assert "experiment repeat-0 of this commit has other params" in error

    study.commit()  # the report, which changes nothing that decides numbers
    code, out, _ = study.repeat("--seeds", "0", "1", "--name", "again", "--against", "repeats/scores.csv")
    assert (code, "2 of 2 finished before" in out) == (0, True), "what has these params counts, by any name"
    again = (tmp_path / "repeats/again/scores.csv").read_bytes()
    report = (tmp_path / "repeats/again/report.md").read_text()
    assert "## Against repeats/scores.csv, seed by seed" in report
    assert "| 2 | " in report
    assert "AGAINST=repeats/scores.csv" in report
    assert again == scores.replace(b"repeat-", b"again-"), "the report may differ from what is committed"

    stage = tmp_path / "stages/best.py"
    stage.write_text(stage.read_text() + "# another study\n")
    code, _, error = study.repeat("--seeds", "0", "1")
    assert (code, "commit first" in error) == (2, True)
    study.commit()
    assert repeats.finished(tmp_path, repeats.planned([0, 1], [], [], "repeat")) == {}


def test_what_was_cut_off_goes_on_and_what_was_finished_stays(tmp_path: Path) -> None:
    study = Tiny(tmp_path, seconds=600)

    def second_runs() -> bool:
        return any(seed == 2 for seed in study.seeds_at_work())

    process = study.start("--seeds", "1", "2", "3")
    wait_for(second_runs)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=A_WHILE)
    assert process.returncode == 130, said
    wait_for(lambda: not study.seeds_at_work())
    assert repeats.tasks(tmp_path) == [] or {t.state for t in repeats.tasks(tmp_path)} == {"failed"}

    finished = len(commits(study))  # the queue keeps no order among tasks of one moment
    process = study.start("--seeds", "1", "2", "3")
    wait_for(second_runs)
    process.kill()  # as when the machine goes off
    for one in study.processes():
        one.kill()
    out, _ = process.communicate(timeout=A_WHILE)
    assert f"{finished} of 3 finished before" in out
    wait_for(lambda: not study.processes())
    finished = len(commits(study))
    assert ("repeat-2", "running", False) in {(t.name, t.state, t.alive) for t in repeats.tasks(tmp_path)}

    code, out, error = study.repeat("--seeds", "1", "2", "3", HASTE="1")
    assert (code, error) == (0, ""), out
    assert f"{finished} of 3 finished before" in out
    assert "# Over 3 seeds" in (tmp_path / "repeats/report.md").read_text()


def test_chosen_runs_are_scored_alone_and_one_comparison_is_named_in_advance(tmp_path: Path) -> None:
    study = Tiny(tmp_path)
    arguments = ["--seeds", "0", "1", "3", "--runs", "run1", "run4", "--scores-only", "--name", "answer"]
    code, _, error = study.repeat(*arguments, "--named-in-advance", "run4", "run1", "test_accuracy")
    assert (code, error) == (0, "")
    values = yaml.safe_load(study.do("git", "show", f"{commits(study)[0]}:params.yaml"))
    assert values["runs"] == {"run1": RUNS["run1"], "run4": FURTHER["run4"]}
    report = (tmp_path / "repeats/answer/report.md").read_text()
    assert "Named in advance: run4 less run1, test accuracy, %: +" in report
    assert "run4 better in 3 of 3" in report
    assert 'RUNS="run1 run4" SCORES_ONLY=1' in report
    assert "run2" not in report
    assert "whole.txt" not in study.do("git", "ls-tree", "--name-only", commits(study)[0])
    code, _, error = study.repeat(*arguments, "--runs", "run1", "run9")
    assert code == 2
    assert "run9 is no run of params.yaml; it has run1, run2, run4" in error


def test_a_learning_curve_is_trained_and_left_where_the_report_reads_it(tmp_path: Path) -> None:
    study = Tiny(tmp_path)
    (tmp_path / "learning_curve.json").write_text("{}\n")
    study.commit()
    arguments = ["--fractions", "0.125", "0.25", "0.5", "--seeds", "0", "--runs", "run1", "--scores-only"]
    for before in ("0 of 3", "3 of 3"):
        code, out, error = study.repeat(*arguments, tool="learning_curve")
        assert (code, error) == (0, "")
        assert f"{before} finished before" in out
    found = json.loads((tmp_path / "learning_curve.json").read_text())
    assert found["data"] == "abc"
    assert found["settings"] == {
        "train": {"epochs": 3},
        "pretrained": {"lr": 1e-3},
        "runs": {"run1": RUNS["run1"]},
    }
    law = found["runs"]["run1"]
    assert (law["images"], law["holds"]) == (400, True)
    assert law["exponent"] == pytest.approx(0.3, abs=1e-6)
    assert [one["images"] for one in law["predicted"]] == [400, 800, 4000, 1_000_000]
    assert law["predicted"][2]["accuracy"] == pytest.approx(1 - 2 * 4000**-0.3, abs=1e-6)
    assert "| run1 | 0.30" in (tmp_path / "learning_curve/report.md").read_text()
    # What it left changed is no obstacle to the next command.
    code, _, error = study.repeat("--seeds", "0", "1", "--name", "after", "--scores-only")
    assert (code, error) == (0, "")


def test_an_ablation_runs_its_variants_as_one_experiment_a_seed(tmp_path: Path) -> None:
    study = Tiny(tmp_path)
    code, _, error = study.repeat("--run", "run4", "--seeds", "0", tool="ablation")
    assert (code, error) == (0, "")
    values = yaml.safe_load(study.do("git", "show", f"{commits(study)[0]}:params.yaml"))
    keys = ("lr_body", "bonus", "parts")  # a null is as good as no key
    made = {f"{way}_{key}" for way in ("with", "without") for key in keys}
    assert values["runs"].keys() == {"run1", "run4"} | made
    assert values["runs"]["with_bonus"] == RUNS["run1"] | {"title": "with bonus", "bonus": 5}
    report = (tmp_path / "ablation/report.md").read_text()
    assert "| without_bonus |" in report


def test_only_what_was_made_with_its_params_counts_as_finished(tmp_path: Path) -> None:
    study = Tiny(tmp_path)
    study.do(sys.executable, "-m", "dvc", "repro", "-q")
    study.commit()
    head = study.do("git", "rev-parse", "HEAD").strip()
    of_head = f"refs/exps/{head[:2]}/{head[2:]}"
    planned = repeats.planned([1], [], [], "repeat")

    def kept(ref: str, *made_by: str) -> str:
        """A commit with the experiment's params, after that command, and nothing else under refs/exps."""
        for old in study.do("git", "for-each-ref", "--format=%(refname)", "refs/exps").split():
            study.do("git", "update-ref", "-d", old)
        text = (tmp_path / "params.yaml").read_text()
        (tmp_path / "params.yaml").write_text(text.replace("seed: 0", "seed: 1"))
        if made_by:
            study.do(*made_by)
        study.commit()
        commit = study.do("git", "rev-parse", "HEAD").strip()
        study.do("git", "update-ref", ref, commit)
        study.do("git", "reset", "-q", "--hard", head)
        return commit

    dvc_repro = (sys.executable, "-m", "dvc", "repro", "-q")
    kept("refs/exps/temp/merge-8Ki", *dvc_repro)  # DVC's own, for as long as an experiment begins
    assert repeats.finished(tmp_path, planned) == {}
    kept(f"{of_head}/other")  # as of `dvc exp save`: scores of seed 0
    assert repeats.finished(tmp_path, planned) == {}
    kept(f"{of_head}/repeat-1")
    with pytest.raises(RepeatsError, match=r"repeat-1 of this commit has .* scores that were not made with"):
        repeats.finished(tmp_path, planned)
    forge = "import pathlib as p; f = p.Path('metrics/runs/run1.json'); f.write_text(f.read_text() + ' ')"
    kept(f"{of_head}/other", "sh", "-c", f'{" ".join(dvc_repro)} && {sys.executable} -c "{forge}"')
    assert repeats.finished(tmp_path, planned) == {}
    kept(f"{of_head}/other", "git", "rm", "-q", "dvc.lock")
    assert repeats.finished(tmp_path, planned) == {}
    whole = kept(f"{of_head}/other", *dvc_repro, "evaluate")
    assert repeats.finished(tmp_path, planned) == {"repeat-1": whole}


def commits(study: Tiny) -> list[str]:
    """Of the finished experiments."""
    listed = study.do("git", "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps")
    found = [line.split() for line in listed.splitlines()]
    return [commit for commit, ref in found if repeats.EXPERIMENT.fullmatch(ref)]


def test_stopping_waits_for_what_a_worker_has_just_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """DVC sees it neither waiting nor running for a moment, then without a process, then with one."""
    taken = repeats.Task("r-0", "running", "t", None, False)
    runs, other = replace(taken, pid=7, alive=True), replace(taken, name="other", pid=8, alive=True)
    looks = iter([[other], [taken, other], [runs, other], [replace(runs, alive=False), other], []])
    done: list[tuple[str, ...]] = []
    monkeypatch.setattr(repeats, "tasks", lambda _: next(looks))
    monkeypatch.setattr(repeats, "dvc", lambda _, *arguments: done.append(arguments))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    repeats.stop(Path(), repeats.planned([0], [], [], "r"))
    assert done == [("queue", "kill", "t")]
    assert list(looks) == [], "it looks twice at nothing before it believes it"


def test_what_does_not_stop_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    stubborn = repeats.Task("r-0", "running", "t", 7, True)
    monkeypatch.setattr(repeats, "tasks", lambda _: [stubborn])
    monkeypatch.setattr(repeats, "dvc", lambda *_: "")
    monkeypatch.setattr(repeats, "STOP_SECONDS", 0.5)
    with pytest.raises(RepeatsError, match="r-0 does not stop; end it yourself: dvc queue kill r-0"):
        repeats.stop(Path(), repeats.planned([0], [], [], "r"))


@pytest.mark.parametrize(
    ("seeds", "changes", "message"),
    [
        ([0, 0], [], "a seed is named twice"),
        ([0], ["epochs"], "write key=value"),
        ([0], ["=3"], "write key=value"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(seeds: list[int], changes: list[str], message: str) -> None:
    with pytest.raises(RepeatsError, match=message):
        repeats.planned(seeds, [], changes, "repeat")


def test_data_seeds_of_images_that_are_not_drawn_are_refused() -> None:
    values = {"seed": 0, "data": {"source": "synthetic", "synthetic": {"seed": 0}}}
    seeded, plain = repeats.planned([0], [1], [], "r"), repeats.planned([0], [], [], "r")
    repeats.refuse_idle_data_seeds(values, seeded)
    values["data"]["source"] = "ferplus"
    repeats.refuse_idle_data_seeds(values, plain)
    with pytest.raises(RepeatsError, match=r"data\.source=ferplus they change nothing"):
        repeats.refuse_idle_data_seeds(values, seeded)


def test_every_data_seed_meets_every_training_seed() -> None:
    found = repeats.planned([0, 1], [7, 8], ["train.epochs=20", "runs.run1.lr.body=1e-3"], "longer")
    assert [r.name for r in found] == [
        "longer-0-data-7",
        "longer-1-data-7",
        "longer-0-data-8",
        "longer-1-data-8",
    ]
    values = {
        "seed": 5,
        "train": {"epochs": 10},
        "runs": {"run1": {"lr": {"body": 1e-4}}},
        "data": {"synthetic": {"seed": 0}},
    }
    assert repeats.with_overrides(values, found[1]) == {
        "seed": 1,
        "train": {"epochs": 20},
        "runs": {"run1": {"lr": {"body": 1e-3}}},
        "data": {"synthetic": {"seed": 7}},
    }
    assert values["seed"] == 5
    with pytest.raises(RepeatsError, match=r"train\.steps is no key"):
        repeats.with_overrides(values, Repeat("r", 0, None, (("train.steps", 1),)))


def test_a_name_that_means_two_runs_is_refused() -> None:
    values = {"runs": {"run1": {"lr": 1}, "run4": {"lr": 1}}, "further_runs": {"run4": {"lr": 2}}}
    with pytest.raises(RepeatsError, match="run4 is two different runs"):
        repeats.chosen_runs(values, ["run1", "run4"])
    values["further_runs"]["run4"]["lr"] = 1
    assert repeats.chosen_runs(values, ["run4"]) == {"run4": {"lr": 1}}
