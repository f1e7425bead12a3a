"""What a person at a terminal sees, what stays in the log, and that nobody else is bothered."""

import contextlib
import importlib
import logging
import os
import pkgutil
import pty
import re
import signal
import subprocess
import sys
import termios
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import toy_training as toy
from conftest import ROOT, TINY

import emotions
from emotions.command import command
from emotions.extras import MissingExtraError
from emotions.params_file import ParamsError
from emotions.runtime import console
from emotions.training import loop
from stages.train import PARAMS as TRAIN_PARAMS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of a stage, without data."""
    for name in ("params.yaml", "versions.txt"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RANK", raising=False)
    return tmp_path


class Terminal:
    """A pseudo-terminal in place of stderr; `shown` is what came out of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shown = ""
        self._near, far = pty.openpty()
        termios.tcsetwinsize(far, (40, 160))
        self._stream = os.fdopen(far, "w")
        monkeypatch.setattr(sys, "stderr", self._stream)
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                content = os.read(self._near, 65536)
            except OSError:  # the far end is closed
                return
            self.shown += content.decode()

    def close(self) -> str:
        self._stream.close()
        self._reader.join()
        os.close(self._near)
        return self.shown


def train(values: dict[str, Any], run: str) -> None:
    """The stage `train` with a small network: 11 images in batches of 4, 2 epochs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    loop.fit(
        toy.shallow(),
        toy.TRAIN,
        toy.VAL,
        params=toy.params(),
        run=toy.regime(),
        seed=0,
        accelerator=toy.alone(),
        epochs=2,
        on_epoch=lambda epoch: None,
        title=f"train {run}",
    )
    torch.set_num_threads(threads)


def run_stage(monkeypatch: pytest.MonkeyPatch, main: Callable[..., None] = train, run: str = "run2") -> None:
    monkeypatch.setattr(sys, "argv", ["/anywhere/stages/train.py", run])
    command(main, TRAIN_PARAMS, "")


def failing(error: BaseException) -> Callable[..., None]:
    def main(values: dict[str, Any], run: str) -> None:
        raise error

    return main


def log_of(folder: Path, name: str = "train@run2") -> str:
    return (folder / f"logs/{name}.log").read_text()


def test_a_person_at_a_terminal_sees_place_epoch_speed_and_time_left(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Terminal(monkeypatch)
    monkeypatch.setattr(console, "tqdm", eager_bar())
    run_stage(monkeypatch)
    shown = terminal.close()
    assert "train@run2: Mixup, frozen layers, dropout\r\n" in shown
    bar = r"train run2  epoch 2/2:  75%\|[^|]*\| 12/16 \[\d\d:\d\d<\d\d:\d\d, +[\d.]+img/s"
    bar += r", loss [\d.]+, val [\d.]+ %\]"
    assert re.search(bar, shown), shown
    line = r"\repoch 1/2  loss [\d.]+  train [\d.]+ % of \d+  val [\d.]+ % of \d+  [\d.]+ img/s\r\n"
    assert re.search(line, shown), shown
    assert re.search(r"train@run2 done in \d\d:\d\d, peak memory [\d.]+ GB\r\n$", shown)
    assert capsys.readouterr().out == ""


def eager_bar() -> type:
    """The bar as it is, but drawn at every step, however short."""

    class Eager(console.tqdm):  # type: ignore[type-arg]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options | {"mininterval": 0, "miniters": 1})

    return Eager


def test_without_a_terminal_success_is_silent_and_the_log_has_it_all(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run_stage(monkeypatch)
    assert capfd.readouterr() == ("", "")
    log = log_of(folder)
    for text in (
        "train@run2: Mixup, frozen layers, dropout",
        f"python {sys.version.split()[0]}, torch {torch.__version__.split('+')[0]}",
        "seed: 0\n",
        "data.classes: rafdb11\n",
        "mixup_alpha=0.4",
        "train run2: 11 images, 6 for validation, torch.float32",
        "epoch 1/2  loss ",
        "epoch 2/2  loss ",
        "train@run2 done in ",
    ):
        assert text in log, text
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO ", line) for line in log.splitlines())


def test_a_second_run_is_added_to_the_log_which_stays_small(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def main(values: dict[str, Any], run: str) -> None:
        console.show("x" * 1000)

    run_stage(monkeypatch, main)
    run_stage(monkeypatch, main)
    assert log_of(folder).count("done in") == 2
    monkeypatch.setattr(console, "LOG_BYTES", 5000)
    for _ in range(12):
        run_stage(monkeypatch, main)
    files = list((folder / "logs").iterdir())
    assert sorted(f.name for f in files) == ["train@run2.log", "train@run2.log.1"]
    assert all(f.stat().st_size <= 5000 for f in files)


def test_a_warning_is_one_line_on_stderr_and_in_the_log(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def main(values: dict[str, Any], run: str) -> None:
        warnings.warn("odd\n  pixels", UserWarning, stacklevel=1)
        logging.getLogger("emotions.sources.ferplus").warning("%d images left out", 3)

    before = warnings.showwarning
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        run_stage(monkeypatch, main)
    out, err = capsys.readouterr()
    assert out == ""
    first, second = err.splitlines()
    assert first.startswith("warning: odd pixels (UserWarning, ") and second == "warning: 3 images left out"
    assert "WARNING  odd" in log_of(folder) and "WARNING  3 images left out" in log_of(folder)
    assert warnings.showwarning is before
    assert console.log.propagate and not console.log.handlers  # nothing is left of the session


def own_errors() -> list[type[Exception]]:
    modules = []
    for found in pkgutil.walk_packages(emotions.__path__, "emotions."):
        with contextlib.suppress(MissingExtraError):  # tests/test_extras.py: no other module fails
            modules.append(importlib.import_module(found.name))
    return [
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Exception) and kind.__module__ == module.__name__
    ]


def test_an_error_raised_on_purpose_is_one_line_and_the_log_has_its_traceback(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # python -m vlm.score: what the script itself defines is of the module __main__
    of_a_script = type("ScoreError", (ValueError,), {"__module__": "__main__"})
    kinds = [*own_errors(), of_a_script]
    assert {ParamsError, loop.TrainingError} < set(kinds) and len(kinds) >= 7
    for kind in kinds:
        with pytest.raises(SystemExit) as ended:
            run_stage(monkeypatch, failing(kind("100 % wrong:\n  lower it")))
        assert ended.value.code == 1
        assert capsys.readouterr() == ("", "error: 100 % wrong: lower it\n")
        assert f"{kind.__name__}: 100 % wrong" in log_of(folder)
    assert log_of(folder).count("Traceback") == len(kinds)


def test_an_unexpected_error_keeps_its_traceback(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(KeyError, match="surprise"):  # Python prints what leaves the script
        run_stage(monkeypatch, failing(KeyError("surprise")))
    assert capsys.readouterr().err == ""
    assert "CRITICAL train@run2 failed\nTraceback" in log_of(folder) and "'surprise'" in log_of(folder)


def test_ctrl_c_is_one_line_and_status_130(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_stage(monkeypatch, failing(KeyboardInterrupt()))
    assert ended.value.code == 130
    assert re.fullmatch(r"error: train@run2 interrupted after \d\d:\d\d\n", capsys.readouterr().err)


@pytest.mark.parametrize("log_file", ["file/train.log", "/dev/full"])
def test_a_log_that_cannot_be_written_is_one_warning(
    log_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("no folder")
    with console.session("train", tmp_path / log_file):
        console.show("first")
        console.show("second")
        went_on = True
    assert went_on
    assert re.fullmatch(r"warning: (no log is kept|the log ends here): .+\n", capsys.readouterr().err)


@pytest.fixture
def tiny_data(folder: Path) -> None:
    """What the stage `extract` needs to draw a few faces."""
    text = (folder / "params.yaml").read_text()
    for old, new in TINY:
        text = text.replace(old, new)
    (folder / "params.yaml").write_text(text)
    (folder / "data/raw").mkdir(parents=True)
    (folder / "data/raw/synthetic").symlink_to(ROOT / "data/raw/synthetic")


def test_only_the_first_process_of_a_distributed_training_speaks(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    terminal = Terminal(monkeypatch)
    run_stage(monkeypatch)
    assert terminal.close() == "" and not (folder / "logs").exists()


def test_other_versions_than_the_studys_are_refused_by_name_before_anything_is_computed(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (folder / "versions.txt").read_text()
    wanted = f"torch=={torch.__version__.partition('+')[0]}"
    assert wanted in text
    (folder / "versions.txt").write_text(text.replace(wanted, "torch==1.0.0") + "no-such-library==1.0\n")
    with pytest.raises(SystemExit) as ended:
        run_stage(monkeypatch, failing(AssertionError("it computes")))
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert said.startswith(
        f"error: versions.txt wants torch ==1.0.0 (here: {wanted.partition('==')[2]}), no-such-"
    )
    assert "(here: not installed): install requirements.txt, or write the versions" in said
    (folder / "versions.txt").write_text(text + "torch==1.0.0 ; python_version < '3'\n")
    run_stage(monkeypatch, lambda values, run: None)
    (folder / "versions.txt").unlink()
    with pytest.raises(SystemExit):
        run_stage(monkeypatch)
    assert "versions.txt, which lists the versions that decide numbers, is missing" in capsys.readouterr().err


def test_the_study_s_versions_are_those_of_the_lock() -> None:
    locked = set((ROOT / "requirements.txt").read_text().splitlines())
    named = [line for line in (ROOT / "versions.txt").read_text().splitlines() if not line.startswith("#")]
    assert set(named) <= locked, "run `make lock`"
    for library in ("torch", "torchvision", "numpy", "pillow", "scikit-learn", "accelerate"):
        assert any(line.startswith(f"{library}==") for line in named)


ENDLESS = 100_000
"""Faces whose drawing takes many minutes: Ctrl-C finds the stage at work, however slow it comes."""


def stage_command(script: str) -> dict[str, Any]:
    command = [sys.executable, "-W", "default", "-m", *script.split()]
    return {"args": command, "env": os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}}


def run_for_real(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(**stage_command(script), capture_output=True, text=True, check=False)


@pytest.mark.usefixtures("tiny_data")
def test_a_real_stage_that_succeeds_without_a_terminal_prints_nothing_no_warning_either(folder: Path) -> None:
    done = run_for_real("stages.extract")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (folder / "data/extracted/manifest.csv").exists()
    assert "extract done in" in log_of(folder, "extract")


def test_a_name_that_is_not_text_does_not_end_the_log(tmp_path: Path) -> None:
    with console.session("a", tmp_path / "a.log"):
        console.log.info("face\udce9.jpg")
        console.log.info("and on")
    assert re.search(r"face\\udce9\.jpg\n.*and on", (tmp_path / "a.log").read_text())


def test_a_real_stage_that_fails_prints_its_error(folder: Path) -> None:
    done = run_for_real("stages.train run9 0")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: params.yaml: key 'runs.run9' is missing\n"
    assert f"ParamsError: {done.stderr.removeprefix('error: ')}" in log_of(folder, "train@run9-0")
    done = run_for_real("stages.best")
    assert (done.returncode, done.stdout) == (1, "")
    first, *_, last = done.stderr.splitlines()
    assert first.startswith("Traceback") and last.startswith("FileNotFoundError: ")


@pytest.mark.usefixtures("tiny_data")
def test_ctrl_c_at_a_terminal_ends_a_stage_and_its_workers_without_a_traceback(folder: Path) -> None:
    params = (folder / "params.yaml").read_text()
    (folder / "params.yaml").write_text(params.replace("    train: 64\n", f"    train: {ENDLESS}\n"))
    near, far = pty.openpty()
    termios.tcsetwinsize(far, (40, 160))
    process = subprocess.Popen(
        **stage_command("stages.extract"), stdin=far, stdout=far, stderr=far, start_new_session=True
    )
    os.close(far)
    shown, pressed = "", False
    with contextlib.suppress(OSError):  # the far end is closed
        while content := os.read(near, 65536):
            shown += content.decode(errors="replace")
            if "extract synthetic:" in shown and not pressed:
                pressed = True
                os.killpg(process.pid, signal.SIGINT)
    os.close(near)
    assert process.wait() == 130, shown
    assert "extract: Collect the images" in shown
    assert "Traceback" not in shown and re.search(r"error: extract interrupted after \d\d:\d\d\r\n$", shown)
    assert not (folder / "data/extracted").exists()
