"""A training killed at random moments, then run again: the same bytes as never interrupted.

Run as a script, this file kills a training `KILLS` times: it has imported the stage and forks a child for
each attempt, so that little time goes into starting.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml
from conftest import A_WHILE, ROOT, TINY, Study, study_in, wait_for

RUN, SEED = "run1", 0
NETWORK = f"{RUN}-{SEED}"
EPOCHS = 14
KILLS = 20
"""Of the stage, and a few of the whole `dvc repro`, of which most time is starting."""
PARALLEL_KILLS = 10
OUTS = (f"models/runs/{NETWORK}.pth", f"models/last_epoch/{NETWORK}.pth", f"plots/history/{NETWORK}.csv")
ENVIRONMENT = os.environ | {
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
    "OMP_NUM_THREADS": "1",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study in which the run has been trained without interruption."""
    study = Study(tmp_path_factory.mktemp("whole"))
    study.params(*TINY, ("\n  epochs: 2", f"\n  epochs: {EPOCHS}"))
    study.dvc("repro", f"train@{NETWORK}")
    return study


@pytest.fixture
def untrained(whole: Study, tmp_path: Path) -> Study:
    """The same study before that run."""
    shutil.copytree(whole.folder, tmp_path / "untrained", symlinks=True)
    study = object.__new__(Study)
    study.folder = tmp_path / "untrained"
    for out in OUTS:
        (study.folder / out).unlink()
    (study.folder / "logs" / f"train@{NETWORK}.log").unlink()
    lock = yaml.safe_load(study.read("dvc.lock"))
    del lock["stages"][f"train@{NETWORK}"]
    (study.folder / "dvc.lock").write_text(yaml.safe_dump(lock))
    shutil.rmtree(study.folder / ".dvc" / "cache" / "runs")
    return study


def kill_often(seed: int) -> None:
    """The script: attempts that are killed, and one that is not.

    An attempt is killed once the checkpoint of an epoch that is still to come is there, and a random moment
    later; an epoch may end in that moment, the training does not.
    """
    from emotions import params_file
    from stages import train

    draw = random.Random(seed)
    for attempt in range(KILLS + 1):
        for out in OUTS:  # as DVC does before a stage
            Path(out).unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            train.main(params_file.read(Path("params.yaml"), train.PARAMS, run=RUN), RUN, SEED)
            os._exit(0)
        if attempt < KILLS:
            epoch = 1 + attempt * (EPOCHS - 4) // KILLS
            wait_for(lambda epoch=epoch: list(Path(".checkpoints").rglob("*.pt")) and reached() >= epoch)
            time.sleep(draw.uniform(0, 0.3))
            os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        files = sorted(Path(".checkpoints").rglob("*.pt"))
        assert len(files) <= 3
        print(attempt, status, files[-1].name if files else "", flush=True)


def reached() -> int:
    """The epochs of the newest checkpoint."""
    return max(int(path.name.partition("-")[0]) for path in Path(".checkpoints").rglob("*.pt"))


