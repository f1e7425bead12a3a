"""`tools.side_by_side` runs stages as soon as they can run, and loses none of them."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import ROOT, wait_for

from tools import side_by_side
from tools.side_by_side import Options, Outcome


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(scripts: dict[str, str], needs: dict[str, list[str]] | None = None, **options: object) -> Outcome:
    """Shell scripts as stages; those that are not in `needs` need nothing."""
    return side_by_side.run(
        {name: (needs or {}).get(name, []) for name in scripts},
        Options(**({"jobs": 2} | options)),  # type: ignore[arg-type]
        command=lambda name, _: ["sh", "-c", scripts[name]],
    )


MEET = "touch {0}.here; for i in $(seq 600); do [ -e {1}.here ] && exit 0; sleep 0.05; done; exit 1"
"""A stage that ends well only if another runs at the same time."""


def test_stages_that_can_run_at_once_do(tmp_path: Path) -> None:
    outcome = run({"a": MEET.format("a", "b"), "b": MEET.format("b", "a")})
    assert sorted(outcome.done) == ["a", "b"] and not outcome.failed


def test_a_stage_begins_when_what_it_needs_is_done_and_no_more_run_than_there_are_jobs() -> None:
    count = "mkdir run.{0}; set -- run.*; [ $# -le 2 ] || exit 3; sleep 0.2; rmdir run.{0}; touch {0}.done"
    scripts = {name: count.format(name) for name in "abcdef"}
    scripts["last"] = "for n in a b c d e f; do [ -e $n.done ] || exit 4; done"
    outcome = run(scripts, {"last": list("abcdef")})
    assert outcome.done[-1] == "last" and len(outcome.done) == 7


def test_a_failure_is_shown_with_its_log_and_lets_the_others_finish(
    capfd: pytest.CaptureFixture[str],
) -> None:
    outcome = run(
        {"bad": "echo the reason >&2; exit 5", "good": "sleep 0.3", "after": "true", "last": "true"},
        {"after": ["bad"], "last": ["after", "good"]},
    )
    assert (outcome.failed, outcome.done, outcome.waiting) == (["bad"], ["good"], ["after", "last"])
    said = capfd.readouterr().err
    assert "bad failed with status 5" in said and "logs/stages/bad.log" in said and "  | the reason" in said


def test_a_stage_that_was_killed_has_failed(capfd: pytest.CaptureFixture[str]) -> None:
    outcome = run({"dead": "kill -9 $$", "good": "true"})
    assert (outcome.failed, outcome.done) == (["dead"], ["good"])
    assert "dead ended by signal 9" in capfd.readouterr().err


def test_gpus_are_given_in_turn() -> None:
    scripts = {name: f"echo $CUDA_VISIBLE_DEVICES > {name}; sleep 0.5" for name in "abcd"}
    run(scripts, jobs=4, gpus=["0", "1"])
    assert sorted(Path(name).read_text().strip() for name in "abcd") == ["0", "0", "1", "1"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_every_stage_and_those_that_wait_do_not_begin(number: signal.Signals) -> None:
    told = "trap 'touch {0}.told; exit 130' INT; touch {0}.begun; while :; do sleep 0.05; done"

    def interrupt() -> None:
        wait_for(lambda: Path("a.begun").exists() and Path("b.begun").exists())
        os.kill(os.getpid(), number)

    threading.Thread(target=interrupt).start()
    outcome = run({"a": told.format("a"), "b": told.format("b"), "c": "touch c.begun"})
    assert outcome.stopped and outcome.waiting == ["c"] and not outcome.done
    assert Path("a.told").exists() and Path("b.told").exists() and not Path("c.begun").exists()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL, "handlers are put back"


def test_a_stage_that_does_not_end_when_told_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "SECONDS_TO_STOP", -9.5)

    def interrupt() -> None:
        wait_for(lambda: Path("begun").exists())
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    assert run({"deaf": "trap '' INT; touch begun; sleep 600"}).stopped


MANY = """stages:
  first:
    cmd: echo 0 > first
    outs: [first]
  many:
    foreach: [{names}]
    do:
      cmd: head -c 200000 /dev/zero > out.${{item}} && echo ${{item}} >> out.${{item}}
      deps: [first]
      outs: ["out.${{item}}"]
  last:
    cmd: cat out.* > last
    deps: [{outs}]
    outs: [last]
