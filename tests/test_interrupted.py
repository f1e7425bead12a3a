"""Killed at any moment, or out of disk, a stage leaves whole outs or none, and a rerun makes the same bytes.

Run as a script, this file is the warm process of these tests: it has imported the stages and forks a child
for each stage it is asked to run.
"""

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import A_WHILE, ROOT
from PIL import Image

from emotions.taxonomy import BASIC, SPLITS, compound_classes

OUTS = {
    "extract": ("data/extracted", "metrics/data.json", "plots/contact_sheet.jpg"),
    "preprocess": ("data/dataset_resnet_224.zip",),
}
"""In the order in which the stage puts them in place."""
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT)}
KILLED = -signal.SIGKILL
MOMENTS = 10
NO_SPACE = "no space left for {}: free some and run this again; nothing half-written is left"
MOUNT = 'mount -t tmpfs -o size=64k none "$0" && exec "$@"'
PAGE = os.sysconf("SC_PAGE_SIZE")
PLENTY = 1 << 30


def draw_faces(folder: Path, per_class: int) -> None:
    """A tree of distinct noise pictures."""
    rng = np.random.default_rng(0)
    for split in SPLITS:
        for label in (*compound_classes("rafdb11"), *BASIC):
            (folder / split / label).mkdir(parents=True, exist_ok=True)
            for number in range(per_class):
                coarse = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
                coarse.resize((100, 100)).save(folder / split / label / f"{number}.jpg", quality=95)


def set_up(folder: Path, raw: Path) -> Path:
    """A study of an image folder; `raw` holds its pictures."""
    (folder / "data" / "raw").mkdir(parents=True)
    (folder / "data" / "raw" / "imagefolder").symlink_to(raw)
    text = (ROOT / "params.yaml").read_text().replace("source: synthetic ", "source: imagefolder ")
    (folder / "params.yaml").write_text(text)
    shutil.copy(ROOT / "versions.txt", folder)
    return folder


def state(folder: Path, stage: str) -> list[str]:
    """A digest of each out of the stage, empty where there is none."""
    return [digest(folder / out) for out in OUTS[stage]]


def digest(path: Path) -> str:
    if not path.exists():
        return ""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    content = b"".join(f"{p.relative_to(path)} {p.stat().st_size}\n".encode() + p.read_bytes() for p in files)
    return hashlib.sha256(content).hexdigest()


def left_overs(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.endswith(".part")]


def put_in_place(outs_of: Path | None, folder: Path, stage: str) -> None:
    """The stage's outs in `folder` are made those of another study, or removed."""
    for out in OUTS[stage]:
        path = folder / out
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.parent.mkdir(exist_ok=True)
        if outs_of and (outs_of / out).is_dir():
            shutil.copytree(outs_of / out, path)
        elif outs_of:
            shutil.copy(outs_of / out, path)