def test_a_training_killed_at_20_random_moments_ends_byte_identical(whole: Study, untrained: Study) -> None:
    done = subprocess.run(
        [sys.executable, __file__, "0"],
        cwd=untrained.folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    attempts = [line.split() for line in done.stdout.splitlines()]
    assert len(attempts) == KILLS + 1
    killed = [line for line in attempts if line[1] == str(-signal.SIGKILL)]
    assert len(killed) == KILLS, f"some attempts ended before they were killed: {attempts}"
    assert attempts[-1][1] == "0"
    reached = [line[2] for line in killed if len(line) > 2]
    assert reached == sorted(reached), "a checkpoint was lost"
    assert len(set(reached)) >= 10, f"too few epochs lie between the kills: {attempts}"
    for out in OUTS:
        assert (untrained.folder / out).read_bytes() == (whole.folder / out).read_bytes(), out
    assert not list((untrained.folder / ".checkpoints").iterdir())


def processes_in(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cwd", "status"]):
        if process.info["cwd"] == str(folder) and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


@pytest.mark.parametrize("victim", ["dvc", "all its processes"])
def test_a_killed_dvc_repro_goes_on_from_the_last_epoch(whole: Study, untrained: Study, victim: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro", f"train@{NETWORK}"],
        cwd=untrained.folder,
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    checkpoints = untrained.folder / ".checkpoints"
    wait_for(lambda: list(checkpoints.rglob("000002-*.pt")))
    if victim == "dvc":
        process.kill()  # the stage sees that and ends, too
    else:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    wait_for(lambda: not processes_in(untrained.folder))
    assert list(checkpoints.rglob("*.pt")), "the stage went on to its end without its dvc"
    untrained.dvc("repro", f"train@{NETWORK}")
    log = untrained.read(f"logs/train@{NETWORK}.log")
    assert "going on after epoch" in log
    assert log.count(f" epoch 1/{EPOCHS} ") == 1, "the first epoch was trained again"
    assert yaml.safe_load(untrained.read("dvc.lock")) == yaml.safe_load(whole.read("dvc.lock"))
    assert not list(checkpoints.iterdir())


def test_a_parallel_run_killed_again_and_again_ends_with_the_bytes_of_dvc_repro(
    one_run: Study, tmp_path: Path
) -> None:
    """Killed are the command alone, whose stages then end, and it with all that it started, in turn."""
    for name, origin in (("two", one_run.folder), ("killed", tmp_path / "two")):
        one_run.git("clone", "-q", str(origin), str(tmp_path / name))
    two, killed = study_in(tmp_path / "two"), study_in(tmp_path / "killed")
    two.set("study.seeds=[0,1]")
    two.dvc("repro")
    two.commit("two seeds")
    killed.git("pull", "-q")
    (killed.folder / "dvc.lock").unlink()
    command = [sys.executable, "-m", "tools.repro", "--jobs", "2"]
    draws, kills = random.Random(0), 0
    while kills < PARALLEL_KILLS:
        process = subprocess.Popen(command, cwd=killed.folder, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
        try:
            process.wait(draws.uniform(4, 12))
        except subprocess.TimeoutExpired:
            kills += 1
        else:  # all is done before the last kill: from the beginning, then
            (killed.folder / "dvc.lock").unlink()
            shutil.rmtree(killed.folder / ".dvc/cache/runs")
        for victim in [process, *(processes_in(killed.folder) if kills % 2 else ())]:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
        process.wait()
        wait_for(lambda: not processes_in(killed.folder))
    done = subprocess.run(
        command, cwd=killed.folder, env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert killed.git("status", "--porcelain").split() in ([], ["M", "dvc.lock"])
    locks = [yaml.safe_load(study.read("dvc.lock")) for study in (two, killed)]
    assert locks[0] == locks[1]  # whatever the order of the stages: `two` added a seed to a lock


def test_ctrl_c_ends_a_training_at_once_and_loses_no_step(whole: Study) -> None:
    before = yaml.safe_load(whole.read("dvc.lock"))["stages"][f"train@{NETWORK}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "stages.train", RUN, str(SEED)],
        cwd=whole.folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    checkpoints = whole.folder / ".checkpoints"
    wait_for(lambda: list(checkpoints.rglob("*.pt")))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=A_WHILE)
    assert process.returncode == 130
    assert f"train@{NETWORK} interrupted after" in errors
    assert "Traceback" not in errors
    assert list(checkpoints.rglob("*.pt"))
    whole.dvc("repro", "--force", "--single-item", f"train@{NETWORK}")
    assert "going on after epoch" in whole.read(f"logs/train@{NETWORK}.log")
    assert yaml.safe_load(whole.read("dvc.lock"))["stages"][f"train@{NETWORK}"] == before


if __name__ == "__main__":
    kill_often(int(sys.argv[1]))
