"""Checkpoints: a training that goes on ends with the bytes of one that was never interrupted."""

import multiprocessing
import os
import random
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from conftest import A_WHILE, ROOT, wait_for
from toy_training import CPU, FULL, TRAIN, VAL, alone, fit, params, regime, shallow, weights_of

from emotions.model import weight_files
from emotions.training import checkpoints as checkpoints_module
from emotions.training import loop
from emotions.training.checkpoints import CheckpointError, Checkpoints, result_key
from emotions.training.knobs import TrainParams
from emotions.training.loop import Epoch, Fitted, TrainingError

KEY = {"params": {"lr": 0.1}, "data": "abc"}


class Killed(BaseException):
    """Stands for the end of the process."""


def killed_at(monkeypatch: pytest.MonkeyPatch, step: int, folder: Path, every_step: bool = False) -> None:
    """Train until so many steps are done, and stop there."""
    left = step
    real = loop._Training.step

    def dying(self: Any, *batch: torch.Tensor) -> None:
        nonlocal left
        if left == 0:
            raise Killed
        left -= 1
        real(self, *batch)

    with monkeypatch.context() as patch:
        patch.setattr(loop._Training, "step", dying)
        if every_step:
            patch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
        with pytest.raises(Killed):
            go_on(folder)


def go_on(folder: Path, precision: str = "bfloat16", optimizer: str = "adam", key: Any = KEY) -> Fitted:
    """Three epochs of two steps, with all that draws at random."""
    checkpoints = Checkpoints(folder, key)
    with checkpoints.at_work():
        return fit(
            shallow(dropout=0.5),
            regime(**FULL),
            epochs=3,
            precision=precision,
            optimizer=optimizer,
            checkpoints=checkpoints,
        )


def result(fitted: Fitted, path: Path) -> tuple[bytes, str]:
    return weights_of(fitted, path), loop.history_csv(fitted.history)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, str]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    fitted = fit(shallow(dropout=0.5), regime(**FULL), epochs=3, precision="bfloat16")
    return result(fitted, folder / "weights")


@pytest.mark.parametrize("every_step", [False, True], ids=["epochs", "steps"])
@pytest.mark.parametrize("step", range(6))
def test_killed_after_any_step_training_ends_with_the_same_bytes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    uninterrupted: tuple[bytes, str],
    step: int,
    every_step: bool,
) -> None:
    killed_at(monkeypatch, step, tmp_path / "c", every_step)
    taken = []
    real = loop._Training.step
    monkeypatch.setattr(loop._Training, "step", lambda self, *batch: taken.append(1) or real(self, *batch))
    assert result(go_on(tmp_path / "c"), tmp_path / "weights") == uninterrupted
    assert len(taken) == 6 - (step if every_step else step // 2 * 2)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_optimizer_goes_on_exactly_after_several_interruptions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str, precision: str
) -> None:
    whole = result(go_on(tmp_path / "whole", precision, optimizer), tmp_path / "w")
    real = loop._Training.step
    calls = iter(range(100))

    def dying(self: Any, *batch: torch.Tensor) -> None:
        if next(calls) % 3 == 2:
            raise Killed
        real(self, *batch)

    monkeypatch.setattr(loop._Training, "step", dying)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    for _ in range(2):
        with pytest.raises(Killed):
            go_on(tmp_path / "c", precision, optimizer)
    assert result(go_on(tmp_path / "c", precision, optimizer), tmp_path / "w") == whole


def test_who_watches_is_told_the_epochs_of_before_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed_at(monkeypatch, 5, tmp_path / "c")
    told: list[Epoch] = []
    checkpoints = Checkpoints(tmp_path / "c", KEY)
    fitted = loop.fit(
        shallow(0.5),
        TRAIN,
        VAL,
        params=params(precision="bfloat16"),
        run=regime(**FULL),
        seed=0,
        accelerator=alone("bfloat16"),
        epochs=3,
        on_epoch=told.append,
        title="",
        checkpoints=checkpoints,
    )
    assert [e.epoch for e in told] == [1, 2, 3]
    assert told == fitted.history


def test_a_checkpoint_of_another_key_is_not_used_and_the_log_says_what_is_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    killed_at(monkeypatch, 5, tmp_path / "c")
    other = Checkpoints(tmp_path / "c", KEY | {"data": "abd"})
    with caplog.at_level("INFO", "emotions"), other.at_work():
        assert other.newest() is None
    assert "is not used: other data" in caplog.text
    with Checkpoints(tmp_path / "c", KEY).at_work():  # back to the first: its work is not lost
        state = Checkpoints(tmp_path / "c", KEY).newest()
    assert state is not None
    assert len(state["history"]) == 2