class Warm:
    """A process that has imported the stages already; `before` is what it takes to start it elsewhere."""

    def __init__(self, scratch: Path, before: Sequence[str] = ()) -> None:
        self.process = subprocess.Popen(
            [*before, sys.executable, __file__, str(scratch)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
        assert self.process.stdout
        self.process.stdout.readline()

    def run(self, stage: str, folder: Path, **when: Any) -> dict[str, Any]:
        """Run a stage in a process group of its own, killed at its n-th `change` on disk, `delay` seconds
        after it, or not at all.

        Returns:
            `status`; `errors`, what stands on stderr; `changes`, a word for each change on disk;
            `alive`, whether any process of the group is left.
        """
        assert self.process.stdin
        assert self.process.stdout
        print(
            json.dumps({"stage": stage, "folder": str(folder), **when}), file=self.process.stdin, flush=True
        )
        return json.loads(self.process.stdout.readline())

    def whole(self, stage: str, folder: Path) -> dict[str, Any]:
        done = self.run(stage, folder)
        assert done["status"] == 0, done["errors"]
        return done

    def __enter__(self) -> "Warm":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()


def serve(scratch: Path) -> None:
    """The warm process."""
    import stages.extract
    import stages.preprocess
    from emotions import command, params_file
    from emotions.runtime import console

    mains = {"extract": stages.extract, "preprocess": stages.preprocess}
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            os.chdir(order["folder"])
            os.dup2(os.open(scratch / "errors", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
            watch_changes(scratch / "changes", order.get("change"), order.get("delay"))
            stage, module = order["stage"], mains[order["stage"]]
            status = 1
            try:
                with console.session(stage, command.LOGS / f"{stage}.log"):
                    module.main(params_file.read(command.PARAMS_FILE, module.PARAMS))
                status = 0
            except SystemExit as end:
                status = end.code
            except Exception:
                traceback.print_exc()
            os._exit(status)
        with contextlib.suppress(PermissionError):
            os.setpgid(child, child)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        answer = {
            "status": status,
            "errors": (scratch / "errors").read_text(),
            "changes": (scratch / "changes").read_text().split(),
            "alive": still_alive(child),
        }
        print(json.dumps(answer), flush=True)


def watch_changes(record: Path, last: int | None, delay: float | None) -> None:
    """Note every change that the main thread makes on disk, and kill the process group just before number
    `last`, or, with a `delay`, by a thread so many seconds later.

    How many the threads of a pool make depends on which of them is first to make a folder.
    """
    noted = record.open("w", buffering=1)
    seen = 0

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if threading.current_thread() is not threading.main_thread():
            return
        writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if writes or event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir"):
            if seen == last and delay is None:
                os.killpg(0, signal.SIGKILL)
            elif seen == last:
                threading.Timer(delay, os.killpg, (0, signal.SIGKILL)).start()
            seen += 1
            noted.write(f"{event}\n")

    sys.addaudithook(note)


def still_alive(group: int) -> bool:
    """Whether the group keeps a process: workers see a moment later that their parent is gone."""
    until = time.monotonic() + A_WHILE
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.05)
    return True


class Studies:
    """Two studies with all their outs, of fewer (`old`) and of more (`new`) pictures, and one to kill."""

    def __init__(self, folder: Path, warm: Warm) -> None:
        self.warm = warm
        draw_faces(folder / "raw_old", 1)
        draw_faces(folder / "raw_new", 2)
        self.old = set_up(folder / "old", folder / "raw_old")
        self.new = set_up(folder / "new", folder / "raw_new")
        self.killed = set_up(folder / "killed", folder / "raw_new")
        for study in (self.old, self.new):
            for stage in OUTS:
                warm.whole(stage, study)
        put_in_place(self.new, self.killed, "extract")

    def survives(self, stage: str, has_old: bool, run: Callable[[], dict[str, Any]]) -> int:
        """Whether what a killed run leaves is whole, and mended by another run; its status."""
        put_in_place(self.old if has_old else None, self.killed, stage)
        old, new = state(self.killed, stage), state(self.new, stage)
        done = run()
        assert done["status"] in (0, KILLED)
        assert not done["alive"]
        left = state(self.killed, stage)
        for out, is_old, is_new, is_left in zip(OUTS[stage], old, new, left, strict=True):
            assert is_left in (is_old, is_new, ""), f"{out} is neither the old one nor the new one"
        put = [is_left == is_new for is_left, is_new in zip(left, new, strict=True)]
        assert put == sorted(put, reverse=True), "an out is new while one before it is not"
        self.warm.whole(stage, self.killed)
        assert state(self.killed, stage) == new
        assert not left_overs(self.killed)
        return done["status"]


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    with Warm(tmp_path_factory.mktemp("warm")) as warm:
        yield warm


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory, warm: Warm) -> Studies:
    return Studies(tmp_path_factory.mktemp("studies"), warm)


@pytest.mark.parametrize("stage", OUTS)
def test_killed_at_any_time_a_stage_leaves_whole_outs_and_a_rerun_the_same_bytes(
    studies: Studies, stage: str
) -> None:
    """A random moment after a random change on disk, so that threads and libraries are met anywhere."""
    draw = random.Random(0)
    changes = len(studies.warm.whole(stage, studies.new)["changes"])
    for moment in range(MOMENTS):
        when = {"change": int((moment + draw.random()) / MOMENTS * changes), "delay": draw.uniform(0, 0.05)}
        studies.survives(
            stage, moment % 2 == 0, lambda when=when: studies.warm.run(stage, studies.killed, **when)
        )


@pytest.mark.parametrize("stage", OUTS)
def test_killed_around_any_renaming_too(studies: Studies, stage: str) -> None:
    put_in_place(studies.old, studies.killed, stage)
    changes = studies.warm.whole(stage, studies.killed)["changes"]
    renamings = [at for at, change in enumerate(changes) if change == "os.rename"]
    assert len(renamings) >= len(OUTS[stage])
    moments = {at + beside for at in renamings for beside in (-2, 0, 1, 4)}
    for change in sorted(moments & set(range(len(changes)))):
        status = studies.survives(
            stage, True, lambda change=change: studies.warm.run(stage, studies.killed, change=change)
        )
        assert status == KILLED


@pytest.mark.parametrize("stage", OUTS)
def test_the_real_command_line_too(studies: Studies, stage: str) -> None:
    command = [sys.executable, "-m", f"stages.{stage}"]

    def killed_once_at_work() -> dict[str, Any]:
        process = subprocess.Popen(command, cwd=studies.killed, env=ENVIRONMENT, start_new_session=True)
        while process.poll() is None and not left_overs(studies.killed):
            time.sleep(0.01)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        return {"status": process.wait(), "alive": still_alive(process.pid)}

    # On a busy machine it may end before this process sees it at work.
    assert any(studies.survives(stage, True, killed_once_at_work) == KILLED for _ in range(50))


NO_REPOSITORY = "warning: no git repository here"
"""What `extract` says besides where these studies lie."""


class SmallDisk:
    """A disk of its own, where a warm process runs stages; `folder` as this process sees it."""

    def __init__(self, scratch: Path) -> None:
        self.mount_point = scratch / "disk"
        self.mount_point.mkdir()
        self.warm = Warm(scratch, ["unshare", "-rm", "sh", "-c", MOUNT, str(self.mount_point)])
        self.folder = Path(f"/proc/{self.warm.process.pid}/root{self.mount_point}")

    def run(self, stage: str) -> dict[str, Any]:
        return self.warm.run(stage, self.mount_point)

    def resize(self, size: int) -> None:
        done = self.inside("mount", "-o", f"remount,size={size}", "none", str(self.mount_point))
        assert done.returncode == 0, done.stderr

    def inside(self, *command: str) -> "subprocess.CompletedProcess[str]":
        enter = ["nsenter", "-U", "-m", "--preserve-credentials", "-t", str(self.warm.process.pid)]
        return subprocess.run([*enter, *command], capture_output=True, text=True, env=ENVIRONMENT)

    def used_pages(self) -> int:
        return shutil.disk_usage(self.folder).used // PAGE

    def fill(self) -> Path:
        filler = self.folder / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(bytes(PAGE)):
                pass
        return filler


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    try:
        probe = subprocess.run(
            ["unshare", "-rm", "sh", "-c", MOUNT, str(tmp_path), "true"], capture_output=True, text=True
        )
    except OSError as error:
        pytest.skip(f"no small disk can be mounted here: {error}")
    if probe.returncode:
        pytest.skip(f"no small disk can be mounted here: {probe.stderr.strip()}")
    disk = SmallDisk(tmp_path)
    with disk.warm:
        yield disk


@pytest.mark.parametrize("stage", OUTS)
def test_however_little_is_missing_on_a_full_disk_a_stage_says_so_in_one_line_and_leaves_nothing_half(
    small_disk: SmallDisk, studies: Studies, stage: str
) -> None:
    disk, folder = small_disk, small_disk.folder
    disk.resize(PLENTY)
    set_up(folder, studies.new.parent / "raw_new")
    put_in_place(studies.new, folder, "extract")
    whole = state(studies.new, stage)
    put_in_place(None, folder, stage)
    before = disk.used_pages()
    assert disk.run(stage)["status"] == 0
    after = disk.used_pages()
    refusals = 0
    for missing in ((after - before) // 2, *range(10, 0, -1)):
        put_in_place(None, folder, stage)
        shutil.rmtree(folder / "logs")
        disk.resize(PAGE * (after - missing))
        done = disk.run(stage)
        left = state(folder, stage)
        assert all(is_left in ("", is_whole) for is_left, is_whole in zip(left, whole, strict=True))
        assert not left_overs(folder)
        if done["status"]:
            refusals += 1
            assert done["status"] == 1
            said = [line for line in done["errors"].splitlines() if not line.startswith(NO_REPOSITORY)]
            assert said in [[f"error: {NO_SPACE.format(out)}"] for out in OUTS[stage]]
    assert refusals >= 5
    disk.resize(PLENTY)
    assert disk.run(stage)["status"] == 0
    assert state(folder, stage) == whole


def test_on_a_disk_without_a_byte_left_the_old_outs_stay_and_the_log_is_no_second_error(
    small_disk: SmallDisk, studies: Studies
) -> None:
    disk, folder = small_disk, small_disk.folder
    disk.resize(PLENTY >> 5)
    set_up(folder, studies.new.parent / "raw_new")
    for stage in OUTS:
        put_in_place(studies.old, folder, stage)
    put_in_place(studies.new, folder, "extract")
    for stage in OUTS:
        old = state(folder, stage)
        filler = disk.fill()
        command = [sys.executable, "-B", "-m", f"stages.{stage}"]
        refused = disk.inside("sh", "-c", 'cd "$0" && exec "$@"', str(disk.mount_point), *command)
        assert refused.returncode == 1
        assert refused.stderr.count("error: ") == 1
        assert f"error: {NO_SPACE.format(OUTS[stage][0])}\n" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert state(folder, stage) == old
        assert not left_overs(folder)
        filler.unlink()
        assert disk.run(stage)["status"] == 0
        assert state(folder, stage) == state(studies.new, stage)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