"""
CODE = "import sys; from tools import repro; sys.exit(repro.main())"


def study(folder: Path, stages: int) -> dict[str, str]:
    """A pipeline of that many stages between two others, with the params of the study."""
    folder.mkdir()
    numbers = range(stages)
    (folder / "dvc.yaml").write_text(
        MANY.format(names=", ".join(map(str, numbers)), outs=", ".join(f"out.{i}" for i in numbers))
    )
    (folder / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    environment = os.environ | {"PYTHONPATH": str(ROOT), "DVC_NO_ANALYTICS": "1"}
    subprocess.run(
        [sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=folder, env=environment, check=True
    )
    return environment


def test_the_lock_is_that_of_dvc_repro_and_holds_every_stage(tmp_path: Path) -> None:
    environment = study(tmp_path / "one", 8)
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], cwd="one", env=environment, check=True)
    study(tmp_path / "many", 8)
    command = [sys.executable, "-c", CODE, "--jobs", "4"]
    done = subprocess.run(command, cwd="many", env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert Path("many/dvc.lock").read_text() == Path("one/dvc.lock").read_text()
    assert Path("many/dvc.lock").read_text().count("cmd:") == 10
    again = subprocess.run(command, cwd="many", env=environment, capture_output=True, text=True, check=False)
    assert (again.returncode, again.stdout) == (0, "Data and pipelines are up to date.\n")


def test_words_before_each_stage_start_it_elsewhere(tmp_path: Path) -> None:
    """With a stand-in for `srun`: it notes what it is given, and runs it with another environment."""
    environment = study(tmp_path / "one", 3)
    srun = tmp_path / "srun"
    srun.write_text('#!/bin/sh\necho "$@" >> calls\nshift\nON_NODE=1 exec "$@"\n')
    srun.chmod(0o755)
    Path("one/dvc.yaml").write_text(Path("one/dvc.yaml").read_text().replace("echo 0 >", "echo $ON_NODE >"))
    command = [sys.executable, "-c", CODE, "--jobs", "2", "--with", f"{srun} --gres=gpu:1"]
    done = subprocess.run(command, cwd="one", env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    calls = Path("one/calls").read_text().splitlines()
    assert len(calls) == 5 and all(call.startswith("--gres=gpu:1 ") for call in calls)
    assert Path("one/first").read_text() == "1\n"


def test_words_that_are_no_command_are_refused_by_name(tmp_path: Path) -> None:
    environment = study(tmp_path / "one", 1)
    command = [sys.executable, "-c", CODE, "--with", "srunn --gres=gpu:1"]
    done = subprocess.run(command, cwd="one", env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "--with: 'srunn' is not a command here" in done.stderr


HOLD = """
import time
from dvc.repo import Repo
with Repo(".") as repo:
    repo.lock.lock()
    open("held", "w").close()
    time.sleep(10)
    repo.lock.unlock()
"""


def test_a_lock_that_is_held_for_long_loses_no_stage(tmp_path: Path) -> None:
    """Without `--wait-for-lock` DVC gives up after three seconds, and does not record what was computed."""
    environment = study(tmp_path / "one", 1)
    (tmp_path / "one/dvc.yaml").write_text(
        f"stages:\n  slow:\n    cmd: {sys.executable} hold.py & while [ ! -e held ]; do sleep 0.1; done; "
        "date > out\n    outs: [out]\n"
    )
    (tmp_path / "one/hold.py").write_text(HOLD)
    begun = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", CODE, "--jobs", "2"],
        cwd="one",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - begun > 10, "the lock was not held"
    assert "slow:" in Path("one/dvc.lock").read_text()