def test_the_disk_holds_two_checkpoints_and_one_of_another_key_at_most(tmp_path: Path) -> None:
    for change in range(4):
        checkpoints = Checkpoints(tmp_path / "c", KEY | {"data": str(change)})
        with checkpoints.at_work():
            for epoch in range(5):
                checkpoints.save(epoch, 0, {"epoch": epoch})
                files = list((tmp_path / "c").rglob("*.pt"))
                assert len(files) <= 3
            newest = checkpoints.newest()
        assert newest == {"epoch": 4}
    assert len({f.parent for f in files}) == 2


def test_checkpoints_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "c", KEY)
    for epochs, steps in ((9, 0), (9, 99), (9, 100), (10, 0)):
        checkpoints.save(epochs, steps, {"at": [epochs, steps]})
        assert checkpoints.newest() == {"at": [epochs, steps]}


def test_a_finished_training_leaves_nothing(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "c", KEY)
    with checkpoints.at_work():
        checkpoints.save(1, 0, {})
        checkpoints.discard()
    assert not (tmp_path / "c").exists()


def flip(content: bytearray, at: int) -> bytes:
    content[at] ^= 1
    return bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: flip(b, len(b) // 2),
        lambda b: flip(b, len(b) // 3),
        lambda b: bytes(b[: len(b) // 2]),
        lambda b: b"",
        lambda b: bytes(len(b)),
        lambda b: b"no checkpoint at all",
    ],
    ids=["a bit in the middle", "a bit at a third", "half", "empty", "zeros", "text"],
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    uninterrupted: tuple[bytes, str],
    damage: Any,
) -> None:
    killed_at(monkeypatch, 5, tmp_path / "c")
    newest = max((tmp_path / "c").rglob("*.pt"))
    newest.write_bytes(damage(bytearray(newest.read_bytes())))
    with caplog.at_level("WARNING", "emotions"):
        assert result(go_on(tmp_path / "c"), tmp_path / "weights") == uninterrupted
    assert f"{newest} is damaged" in caplog.text
    assert "going on from the one before" in caplog.text


def test_with_all_checkpoints_damaged_training_starts_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: tuple[bytes, str]
) -> None:
    killed_at(monkeypatch, 5, tmp_path / "c")
    for path in (tmp_path / "c").rglob("*.pt"):
        path.write_bytes(b"")
    assert result(go_on(tmp_path / "c"), tmp_path / "weights") == uninterrupted


def test_a_checkpoint_that_holds_code_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    checkpoints = Checkpoints(tmp_path / "c", KEY)
    checkpoints.save(1, 0, {"model": Evil()})
    assert checkpoints.newest() is None
    assert not (tmp_path / "ran").exists()


def write_forever(folder: Path, first: int = 1, whole: int = 10**6, size: int = 0, event: int = 0) -> None:
    """Write checkpoints, `whole` of them, and end in the next: at byte `size` of its file, or, with 0, just
    before its `event`-th change on disk."""
    checkpoints = Checkpoints(folder, KEY)
    with checkpoints.at_work():
        for epoch in range(first, first + whole + 1):
            if epoch == first + whole and size:
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # the kernel ends a process that writes on
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
                resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            elif epoch == first + whole:
                sys.addaudithook(kill_at(event))
            checkpoints.save(epoch, 0, {"epoch": epoch, "weights": torch.full((50_000,), float(epoch))})


def kill_at(number: int) -> Callable[[str, tuple[Any, ...]], None]:
    """An audit hook that kills this process before its `number`-th change on disk, counted from 0."""
    left = number

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        writes = event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if writes or event in ("os.rename", "os.remove"):
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

    return hook


@pytest.mark.parametrize("way", ["within the file", "between two changes on disk"])
def test_killed_at_any_moment_of_writing_the_newest_whole_checkpoint_is_found(
    tmp_path: Path, way: str
) -> None:
    """A process does nothing but write checkpoints, and is killed while it writes one."""
    context = multiprocessing.get_context("fork")
    draw = random.Random(0)
    epoch, parts = 0, 0
    for attempt in range(12):
        whole = draw.randrange(4)
        end = {"size": draw.randrange(1, 200_000)} if way == "within the file" else {"event": attempt % 3}
        process = context.Process(target=write_forever, args=(tmp_path / "c", epoch + 1, whole), kwargs=end)
        process.start()
        process.join()
        assert process.exitcode in (-signal.SIGXFSZ, -signal.SIGKILL), "it ended before it was killed"
        parts += len(list((tmp_path / "c").rglob(".*.part")))
        checkpoints = Checkpoints(tmp_path / "c", KEY)
        with checkpoints.at_work():
            state = checkpoints.newest()
        if end.get("event") == 2:  # written and renamed; the oldest is still there
            whole += 1
        assert (state["epoch"] if state else 0) == epoch + whole
        epoch += whole
        if state is not None:
            assert torch.equal(state["weights"], torch.full((50_000,), float(epoch)))
        assert not list((tmp_path / "c").rglob(".*.part"))
        assert len(list((tmp_path / "c").rglob("*.pt"))) <= 3
    assert parts == (12 if way == "within the file" else 4)


def test_two_processes_do_not_train_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints_module, "WAIT", 0.1)
    process = multiprocessing.get_context("fork").Process(target=write_forever, args=(tmp_path / "c",))
    process.start()
    try:
        wait_for(lambda: list((tmp_path / "c").rglob("*.pt")))
        with (
            pytest.raises(CheckpointError, match="another process trains this run"),
            Checkpoints(tmp_path / "c", KEY).at_work(),
        ):
            pass
    finally:
        process.kill()
        process.join()
    with Checkpoints(tmp_path / "c", KEY).at_work():
        pass


ON_A_FULL_DISK = """
import sys
from pathlib import Path
import torch
from emotions.runtime.outs import OutsError
from emotions.training.checkpoints import Checkpoints

checkpoints = Checkpoints(Path(sys.argv[1]) / "c", {"seed": 0})
checkpoints.save(1, 0, {"weights": torch.zeros(1_000_000)})
for size in (1_200_000, 2_000_000, 40_000_000):  # the disk of 8 MB ends within the last bytes, soon, at once
    try:
        checkpoints.save(2, 0, {"weights": torch.zeros(size)})
    except OutsError as error:
        assert "no space left for" in str(error) and "000002-00000000.pt" in str(error), error
    else:
        raise AssertionError(f"{size} numbers found room")
    assert checkpoints.newest()["weights"].shape == (1_000_000,)
    assert not [p for p in Path(sys.argv[1]).rglob("*.part")]
print("kept")
"""


def test_a_disk_that_runs_full_within_a_checkpoint_is_named_and_the_one_before_stays(tmp_path: Path) -> None:
    """On a real disk of 8 MB: torch says of a full one that a stream is at an unexpected place."""
    mount = 'mount -t tmpfs -o size=8m none "$0" && exec "$@"'
    try:
        done = subprocess.run(
            [
                *("unshare", "-rm", "sh", "-c", mount, str(tmp_path)),
                *(sys.executable, "-c", ON_A_FULL_DISK, str(tmp_path)),
            ],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError as error:
        pytest.skip(f"no small disk can be mounted here: {error}")
    if "unshare:" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    assert (done.returncode, done.stdout) == (0, "kept\n"), done.stderr


def test_a_loss_that_is_not_finite_leaves_the_last_state_that_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = loop._Training.step
    calls = iter(range(100))

    def diverging(self: Any, images: torch.Tensor, targets: torch.Tensor) -> None:
        real(self, images * (float("nan") if next(calls) == 3 else 1), targets)

    monkeypatch.setattr(loop._Training, "step", diverging)
    with pytest.raises(TrainingError, match=r"the loss is nan at epoch 2, step 2;.* finite state is kept"):
        go_on(tmp_path / "c")
    state = Checkpoints(tmp_path / "c", KEY).newest()
    assert state is not None
    assert len(state["history"]) == 1
    assert all(v.isfinite().all() for v in state["model"].values())


def test_weights_that_are_not_finite_never_become_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last step of an epoch ruins the weights; its own loss was fine."""
    real = loop._Training.step

    def ruining(self: Any, *batch: torch.Tensor) -> None:
        real(self, *batch)
        if len(self.reached.history) == 1 and self.reached.steps == 2:
            with torch.no_grad():
                for network_at_work in (self.model, self.scored_model):
                    network_at_work.fc.weight[0, 0] = float("inf")

    monkeypatch.setattr(loop._Training, "step", ruining)
    with pytest.raises(TrainingError, match="the validation loss is nan at epoch 2"):
        go_on(tmp_path / "c")
    (path,) = (tmp_path / "c").rglob("*.pt")
    assert path.name == "000001-00000000.pt"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_training_finishes_the_step_and_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uninterrupted: tuple[bytes, str], number: int
) -> None:
    real = loop._Training.step
    before = signal.getsignal(number)
    calls = iter(range(100))

    def interrupted(self: Any, *batch: torch.Tensor) -> None:
        if next(calls) == 3:
            os.kill(os.getpid(), number)
        real(self, *batch)

    with monkeypatch.context() as patch:
        patch.setattr(loop._Training, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            go_on(tmp_path / "c")
    assert signal.getsignal(number) == before
    assert max(p.name for p in (tmp_path / "c").rglob("*.pt")) == "000001-00000002.pt"
    assert result(go_on(tmp_path / "c"), tmp_path / "weights") == uninterrupted


LAUNCHER = "import subprocess, sys; subprocess.run(sys.argv[1:])"
"""What DVC is to a stage."""
STAGE = """
import sys, time
from pathlib import Path
import toy_training as toy
from emotions.runtime import parallel
from emotions.training import loop
from emotions.training.checkpoints import Checkpoints

parallel.end_with_launcher()
folder, real = Path(sys.argv[1]), loop._Training.step

def slow(self, *batch):
    real(self, *batch)
    (folder / "taken").write_text(str(self.reached.steps))
    time.sleep(0.3)

loop._Training.step = slow
toy.fit(toy.shallow(), toy.regime(), train=toy.split(4000), checkpoints=Checkpoints(folder / "c", {}))
"""


@pytest.mark.parametrize("told", [False, True], ids=["launcher killed", "both told to end"])
def test_a_training_whose_launcher_is_gone_ends_with_a_checkpoint_of_its_step(
    tmp_path: Path, told: bool
) -> None:
    environment = os.environ | {"DVC_STAGE": "train", "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    (tmp_path / "stage.py").write_text(STAGE)
    command = [sys.executable, "-c", LAUNCHER, sys.executable, str(tmp_path / "stage.py"), str(tmp_path)]
    with subprocess.Popen(command, env=environment, start_new_session=True) as launcher:
        wait_for(lambda: (tmp_path / "taken").exists() and int((tmp_path / "taken").read_text() or 0) >= 3)
        (stage,) = psutil.Process(launcher.pid).children()
        if told:
            os.killpg(launcher.pid, signal.SIGTERM)
        else:
            launcher.kill()
    stage.wait(A_WHILE)
    steps = int((tmp_path / "taken").read_text())
    assert [p.name for p in (tmp_path / "c").rglob("*.pt*")] == [f"000000-{steps:08}.pt"]


def test_a_second_ctrl_c_does_not_wait() -> None:
    assert threading.current_thread() is threading.main_thread()
    with pytest.raises(KeyboardInterrupt), loop._interruption(alone=True) as asked:
        os.kill(os.getpid(), signal.SIGINT)
        assert asked()
        os.kill(os.getpid(), signal.SIGINT)


def key(**changes: Any) -> dict[str, Any]:
    train = TrainParams(**params().model_dump() | {"epochs": 3, "fraction": 1.0} | changes)
    values = {"seed": 0, "train": train, "runs.{run}": regime()}
    return result_key(values, {"images": "abc", "initial weights": "def"}, CPU, processes=1)


def test_the_key_changes_with_every_param_but_the_size_of_the_store() -> None:
    others = {"image_size": 64, "threads": 2, "batch_size": 8, "optimizer": "sgd", "weight_decay": 0.1}
    for name, value in (others | {"epochs": 4, "fraction": 0.5, "precision": "bfloat16"}).items():
        assert key(**{name: value}) != key(), name
    assert key(store_gb=7.0) == key()


def test_the_key_names_the_code_that_runs_and_no_other(tmp_path: Path) -> None:
    code = key()["code"]
    assert code["emotions/training/loop.py"] == weight_files.file_sha256(Path(loop.__file__))
    assert "emotions/random_streams.py" in code
    assert not [name for name in code if name.startswith("tests/")]


def test_the_key_changes_with_the_code_the_versions_and_the_number_of_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = key()
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints_module.importlib.metadata, "version", lambda name: "0.0")
        assert key() != before
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda self: b"edited")
        assert key()["code"] != before["code"]
    assert result_key({}, {}, CPU, processes=2) != result_key({}, {}, CPU, processes=1)
